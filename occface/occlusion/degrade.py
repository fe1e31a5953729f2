"""From a clean face to the occluded thumbnail: what fills the hole, and by which kernel the picture is made small.

Both choices change every number that follows, so both are explicit. Three resamplers called "bilinear" give thumbnails
that lie about 20 dB apart.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from PIL import Image

from occface.errors import UsageError
from occface.registry import did_you_mean

__all__ = ["FILLS", "LR_KERNELS", "PRESETS", "downsample", "occlude"]

#: What a hole can be filled with, and what that is in words.
FILLS: dict[str, str] = {
    "gray": "mid-grey, 128 of 255",
    "zero": "black, 0 at rest, which is -1 in [-1, 1]",
    "mean": "the mean colour of the picture's own unoccluded pixels, rounded",
    "noise": "uniform noise over 0..255 for each pixel and channel, U(-1, 1) in networks (GFC's training fill)",
    "noise01": "uniform noise over 128..255, U(0, 1) in networks (the authors' released code)",
}

#: The ways to make a picture small, all of them "bilinear".
LR_KERNELS: dict[str, str] = {
    "antialiased": "the triangle filter widened by the scale (Pillow's BILINEAR): every pixel counts",
    "cv2": "two by two pixels around each sample point (OpenCV's INTER_LINEAR, torch with align_corners=False)",
    "align-corners": "two by two pixels, corner pixels on corner pixels (torch with align_corners=True, the released code)",
}

#: Named protocols: the paper's text with our defaults where it is silent, and what the authors' released code does.
PRESETS: dict[str, dict[str, Any]] = {
    "paper": {"fill": "gray", "kernel": "antialiased", "masks": ("irregular", "square")},
    "released-code": {"fill": "noise01", "kernel": "align-corners", "masks": ("walk",)},
}


def _check_image(image: np.ndarray) -> None:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"expected a uint8 RGB image of shape (H, W, 3), got {image.dtype} of shape {image.shape}")


def occlude(
    hr: np.ndarray, mask: np.ndarray, fill: str, rng: np.random.Generator | Callable[[], np.random.Generator]
) -> np.ndarray:
    """Return a copy of a picture with the pixels under the mask replaced.

    Parameters
    ----------
    hr : numpy.ndarray
        uint8 RGB (H, W, 3).
    mask : numpy.ndarray
        uint8 {0, 1} or bool (H, W); 1 is occluded.
    fill : str
        One of `FILLS`.
    rng : numpy.random.Generator, or a function that returns one
        Drawn from by the noise fills alone; a function is called for these only, since making a generator takes longer than
        filling a hole.

    Returns
    -------
    numpy.ndarray
        uint8 RGB (H, W, 3).

    Raises
    ------
    UsageError
        If the fill is unknown.
    ValueError
        If a shape or type is wrong, or the fill is ``"mean"`` and no pixel is left to take the mean of.

    Examples
    --------
    >>> mask = np.eye(2, dtype=np.uint8)
    >>> occlude(np.zeros((2, 2, 3), np.uint8), mask, "gray", np.random.default_rng(0))[..., 0]
    array([[128,   0],
           [  0, 128]], dtype=uint8)
    """
    _check_image(hr)
    if mask.dtype not in (np.uint8, np.bool_) or mask.shape != hr.shape[:2]:
        raise ValueError(f"expected a uint8 or bool mask of shape {hr.shape[:2]}, got {mask.dtype} of shape {mask.shape}")
    if mask.size and mask.max() > 1:
        raise ValueError(f"expected a mask of 0 and 1 (1 = occluded), got values up to {mask.max()}; divide by 255 first")
    if fill not in FILLS:
        raise UsageError(f"unknown fill '{fill}': {did_you_mean(fill, FILLS)}")
    hole = mask.astype(bool)
    occluded = hr.copy()
    occluded[hole] = _fill_values(hr, hole, fill, rng)
    return occluded


def _fill_values(
    hr: np.ndarray, hole: np.ndarray, fill: str, rng: np.random.Generator | Callable[[], np.random.Generator]
) -> Any:
    if fill == "gray":
        return 128
    if fill == "zero":
        return 0
    if fill == "mean":
        if hole.all():
            raise ValueError("expected an unoccluded pixel for the mean colour, got a mask that covers the whole picture")
        return np.rint(hr[~hole].mean(axis=0)).astype(np.uint8)
    generator = rng if isinstance(rng, np.random.Generator) else rng()
    return generator.integers(128 if fill == "noise01" else 0, 256, (int(hole.sum()), 3), dtype=np.uint8)


def downsample(image: np.ndarray, size: int = 16, kernel: str = "antialiased") -> np.ndarray:
    """Make a picture small with one of the bilinear kernels.

    Parameters
    ----------
    image : numpy.ndarray
        uint8 RGB (H, W, 3).
    size : int
        Side of the result in pixels.
    kernel : str
        One of `LR_KERNELS`.

    Returns
    -------
    numpy.ndarray
        uint8 RGB (size, size, 3).

    Raises
    ------
    UsageError
        If the kernel is unknown.
    ValueError
        If the picture is no uint8 RGB image, or smaller than the result.

    Examples
    --------
    >>> downsample(np.full((128, 128, 3), 7, np.uint8)).shape
    (16, 16, 3)
    """
    _check_image(image)
    if not 1 <= size <= min(image.shape[:2]):
        raise ValueError(f"expected a size from 1 to {min(image.shape[:2])}, the picture's shorter side, got {size}")
    if kernel == "antialiased":
        return np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR))
    if kernel == "cv2":
        return cv2.resize(image, (size, size), interpolation=cv2.INTER_LINEAR)
    if kernel == "align-corners":
        return _align_corners(image, size)
    raise UsageError(f"unknown LR kernel '{kernel}': {did_you_mean(kernel, LR_KERNELS)}")


def _align_corners(image: np.ndarray, size: int) -> np.ndarray:
    """Sample at points spread evenly from the first pixel's centre to the last one's, between their four neighbours."""

    def taps(length: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        place = np.linspace(0, length - 1, size) if size > 1 else np.zeros(1)
        before = np.minimum(place.astype(int), length - 1)
        return before, np.minimum(before + 1, length - 1), place - before

    top, bottom, down = taps(image.shape[0])
    left, right, across = taps(image.shape[1])
    rows = image[top] * (1 - down)[:, None, None] + image[bottom] * down[:, None, None]
    samples = rows[:, left] * (1 - across)[:, None] + rows[:, right] * across[:, None]
    return np.rint(samples).astype(np.uint8)
