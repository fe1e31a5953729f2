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
from collections.abc import Iterator, Mapping
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
STRIP = 32
"""Rows of a level's input that are computed at once on a processor: at most 8 MB of features, at every level."""


def inverse_haar(bands: Tensor, gain: Tensor | float = 1.0) -> Tensor:
    """Invert one level of the 2-D Haar wavelet transform.

    Parameters
    ----------
    bands : torch.Tensor
        Shape (B, H, W, 4C): C low-low bands, then their C vertical, C horizontal and C diagonal detail bands.
    gain : torch.Tensor or float
        What the bands are multiplied by first, broadcast.

    Returns
    -------
    torch.Tensor
        Shape (B, 2H, 2W, C). The mean of each 2x2 block is half the low-low band.

    Examples
    --------
    >>> inverse_haar(torch.tensor([8.0, 4.0, 2.0, 0.0]).view(1, 1, 1, 4)).squeeze().tolist()
    [[7.0, 5.0], [3.0, 1.0]]
    """
    low, vertical, horizontal, diagonal = (bands * (gain * 0.5)).chunk(4, dim=3)
    top, bottom = low + vertical, low - vertical
    above, below = horizontal + diagonal, horizontal - diagonal
    upper = torch.stack((top + above, top - above), dim=3).flatten(2, 3)
    lower = torch.stack((bottom + below, bottom - below), dim=3).flatten(2, 3)
    return torch.stack((upper, lower), dim=2).flatten(1, 2)


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
        self.register_buffer("noise", torch.zeros(4, 4, 1))

    def forward(self, style: Tensor) -> Tensor:
        x = self.constant * self.modulation(style)[:, :, None, None]
        x = F.conv2d(x, self.weight, self.bias, padding=1).permute(0, 2, 3, 1)
        return F.leaky_relu(x + self.noise, SLOPE)


