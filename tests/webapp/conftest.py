"""A studio with weights that nobody trained."""

from __future__ import annotations

from pathlib import Path

import pytest

from occface.restoring.photograph import Finder
from occface.webapp.studio import Limits, Studio
from tests.restoring.untrained import save_untrained


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Run folders of pro-uigan and gfc in their smallest presets, by name."""
    made = save_untrained(tmp_path_factory.mktemp("runs"), "pro-uigan", "gfc")
    return {name: str(folder) for name, folder in made.items()}


@pytest.fixture(scope="session")
def studio(runs: dict[str, str]) -> Studio:
    return Studio.load(runs, device="cpu", finder=Finder(("dlib",)), limits=Limits(2, 1_000_000))


@pytest.fixture(scope="session")
def face(faces_folder: Path) -> bytes:
    return (faces_folder / "face_0.jpg").read_bytes()
