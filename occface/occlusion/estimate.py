"""A mask for a thumbnail that comes without one: which of its pixels look filled.

Whoever has a small occluded face has no mask of it, but methods that fill holes must be told where these are. This looks
for the colour that the holes are filled with, and for nothing else: it finds flat fills, not real things before a face.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["estimate_mask", "fill_colour", "flat_fill"]

#: How far from the fill colour a pixel may lie, as a distance in RGB whose channels run from -1 to 1: 0.1 is 13 of 255 grey
#: levels. Set on 100 training faces of CelebA-HQ. More of it finds more of thin strokes, and takes more greyish skin for holes.
TOLERANCE = 0.1
#: What a pixel in the two outermost rows and columns counts when the fill is looked for: backgrounds are flat too.
_BORDER_WEIGHT = 0.2
_FLAT = {"gray": 128 / 127.5 - 1, "zero": -1.0}


def flat_fill(fill: str) -> tuple[float, float, float] | None:
    """Return the colour that a fill of `occface.occlusion.degrade.FILLS` is everywhere, in [-1, 1]; None if it is none.

    Examples
    --------
    >>> flat_fill("zero"), flat_fill("noise")
    ((-1.0, -1.0, -1.0), None)
    """
    return (_FLAT[fill],) * 3 if fill in _FLAT else None


def fill_colour(lr: Tensor) -> Tensor:
    """Return for each face the colour that most of its pixels share exactly, those near the border counting less.

    Skin and hair hardly ever give two pixels of exactly one colour, the inside of a filled hole does. Where no pixel lies
    wholly inside a hole, what is found is chance.

    Parameters
    ----------
    lr : Tensor
        (B, 3, h, w) in [-1, 1], of uint8 pictures.

    Returns
    -------
    Tensor
        (B, 3, 1, 1).
    """
    weight = torch.full(lr.shape[-2:], _BORDER_WEIGHT, device=lr.device)
    weight[2:-2, 2:-2] = 1
    pixels = lr.flatten(2)
    alike = ((pixels[:, :, :, None] - pixels[:, :, None, :]).abs().amax(1) < 0.5 / 127.5).float()
    best = (alike @ weight.flatten()).argmax(1)
    return pixels.gather(2, best[:, None, None].expand(-1, lr.shape[1], 1))[..., None]


def estimate_mask(lr: Tensor, fill: tuple[float, float, float] | None = None, size: int = 128) -> Tensor:
    """Estimate which cells of a face are occluded, from the LR face alone.

    A pixel is taken for filled where its colour is near the fill's. An LR pixel averages over a neighbourhood twice as wide
    as its cell, so around those that are wholly filled lie others that are so in part, and their colour tells little: all
    eight neighbours of a filled pixel are taken for occluded too.

    Parameters
    ----------
    lr : Tensor
        (B, 3, h, w) float in [-1, 1], occluded.
    fill : tuple of float, optional
        The colour of the fill in [-1, 1], if it is known; else each face's is looked for by `fill_colour`.
    size : int
        Height and width of the mask: a whole multiple of the LR face's.

    Returns
    -------
    Tensor
        (B, 1, size, size) float, 1 where occluded: whole cells.

    Raises
    ------
    ValueError
        If the size is no multiple of the LR face's.

    Examples
    --------
    >>> lr = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    >>> lr[..., 4:6, 4:6] = -1
    >>> int(estimate_mask(lr, fill=(-1, -1, -1)).sum()) == 4 * 4 * 64
    True
    """
    if size % lr.shape[-1] or lr.shape[-1] != lr.shape[-2]:
        raise ValueError(f"expected a square LR face whose side divides {size}, got {tuple(lr.shape)}")
    colour = fill_colour(lr) if fill is None else torch.tensor(fill, dtype=lr.dtype, device=lr.device)[:, None, None]
    near = (lr - colour).square().sum(1, keepdim=True).sqrt() < TOLERANCE
    return F.interpolate(F.max_pool2d(near.float(), 3, stride=1, padding=1), scale_factor=size // lr.shape[-1], mode="nearest")
