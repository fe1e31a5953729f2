"""Telling people apart: 128 numbers for a face, near each other where two faces are one person's (dlib's ResNet)."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from occface import assets

__all__ = ["ASSET", "THRESHOLD", "distances", "embed"]

ASSET = "dlib-recognition"

#: The distance below which two faces are held to be one person's: the recogniser was trained for it.
THRESHOLD = 0.6

#: Side of the picture of a face that the network takes, and the part of the face's width around it.
_CHIP, _PADDING = 150, 0.25


@functools.lru_cache(maxsize=1)
def _network() -> Any:
    import dlib

    (path,) = assets.require(ASSET).values()
    return dlib.face_recognition_model_v1(str(path))


def embed(image: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """Return the 128 numbers of a face.

    Parameters
    ----------
    image : numpy.ndarray
        (height, width, 3) uint8 RGB: a photograph, or an aligned crop.
    landmarks : numpy.ndarray
        (68, 2), in pixels of `image`, pixel centres at integers. By them the face is brought upright into 150 px.

    Returns
    -------
    numpy.ndarray
        (128,) float32, about of length 1. Two faces nearer than `THRESHOLD` are held to be one person's.

    Raises
    ------
    AssetError
        If the network's file is absent or not the pinned one.
    """
    import dlib

    points = dlib.points([dlib.point(math.floor(x + 0.5), math.floor(y + 0.5)) for x, y in landmarks.tolist()])
    low, high = np.floor(landmarks.min(axis=0)).astype(int).tolist(), np.ceil(landmarks.max(axis=0)).astype(int).tolist()
    shape = dlib.full_object_detection(dlib.rectangle(*low, *high), points)
    chip = dlib.get_face_chip(np.ascontiguousarray(image), shape, size=_CHIP, padding=_PADDING)
    return np.array(_network().compute_face_descriptor(chip), dtype=np.float32)


def distances(embeddings: np.ndarray, gallery: np.ndarray) -> np.ndarray:
    """Return the Euclidean distances of (n, 128) faces from (m, 128) others, (n, m) float32.

    Examples
    --------
    >>> distances(np.eye(2, 128), np.zeros((1, 128))).tolist()
    [[1.0], [1.0]]
    """
    return np.linalg.norm(embeddings[:, None] - gallery[None], axis=-1).astype(np.float32)
