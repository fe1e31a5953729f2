"""MobileStyleGAN: a generator of 1024x1024 faces that is small enough for a laptop's processor.

A mapping network turns a latent z into a style; a synthesis network starts from a learned constant of 4x4 and doubles it
seven times by the inverse Haar wavelet transform. At every doubling two convolutions, each a 3x3 depthwise and a 1x1
pointwise one, are modulated by the style. The last one gives the four Haar bands of the RGB picture.

Belousov, "MobileStyleGAN: A Lightweight Convolutional Neural Network for High-Fidelity Image Synthesis", 2021
(arXiv:2104.04767). In the published weights demodulation does not depend on the style and is part of the pointwise
weights; the noise is constant, so a style determines its picture.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from occface import seeding
from occface.errors import AssetError
from occface.networks.openvino_ir import IRGraph

__all__ = ["MobileStyleGAN", "inverse_haar"]

STYLE_SIZE = 512
CHANNELS = (512, 512, 512, 512, 512, 256, 128, 64)
"""Channels at 4, 8, ... 512 pixels."""
SLOPE = 0.2
"""Slope of every leaky ReLU."""


def inverse_haar(bands: Tensor) -> Tensor:
    """Invert one level of the 2-D Haar wavelet transform.

    Parameters
    ----------
    bands : torch.Tensor
        Shape (B, 4C, H, W): C low-low bands, then for each of them its three detail bands (vertical, horizontal, diagonal).

    Returns
    -------
    torch.Tensor
        Shape (B, C, 2H, 2W). The mean of each 2x2 block is half the low-low band.

    Examples
    --------
    >>> inverse_haar(torch.tensor([8.0, 4.0, 2.0, 0.0]).view(1, 4, 1, 1)).squeeze().tolist()
    [[7.0, 5.0], [3.0, 1.0]]
    """
    channels = bands.shape[1]
    low = bands[:, : channels // 4] * 0.5
    details = bands[:, channels // 4 :].unflatten(1, (channels // 4, 3)) * 0.5
    vertical, horizontal, diagonal = details.unbind(2)
    top, bottom = low + vertical, low - vertical
    right, cross = horizontal + diagonal, horizontal - diagonal
    blocks = torch.stack((top + right, top - right, bottom + cross, bottom - cross), dim=2)
    return F.pixel_shuffle(blocks.flatten(1, 2), 2)


class MappingNetwork(nn.Module):
    """Latent z (B, 512), standard normal -> style (B, 512): pixel norm, then eight leaky linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(STYLE_SIZE, STYLE_SIZE) for _ in range(8))

    def forward(self, z: Tensor) -> Tensor:
        x = z * torch.rsqrt(z.square().mean(1, keepdim=True) + 1e-8)
        for layer in self.layers:
            x = F.leaky_relu(layer(x), SLOPE) * 2**0.5
        return x


class StyledConstant(nn.Module):
    """The learned 4x4 constant, modulated by the style and convolved with a full 3x3 kernel."""

    noise: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.constant = nn.Parameter(torch.zeros(1, channels, 4, 4))
        self.modulation = nn.Linear(STYLE_SIZE, channels)
        self.weight = nn.Parameter(torch.zeros(channels, channels, 3, 3))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("noise", torch.zeros(1, 1, 4, 4))

    def forward(self, style: Tensor) -> Tensor:
        x = self.constant * self.modulation(style)[:, :, None, None]
        return F.leaky_relu(F.conv2d(x, self.weight, self.bias, padding=1) + self.noise, SLOPE)


class StyledConv(nn.Module):
    """A modulated depthwise-separable convolution, noise and a leaky ReLU.

    The style scales the input's channels. A depthwise convolution commutes with that, so the scaling is applied to the
    pointwise weights instead: they are far fewer than the pixels.
    """

    noise: Tensor

    def __init__(self, inputs: int, outputs: int, size: int) -> None:
        super().__init__()
        self.modulation = nn.Linear(STYLE_SIZE, inputs)
        self.depthwise = nn.Parameter(torch.zeros(inputs, 1, 3, 3))
        self.pointwise = nn.Parameter(torch.zeros(outputs, inputs))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.register_buffer("noise", torch.zeros(1, 1, size, size))

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        x = F.conv2d(x, self.depthwise, padding=1, groups=x.shape[1])
        x = modulated_pointwise(x, self.pointwise, self.modulation(style), self.bias)
        return F.leaky_relu(x.add_(self.noise), SLOPE, inplace=True)


