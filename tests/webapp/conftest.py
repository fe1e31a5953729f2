"""A studio with weights that nobody trained."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from occface.methods.gfc import GFC
from occface.methods.prouigan import ProUIGAN
from occface.methods.weights import save_weights
from occface.restoring.photograph import Finder
from occface.webapp.studio import Limits, Studio


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Run folders of pro-uigan and gfc in their smallest presets, by name."""
    folder = tmp_path_factory.mktemp("runs")
    torch.manual_seed(0)
    for kind in (ProUIGAN, GFC):
        method = kind.build("test")
        said = {"method": kind.name, "preset": "test", "config": method.config}
        save_weights(folder / kind.name, method.generator, said)
    return {kind.name: str(folder / kind.name) for kind in (ProUIGAN, GFC)}


@pytest.fixture(scope="session")
def studio(runs: dict[str, str]) -> Studio:
    return Studio.load(runs, device="cpu", finder=Finder(("dlib",)), limits=Limits(2, 1_000_000))


@pytest.fixture(scope="session")
def face(faces_folder: Path) -> bytes:
    return (faces_folder / "face_0.jpg").read_bytes()
