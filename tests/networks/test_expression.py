from __future__ import annotations

import pytest
import torch

from occface.networks.expression import ExpressionNet


@pytest.fixture
def network():
    torch.manual_seed(0)
    network = ExpressionNet(6).eval()
    with torch.no_grad():
        network.last.weight.mul_(30)  # so that differences are seen
    return network


def test_light_and_contrast_do_not_count(network) -> None:
    x = torch.rand(3, 1, 64, 64)
    scores = network(x)
    assert scores.shape == (3, 6)
    torch.testing.assert_close(network(0.5 * x + 0.2), scores, rtol=0.02, atol=0.05)
    assert (network(x.flip(2)) - scores).abs().max() > 0.3


def test_faces_of_a_batch_do_not_mix_and_flat_ones_are_no_trouble(network) -> None:
    x = torch.rand(2, 1, 64, 64)
    x[1] = 0.5
    torch.testing.assert_close(network(x), torch.cat([network(x[:1]), network(x[1:])]), atol=1e-5, rtol=0)
    assert network(x).isfinite().all()


@pytest.mark.parametrize("shape", [(1, 1, 48, 48), (1, 3, 64, 64), (64, 64)])
def test_other_shapes_are_refused(network, shape) -> None:
    with pytest.raises(ValueError, match="expected faces of shape"):
        network(torch.zeros(shape))
