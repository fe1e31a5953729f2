"""PSNR and SSIM by the metric contract, and PSNR of the luma.

Published SSIMs of one and the same pair of images range from 0.38 to 0.53, so the definition is part of the number. Ours is
that of Wang et al. (2004) as scikit-image computes it with its Gaussian weights; the tests hold both equal to 1e-6. It is
written out in OpenCV, and batches share their memory, because that is several times as fast (benchmarks/bench_metrics.py).
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from occface.metrics.base import Column, Metric, RestoredFaces

__all__ = ["CONTRACT", "ImageQuality", "check_pair", "decibels", "psnr", "psnr_y", "squared_error", "ssim", "ssim_of_each"]

_RADIUS = 5
_SIGMA = 1.5
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2

#: What R, G and B, from 0 to 255, add to the luma of ITU-R BT.601, from 16 to 235.
_LUMA = np.array([65.481, 128.553, 24.966]) / 255


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


def squared_error(result: np.ndarray, truth: np.ndarray, mask: np.ndarray | None = None) -> float:
    """Return the sum of the squared differences of two pictures, exactly.

    Parameters
    ----------
    result, truth : numpy.ndarray
        uint8 (H, W, 3).
    mask : numpy.ndarray, optional
        uint8 (H, W): only where it is not 0.
    """
    pair = np.ascontiguousarray(result), np.ascontiguousarray(truth)
    return cv2.norm(*pair, cv2.NORM_L2SQR, None if mask is None else np.ascontiguousarray(mask))


def decibels(squares: float, count: int) -> float:
    """Return the PSNR in dB, peak 255, of a sum of squared differences of `count` values: infinite for 0, NaN of no values.

    Examples
    --------
    >>> round(decibels(255.0**2, 10), 6), decibels(0.0, 5), decibels(0.0, 0)
    (10.0, inf, nan)
    """
    if not count:
        return math.nan
    return 10 * math.log10(255**2 * count / squares) if squares else math.inf


def psnr(result: np.ndarray, truth: np.ndarray) -> float:
    """Return the peak signal-to-noise ratio in dB: peak 255, mean squared error over all pixels and channels.

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
    return decibels(squared_error(result, truth), truth.size)


def psnr_y(result: np.ndarray, truth: np.ndarray) -> float:
    """Return the PSNR of the luma in dB, as papers on super-resolution give it: ITU-R BT.601, 16 to 235, not rounded; peak 255.

    Parameters
    ----------
    result, truth : numpy.ndarray
        uint8 RGB (H, W, 3).

    Raises
    ------
    ValueError
        As `psnr` does.

    Examples
    --------
    >>> black = np.zeros((16, 16, 3), np.uint8)
    >>> round(psnr_y(black + np.uint8(51), black), 3)  # 219 / 255 of the difference in RGB
    15.301
    """
    check_pair(result, truth)
    difference = np.subtract(result, truth, dtype=np.int16) @ _LUMA
    return decibels(float(np.vdot(difference, difference)), difference.size)


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
    return float(_Similarity(truth.shape)(result, truth))


class _Similarity:
    """SSIM of pictures of one shape.

    It is written in sums s and differences d of both pictures x and y: with m for weighted means and v for weighted variances,

        2 m(x) m(y) = (m(s)^2 - m(d)^2) / 2,    m(x)^2 + m(y)^2 = (m(s)^2 + m(d)^2) / 2,

    and so for covariance and variances, which leaves few passes over the pictures. Memory is taken once: with fresh memory for
    every plane, half of the time would go into paging it in.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._planes = [np.empty(shape) for _ in range(4)]
        self._blurred = [np.empty(shape) for _ in range(4)]
        inner = (shape[0] - 2 * _RADIUS, shape[1] - 2 * _RADIUS, shape[2])
        self._over, self._under = np.empty(inner), np.empty(inner)

    def __call__(self, result: np.ndarray, truth: np.ndarray) -> float:
        total, difference, total_squared, difference_squared = self._planes
        np.add(result, truth, out=total, dtype=np.float64)
        np.subtract(result, truth, out=difference, dtype=np.float64)
        np.multiply(total, total, out=total_squared)
        np.multiply(difference, difference, out=difference_squared)
        for plane, blurred in zip(self._planes, self._blurred, strict=True):
            cv2.sepFilter2D(plane, -1, _WINDOW, _WINDOW, blurred)
        # Where the window lies inside the image: squared means, then variances, of sums and differences.
        m_s, m_d, v_s, v_d = (plane[_RADIUS:-_RADIUS, _RADIUS:-_RADIUS] for plane in self._blurred)
        m_s *= m_s
        m_d *= m_d
        v_s -= m_s
        v_d -= m_d
        m_s += 2 * _C1
        v_s += 2 * _C2
        over, under = self._over, self._under
        np.subtract(m_s, m_d, out=over)
        np.add(m_s, m_d, out=under)
        np.subtract(v_s, v_d, out=m_s)
        np.add(v_s, v_d, out=m_d)
        over *= m_s
        under *= m_d
        over /= under
        return float(over.mean())


def ssim_of_each(results: np.ndarray, truths: np.ndarray) -> np.ndarray:
    """Return `ssim` of several pairs, (N, H, W, 3) uint8, as (N,) float64."""
    for pair in zip(results, truths, strict=True):
        check_pair(*pair)
    similarity = _Similarity(truths.shape[1:])
    return np.array([similarity(*pair) for pair in zip(results, truths, strict=True)])


class ImageQuality(Metric):
    """PSNR, SSIM, and PSNR of the luma."""

    name = "image"
    columns = (
        Column("psnr", True, "PSNR on uint8 RGB, peak 255, per image", "dB"),
        Column(
            "ssim",
            True,
            "SSIM on uint8 RGB in float64, Gaussian 11x11, sigma 1.5, valid crop, K = (0.01, 0.03), mean over channels, "
            "per image",
        ),
        Column("psnr_y", True, "PSNR of the luma (ITU-R BT.601, 16 to 235, not rounded), peak 255, per image", "dB"),
    )

    def measure(self, faces: RestoredFaces) -> dict[str, np.ndarray]:
        """Return the three for each face."""
        pairs = list(zip(faces.result, faces.truth, strict=True))
        return {
            "psnr": np.array([psnr(*pair) for pair in pairs]),
            "ssim": ssim_of_each(faces.result, faces.truth),
            "psnr_y": np.array([psnr_y(*pair) for pair in pairs]),
        }


#: The metric contract: the sentence that is printed with every table.
CONTRACT = (
    "Per-image PSNR (dB) and SSIM on uint8 RGB in float64; SSIM with a Gaussian window of 11x11, sigma 1.5, valid crop, "
    "K = (0.01, 0.03), mean over channels; mean over images."
)
