"""What several rooms' tests need: six generated faces, a small data set made from them, small pictures on disk."""

from __future__ import annotations

import os
from pathlib import Path

# Tests run side by side on few cores; set before anything that starts threads is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest

from occface.dataset.config import DatasetConfig
from occface.dataset.make import make_dataset
from occface.dataset.reader import DatasetFile
from occface.sources.folder import FolderSource

FACES = Path(__file__).parent / "data" / "faces"


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
