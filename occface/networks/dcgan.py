"""DCGAN: a small generator of faces of 64x64, five transposed convolutions deep.

Radford, Metz and Chintala, "Unsupervised representation learning with deep convolutional generative adversarial networks",
ICLR 2016. The published weights that are loaded here were trained on rendered faces (DigiFace-1M).
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from occface.errors import AssetError, first_line

__all__ = ["DCGAN", "LATENT_SIZE"]

LATENT_SIZE = 100
_WIDTHS = (512, 256, 128, 64)
"""Channels at 4, 8, 16 and 32 pixels."""


class DCGAN(nn.Module):
    """Latent z (B, 100), standard normal -> RGB pictures (B, 3, 64, 64) in [-1, 1].

    The network holds random numbers until weights are loaded: make one with `from_asset`.
    """

    def __init__(self) -> None:
        super().__init__()
        first = nn.ConvTranspose2d(LATENT_SIZE, _WIDTHS[0], 4, bias=False)
        layers: list[nn.Module] = [first, nn.BatchNorm2d(_WIDTHS[0]), nn.ReLU(inplace=True)]
        for inputs, outputs in itertools.pairwise(_WIDTHS):
            layers += [_doubling(inputs, outputs), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]
        self.main = nn.Sequential(*layers, _doubling(_WIDTHS[-1], 3), nn.Tanh())

    def forward(self, z: Tensor) -> Tensor:
        """Draw the pictures of some latents."""
        return self.main(z[:, :, None, None])

    @classmethod
    def from_asset(cls, paths: Mapping[str, Path]) -> DCGAN:
        """Load the published weights, to evaluate: they ask for no gradients, latents may.

        Parameters
        ----------
        paths : mapping of str to pathlib.Path
            The path of ``weights.tar``, as ``assets.require("dcgan")`` gives it.

        Raises
        ------
        AssetError
            If the file is not the one expected.
        """
        model = cls()
        try:
            checkpoint: dict[str, Any] = torch.load(paths["weights.tar"], map_location="cpu", weights_only=True)
            model.load_state_dict(checkpoint["netG_state_dict"])
        except Exception as error:  # of a damaged file torch raises many kinds
            raise AssetError(f"{paths['weights.tar']} does not hold DCGAN's weights: {first_line(error)}") from error
        model.eval().requires_grad_(False)
        return model


def _doubling(inputs: int, outputs: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1, bias=False)
