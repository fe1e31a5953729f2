"""Masks, fills and thumbnails of a whole batch at once, on the device that trains.

The laws are those of `occface.occlusion.masks`, `occface.occlusion.strokes` and `occface.occlusion.degrade`; the random
numbers and the rasterising are others, so what is drawn here is alike in distribution, not in bits. Shapes hang on arguments
alone, never on values, so nothing waits for the device.

A process may want only its share (rank, world) of what is drawn for a whole batch. The random numbers are then drawn for the
whole batch, and those of the other processes left unused: the shares of all together are what one process draws, bit for bit.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from occface.errors import UsageError
from occface.occlusion.capsules import NUMBERS, enough, lay_strokes, whole
from occface.occlusion.degrade import FILLS, LR_KERNELS
from occface.occlusion.masks import KINDS, SMALLEST_SIZE
from occface.occlusion.strokes import RATIO_BINS, TRAINING_BINS, hole_counts, margin
from occface.registry import did_you_mean

__all__ = ["MaskDrawer", "downsample", "draw_masks", "occlude", "own_rows", "supported"]

_SQUARE = re.compile(r"square(?:-(?P<side>\d+))?")
_STROKES = re.compile(r"irregular(?:-(?P<low>[\d.]+)-(?P<high>[\d.]+)(?:-(?P<where>inside|border))?)?")


def own_rows(drawn: Tensor, share: tuple[int, int]) -> Tensor:
    """Return the contiguous part of a whole batch that belongs to a process.

    Examples
    --------
    >>> own_rows(torch.arange(6), (1, 3))
    tensor([2, 3])
    """
    rank, world = share
    rows = len(drawn) // world
    return drawn[rank * rows : (rank + 1) * rows]


@dataclass(frozen=True)
class _Law:
    """How masks of a kind are drawn: the sides of a square, both inclusive, or what strokes are told."""

    sides: tuple[int, int] | None = None
    counts: tuple[tuple[int, int], ...] = ((1, 1),)  # of occluded pixels, both inclusive; one pair is chosen
    free: int = 0  # pixels at each side that no stroke covers
    border: bool = False  # whether the first stroke starts there

    def strokes(self, size: int) -> int:
        """Return how many strokes to draw for a mask."""
        return 0 if self.sides else enough(self.counts[-1][1] / (size - 2 * self.free) ** 2)


def _law(kind: str, size: int) -> _Law | None:
    """Return the law of a kind, by the parts of its name; None of what cannot be drawn here."""
    name = kind.partition("@")[0]
    if name not in KINDS:
        return None
    if square := _SQUARE.fullmatch(name):
        side = square["side"]
        return _Law((size // 8, size // 2) if side is None else (int(side) * size // 128,) * 2)
    if strokes := _STROKES.fullmatch(name):
        edges = strokes["low"] and (round(100 * float(strokes["low"])), round(100 * float(strokes["high"])))
        bins = [chosen for chosen in RATIO_BINS if chosen == edges] if edges else TRAINING_BINS
        inside = strokes["where"] == "inside"
        counts = tuple(hole_counts(chosen, size) for chosen in bins)
        return _Law(None, counts, margin(size) if inside else 0, strokes["where"] == "border")
    return None


def supported(kind: str) -> bool:
    """Return whether masks of a kind can be drawn here: squares and strokes, alone.

    Examples
    --------
    >>> supported("square-32@2"), supported("irregular-0.1-0.2-border"), supported("eyes"), supported("square+irregular")
    (True, True, False, False)
    """
    return _law(kind, 128) is not None


class MaskDrawer:
    """Draws masks of several kinds, mixed in one batch.

    Parameters
    ----------
    kinds : sequence of str
        Kinds that are `supported`.
    size : int
        Side of the image in pixels, from 16 to 512.
    device : torch.device
        Where.

    Raises
    ------
    UsageError
        If a kind is not supported.
    ValueError
        If the size is out of range.
    """

    def __init__(self, kinds: Sequence[str], size: int, device: torch.device | str) -> None:
        if not SMALLEST_SIZE <= size <= 512:
            raise ValueError(f"expected masks of {SMALLEST_SIZE} to 512 pixels a side, got {size}")
        laws = []
        for kind in kinds:
            law = _law(kind, size)
            if law is None:
                raise UsageError(
                    f"masks of kind '{kind}' cannot be drawn on a device, squares and strokes can: keep stored masks"
                )
            laws.append(law)
        self.size = size
        self._strokes = max(law.strokes(size) for law in laws)
        self._squares = any(law.sides for law in laws)
        bins = math.lcm(*(len(law.counts) for law in laws))
        table = [
            [*(law.sides or (0, 0)), law.free, law.border, *sum(law.counts * (bins // len(law.counts)), ())] for law in laws
        ]
        self._table = torch.tensor(table, dtype=torch.float32, device=device)

    def __call__(self, which: Tensor, generator: torch.Generator, share: tuple[int, int] = (0, 1)) -> Tensor:
        """Return a mask for each entry of `which`.

        Parameters
        ----------
        which : Tensor
            (B,) int64: the places of the masks' kinds among `kinds`, of this process alone.
        generator : torch.Generator
            The only source of randomness, on the same device.
        share : (int, int)
            Rank and number of the processes that draw a batch together.

        Returns
        -------
        Tensor
            (B, 1, size, size) uint8 {0, 1}; 1 is occluded.
        """
        shape = (len(which) * share[1], 5 + self._strokes * NUMBERS)
        numbers = own_rows(torch.rand(shape, generator=generator, device=self._table.device), share)
        low, high, free, border, *counts = self._table[which].unbind(1)
        side, left, top, chosen, count = numbers[:, :5].unbind(1)
        side = low + whole(side, high - low + 1)
        squares = _squares(whole(left, self.size - side + 1), whole(top, self.size - side + 1), side, self.size)
        if not self._strokes:
            return squares
        pairs = torch.stack(counts, 1).unflatten(1, (-1, 2))
        bin_ = whole(chosen, pairs.shape[1]).long()[:, None, None].expand(-1, 1, 2)
        smallest, largest = pairs.gather(1, bin_)[:, 0].unbind(1)
        wanted = smallest + whole(count, largest - smallest + 1)
        strokes = lay_strokes(numbers[:, 5:].unflatten(1, (-1, NUMBERS)), wanted, free, border > 0, self.size)
        return torch.where((high > 0)[:, None, None, None], squares, strokes) if self._squares else strokes


def draw_masks(
    kind: str,
    generator: torch.Generator,
    count: int,
    size: int,
    device: torch.device | str,
    share: tuple[int, int] = (0, 1),
) -> Tensor:
    """Draw masks of one kind.

    Parameters
    ----------
    kind : str
        A kind that is `supported`, with the law it has in `occface.occlusion.masks.draw_mask`.
    generator : torch.Generator
        The only source of randomness, on `device`.
    count : int
        Masks of this process.
    size : int
        Side of the image in pixels, from 16 to 512.
    device : torch.device
        Where.
    share : (int, int)
        Rank and number of the processes that draw a batch together.

    Returns
    -------
    Tensor
        (count, 1, size, size) uint8 {0, 1}; 1 is occluded.

    Raises
    ------
    UsageError
        If the kind is not supported.
    ValueError
        If the size is out of range.

    Examples
    --------
    >>> draw_masks("square-32", torch.Generator().manual_seed(0), 2, 128, "cpu").sum((1, 2, 3))
    tensor([1024, 1024])
    """
    return MaskDrawer((kind,), size, device)(torch.zeros(count, dtype=torch.int64, device=device), generator, share)


def _squares(left: Tensor, top: Tensor, side: Tensor, size: int) -> Tensor:
    place = torch.arange(size, device=side.device)

    def within(start: Tensor) -> Tensor:
        return (place >= start[:, None]) & (place < (start + side)[:, None])

    return (within(top)[:, None, :, None] & within(left)[:, None, None, :]).to(torch.uint8)


def occlude(hr: Tensor, mask: Tensor, fill: str, generator: torch.Generator, share: tuple[int, int] = (0, 1)) -> Tensor:
    """Return copies of pictures with the pixels under their masks replaced.

    Parameters
    ----------
    hr : Tensor
        (B, 3, H, W) uint8 RGB.
    mask : Tensor
        (B, 1, H, W) uint8 {0, 1} or bool; 1 is occluded.
    fill : str
        One of `occface.occlusion.degrade.FILLS`. A picture that is hidden whole has the mean colour 0.
    generator : torch.Generator
        Drawn from by the noise fills alone.
    share : (int, int)
        Rank and number of the processes that draw a batch together.

    Returns
    -------
    Tensor
        (B, 3, H, W) uint8.

    Raises
    ------
    UsageError
        If the fill is unknown.
    """
    if fill not in FILLS:
        raise UsageError(f"unknown fill '{fill}': {did_you_mean(fill, FILLS)}")
    hole = mask.bool()
    if fill == "mean":
        seen = (~hole).sum((2, 3), keepdim=True)
        return torch.where(hole, ((hr * ~hole).sum((2, 3), keepdim=True) / seen.clamp(min=1)).round().to(torch.uint8), hr)
    if fill in ("gray", "zero"):
        return hr.masked_fill(hole, 128 if fill == "gray" else 0)
    shape = (len(hr) * share[1], *hr.shape[1:])
    lowest = 128 if fill == "noise01" else 0
    noise = torch.randint(lowest, 256, shape, generator=generator, dtype=torch.uint8, device=hr.device)
    return torch.where(hole, own_rows(noise, share), hr)


def downsample(images: Tensor, size: int = 16, kernel: str = "antialiased") -> Tensor:
    """Make pictures small with one of the bilinear kernels, to a grey level as `occface.occlusion.degrade.downsample` does.

    Parameters
    ----------
    images : Tensor
        (B, 3, H, W) uint8.
    size : int
        Side of the result in pixels.
    kernel : str
        One of `occface.occlusion.degrade.LR_KERNELS`.

    Returns
    -------
    Tensor
        (B, 3, size, size) uint8.

    Raises
    ------
    UsageError
        If the kernel is unknown.

    Examples
    --------
    >>> downsample(torch.full((1, 3, 128, 128), 7, dtype=torch.uint8)).unique()
    tensor([7], dtype=torch.uint8)
    """
    if kernel not in LR_KERNELS:
        raise UsageError(f"unknown LR kernel '{kernel}': {did_you_mean(kernel, LR_KERNELS)}")
    if kernel == "align-corners":
        return F.interpolate(images.float(), (size, size), mode="bilinear", align_corners=True).round().to(torch.uint8)
    if kernel == "cv2":
        return _half_up(F.interpolate(images.float(), (size, size), mode="bilinear")).to(torch.uint8)
    # Pillow goes across, rounds, and goes down.
    rows = _half_up(F.interpolate(images.float(), (images.shape[2], size), mode="bilinear", antialias=True))
    return _half_up(F.interpolate(rows, (size, size), mode="bilinear", antialias=True)).to(torch.uint8)


def _half_up(values: Tensor) -> Tensor:
    return (values + 0.5).floor()
