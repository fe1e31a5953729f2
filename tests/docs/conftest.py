"""What pages take for granted: photographs, a data set, trained methods, scores. All small, and nothing of it any good."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from occface.benchmark.engine import run_benchmark
from occface.dataset.reader import DatasetFile
from occface.training.loop import TrainingOptions, train
from tests.restoring.untrained import save_untrained


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory, dataset_path: Path, runs: Path) -> Path:
    """The folder of a benchmark of two pipelines on two faces."""
    recipe = {
        "datasets": {"faces": str(dataset_path)},
        "methods": {"pro-uigan": str(runs / "pro-uigan")},
        "pipelines": ["bicubic", "pro-uigan"],
        "masks": ["square"],
    }
    out = tmp_path_factory.mktemp("benchmark") / "results"
    run_benchmark(recipe, out, device="cpu")
    return out


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory, dataset_path: Path) -> Path:
    """Run folders by method: one trained for three steps, one not at all."""
    folder = tmp_path_factory.mktemp("runs")
    save_untrained(folder, "face-parser")
    three = {"steps_1": 1, "steps_2": 1, "steps_3": 1}
    train("pro-uigan", DatasetFile(dataset_path), folder / "pro-uigan", "test", three, TrainingOptions(device="cpu"))
    return folder


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, faces_folder: Path) -> Path:
    """The folder in which a page is tried, with photographs in it."""
    shutil.copytree(faces_folder, tmp_path / "photos")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("occface.parallel.default_workers", lambda: 1)
    return tmp_path
