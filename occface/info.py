"""What a file is and whether it is whole: data sets, weights, run folders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from occface.dataset import verify as dataset
from occface.errors import UsageError
from occface.methods.weights import WEIGHTS, load_method

__all__ = ["describe", "readable", "verify"]


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


def readable(said: dict[str, Any]) -> str:
    """Return plain values as text for people."""
    return yaml.safe_dump(said, sort_keys=False, allow_unicode=True).rstrip()
