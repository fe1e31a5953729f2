"""What a benchmark is asked for: data sets, weights, settings, pipelines, mask types, and which mask is given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from occface import files
from occface.errors import UsageError
from occface.methods import METHODS
from occface.pipelines import order_of
from occface.registry import did_you_mean

__all__ = ["Recipe", "load_recipe"]

#: What a pipeline that needs a mask may be given.
_MASKS_GIVEN = ("true", "estimated")


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
    settings : dict of str to dict
        For methods that have nothing to learn: a ``preset``, and settings to replace in it.
    mask_given : tuple of str
        What pipelines that need a mask are given: ``"true"``, or ``"estimated"`` from the LR face; with both, each is scored
        twice.
    limits : dict of str to int
        How many faces are scored, by pipeline, where it is not all.
    pictured : int
        Faces in the page of pictures, for each data set and mask type.
    """

    datasets: dict[str, Path]
    pipelines: tuple[str, ...]
    weights: dict[str, Path]
    masks: tuple[str, ...] = ()
    split: str = "test"
    settings: dict[str, dict[str, Any]] = field(default_factory=dict)
    mask_given: tuple[str, ...] = ("true",)
    limits: dict[str, int] = field(default_factory=dict)
    pictured: int = 3

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, as `load_recipe` takes them."""
        return {
            "datasets": {name: str(path) for name, path in self.datasets.items()},
            "weights": {name: str(path) for name, path in self.weights.items()},
            "pipelines": list(self.pipelines),
            "masks": list(self.masks),
            "split": self.split,
            "settings": {name: dict(values) for name, values in self.settings.items()},
            "mask_given": list(self.mask_given),
            "limits": dict(self.limits),
            "pictured": self.pictured,
        }


def _paths(given: Any, key: str, base: Path) -> dict[str, Path]:
    if not isinstance(given, Mapping) or not all(isinstance(value, str) for value in given.values()):
        raise UsageError(f"expected '{key}' of the recipe to map names to paths, got {given!r}")
    return {str(name): (base / path).resolve() for name, path in given.items()}


def _names(given: Any, key: str) -> tuple[str, ...]:
    if not isinstance(given, list | tuple) or not all(isinstance(value, str) for value in given):
        raise UsageError(f"expected '{key}' of the recipe to be a list of names, got {given!r}")
    return tuple(dict.fromkeys(given))


def _settings(given: Any, weights: Mapping[str, Path]) -> dict[str, dict[str, Any]]:
    if not isinstance(given, Mapping) or not all(isinstance(values, Mapping) for values in given.values()):
        raise UsageError(f"expected 'settings' of the recipe to map methods to settings, got {given!r}")
    for name in given:
        METHODS.get(name)
        if name in weights:
            raise UsageError(f"the recipe gives method '{name}' both weights and settings: trained weights have their own")
        preset = given[name].get("preset", "")
        if not isinstance(preset, str):
            raise UsageError(f"expected the preset of method '{name}' in the recipe to be a name, got {preset!r}")
    return {str(name): {str(key): value for key, value in values.items()} for name, values in given.items()}


def _masks_given(given: Any) -> tuple[str, ...]:
    values = given if isinstance(given, list | tuple) else [given]
    names = tuple(dict.fromkeys("true" if value is True else value for value in values))  # YAML reads true as a truth value
    if not names or not all(name in _MASKS_GIVEN for name in names):
        raise UsageError(f"expected 'mask_given' of the recipe to be true, estimated or a list of both, got {given!r}")
    return names


def _whole(given: Any, key: str) -> int:
    if type(given) is not int or given < 1:
        raise UsageError(f"expected '{key}' of the recipe to be a whole number from 1 on, got {given!r}")
    return given


def _limits(given: Any, pipelines: tuple[str, ...]) -> dict[str, int]:
    if not isinstance(given, Mapping):
        raise UsageError(f"expected 'limits' of the recipe to map pipelines to numbers of faces, got {given!r}")
    for name in given:
        if name not in pipelines:
            raise UsageError(f"'limits' of the recipe names no pipeline of it, '{name}': {did_you_mean(str(name), pipelines)}")
    return {name: _whole(number, f"limits: {name}") for name, number in given.items()}


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
    known = [entry.name for entry in fields(Recipe)]
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
    weights = _paths(values.get("weights") or {}, "weights", base)
    return Recipe(
        datasets=_paths(values["datasets"], "datasets", base),
        pipelines=pipelines,
        weights=weights,
        masks=_names(values.get("masks") or [], "masks"),
        split=split,
        settings=_settings(values.get("settings") or {}, weights),
        mask_given=_masks_given(values.get("mask_given", "true")),
        limits=_limits(values.get("limits") or {}, pipelines),
        pictured=_whole(values.get("pictured", Recipe.pictured), "pictured"),
    )
