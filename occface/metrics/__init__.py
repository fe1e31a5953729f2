"""How well a face was restored: each metric under its name, and of each of its numbers how it is to be read."""

from __future__ import annotations

from occface.metrics.base import Column, Measure, Metric, RestoredFaces, SetMetric
from occface.metrics.image import CONTRACT, psnr, ssim
from occface.metrics.perceptual import stlpips
from occface.registry import Registry

__all__ = [
    "CONTRACT",
    "METRICS",
    "Column",
    "Measure",
    "Metric",
    "RestoredFaces",
    "SetMetric",
    "column",
    "psnr",
    "ssim",
    "stlpips",
]

#: Metrics by name: classes that are made with their settings. Other distributions add theirs through the entry-point group
#: ``occface.metrics``.
METRICS: Registry[type[Metric] | type[SetMetric]] = Registry(
    "metric",
    group="occface.metrics",
    builtin={
        "image": "occface.metrics.image:ImageQuality",
        "regions": "occface.metrics.regions:Regions",
        "stages": "occface.metrics.stages:Stages",
        "perceptual": "occface.metrics.perceptual:Perceptual",
        "landmarks": "occface.metrics.landmarks:Landmarks",
        "parsing": "occface.metrics.parsing:Parsing",
        "identity": "occface.metrics.identity:Identity",
        "expression": "occface.metrics.expression:Expression",
        "frechet": "occface.metrics.frechet:Frechet",
    },
)


def column(name: str) -> Column | None:
    """Return how a column of score files is to be read, as it is with default settings; None if no metric gives it.

    Neither torch nor any weights are needed for the metrics of this package.

    Examples
    --------
    >>> column("psnr").unit, column("iou_nose").higher_is_better, column("frechet").higher_is_better, column("n")
    ('dB', True, False, None)
    """
    found = (METRICS.get(metric).column(name) for metric in METRICS)
    return next((each for each in found if each is not None), None)
