"""StyleGAN's networks: published sizes, their parts by hand, styles for each level, and gradients everywhere."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import convolve, correlate

from occface.errors import UsageError
from occface.networks import stylegan
from occface.networks.stylegan import StyleGenerator, StyleJudge, widths


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(
    ("size", "base", "most", "wanted"),
    [(1024, 8192, 512, 24_110_771), (128, 8192, 512, 23.74e6), (128, 4096, 256, 7.19e6), (128, 2048, 128, 2.43e6)],
)
def test_parameter_counts(size, base, most, wanted):
    with torch.device("meta"):
        network = StyleGenerator(size, base, most)
    assert count(network.synthesis) == pytest.approx(wanted, rel=0.005 if isinstance(wanted, float) else 0)
    assert count(network.mapping) == 8 * (512 * 512 + 512)


def test_twelve_styles_at_128():
    with torch.device("meta"):
        assert StyleGenerator(128).styles == 12


@pytest.mark.parametrize(("size", "base"), [(100, 8192), (4, 8192), (128, 32)])
def test_sizes_that_cannot_be_are_refused(size, base):
    with pytest.raises(UsageError, match="expected"):
        widths(size, base, 512)


def test_blur_is_a_convolution():
    x = np.random.default_rng(0).standard_normal((7, 9))
    taps = np.outer([1, 2, 1], [1, 2, 1]) / 16
    blurred = stylegan._blur(torch.from_numpy(x)[None, None])[0, 0].numpy()
    np.testing.assert_allclose(blurred, convolve(x, taps, mode="constant"), atol=1e-12)


def test_a_style_sets_mean_and_deviation_of_each_channel():
    part = stylegan._Styled(3)
    style = torch.randn(2, 512, generator=torch.Generator().manual_seed(0))
    x = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(1)) * 5 + 2
    out = part(x, style, torch.zeros(1, 1, 16, 16))
    numbers = style @ part.style.weight.T / 512**0.5  # the bias is still zero
    torch.testing.assert_close(out.mean((2, 3)), numbers[:, 3:], atol=1e-4, rtol=0)
    torch.testing.assert_close(out.std((2, 3), correction=0), (1 + numbers[:, :3]).abs(), atol=1e-3, rtol=0)


def test_a_levels_steps_are_in_the_published_order():
    torch.manual_seed(0)
    level = stylegan._Level(2, 3)
    for part in (level.styled1, level.styled2):
        torch.nn.init.normal_(part.bias)
        torch.nn.init.normal_(part.noise_gain)
    x, style, noise = torch.randn(1, 2, 4, 4), torch.randn(2, 1, 512), torch.randn(2, 1, 1, 8, 8)
    taps = np.outer([1, 2, 1], [1, 2, 1]) / 16
    large = x[0].repeat_interleave(2, 1).repeat_interleave(2, 2).detach().numpy()
    for number, (weights, styled) in enumerate(((level.up, level.styled1), (level.conv, level.styled2))):
        kernel = weights.weight.detach().numpy() * weights.scale
        drawn = [sum(correlate(a, k, mode="constant") for a, k in zip(large, ks, strict=True)) for ks in kernel]
        if number == 0:
            drawn = [convolve(each, taps, mode="constant") for each in drawn]
        gain, bias = styled.noise_gain.detach().numpy(), styled.bias.detach().numpy()
        drawn = [d + g * noise[number, 0, 0].numpy() + b for d, g, b in zip(drawn, gain, bias, strict=True)]
        drawn = [np.where(d < 0, 0.2 * d, d) for d in drawn]
        scale, shift = styled.style(style[number])[0].detach().numpy().reshape(2, 3)
        large = np.stack([(d - d.mean()) / d.std() * (1 + s) + t for d, s, t in zip(drawn, scale, shift, strict=True)])
    np.testing.assert_allclose(level(x, style, noise)[0].detach().numpy(), large, atol=1e-3)


def test_weights_are_scaled_so_that_the_signal_keeps_its_size():
    torch.manual_seed(0)
    x = torch.randn(4, 256, 12, 12).clamp(min=0)  # as after a ReLU: mean square 1/2
    assert stylegan._Conv(256, 256)(x)[..., 1:-1, 1:-1].square().mean().item() == pytest.approx(1, rel=0.1)
    z = torch.randn(64, 512)
    # each layer doubles the mean square, and the leaky ReLU leaves (1 + 0.2^2) / 2 of it
    assert StyleGenerator(16, 64, 8).mapping(z).square().mean().item() == pytest.approx(1.04**8, rel=0.25)


def test_one_style_for_all_and_one_for_each_level():
    torch.manual_seed(0)
    network = StyleGenerator(16, 64, 8, 2)
    noise = [torch.randn(1, 1, 4 << (n // 2), 4 << (n // 2)) for n in range(6)]
    styles = network.mapping(torch.randn(2, 512))
    together = network.synthesis(styles, noise)
    assert together.shape == (2, 3, 16, 16)
    each = network.synthesis(styles[:1, None].repeat(1, 6, 1), noise)
    torch.testing.assert_close(each, together[:1], atol=1e-4, rtol=0)
    for level in range(6):
        mixed = styles[:1, None].repeat(1, 6, 1)
        mixed[:, level] = styles[1]
        assert (network.synthesis(mixed, noise) - each).abs().max() > 1e-3, level


def test_styles_cross_where_they_are_told():
    torch.manual_seed(0)
    network = StyleGenerator(16, 64, 8, 2)
    seen = []
    network.synthesis.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    z, other = torch.randn(2, 3, 512)
    network(z, other, torch.tensor([1, 4, 6]))
    one, two = network.mapping(z), network.mapping(other)
    for face, crossing in enumerate((1, 4, 6)):
        for level in range(6):
            torch.testing.assert_close(seen[0][face, level], (one if level < crossing else two)[face])


def test_gradients_reach_every_parameter():
    torch.manual_seed(0)
    network, judge = StyleGenerator(16, 64, 8, 2), StyleJudge(16, 64, 8)
    judge(network(torch.randn(4, 512))).sum().backward()
    for name, parameter in [*network.named_parameters(), *judge.named_parameters()]:
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_the_judge_sees_how_much_faces_vary():
    x = torch.tensor([1.0, 3.0, 1.0, 3.0]).view(4, 1, 1, 1).expand(4, 2, 4, 4)
    assert stylegan._variation(x).shape == (4, 1, 4, 4)
    torch.testing.assert_close(stylegan._variation(x), torch.ones(4, 1, 4, 4))
    assert stylegan._variation(x[:1]).max() == pytest.approx(1e-4, rel=1e-3)  # one face alone does not vary
    eight = stylegan._variation(torch.arange(8.0).view(8, 1, 1, 1))[:, 0, 0, 0]
    torch.testing.assert_close(eight, torch.full((8,), 5**0.5))  # groups 0 2 4 6 and 1 3 5 7


@pytest.mark.parametrize("shape", [(1, 511), (1, 5, 512), (512,)])
def test_wrong_shapes_are_refused(shape):
    with pytest.raises(ValueError, match="expected styles"):
        StyleGenerator(16, 64, 8, 2).synthesis(torch.zeros(shape))
