"""Weights that nobody trained, saved as runs are; and a photograph with two small faces."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from occface.images import read_image
from occface.restoring.restorer import Restorer
from tests.restoring.untrained import save_untrained


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Run folders of pro-uigan and gfc in their smallest presets, by name."""
    return save_untrained(tmp_path_factory.mktemp("runs"), "pro-uigan", "gfc")


@pytest.fixture(scope="session")
def restorer(runs: dict[str, Path]) -> Restorer:
    return Restorer.from_pretrained(runs["pro-uigan"], device="cpu")


@pytest.fixture(scope="session")
def crowd(faces_folder: Path) -> np.ndarray:
    """A photograph, (240, 420, 3), of two people on grey, whose faces are about 40 and 60 px wide."""
    photograph = np.full((240, 420, 3), 90, np.uint8)
    for name, side, left in (("face_0", 100, 30), ("face_1", 140, 220)):
        face = cv2.resize(read_image(faces_folder / f"{name}.jpg"), (side, side), interpolation=cv2.INTER_AREA)
        photograph[60 : 60 + side, left : left + side] = face
    return photograph
