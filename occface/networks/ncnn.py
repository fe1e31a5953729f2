"""Convolutions out of a model in ncnn's form: a ``.param`` file that names the layers, a ``.bin`` file with their numbers.

Weights that are published only in this form are read here, without ncnn. The ``.param`` file is text: a magic number, the
counts of layers and blobs, then a line for each layer, ``kind name inputs outputs input... output... key=value...``. The
``.bin`` file holds the numbers of one layer after the other and nothing to find them by, so a layer of an unknown kind that
might have numbers makes all that follows unreadable, and is refused. A convolution's weights come behind four bytes that say
how they are kept; its bias is plain float32.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from occface.errors import AssetError, first_line

__all__ = ["Convolution", "Layer", "read_convolutions", "read_layers"]

_MAGIC = "7767517"
#: Kinds of layers that have no numbers in the ``.bin`` file.
_PLAIN = frozenset({"BinaryOp", "Concat", "Eltwise", "Input", "Interp", "PixelShuffle", "ReLU", "Split"})
#: The four bytes before weights: half precision, and single precision (tagged or not).
_HALF, _SINGLE = 0x01306B47, (0, 0x0002C056)
_OUTPUTS, _KERNEL, _HAS_BIAS, _COUNT = "0", "1", "5", "6"


@dataclass(frozen=True)
class Layer:
    """One line of a ``.param`` file: the blobs it reads and writes by name, its settings by number, as text."""

    kind: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    settings: dict[str, str]


@dataclass(frozen=True)
class Convolution:
    """A convolution's numbers: `weight` float32 (outputs, inputs, k, k), `bias` float32 (outputs,)."""

    name: str
    weight: np.ndarray
    bias: np.ndarray


def read_layers(param: Path) -> list[Layer]:
    """Return the layers of a ``.param`` file, in order.

    Raises
    ------
    AssetError
        If it cannot be read, or is none.
    """
    try:
        lines = param.read_text(encoding="ascii").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise AssetError(f"expected an ncnn model at {param}, but it cannot be read: {first_line(error)}") from error
    if lines[0].strip() != _MAGIC:
        raise AssetError(f"{param} is no ncnn model: expected it to begin with {_MAGIC}, got '{lines[0][:20]}'")
    try:
        count = int(lines[1].split()[0])
        layers = [_layer(line) for line in lines[2:] if line.strip()]
    except (IndexError, ValueError) as error:
        raise AssetError(f"{param} is no ncnn model that can be understood: {first_line(error)}") from error
    if len(layers) != count:
        raise AssetError(f"{param} is damaged: expected {count} layers as it says, got {len(layers)}")
    return layers


def _layer(line: str) -> Layer:
    kind, name, inputs, outputs, *rest = line.split()
    first, last = int(inputs), int(inputs) + int(outputs)
    settings = dict(item.split("=", 1) for item in rest[last:])
    return Layer(kind, name, tuple(rest[:first]), tuple(rest[first:last]), settings)


def read_convolutions(param: Path, weights: Path) -> list[Convolution]:
    """Return all convolutions of a model, in the order of its layers.

    Parameters
    ----------
    param, weights : pathlib.Path
        The ``.param`` and the ``.bin`` file.

    Raises
    ------
    AssetError
        If a file cannot be read, the model has layers of other kinds with numbers, weights are kept in a way that is not
        known here (quantised), or the ``.bin`` file is longer or shorter than the layers say.
    """
    try:
        blob = weights.read_bytes()
    except OSError as error:
        raise AssetError(
            f"expected the weights of {param} at {weights}, but they cannot be read: {first_line(error)}"
        ) from error
    found, at = [], 0
    for layer in read_layers(param):
        if layer.kind in _PLAIN:
            continue
        if layer.kind != "Convolution":
            raise AssetError(
                f"{param} holds a layer of the kind {layer.kind}; expected Convolution, {', '.join(sorted(_PLAIN))}"
            )
        try:
            convolution, at = _convolution(layer, blob, at)
        except (KeyError, ValueError) as error:
            raise AssetError(f"{weights} does not fit {param} at layer {layer.name}: {first_line(error)}") from error
        found.append(convolution)
    if at != len(blob):
        raise AssetError(f"{weights} does not fit {param}: expected {at} bytes, got {len(blob)}")
    return found


def _convolution(layer: Layer, blob: bytes, at: int) -> tuple[Convolution, int]:
    """Return the convolution whose numbers begin at byte `at`, and the byte after them."""
    outputs, kernel, count = (int(layer.settings[key]) for key in (_OUTPUTS, _KERNEL, _COUNT))
    inputs, odd = divmod(count, outputs * kernel * kernel)
    if odd or inputs < 1:
        raise ValueError(f"{count} weights make no {kernel}x{kernel} convolution with {outputs} outputs")
    tag = int(np.frombuffer(blob, "<u4", 1, at)[0])
    if tag != _HALF and tag not in _SINGLE:
        raise ValueError(f"its weights are kept in an unknown way (tag {tag:#010x}): expected float16 or float32")
    width = 2 if tag == _HALF else 4
    weight = np.frombuffer(blob, f"<f{width}", count, at + 4).astype(np.float32).reshape(outputs, inputs, kernel, kernel)
    at += 4 + -(-width * count // 4) * 4  # filled up to a multiple of four bytes
    bias = np.zeros(outputs, np.float32)
    if int(layer.settings.get(_HAS_BIAS, "0")):
        bias = np.frombuffer(blob, "<f4", outputs, at).copy()
        at += 4 * outputs
    return Convolution(layer.name, weight, bias), at
