"""What a preset of a method is before anything is trained: its size, its cost, what goes in and comes out, its settings."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from occface.errors import AssetError, UsageError
from occface.methods import METHODS
from occface.methods.base import Config, Method, TrainableMethod

__all__ = ["MethodFacts", "PresetFacts", "describe_method", "describe_preset", "saved_bytes"]

COUNTED = "convolutions and matrix products of one face; not normalisation, activations, resizing"

_IMAGES: dict[str, tuple[str, ...]] = {
    "sr": ("lr",),
    "inpaint": ("image",),
    "joint": ("lr",),
    "landmarks": ("image",),
    "parser": ("image",),
    "generator": (),
}
_GIVEN = {"mask": "mask", "landmarks": "landmarks_lr", "true landmarks": "landmarks"}
"""What a method is given in a batch for what it says that it needs."""

_INPUTS: dict[str, tuple[tuple[int, ...], str]] = {
    "lr": ((3, 16, 16), "float32 RGB in [-1,1]"),
    "image": ((3, 128, 128), "float32 RGB in [-1,1]"),
    "mask": ((1, 128, 128), "float32 in {0,1}, 1 in the hole"),
    "landmarks_lr": ((68, 2), "float32 x and y in pixels of the 128x128 crop, estimated from the LR face"),
    "landmarks": ((68, 2), "float32 x and y in pixels of the 128x128 crop, of the HR face"),
}


_OUTPUTS = {
    "landmarks": "(B,68,2) float32 x and y in pixels of the 128x128 crop",
    "parser": "(B,3,128,128) float32 RGB in [-1,1], the parts of the face coloured",
}
"""What comes out where it is no face."""


@dataclass(frozen=True)
class PresetFacts:
    """What is known of a method in one preset.

    Attributes
    ----------
    parameters : dict of str to int
        Numbers that are learnt, for each part of the method: its generator first, then what only training needs.
    saved_kb : float or None
        Size of the generator's safetensors file in KB of 1024 bytes; None where there is nothing to save.
    macs : dict of str to int, or None
        Multiply-accumulates of one face: ``total``, and for each kind of operation; None where they cannot be counted.
    macs_counted : str
        What is counted in `macs`, or why nothing is.
    inputs, output : dict of str to str, str
        Shapes, types and ranges.
    phases : dict of str to int
        Steps of each phase of training.
    assets : tuple of str
        What training needs of `occface.assets`.
    """

    method: str
    preset: str
    role: str
    needs: tuple[str, ...]
    parameters: dict[str, int]
    saved_kb: float | None
    macs: dict[str, int] | None
    macs_counted: str
    inputs: dict[str, str]
    output: str
    phases: dict[str, int]
    assets: tuple[str, ...]
    config: Config

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return asdict(self)

    def text(self) -> str:
        """Return the same in lines for people."""
        numbers = {part: f"{count:,} parameters" for part, count in self.parameters.items()}
        macs = {kind.replace("_", " "): f"{count / 1e9:.4g} GMAC" for kind, count in (self.macs or {}).items()}
        facts: dict[str, Any] = {
            "method": f"{self.method}:{self.preset}, role {self.role}",
            "parts": numbers or "nothing to learn",
            "saved": "nothing"
            if self.saved_kb is None
            else f"{self.saved_kb:,.0f} KB of 1024 bytes (the generator, safetensors)",
            "one face": {**macs, "counted": self.macs_counted},
            "input": self.inputs,
            "output": self.output,
            "phases": {name: f"{steps:,} steps" for name, steps in self.phases.items()} or "no training",
            "assets": ", ".join(self.assets) or "none",
            "settings": self.config or "none",
        }
        lines = []
        for name, fact in facts.items():
            entries = fact.items() if isinstance(fact, dict) else [("", fact)]
            wide = max(len(key) for key, _ in entries)
            for number, (key, value) in enumerate(entries):
                lines.append(f"{'' if number else name:<10}{key:<{wide}}{'  ' * bool(wide)}{value}")
        return "\n".join(lines)


@dataclass(frozen=True)
class MethodFacts:
    """The presets of a method, and its variants.

    Attributes
    ----------
    rows : tuple of dict
        For each preset: ``preset``, the ``parameters`` of its generator, ``saved_kb`` (KB of 1024 bytes; None where there is
        nothing to save) and all ``steps`` of its training.
    variants : tuple of dict
        For each variant the same over the first preset, and ``changes``: by which share of its own parameters the generator
        of each preset grows under it (negative: shrinks), of those presets that can have it. It is counted for all presets
        if the variant alters the generator of the first one, otherwise for the first alone.
    """

    method: str
    role: str
    rows: tuple[dict[str, Any], ...]
    variants: tuple[dict[str, Any], ...]

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return asdict(self)

    def text(self) -> str:
        """Return tables for people."""
        lines = _table("preset", self.rows)
        if self.variants:
            lines += ["", *_table("variant", self.variants, [_range(row["changes"]) for row in self.variants])]
        joined = "; join variants to a preset by +" if self.variants else ""
        return "\n".join([*lines, f"`occface info {self.method}:PRESET` says more of one{joined}"])


def _table(title: str, rows: Sequence[dict[str, Any]], changes: Sequence[str] = ()) -> list[str]:
    width = max(len(title), *(len(row["preset"]) for row in rows))
    lines = [f"{title:<{width}} {'parameters':>12} {'saved KB':>10} {'steps':>9}{'  change of the size' * bool(changes)}"]
    for row, change in zip(rows, changes or [""] * len(rows), strict=True):
        saved = "-" if row["saved_kb"] is None else f"{row['saved_kb']:,.0f}"
        lines.append(f"{row['preset']:<{width}} {row['parameters']:>12,} {saved:>10} {row['steps']:>9,}  {change}".rstrip())
    return lines


def _range(changes: Mapping[str, float]) -> str:
    """Return from where to where the sizes of several presets change."""
    if not any(changes.values()):
        return "none"
    least, most = min(changes.values()), max(changes.values())
    return f"{least:+.2%} to {most:+.2%} ({', '.join(changes)})"


def describe_method(name: str) -> MethodFacts:
    """Return the presets and variants of a method.

    Raises
    ------
    UsageError
        If there is no such method.

    Examples
    --------
    >>> [row["preset"] for row in describe_method("gfc").rows]
    ['paper', 'gpu', 'cpu', 'demo', 'test']
    """
    kind = METHODS.get(name)
    rows = {preset: _row(kind, preset) for preset in kind.presets()}
    sizes = {preset: row["parameters"] for preset, row in rows.items()}
    first = next(iter(rows))
    variants = []
    for variant in kind.VARIANTS:
        row = _row(kind, f"{first}+{variant}")
        changes = {first: row["parameters"] / sizes[first] - 1}
        if changes[first]:
            changes |= _changes(kind, variant, {preset: size for preset, size in sizes.items() if preset != first})
        variants.append(row | {"changes": changes})
    return MethodFacts(name, kind.role, tuple(rows.values()), tuple(variants))


def _row(kind: type[Method], preset: str) -> dict[str, Any]:
    method = _built(kind, preset)
    generator = _generator(method)
    return {
        "preset": preset,
        "parameters": 0 if generator is None else _parameters(generator),
        "saved_kb": _kilobytes(generator),
        "steps": sum(_phases(method).values()),
    }


def _changes(kind: type[Method], variant: str, sizes: Mapping[str, int]) -> dict[str, float]:
    """Return by which share a variant changes the size of each preset that can have it."""
    changes = {}
    for preset, size in sizes.items():
        try:
            generator = _generator(_built(kind, f"{preset}+{variant}"))
        except UsageError:  # the two contradict each other
            continue
        changes[preset] = 0.0 if generator is None else _parameters(generator) / size - 1
    return changes


def describe_preset(name: str, preset: str) -> PresetFacts:
    """Return what is known of a method in a preset.

    Parameters
    ----------
    name : str
        A method of the registry.
    preset : str
        A preset's name, or a preset's and variants' with ``+`` between.

    Raises
    ------
    UsageError
        If there is no such method, preset or variant.

    Examples
    --------
    >>> facts = describe_preset("bicubic", "paper")
    >>> facts.parameters, facts.output
    ({}, '(B,3,128,128) float32 RGB in [-1,1]')
    """
    kind = METHODS.get(name)
    method = _built(kind, preset)
    inputs = [*_IMAGES[method.role], *(_GIVEN[need] for need in sorted(method.needs))]
    macs, counted = _count(kind, preset, inputs)
    parts = dict(method.named_children()) if isinstance(method, nn.Module) else {}
    return PresetFacts(
        method=name,
        preset=preset,
        role=method.role,
        needs=tuple(sorted(method.needs)),
        parameters={part: _parameters(module) for part, module in parts.items()},
        saved_kb=_kilobytes(_generator(method)),
        macs=macs,
        macs_counted=counted,
        inputs={key: f"(B,{','.join(map(str, _INPUTS[key][0]))}) {_INPUTS[key][1]}" for key in inputs},
        output=_OUTPUTS.get(method.role, "(B,3,128,128) float32 RGB in [-1,1]"),
        phases=_phases(method),
        assets=method.assets() if isinstance(method, TrainableMethod) else (),
        config=method.config,
    )


def _built(kind: type[Method], preset: str) -> Method:
    """Build a method without memory for its numbers, where it can be: 137 million of them are not needed to count them."""
    try:
        with torch.device("meta"):
            return kind.build(preset)
    except (NotImplementedError, RuntimeError):
        return kind.build(preset)


def _generator(method: Method) -> nn.Module | None:
    return method.generator if isinstance(method, TrainableMethod) else None


def _parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _phases(method: Method) -> dict[str, int]:
    return {phase.name: phase.steps for phase in method.phases()} if isinstance(method, TrainableMethod) else {}


def _kilobytes(generator: nn.Module | None) -> float | None:
    return None if generator is None else saved_bytes(generator.state_dict()) / 1024


def _count(kind: type[Method], preset: str, inputs: list[str]) -> tuple[dict[str, int] | None, str]:
    """Run one face of zeros through the method and count; on the meta device, which computes nothing, where that works."""
    if not kind.countable:
        return None, "not counted: a search has no cost of its own"
    try:
        try:
            return _counted_on("meta", kind, preset, inputs), COUNTED
        except (NotImplementedError, RuntimeError):
            return _counted_on("cpu", kind, preset, inputs), COUNTED
    except AssetError as error:
        return None, f"not counted: {error}"


def _counted_on(device: str, kind: type[Method], preset: str, inputs: list[str]) -> dict[str, int]:
    with torch.device(device), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*is a no-op")  # weights of assets that meet the meta device
        method = kind.build(preset)
        with FlopCounterMode(display=False) as counter:
            batch = {key: torch.zeros(1, *_INPUTS[key][0]) for key in inputs}
            if isinstance(method, TrainableMethod) and method.role in _OUTPUTS:
                method.results(batch)
            else:
                method.hallucinate(batch)
    macs = {"total": 0, "convolutions": 0, "matrix_products": 0}
    for operation, flops in counter.get_flop_counts().get("Global", {}).items():
        macs["convolutions" if "conv" in str(operation) else "matrix_products"] += flops // 2
        macs["total"] += flops // 2
    return macs


def saved_bytes(state: Mapping[str, Tensor]) -> int:
    """Return how large the safetensors file of a network's state is, without writing it.

    Eight bytes say how long the header is; the header is JSON, padded to eight bytes; the numbers follow, widest first.

    Examples
    --------
    >>> import safetensors.torch
    >>> state = nn.BatchNorm2d(3).state_dict()
    >>> saved_bytes(state) == len(safetensors.torch.save(state))
    True
    """
    header: dict[str, Any] = {}
    end = 0
    for name, value in sorted(state.items(), key=lambda item: (-item[1].element_size(), item[0])):
        start, end = end, end + value.numel() * value.element_size()
        kind = f"{'F' if value.is_floating_point() else 'I'}{8 * value.element_size()}"
        header[name] = {"dtype": kind, "shape": list(value.shape), "data_offsets": [start, end]}
    length = len(json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode())
    return 8 + -(-length // 8) * 8 + end
