import copy
import re

import pandas as pd
import pytest
import torch

from occface.benchmark import adapting
from occface.benchmark.engine import Benchmark
from occface.benchmark.recipe import load_recipe
from occface.errors import UsageError
from occface.methods import METHODS
from occface.methods.base import resolve
from occface.methods.weights import load_method
from occface.occlusion.masks import check_kind
from occface.parallel import default_workers

NAMES = ("cpu", "demo", "gpu", "paper", "test")


def small(**more):
    return load_recipe(
        {
            "datasets": {"a": "a.h5", "b": {"source": "synthetic", "count": 50, "test": 10, "truncation": 0.9, "seed": 3}},
            "methods": {"gfc": {"preset": "test"}},
            "comparisons": [
                {"datasets": ["a", "b"], "pipelines": ["bicubic", "gfc+bicubic"], "trained_on": ["own"]},
                {"datasets": ["b"], "pipelines": ["bicubic+gfc"], "trained_on": ["a"]},
            ],
            "timing": {"pipelines": ["bicubic+gfc", "gfc+bicubic"]},
            "limits": {"bicubic+gfc": 3},
        }
        | more
    ).as_dict()


@pytest.mark.parametrize("name", NAMES)
def test_every_packaged_recipe_is_whole(name):
    recipe = load_recipe(name)
    for entry in recipe.methods.values():
        kind = METHODS.get(entry.method)
        if entry.weights:
            assert isinstance(load_method(entry.weights).method, kind)
            continue
        settings = {key: value for key, value in entry.settings.items() if "@" not in str(value)}
        assert resolve(kind.PRESETS, entry.preset, settings, entry.method, kind.VARIANTS)
    for part in recipe.comparisons:
        for mask in part.masks:
            check_kind(mask)
            for dataset in part.datasets:  # what is generated has all masks that are asked of it
                masks = recipe.datasets[dataset].options.get("masks")
                assert masks is None or mask in masks


@pytest.mark.parametrize("name", ["cpu", "demo", "gpu", "paper"])
def test_recipes_have_what_every_table_needs(name):
    recipe = load_recipe(name)
    run = set(recipe.pipelines)
    resolvers = ("fhc", "pulse", "re-cpgan", "fsrnet", "bicubic")
    assert {f"{sr}+gfc" for sr in resolvers} | {f"gfc+{sr}" for sr in resolvers} | {"fcsr-gan", "pro-uigan", "hr"} <= run
    variants = {f"pro-uigan:{name}" for name in ("p-fp", "p-gt", "l-minus", "l-dagger", "l-ddagger", "l-star")}
    assert variants <= run
    assert recipe.timing.runs >= 50
    assert set(recipe.timing.pipelines) >= {"fcsr-gan", "pro-uigan", "fhc+gfc", "pulse+gfc", "re-cpgan+gfc", "fsrnet+gfc"}
    assert any(len(part.trained_on) > 1 for part in recipe.comparisons)
    measured = {metric for part in recipe.comparisons for metric in part.metrics}
    assert {"image", "landmarks", "parsing", "expression", "identity", "stages", "perceptual", "frechet"} <= measured


def test_what_tables_of_packaged_recipes_lack_is_said_in_them():
    demo = load_recipe("demo")
    assert demo.metrics["parsing"] == {"parser": "shipped:face-parser", "reference": "seen"}
    assert "no parsing maps: IoU is with what the parser sees in the true face" in demo.notes["table_6"]
    for name in ("demo", "cpu"):
        recipe = load_recipe(name)
        across = next(part for part in recipe.comparisons if len(part.trained_on) > 1)
        for dataset in set(across.datasets) - set(across.trained_on):
            assert dataset in recipe.notes["table_5"]


def test_each_recipe_is_listed_with_a_line():
    listed = adapting.list_recipes()
    assert tuple(listed) == NAMES
    assert all(len(line) > 20 and not line.startswith("#") for line in listed.values())
    assert "for tests" in listed["test"]


def test_a_file_takes_the_place_of_any_data_set(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    values = small()
    kept = copy.deepcopy(values)
    changed = adapting.replace_data(values, {"b": "mine.h5"})
    assert changed["datasets"]["b"] == str(tmp_path / "mine.h5")
    assert values == kept
    assert {**changed, "datasets": None} == {**values, "datasets": None}


def test_a_folder_is_taken_as_large_and_split_as_what_would_have_been_generated(tmp_path):
    changed = adapting.replace_data(small(), {"b": str(tmp_path), "a": str(tmp_path)})
    assert changed["datasets"]["b"] == {"source": str(tmp_path), "limit": 50, "test": 0.2, "seed": 3}
    assert changed["datasets"]["a"] == {"source": str(tmp_path)}
    load_recipe(changed)


def test_a_grid_s_masks_are_kept_for_photographs_of_people(tmp_path):
    grid = {"source": "synthetic", "identities": 3, "poses": [0], "expressions": ["neutral"], "masks": ["eyes"], "test": 3}
    values = small()
    values["datasets"]["b"] = grid
    changed = adapting.replace_data(values, {"b": str(tmp_path)})
    assert changed["datasets"]["b"] == {"source": str(tmp_path), "masks": ["eyes"], "test": 3}


def test_what_is_left_out_is_left_out_everywhere():
    changed = adapting.replace_data(small(), {"a": ""})
    assert list(changed["datasets"]) == ["b"]
    assert [(part["datasets"], part["pipelines"]) for part in changed["comparisons"]] == [(["b"], ["bicubic", "gfc+bicubic"])]
    assert changed["timing"]["pipelines"] == ["gfc+bicubic"]  # the other one was trained on what is gone
    assert changed["limits"] == {}
    load_recipe(changed)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"c": "x.h5"}, "the recipe has no data set 'c'"),
        ({"a": "", "b": ""}, "all data sets of the recipe are left out (a, b)"),
    ],
)
def test_places_for_nothing_are_refused(data, message):
    with pytest.raises(UsageError, match=re.escape(message)):
        adapting.replace_data(small(), data)


