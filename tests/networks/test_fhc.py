"""FHC's networks: sizes of the original, the spatial transformer, and that every part is trained."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
import torch.nn.functional as F

from occface.networks.fhc import FHCDiscriminator, FHCNet, SimilarityTransformer, similarity


@pytest.mark.parametrize(
    ("made", "wanted"), [(lambda: FHCNet(32, 4, 4, skip=False), 45.19e6), (lambda: FHCDiscriminator(32), 6.86e6)]
)
def test_parameter_counts_of_the_original(made, wanted):
    with torch.device("meta"):
        assert sum(p.numel() for p in made().parameters()) == pytest.approx(wanted, rel=0.0005)


def test_shapes_and_gradients_to_every_parameter():
    torch.manual_seed(0)
    net = FHCNet(4, 2, 5, skip=False)
    torch.nn.init.normal_(net.transformer.parameters_of_motion.weight, std=0.01)  # at 0 the localiser has no gradient
    result = net(torch.randn(2, 3, 16, 16))
    assert result.image.shape == (2, 3, 128, 128)
    assert [maps.shape for maps in result.heatmaps] == [(2, 5, 64, 64)] * 2
    (result.image.square().mean() + sum(maps.square().mean() for maps in result.heatmaps)).backward()
    lost = [name for name, p in net.named_parameters() if p.grad is None or not p.grad.isfinite().all() or not p.grad.any()]
    # A bias before a normalisation is subtracted again: its gradient is no more than rounding, which may be 0.
    assert [name for name in lost if not name.endswith("bias")] == []


@torch.no_grad()
def test_fresh_maps_and_features_have_moderate_sizes():
    torch.manual_seed(0)
    net = FHCNet(16, 4, 4, skip=False)
    maps = net(torch.rand(4, 3, 16, 16) * 2 - 1).heatmaps
    assert max(float(each.square().mean()) for each in maps) < 0.1  # so that four stacks do not begin by drawing maps away


def test_a_fresh_transformer_moves_nothing_and_a_trained_one_learns():
    transformer, features = FHCNet(4, 1, 4, skip=False).transformer, torch.rand(1, 11, 64, 64)
    torch.testing.assert_close(transformer(features), features, atol=1e-5, rtol=0)
    trained = SimilarityTransformer(11, 4)
    trained(features).square().mean().backward()
    assert all(float(p.grad.abs().max()) > 0 for p in trained.localiser.parameters())


@pytest.mark.parametrize(
    ("motion", "moved"),
    [
        ((0.0, 0.0, 2 * 5 / 64, 0.0), lambda x: F.pad(x[..., 5:], (0, 5))),  # reads 5 pixels further right
        ((0.0, 0.0, 0.0, -2 * 3 / 64), lambda x: F.pad(x[..., :-3, :], (0, 0, 3, 0))),
        ((0.0, math.log(0.5), 0.0, 0.0), lambda x: F.interpolate(x[..., 16:48, 16:48], scale_factor=2, mode="bilinear")),
    ],
)
def test_transformer_scales_and_shifts(motion, moved):
    transformer = SimilarityTransformer(2, 4)
    torch.nn.init.zeros_(transformer.parameters_of_motion.weight)
    with torch.no_grad():
        transformer.parameters_of_motion.bias.copy_(torch.tensor(motion).atanh())
    x = torch.rand(1, 2, 64, 64)
    inside = (slice(None), slice(None), slice(1, -1), slice(1, -1))  # at the edge, half of what is read is zeros from beyond
    torch.testing.assert_close(transformer(x)[inside], moved(x)[inside], atol=1e-4, rtol=0)


def test_transformer_turns():
    x = torch.rand(1, 2, 16, 16)
    grid = F.affine_grid(similarity(torch.tensor([[math.pi / 2, 0.0, 0.0, 0.0]])), [1, 2, 16, 16], align_corners=False)
    torch.testing.assert_close(F.grid_sample(x, grid, align_corners=False), x.rot90(1, (2, 3)), atol=1e-4, rtol=0)


@torch.no_grad()
def test_whatever_the_localiser_says_something_stays_in_sight():
    transformer = SimilarityTransformer(1, 4)
    for motion in itertools.product((-1e4, 0.0, 1e4), repeat=4):
        torch.nn.init.zeros_(transformer.parameters_of_motion.weight)
        transformer.parameters_of_motion.bias.copy_(torch.tensor(motion))
        assert float(transformer(torch.ones(1, 1, 64, 64)).mean()) > 0.05


def test_similarity_keeps_angles():
    matrix = similarity(torch.tensor([[0.3, 0.2, 0.5, -0.5]]))[0]
    torch.testing.assert_close(matrix[:, :2] @ matrix[:, :2].T, math.exp(0.4) * torch.eye(2))
    assert matrix[:, 2].tolist() == [0.5, -0.5]


def test_with_a_skip_a_fresh_network_gives_the_enlarged_face():
    net = FHCNet(4, 1, 4, skip=True)
    lr = torch.rand(2, 3, 16, 16) - 0.5
    wanted = F.interpolate(lr, size=128, mode="bicubic", antialias=True)
    torch.testing.assert_close(net(lr).image, wanted)
