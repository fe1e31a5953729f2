"""The strokes of irregular masks, drawn for a whole batch at once on the device that trains.

The laws are those of `occface.occlusion.strokes`. A stroke is a chain of capsules, straight pieces with round ends; a capsule
covers one run of pixels in each row it meets. No shape hangs on a value, so nothing waits for the device.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

# The host's constants are not copied: two laws that drift apart would be two kinds of masks under one name.
from occface.occlusion.strokes import STROKES_PER_PIXEL, THICKEST_SHARE, THINNEST

__all__ = ["NUMBERS", "enough", "lay_strokes", "whole"]

NUMBERS = 8
"""How many numbers in [0, 1) say a stroke, here and on the host."""

_PIECES = 8  # straight ones that stand for an arc: none is more than 1.3 pixels from it at 128
# OpenCV rounds a thickness up to the next odd number and fills what the outline touches. With this much added to half that
# number, masks drawn here and there from the same numbers share 95 per cent of their union, and edges are as long within 1.
_OUTLINE = 0.4


def enough(share: float) -> int:
    """Return how many strokes to draw to hide a share of the canvas: 3,000 masks of each bin took no more on the host.

    Examples
    --------
    >>> enough(0.1), enough(0.6)
    (21, 76)
    """
    return 10 + math.ceil(110 * share)


def whole(numbers: Tensor, count: Tensor | int) -> Tensor:
    """Turn numbers in [0, 1) into whole ones from 0 to `count` - 1, of the same type.

    Examples
    --------
    >>> whole(torch.tensor([0.0, 0.5, 1 - 2**-24]), 1639)
    tensor([   0.,  819., 1638.])
    """
    # A number just below 1 times the count may be rounded up to the count itself.
    return (numbers * count).floor().clamp(max=count - 1)


def lay_strokes(numbers: Tensor, wanted: Tensor, free: Tensor, border: Tensor, size: int) -> Tensor:
    """Return masks of so many pixels, hidden by strokes.

    The pixels that are hidden come first in this order: by the first stroke that covers them, then by nearness to its start.
    That is the strokes laid down one after another until the count is reached, with the last cut to what is nearest its start.
    Pixels that no stroke covers come after all others, so the count is met whatever the numbers are.

    Parameters
    ----------
    numbers : Tensor
        (B, strokes, `NUMBERS`) float32 in [0, 1).
    wanted : Tensor
        (B,) how many pixels to hide.
    free : Tensor
        (B,) how many pixels at each side of the image to keep away from.
    border : Tensor
        (B,) bool: whether the first stroke starts at the border.
    size : int
        Side of the image in pixels, up to 512.

    Returns
    -------
    Tensor
        (B, 1, size, size) uint8 {0, 1}; 1 is occluded.
    """
    rows, strokes, _ = numbers.shape
    free, border = free[:, None], border[:, None]
    order = torch.arange(strokes, device=numbers.device).expand(rows, -1)
    # Arcs, a third of all, are chains of several capsules, other strokes of one.
    pieces = torch.where((numbers[..., 0] < 2 / 3) | (border & (order == 0)), 1, _PIECES)
    ends = pieces.cumsum(1)
    slots = torch.arange(math.ceil(strokes * (2 + _PIECES) / 3), device=numbers.device).expand(rows, -1).contiguous()
    owner = torch.searchsorted(ends, slots, right=True).clamp(max=strokes - 1)
    piece = torch.minimum(slots - (ends - pieces).gather(1, owner), pieces.gather(1, owner) - 1)
    owned = numbers.gather(1, owner[..., None].expand(-1, -1, NUMBERS))
    low, high = _runs(*_capsules(owned, owner, piece, free, border, size), size)
    first = _first_cover(low, high, owner, strokes)

    start_x, start_y, *_ = _capsules(numbers, order, torch.zeros_like(order), free, border, size)
    covering = first.clamp(max=strokes - 1).long().flatten(1)
    place = torch.arange(size, device=numbers.device)
    from_x = place - start_x.round().int().gather(1, covering).view(rows, size, size)
    from_y = place[:, None] - start_y.round().int().gather(1, covering).view(rows, size, size)
    # Whole numbers, exact: no start lies farther from a pixel than one and a half sides each way.
    keys = first * (8 * size**2) + (from_x**2 + from_y**2).int()
    kept = (place >= free) & (place < size - free)
    keys = torch.where(kept[:, :, None] & kept[:, None, :], keys, torch.iinfo(torch.int32).max)
    # The sort is stable: of equals, the upper ones come first, as on the host.
    ranked = keys.flatten(1).argsort(dim=1, stable=True)
    hidden = (torch.arange(size**2, device=numbers.device) < wanted[:, None]).to(torch.uint8)
    return torch.zeros_like(hidden).scatter_(1, ranked, hidden).view(rows, 1, size, size)


def _capsules(
    numbers: Tensor, stroke: Tensor, piece: Tensor, free: Tensor, border: Tensor, size: int
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Return the two ends (x, y, x, y) and the radius of pieces of strokes, from eight numbers in [0, 1) each, (B, M, 8)."""
    canvas = size - 2 * free
    kind, thickness, *u = numbers.unbind(-1)
    thickest = (canvas * THICKEST_SHARE).floor().clamp(min=THINNEST)
    width = THINNEST + whole(thickness, thickest - THINNEST + 1) + stroke // STROKES_PER_PIXEL

    at_border = border & (stroke == 0)
    around = whole(u[0], 4 * canvas)
    edge, along = (around / canvas).floor(), around % canvas
    border_x = torch.where(edge == 1, canvas - 1, torch.where(edge == 3, 0, along))
    border_y = torch.where(edge == 2, canvas - 1, torch.where(edge == 0, 0, along))
    x = torch.where(at_border, border_x, whole(u[0], canvas))
    y = torch.where(at_border, border_y, whole(u[1], canvas))
    to_x = whole(torch.where(at_border, u[1], u[2]), canvas)
    to_y = whole(torch.where(at_border, u[2], u[3]), canvas)

    wide, high = 1 + (u[2] * canvas / 2).floor(), 1 + (u[3] * canvas / 2).floor()
    turn = torch.deg2rad(whole(u[4], 180))
    begin, sweep = whole(u[5], 360), 3 + whole(kind * 3 % 1, 178)

    def on_ellipse(share: Tensor) -> tuple[Tensor, Tensor]:
        angle = torch.deg2rad(begin + sweep * share)
        right, down = wide * angle.cos(), high * angle.sin()
        return x + right * turn.cos() - down * turn.sin(), y + right * turn.sin() + down * turn.cos()

    line = kind < torch.where(at_border, 1 / 2, 1 / 3)
    arc = (kind >= 2 / 3) & ~at_border
    arc_x, arc_y = on_ellipse(piece / _PIECES)
    arc_to_x, arc_to_y = on_ellipse((piece + 1) / _PIECES)
    ends = (
        torch.where(arc, arc_x, x) + free,
        torch.where(arc, arc_y, y) + free,
        torch.where(arc, arc_to_x, torch.where(line, to_x, x)) + free,
        torch.where(arc, arc_to_y, torch.where(line, to_y, y)) + free,
    )
    return *ends, torch.where(line | arc, ((width + 1) / 2).floor() + _OUTLINE, width)


