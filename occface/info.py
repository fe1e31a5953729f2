"""What a file is and whether it is whole: data sets, weights, run folders; and what a preset of a method is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from occface.dataset import verify as dataset
from occface.errors import UsageError
from occface.methods import METHODS
from occface.methods.weights import WEIGHTS, load_method
from occface.presets import MethodFacts, PresetFacts, describe_method, describe_preset
from occface.registry import did_you_mean

__all__ = ["FileFacts", "describe", "inspect", "verify"]


@dataclass(frozen=True)
class FileFacts:
    """What a data set, weights or a run folder says of itself, as plain values."""

    said: dict[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return self.said

    def text(self) -> str:
        """Return the same for people, as YAML."""
        return yaml.safe_dump(self.said, sort_keys=False, allow_unicode=True).rstrip()


def inspect(what: str) -> FileFacts | MethodFacts | PresetFacts:
    """Return what a file is, or what a method or a preset of one is.

    Parameters
    ----------
    what : str
        The path of a data set, weights or a run folder, or ``METHOD`` or ``METHOD:PRESET``. A path that exists comes first.

    Raises
    ------
    UsageError
        If it is none of these.
    """
    if Path(what).exists():
        return FileFacts(describe(what))
    name, colon, preset = what.partition(":")
    if name not in METHODS:
        raise UsageError(
            f"expected a data set, weights, a run folder or METHOD[:PRESET], but there is no file {what} "
            f"and no method '{name}': {did_you_mean(name, METHODS)}"
        )
    return describe_preset(name, preset) if colon else describe_method(name)


def _holds_weights(path: Path) -> bool:
    return path.suffix == ".safetensors" or (path / WEIGHTS).exists()


def describe(path: str | Path) -> dict[str, Any]:
    """Return what a data set, weights or a run folder is, as plain values.

    Raises
    ------
    UsageError
        If it is none of these.
    """
    path = Path(path)
    if _holds_weights(path):
        loaded = load_method(path)
        parameters = sum(parameter.numel() for parameter in loaded.method.generator.parameters())  # type: ignore[attr-defined]
        return {"file": str(path), "parameters": parameters, **loaded.card}
    if path.is_dir():
        raise UsageError(f"expected a data set, weights or a run folder at {path}, but this folder holds no {WEIGHTS}")
    return dataset.describe(path)


def verify(path: str | Path) -> list[str]:
    """Return what is wrong with a data set, weights or a run folder, a line each.

    Raises
    ------
    UsageError
        If it is none of these.
    """
    path = Path(path)
    if _holds_weights(path) and path.exists():
        try:
            load_method(path)
        except UsageError as error:
            return [str(error)]
        return []
    return dataset.verify(path)
