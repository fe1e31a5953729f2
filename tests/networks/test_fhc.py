"""FHC's networks: sizes of the original, the spatial transformer, and that every part is trained."""

from __future__ import annotations

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


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    return FHCNet(4, 2, 5, skip=False)


def test_shapes_and_gradients(net):
    result = net(torch.randn(2, 3, 16, 16))
    assert result.image.shape == (2, 3, 128, 128)
    assert [maps.shape for maps in result.heatmaps] == [(2, 5, 64, 64)] * 2
    (result.image.square().mean() + sum(maps.square().mean() for maps in result.heatmaps)).backward()
    lost = [name for name, p in net.named_parameters() if p.grad is None]
    assert not lost
    assert float(net.transformer.parameters_of_motion.weight.grad.abs().max()) > 0
    assert float(net.autoencoder.down[0][0].weight.grad.abs().max()) > 0


def test_a_fresh_transformer_moves_nothing_and_a_trained_one_learns(net):
    transformer, features = net.transformer, torch.rand(1, 11, 64, 64)
    torch.testing.assert_close(transformer(features), features, atol=1e-5, rtol=0)
    trained = SimilarityTransformer(11, 4)
    trained(features).square().mean().backward()
    assert all(float(p.grad.abs().max()) > 0 for p in trained.localiser.parameters())


@pytest.mark.parametrize(
    ("motion", "moved"),
    [
        ((0.0, 0.0, 2 * 5 / 64, 0.0), lambda x: F.pad(x[..., 5:], (0, 5))),  # reads 5 pixels further right
        ((0.0, 0.0, 0.0, -2 * 3 / 64), lambda x: F.pad(x[..., :-3, :], (0, 0, 3, 0))),
        ((math.pi / 2, 0.0, 0.0, 0.0), lambda x: x.rot90(1, (2, 3))),
        ((0.0, math.log(0.5), 0.0, 0.0), lambda x: F.interpolate(x[..., 16:48, 16:48], scale_factor=2, mode="bilinear")),
    ],
)
def test_transformer_turns_scales_and_shifts(motion, moved):
    transformer = SimilarityTransformer(2, 4)
    torch.nn.init.zeros_(transformer.parameters_of_motion.weight)
    with torch.no_grad():
        transformer.parameters_of_motion.bias.copy_(torch.tensor(motion))
    x = torch.rand(1, 2, 64, 64)
    inside = (slice(None), slice(None), slice(1, -1), slice(1, -1))  # at the edge, half of what is read is zeros from beyond
    torch.testing.assert_close(transformer(x)[inside], moved(x)[inside], atol=1e-4, rtol=0)


def test_similarity_keeps_angles():
    matrix = similarity(torch.tensor([[0.3, 0.2, 0.5, -0.5]]))[0]
    torch.testing.assert_close(matrix[:, :2] @ matrix[:, :2].T, math.exp(0.4) * torch.eye(2))
    assert matrix[:, 2].tolist() == [0.5, -0.5]


def test_with_a_skip_a_fresh_network_gives_the_enlarged_face():
    net = FHCNet(4, 1, 4, skip=True)
    lr = torch.rand(2, 3, 16, 16)
    wanted = F.interpolate(lr, size=128, mode="bicubic", antialias=True)
    torch.testing.assert_close(net(lr).image, wanted)
