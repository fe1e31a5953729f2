"""RRDBNet: residual-in-residual dense blocks, the generator of ESRGAN and Real-ESRGAN, four times larger.

Wang et al., "ESRGAN: Enhanced Super-Resolution Generative Adversarial Networks", ECCV workshops 2018; Wang et al.,
"Real-ESRGAN: Training Real-World Blind Super-Resolution with Pure Synthetic Data", ICCV workshops 2021.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from occface.errors import AssetError
from occface.networks.layers import conv3x3
from occface.networks.ncnn import read_convolutions

__all__ = ["RRDBNet"]

SLOPE = 0.2
"""Slope of every leaky ReLU."""
SCALE = 0.2
"""What each residual branch is multiplied by."""


class DenseBlock(nn.Module):
    """Five convolutions, each of which sees the input and all results before it; the last one's result is added, scaled."""

    def __init__(self, channels: int, growth: int) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(
            conv3x3(channels + growth * number, growth if number < 4 else channels) for number in range(5)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return features of the shape of `x`."""
        seen = x
        for convolution in list(self.convolutions)[:-1]:
            seen = torch.cat((seen, F.leaky_relu(convolution(seen), SLOPE)), 1)
        return x + SCALE * self.convolutions[-1](seen)


class ResidualDenseBlocks(nn.Sequential):
    """Three dense blocks, whose result is added to their input, scaled."""

    def __init__(self, channels: int, growth: int) -> None:
        super().__init__(*(DenseBlock(channels, growth) for _ in range(3)))

    def forward(self, x: Tensor) -> Tensor:
        """Return features of the shape of `x`."""
        return x + SCALE * super().forward(x)


class RRDBNet(nn.Module):
    """Pictures (B, 3, h, w) in [0, 1] -> (B, 3, 4h, 4w), about in [0, 1].

    Parameters
    ----------
    channels, growth : int
        Channels of the trunk, and channels that each convolution of a dense block adds.
    blocks : int
        Groups of three dense blocks. The published x4plus model has 64, 32 and 23: 16,697,987 parameters in 351 convolutions.
    """

    def __init__(self, channels: int = 64, growth: int = 32, blocks: int = 23) -> None:
        super().__init__()
        self.first = conv3x3(3, channels)
        self.trunk = nn.Sequential(*(ResidualDenseBlocks(channels, growth) for _ in range(blocks)))
        self.body = conv3x3(channels, channels)
        self.larger = nn.ModuleList(conv3x3(channels, channels) for _ in range(2))
        self.fine = conv3x3(channels, channels)
        self.last = conv3x3(channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        """Return the picture four times larger."""
        features = self.first(x)
        features = features + self.body(self.trunk(features))
        for convolution in self.larger:
            features = F.leaky_relu(convolution(F.interpolate(features, scale_factor=2.0, mode="nearest")), SLOPE)
        return self.last(F.leaky_relu(self.fine(features), SLOPE))

    @classmethod
    def from_ncnn(cls, paths: Mapping[str, Path], stem: str, blocks: int = 23) -> Self:
        """Return the network with the weights of an ncnn model.

        Parameters
        ----------
        paths : mapping of str to Path
            The files ``<stem>.param`` and ``<stem>.bin``.
        stem : str
            Their name.
        blocks : int
            Groups of dense blocks of the model.

        Raises
        ------
        AssetError
            If the model is another network.
        """
        found = read_convolutions(paths[f"{stem}.param"], paths[f"{stem}.bin"])
        channels = len(found[0].bias) if found else 1
        growth = len(found[1].bias) if len(found) > 1 else 1
        with torch.device("meta"):  # nothing is drawn that would be replaced at once
            network = cls(channels, growth, blocks)
        names = [name for name, part in network.named_modules() if isinstance(part, nn.Conv2d)]
        state = {
            f"{name}.{kind}": torch.from_numpy(value)
            for name, convolution in zip(names, found, strict=False)
            for kind, value in (("weight", convolution.weight), ("bias", convolution.bias))
        }
        wanted = {name: tuple(value.shape) for name, value in network.state_dict().items()}
        if len(found) != len(names) or {name: tuple(value.shape) for name, value in state.items()} != wanted:
            raise AssetError(
                f"{paths[f'{stem}.param']} is another network: expected the {len(names)} convolutions of RRDBNet with "
                f"{blocks} blocks, got {len(found)}, or some of another shape; pull the asset again"
            )
        network.load_state_dict(state, assign=True)
        return network.requires_grad_(False)
