"""Constants out of an OpenVINO IR (version 10): a graph in an ``.xml`` file, its numbers in a ``.bin`` file.

Weights that are published only in this form are read here, without OpenVINO. Constants that the exporter folded have lost
their names, so they are found through the graph, by what they are an operand of.
"""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from occface.errors import AssetError

__all__ = ["IRGraph"]

_DTYPES: dict[str, np.dtype[Any]] = {
    "f32": np.dtype("<f4"),
    "f16": np.dtype("<f2"),
    "i32": np.dtype("<i4"),
    "i64": np.dtype("<i8"),
}


@dataclass
class _Node:
    name: str
    kind: str
    data: dict[str, str]
    inputs: list[str]
    consumers: list[str]


class IRGraph:
    """The graph of an IR file pair, as a source of constants.

    Parameters
    ----------
    xml, weights : pathlib.Path
        The ``.xml`` and the ``.bin`` file.

    Raises
    ------
    AssetError
        If the files are not an IR of version 10 with plain numeric constants. The same is raised by every method that is
        asked for a constant that the graph does not hold.
    """

    def __init__(self, xml: Path, weights: Path) -> None:
        self._path = xml
        try:
            root = ET.parse(xml).getroot()
            self._blob = weights.read_bytes()
        except (OSError, ET.ParseError) as error:
            raise AssetError(f"expected an OpenVINO IR at {xml} and {weights}, but it cannot be read: {error}") from error
        if root.tag != "net" or root.get("version") != "10":
            came = f"<{root.tag}> of version {root.get('version')}"
            raise self._bad(f"expected <net> of version 10, got {came}")
        self._nodes: dict[str, _Node] = {}
        for layer in root.iterfind("layers/layer"):
            data = layer.find("data")
            attributes = {} if data is None else dict(data.attrib)
            self._nodes[layer.get("id", "")] = _Node(layer.get("name", ""), layer.get("type", ""), attributes, [], [])
        for edge in root.iterfind("edges/edge"):
            source, target = edge.get("from-layer", ""), edge.get("to-layer", "")
            if target not in self._nodes or source not in self._nodes:
                raise self._bad(f"an edge joins layers {source} and {target}, of which one is missing")
            self._nodes[target].inputs.append(source)
            self._nodes[source].consumers.append(target)
        self._by_name = {node.name: key for key, node in self._nodes.items()}

    def _bad(self, what: str) -> AssetError:
        return AssetError(f"{self._path} is not the OpenVINO IR that is expected: {what}; pull the asset again")

    def _read(self, node: _Node) -> np.ndarray:
        try:
            dtype = _DTYPES[node.data["element_type"]]
            shape = [int(n) for n in node.data["shape"].split(",") if n.strip()]
            offset, size = int(node.data["offset"]), int(node.data["size"])
        except (KeyError, ValueError) as error:
            raise self._bad(f"constant '{node.name}' is described in an unknown way ({error})") from error
        count = math.prod(shape)
        if min(shape, default=1) < 0 or size != count * dtype.itemsize or offset < 0 or offset + size > len(self._blob):
            raise self._bad(f"constant '{node.name}' of shape {shape} does not lie in its {len(self._blob)} bytes of weights")
        return np.frombuffer(self._blob, dtype, count, offset).reshape(shape)

    def constant(self, name: str) -> np.ndarray:
        """Return the constant of that name, read-only."""
        node = self._nodes.get(self._by_name.get(name, ""))
        if node is None or node.kind != "Const":
            raise self._bad(f"there is no constant '{name}'")
        return self._read(node)

    def _operand(self, node: _Node, apart_from: str = "") -> np.ndarray | None:
        """Return the constant floating-point operand of a node, if it has one."""
        for key in node.inputs:
            operand = self._nodes[key]
            if operand.kind == "Const" and key != apart_from and operand.data.get("element_type") in ("f32", "f16"):
                return self._read(operand)
        return None

    def operands(self, kind: str) -> list[np.ndarray]:
        """Return the constant floating-point operands of all operations of one kind, in the order of the graph."""
        found = (self._operand(node) for node in self._nodes.values() if node.kind == kind)
        return [operand for operand in found if operand is not None]

    def operand_after(self, name: str, kind: str) -> np.ndarray:
        """Return the constant operand of the first operation of one kind that has one, downstream of constant `name`.

        The constant's own use does not count, and the way must not fork before the operation is reached.
        """
        start = key = self._by_name.get(name, "")
        while key in self._nodes and len(self._nodes[key].consumers) == 1:
            key = self._nodes[key].consumers[0]
            operand = self._operand(self._nodes[key], start) if self._nodes[key].kind == kind else None
            if operand is not None:
                return operand
        raise self._bad(f"no {kind} with a constant follows '{name}'")
