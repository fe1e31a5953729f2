"""Weights and cards: loaded to the last bit, or refused in one line."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import struct
from typing import ClassVar

import pytest
import safetensors.torch
import torch

from occface.errors import UsageError
from occface.methods import METHODS
from occface.methods.bicubic import Bicubic
from occface.methods.gfc import GFC
from occface.methods.weights import SCHEMA, LoadedMethod, load_method, misfit, save_weights, untrained


class Trap:
    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


@pytest.fixture(scope="module")
def method():
    torch.manual_seed(0)
    return GFC.build("test")


@pytest.fixture
def run(tmp_path, method):
    """A folder with whole weights and their card."""
    folder = tmp_path / "run"
    save_weights(folder, method.generator, {"method": "gfc", "preset": "test", "config": method.config})
    return folder


def rewrite(run, **changes):
    """Change the card; a value of None leaves an entry out."""
    path = run / "weights.json"
    card = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({key: value for key, value in card.items() if value is not None}))


def replace(run, data):
    """Put other bytes in the place of the weights, and their hash on the card: what somebody hostile would send."""
    (run / "weights.safetensors").write_bytes(data)
    rewrite(run, sha256=hashlib.sha256(data).hexdigest())


def refused(path):
    with pytest.raises(UsageError) as caught:
        load_method(path)
    said = str(caught.value)
    assert "\n" not in said
    assert len(said) < 700
    return said


def test_what_is_saved_is_what_is_loaded(run, method):
    for path in (run, run / "weights.safetensors"):
        loaded = load_method(path)
        assert loaded.name == "gfc"
        state = method.generator.state_dict()
        assert all(torch.equal(value, state[name]) for name, value in loaded.method.generator.state_dict().items())
    card = json.loads((run / "weights.json").read_text())
    assert card == loaded.card
    assert card["schema"] == SCHEMA
    assert card["bytes"] == (run / "weights.safetensors").stat().st_size
    assert loaded.identity == hashlib.sha256((run / "weights.safetensors").read_bytes()).hexdigest()


def test_a_card_of_before_there_were_schemas_is_of_the_first(run):
    rewrite(run, schema=None)
    assert "schema" not in json.loads((run / "weights.json").read_text())
    assert load_method(run).name == "gfc"


@pytest.mark.parametrize("form", ["torch", "legacy", "pickle"])
@pytest.mark.parametrize("hash_fits", [True, False])
def test_a_malicious_pickle_is_told_apart_and_not_run(tmp_path, run, form, hash_fits):
    path, state = tmp_path / "made", {"weight": torch.zeros(2), "extra": Trap(tmp_path / "sprung")}
    if form == "pickle":
        path.write_bytes(pickle.dumps(state["extra"]))
    else:
        torch.save(state, path, _use_new_zipfile_serialization=form == "torch")
    if hash_fits:
        replace(run, path.read_bytes())
    else:
        (run / "weights.safetensors").write_bytes(path.read_bytes())
    assert "holds code or objects, not numbers alone" in refused(run)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("share", [0.0001, 0.001, 0.01, 0.5, 0.999])
def test_a_truncated_file_is_damaged_whatever_its_card_says(run, share):
    data = (run / "weights.safetensors").read_bytes()
    (run / "weights.safetensors").write_bytes(data[: max(1, int(share * len(data)))])
    assert "is damaged, or not the file of its card" in refused(run)
    replace(run, data[: max(1, int(share * len(data)))])
    assert "does not fit method 'gfc'" in refused(run)


def test_an_empty_file(run):
    replace(run, b"")
    assert "is empty" in refused(run)


def _file(header, data=b"", length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


@pytest.mark.parametrize(
    "data",
    [
        b"hello\n" * 50,
        _file({}),
        _file({}, length=2**63),
        _file({}, length=99_000_000),
        _file(b"[" * 100_000),
        _file(b'{"a":' * 50_000),
        _file(b" " * 200_000 + b"{}"),
        _file(b"\xff\xfe{}"),
        _file({"image_head.bias": {"dtype": "F32", "shape": [3], "data_offsets": [0, 2**62]}}, bytes(12)),
        _file({"image_head.bias": {"dtype": "F32", "shape": [2**62], "data_offsets": [0, 12]}}, bytes(12)),
        _file({"image_head.bias": {"dtype": "F32", "shape": [-3], "data_offsets": [0, 12]}}, bytes(12)),
        _file({"image_head.bias": {"dtype": "X32", "shape": [3], "data_offsets": [0, 12]}}, bytes(12)),
        _file({str(i): {"dtype": "F32", "shape": [3], "data_offsets": [0, 12]} for i in range(9)}, bytes(12)),
        _file({"x" * 500_000: {"dtype": "F32", "shape": [3], "data_offsets": [0, 12]}}, bytes(12)),
        _file({str(i): {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for i in range(20_000)}),
    ],
    ids=range(15),
)
def test_hostile_headers_are_one_line(run, data):
    replace(run, data)
    assert "does not fit method 'gfc'" in refused(run)


def test_tensors_of_other_shapes_names_and_kinds(run, method):
    state = method.generator.state_dict()
    replace(run, safetensors.torch.save({**state, "image_head.bias": torch.zeros(4)}))
    assert "image_head.bias has the shape (4,), expected (3,); fetch" in refused(run)
    replace(run, safetensors.torch.save({name: value for name, value in state.items() if name != "image_head.bias"}))
    assert "image_head.bias is missing; fetch" in refused(run)
    replace(run, safetensors.torch.save({**state, "more": torch.zeros(4)}))
    assert "more is not expected; fetch" in refused(run)
    for kind in (torch.int64, torch.complex64):
        replace(run, safetensors.torch.save({**state, "image_head.bias": torch.zeros(3, dtype=kind)}))
        assert f"image_head.bias is of {kind}, expected torch.float32" in refused(run)


def test_weights_of_another_preset_and_of_another_method(run, method):
    other = GFC.build("test", {"width": 8})
    replace(run, safetensors.torch.save(other.generator.state_dict()))
    assert "encoder.0.0.0.weight has the shape (8, 3, 3, 3), expected (4, 3, 3, 3), and " in refused(run)
    rewrite(run, method="pro-uigan")
    assert "has no configuration of method 'pro-uigan': it lacks" in refused(run)
    rewrite(run, method="bicubic")
    assert "method 'bicubic' has no weights to load" in refused(run)
    rewrite(run, method="gfk")
    assert "did you mean 'gfc'" in refused(run)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"schema": SCHEMA + 1},
            f"is of schema {SCHEMA + 1}, written by a newer occface; this one reads schema {SCHEMA}: update",
        ),
        ({"schema": "1"}, "expected a card of schema 1"),
        ({"schema": True}, "got schema 'True'"),
        ({"schema": 0}, "expected a card of schema 1"),
        ({"schema": [9] * 9999}, "expected a card of schema 1"),
        ({"method": ["gfc"]}, "expected a method's name"),
        ({"method": None}, "it is no card"),
        ({"config": [1]}, "a mapping of its settings"),
        ({"sha256": "00"}, "expected SHA-256 00, got "),
    ],
)
def test_cards_of_another_form(run, changes, said):
    rewrite(run, **changes)
    assert said in refused(run)


@pytest.mark.parametrize("text", ["", "hello", "[1]", '"card"', "[" * 100_000, "\x00", "{" + " " * 2_000_000 + "}"])
def test_cards_that_are_none(run, text):
    (run / "weights.json").write_text(text)
    said = refused(run)
    assert "it is no card" in said or "expected a JSON file" in said


def test_no_card_at_all(run):
    (run / "weights.json").unlink()
    assert "expected a JSON file" in refused(run)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"width": None}, "it lacks width;"),
        ({"width": None, "norm": None, "lr": None, "fc_dim": None}, "it lacks width, fc_dim, norm and more;"),
        ({"width": "wide"}, "setting 'width' takes a value like"),
        ({"width": [4]}, "setting 'width' takes a value like"),
        ({"width": 4.5}, "setting 'width' takes a value like"),
        ({"width": True}, "setting 'width' takes a value like"),
        ({"width": {"a": 1}}, "setting 'width' takes a value like"),
        ({"width": -4}, "cannot be -4"),
        ({"norm": 3}, "setting 'norm' takes a value like"),
        ({"norm": "bach"}, "did you mean 'batch'"),
        ({"lr": float("nan")}, "cannot be nan"),
        ({"widht": 4}, "no setting 'widht': did you mean 'width'"),
        ({"fc_dim": 2**50}, "has no configuration of method 'gfc'"),
    ],
)
def test_configurations_that_do_not_fit(run, method, changes, said):
    config = {key: value for key, value in {**method.config, **changes}.items() if value is not None}
    rewrite(run, config=config)
    assert said in refused(run)


def test_weights_of_before_a_setting_was_added_are_read_as_what_was_done_then(run, method):
    old = {key: value for key, value in method.config.items() if key not in method.ADDED}
    assert len(old) < len(method.config)
    rewrite(run, config=old)
    loaded = load_method(run).method
    assert {key: loaded.config[key] for key in method.ADDED} == method.ADDED


def test_what_is_no_weights_file(tmp_path, run):
    for path in (tmp_path / "none", tmp_path, tmp_path / "none.safetensors", run / "weights.json"):
        assert "expected a run folder with weights.safetensors, or a .safetensors file" in refused(path)


def test_misfit_says_the_first_and_how_many_more():
    here = {"a": (1,), "b": (2,)}
    assert misfit(here, here) is None
    assert misfit({"c": (1,)}, here) == "a is missing, and 2 more"
    assert misfit({**here, "y" * 500: ()}, here) == f"{'y' * 80} is not expected"


class Searches(Bicubic):
    """A method without weights whose results depend on settings, and on something that a fingerprint names."""

    name = "searches"
    PRESETS: ClassVar = {"test": {"steps": 3}, "paper": {"steps": 100}, "cpu": {"steps": 50}}
    found = "a"

    def fingerprint(self):
        return {"generator": self.found} if self.found else {}


def test_what_an_untrained_method_is_told_apart_by(monkeypatch):
    monkeypatch.setitem(METHODS._entries, "searches", Searches)
    assert untrained("bicubic").identity == "bicubic"
    made = [untrained("searches"), untrained("searches", "cpu"), untrained("searches", "cpu", {"steps": 9})]
    assert [one.method.config["steps"] for one in made] == [100, 50, 9]
    assert [one.card["preset"] for one in made] == ["paper", "cpu", "cpu"]
    assert not any(one.trained for one in made)
    identities = [one.identity for one in made]
    assert len(set(identities)) == 3
    assert all(identity.startswith("searches-") for identity in identities)
    assert untrained("searches", "cpu", {"steps": 100}).identity == identities[0]
    monkeypatch.setattr(Searches, "found", "b")
    assert untrained("searches").identity != identities[0]
    with pytest.raises(UsageError, match="no preset 'gpu'"):
        untrained("searches", "gpu")
    with pytest.raises(UsageError, match="no setting 'step': did you mean 'steps'"):
        untrained("searches", "cpu", {"step": 1})


def test_trained_weights_with_and_without_something_else_behind_them(run, monkeypatch):
    loaded = load_method(run)
    assert loaded.trained
    assert loaded.identity == loaded.card["sha256"]
    leaning = LoadedMethod("gfc", Searches({"steps": 1}), loaded.card)
    assert leaning.identity.startswith(f"{loaded.card['sha256']}-")
    monkeypatch.setattr(Searches, "found", "")
    assert LoadedMethod("gfc", Searches({"steps": 1}), loaded.card).identity == loaded.card["sha256"]


def test_another_company_than_it_learnt_with_is_refused(run, monkeypatch):
    monkeypatch.setattr(GFC, "fingerprint", lambda self: {"fan": "b" * 64})
    load_method(run)  # its card does not say
    rewrite(run, training={"fingerprint": {"fan": "b" * 64}})
    load_method(run)
    rewrite(run, training={"fingerprint": {"fan": "a" * 64}})
    assert f"learnt with the fan of SHA-256 {'a' * 12}, and where its settings say lies that of {'b' * 12}" in refused(run)
    monkeypatch.setattr(GFC, "fingerprint", lambda self: {})
    load_method(run)  # what is not used once trained is not asked for
