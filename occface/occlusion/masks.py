"""Occlusion masks by name: squares, irregular strokes in hole-ratio bins, and random walks."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from occface.errors import UsageError
from occface.occlusion.strokes import RATIO_BINS, TRAINING_BINS, draw_strokes
from occface.occlusion.walk import draw_walk
from occface.registry import did_you_mean

__all__ = ["KINDS", "SMALLEST_SIZE", "draw_mask", "mask_family"]

SMALLEST_SIZE = 16
#: The fixed sides m1 to m5 of the paper's study of the mask size, in pixels of the 128 crop.
_FIXED_SIDES = (16, 24, 32, 48, 64)


def _square(rng: np.random.Generator, size: int, side: int | None = None) -> np.ndarray:
    side = int(rng.integers(size // 8, size // 2 + 1)) if side is None else side * size // 128
    left, top = rng.integers(0, size - side + 1, 2).tolist()
    mask = np.zeros((size, size), np.uint8)
    mask[top : top + side, left : left + side] = 1
    return mask


def _irregular(rng: np.random.Generator, size: int) -> np.ndarray:
    return draw_strokes(rng, size, TRAINING_BINS[int(rng.integers(len(TRAINING_BINS)))])


def _bin_name(ratio_bin: tuple[int, int]) -> str:
    return f"irregular-{ratio_bin[0] / 100:g}-{ratio_bin[1] / 100:g}"


_DRAW: dict[str, Callable[[np.random.Generator, int], np.ndarray]] = {
    "square": _square,
    **{f"square-{side}": partial(_square, side=side) for side in _FIXED_SIDES},
    "irregular": _irregular,
    **{_bin_name(ratio_bin): partial(draw_strokes, ratio_bin=ratio_bin) for ratio_bin in RATIO_BINS},
    "walk": draw_walk,
}

#: The names of all masks.
KINDS: tuple[str, ...] = tuple(_DRAW)


def draw_mask(kind: str, rng: np.random.Generator, size: int = 128) -> np.ndarray:
    """Draw one occlusion mask.

    Parameters
    ----------
    kind : str
        ``"square"``: side uniform over 16..64 (paper, section IV), position uniform inside the image;
        ``"square-16"``, ``-24``, ``-32``, ``-48``, ``-64``: a fixed side (the paper's m1..m5);
        ``"irregular"``: strokes, the hole ratio uniform within a bin, the bins (0.01, 0.1], (0.1, 0.2], (0.2, 0.3] mixed
        uniformly; ``"irregular-0.01-0.1"`` to ``"irregular-0.5-0.6"``: strokes of one bin;
        ``"walk"``: the random walk of the released code. Sides are in pixels of a 128 crop and scale with `size`.
    rng : numpy.random.Generator
        The only source of randomness, usually `occface.seeding.rng(seed, split, index, stream)`.
    size : int
        Side of the image in pixels, at least 16.

    Returns
    -------
    numpy.ndarray
        uint8 {0, 1} of shape (size, size); 1 is occluded.

    Raises
    ------
    UsageError
        If the kind is unknown; the message offers the nearest known one.
    ValueError
        If the size is less than 16.

    Examples
    --------
    >>> int(draw_mask("square-32", np.random.default_rng(0)).sum())
    1024
    """
    draw = _DRAW.get(kind)
    if draw is None:
        raise UsageError(f"unknown mask '{kind}': {did_you_mean(kind, KINDS)}")
    if size < SMALLEST_SIZE:
        raise ValueError(f"expected a mask of at least {SMALLEST_SIZE} pixels a side, got {size}")
    return draw(rng, size)


def mask_family(kind: str) -> str:
    """Return the family of a mask kind, under which the paper's tables list it: ``"square"``, ``"irregular"`` or ``"walk"``.

    Examples
    --------
    >>> mask_family("irregular-0.1-0.2")
    'irregular'
    """
    return kind.partition("-")[0]
