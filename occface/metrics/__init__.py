"""How well a face was restored: each metric under its name, with the contract that its numbers are to be read by."""

from __future__ import annotations

from occface.metrics.base import Metric
from occface.metrics.image import CONTRACT, psnr, ssim
from occface.registry import Registry

__all__ = ["CONTRACT", "METRICS", "Metric", "psnr", "ssim"]

#: Metrics by name. Other distributions add theirs through the entry-point group ``occface.metrics``.
METRICS: Registry[Metric] = Registry(
    "metric",
    group="occface.metrics",
    builtin={
        "psnr": "occface.metrics.image:PSNR",
        "ssim": "occface.metrics.image:SSIM",
        "stlpips": "occface.metrics.perceptual:STLPIPS",
    },
)
