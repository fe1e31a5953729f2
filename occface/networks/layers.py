"""The small parts that the networks share: normalisation by name, stems, residual blocks and their initialisation."""

from __future__ import annotations

from typing import Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from occface.errors import UsageError
from occface.registry import did_you_mean

__all__ = [
    "NORMS",
    "BlurPool",
    "Norm",
    "QuietStart",
    "ResidualBlock",
    "conv3x3",
    "enlarged",
    "initialise",
    "norm_layer",
    "stem",
    "unpooled",
]

Norm = Literal["batch", "group", "none"]
NORMS: tuple[str, ...] = ("batch", "group", "none")


def norm_layer(kind: str, channels: int) -> nn.Module:
    """Return a normalisation of `channels` channels: batch, group (8 channels a group, or one group), or none at all.

    Raises
    ------
    UsageError
        If there is no such kind.
    """
    if kind == "batch":
        return nn.BatchNorm2d(channels)
    if kind == "group":
        return nn.GroupNorm(channels // 8 if channels % 8 == 0 else 1, channels)
    if kind == "none":
        return nn.Identity()
    raise UsageError(f"unknown normalisation '{kind}': {did_you_mean(kind, NORMS)}")


def conv3x3(inputs: int, outputs: int, stride: int = 1) -> nn.Conv2d:
    """Return a 3x3 convolution that keeps the size, or divides it by `stride`."""
    return nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1)


def stem(inputs: int, outputs: int, norm: str) -> nn.Sequential:
    """Return convolution, normalisation and ReLU: the way into a stream of features."""
    return nn.Sequential(conv3x3(inputs, outputs), norm_layer(norm, outputs), nn.ReLU(inplace=True))


class QuietStart(nn.Module):
    """A part that adds something to its input, which `initialise` lets start at a tenth of its natural size."""

    def settle(self) -> None:
        """Divide by ten whatever sets the size of what is added."""
        raise NotImplementedError


class ResidualBlock(QuietStart):
    """Two normalised convolutions with a ReLU between them, added to their input.

    The branch starts at a tenth of its natural size, so that a fresh stack of blocks is nearly the identity and trains at
    high learning rates, with and without normalisation.

    Parameters
    ----------
    channels : int
        Channels that come in and go out.
    norm : {"batch", "group", "none"}
        Normalisation behind both convolutions.
    inner : int, optional
        Channels between them, otherwise as many as `channels`.
    """

    def __init__(self, channels: int, norm: str, inner: int | None = None) -> None:
        super().__init__()
        inner = channels if inner is None else inner
        self.branch = nn.Sequential(
            conv3x3(channels, inner),
            norm_layer(norm, inner),
            nn.ReLU(inplace=True),
            conv3x3(inner, channels),
            norm_layer(norm, channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return features of the shape of `x`."""
        return x + self.branch(x)

    @torch.no_grad()
    def settle(self) -> None:
        """Let the branch start at a tenth of its size."""
        # what the last normalisation puts out is its weight; without one, the last convolution sets the branch's size
        last = self.branch[3] if isinstance(self.branch[4], nn.Identity) else self.branch[4]
        cast(Tensor, last.weight).mul_(0.1)


class BlurPool(nn.Module):
    """The maximum of each `window` x `window` pixels, then every other pixel of its [1,2,1] blur; edges are reflected by two.

    Shifting the picture by a pixel changes little of what it gives: a pool for networks that compare pictures.
    """

    def __init__(self, channels: int, window: int = 2) -> None:
        super().__init__()
        self.window = window
        taps = torch.tensor([1.0, 2.0, 1.0]) / 4
        self.register_buffer("kernel", torch.outer(taps, taps).expand(channels, 1, 3, 3).clone(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, C, H, W) as (B, C, H', W'), with H' = (H - window + 1) // 2 + 1."""
        peaks = F.max_pool2d(x, self.window, stride=1) if self.window > 1 else x
        kernel = self.get_buffer("kernel")
        return F.conv2d(F.pad(peaks, (2, 2, 2, 2), mode="reflect"), kernel, stride=2, groups=kernel.shape[0])


def enlarged(images: Tensor, size: int = 128) -> Tensor:
    """Return pictures (B,C,size,size), bicubic as Pillow's, of pictures (B,C,h,w) in [-1,1], and in that range.

    Examples
    --------
    >>> enlarged(torch.tensor([[[[-1.0, 1.0]]]]).expand(1, 1, 2, 2), 4)[0, 0, 0]
    tensor([-1.0000, -0.5857,  0.5857,  1.0000])
    """
    # with antialias its constant is a = -0.5; without, torch's is -0.75
    return F.interpolate(images, size=(size, size), mode="bicubic", antialias=True).clamp(-1, 1)


def initialise(network: nn.Module) -> None:
    """Set all weights of a network: He's normal initialisation for convolutions, zero biases, quiet residual branches.

    The released code draws every weight from N(0, 0.02), which in layers of 16 to 128 channels shrinks the signal at each
    convolution; with normalisation this is repaired at once, without it nothing trains. He's scale serves both.
    """
    for part in network.modules():
        if isinstance(part, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.kaiming_normal_(part.weight, nonlinearity="relu")
            if isinstance(part, nn.ConvTranspose2d):
                # Torch takes a transposed kernel's fan from the wrong side: each output pixel sees 1/stride^2 of the taps.
                fan = part.in_channels * part.kernel_size[0] * part.kernel_size[1] / (part.stride[0] * part.stride[1])
                nn.init.normal_(part.weight, std=(2.0 / fan) ** 0.5)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
        elif isinstance(part, nn.BatchNorm2d | nn.GroupNorm):
            nn.init.ones_(part.weight)
            nn.init.zeros_(part.bias)
    for part in network.modules():
        if isinstance(part, QuietStart):
            part.settle()


def unpooled(x: Tensor, places: Tensor) -> Tensor:
    """Return maxima at the places that they came from, and 0 elsewhere.

    As `torch.nn.functional.max_unpool2d` does for windows of two that do not overlap. That one is never repeatable in torch's
    eyes, for places might be named twice, and its size is fixed when a network is traced.

    Parameters
    ----------
    x : Tensor
        (B, C, H, W).
    places : Tensor
        (B, C, H, W) integers, each of them once, into planes of 2H x 2W: what ``max_pool2d_with_indices(..., 2)`` gave.

    Returns
    -------
    Tensor
        (B, C, 2H, 2W).

    Examples
    --------
    >>> unpooled(torch.tensor([[[[5.0]]]]), torch.tensor([[[[2]]]]))
    tensor([[[[0., 0.],
              [5., 0.]]]])
    """
    height, width = x.shape[-2:]
    wide = torch.zeros_like(x).repeat(1, 1, 2, 2).flatten(2)
    return wide.scatter(2, places.flatten(2), x.flatten(2)).unflatten(2, (2 * height, 2 * width))
