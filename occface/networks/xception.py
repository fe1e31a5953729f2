"""mini-XCEPTION: a network of 56 thousand weights that tells seven facial expressions from a grey face of 64 pixels.

Two 3x3 convolutions; four blocks of two depthwise-separable convolutions and a pooling, each with a 1x1 convolution as its
short cut; a convolution to seven channels, and their mean over the picture. Batch normalisation follows every convolution
but the last.

Arriaga, Valdenegro-Toro, Ploeger, "Real-time Convolutional Neural Networks for Emotion and Gender Classification", 2017
(arXiv:1710.07557).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from occface.errors import AssetError

__all__ = ["SIZE", "MiniXception"]

SIZE = 64
"""Side of the picture in pixels."""
CHANNELS = (8, 16, 32, 64, 128)
"""Channels of the first two convolutions, and of the four blocks."""
CLASSES = 7
EPSILON = 1e-3
"""Of the batch normalisation, as the weights were trained with."""


def _pad_same(x: Tensor, value: float) -> Tensor:
    """Pad for a 3x3 window and a stride of 2 as TensorFlow does: the odd row and column go below and to the right."""
    height, width = x.shape[2:]
    rows, columns = 1 + height % 2, 1 + width % 2
    return F.pad(x, (columns - 1, 1, rows - 1, 1), value=value)


class SeparableConv(nn.Module):
    """A 3x3 depthwise and a 1x1 pointwise convolution, and batch normalisation."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(inputs, inputs, 3, padding=1, groups=inputs, bias=False)
        self.pointwise = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.norm = nn.BatchNorm2d(outputs, eps=EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.pointwise(self.depthwise(x)))


class Block(nn.Module):
    """Halve the size: two separable convolutions and a maximum over 3x3, added to a strided 1x1 convolution."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = SeparableConv(inputs, outputs)
        self.conv2 = SeparableConv(outputs, outputs)
        self.short = nn.Conv2d(inputs, outputs, 1, stride=2, bias=False)
        self.short_norm = nn.BatchNorm2d(outputs, eps=EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv2(F.relu(self.conv1(x)))
        return F.max_pool2d(_pad_same(y, -torch.inf), 3, stride=2) + self.short_norm(self.short(x))


class MiniXception(nn.Module):
    """Grey faces (B, 1, 64, 64) in [-1, 1] -> scores (B, 7) before the softmax.

    Holds random numbers until weights are loaded: make one with `from_keras`. Works in evaluation mode only.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, CHANNELS[0], 3, bias=False)
        self.norm1 = nn.BatchNorm2d(CHANNELS[0], eps=EPSILON)
        self.conv2 = nn.Conv2d(CHANNELS[0], CHANNELS[0], 3, bias=False)
        self.norm2 = nn.BatchNorm2d(CHANNELS[0], eps=EPSILON)
        self.blocks = nn.ModuleList(Block(a, b) for a, b in itertools.pairwise(CHANNELS))
        self.last = nn.Conv2d(CHANNELS[-1], CLASSES, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Score faces; see `MiniXception`."""
        if x.ndim != 4 or x.shape[1:] != (1, SIZE, SIZE):
            raise ValueError(f"expected faces of shape (B, 1, {SIZE}, {SIZE}), got {tuple(x.shape)}")
        x = F.relu(self.norm1(self.conv1(x)))
        x = F.relu(self.norm2(self.conv2(x)))
        for block in self.blocks:
            x = block(x)
        return self.last(x).mean((2, 3))

    @classmethod
    def from_keras(cls, path: Path) -> MiniXception:
        """Load the published weights from Keras' HDF5 file.

        Parameters
        ----------
        path : pathlib.Path
            The file, as ``assets.require("expression")`` gives it.

        Raises
        ------
        AssetError
            If the file is not the one expected.
        """
        model = cls()
        try:
            weights = dict(_weights(path))
            state = {key: torch.from_numpy(np.ascontiguousarray(array)) for key, array in weights.items()}
            counters = {key: value for key, value in model.state_dict().items() if key.endswith("num_batches_tracked")}
            model.load_state_dict(state | counters)
        except (OSError, KeyError, ValueError, RuntimeError) as error:
            raise AssetError(f"{path} does not hold mini-XCEPTION's weights: {' '.join(str(error).split())}") from error
        return model.eval().requires_grad_(False)


def _weights(path: Path) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the arrays of the file under the names and in the layouts of `MiniXception`.

    Keras numbers layers of a kind in the order in which they were made: in a block, the short cut and its normalisation come
    before the separable convolutions. Kernels lie as (height, width, inputs, outputs).
    """
    import h5py

    with h5py.File(path) as file:
        # Written by two versions of Keras: some files keep the weights below a group of their own.
        root = file.get("model_weights", file)

        def read(layer: str, name: str) -> np.ndarray:
            (inner,) = root[layer].keys()
            return np.asarray(root[layer][inner][f"{name}:0"], dtype=np.float32)

        def norm(key: str, number: int) -> Iterator[tuple[str, np.ndarray]]:
            pairs = (("weight", "gamma"), ("bias", "beta"), ("running_mean", "moving_mean"), ("running_var", "moving_variance"))
            for ours, theirs in pairs:
                yield f"{key}.{ours}", read(f"batch_normalization_{number}", theirs)

        def conv(key: str, number: int) -> tuple[str, np.ndarray]:
            return f"{key}.weight", read(f"conv2d_{number}", "kernel").transpose(3, 2, 0, 1)

        for i in (1, 2):
            yield conv(f"conv{i}", i)
            yield from norm(f"norm{i}", i)
        for i in range(len(CHANNELS) - 1):
            yield conv(f"blocks.{i}.short", 3 + i)
            yield from norm(f"blocks.{i}.short_norm", 3 + 3 * i)
            for j in (1, 2):
                key, layer = f"blocks.{i}.conv{j}", f"separable_conv2d_{2 * i + j}"
                yield f"{key}.depthwise.weight", read(layer, "depthwise_kernel").transpose(2, 3, 0, 1)
                yield f"{key}.pointwise.weight", read(layer, "pointwise_kernel").transpose(3, 2, 0, 1)
                yield from norm(f"{key}.norm", 3 + 3 * i + j)
        yield conv("last", 7)
        yield "last.bias", read("conv2d_7", "bias")
