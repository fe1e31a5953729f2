"""Faces to measure, and a data set that lies in memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from occface.metrics import RestoredFaces

SIZE = 128


class KnownFaces:
    """What metrics ask of a `DatasetFile`, out of arrays."""

    def __init__(self, hr: np.ndarray, landmarks: np.ndarray, columns: pd.DataFrame, classes: tuple[str, ...] = ()) -> None:
        self.fields = {"hr": hr, "landmarks": landmarks}
        self.labels = columns
        self.classes = classes
        self.splits = ("test",)
        self.path = Path("known.h5")

    def columns(self, split: str) -> pd.DataFrame:
        assert split == "test"
        return self.labels

    def count(self, split: str) -> int:
        return len(self.labels)

    def field(self, split: str, name: str) -> np.ndarray:
        return self.fields[name]

    def stack(self, split: str, name: str, start: int = 0, stop: int | None = None) -> np.ndarray:
        return self.fields[name][start:stop]


def labels(count: int, **columns: list[str]) -> pd.DataFrame:
    """Return the texts of so many faces; what is not given is empty, and ids are numbers."""
    names = {"id": [f"face {number}" for number in range(count)], **columns}
    return pd.DataFrame({name: names.get(name, [""] * count) for name in ("id", "identity", "expression", "pose")})


def faces_of(truth: np.ndarray, result: np.ndarray, **others: object) -> RestoredFaces:
    """Return restored faces of which nothing else is known than what is given."""
    count, height, width = truth.shape[:3]
    known = {
        "mask": np.zeros((count, height, width), np.uint8),
        "landmarks": np.zeros((count, 68, 2), np.float32),
        "columns": labels(count),
        **others,
    }
    return RestoredFaces(result=result, truth=truth, **known)  # type: ignore[arg-type]


def pictures(count: int, seed: int = 0, size: int = SIZE) -> np.ndarray:
    """Return noise of several roughnesses, (count, size, size, 3) uint8."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (count, size // 8, size // 8, 3)).repeat(8, 1).repeat(8, 2)
    return np.clip(coarse + rng.normal(0, 25, coarse.shape), 0, 255).astype(np.uint8)


@pytest.fixture
def make_faces() -> Callable[..., RestoredFaces]:
    return faces_of


@pytest.fixture
def make_pictures() -> Callable[..., np.ndarray]:
    return pictures


@pytest.fixture
def make_labels() -> Callable[..., pd.DataFrame]:
    return labels


@pytest.fixture
def known_faces() -> type[KnownFaces]:
    return KnownFaces