class StyledPointwise(nn.Module):
    """A 1x1 convolution whose input channels are scaled by the style: (B, H, W, C) -> (B, H, W, O)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.modulation = nn.Linear(STYLE_SIZE, inputs)
        self.weight = nn.Parameter(torch.zeros(inputs, outputs))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        # Scaling the weights is the same as scaling the pixels, of which there are many more.
        weight = self.weight * self.modulation(style)[:, :, None]
        return torch.baddbmm(self.bias, x.flatten(1, 2), weight).unflatten(1, x.shape[1:3])


class StyledConv(nn.Module):
    """A modulated depthwise-separable convolution, noise and a leaky ReLU, on rows `first` to `last` of the picture.

    The noise, (H, W, 1), may be replaced by one for each face, (B, H, W, 1).

    The style scales the input; since a depthwise convolution keeps channels apart, it may as well scale its output.
    """

    noise: Tensor

    def __init__(self, inputs: int, outputs: int, size: int) -> None:
        super().__init__()
        self.depthwise = nn.Parameter(torch.zeros(inputs, 1, 3, 3))
        self.pointwise = StyledPointwise(inputs, outputs)
        self.register_buffer("noise", torch.zeros(size, size, 1))

    def forward(self, x: Tensor, style: Tensor, first: int, last: int) -> Tensor:
        x = F.conv2d(x.permute(0, 3, 1, 2), self.depthwise, padding=1, groups=x.shape[3])
        x = self.pointwise(x.permute(0, 2, 3, 1), style)
        return F.leaky_relu(x.add_(self.noise[..., first:last, :, :]), SLOPE, inplace=True)


class SynthesisLevel(nn.Module):
    """Double the size: modulated inverse Haar transform, then two styled convolutions."""

    def __init__(self, inputs: int, outputs: int, size: int) -> None:
        super().__init__()
        self.up = nn.Linear(STYLE_SIZE, inputs)
        self.conv1 = StyledConv(inputs // 4, outputs, size)
        self.conv2 = StyledConv(outputs, outputs, size)

    def forward(self, x: Tensor, style1: Tensor, style2: Tensor) -> Iterator[Tensor]:
        """Yield the result in strips of rows, from the top.

        A strip fits into a processor's cache, and its memory is used again for the next one. It is computed with one more
        row of `x` above and below: the two convolutions reach two rows of twice the size.
        """
        gain = self.up(style1)[:, None, None, :]
        height = x.shape[1]
        rows = STRIP if x.device.type == "cpu" else height
        for top in range(0, height, rows):
            first, last = max(top - 1, 0), min(top + rows + 1, height)
            y = inverse_haar(x[:, first:last], gain)
            y = self.conv1(y, style1, 2 * first, 2 * last)
            y = self.conv2(y, style2, 2 * first, 2 * last)
            yield y[:, 2 * (top - first) :][:, : 2 * rows]


class SynthesisNetwork(nn.Module):
    """Styles -> RGB pictures, about [-1, 1]. Features are (B, H, W, C): matrix products then need no copies."""

    def __init__(self) -> None:
        super().__init__()
        self.start = StyledConstant(CHANNELS[0])
        self.blocks = nn.ModuleList(SynthesisLevel(a, b, 8 << i) for i, (a, b) in enumerate(itertools.pairwise(CHANNELS)))
        self.to_image = StyledPointwise(CHANNELS[-1], 12)

    def forward(self, styles: Tensor, size: int = 1024) -> Tensor:
        """Draw the pictures of some styles; see `MobileStyleGAN`."""
        if size not in (512, 1024):
            raise ValueError(f"expected size 512 or 1024, got {size}")
        levels = 2 * len(self.blocks) + 2
        if styles.ndim == 2:
            styles = styles[:, None].expand(-1, levels, -1)
        if styles.ndim != 3 or styles.shape[1:] != (levels, STYLE_SIZE):
            expected = f"(B, {STYLE_SIZE}) or (B, {levels}, {STYLE_SIZE})"
            raise ValueError(f"expected styles of shape {expected}, got {tuple(styles.shape)}")
        per_level = styles.unbind(1)
        x = self.start(per_level[0])
        for i, block in enumerate(self.blocks):
            strips = block(x, per_level[2 * i + 1], per_level[2 * i + 2])
            if block is self.blocks[-1]:
                strips = (self._picture(strip, per_level[-1], size) for strip in strips)
            x = torch.cat(list(strips), dim=1)
        return x.permute(0, 3, 1, 2).contiguous()

    def _picture(self, x: Tensor, style: Tensor, size: int) -> Tensor:
        bands = self.to_image(x, style)
        return inverse_haar(bands) if size == 1024 else bands[..., :3] * 0.5


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


def _grouped(array: np.ndarray) -> np.ndarray:
    """Reorder features from the files' Haar layout (low bands, then the details of each) to that of `inverse_haar`."""
    low, details = array[: len(array) // 4], array[len(array) // 4 :]
    return np.concatenate((low, details[0::3], details[1::3], details[2::3]))


def _modulation(graph: IRGraph, key: str, name: str) -> dict[str, np.ndarray]:
    """Return a modulation's linear layer, with the constant gain that follows it multiplied in."""
    gain = graph.operand_after(f"{name}.modulation.bias", "Multiply").item()
    weight, bias = graph.constant(f"{name}.modulation.weight"), graph.constant(f"{name}.modulation.bias")
    return {f"{key}.modulation.weight": weight * np.float32(gain), f"{key}.modulation.bias": bias.ravel() * np.float32(gain)}


def _synthesis_weights(graph: IRGraph) -> dict[str, np.ndarray]:
    weights = {
        "start.constant": graph.constant("m.input.input"),
        "start.weight": _grouped(graph.operand_after("m.input.input", "Convolution")),
        "start.noise": graph.operand_after("m.input.input", "Add")[0, 0, :, :, None],
        "start.bias": _grouped(graph.constant("m.conv1.bias").ravel()),
        **_modulation(graph, "start", "m.conv1.conv"),
    }
    last = len(CHANNELS) - 2
    for i in range(last + 1):
        weights[f"blocks.{i}.up.weight"] = _grouped(graph.constant(f"m.layers.{i}.up.modulation.weight"))
        weights[f"blocks.{i}.up.bias"] = _grouped(graph.constant(f"m.layers.{i}.up.modulation.bias").ravel())
        for conv in ("conv1", "conv2"):
            key, name = f"blocks.{i}.{conv}", f"m.layers.{i}.{conv}"
            pointwise = graph.operand_after(f"{name}.conv.weight_dw", "Convolution")[:, :, 0, 0]
            bias = graph.constant(f"{name}.bias").ravel()
            if conv == "conv2" and i < last:
                pointwise, bias = _grouped(pointwise), _grouped(bias)
            weights |= _modulation(graph, f"{key}.pointwise", f"{name}.conv")
            weights[f"{key}.depthwise"] = graph.constant(f"{name}.conv.weight_dw")[:, 0]
            weights[f"{key}.pointwise.weight"], weights[f"{key}.pointwise.bias"] = pointwise.T, bias
            weights[f"{key}.noise"] = graph.operand_after(f"{name}.conv.weight_dw", "Add")[0, 0, :, :, None]
    weights |= _modulation(graph, "to_image", f"m.layers.{last}.to_img.conv")
    weights["to_image.weight"] = _grouped(graph.constant(f"m.layers.{last}.to_img.conv.weight")[:, :, 0, 0]).T
    weights["to_image.bias"] = _grouped(graph.constant(f"m.layers.{last}.to_img.bias").ravel())
    return {f"synthesis.{key}": array for key, array in weights.items()}
