"""Restored faces back in their photograph: turned back, with a soft seam, in the photograph's own colours."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from occface.dataset.schema import LR_SIZE
from occface.faces import align
from occface.occlusion import downsample
from occface.restoring.restorer import Restoration

__all__ = ["MOST_PIXELS", "MOST_TIMES", "colour_shift", "enlargement", "is_grey", "paste", "seam"]

#: How many times a photograph is enlarged at most, and how many pixels it may have then, unless a number is asked for.
MOST_TIMES, MOST_PIXELS = 8, 25_000_000

#: How many px of the crop, from its border inwards, the restored face fades in over.
FADE = 20

#: So many of a thumbnail's 256 pixels must be free of the mask for colours to be compared there alone.
_ENOUGH = 32


def enlargement(sides: Sequence[float], shape: tuple[int, int]) -> int:
    """Return how many times a photograph must be enlarged for its faces to keep their detail.

    Parameters
    ----------
    sides : sequence of float
        How many px wide the crops of its faces are in it.
    shape : tuple of int
        Its height and width.

    Returns
    -------
    int
        The least whole number that makes the smallest crop 128 px wide, but at most `MOST_TIMES`, and no more than leaves the
        photograph within `MOST_PIXELS`; 1 at least.

    Examples
    --------
    >>> enlargement([40.0, 200.0], (480, 640)), enlargement([40.0], (3000, 4000)), enlargement([300.0], (480, 640))
    (4, 1, 1)
    """
    if not sides:
        return 1
    wanted = min(MOST_TIMES, int(np.ceil(align.CROP_SIZE / min(sides))))
    within = int(np.sqrt(MOST_PIXELS / (shape[0] * shape[1])))
    return max(1, min(wanted, within))


def seam(size: int = align.CROP_SIZE, fade: int = FADE) -> np.ndarray:
    """Return how much each pixel of the crop counts in the photograph, (size, size) float32 from 0 at its border to 1 inside.

    Examples
    --------
    >>> weight = seam()
    >>> bool(weight[0].max() < 0.01), float(weight[64, 64])
    (True, 1.0)
    """
    inside = np.minimum(np.arange(size) + 0.5, size - np.arange(size) - 0.5) / fade
    ramp = np.clip(inside, 0, 1)
    ramp = ramp * ramp * (3 - 2 * ramp)
    return (ramp[:, None] * ramp[None, :]).astype(np.float32)


def colour_shift(restored: Restoration) -> np.ndarray:
    """Return what must be added to a restored face, (3,) float64 RGB, for its colours to be those of the photograph.

    It is the median, over the pixels of the thumbnail that no mask touches, of what the photograph has more than the restored
    face made small. Fewer than half of the pixels, such as an occluder that nobody named, do not move a median far.
    """
    thumbnail = restored.thumbnail
    more = downsample(thumbnail.crop, LR_SIZE).astype(np.float64) - downsample(restored.result, LR_SIZE)
    free = np.ones((LR_SIZE, LR_SIZE), bool)
    if thumbnail.mask is not None:
        cell = align.CROP_SIZE // LR_SIZE
        free = thumbnail.mask.reshape(LR_SIZE, cell, LR_SIZE, cell).max(axis=(1, 3)) == 0
    return np.median(more[free] if free.sum() >= _ENOUGH else more.reshape(-1, 3), axis=0)


def is_grey(photograph: np.ndarray) -> bool:
    """Say whether a photograph, (height, width, 3), has no colours at all: its three channels are the same throughout."""
    first = photograph[..., 0]
    return bool((first == photograph[..., 1]).all() and (first == photograph[..., 2]).all())


def paste(photograph: np.ndarray, faces: Sequence[tuple[np.ndarray, Restoration]], times: int = 1) -> np.ndarray:
    """Return a photograph with restored faces in it, the last ones on top; in a grey one they are grey too.

    Parameters
    ----------
    photograph : numpy.ndarray
        (height, width, 3) uint8 RGB.
    faces : sequence of (numpy.ndarray, Restoration)
        The (2, 3) transform from pixels of the photograph to pixels of the crop, and what was made of the crop.
    times : int
        How many times the photograph is enlarged, bicubically.

    Returns
    -------
    numpy.ndarray
        (times height, times width, 3) uint8 RGB.
    """
    large = photograph.copy()
    if times > 1:
        large = cv2.resize(photograph, None, fx=times, fy=times, interpolation=cv2.INTER_CUBIC)
    # A pixel covers half a pixel around its centre.
    shrink = np.array([[1 / times, 0, (1 / times - 1) / 2], [0, 1 / times, (1 / times - 1) / 2], [0, 0, 1]])
    weight = seam()
    grey = is_grey(photograph)
    for transform, restored in faces:
        _paste_one(large, transform @ shrink, restored, weight, grey=grey)
    return large


def _paste_one(large: np.ndarray, to_crop: np.ndarray, restored: Restoration, weight: np.ndarray, *, grey: bool) -> None:
    """Draw one face into a photograph."""
    size = align.CROP_SIZE
    edges = np.array([[-0.5, -0.5], [size - 0.5, -0.5], [size - 0.5, size - 0.5], [-0.5, size - 0.5]])
    corners = align.apply(align.inverse(to_crop), edges)
    low = np.maximum(np.floor(corners.min(axis=0)).astype(int), 0)
    high = np.minimum(np.ceil(corners.max(axis=0)).astype(int) + 1, large.shape[1::-1])
    if (low >= high).any():
        return
    face: np.ndarray = restored.result + colour_shift(restored).astype(np.float32)
    if grey:  # networks that learnt from colours paint a tint
        face = np.repeat(cv2.cvtColor(face, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)
    step = float(np.hypot(*to_crop[0, :2]))  # pixels of the crop in one of the photograph
    if step > 1:  # where the face shrinks, its pixels are averaged first
        face = cv2.GaussianBlur(face, (0, 0), 0.5 * np.sqrt(step**2 - 1) + 1e-3)
    to_crop = to_crop.copy()
    to_crop[:, 2] += to_crop[:, :2] @ low
    shape = tuple((high - low).tolist())
    how = cv2.WARP_INVERSE_MAP | cv2.INTER_LINEAR
    drawn = cv2.warpAffine(face, to_crop, shape, flags=how, borderMode=cv2.BORDER_REPLICATE)
    counts = cv2.warpAffine(weight, to_crop, shape, flags=how)[..., None]
    where = np.s_[low[1] : high[1], low[0] : high[0]]
    large[where] = np.rint(large[where] + counts * (drawn - large[where])).clip(0, 255).astype(np.uint8)
