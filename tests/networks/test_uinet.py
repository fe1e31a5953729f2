"""Pro-UInet's shapes, sizes and wiring against the tensor walk of the specification."""

from __future__ import annotations

import io

import pytest
import torch

from occface.networks.uinet import UInet


def small(**changes):
    torch.manual_seed(0)
    options = {"attention": "cosine_linear", "norm": "batch"} | changes
    return UInet((16, 12, 8), (1, 2, 1), **options)


@pytest.mark.parametrize(
    ("channels", "blocks", "wanted"),
    [(128, (8, 7, 6), 10_564_440), (64, (3, 3, 3), 1.98e6), (32, (2, 2, 2), 0.56e6), (16, (1, 1, 1), 0.18e6)],
)
def test_parameter_counts(channels, blocks, wanted):
    net = UInet((channels,) * 3, blocks, attention="cosine_softmax", norm="batch")
    assert sum(p.numel() for p in net.parameters()) == pytest.approx(wanted, rel=0 if channels == 128 else 0.03)


def test_saved_size_of_the_papers_preset():
    net = UInet((128,) * 3, (8, 7, 6), attention="cosine_softmax", norm="batch")
    file = io.BytesIO()
    torch.save(net.state_dict(), file)
    assert file.tell() / 1024 == pytest.approx(41_529, rel=0.01)


@pytest.mark.parametrize("attention", ["cosine_linear", "cosine_softmax"])
@pytest.mark.parametrize("norm", ["batch", "group", "none"])
def test_shapes_and_ranges(attention, norm):
    net = small(attention=attention, norm=norm).to(memory_format=torch.channels_last)
    stages = net(torch.rand(2, 3, 16, 16) * 2 - 1, torch.rand(2, 68, 16, 16))
    assert [tuple(x.shape) for x in stages.images] == [(2, 3, n, n) for n in (32, 64, 128)]
    assert [tuple(x.shape) for x in stages.heatmaps] == [(2, 68, n, n) for n in (16, 32, 64)]
    assert all(float(x.detach().abs().max()) <= 1 for x in stages.images)
    assert all(float(x.detach().min()) >= 0 and float(x.detach().max()) <= 1 for x in stages.heatmaps)


def test_fewer_stages_are_the_first_ones():
    net = small().eval()
    lr, maps = torch.rand(2, 3, 16, 16), torch.rand(2, 68, 16, 16)
    whole, two = net(lr, maps), net(lr, maps, stages=2)
    assert len(two.images) == len(two.heatmaps) == 2
    assert torch.equal(whole.images[1], two.images[1])
    assert torch.equal(whole.heatmaps[1], two.heatmaps[1])


def test_second_stage_takes_the_first_ones_heatmaps():
    net = small().eval()
    lr, maps = torch.rand(1, 3, 16, 16), torch.rand(1, 68, 16, 16)
    seen = []
    net.blocks[1].landmark_stem.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    stages = net(lr, maps)
    first = stages.heatmaps[0]
    # bilinear x2 with half-pixel centres: the pixel (1, 1) lies a quarter of the way from (0, 0) to (1, 1)
    wanted = 0.5625 * first[..., 0, 0] + 0.1875 * (first[..., 0, 1] + first[..., 1, 0]) + 0.0625 * first[..., 1, 1]
    torch.testing.assert_close(seen[0][..., 1, 1], wanted)


def test_skips_with_silent_heads_return_the_enlarged_inputs():
    net = small(skips=True).eval()
    for block in net.blocks:
        torch.nn.init.zeros_(block.image_head.weight)
        torch.nn.init.zeros_(block.heatmap_head.weight)
    stages = net(torch.full((1, 3, 16, 16), 0.4), torch.full((1, 68, 16, 16), 0.3))
    torch.testing.assert_close(stages.images[2], torch.full((1, 3, 128, 128), 0.4), atol=1e-5, rtol=0)
    torch.testing.assert_close(stages.heatmaps[2], torch.full((1, 68, 64, 64), 0.3), atol=1e-5, rtol=0)


def test_every_parameter_gets_a_gradient():
    net = small()
    stages = net(torch.rand(2, 3, 16, 16), torch.rand(2, 68, 16, 16))
    sum(x.square().mean() for x in stages.images).backward()
    assert [name for name, p in net.named_parameters() if p.grad is None] == []
