"""How far the restored faces as a whole are from the true ones: the Frechet distance of features."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from occface.faces import recognition
from occface.images import to_float
from occface.metrics import perceptual
from occface.metrics.base import Column, Remembered, RestoredFaces, SetMetric
from occface.metrics.identity import embeddings
from occface.networks.inference import one_thread

__all__ = ["FEATURES", "Frechet", "frechet_distance"]

#: The features by name, and how many numbers each are.
FEATURES = {"stlpips-64": 64, "stlpips-192": 192, "dlib-128": 128}

_STAGES = {"stlpips-64": 1, "stlpips-192": 2}

_BATCH = 8


def frechet_distance(found: np.ndarray, true: np.ndarray) -> float:
    """Return the squared Frechet (2-Wasserstein) distance of two normal distributions fitted to features.

    |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)), covariances divided by n - 1. The trace of the root is the sum of the roots of
    the eigenvalues of S C2 S, where S is the root of C1: all of these matrices are symmetric, so no root turns complex.

    Parameters
    ----------
    found, true : numpy.ndarray
        (n, d) and (m, d); n and m at least 2.

    References
    ----------
    Dowson and Landau, "The Frechet distance between multivariate normal distributions", J. Multivariate Analysis 12, 1982;
    Heusel et al., NeurIPS 2017.

    Examples
    --------
    >>> points = np.array([[0.0], [1.0], [2.0]])
    >>> round(frechet_distance(points + 3, points), 6), round(frechet_distance(2 * points, points), 6)
    (9.0, 2.0)
    """
    found, true = found.astype(np.float64), true.astype(np.float64)
    ours, theirs = (np.atleast_2d(np.cov(values, rowvar=False)) for values in (found, true))
    values, vectors = np.linalg.eigh(theirs)
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    shared = np.sqrt(np.linalg.eigvalsh(root @ ours @ root).clip(0)).sum()
    shift = found.mean(axis=0) - true.mean(axis=0)
    return float(max(shift @ shift + np.trace(ours) + np.trace(theirs) - 2 * shared, 0.0))


class Frechet(SetMetric):
    """The Frechet distance of restored from true faces. It is not the FID, which looks through Inception.

    The distance of small sets is too large by far, and the more so the fewer faces there are; compare values of equal n alone.
    With no more faces than features, covariances say nothing of some directions, and there is no value.

    Settings
    --------
    features : {"stlpips-64", "stlpips-192", "dlib-128"}
        What the first (64) or second (192) stage of ST-LPIPS's AlexNet sees, mean over the picture: colours, edges, textures;
        or the numbers of dlib's recogniser: who it is. Few numbers are for few faces, as in pytorch-fid's ``--dims 64``.
    """

    name = "frechet"
    SETTINGS: ClassVar[dict[str, Any]] = {"features": "stlpips-64"}

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._choose("features", tuple(FEATURES))
        self._of_truth = Remembered(self._features)

    @property
    def assets(self) -> tuple[str, ...]:  # noqa: D102 - as in the base class
        return (recognition.ASSET if self.settings["features"] == "dlib-128" else perceptual.ASSET,)

    @property
    def columns(self) -> tuple[Column, ...]:
        """The distance."""
        features = {
            "stlpips-64": "the 64 channels of the first stage of ST-LPIPS's AlexNet, mean over the picture",
            "stlpips-192": "the 192 channels of the second stage of ST-LPIPS's AlexNet, mean over the picture",
            "dlib-128": "the 128 numbers of dlib's recogniser",
        }[self.settings["features"]]
        return (
            Column(
                "frechet",
                False,
                f"Frechet distance of restored from true faces of the same set, of {features} (not Inception's: no FID); it "
                "grows as n falls, so only values of equal n compare; none with no more faces than features",
            ),
        )

    def _features(self, pictures: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
        if self.settings["features"] == "dlib-128":
            return embeddings(pictures, landmarks)
        stage = _STAGES[self.settings["features"]]
        with one_thread():
            parts = [
                perceptual.network().pooled(to_float(pictures[start : start + _BATCH]), stage).double().numpy()
                for start in range(0, len(pictures), _BATCH)
            ]
        return np.concatenate(parts)

    def measure(self, faces: RestoredFaces) -> float:
        """Return the distance; NaN where there are no more faces than features."""
        if len(faces) <= FEATURES[self.settings["features"]]:
            return math.nan
        pairs = self._features(faces.result, faces.landmarks), self._of_truth(faces.truth, faces.landmarks)
        return frechet_distance(*pairs)
