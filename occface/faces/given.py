"""Faces that are known beforehand: boxes and landmarks that came with the photograph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from occface.errors import BadImageError, UsageError
from occface.faces.align import box_of_points
from occface.faces.detect import Detection

__all__ = ["GivenDetector", "given_faces"]


@dataclass(frozen=True)
class GivenDetector:
    """Finds the faces that are known beforehand, and no others."""

    name: ClassVar[str] = "given"
    assets: ClassVar[tuple[str, ...]] = ()

    def detect(self, image: np.ndarray, *, thorough: bool = False, known: Sequence[Detection] = ()) -> list[Detection]:
        """Return what is known beforehand."""
        return list(known)

    def tried(self, image: np.ndarray) -> str:
        """Say that nothing was known."""
        return "no boxes and no landmarks came with it"


def given_faces(boxes: np.ndarray | None, landmarks: np.ndarray | None) -> list[Detection]:
    """Return the faces that boxes or landmarks tell of, in their order.

    Boxes are taken as they are: dlib's landmarks are best in boxes such as its own detector draws. Landmarks without a box
    get the one that `box_of_points` draws.

    Parameters
    ----------
    boxes : numpy.ndarray or None
        (n, 4), (x0, y0, x1, y1) in pixels of the photograph, pixel centres at integers.
    landmarks : numpy.ndarray or None
        (n, 68, 2), iBUG order, with a row for each of `boxes` where these are given too.

    Raises
    ------
    BadImageError
        If a number is not finite, or a box has no area.
    UsageError
        If the shapes are others.

    Examples
    --------
    >>> given_faces(np.array([[10, 20, 90, 100]]), None)[0].box
    (10.0, 20.0, 90.0, 100.0)
    """
    points = None if landmarks is None else _rows(landmarks, (68, 2), "landmarks")
    if boxes is not None:
        rows = _rows(boxes, (4,), "boxes")
    elif points is not None:
        rows = np.array([box_of_points(face) for face in points]).reshape(-1, 4)
    else:
        return []
    if points is not None and len(points) != len(rows):
        raise UsageError(f"expected landmarks for each of {len(rows)} given boxes, got {len(points)}: give one row per face")
    found = []
    for index, (x0, y0, x1, y1) in enumerate(rows.tolist()):
        if not (x0 < x1 and y0 < y1):
            raise BadImageError(f"the given box ({x0:g}, {y0:g}, {x1:g}, {y1:g}) has no area: expected x0 < x1 and y0 < y1")
        found.append(Detection((x0, y0, x1, y1), 1.0, "given", None if points is None else points[index]))
    return found


def _rows(values: np.ndarray, shape: tuple[int, ...], what: str) -> np.ndarray:
    """Return given numbers as float32, compared with the shape of a row."""
    rows = np.asarray(values, dtype=np.float32)
    if rows.shape[1:] != shape or rows.ndim != len(shape) + 1:
        raise UsageError(f"expected given {what} of the shape (n, {', '.join(map(str, shape))}), got {rows.shape}")
    if not np.isfinite(rows).all():
        raise BadImageError(f"the given {what} hold a number that is not finite")
    return rows
