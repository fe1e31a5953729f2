"""Horizontal mirroring of faces: the subject's left becomes right, so landmarks change their numbers too."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = ["MIRRORED", "mirror_classes", "mirror_landmarks"]

#: For each of the 68 points (iBUG order), the number of the point that lies at its place in the mirrored face.
MIRRORED = np.array(
    [
        *range(16, -1, -1),  # jaw
        *range(26, 16, -1),  # brows
        *range(27, 31),  # bridge of the nose
        *range(35, 30, -1),  # nostrils
        *(45, 44, 43, 42, 47, 46),  # right eye
        *(39, 38, 37, 36, 41, 40),  # left eye
        *range(54, 47, -1),  # upper lip, outer edge
        *range(59, 54, -1),  # lower lip, outer edge
        *range(64, 59, -1),  # upper lip, inner edge
        *range(67, 64, -1),  # lower lip, inner edge
    ]
)


def mirror_landmarks(landmarks: np.ndarray, size: int = 128) -> np.ndarray:
    """Return the landmarks of the mirrored face.

    Parameters
    ----------
    landmarks : ndarray
        (68, 2) (x, y) in pixels of a crop, pixel centres at integers.
    size : int
        The crop's width.

    Examples
    --------
    >>> points = np.zeros((68, 2), np.float32)
    >>> points[36] = (40, 50)
    >>> mirror_landmarks(points)[45].tolist()
    [87.0, 50.0]
    """
    mirrored = landmarks[MIRRORED].copy()
    mirrored[:, 0] = size - 1 - mirrored[:, 0]
    return mirrored


def mirror_classes(classes: Sequence[str]) -> np.ndarray:
    """Return, for each value of a parsing map, its value in the mirrored face: (256,) uint8.

    Classes named ``l_X`` and ``r_X``, of which there must be both (``l_lip`` is the lower lip), are exchanged.

    Examples
    --------
    >>> mirror_classes(["background", "l_eye", "r_eye", "l_lip"])[:5].tolist()
    [0, 2, 1, 3, 4]
    """
    other = {"l_": "r_", "r_": "l_"}
    values = np.arange(256, dtype=np.uint8)
    for number, name in enumerate(classes):
        partner = other.get(name[:2], name[:2]) + name[2:]
        if partner in classes:
            values[number] = classes.index(partner)
    return values
