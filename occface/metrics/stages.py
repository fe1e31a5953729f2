"""PSNR of what each stage of a progressive method gave: whether every stage improves on the one before."""

from __future__ import annotations

import cv2
import numpy as np

from occface.metrics.base import Column, Metric, RestoredFaces
from occface.metrics.image import psnr

__all__ = ["Stages", "enlarge"]

_STAGES = 3


def enlarge(picture: np.ndarray, size: int) -> np.ndarray:
    """Return a picture, uint8 (S, S, 3), enlarged bicubically (a = -0.75) to `size` pixels a side, halves rounded to even.

    One of that size stays as it is.
    """
    if picture.shape[:2] == (size, size):
        return picture
    large = cv2.resize(picture.astype(np.float32), (size, size), interpolation=cv2.INTER_CUBIC)
    return np.clip(np.rint(large), 0, 255).astype(np.uint8)


class Stages(Metric):
    """PSNR of the three stages' pictures, each enlarged to the size of the true face."""

    name = "stages"
    columns = tuple(
        Column(
            f"psnr_stage_{number}",
            True,
            f"PSNR on uint8 RGB, peak 255, of what stage {number} gave, enlarged bicubically to 128 px",
            "dB",
        )
        for number in range(1, _STAGES + 1)
    )

    def measure(self, faces: RestoredFaces) -> dict[str, np.ndarray]:
        """Return those for each face, NaN for a method that has no such stage."""
        size = faces.truth.shape[1]
        values = {column.name: np.full(len(faces), np.nan) for column in self.columns}
        for values_, stage in zip(values.values(), faces.stages, strict=False):
            values_[:] = [psnr(enlarge(small, size), truth) for small, truth in zip(stage, faces.truth, strict=True)]
        return values
