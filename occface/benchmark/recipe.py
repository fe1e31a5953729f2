"""What a benchmark is asked for: data sets, weights, pipelines, mask types."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from occface import files
from occface.errors import UsageError
from occface.pipelines import order_of
from occface.registry import did_you_mean

__all__ = ["Recipe", "load_recipe"]


@dataclass(frozen=True)
class Recipe:
    """A benchmark, as its YAML file says it.

    Attributes
    ----------
    datasets : dict of str to Path
        Data sets by the names that tables show.
    pipelines : tuple of str
        Pipelines, such as ``"bicubic+gfc"``; see `occface.pipelines`.
    weights : dict of str to Path
        Run folders or weight files by method.
    masks : tuple of str
        Mask types; all that a data set holds where none is named.
    split : str
        The split that is scored.
    """

    datasets: dict[str, Path]
    pipelines: tuple[str, ...]
    weights: dict[str, Path]
    masks: tuple[str, ...] = ()
    split: str = "test"

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, as `load_recipe` takes them."""
        return {
            "datasets": {name: str(path) for name, path in self.datasets.items()},
            "weights": {name: str(path) for name, path in self.weights.items()},
            "pipelines": list(self.pipelines),
            "masks": list(self.masks),
            "split": self.split,
        }


def _paths(given: Any, key: str, base: Path) -> dict[str, Path]:
    if not isinstance(given, Mapping) or not all(isinstance(value, str) for value in given.values()):
        raise UsageError(f"expected '{key}' of the recipe to map names to paths, got {given!r}")
    return {str(name): (base / path).resolve() for name, path in given.items()}


def _names(given: Any, key: str) -> tuple[str, ...]:
    if not isinstance(given, list | tuple) or not all(isinstance(value, str) for value in given):
        raise UsageError(f"expected '{key}' of the recipe to be a list of names, got {given!r}")
    return tuple(dict.fromkeys(given))


def load_recipe(given: str | Path | Mapping[str, Any]) -> Recipe:
    """Return the recipe of a YAML file or of plain values; paths in a file are taken from the file's folder.

    Raises
    ------
    UsageError
        If a key is unknown or missing, a value is of another form, or a pipeline is none.
    """
    base = Path() if isinstance(given, Mapping) else Path(given).parent
    values = given if isinstance(given, Mapping) else files.read_yaml(given)
    if not isinstance(values, Mapping):
        raise UsageError(f"expected a recipe with datasets and pipelines in {given}, got {type(values).__name__}")
    known = [field.name for field in fields(Recipe)]
    for key in values:
        if key not in known:
            raise UsageError(f"the recipe has an unknown key '{key}': {did_you_mean(str(key), known)}")
    for key in ("datasets", "pipelines"):
        if not values.get(key):
            raise UsageError(f"the recipe names no {key}")
    split = values.get("split", "test")
    if not isinstance(split, str):
        raise UsageError(f"expected 'split' of the recipe to be a name, got {split!r}")
    pipelines = _names(values["pipelines"], "pipelines")
    for pipeline in pipelines:
        order_of(pipeline)
    return Recipe(
        datasets=_paths(values["datasets"], "datasets", base),
        pipelines=pipelines,
        weights=_paths(values.get("weights") or {}, "weights", base),
        masks=_names(values.get("masks") or [], "masks"),
        split=split,
    )
