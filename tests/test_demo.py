"""The demo, by the recipe `test`: every kind of step once, on six photographs and four generated faces."""

from __future__ import annotations

import json
import shutil

import h5py
import pandas as pd
import pytest
from click.testing import CliRunner

import occface
from occface.benchmark.recipe import load_recipe
from occface.cli import main
from occface.demo import run_demo
from occface.errors import UsageError
from occface.methods import METHODS
from occface.methods.base import resolve

PIPELINES = {("SR", "Bicubic"), ("SR+PA", "Bicubic + GFC"), ("PA+SR", "GFC + Bicubic"), ("joint", "Pro-UIGAN")}


def demo(*arguments):
    asked = ["demo", "--preset", "test", "--device", "cpu", "--workers", "1", *map(str, arguments)]
    return CliRunner().invoke(main, asked)


@pytest.fixture(scope="module")
def photographs(tmp_path_factory, faces_folder):
    folder = tmp_path_factory.mktemp("mine") / "holiday"
    shutil.copytree(faces_folder, folder)
    return folder


@pytest.fixture(scope="module")
def done(tmp_path_factory, photographs):
    """A demo on photographs: its folder, and what it printed."""
    folder = tmp_path_factory.mktemp("demo") / "out"
    result = demo("--out", folder, "--source", photographs, "--json")
    assert result.exit_code == 0, result.stderr
    return folder, json.loads(result.stdout)


def test_all_seven_tables_and_more(done):
    _, said = done
    assert said["broken"] == {}
    assert said["failed"] == 0
    assert {*"1234567", "recognition", "by-mask-size", "stages"} <= set(said["tables"])
    rows = {(row["mask type"], row["order"], row["method"]) for row in said["tables"]["1"]}
    assert {("irregular", *row) for row in PIPELINES} <= rows
    assert {("square", *row) for row in PIPELINES} <= rows
    assert said["claims"]


def test_photographs_give_their_name_and_the_grid_stays_generated(done):
    folder, _ = done
    scores = occface.load_scores(folder)
    assert set(scores["dataset"]) == {"holiday", "studio"}
    trained = scores[(scores["dataset"] == "studio") & scores["trained_on"].ne("")]
    assert set(trained["trained_on"]) == {"holiday"}
    assert set(scores.loc[scores["dataset"] == "studio", "expression"]) == {"neutral", "smile"}
    with h5py.File(next((folder / "datasets").glob("holiday-*.h5"))) as file:
        assert {name: len(file[name]["hr"]) for name in file} == {"train": 5, "test": 1}  # a fifth, as of the generated faces


def test_scores_are_numbers_of_the_faces_that_were_restored(done):
    folder, _ = done
    scores = occface.load_scores(folder)
    by_hand = pd.concat([pd.read_csv(path) for path in (folder / "scores").glob("*.csv")])
    assert len(scores) == len(by_hand)
    assert scores["psnr"].sum() == pytest.approx(by_hand["psnr"].sum(), rel=1e-12)
    assert (scores["error"] == "").all()
    report = (folder / "report.html").read_text(encoding="utf-8")
    assert "on holiday and generated faces" in report


def test_a_second_run_makes_nothing_anew_and_says_the_same(done, photographs):
    folder, said = done
    kinds = ("datasets/*.h5", "runs/*/weights.safetensors", "scores/*.csv", "efficiency/*.json")
    written = {path: path.stat().st_mtime_ns for kind in kinds for path in folder.glob(kind)}
    assert len(written) > 20
    again = demo("--out", folder, "--source", photographs, "--json")
    assert again.exit_code == 0, again.stderr
    assert {path: path.stat().st_mtime_ns for path in written} == written
    assert json.loads(again.stdout) == said


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"preset": "paper"}, "the demo runs in the presets demo and test, got 'paper'"),
        ({"source": "none"}, "expected a folder of photographs at none"),
        ({"source": ".", "count": 20}, "--count is for generated faces"),
        ({"limit": 20}, "--limit is for the photographs of --source"),
    ],
)
def test_what_it_cannot_be_asked(asked, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=message):
        run_demo(out=tmp_path / "out", **asked)
    assert not (tmp_path / "out").exists()


