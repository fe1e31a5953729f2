"""Irregular masks: thick lines, discs and ellipse arcs, drawn one over another until a chosen share of the image is hidden.

They stand in for the masks of PConv (Liu et al., ECCV 2018), which come from the motion between video frames and cannot be
shipped. The hole ratios are theirs: six bins from (0.01, 0.1] to (0.5, 0.6].
"""

from __future__ import annotations

import itertools
import math

import cv2
import numpy as np

__all__ = [
    "RATIO_BINS",
    "STROKES_PER_PIXEL",
    "THICKEST_SHARE",
    "THINNEST",
    "TRAINING_BINS",
    "draw_border_strokes",
    "draw_inside_strokes",
    "draw_strokes",
    "hole_counts",
    "margin",
]

#: Hole-ratio bins of PConv as (exclusive lower bound, inclusive upper bound), in per cent of the image.
RATIO_BINS: tuple[tuple[int, int], ...] = ((1, 10), (10, 20), (20, 30), (30, 40), (40, 50), (50, 60))
#: The bins that training masks are drawn from; the other three are for tests alone.
TRAINING_BINS = RATIO_BINS[:3]

#: Thinnest stroke in pixels.
THINNEST = 3
#: Thickest one by the image's side: PConv dilates its masks of 512 pixels by up to 49.
THICKEST_SHARE = 49 / 512
#: A pixel more of thickness for every so many strokes: large holes get bold strokes, and every target is reached in the end,
#: for a stroke as thick as the image covers all of it.
STROKES_PER_PIXEL = 12
_ROWS = 8
# What masks that keep away from the border leave free: 50 pixels of PConv's 512.
_MARGIN_SHARE = 50 / 512


def margin(size: int) -> int:
    """Return how many pixels, at each side of the image, masks that keep away from its border leave free.

    Examples
    --------
    >>> margin(128)
    12
    """
    return int(_MARGIN_SHARE * size)


def hole_counts(ratio_bin: tuple[int, int], size: int) -> tuple[int, int]:
    """Return the smallest and the largest number of occluded pixels that lie in a bin, both inclusive.

    Examples
    --------
    >>> hole_counts((1, 10), 128)
    (164, 1638)
    """
    low, high = ratio_bin
    return low * size * size // 100 + 1, high * size * size // 100


def draw_inside_strokes(rng: np.random.Generator, size: int, ratio_bin: tuple[int, int]) -> np.ndarray:
    """Draw one irregular mask that keeps `margin` pixels away from the border: as `draw_strokes`, in the square inside.

    The hole ratio is that of the whole image.
    """
    free = margin(size)
    mask = np.zeros((size, size), np.uint8)
    mask[free : size - free, free : size - free] = _fill(
        rng, np.zeros((size - 2 * free,) * 2, np.uint8), hole_counts(ratio_bin, size), False
    )
    return mask


def draw_border_strokes(rng: np.random.Generator, size: int, ratio_bin: tuple[int, int]) -> np.ndarray:
    """Draw one irregular mask that touches the border: as `draw_strokes`, with the first stroke starting there."""
    return _fill(rng, np.zeros((size, size), np.uint8), hole_counts(ratio_bin, size), True)


def draw_strokes(rng: np.random.Generator, size: int, ratio_bin: tuple[int, int]) -> np.ndarray:
    """Draw one irregular mask whose hole ratio lies in a bin.

    The number of occluded pixels is drawn first, uniformly over the bin. Strokes are then laid down until it is reached, and
    of the last stroke only the part nearest its start is kept, so that the count is met exactly: nothing is rejected, and
    the hole ratio is uniform within the bin by construction.

    Parameters
    ----------
    rng : numpy.random.Generator
        The only source of randomness.
    size : int
        Side of the image in pixels.
    ratio_bin : tuple of int
        Exclusive lower and inclusive upper bound of the hole ratio in per cent, as in `RATIO_BINS`.

    Returns
    -------
    numpy.ndarray
        uint8 {0, 1} of shape (size, size); 1 is occluded.
    """
    return _fill(rng, np.zeros((size, size), np.uint8), hole_counts(ratio_bin, size), False)


