"""PSNR and SSIM of one image, by the metric contract.

Published SSIMs of one and the same pair of images range from 0.38 to 0.53, so the definition is part of the number. Ours is
that of Wang et al. (2004) as scikit-image computes it with its Gaussian weights; the tests hold both equal to 1e-6. The SSIM
here is written out in OpenCV because it is more than twice as fast (benchmarks/bench_metrics.py).
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from occface.metrics.base import Metric

__all__ = ["CONTRACT", "PSNR", "SSIM", "check_pair", "psnr", "ssim"]

_RADIUS = 5
_SIGMA = 1.5
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


def _gaussian() -> np.ndarray:
    weights = np.exp(-0.5 * (np.arange(-_RADIUS, _RADIUS + 1) / _SIGMA) ** 2)
    return weights / weights.sum()


_WINDOW = _gaussian()


def check_pair(result: np.ndarray, truth: np.ndarray, smallest: int = 2 * _RADIUS + 1) -> None:
    """Raise a ValueError unless both are uint8 RGB pictures of one size, with at least `smallest` pixels a side."""
    for name, image in (("result", result), ("truth", truth)):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise ValueError(f"expected the {name} as uint8 RGB of shape (H, W, 3), got {image.dtype} of shape {image.shape}")
    if result.shape != truth.shape:
        raise ValueError(f"expected result and truth of one shape, got {result.shape} and {truth.shape}")
    if min(truth.shape[:2]) < smallest:
        raise ValueError(f"expected images of at least {smallest} pixels a side, got {truth.shape}")


def psnr(result: np.ndarray, truth: np.ndarray) -> float:
    """Return the peak signal-to-noise ratio in dB: peak 255, mean squared error over all pixels and channels, in float64.

    Parameters
    ----------
    result, truth : numpy.ndarray
        uint8 RGB (H, W, 3).

    Returns
    -------
    float
        Infinite for identical images; so is then the mean over images, and the score file says ``inf``.

    Raises
    ------
    ValueError
        If types or shapes are not as above, or an image is smaller than SSIM's window of 11x11.

    Examples
    --------
    >>> black = np.zeros((16, 16, 3), np.uint8)
    >>> round(psnr(black + np.uint8(51), black), 3)
    13.979
    """
    check_pair(result, truth)
    difference = result.astype(np.float64) - truth
    error = float(np.mean(difference * difference))
    return 10 * math.log10(255**2 / error) if error else math.inf


def ssim(result: np.ndarray, truth: np.ndarray) -> float:
    """Return the structural similarity: mean over the channels and over all places where the window lies inside the image.

    The window is a Gaussian of 11x11 pixels with a standard deviation of 1.5; variances are the weighted ones (no sample
    correction); K = (0.01, 0.03); data range 255; float64.

    Parameters
    ----------
    result, truth : numpy.ndarray
        uint8 RGB (H, W, 3).

    Returns
    -------
    float
        At most 1, which identical images have.

    Raises
    ------
    ValueError
        If types or shapes are not as above, or an image is smaller than the window.

    Examples
    --------
    >>> image = np.arange(16 * 16 * 3, dtype=np.uint8).reshape(16, 16, 3)
    >>> ssim(image, image)
    1.0
    """
    check_pair(result, truth)
    x, y = result.astype(np.float64), truth.astype(np.float64)
    mean_x, mean_y = _blur(x), _blur(y)
    product, squares = mean_x * mean_y, mean_x * mean_x + mean_y * mean_y
    # Only the sum of the two variances enters, so both are blurred at once.
    variances = _blur(x * x + y * y) - squares
    covariance = _blur(x * y) - product
    similarity = (2 * product + _C1) * (2 * covariance + _C2) / ((squares + _C1) * (variances + _C2))
    return float(similarity.mean())


def _blur(image: np.ndarray) -> np.ndarray:
    """Return weighted means under the window, where it lies inside the image."""
    blurred = cv2.sepFilter2D(image, -1, _WINDOW, _WINDOW)
    return blurred[_RADIUS:-_RADIUS, _RADIUS:-_RADIUS]


PSNR = Metric("psnr", True, "PSNR on uint8 RGB in float64, peak 255, per image", psnr)
SSIM = Metric(
    "ssim",
    True,
    "SSIM on uint8 RGB in float64, Gaussian 11x11, sigma 1.5, valid crop, K = (0.01, 0.03), mean over channels, per image",
    ssim,
)

#: The metric contract: the sentence that is printed with every table.
CONTRACT = (
    "Per-image PSNR (dB) and SSIM on uint8 RGB in float64; SSIM with a Gaussian window of 11x11, sigma 1.5, valid crop, "
    "K = (0.01, 0.03), mean over channels; mean over images."
)
