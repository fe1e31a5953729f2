"""A small benchmark that was carried out as a whole, and methods and a metric of others."""

from __future__ import annotations

import copy
import sys
from importlib import util
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar, NamedTuple

import pandas as pd
import pytest
import torch

from occface.benchmark import show
from occface.benchmark.engine import Benchmark, run_benchmark
from occface.benchmark.record import Record
from occface.methods import METHODS
from occface.methods.base import Batch, Method
from occface.methods.bicubic import Bicubic
from occface.metrics import METRICS
from occface.metrics.base import Column, RestoredFaces, SetMetric


class Whole(NamedTuple):
    """A recipe, and what it left."""

    recipe: dict[str, Any]
    folder: Path
    done: Benchmark


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory, dataset_path: Path, parsed_path: Path) -> Whole:
    """Two data sets, five trainings of which one needs another one, two comparisons that overlap, a judge that is trained here.

    Whoever writes into the folder must copy it first.
    """
    folder = tmp_path_factory.mktemp("whole")
    short = {"steps_1": 1, "steps_2": 1, "steps_3": 1}
    recipe = {
        "datasets": {"parsed": str(parsed_path), "faces": str(dataset_path)},
        "methods": {
            "face-parser": {"preset": "test"},
            "gfc": {"preset": "test", "set": {"parser": "@face-parser"}},
            "pro-uigan": {"preset": "test", "set": short},
            "pro-uigan:p-fp": {"preset": "test+p-fp", "set": short},
        },
        "comparisons": [
            {
                "datasets": ["parsed"],
                "masks": ["square"],
                "pipelines": ["hr", "bicubic", "gfc+bicubic", "pro-uigan", "pro-uigan:p-fp"],
                "mask_given": ["true", "estimated"],
            },
            {
                "masks": ["square"],
                "pipelines": ["bicubic", "pro-uigan"],
                "trained_on": ["own", "parsed"],
                "metrics": ["image"],
                "limit": 1,
            },
        ],
        "metrics": {"image": {}, "stages": {}, "parsing": {"parser": "@face-parser", "each": ["nose"]}},
        "timing": {"pipelines": ["bicubic", "gfc+bicubic"], "runs": 3, "warm_up": 1},
    }
    return Whole(recipe, folder, run_benchmark(copy.deepcopy(recipe), folder, device="cpu"))


@pytest.fixture
def unshown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave tables, figures and report out, which take most of the time of small benchmarks."""

    def counted(folder: Path, recipe: object) -> Benchmark:
        record = Record(folder)
        return Benchmark(folder, {}, pd.DataFrame(), "", record.failed, record.broken)

    monkeypatch.setattr(show, "show_benchmark", counted)


class Paints(Method):
    """An inpainter with nothing to learn: it paints the hole in one grey, and remembers the masks that it was given."""

    name = "paints"
    role = "inpaint"
    needs = frozenset({"mask"})
    PRESETS: ClassVar = {"paper": {"grey": 0.0}, "test": {"grey": 0.5}}
    stamp: ClassVar[str] = "first"
    given: ClassVar[list[torch.Tensor]] = []

    def fingerprint(self) -> dict[str, Any]:
        return {"stamp": type(self).stamp}

    def hallucinate(self, batch: Batch, generator: object = None) -> torch.Tensor:
        self.given.append(batch["mask"])
        return torch.where(batch["mask"] == 1, torch.tensor(self.config["grey"]), batch["image"])


class Fails(Bicubic):
    """Bicubic that cannot do two faces at once, and none at all, or none but its first, while `how` says why."""

    name = "fails"
    how: ClassVar[str] = ""
    tried = False

    def hallucinate(self, batch: Batch, generator: object = None) -> torch.Tensor:
        if len(batch["lr"]) > 1 or self.how == "raise" or (self.how == "second" and self.tried):
            raise RuntimeError("out of memory\nmore lines")
        self.tried = True
        result = super().hallucinate(batch, None)
        return result / 0 * 0 if self.how == "value" else result


class Searches(Bicubic):
    """Bicubic that says that it misses the first face of each call; what it must load first, it counts."""

    name = "searches"
    loaded: ClassVar[list[str]] = []

    def load(self, device: torch.device) -> None:
        self.loaded.append(device.type)

    def hallucinate(self, batch: Batch, generator: object = None) -> torch.Tensor:
        self.last_missed = torch.arange(len(batch["lr"])) == 0
        return super().hallucinate(batch, None)


class Brightness(SetMetric):
    """The mean of all restored pixels."""

    name = "brightness"
    columns = (Column("brightness", None, "mean of all pixels"),)

    def measure(self, faces: RestoredFaces) -> float:
        return float(faces.result.mean())


@pytest.fixture
def others(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Register methods and a metric of others, as if new: paints, fails, searches, toy (which learns); brightness."""
    spec = util.spec_from_file_location("toy", Path(__file__).parents[1] / "training" / "toy.py")
    assert spec is not None
    assert spec.loader is not None
    module = util.module_from_spec(spec)
    sys.modules["toy"] = module
    spec.loader.exec_module(module)
    for kind in (Paints, Fails, Searches, module.Toy):
        monkeypatch.setitem(METHODS._entries, kind.name, kind)
    monkeypatch.setitem(METRICS._entries, "brightness", Brightness)
    monkeypatch.setattr(Paints, "given", [])
    monkeypatch.setattr(Searches, "loaded", [])
    return SimpleNamespace(paints=Paints, fails=Fails, searches=Searches, toy=module.Toy)


@pytest.fixture
def recipe(dataset_path, others):
    """A recipe of two pipelines on one data set."""
    return {"datasets": {"faces": str(dataset_path)}, "masks": ["square"], "pipelines": ["bicubic", "bicubic+paints"]}
