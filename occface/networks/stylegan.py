"""StyleGAN: a mapping network that turns latents into styles, a synthesis network that draws them, and the judge of its faces.

Karras, Laine and Aila, "A style-based generator architecture for generative adversarial networks", CVPR 2019. Pictures of 128
pixels have six resolutions and twelve style inputs, two for each.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from occface.errors import UsageError

__all__ = ["STYLE_SIZE", "StyleGenerator", "StyleJudge", "widths"]

STYLE_SIZE = 512
SLOPE = 0.2
"""Slope of every leaky ReLU."""
_GAIN = math.sqrt(2)
_GROUP = 4
"""So many faces are compared with each other by the judge."""


def widths(size: int, base: int, most: int) -> tuple[int, ...]:
    """Return the channels at 4, 8, ... `size` pixels: `base` over half the size, but at most `most`.

    Examples
    --------
    >>> widths(128, 8192, 512)
    (512, 512, 512, 512, 256, 128)
    """
    stages = int(math.log2(size)) - 1
    if size != 2 ** (stages + 1) or stages < 2:
        raise UsageError(f"expected a size of 8, 16, 32 or another power of two, got {size}: set one")
    if min(base >> stages, most) < 1:
        raise UsageError(f"expected at least one channel at {size} px, got {base} over {size // 2}: raise base_channels")
    return tuple(min(base >> stage, most) for stage in range(1, stages + 1))


class _Linear(nn.Module):
    """A linear layer whose weights all learn equally fast: they are of size 1 and scaled when used."""

    def __init__(self, inputs: int, outputs: int, gain: float = _GAIN, rate: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / rate)
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.scale, self.rate = gain * rate / math.sqrt(inputs), rate

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight * self.scale, self.bias * self.rate)


class _Conv(nn.Module):
    """A convolution of the same kind."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int = 3, gain: float = _GAIN, stride: int = 1, bias: bool = True
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None
        self.scale, self.stride, self.padding = gain / math.sqrt(inputs * kernel**2), stride, kernel // 2

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight * self.scale, self.bias, self.stride, self.padding)


def _blur(x: Tensor) -> Tensor:
    """Blur by [1,2,1] / 4 down and across: two means of two neighbours, with zeros beyond the edge."""
    return F.avg_pool2d(F.avg_pool2d(x, 2, stride=1, padding=1), 2, stride=1)


