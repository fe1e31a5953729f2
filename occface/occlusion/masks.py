"""Occlusion masks by name: squares, irregular strokes, random walks, parts of the face, masks of the user's own.

A name is that of one kind, or of several joined by ``+``, and may end in the number of a draw: ``square-32``,
``eyes+irregular``, ``irregular@2``.
"""

from __future__ import annotations

import functools
import re
from functools import partial
from typing import Protocol

import numpy as np

from occface.errors import UsageError
from occface.occlusion.folder import MaskFolder
from occface.occlusion.regions import REGIONS, draw_region
from occface.occlusion.strokes import RATIO_BINS, TRAINING_BINS, draw_border_strokes, draw_inside_strokes, draw_strokes
from occface.occlusion.walk import draw_walk
from occface.registry import did_you_mean

__all__ = ["KINDS", "SMALLEST_SIZE", "check_kind", "draw_mask", "mask_family", "needs_folder", "needs_landmarks"]

SMALLEST_SIZE = 16
#: The fixed sides m1 to m5 of the paper's study of the mask size, in pixels of the 128 crop.
_FIXED_SIDES = (16, 24, 32, 48, 64)
_FOLDER = "folder"
_DRAW_NUMBER = re.compile(r"[1-9][0-9]{0,5}")


class _Draw(Protocol):
    def __call__(self, rng: np.random.Generator, size: int) -> np.ndarray: ...


