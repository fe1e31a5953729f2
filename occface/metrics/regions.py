"""PSNR inside and outside of the mask apart: what was invented, and what was seen."""

from __future__ import annotations

import numpy as np

from occface.metrics.base import Column, Metric, RestoredFaces
from occface.metrics.image import decibels, squared_error

__all__ = ["Regions"]


class Regions(Metric):
    """PSNR of the occluded and of the visible pixels."""

    name = "regions"
    columns = (
        Column(
            "psnr_masked", True, "PSNR on uint8 RGB, peak 255, of the pixels that were occluded in HR; none without them", "dB"
        ),
        Column("psnr_visible", True, "PSNR on uint8 RGB, peak 255, of the pixels that were not; none without them", "dB"),
    )

    def measure(self, faces: RestoredFaces) -> dict[str, np.ndarray]:
        """Return both for each face, NaN where there are no such pixels."""
        regions = {"psnr_masked": (faces.mask != 0).astype(np.uint8), "psnr_visible": (faces.mask == 0).astype(np.uint8)}
        return {
            name: np.array(
                [
                    decibels(squared_error(result, truth, region), 3 * int(region.sum()))
                    for result, truth, region in zip(faces.result, faces.truth, regions_, strict=True)
                ]
            )
            for name, regions_ in regions.items()
        }
