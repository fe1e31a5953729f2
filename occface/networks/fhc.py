"""FHC's networks: an autoencoder and a spatial transformer, stacked hourglasses for heatmaps, and the way up to 128x128.

Yu et al., "Face Super-resolution Guided by Facial Component Heatmaps", ECCV 2018, as the authors' code builds it with skip
connections. Sizes are given for `width` 32, theirs.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from occface.networks.hourglass import Hourglass, PreactivationBlock
from occface.networks.layers import QuietStart, conv3x3, enlarged, initialise, stem

__all__ = ["FHCDiscriminator", "FHCNet", "FHCResult", "SimilarityTransformer"]


class FHCResult(NamedTuple):
    """What the generator gives."""

    image: Tensor
    """(B,3,128,128), about [-1,1] but not clamped."""
    heatmaps: tuple[Tensor, ...]
    """(B,K,64,64) of each hourglass, not clamped."""


class SimilarityTransformer(nn.Module):
    """Turn, scale and shift features by what a small network reads off them: nothing at first.

    Angle, logarithm of the scale and shift (in halves of the width) are between -1 and 1: some of the features always stays
    in sight. Where nothing does, every map is flat, and normalisations behind it make the gradients grow without end.

    Parameters
    ----------
    channels : int
        Channels of the features.
    width : int
        Channels of the small network's first convolution, 128 in the original.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.localiser = nn.Sequential(
            nn.MaxPool2d(2),
            nn.Conv2d(channels, width, 5),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
            nn.Conv2d(width, 20, 5),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
            nn.Conv2d(20, 20, 3),
            nn.ReLU(inplace=True),
            nn.Flatten(),
            nn.Linear(180, 20),
            nn.ReLU(inplace=True),
        )
        self.parameters_of_motion = nn.Linear(20, 4)

    def forward(self, features: Tensor) -> Tensor:
        """Return features of the shape of `features`, (B,C,64,64); zeros come in from beyond the border."""
        motion = self.parameters_of_motion(self.localiser(features)).float().tanh()
        with torch.autocast(features.device.type, enabled=False):  # places in half precision would be off by pixels
            grid = F.affine_grid(similarity(motion), list(features.shape), align_corners=False)
            moved = F.grid_sample(features.float(), grid, mode="bilinear", padding_mode="zeros", align_corners=False)
        return moved.to(features.dtype)


def similarity(motion: Tensor) -> Tensor:
    """Return matrices (B,2,3), from places of the result to places of the input, of angle, log scale and shift (B,4).

    Examples
    --------
    >>> similarity(torch.zeros(1, 4))[0].tolist()
    [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    """
    angle, log_scale, right, down = motion.unbind(1)
    cosine, sine = log_scale.exp() * angle.cos(), log_scale.exp() * angle.sin()
    return torch.stack([cosine, 0 - sine, right, sine, cosine, down], 1).unflatten(1, (2, 3))


def _down(inputs: int, outputs: int, kernel: int, stride: int) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, padding=stride - 1)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.LeakyReLU(0.2, inplace=True))


def _up(inputs: int, outputs: int, kernel: int, stride: int) -> nn.Sequential:
    convolution = nn.ConvTranspose2d(inputs, outputs, kernel, stride, padding=stride - 1)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


class _Autoencoder(nn.Module):
    """16x16 down to one place and up to 64x64; each size on the way down is joined to the same size on the way up."""

    def __init__(self, width: int) -> None:
        super().__init__()
        w = width
        self.down = nn.ModuleList([_down(3, w, 4, 2), _down(w, 4 * w, 4, 2), _down(4 * w, 16 * w, 4, 2)])
        self.bottom = nn.Sequential(_down(16 * w, 64 * w, 2, 1), _up(64 * w, 32 * w, 2, 1))
        self.up = nn.ModuleList([_up(48 * w, 24 * w, 4, 2), _up(28 * w, 16 * w, 4, 2), _up(17 * w, 8 * w, 4, 2)])
        self.enlarge = nn.Sequential(_up(8 * w + 3, 4 * w, 4, 2), _up(4 * w, 2 * w, 4, 2))

    def forward(self, lr: Tensor) -> Tensor:
        across = []
        x = lr
        for layer in self.down:
            x = layer(x)
            across.append(x)
        x = self.bottom(x)
        for layer in self.up:
            x = layer(torch.cat([x, across.pop()], 1))
        x = self.enlarge(torch.cat([x, lr], 1))
        return torch.cat([x, F.interpolate(lr, scale_factor=4, mode="nearest")], 1)


