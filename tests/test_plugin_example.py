"""The package under docs/plugin-example, installed as pip would, adds its method to the tables."""

from __future__ import annotations

import importlib
import shutil
import tomllib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio

from occface import load_scores
from occface.benchmark.engine import run_benchmark
from occface.errors import UsageError
from occface.methods import METHODS

EXAMPLE = Path(__file__).parents[1] / "docs" / "plugin-example"


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A folder on the path with what pip would put there: the modules, and the metadata that name its entry points."""
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text(encoding="utf-8"))
    about, site = project["project"], tmp_path / "site"
    record = site / f"{about['name'].replace('-', '_')}-{about['version']}.dist-info"
    record.mkdir(parents=True)
    (record / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {about['name']}\nVersion: {about['version']}\n")
    groups = about["entry-points"].items()
    (record / "entry_points.txt").write_text(
        "\n".join(line for group, points in groups for line in (f"[{group}]", *(f"{k} = {v}" for k, v in points.items())))
        + "\n"
    )
    for module in project["tool"]["setuptools"]["py-modules"]:
        shutil.copy(EXAMPLE / f"{module}.py", site)
    monkeypatch.syspath_prepend(site)
    importlib.invalidate_caches()
    # The registry of this process has looked for entry points already; it forgets, and afterwards is as it was.
    monkeypatch.setattr(METHODS, "_entries", {name: value for name, value in METHODS._entries.items() if name != "lanczos"})
    monkeypatch.setattr(METHODS, "_discovered", False)


@pytest.mark.usefixtures("installed")
def test_it_stands_in_the_table(tmp_path, dataset_path, dataset):
    recipe = {
        "datasets": {"faces": str(dataset_path)},
        "masks": ["square"],
        "pipelines": ["bicubic", "lanczos"],
        "methods": {"lanczos": {"preset": "cpu", "set": {"filter": "hamming"}}},
    }
    done = run_benchmark(recipe, tmp_path / "out", device="cpu")
    face = dataset.record("test", 0, ["hr", "occluded/square/lr"])
    made = Image.fromarray(face["occluded/square/lr"]).resize((128, 128), Image.Resampling.HAMMING)
    scores = load_scores(tmp_path / "out").query("pipeline == 'lanczos' and index == 0")
    assert scores["psnr"].item() == pytest.approx(peak_signal_noise_ratio(face["hr"], np.asarray(made)), abs=1e-6)
    assert done.tables["1"].loc[("square", "SR", "lanczos"), ("faces", "n")] == 2
    assert "| square | SR | lanczos |" in done.printed
    assert "filter hamming" in done.report.read_text(encoding="utf-8")


@pytest.mark.usefixtures("installed")
def test_it_is_known_by_name():
    assert "lanczos" in METHODS
    assert METHODS.get("lanczos").build("cpu").config == {"filter": "lanczos"}


def test_without_it_the_name_is_unknown(monkeypatch):
    monkeypatch.delitem(METHODS._entries, "lanczos", raising=False)
    with pytest.raises(UsageError, match="unknown method 'lanczos'"):
        METHODS.get("lanczos")


def test_it_is_a_page_of_code():
    lines = (EXAMPLE / "occface_lanczos.py").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 32
