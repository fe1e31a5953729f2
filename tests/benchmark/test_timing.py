import logging
import math

import pytest
import torch
from torch import nn

from occface import files
from occface.benchmark import timing
from occface.benchmark.plan import make_plan
from occface.benchmark.recipe import load_recipe
from occface.benchmark.steps import Place
from occface.methods.base import TrainableMethod
from occface.methods.bicubic import Bicubic
from occface.methods.weights import LoadedMethod
from occface.pipelines import Pipeline

CPU = torch.device("cpu")
FACE = {"lr": torch.zeros(1, 3, 16, 16)}


class Convolves(Bicubic):
    """Bicubic, then a convolution of another network; it takes as much memory as it is told, in so many parts."""

    name = "convolves"
    megabytes, parts = 0, 1

    def load(self, device):
        self.network = nn.Conv2d(3, 5, 3, padding=1, bias=False).to(device)

    def asked(self):
        return {"judge": self.network}

    def hallucinate(self, batch, generator=None):
        held = [torch.ones(self.megabytes * 2**18 // self.parts) for _ in range(self.parts)]
        made = super().hallucinate(batch)
        return made + 0 * self.network(made)[:, :3] + 0 * len(held)


def measured(pipeline, face, runs, warm_up, device, advance=lambda amount: None):
    """Return what is measured of a pipeline alone."""
    rows = []

    def turns():
        rows.extend((yield from timing.measuring(pipeline, face, [True] * runs, warm_up, device, advance)))

    assert sum(1 for _ in turns()) == runs + 1
    return rows


def pipeline_of(method):
    method.load(CPU)
    return Pipeline(method.name, "SR", (LoadedMethod(method.name, method, {}),))


def test_what_is_counted_and_how_much_it_computes():
    advanced = []
    (figures,) = measured(pipeline_of(Convolves({})), FACE, 4, 2, CPU, advanced.append)
    assert figures["counted"] == "own network"
    assert figures["parameters"] == 3 * 5 * 9
    assert figures["size_kb"] == pytest.approx(4 * 135 / 1024, rel=0.5)  # and the header of the file
    assert figures["macs"] == 128 * 128 * 5 * 3 * 9
    assert (figures["runs"], sum(advanced), figures["precision"]) == (4, 6, "float32")
    assert 0 < figures["median_ms"] <= figures["p90_ms"]
    assert figures["device"].startswith("cpu")


class Inpaints(TrainableMethod):
    """A network that paints, under the name of GFC."""

    name, role, needs = "gfc", "inpaint", frozenset({"mask"})

    def __init__(self, config):
        super().__init__(config)
        self.generator = nn.Conv2d(3, 3, 1, bias=False)

    def hallucinate(self, batch, generator=None):
        return batch["image"] + 0 * self.generator(self.generator(batch["image"]))


def test_helpers_are_counted_apart(monkeypatch):
    monkeypatch.setattr(Convolves, "asked", lambda method: {"FAN": method.network, "judge": nn.Linear(2, 1, bias=False)})
    shown, painted = 128 * 128 * 3 * 5 * 9, 2 * 128 * 128 * 3 * 3
    face = FACE | {"mask": torch.zeros(1, 1, 128, 128)}
    convolves, paints = Convolves({}), Inpaints({})
    convolves.load(CPU)
    stages = (LoadedMethod("convolves", convolves, {}), LoadedMethod("gfc:small", paints, {}))
    own, whole = measured(Pipeline("convolves+gfc:small", "SR+PA", stages), face, 2, 1, CPU)
    assert (own["counted"], own["parameters"], own["macs"]) == ("own network", 2, 0)
    assert (whole["counted"], whole["parameters"], whole["macs"]) == ("with FAN and GFC", 2 + 135 + 9, shown + painted)
    assert whole["size_kb"] > own["size_kb"] > 0
    shared = ("pipeline", "order", "median_ms", "p90_ms", "runs", "peak_memory_mb", "device", "precision")
    assert [own[name] for name in shared] == [whole[name] for name in shared]
    alone = measured(pipeline_of(Convolves({})), FACE, 2, 1, CPU)
    assert [(row["counted"], row["macs"]) for row in alone] == [("own network", 0), ("with FAN", shown)]
    monkeypatch.setattr(Convolves, "asked", lambda method: {})
    own, whole = measured(Pipeline("convolves+gfc:small", "SR+PA", stages), face, 2, 1, CPU)
    assert (own["macs"], whole["counted"], whole["macs"]) == (shown, "with GFC", shown + painted)


def test_times_are_those_of_the_runs_and_not_of_warming_up(monkeypatch):
    ticks = iter([0.0, 0.010, 1.0, 1.030, 2.0, 2.020, 3.0, 3.100])
    monkeypatch.setattr(timing.time, "perf_counter", lambda: next(ticks))
    (figures,) = measured(pipeline_of(Bicubic({})), FACE, 4, 3, CPU)
    assert figures["median_ms"] == pytest.approx(25)
    assert figures["p90_ms"] == pytest.approx(30 + 0.7 * 70)  # numpy's linear interpolation between the third and the fourth
    assert figures["counted"] == "own network"
    assert (figures["parameters"], figures["size_kb"], figures["macs"]) == (0, 0, 0)


def test_what_a_method_tells_of_a_face_is_not_said_again_and_again(caplog):
    class Talks(Bicubic):
        def hallucinate(self, batch, generator=None):
            logging.getLogger("occface").info("this face was hard")
            return super().hallucinate(batch)

    with caplog.at_level(logging.INFO, logger="occface"):
        talking = pipeline_of(Talks({}))
        measured(talking, FACE, 2, 1, CPU)
        assert caplog.text == ""
        talking(FACE)
    assert "this face was hard" in caplog.text


@pytest.mark.parametrize("parts", [1, 64, 1024])
def test_peak_memory_is_what_one_run_takes(monkeypatch, parts):
    monkeypatch.setattr(Convolves, "megabytes", 64)
    monkeypatch.setattr(Convolves, "parts", parts)
    (figures,) = measured(pipeline_of(Convolves({})), FACE, 2, 1, CPU)
    if math.isnan(timing._fresh_peak()):
        assert figures["peak_memory_mb"] is None
    else:
        assert figures["peak_memory_mb"] == pytest.approx(64, abs=12)


def test_a_method_without_a_cost_has_none(monkeypatch):
    monkeypatch.setattr(Convolves, "countable", False)
    assert measured(pipeline_of(Convolves({})), FACE, 1, 1, CPU)[0]["macs"] is None


def test_figures_are_made_anew_when_the_pipeline_or_the_runs_change(tmp_path, dataset_path, others):
    def planned(grey=0.0, runs=2):
        recipe = {
            "datasets": {"faces": str(dataset_path)},
            "masks": ["square"],
            "pipelines": ["bicubic+paints"],
            "methods": {"paints": {"set": {"grey": grey}}},
            "timing": {"pipelines": ["bicubic+paints"], "runs": runs, "warm_up": 1},
        }
        return make_plan(load_recipe(recipe), tmp_path).times[0]

    step = planned()
    assert (step.is_done(), step.work) == (False, 3)
    step.run(Place(tmp_path, "cpu"), lambda amount: None)
    assert planned().is_done()
    assert [row["order"] for row in files.read_json(step.path)["rows"]] == ["SR+PA"]
    assert len(others.paints.given) == 5  # one warms up, two are timed, one shows the memory, one is counted
    for other in (planned(grey=1.0), planned(runs=3)):
        assert (other.is_done(), other.is_there()) == (False, True)
    step.forget()
    assert not planned().is_there()


def test_a_pipeline_with_fewer_runs_takes_them_over_all_rounds(monkeypatch):
    ticks = iter(range(100))
    monkeypatch.setattr(timing.time, "perf_counter", lambda: next(ticks))
    ran, rows = [], []

    def turns():
        rows.extend(
            (yield from timing.measuring(pipeline_of(Bicubic({})), FACE, [True, False, False, True], 1, CPU, ran.append))
        )

    assert [sum(ran) for _ in turns()] == [1, 2, 2, 2, 3]  # after warming up, and after each round
    assert rows[0]["runs"] == 2


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"preset": "test"}, "test"),
        ({"preset": "test", "set": {"grey": 0.5}}, "test"),  # what the preset says already
        ({"preset": "test", "set": {"grey": 1.0}}, "test, changed"),
        ({}, "paper"),
    ],
)
def test_the_preset_of_the_networks_is_said(tmp_path, dataset_path, others, monkeypatch, entry, expected):
    monkeypatch.setattr(others.paints, "asked", lambda method: {"judge": nn.Linear(2, 1)})
    recipe = {
        "datasets": {"faces": str(dataset_path)},
        "masks": ["square"],
        "pipelines": ["bicubic+paints"],
        "methods": {"paints": entry},
        "timing": {"pipelines": ["bicubic+paints"], "runs": 1, "warm_up": 1},
    }
    step = make_plan(load_recipe(recipe), tmp_path).times[0]
    step.run(Place(tmp_path, "cpu"), lambda amount: None)
    assert {row["preset"] for row in files.read_json(step.path)["rows"]} == {expected}  # bicubic has no networks
    monkeypatch.setattr(others.paints, "asked", lambda method: {})
    step.run(Place(tmp_path, "cpu"), lambda amount: None)
    assert [row["preset"] for row in files.read_json(step.path)["rows"]] == [""]


def test_weights_of_a_method_that_another_one_names_are_no_departure(whole):
    plan = make_plan(load_recipe(whole.recipe), whole.folder)
    stage = plan.times[1].unit.stages[0]
    assert (stage.name, stage.entry.settings) == ("gfc", {"parser": "@face-parser"})
    loaded = stage.load(CPU)
    assert loaded.method.config["parser"] != ""
    assert timing._preset(stage, loaded) == "test"
    loaded.method.config["width"] = 1
    assert timing._preset(stage, loaded) == "test, changed"
