"""Nothing imports upwards in the house, and nothing in a circle; imports inside functions and for types count like others."""

from __future__ import annotations

import re

import grimp
import pytest

from tests.docs.blocks import ROOT

#: From the roof to the ground: what stands in a line imports from lines below it, and nothing in its own line. Modules and
#: packages right below `occface`; a new one must be given its place.
HOUSE = (
    "__main__",
    "cli",
    "webapp demo doctor info exporting",
    "editing",
    "benchmark restoring",
    "training pipelines presets",
    "methods metrics",
    "dataset",
    "sources losses",
    "faces",
    "networks",
    "assets occlusion",
    "images lettering locking parallel pickles progress seeding versions",
    "determinism files registry",
    "errors",
)


@pytest.fixture
def graph():
    """Every import within the package; of the package's own front, which hands out two names lazily, none."""
    found = grimp.build_graph("occface", cache_dir=None)
    for imported in found.find_modules_directly_imported_by("occface"):
        found.remove_import(importer="occface", imported=imported)
    return found


def upwards(graph):
    """Return imports that lead upwards or aside, as pairs of names below the package."""
    layers = [grimp.Layer(*line.split()) for line in HOUSE]
    wrong = graph.find_illegal_dependencies_for_layers(layers=layers, containers={"occface"})
    return {(each.importer.removeprefix("occface."), each.imported.removeprefix("occface.")) for each in wrong}


def circles(graph):
    """Return imports without which there would be no circles, package by package."""
    packages = [module for module in graph.modules if graph.find_children(module)]
    return {pair for package in packages for pair in graph.nominate_cycle_breakers(package)}


def test_every_module_has_its_place(graph):
    placed = [name for line in HOUSE for name in line.split()]
    assert sorted(placed) == sorted(name.removeprefix("occface.") for name in graph.find_children("occface"))


def test_nothing_imports_upwards(graph):
    assert upwards(graph) == set()


def test_nothing_imports_in_a_circle(graph):
    assert circles(graph) == set()


@pytest.mark.parametrize(
    ("importer", "imported", "found"),
    [
        ("networks.layers", "training.loop", ("networks", "training")),
        ("benchmark.recipe", "restoring.masks", ("benchmark", "restoring")),
    ],
)
def test_an_import_upwards_or_aside_would_be_found(graph, importer, imported, found):
    graph.add_import(importer=f"occface.{importer}", imported=f"occface.{imported}")
    assert upwards(graph) == {found}


def test_a_circle_would_be_found(graph):
    graph.add_import(importer="occface.networks.layers", imported="occface.networks.uinet")
    assert circles(graph) == {("occface.networks.layers", "occface.networks.uinet")}


def test_the_page_for_developers_shows_this_house():
    page = (ROOT / "docs" / "development.md").read_text(encoding="utf-8")
    shown = re.search(r"```text\n(.*?)```", page, re.S)
    assert shown is not None
    assert tuple(shown[1].splitlines()) == HOUSE