def test_a_recipe_of_which_nothing_is_left_is_refused():
    values = small(comparisons=[{"datasets": ["a"], "pipelines": ["bicubic"]}], timing={}, limits={})
    with pytest.raises(UsageError, match="without a nothing of the recipe is left"):
        adapting.replace_data(values, {"a": ""})


def test_data_must_be_there_unless_tables_alone_are_built(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=r"'CelebA-HQ' from .*celeba-hq\.h5.*--data CelebA-HQ=PATH.*--data CelebA-HQ="):
        adapting.adapted_recipe("cpu")
    assert adapting.adapted_recipe("cpu", data_needed=False) == load_recipe("cpu").as_dict()
    (tmp_path / "mine.h5").touch()
    chosen = adapting.adapted_recipe("cpu", {"CelebA-HQ": "mine.h5", "London": "", "YTF": ""})
    assert set(chosen["datasets"]) == {"CelebA-HQ", "studio"}


@pytest.mark.parametrize("name", ["cpu", "gpu", "paper"])
def test_any_one_data_set_may_be_left_out(name, monkeypatch):
    monkeypatch.setattr(adapting, "require_data", lambda values: None)
    for dataset in load_recipe(name).datasets:
        left = adapting.adapted_recipe(name, {dataset: ""})
        assert dataset not in str([part["datasets"] + part["trained_on"] for part in left["comparisons"]]).split("'")


def test_what_asks_for_a_training_on_a_data_set_left_out_is_left_out_and_said(monkeypatch, caplog):
    monkeypatch.setattr(adapting, "require_data", lambda values: None)
    assert load_recipe("gpu").methods["gfc"].settings == {"parser": "@face-parser/CelebA-HQ"}
    assert adapting.adapted_recipe("gpu", {"Helen": ""})["methods"]["gfc"]["set"] == {"parser": "@face-parser/CelebA-HQ"}
    assert caplog.messages == []
    assert adapting.adapted_recipe("gpu", {"CelebA-HQ": ""})["methods"]["gfc"]["set"] == {}
    assert caplog.messages == [
        "the metric 'parsing' is left out, with the data set that its judge was to learn from",
        "gfc: 'parser' (@face-parser/CelebA-HQ) is left out, with its data set",
    ]


def test_a_comparison_of_nothing_but_a_metric_left_out_is_left_out_and_not_given_all_others():
    metrics = {"image": {}, "parsing": {"parser": "@face-parser/a"}}
    parts = [{"datasets": ["b"], "trained_on": ["own"], "metrics": names} for names in (["parsing"], ["parsing", "image"], [])]
    values = {"datasets": {"a": "/a.h5", "b": "/b.h5"}, "metrics": metrics, "comparisons": parts}
    changed = adapting.replace_data(values, {"a": ""})
    assert changed["metrics"] == {"image": {}}
    assert [part["metrics"] for part in changed["comparisons"]] == [["image"], []]


def test_data_sets_are_made_by_all_processors_beside_accelerators_too(monkeypatch):
    assert adapting.workers_for("cpu") == default_workers()
    with pytest.raises(UsageError, match="unknown device 'gpu'"):
        adapting.workers_for("gpu")
    monkeypatch.setattr(adapting, "resolve", lambda name: torch.device("cuda"))
    assert adapting.workers_for("auto") == default_workers()


def test_some_tables_alone(tmp_path):
    table = pd.DataFrame({"PSNR": [1.5]}, index=pd.Index(["Bicubic"], name="method"))
    table.attrs["caption"] = "How it was measured."
    claims = pd.DataFrame({"claim": ["a", "b"]})
    done = Benchmark(tmp_path, {"1": table, "4": table}, claims, "all that there is", 0, {})
    shown = adapting.only_tables(done, ["4", "7"])
    assert list(shown.tables) == ["4"]
    assert shown.as_dict()["claims"] == []
    assert "all that there is" not in shown.printed
    assert "Table IV: efficiency" in shown.printed
    assert "How it was measured." in shown.printed
    assert "No Table VII: facial expressions: no expressions were scored" in shown.printed
    assert len(done.tables) == 2


def test_tables_are_known_by_their_keys():
    assert adapting.check_tables(["1", "by-pose", "1"]) == ("1", "by-pose")
    with pytest.raises(UsageError, match="there is no table 'by-poses': did you mean 'by-pose'"):
        adapting.check_tables(["by-poses"])
