"""Pictures of a restoration: heatmaps, and everything from the input to the result side by side."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import cv2
import numpy as np
from PIL import Image, ImageDraw

from occface import lettering
from occface.faces.align import CROP_SIZE
from occface.occlusion import occlude
from occface.restoring.restorer import Restoration

__all__ = ["heatmap_picture", "panel", "strip", "with_points"]

_GAP, _LINE = 4, 18
_POINT = (60, 255, 90)


def heatmap_picture(maps: np.ndarray) -> np.ndarray:
    """Return the strongest of several heatmaps at every pixel, white for 1.

    Parameters
    ----------
    maps : numpy.ndarray
        (K, S, S) in [0, 1].

    Returns
    -------
    numpy.ndarray
        (S, S, 3) uint8.
    """
    grey = np.rint(255 * maps.max(axis=0).clip(0, 1)).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def with_points(picture: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """Return a copy of a crop, (128, 128, 3) uint8, with a green pixel at each landmark that lies in it."""
    drawn = picture.copy()
    x, y = np.rint(landmarks).astype(int).T
    inside = (x >= 0) & (y >= 0) & (x < picture.shape[1]) & (y < picture.shape[0])
    drawn[y[inside], x[inside]] = _POINT
    return drawn


def strip(restored: Restoration) -> np.ndarray:
    """Return a restoration from left to right: input, what is hidden of it, LR, the stages, the result, its heatmaps.

    Small pictures are enlarged without smoothing: an LR pixel is a square.

    Parameters
    ----------
    restored : Restoration
        What became of a face.

    Returns
    -------
    numpy.ndarray
        (146, width, 3) uint8 RGB.
    """
    thumbnail = restored.thumbnail
    pictures = {"input": thumbnail.crop}
    if thumbnail.mask is not None:
        pictures["hidden"] = occlude(thumbnail.crop, thumbnail.mask, "gray", np.random.default_rng)
    pictures["LR, 16x16"] = thumbnail.lr
    pictures |= {f"stage {number}": stage for number, stage in enumerate(restored.stages, 1)}
    pictures["result"] = restored.result
    if restored.heatmaps:
        pictures["its landmarks"] = heatmap_picture(restored.heatmaps[-1])
    return panel(list(pictures.values()), tuple(pictures))


def panel(pictures: Sequence[np.ndarray], titles: tuple[str, ...]) -> np.ndarray:
    """Return pictures side by side with a title above each.

    Parameters
    ----------
    pictures : sequence of numpy.ndarray
        (S, S, 3) uint8 each, S dividing 128; shown at 128 px.
    titles : tuple of str
        One for each.
    """
    sheet = _titles(titles).copy()
    for number, picture in enumerate(pictures):
        x = number * (CROP_SIZE + _GAP)
        sheet[_LINE:, x : x + CROP_SIZE] = cv2.resize(picture, (CROP_SIZE, CROP_SIZE), interpolation=cv2.INTER_NEAREST)
    return sheet


@functools.lru_cache(maxsize=32)
def _titles(titles: tuple[str, ...]) -> np.ndarray:
    """Return an empty panel with its titles; drawing letters takes longer than all else."""
    width = len(titles) * (CROP_SIZE + _GAP) - _GAP
    sheet = Image.new("RGB", (width, CROP_SIZE + _LINE), "white")
    draw, font = ImageDraw.Draw(sheet), lettering.font(12)
    for number, title in enumerate(titles):
        place = (number * (CROP_SIZE + _GAP) + 2, 1)
        draw.text(place, lettering.cut(title, font, CROP_SIZE - 4), fill=(34, 34, 34), font=font)
    return np.asarray(sheet)
