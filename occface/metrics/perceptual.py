"""ST-LPIPS: how different two faces look to a network that was taught by people's judgements, and not to mind small shifts.

The network is `occface.networks.stlpips`, on AlexNet. The losses look through the VGG trunk of the same work, never through
this one: a judge that training did not please.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np

from occface import assets
from occface.images import to_float
from occface.metrics.base import Column, Metric, RestoredFaces
from occface.metrics.image import check_pair
from occface.networks.inference import one_thread

if TYPE_CHECKING:
    from occface.networks.stlpips import PerceptualDistance

__all__ = ["ASSET", "Perceptual", "network", "stlpips"]

ASSET = "stlpips-alex"

_SMALLEST = 48

_BATCH = 8
"""Pairs looked at together: more of them are no faster on one thread."""


@functools.lru_cache(maxsize=1)
def network() -> PerceptualDistance:
    """Return the published network, loaded once per process.

    Raises
    ------
    AssetError
        If the weights are not at hand.
    """
    from occface.networks.stlpips import PerceptualDistance

    (path,) = assets.require(ASSET).values()
    return PerceptualDistance.from_file(path)


def stlpips(result: np.ndarray, truth: np.ndarray) -> float:
    """Return the ST-LPIPS distance of two pictures: 0 for equal ones, about 1 for unlike ones; lower is better.

    Parameters
    ----------
    result, truth : numpy.ndarray
        uint8 RGB (H, W, 3), at least 48 pixels each way.

    Raises
    ------
    ValueError
        If they are no uint8 RGB pictures of one size.
    AssetError
        If the weights are not at hand.
    """
    return float(_distances(result[None], truth[None])[0])


def _distances(results: np.ndarray, truths: np.ndarray) -> np.ndarray:
    for pair in zip(results, truths, strict=True):
        check_pair(*pair, _SMALLEST)
    parts = []
    with one_thread():
        for start in range(0, len(truths), _BATCH):
            batch = (to_float(pictures[start : start + _BATCH]) for pictures in (results, truths))
            parts.append(network()(*batch).double().numpy())
    return np.concatenate(parts)


class Perceptual(Metric):
    """ST-LPIPS."""

    name = "perceptual"
    assets = (ASSET,)
    columns = (
        Column("stlpips", False, "ST-LPIPS (AlexNet, version ST0.0) of RGB in [-1, 1]: the distance from the true face"),
    )

    def measure(self, faces: RestoredFaces) -> dict[str, np.ndarray]:
        """Return the distance of each face."""
        return {"stlpips": _distances(faces.result, faces.truth)}
