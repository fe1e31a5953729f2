"""What several rooms' tests need: six generated faces, a small data set made from them, small pictures on disk."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

# Tests run side by side on few cores; set before anything that starts threads is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
from PIL import Image

from occface.dataset.config import DatasetConfig
from occface.dataset.make import make_dataset
from occface.dataset.reader import DatasetFile
from occface.sources.celeba_hq import CelebAHQSource
from occface.sources.folder import FolderSource

FACES = Path(__file__).parent / "data" / "faces"


@pytest.fixture(autouse=True)
def as_talkative_as_before() -> Iterator[None]:
    """Undo what commands run with ``-q`` or ``-v`` leave to the tests after them in this process."""
    logger = logging.getLogger("occface")
    before = logger.level
    yield
    logger.setLevel(before)


@pytest.fixture(scope="session")
def faces_folder() -> Path:
    """A folder of six photographs, each of one generated face."""
    return FACES


@pytest.fixture(scope="session")
def dataset_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of four training and two test faces, with both mask types."""
    path = tmp_path_factory.mktemp("data") / "faces.h5"
    make_dataset(FolderSource(str(FACES)), path, DatasetConfig(test=2, seed=7))
    return path


@pytest.fixture
def dataset(dataset_path: Path) -> DatasetFile:
    return DatasetFile(dataset_path)


@pytest.fixture(scope="session")
def parsed_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same faces with invented parsing maps: bright pixels are an ear, by the side; others background or nose."""
    folder = tmp_path_factory.mktemp("parsed")
    for name in ("images", "masks"):
        (folder / name).mkdir()
    for photo in sorted(FACES.glob("*.jpg")):
        (folder / "images" / photo.name).write_bytes(photo.read_bytes())
        bright = np.asarray(Image.open(photo).convert("L")) > 110
        columns = np.arange(bright.shape[1])
        sides = np.where(columns < bright.shape[1] // 2, 9, 8)  # the subject's right ear lies left in the picture
        dark = np.where(columns % 40 < 20, 0, 2)
        Image.fromarray(np.where(bright, sides, dark).astype(np.uint8)).save(folder / "masks" / f"{photo.stem}.png")
    path = folder / "parsed.h5"
    make_dataset(CelebAHQSource(str(folder)), path, DatasetConfig(test=2, seed=7))
    return path


@pytest.fixture
def parsed(parsed_path: Path) -> DatasetFile:
    return DatasetFile(parsed_path)
