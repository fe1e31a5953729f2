"""Normalisations by name, residual blocks, and the scale of a fresh network."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

from occface.errors import UsageError
from occface.networks.layers import ResidualBlock, enlarged, initialise, norm_layer, unpooled


@pytest.mark.parametrize("norm", ["batch", "group", "none"])
def test_fresh_residual_stack_is_nearly_the_identity(norm):
    torch.manual_seed(0)
    stack = nn.Sequential(*(ResidualBlock(16, norm) for _ in range(6)))
    initialise(stack)
    x = torch.randn(4, 16, 24, 24)
    with torch.no_grad():
        change = (stack(x) - x).std() / x.std()
    assert 0.05 < float(change) < 0.5


@pytest.mark.parametrize("norm", ["batch", "group", "none"])
def test_a_residual_block_may_be_narrower_inside(norm):
    full, narrow = ResidualBlock(16, norm), ResidualBlock(16, norm, 5)
    assert list(full.state_dict()) == list(narrow.state_dict())
    assert [tuple(full.branch[number].weight.shape) for number in (0, 3)] == [(16, 16, 3, 3)] * 2
    assert [tuple(narrow.branch[number].weight.shape) for number in (0, 3)] == [(5, 16, 3, 3), (16, 5, 3, 3)]
    assert narrow(torch.rand(2, 16, 8, 8)).shape == (2, 16, 8, 8)


@pytest.mark.parametrize("layer", [nn.Conv2d(32, 48, 3, padding=1), nn.ConvTranspose2d(32, 48, 4, stride=2, padding=1)])
def test_convolutions_keep_the_scale_of_rectified_noise(layer):
    torch.manual_seed(0)
    initialise(layer)
    x = torch.relu(torch.randn(8, 32, 32, 32))
    second_moment = layer(x)[:, :, 4:-4, 4:-4].square().mean() / (2 * x.square().mean())
    assert float(second_moment) == pytest.approx(1, abs=0.15)


def test_unknown_normalisation_is_refused():
    with pytest.raises(UsageError, match="did you mean 'batch'"):
        norm_layer("bach", 8)


def test_enlarged_is_pillows_bicubic_and_keeps_the_range():
    rng = np.random.default_rng(0)
    face = rng.uniform(-1, 1, (16, 16)).astype(np.float32)
    wanted = np.array(Image.fromarray(face).resize((128, 128), Image.Resampling.BICUBIC))
    assert np.abs(wanted).max() > 1.01
    got = enlarged(torch.from_numpy(face)[None, None])
    torch.testing.assert_close(got[0, 0], torch.from_numpy(wanted).clamp(-1, 1), atol=1e-5, rtol=0)
    assert enlarged(torch.zeros(2, 3, 16, 16), 64).shape == (2, 3, 64, 64)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_unpooling_is_torchs_own(layout):
    torch.manual_seed(0)
    x = torch.randn(2, 3, 8, 12).contiguous(memory_format=layout).requires_grad_()
    pooled, places = F.max_pool2d_with_indices(x, [2, 2])
    ours, theirs = unpooled(pooled, places), F.max_unpool2d(pooled, places, [2, 2])
    assert torch.equal(ours, theirs)
    weights = torch.randn(2, 3, 8, 12)
    assert torch.equal(*(torch.autograd.grad((made * weights).sum(), x, retain_graph=True)[0] for made in (ours, theirs)))