def asked_for(monkeypatch, **options):
    """Return the recipe that a demo would run, and how."""
    asked = []
    monkeypatch.setattr("occface.demo.run_benchmark", lambda *recipe, **how: asked.append((recipe[0], how)))
    run_demo(device="cpu", **options)
    return asked[0]


def test_count_and_seed_and_overwrite_are_passed_on(monkeypatch):
    plain, how = asked_for(monkeypatch)
    assert (how["strategy"], plain) == ("only-missing", load_recipe("demo").as_dict())
    other, how = asked_for(monkeypatch, count=33, seed=5, overwrite=True, workers=3)
    assert (how["strategy"], how["workers"]) == ("always", 3)
    assert {key: other["datasets"]["generated"][key] for key in ("count", "test", "seed")} == {
        "count": 33,
        "test": 7,
        "seed": 5,
    }
    seeds = {name: entry["seed"] for name, entry in other["datasets"].items()}
    assert seeds == {"generated": 5, "varied": 6, "studio": 7}
    trained = {entry["seed"] for entry in other["methods"].values() if "weights" not in entry}
    assert trained == {5}
    ready = {name: entry for name, entry in other["methods"].items() if "weights" in entry}  # these have no seed to change
    assert ready == {
        "pro-uigan:pretrained": {"weights": "shipped:pro-uigan"},
        "pro-uigan:pretrained-pixels": {"weights": "shipped:pro-uigan-pixels"},
    }


def test_photographs_take_the_place_of_the_wild_faces_alone(monkeypatch, photographs):
    recipe, _ = asked_for(monkeypatch, source=photographs, limit=500)
    load_recipe(recipe)  # whole: every name in it stands for something
    plain = load_recipe("demo").as_dict()
    wild = recipe["datasets"].pop("holiday")
    plain["datasets"].pop("generated")
    assert recipe["datasets"] == plain["datasets"]
    assert (wild["source"], wild["limit"], wild["test"]) == (str(photographs), 500, 0.2)
    assert not {"count", "truncation"} & set(wild)


def test_a_folder_named_as_another_data_set_is_told_apart(monkeypatch, tmp_path, photographs):
    shutil.copytree(photographs, tmp_path / "studio")
    recipe, _ = asked_for(monkeypatch, source=tmp_path / "studio")
    assert set(recipe["datasets"]) == {"studio (photographs)", "varied", "studio"}
    load_recipe(recipe)


def test_the_variants_of_the_demo_differ_from_the_whole_in_what_they_are_about():
    entries = load_recipe("demo").methods
    kind = METHODS.get("pro-uigan")
    configs = {
        name: resolve(kind.PRESETS, entry.preset, entry.settings, entry.method, kind.VARIANTS)
        for name, entry in entries.items()
        if entry.method == "pro-uigan" and not entry.weights
    }
    whole = configs.pop("pro-uigan")
    differs = {
        name.partition(":")[2]: {key for key, value in config.items() if value != whole[key]}
        for name, config in configs.items()
    }
    features = {"feature_network", "feature_every", "feature_weights", "style_weights"}
    adversaries = {"local_weight", "global_weight"}
    assert differs == {
        "p-fp": {"priors", "geometry_weight"},
        "p-gt": {"priors", "landmark_sources"},
        "l-minus": features | adversaries,
        "l-dagger": {"feature_weights", "style_weights"} | adversaries,
        "l-ddagger": {"style_weights"} | adversaries,
        "l-star": {"global_weight"},
    }
    weights = {name: (config["feature_weights"], config["style_weights"]) for name, config in configs.items()}
    assert weights["pro-uigan:l-dagger"] == ([0.0, 0.01, 0.01], [0.0, 0.0, 0.0])
    assert weights["pro-uigan:l-ddagger"] == ([0.01, 0.01, 0.01], [0.0, 0.0, 0.0])
    assert weights["pro-uigan:l-star"] == (whole["feature_weights"], whole["style_weights"])
