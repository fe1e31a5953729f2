"""The hourglass: sizes of the methods built on it, and its wiring against arithmetic written out."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from occface.networks.hourglass import BottleneckBlock, Hourglass, PreactivationBlock, fresh_gain
from occface.networks.layers import initialise


def count(network):
    return sum(p.numel() for p in network.parameters())


# a bottleneck of c channels: 1x1, 3x3, 1x1 and three normalisations; a pre-activation block: 3x3, 1x1 and two
BOTTLENECK_256 = 2 * 256 + (256 * 128 + 128) + 256 + (9 * 128 * 128 + 128) + 256 + (128 * 256 + 256)
PREACTIVATION_64 = 2 * 64 + (9 * 64 * 64 + 64) + 2 * 64 + (64 * 64 + 64)


@pytest.mark.parametrize(
    ("made", "wanted"),
    [
        (lambda: Hourglass(4, 256, BottleneckBlock, 4), 13 * 4 * BOTTLENECK_256),  # three nodes a level, and the innermost
        (lambda: Hourglass(4, 64, PreactivationBlock, exits=False), 9 * PREACTIVATION_64),
    ],
)
def test_every_node_has_weights_of_its_own(made, wanted):
    with torch.device("meta"):
        assert count(made()) == wanted


@pytest.mark.parametrize("exits", [True, False])
def test_wiring_written_out(exits):
    torch.manual_seed(0)
    glass = Hourglass(2, 3, lambda channels: nn.Conv2d(channels, channels, 1), exits=exits)
    x = torch.randn(2, 3, 8, 12)

    def pooled(x):
        cells = torch.stack([x[..., 0::2, 0::2], x[..., 0::2, 1::2], x[..., 1::2, 0::2], x[..., 1::2, 1::2]])
        return cells.amax(0)

    def enlarged(x):
        return x.repeat_interleave(2, 2).repeat_interleave(2, 3)

    outer, inner = glass, glass.inner
    low = outer.entry(pooled(x))
    lowest = inner.inner(inner.entry(pooled(low)))
    low = inner.beside(low) + enlarged(inner.exit(lowest) if exits else lowest)
    wanted = outer.beside(x) + enlarged(outer.exit(low) if exits else low)
    torch.testing.assert_close(glass(x), wanted)


@pytest.mark.parametrize("kind", [PreactivationBlock, BottleneckBlock])
def test_blocks_add_to_their_input_and_leave_it_as_it_was(kind):
    torch.manual_seed(0)
    same, other, x = kind(8), kind(8, 12), torch.randn(2, 8, 4, 4)
    before = x.clone()
    torch.testing.assert_close(same(x) - x, same.branch(x))
    torch.testing.assert_close(other(x) - other.branch(x), other.across(x))
    assert other(x).shape == (2, 12, 4, 4)
    assert torch.equal(x, before)


@pytest.mark.parametrize("kind", [PreactivationBlock, BottleneckBlock])
@torch.no_grad()
def test_fresh_chains_grow_by_their_levels_alone(kind):
    torch.manual_seed(0)
    chain = nn.Sequential(*(Hourglass(3, 32, kind) for _ in range(2)))
    initialise(chain)
    x = torch.ones(2, 32, 32, 32) + 0.1 * torch.randn(2, 32, 32, 32)  # little for a pool to pick
    grown = float(chain(x).square().mean().sqrt() / x.square().mean().sqrt())
    assert grown == pytest.approx(fresh_gain(3, 2), rel=0.5)
