"""The hourglass: down to a coarse view of the features and back up, with a way across at every size.

Newell et al., "Stacked Hourglass Networks for Human Pose Estimation", ECCV 2016. Which blocks it is made of, and how many,
differs from method to method; how they hang together does not.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from occface.networks.layers import QuietStart, conv3x3

__all__ = ["BottleneckBlock", "Hourglass", "PreactivationBlock", "fresh_gain"]


class _Preactivated(QuietStart):
    """A branch, each of whose convolutions is normalised and rectified before, added to its input."""

    branch: nn.Sequential
    across: nn.Module

    @torch.no_grad()
    def settle(self) -> None:
        """Let the branch start at a tenth of its size, which its last convolution sets."""
        self.branch[-1].get_parameter("weight").mul_(0.1)

    def forward(self, x: Tensor) -> Tensor:
        """Return features (B, out, H, W) of features (B, channels, H, W)."""
        return self.across(x) + self.branch(x)


class PreactivationBlock(_Preactivated):
    """A 3x3 and a 1x1 convolution, each behind batch normalisation and ReLU, added to their input (FHC's block).

    Parameters
    ----------
    channels : int
        Channels that come in.
    out : int, optional
        Channels that go out, otherwise as many; if they differ, the input passes a 1x1 convolution before it is added.

    Examples
    --------
    >>> sum(p.numel() for p in PreactivationBlock(64).parameters())
    41344
    """

    def __init__(self, channels: int, out: int | None = None) -> None:
        super().__init__()
        out = channels if out is None else out
        self.branch = nn.Sequential(*_activated(channels), conv3x3(channels, out), *_activated(out), nn.Conv2d(out, out, 1))
        self.across = nn.Identity() if out == channels else nn.Conv2d(channels, out, 1)


class BottleneckBlock(_Preactivated):
    """1x1 to half the channels that go out, 3x3, 1x1 back, each behind batch normalisation and ReLU, added to their input.

    Parameters
    ----------
    channels, out : int
        As of `PreactivationBlock`.

    Examples
    --------
    >>> sum(p.numel() for p in BottleneckBlock(128).parameters())
    54016
    """

    def __init__(self, channels: int, out: int | None = None) -> None:
        super().__init__()
        out = channels if out is None else out
        half = out // 2
        self.branch = nn.Sequential(
            *_activated(channels),
            nn.Conv2d(channels, half, 1),
            *_activated(half),
            conv3x3(half, half),
            *_activated(half),
            nn.Conv2d(half, out, 1),
        )
        self.across = nn.Identity() if out == channels else nn.Conv2d(channels, out, 1)


def _activated(channels: int) -> tuple[nn.Module, nn.Module]:
    # In place is safe: what ReLU overwrites is the normalisation's own output, never the block's input.
    return nn.BatchNorm2d(channels), nn.ReLU(inplace=True)


class Hourglass(nn.Module):
    """One hourglass; it keeps size and channels, and every node has weights of its own.

    A level adds two branches: one stays at the size; the other is halved (the largest of 2x2), passes the next level (the
    innermost: a node of its own) and is enlarged again to the nearest. There is a node beside, one behind the pool and one
    before the enlarging.

    Parameters
    ----------
    depth : int
        Levels: height and width must be multiples of 2 to this power.
    channels : int
        Channels throughout.
    block : callable
        Makes a block that keeps its channels from their number, such as `PreactivationBlock`.
    blocks_per_node : int
        Blocks in a row at each node.
    exits : bool
        Whether there is a node before the enlarging; FHC's hourglasses have none.

    Examples
    --------
    >>> glass = Hourglass(2, 8, PreactivationBlock)
    >>> sum(isinstance(part, PreactivationBlock) for part in glass.modules())
    7
    """

    def __init__(
        self,
        depth: int,
        channels: int,
        block: Callable[[int], nn.Module],
        blocks_per_node: int = 1,
        exits: bool = True,
    ) -> None:
        super().__init__()

        def node() -> nn.Module:
            return nn.Sequential(*(block(channels) for _ in range(blocks_per_node)))

        self.beside = node()
        self.entry = node()
        inner = node() if depth == 1 else Hourglass(depth - 1, channels, block, blocks_per_node, exits)
        self.inner: nn.Module = inner
        self.exit = node() if exits else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Return features of the shape of `x`, (B, channels, H, W)."""
        low = self.exit(self.inner(self.entry(F.max_pool2d(x, 2))))
        return self.beside(x) + F.interpolate(low, scale_factor=2, mode="nearest")


def fresh_gain(depth: int, hourglasses: int) -> float:
    """Return about how much larger than what it is given is what a chain of fresh hourglasses gives.

    A fresh block adds little to its input, but each level adds what comes from below to what stays beside it: a level more is
    the input once more.

    Examples
    --------
    >>> fresh_gain(3, 2)
    16.0
    """
    return float((depth + 1) ** hourglasses)
