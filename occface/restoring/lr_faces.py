"""What aligned faces of 16 x 16 px look like, and which pixels of one look like those of no face.

Faces are described by their mean and the directions in which they vary most (principal components), with a Gaussian prior on
how far they go along each. A face is fitted robustly: a pixel that does not go with the others counts less and less, so that
what is before the face does not pull the fit after it (as in Black and Rangarajan, IJCV 19(1), 1996: the Geman-McClure
estimator, its scale lowered step by step). What is left is measured pixel by pixel in how far real faces lie from their fits.

The faces are generated ones, so the file holds nobody's photograph; `benchmarks/fit_lr_faces.py` made it.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING

import numpy as np

from occface.dataset.schema import LR_SIZE

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["COMPONENTS", "LrFaces", "fit", "lr_faces"]

_PIXELS = LR_SIZE * LR_SIZE
#: How many directions faces may vary in. On 60 faces of CelebA-HQ, 80 of them explain occluders away that 30 do not.
COMPONENTS = 30
#: The steps of a fit: the scale of the estimator in standard deviations of a pixel, first and last, and what it is lowered by.
_FIRST, _LAST, _LOWERED, _STEPS = 12.0, 3.0, 0.8, 12
#: What is added to each channel's variance, (3 of 255)^2: no pixel is known better than that.
_LEAST_VARIANCE = 9.0


@dataclass(frozen=True, eq=False)
class LrFaces:
    """A model of aligned LR faces.

    Attributes
    ----------
    mean : numpy.ndarray
        (256, 3), RGB from 0 to 255, pixels row by row.
    directions : numpy.ndarray
        (256, 3, k), orthonormal.
    variances : numpy.ndarray
        (k,), how far faces go along each.
    precision : numpy.ndarray
        (256, 3, 3), the inverse covariance of what is left of each pixel after the fit.
    """

    mean: np.ndarray
    directions: np.ndarray
    variances: np.ndarray
    precision: np.ndarray

    @functools.cached_property
    def _products(self) -> tuple[np.ndarray, np.ndarray]:
        """Return for each pixel what it adds to the normal equations: (256, k, 3) and (256, k, k)."""
        weighted = np.einsum("pik,pij->pkj", self.directions, self.precision)
        return weighted, weighted @ self.directions

    def strangeness(self, lr: np.ndarray, hidden: np.ndarray | None = None) -> np.ndarray:
        """Return how far each pixel of a face lies from the face that the others make likely.

        Parameters
        ----------
        lr : numpy.ndarray
            (16, 16, 3) uint8 RGB, an aligned LR face.
        hidden : numpy.ndarray, optional
            (16, 16) bool, pixels that are known to show something else: these do not count at the start.

        Returns
        -------
        numpy.ndarray
            (16, 16) float64 from 0 on: 1 is how far pixels of whole faces lie on the average (root mean square).
        """
        apart = lr.reshape(_PIXELS, 3) - self.mean
        weighted, squares = self._products
        towards = (weighted @ apart[..., None])[..., 0]
        counts = np.ones(_PIXELS) if hidden is None else 1.0 - hidden.reshape(_PIXELS)
        scale, far = _FIRST, np.zeros(_PIXELS)
        for _ in range(_STEPS):
            normal = np.tensordot(counts, squares, 1) + np.diag(1 / self.variances)
            left = apart - self.directions @ np.linalg.solve(normal, counts @ towards)
            far = np.einsum("pi,pij,pj->p", left, self.precision, left) / 3
            counts = (1 + far / scale**2) ** -2
            scale = max(_LAST, scale * _LOWERED)
        return np.sqrt(far).reshape(LR_SIZE, LR_SIZE)

    def save(self, path: Path) -> None:
        """Write the model as a NumPy file, rounded to float32 (directions: float16)."""
        np.savez_compressed(
            path,
            mean=self.mean.astype(np.float32),
            directions=self.directions.astype(np.float16),
            variances=self.variances.astype(np.float32),
            precision=self.precision.astype(np.float32),
        )


def fit(faces: np.ndarray, components: int = COMPONENTS) -> LrFaces:
    """Return the model of faces.

    Parameters
    ----------
    faces : numpy.ndarray
        (N, 16, 16, 3) uint8 RGB, aligned and not occluded; each is taken with its mirror image.
    components : int
        How many directions are kept; below N.
    """
    left = []
    for half in (0, 1):  # how far faces lie from fits of others, not from their own
        mean, directions, _ = _principal(faces[half::2], components)
        others = _with_mirrored(faces[1 - half :: 2]) - mean
        left.append(others - others @ directions @ directions.T)
    rest = np.concatenate(left).reshape(-1, _PIXELS, 3)
    covariance = np.einsum("npi,npj->pij", rest, rest) / len(rest) + _LEAST_VARIANCE * np.eye(3)
    mean, directions, variances = _principal(faces, components)
    return LrFaces(mean.reshape(_PIXELS, 3), directions.reshape(_PIXELS, 3, components), variances, np.linalg.inv(covariance))


def _with_mirrored(faces: np.ndarray) -> np.ndarray:
    return np.concatenate([faces, faces[:, :, ::-1]]).reshape(-1, 3 * _PIXELS).astype(np.float64)


def _principal(faces: np.ndarray, components: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the mean (768,), directions (768, k) and variances (k,) of faces."""
    rows = _with_mirrored(faces)
    mean = rows.mean(axis=0)
    _, lengths, directions = np.linalg.svd(rows - mean, full_matrices=False)
    return mean, directions[:components].T, lengths[:components] ** 2 / len(rows)


@functools.lru_cache(maxsize=1)
def lr_faces() -> LrFaces:
    """Return the model that comes with the package."""
    with resources.as_file(resources.files("occface.restoring") / "lr_faces.npz") as path, np.load(path) as saved:
        return LrFaces(*(saved[name].astype(np.float64) for name in ("mean", "directions", "variances", "precision")))