def _fill(rng: np.random.Generator, mask: np.ndarray, counts: tuple[int, int], from_border: bool) -> np.ndarray:
    """Lay strokes on an empty canvas until a number of pixels drawn uniformly from `counts`, both inclusive, is covered."""
    smallest, largest = counts
    wanted = smallest + int(rng.random() * (largest - smallest + 1))
    covered = 0
    for index in itertools.count():
        if index % _ROWS == 0:  # one call for many numbers: a call for each would cost more than the drawing
            table = rng.random((_ROWS, 8)).tolist()
        candidate = mask.copy()
        numbers = table[index % _ROWS]
        draw = _draw_from_border if from_border and index == 0 else _draw_one
        start = draw(candidate, numbers, index // STROKES_PER_PIXEL)
        count = cv2.countNonZero(candidate)
        if count >= wanted:
            _keep_nearest(mask, candidate, start, wanted - covered)
            return mask
        mask, covered = candidate, count
    raise AssertionError("unreachable: itertools.count does not end")


def _width(size: int, thickness: float, bolder: int) -> int:
    thickest = max(THINNEST, int(THICKEST_SHARE * size))
    return THINNEST + int(thickness * (thickest - THINNEST + 1)) + bolder


def _draw_from_border(canvas: np.ndarray, numbers: list[float], bolder: int) -> tuple[int, int]:
    """Draw a line or a disc that starts on the outermost pixels; return where, (x, y)."""
    size = canvas.shape[0]
    kind, thickness, place, *u = numbers
    side, along = divmod(int(place * 4 * size), size)
    x, y = ((along, 0), (size - 1, along), (along, size - 1), (0, along))[side]
    width = _width(size, thickness, bolder)
    if kind < 1 / 2:
        cv2.line(canvas, (x, y), (int(u[0] * size), int(u[1] * size)), 1, width)
    else:
        cv2.circle(canvas, (x, y), width, 1, -1)
    return x, y


def _draw_one(canvas: np.ndarray, numbers: list[float], bolder: int) -> tuple[int, int]:
    """Draw a line, a disc or an arc as eight numbers in [0, 1) say; return the (x, y) at which it starts."""
    size = canvas.shape[0]
    kind, thickness, *u = numbers
    width = _width(size, thickness, bolder)
    x, y = int(u[0] * size), int(u[1] * size)
    if kind < 1 / 3:
        cv2.line(canvas, (x, y), (int(u[2] * size), int(u[3] * size)), 1, width)
        return x, y
    if kind < 2 / 3:
        cv2.circle(canvas, (x, y), width, 1, -1)
        return x, y
    half_axes = 1 + int(u[2] * size / 2), 1 + int(u[3] * size / 2)
    rotation, begin, sweep = int(u[4] * 180), int(u[5] * 360), 3 + int(kind * 3 % 1 * 178)
    cv2.ellipse(canvas, (x, y), half_axes, rotation, begin, begin + sweep, 1, width)
    along, turn = math.radians(begin), math.radians(rotation)
    right, down = half_axes[0] * math.cos(along), half_axes[1] * math.sin(along)
    return (
        round(x + right * math.cos(turn) - down * math.sin(turn)),
        round(y + right * math.sin(turn) + down * math.cos(turn)),
    )


def _keep_nearest(mask: np.ndarray, candidate: np.ndarray, start: tuple[int, int], count: int) -> None:
    """Add to `mask` those `count` of the new pixels of `candidate` that are nearest to `start`; of equals, the upper ones."""
    size = len(mask)
    new = np.flatnonzero(cv2.bitwise_xor(candidate, mask).view(np.bool_))
    rows = new // size
    columns = new - rows * size
    # Distance first, then place: no two keys are equal, so the same pixels are kept on every machine.
    keys = ((columns - start[0]) ** 2 + (rows - start[1]) ** 2) * size**2 + new
    mask.reshape(-1)[np.partition(keys, count - 1)[:count] % size**2] = 1