class MappingNetwork(nn.Module):
    """Latent z (B, 512), standard normal -> style (B, 512): pixel norm, then leaky linear layers that learn slowly."""

    def __init__(self, layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(_Linear(STYLE_SIZE, STYLE_SIZE, rate=0.01) for _ in range(layers))

    def forward(self, z: Tensor) -> Tensor:
        x = z * torch.rsqrt(z.square().mean(1, keepdim=True) + 1e-8)
        for layer in self.layers:
            x = F.leaky_relu(layer(x), SLOPE)
        return x


class _Styled(nn.Module):
    """What follows a convolution: noise, bias, leaky ReLU, instance normalisation, and the style's scale and shift.

    The bias is added here because a convolution's blur, which takes zeros beyond the edge, would let it fade there.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.noise_gain = nn.Parameter(torch.zeros(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.style = _Linear(STYLE_SIZE, 2 * channels, gain=1.0)

    def forward(self, x: Tensor, style: Tensor, noise: Tensor) -> Tensor:
        x = F.leaky_relu(x + self.noise_gain[:, None, None] * noise + self.bias[:, None, None], SLOPE)
        scale, shift = self.style(style)[:, :, None, None].chunk(2, dim=1)
        return F.instance_norm(x) * (1 + scale) + shift


class _Level(nn.Module):
    """One resolution: a convolution that doubles the size (or the learned constant), and one that keeps it; both styled."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        if inputs:
            self.up = _Conv(inputs, outputs, bias=False)
        else:
            self.constant = nn.Parameter(torch.ones(1, outputs, 4, 4))
        self.styled1 = _Styled(outputs)
        self.conv = _Conv(outputs, outputs, bias=False)
        self.styled2 = _Styled(outputs)

    def forward(self, x: Tensor | None, styles: Sequence[Tensor], noise: Sequence[Tensor]) -> Tensor:
        if x is None:
            x = self.constant.expand(len(styles[0]), -1, -1, -1)
        else:
            x = _blur(self.up(F.interpolate(x, scale_factor=2, mode="nearest")))
        x = self.styled1(x, styles[0], noise[0])
        return self.styled2(self.conv(x), styles[1], noise[1])


class SynthesisNetwork(nn.Module):
    """Styles -> RGB pictures, about [-1, 1]."""

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.levels = nn.ModuleList(_Level(a, b) for a, b in itertools.pairwise((0, *channels)))
        self.to_image = _Conv(channels[-1], 3, kernel=1, gain=1.0)

    def forward(self, styles: Tensor, noise: Sequence[Tensor] | None = None) -> Tensor:
        """Draw the pictures of some styles; see `StyleGenerator`."""
        wanted = 2 * len(self.levels)
        if styles.ndim == 2:
            styles = styles[:, None].expand(-1, wanted, -1)
        if styles.ndim != 3 or styles.shape[1:] != (wanted, STYLE_SIZE):
            expected = f"(B, {STYLE_SIZE}) or (B, {wanted}, {STYLE_SIZE})"
            raise ValueError(f"expected styles of shape {expected}, got {tuple(styles.shape)}")
        if noise is None:
            sides = [4 << (number // 2) for number in range(wanted)]
            noise = [styles.new_empty(len(styles), 1, side, side).normal_() for side in sides]
        each = styles.unbind(1)
        x = None
        for number, level in enumerate(self.levels):
            two = slice(2 * number, 2 * number + 2)
            x = level(x, each[two], noise[two])
        return self.to_image(x)


class StyleGenerator(nn.Module):
    """The generator: ``mapping(z)`` gives styles, ``synthesis(styles, noise)`` gives pictures.

    ``mapping`` takes z of shape (B, 512), standard normal, and gives styles of shape (B, 512). ``synthesis`` takes one style
    per face, (B, 512), or one per input, (B, `styles`, 512) (W+), and gives float RGB pictures (B, 3, size, size), about
    [-1, 1]. ``noise`` is a map (B or 1, 1, N, N) for each input, standard normal; without it new ones are drawn.

    Parameters
    ----------
    size : int
        Side of the pictures, a power of two.
    base, most : int
        Channels; see `widths`. 8192 and 512 are the original's.
    layers : int
        Depth of the mapping network; 8 in the original.
    """

    def __init__(self, size: int = 128, base: int = 8192, most: int = 512, layers: int = 8) -> None:
        super().__init__()
        self.size = size
        self.mapping = MappingNetwork(layers)
        self.synthesis = SynthesisNetwork(widths(size, base, most))

    @property
    def styles(self) -> int:
        """How many styles a face has in W+: two for each resolution."""
        return 2 * len(self.synthesis.levels)

    def forward(self, z: Tensor, other: Tensor | None = None, crossing: Tensor | None = None) -> Tensor:
        """Draw the faces of latents (B, 512), with new noise.

        Where `other` latents are given, the styles from number `crossing` (B,) on are those of the other ones.
        """
        styles = self.mapping(z)[:, None].expand(-1, self.styles, -1)
        if other is not None and crossing is not None:
            behind = torch.arange(self.styles, device=z.device) >= crossing[:, None]
            styles = torch.where(behind[:, :, None], self.mapping(other)[:, None], styles)
        return self.synthesis(styles)


class StyleJudge(nn.Module):
    """The discriminator: two convolutions for each resolution, the second halves the size; one logit (B, 1) at the end.

    At 4x4 it also sees how much each group of four faces varies, so that a generator cannot draw one face only.

    Parameters
    ----------
    size, base, most : int
        Of its generator, or smaller numbers of channels.
    """

    def __init__(self, size: int = 128, base: int = 8192, most: int = 512) -> None:
        super().__init__()
        channels = widths(size, base, most)[::-1]
        self.from_image = _Conv(3, channels[0], kernel=1)
        self.keep = nn.ModuleList(_Conv(c, c) for c in channels[:-1])
        self.halve = nn.ModuleList(_Conv(a, b, stride=2) for a, b in itertools.pairwise(channels))
        last = channels[-1]
        self.conv = _Conv(last + 1, last)
        self.hidden = _Linear(16 * last, last)
        self.verdict = _Linear(last, 1, gain=1.0)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (B, 1) of images (B, 3, size, size)."""
        x = F.leaky_relu(self.from_image(images), SLOPE)
        for keep, halve in zip(self.keep, self.halve, strict=True):
            x = F.leaky_relu(keep(x), SLOPE)
            x = F.leaky_relu(halve(_blur(x)), SLOPE)
        x = torch.cat((x, _variation(x)), dim=1)
        x = F.leaky_relu(self.conv(x), SLOPE)
        return self.verdict(F.leaky_relu(self.hidden(x.flatten(1)), SLOPE))


def _variation(x: Tensor) -> Tensor:
    """Return the mean standard deviation within each group of faces, as a map (B, 1, H, W)."""
    group = _GROUP if len(x) % _GROUP == 0 else len(x)
    groups = x.float().unflatten(0, (group, -1))  # faces of a group lie apart in the batch: no matter, all are random
    deviation = (groups.var(0, correction=0) + 1e-8).sqrt().mean((1, 2, 3))
    return deviation.to(x.dtype).repeat(group)[:, None, None, None].expand(-1, 1, *x.shape[2:])