def modulated_pointwise(x: Tensor, weight: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    """Convolve (B, C, H, W) with 1x1 weights (O, C) after scaling its channels by (B, C); add a bias (O,)."""
    scaled = weight * scale[:, None, :]
    return torch.baddbmm(bias[:, None], scaled, x.flatten(2)).unflatten(2, x.shape[2:])


class SynthesisLevel(nn.Module):
    """Double the size: modulated inverse Haar transform, then two styled convolutions."""

    def __init__(self, inputs: int, outputs: int, size: int) -> None:
        super().__init__()
        self.up = nn.Linear(STYLE_SIZE, inputs)
        self.conv1 = StyledConv(inputs // 4, outputs, size)
        self.conv2 = StyledConv(outputs, outputs, size)

    def forward(self, x: Tensor, style1: Tensor, style2: Tensor) -> Tensor:
        x = inverse_haar(x * self.up(style1)[:, :, None, None])
        return self.conv2(self.conv1(x, style1), style2)


class SynthesisNetwork(nn.Module):
    """Styles -> RGB pictures, about [-1, 1]."""

    def __init__(self) -> None:
        super().__init__()
        self.start = StyledConstant(CHANNELS[0])
        self.blocks = nn.ModuleList(SynthesisLevel(a, b, 8 << i) for i, (a, b) in enumerate(itertools.pairwise(CHANNELS)))
        self.to_image = nn.Linear(STYLE_SIZE, CHANNELS[-1])
        self.image_weight = nn.Parameter(torch.zeros(12, CHANNELS[-1]))
        self.image_bias = nn.Parameter(torch.zeros(12))

    def forward(self, styles: Tensor, size: int = 1024) -> Tensor:
        """Draw the pictures of some styles; see `MobileStyleGAN`."""
        if size not in (512, 1024):
            raise ValueError(f"expected size 512 or 1024, got {size}")
        levels = 2 * len(self.blocks) + 2
        if styles.ndim == 2:
            styles = styles[:, None].expand(-1, levels, -1)
        if styles.ndim != 3 or styles.shape[1:] != (levels, STYLE_SIZE):
            raise ValueError(
                f"expected styles of shape (B, {STYLE_SIZE}) or (B, {levels}, {STYLE_SIZE}), got {tuple(styles.shape)}"
            )
        per_level = styles.unbind(1)
        x = self.start(per_level[0])
        for i, block in enumerate(self.blocks):
            x = block(x, per_level[2 * i + 1], per_level[2 * i + 2])
        bands = 12 if size == 1024 else 3
        x = modulated_pointwise(x, self.image_weight[:bands], self.to_image(per_level[-1]), self.image_bias[:bands])
        return inverse_haar(x) if size == 1024 else x * 0.5


class MobileStyleGAN(nn.Module):
    """The generator: ``mapping(z)`` gives styles, ``synthesis(styles, size)`` gives pictures.

    ``mapping`` takes z of shape (B, 512), standard normal, and gives styles of shape (B, 512). ``synthesis`` takes one
    style per face, (B, 512), or one per level, (B, `levels`, 512) (W+), and gives float RGB pictures (B, 3, size, size),
    about [-1, 1]. Size 1024 is the whole picture; 512 skips the last inverse transform and is the mean of its 2x2 blocks.

    Levels follow StyleGAN2: the first is the 4x4 constant's, then two for each doubling (its upsampling and first
    convolution; its second convolution), and the last turns features into colours. The first four set pose and shape.

    The networks hold zeros until weights are loaded: make one with `from_openvino`. Weights do not ask for gradients then;
    styles may.
    """

    mean_style: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.mapping = MappingNetwork()
        self.synthesis = SynthesisNetwork()
        self.register_buffer("mean_style", torch.zeros(STYLE_SIZE))

    @property
    def levels(self) -> int:
        """How many styles a face has in W+: 16."""
        return 2 * len(self.synthesis.blocks) + 2

    @classmethod
    def from_openvino(cls, paths: Mapping[str, Path]) -> MobileStyleGAN:
        """Load the published weights.

        Parameters
        ----------
        paths : mapping of str to pathlib.Path
            Paths of ``MappingNetwork.xml``, ``MappingNetwork.bin``, ``SynthesisNetwork.xml`` and ``SynthesisNetwork.bin``,
            as ``assets.require("mobilestylegan")`` gives them.

        Raises
        ------
        AssetError
            If the files are not the ones expected.
        """
        weights = _mapping_weights(IRGraph(paths["MappingNetwork.xml"], paths["MappingNetwork.bin"]))
        weights |= _synthesis_weights(IRGraph(paths["SynthesisNetwork.xml"], paths["SynthesisNetwork.bin"]))
        weights["mean_style"] = np.zeros(STYLE_SIZE, np.float32)
        model = cls()
        try:
            model.load_state_dict({key: torch.from_numpy(array.copy()) for key, array in weights.items()})
        except RuntimeError as error:
            raise AssetError(f"the files are not MobileStyleGAN's: {' '.join(str(error).split())}") from error
        model.eval().requires_grad_(False)
        z = seeding.rng(0, "mobilestylegan", "mean style").standard_normal((4096, STYLE_SIZE), dtype=np.float32)
        model.mean_style.copy_(model.mapping(torch.from_numpy(z)).double().mean(0))
        return model

    def truncate(self, styles: Tensor, psi: float) -> Tensor:
        """Move styles towards the mean style, which stays where it is: less variety, fewer failures.

        Parameters
        ----------
        styles : torch.Tensor
            Shape (B, 512) or (B, L, 512).
        psi : float
            1 leaves them as they are, 0 gives the mean face.
        """
        return torch.lerp(self.mean_style.expand_as(styles), styles, psi)


def _mapping_weights(graph: IRGraph) -> dict[str, np.ndarray]:
    weights = {f"mapping.layers.{i}.weight": array for i, array in enumerate(graph.operands("MatMul"))}
    return weights | {f"mapping.layers.{i}.bias": array for i, array in enumerate(graph.operands("Reshape"))}


def _modulation(graph: IRGraph, key: str, name: str, scaled: bool = True) -> dict[str, np.ndarray]:
    """Return a modulation's linear layer, with the constant gain that follows it multiplied in."""
    gain = graph.operand_after(f"{name}.modulation.bias", "Multiply").item() if scaled else 1.0
    weight, bias = graph.constant(f"{name}.modulation.weight"), graph.constant(f"{name}.modulation.bias")
    return {f"{key}.weight": weight * np.float32(gain), f"{key}.bias": bias.ravel() * np.float32(gain)}


def _synthesis_weights(graph: IRGraph) -> dict[str, np.ndarray]:
    weights = {
        "start.constant": graph.constant("m.input.input"),
        "start.weight": graph.operand_after("m.input.input", "Convolution"),
        "start.noise": graph.operand_after("m.input.input", "Add"),
        "start.bias": graph.constant("m.conv1.bias").ravel(),
        **_modulation(graph, "start.modulation", "m.conv1.conv"),
    }
    last = len(CHANNELS) - 2
    for i in range(last + 1):
        weights |= _modulation(graph, f"blocks.{i}.up", f"m.layers.{i}.up", scaled=False)
        for conv in ("conv1", "conv2"):
            key, name = f"blocks.{i}.{conv}", f"m.layers.{i}.{conv}"
            weights |= _modulation(graph, f"{key}.modulation", f"{name}.conv")
            weights[f"{key}.depthwise"] = graph.constant(f"{name}.conv.weight_dw")[:, 0]
            weights[f"{key}.pointwise"] = graph.operand_after(f"{name}.conv.weight_dw", "Convolution")[:, :, 0, 0]
            weights[f"{key}.noise"] = graph.operand_after(f"{name}.conv.weight_dw", "Add")
            weights[f"{key}.bias"] = graph.constant(f"{name}.bias").ravel()
    weights |= _modulation(graph, "to_image", f"m.layers.{last}.to_img.conv")
    weights["image_weight"] = graph.constant(f"m.layers.{last}.to_img.conv.weight")[:, :, 0, 0]
    weights["image_bias"] = graph.constant(f"m.layers.{last}.to_img.bias").ravel()
    return {f"synthesis.{key}": array for key, array in weights.items()}