def _runs(x0: Tensor, y0: Tensor, x1: Tensor, y1: Tensor, radius: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Return where each capsule begins and ends in each row, (B, M, size); it is convex, so it covers one run of a row.

    Where it covers nothing, the beginning is infinite.
    """
    x0, y0, x1, y1, radius = (value[..., None] for value in (x0, y0, x1, y1, radius))
    row = torch.arange(size, device=x0.device)
    length = torch.hypot(x1 - x0, y1 - y0)
    # A disc is a capsule of length 0; its direction does not matter.
    right = torch.where(length > 0, (x1 - x0) / length.clamp(min=1e-6), 1.0)
    down = torch.where(length > 0, (y1 - y0) / length.clamp(min=1e-6), 0.0)

    def between(slope: Tensor, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        """Return from where to where low <= slope * x <= high; far off the picture rather than nowhere, if slope is 0."""
        slope = torch.where(slope.abs() < 1e-6, 1e-6, slope)
        one, other = low / slope, high / slope
        return torch.minimum(one, other), torch.maximum(one, other)

    def disc(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        square = radius**2 - (row - y) ** 2
        half = square.clamp(min=0).sqrt()
        return torch.where(square >= 0, x - half, torch.inf), torch.where(square >= 0, x + half, -torch.inf)

    below = row - y0
    along_low, along_high = between(right, -below * down, length - below * down)
    across_low, across_high = between(down, below * right - radius, below * right + radius)
    body_low, body_high = torch.maximum(along_low, across_low), torch.minimum(along_high, across_high)
    empty = body_low > body_high
    runs = [disc(x0, y0), disc(x1, y1)]
    runs.append((torch.where(empty, torch.inf, x0 + body_low), torch.where(empty, -torch.inf, x0 + body_high)))
    lows, highs = zip(*runs, strict=True)
    return torch.stack(lows).amin(0), torch.stack(highs).amax(0)


def _first_cover(low: Tensor, high: Tensor, owner: Tensor, strokes: int) -> Tensor:
    """Return for each pixel the number of the first stroke that covers it, or how many there are, (B, size, size) int32.

    A run is the union of two runs whose length is a power of two. Each is noted where it begins, in the table of its length;
    then, from the longest to the shortest, each is handed down to its two halves. That takes a step for each power of two,
    not one for each capsule.
    """
    rows, _, size = low.shape
    begin, end = low.ceil().clamp(0, size), high.floor().clamp(-1, size - 1) + 1
    # Half a pixel more, so that no rounding can take the logarithm of a power of two for less.
    exponent = ((end - begin).clamp(min=1) + 0.5).log2().long()
    number = torch.where(end > begin, owner[..., None], strokes).int().flatten(1)
    tables = torch.full((rows, size.bit_length(), size, size), strokes, dtype=torch.int32, device=low.device)
    line = exponent * size**2 + torch.arange(size, device=low.device) * size
    for start in (begin.long(), end.long() - 2**exponent):
        # Where there is no run the place means nothing, nor does the number noted there.
        tables.view(rows, -1).scatter_reduce_(1, (line + start.clamp(0, size - 1)).flatten(1), number, "amin")
    for power in range(size.bit_length() - 1, 0, -1):
        half = 1 << (power - 1)
        longer, shorter = tables[:, power], tables[:, power - 1]
        torch.minimum(shorter, longer, out=shorter)
        torch.minimum(shorter[..., half:], longer[..., :-half], out=shorter[..., half:])
    return tables[:, 0]
