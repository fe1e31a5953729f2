import pytest

from occface.errors import UsageError
from occface.registry import Registry


def test_nothing_is_imported_before_it_is_asked_for():
    registry = Registry("thing", builtin={"broken": "no_such_module:x", "root": "math:sqrt"})
    assert list(registry) == ["broken", "root"]
    assert registry.get("root")(9) == 3
    with pytest.raises(ModuleNotFoundError):
        registry.get("broken")


def test_an_unknown_name_offers_the_nearest():
    registry = Registry("mask", builtin={"square": "math:pi", "walk": "math:e"})
    with pytest.raises(UsageError, match=r"unknown mask 'squre': did you mean 'square'\? \(known: square, walk\)"):
        registry.get("squre")


def test_a_name_stands_for_one_thing():
    registry = Registry("thing")
    registry.register("a", "math:pi")
    registry.register("a", "math:pi")
    with pytest.raises(ValueError, match="registered already"):
        registry.register("a", "math:e")


def test_other_distributions_add_names_through_entry_points(monkeypatch):
    from importlib.metadata import EntryPoint

    found = [EntryPoint("theirs", "math:tau", "occface.things")]
    monkeypatch.setattr("occface.registry.entry_points", lambda group: found if group == "occface.things" else [])
    registry = Registry("thing", group="occface.things", builtin={"ours": "math:pi"})
    assert list(registry) == ["ours", "theirs"]
    assert registry.get("theirs") == pytest.approx(6.283185307)
