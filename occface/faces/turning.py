"""Augmentation of aligned faces: quarter turns, then a mirror image; eight variants in all."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from occface.faces.align import CROP_SIZE
from occface.faces.mirror import MIRRORED

__all__ = ["Turning"]


@dataclass(frozen=True)
class Turning:
    """So many quarter turns counter-clockwise, and then, or not, the mirror image.

    Attributes
    ----------
    turns : int
        0 to 3.
    mirrored : bool
        Whether left and right are exchanged after the turns.

    Examples
    --------
    >>> Turning(turns=1).picture(np.array([[1, 2], [3, 4]]))
    array([[2, 4],
           [1, 3]])
    """

    turns: int = 0
    mirrored: bool = False

    def picture(self, image: np.ndarray) -> np.ndarray:
        """Turn a square picture, (size, size) or (size, size, channels)."""
        turned = np.rot90(image, self.turns)
        return np.ascontiguousarray(turned[:, ::-1] if self.mirrored else turned)

    def undone(self, image: np.ndarray) -> np.ndarray:
        """Turn a square picture back."""
        return np.ascontiguousarray(np.rot90(image[:, ::-1] if self.mirrored else image, -self.turns))

    def transform(self, transform: np.ndarray) -> np.ndarray:
        """Return a (2, 3) transform into the crop, followed by the turning."""
        return (self._matrix() @ np.vstack([transform, [0, 0, 1]]))[:2]

    def landmarks(self, points: np.ndarray) -> np.ndarray:
        """Turn (68, 2) landmarks of the crop; mirrored, what was the subject's left eye is the right one."""
        if not self.turns and not self.mirrored:
            return points
        matrix = self._matrix()
        turned = (np.asarray(points, np.float64) @ matrix[:2, :2].T + matrix[:2, 2]).astype(np.float32)
        return turned[MIRRORED] if self.mirrored else turned

    def _matrix(self) -> np.ndarray:
        """Return the (3, 3) transform from pixels of the crop to those of the turned crop."""
        quarter = np.array([[0, 1, 0], [-1, 0, CROP_SIZE - 1], [0, 0, 1]], dtype=np.float64)
        mirror = np.array([[-1, 0, CROP_SIZE - 1], [0, 1, 0], [0, 0, 1]], dtype=np.float64)
        turned = np.linalg.matrix_power(quarter, self.turns)
        return mirror @ turned if self.mirrored else turned