def _square(rng: np.random.Generator, size: int, side: int | None = None) -> np.ndarray:
    side = int(rng.integers(size // 8, size // 2 + 1)) if side is None else side * size // 128
    left, top = rng.integers(0, size - side + 1, 2).tolist()
    mask = np.zeros((size, size), np.uint8)
    mask[top : top + side, left : left + side] = 1
    return mask


def _irregular(rng: np.random.Generator, size: int) -> np.ndarray:
    return draw_strokes(rng, size, TRAINING_BINS[int(rng.random() * len(TRAINING_BINS))])


def _bin_name(ratio_bin: tuple[int, int]) -> str:
    return f"irregular-{ratio_bin[0] / 100:g}-{ratio_bin[1] / 100:g}"


#: The kinds that need nothing but a generator.
_DRAW: dict[str, _Draw] = {
    "square": _square,
    **{f"square-{side}": partial(_square, side=side) for side in _FIXED_SIDES},
    "irregular": _irregular,
    **{_bin_name(ratio_bin): partial(draw_strokes, ratio_bin=ratio_bin) for ratio_bin in RATIO_BINS},
    **{f"{_bin_name(ratio_bin)}-inside": partial(draw_inside_strokes, ratio_bin=ratio_bin) for ratio_bin in RATIO_BINS},
    **{f"{_bin_name(ratio_bin)}-border": partial(draw_border_strokes, ratio_bin=ratio_bin) for ratio_bin in RATIO_BINS},
    "walk": draw_walk,
}

#: The names of all single kinds.
KINDS: tuple[str, ...] = (*_DRAW, *REGIONS, _FOLDER)


@functools.lru_cache(maxsize=256)
def _parts(kind: str) -> tuple[str, ...]:
    """Return the single kinds that a name is made of; raise `UsageError` if it is none."""
    joined, at, number = kind.partition("@")
    parts = tuple(joined.split("+"))
    for part in parts:
        if part not in KINDS:
            where = "" if part == kind else f" in '{kind}'"
            raise UsageError(f"unknown mask '{part}'{where}: {did_you_mean(part, KINDS)}")
    if at and (number == "1" or not _DRAW_NUMBER.fullmatch(number)):
        raise UsageError(f"expected the number of a further draw, from 2 on, after '@' in mask '{kind}', as in '{joined}@2'")
    return parts


def check_kind(kind: str) -> None:
    """Raise `UsageError` unless a name is that of a mask; the message offers the nearest known one.

    Examples
    --------
    >>> check_kind("eyes+square-32@2")
    >>> check_kind("eyes@1")
    Traceback (most recent call last):
    ...
    occface.errors.UsageError: expected the number of a further draw, from 2 on, after '@' in mask 'eyes@1', as in 'eyes@2'
    """
    _parts(kind)


def needs_landmarks(kind: str) -> bool:
    """Return whether a mask is drawn by the landmarks of a face.

    Examples
    --------
    >>> needs_landmarks("square-32+eyes"), needs_landmarks("irregular")
    (True, False)
    """
    return any(part in REGIONS for part in _parts(kind))


def needs_folder(kind: str) -> bool:
    """Return whether a mask is taken from a folder of the user's.

    Examples
    --------
    >>> needs_folder("folder@2"), needs_folder("irregular")
    (True, False)
    """
    return _FOLDER in _parts(kind)


def draw_mask(
    kind: str,
    rng: np.random.Generator,
    size: int = 128,
    *,
    landmarks: np.ndarray | None = None,
    folder: MaskFolder | None = None,
) -> np.ndarray:
    """Draw one occlusion mask.

    Parameters
    ----------
    kind : str
        ``"square"``: side uniform over 16..64 (paper, section IV), position uniform inside the image;
        ``"square-16"``, ``-24``, ``-32``, ``-48``, ``-64``: a fixed side (the paper's m1..m5);
        ``"irregular"``: strokes, the hole ratio uniform within a bin, the bins (0.01, 0.1], (0.1, 0.2], (0.2, 0.3] mixed
        uniformly; ``"irregular-0.01-0.1"`` to ``"irregular-0.5-0.6"``: strokes of one bin, anywhere, or with ``"-inside"``
        away from the border, or with ``"-border"`` touching it;
        ``"walk"``: the random walk of the released code; a name in `occface.occlusion.regions.REGIONS`: a part of the face,
        or what often hides one; ``"folder"``: one of the user's own masks. Sides are in pixels of a 128 crop and scale with
        `size`. Kinds joined by ``"+"`` are drawn one after the other and united. A further draw, ``"@2"`` and so on, has the
        distribution of the first: it differs for a caller whose generator hangs on the name.
    rng : numpy.random.Generator
        The only source of randomness, usually `occface.seeding.rng(seed, split, index, stream)`.
    size : int
        Side of the image in pixels, at least 16.
    landmarks : numpy.ndarray, optional
        (68, 2), (x, y) in pixels of the image, pixel centres at integers: for the kinds that `needs_landmarks` names.
    folder : MaskFolder, optional
        For the kinds that `needs_folder` names.

    Returns
    -------
    numpy.ndarray
        uint8 {0, 1} of shape (size, size); 1 is occluded.

    Raises
    ------
    UsageError
        If the kind is unknown, or a folder is needed and not given.
    BadImageError
        If the face's landmarks are such that nothing, or everything, would be hidden.
    ValueError
        If the size is less than 16, or landmarks are needed and not given.

    Examples
    --------
    >>> int(draw_mask("square-32", np.random.default_rng(0)).sum())
    1024
    """
    parts = _parts(kind)
    if size < SMALLEST_SIZE:
        raise ValueError(f"expected a mask of at least {SMALLEST_SIZE} pixels a side, got {size}")
    mask = _draw_part(parts[0], rng, size, landmarks, folder)
    for part in parts[1:]:
        mask |= _draw_part(part, rng, size, landmarks, folder)
    return mask


def _draw_part(
    part: str, rng: np.random.Generator, size: int, landmarks: np.ndarray | None, folder: MaskFolder | None
) -> np.ndarray:
    if part == _FOLDER:
        if folder is None:
            raise UsageError("the mask 'folder' takes its masks from a folder, and none is given: name one by --mask-dir DIR")
        return folder.draw(rng, size)
    if part in REGIONS:
        if landmarks is None:
            raise ValueError(f"the mask '{part}' is drawn by landmarks: expected landmarks of shape (68, 2), got none")
        return draw_region(part, rng, size, landmarks)
    return _DRAW[part](rng, size)


def mask_family(kind: str) -> str:
    """Return the family of a mask.

    The families of single kinds are ``"square"``, ``"irregular"``, ``"walk"`` (the paper's tables list their masks under the
    first two), ``"region"`` and ``"folder"``. Of united masks it is the families of all parts: no table of the paper has them.
    The name is not checked, for mask types of other data sets are told apart by it too.

    Examples
    --------
    >>> mask_family("irregular-0.1-0.2@2"), mask_family("eyes+square-32")
    ('irregular', 'region+square')
    """
    parts = kind.partition("@")[0].split("+")
    return "+".join("region" if part in REGIONS else part.partition("-")[0] for part in parts)
