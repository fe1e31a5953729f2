"""FSRNet's network: size of the original, what the decoder reads, ranges, and that every part is trained."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from occface.errors import UsageError
from occface.networks.fsrnet import FSRNetwork


def network(width=8, prior_width=8, coarse=1, encoder=1, decoder=1, hourglasses=1, reads="features", skip=False):
    return FSRNetwork(width, prior_width, coarse, encoder, decoder, hourglasses, 68, 11, reads, skip)


def test_parameter_count_of_the_original():
    with torch.device("meta"):  # with shared blocks it would be 2.16 million
        net = network(64, 128, 3, 12, 3, 2)
    assert sum(p.numel() for p in net.parameters()) == pytest.approx(3.30e6, rel=0.005)


@pytest.mark.parametrize("reads", ["features", "maps"])
def test_shapes_ranges_and_gradients(reads):
    torch.manual_seed(0)
    net = network(reads=reads)
    result = net(3 * torch.randn(2, 3, 16, 16))
    assert [tuple(part.shape[1:]) for part in result] == [(3, 128, 128), (68, 64, 64), (11, 64, 64), (3, 128, 128)]
    assert float(result.coarse.detach().abs().max()) <= 1
    assert float(result.image.detach().abs().max()) <= 1
    heads = [*net.landmarks_head.parameters(), *net.parsing_head.parameters()]
    result.image.square().mean().backward(retain_graph=True)
    assert all((p.grad is not None) == (reads == "maps") for p in heads)  # features go past the heads, maps through them
    (result.landmarks.square().mean() + result.parsing.square().mean()).backward()
    lost = [name for name, p in net.named_parameters() if p.grad is None or not p.grad.isfinite().all() or not p.grad.any()]
    # A bias before a normalisation is subtracted again: its gradient is no more than rounding, which may be 0.
    assert [name for name in lost if not name.endswith("bias")] == []


@torch.no_grad()
def test_fresh_priors_do_not_drown_what_the_decoder_reads_beside_them():
    torch.manual_seed(0)
    net = network(width=16, prior_width=64, hourglasses=2)
    sizes = {}
    for name in ("encoder", "priors"):
        part = getattr(net, name)
        part.register_forward_hook(lambda _, __, given, name=name: sizes.update({name: float(given.square().mean().sqrt())}))
    result = net(torch.rand(4, 3, 16, 16) * 2 - 1)
    assert sizes["encoder"] / 6 < sizes["priors"] < 6 * sizes["encoder"]
    assert float(result.landmarks.square().mean()) < 0.1
    assert float(result.parsing.square().mean()) < 0.1


def test_with_skips_a_fresh_network_gives_the_enlarged_face():
    net = network(skip=True)
    lr = torch.rand(2, 3, 16, 16) - 0.5
    result, wanted = net(lr), F.interpolate(lr, size=128, mode="bicubic", antialias=True)
    torch.testing.assert_close(result.coarse, wanted)
    torch.testing.assert_close(result.image, wanted)


def test_an_unknown_reading_is_refused():
    with pytest.raises(UsageError, match="did you mean 'maps'"):
        network(reads="map")