class _Stack(QuietStart):
    """One hourglass with its heatmaps, and what the next one is told."""

    def __init__(self, channels: int, maps: int, last: bool) -> None:
        super().__init__()
        self.body = nn.Sequential(
            Hourglass(4, channels, PreactivationBlock, exits=False),
            PreactivationBlock(channels),
            nn.Conv2d(channels, channels, 1),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
        )
        self.maps = nn.Conv2d(channels, maps, 1)
        self.told = None if last else nn.ModuleList([nn.Conv2d(channels, channels, 1), nn.Conv2d(maps, channels, 1)])

    @torch.no_grad()
    def settle(self) -> None:
        """Let the maps and what the next one is told start at a tenth of their size."""
        for layer in (self.maps, *(self.told or ())):
            layer.get_parameter("weight").mul_(0.1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        features = self.body(x)
        maps = self.maps(features)
        if self.told is None:
            return maps, x
        of_features, of_maps = self.told
        return maps, x + of_features(features) + of_maps(maps)


class FHCNet(nn.Module):
    """The generator.

    Parameters
    ----------
    width : int
        32 in the original; every layer is as wide as a multiple of it.
    stacks : int
        Hourglasses; 4 in the original.
    maps : int
        Heatmaps; 4 in the original.
    skip : bool
        Whether the picture is what is added to the enlarged (bicubic) LR face; not so in the original.
    """

    def __init__(self, width: int, stacks: int, maps: int, skip: bool) -> None:
        super().__init__()
        w, channels = width, 2 * width
        self.skip = skip
        self.autoencoder = _Autoencoder(w)
        self.transformer = SimilarityTransformer(channels + 3, 4 * w)
        self.base = stem(channels + 3, channels, "batch")
        self.towards_maps = nn.Sequential(conv3x3(channels, channels), PreactivationBlock(channels))
        self.stacks = nn.ModuleList(_Stack(channels, maps, number == stacks - 1) for number in range(stacks))
        self.led = nn.Sequential(
            conv3x3(channels + maps, channels),
            PreactivationBlock(channels),
            nn.ReLU(inplace=True),
            nn.Upsample(scale_factor=2, mode="nearest"),
            conv3x3(channels, w),
            PreactivationBlock(w),
            nn.ReLU(inplace=True),
        )
        self.plain = nn.Sequential(
            nn.Upsample(scale_factor=2, mode="nearest"),
            conv3x3(channels, channels),
            PreactivationBlock(channels),
            nn.ReLU(inplace=True),
        )
        self.joined = nn.Sequential(
            conv3x3(3 * w, channels),
            PreactivationBlock(channels, w),
            PreactivationBlock(w),
            nn.ReLU(inplace=True),
            conv3x3(w, w // 2),
            PreactivationBlock(w // 2),
            nn.ReLU(inplace=True),
        )
        self.image_head = nn.Conv2d(w // 2, 3, 5, padding=2)
        initialise(self)
        nn.init.zeros_(self.transformer.parameters_of_motion.weight)
        nn.init.normal_(self.image_head.weight, std=0.0 if skip else 0.02)  # a correction begins as none

    def forward(self, lr: Tensor) -> FHCResult:
        """Return the picture and the heatmaps of LR faces (B,3,16,16)."""
        base = self.base(self.transformer(self.autoencoder(lr)))
        features, heatmaps = self.towards_maps(base), []
        for stack in self.stacks:
            maps, features = stack(features)
            heatmaps.append(maps)
        led = self.led(torch.cat([base, heatmaps[-1]], 1))
        image = self.image_head(self.joined(torch.cat([self.plain(base), led], 1)))
        if self.skip:
            image = image + enlarged(lr)
        return FHCResult(image, tuple(heatmaps))


class FHCDiscriminator(nn.Module):
    """Four 5x5 convolutions, each with a pool and dropout, and two fully connected layers: one logit for a 128x128 face.

    Parameters
    ----------
    width : int
        Channels of the first convolution; 32 in the original.

    Examples
    --------
    >>> sum(p.numel() for p in FHCDiscriminator(32).parameters())
    6859425
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = 3
        for outputs in (width, 2 * width, 4 * width, 3 * width):
            layers += [nn.Conv2d(inputs, outputs, 5, padding=2), nn.MaxPool2d(2), nn.ReLU(inplace=True), nn.Dropout2d(0.2)]
            inputs = outputs
        layers += [nn.Flatten(), nn.Linear(64 * inputs, 32 * width), nn.ReLU(inplace=True), nn.Dropout(0.5)]
        self.layers = nn.Sequential(*layers, nn.Linear(32 * width, 1))
        initialise(self)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (B,1) of images (B,3,128,128)."""
        return self.layers(images)
