"""What a benchmark is asked for: data sets, methods, which of them are compared on what, metrics, and what is timed.

A recipe is a YAML file, one of the packaged ones by name, or a mapping of plain values. `load_recipe` checks it as a whole
before anything is run.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from importlib.resources import files as package_files
from pathlib import Path
from typing import Any

import yaml

from occface import files
from occface.errors import UsageError
from occface.methods import METHODS
from occface.metrics import METRICS
from occface.pipelines import method_names, order_of
from occface.registry import did_you_mean

__all__ = ["Comparison", "DataEntry", "MethodEntry", "Recipe", "Timing", "load_recipe", "packaged_recipes"]

#: What a pipeline that needs a mask may be given.
_MASKS_GIVEN = ("true", "estimated")
#: Methods learn from the data set that they are tested on.
OWN = "own"
#: The pipeline that gives the true faces, which landmarks, parsing and expressions of results are held against.
REFERENCE_PIPELINE = "hr"
#: Those of the paper's figures that show results.
_FIGURES = ("5", "6", "7", "9", "12", "13", "14", "15", "16")
#: A setting that names another method of the recipe, trained on the same data set, ``@face-parser``, ``fan:@fan``, or on
#: another one: ``@face-parser/CelebA-HQ``.
REFERENCE = re.compile(r"@([\w:.-]+(?:/[\w:.-]+)?)")


@dataclass(frozen=True)
class DataEntry:
    """A data set: one that is there, or how it is to be made.

    Attributes
    ----------
    path : str
        An HDF5 file of `occface make-dataset`; empty where it is to be made.
    source : str
        A folder of photographs, or ``synthetic``.
    options : dict
        The options of `occface make-dataset`, by their names in Python: ``count``, ``test``, ``masks``, ``identities``...
    """

    path: str = ""
    source: str = ""
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class MethodEntry:
    """A method or a variant of one: weights that are there, or how it is trained or set.

    Attributes
    ----------
    method : str
        The registered name; ``pro-uigan`` for the entry ``pro-uigan:p-fp``.
    weights : str
        A run folder or ``.safetensors`` file; empty where it is trained here, or has nothing to learn.
    preset : str
        Its preset, with variants: ``demo+p-fp``.
    settings : dict
        What is replaced in the preset. ``@name`` in a text stands for the trained weights of another entry.
    seed : int
        Of the training.
    """

    method: str
    weights: str = ""
    preset: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    seed: int = 0


@dataclass(frozen=True)
class Comparison:
    """Pipelines that are run on every mask type of some data sets.

    Attributes
    ----------
    datasets, masks, pipelines : tuple of str
        Names; no data sets are all of the recipe, no masks all that a data set holds.
    trained_on : tuple of str
        ``own``: the data set that they are tested on; else names of data sets.
    metrics : tuple of str
        What is measured; all of the recipe's where none is named.
    mask_given : tuple of str
        What pipelines that need a mask are given: ``"true"``, or ``"estimated"`` from the LR face, or both in turn.
    limit : int or None
        How many faces are scored, evenly taken from the split.
    """

    datasets: tuple[str, ...]
    masks: tuple[str, ...]
    pipelines: tuple[str, ...]
    trained_on: tuple[str, ...] = (OWN,)
    metrics: tuple[str, ...] = ()
    mask_given: tuple[str, ...] = ("true",)
    limit: int | None = None


@dataclass(frozen=True)
class Timing:
    """What is timed, and how: each pipeline so many times on one face, after some for warming up."""

    pipelines: tuple[str, ...] = ()
    runs: int = 50
    warm_up: int = 5
    runs_of: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Recipe:
    """A benchmark, as its YAML file says it.

    Attributes
    ----------
    title : str
        The report's heading.
    datasets : dict of str to DataEntry
        By the names that tables show.
    methods : dict of str to MethodEntry
        By the names that pipelines use. Methods with nothing to learn need not be in it.
    comparisons : tuple of Comparison
        What is run; what stands in several of them is run once.
    metrics : dict of str to dict
        What is measured, and by which settings; see `occface.metrics`.
    timing : Timing
        For Table IV.
    split : str
        The split that is scored.
    limits : dict of str to int
        How many faces are scored, by pipeline, where it is not all.
    pictured : int
        Faces in figures, for each data set and mask type.
    beside : str
        A data set of the paper whose numbers are shown beside ours on other data; empty for none.
    notes : dict of str to str
        Why something is missing in a table or figure: a sentence by its name, ``table_6`` or ``figure_13``.
    """

    datasets: dict[str, DataEntry]
    methods: dict[str, MethodEntry]
    comparisons: tuple[Comparison, ...]
    metrics: dict[str, dict[str, Any]]
    timing: Timing = field(default_factory=Timing)
    title: str = "Face hallucination from occluded thumbnails"
    split: str = "test"
    limits: dict[str, int] = field(default_factory=dict)
    pictured: int = 3
    beside: str = ""
    notes: dict[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, as `load_recipe` takes them, with absolute paths."""
        plain: dict[str, Any] = asdict(self)
        plain["datasets"] = {
            name: entry.path or {"source": entry.source, **entry.options} for name, entry in self.datasets.items()
        }
        plain["methods"] = {
            name: {"weights": entry.weights}
            if entry.weights
            else {"preset": entry.preset, "set": entry.settings, "seed": entry.seed}
            for name, entry in self.methods.items()
        }
        return _listed(plain)

    def entry(self, name: str) -> MethodEntry:
        """Return a method's entry; one that is not in the recipe runs as the paper's preset."""
        return self.methods.get(name) or MethodEntry(name, preset="paper")

    @property
    def pipelines(self) -> tuple[str, ...]:
        """Every pipeline that is run or timed, once."""
        return tuple(dict.fromkeys([*(name for part in self.comparisons for name in part.pipelines), *self.timing.pipelines]))


def _listed(value: Any) -> Any:
    """Return plain values with lists for tuples, as YAML and JSON have them."""
    if isinstance(value, Mapping):
        return {key: _listed(inner) for key, inner in value.items()}
    return [_listed(inner) for inner in value] if isinstance(value, list | tuple) else value


def packaged_recipes() -> dict[str, Any]:
    """Return the recipes that come with the package, by name."""
    folder = package_files("occface.benchmark") / "recipes"
    found = sorted((place for place in folder.iterdir() if place.name.endswith(".yaml")), key=lambda place: place.name)
    return {place.name.removesuffix(".yaml"): place for place in found}


def load_recipe(given: str | Path | Mapping[str, Any]) -> Recipe:
    """Return the recipe of a YAML file, a packaged one by its name, or of plain values.

    Paths in a file are taken from the file's folder, other paths from the current one. In the short form, ``pipelines``,
    ``masks`` and ``mask_given`` stand beside ``datasets`` and make one comparison on all data sets.

    Raises
    ------
    UsageError
        If a key is unknown or missing, a value is of another form, a name stands for nothing, or a pipeline is none.
    """
    values, base = _values(given)
    if not isinstance(values, Mapping):
        raise UsageError(f"expected a recipe with datasets and pipelines in {given}, got {type(values).__name__}")
    short = {"pipelines", "masks", "mask_given"}
    known = [entry.name for entry in fields(Recipe)]
    _only_known(values, {*known, *short}, "the recipe")
    if not values.get("datasets"):
        raise UsageError("the recipe names no datasets")
    if bool(values.get("pipelines")) == bool(values.get("comparisons")):
        raise UsageError("expected either 'pipelines' or 'comparisons' in the recipe, got both or none of them")
    beside = sorted(short & set(values)) if values.get("comparisons") else []
    if beside:
        raise UsageError(f"'{beside[0]}' beside 'comparisons' in the recipe is of none of them: write it into each")
    parts = values.get("comparisons") or [{key: values[key] for key in short if key in values}]
    datasets = {_name(name): _data(name, entry, base) for name, entry in _mapping(values["datasets"], "datasets").items()}
    methods = {
        _name(name): _method(str(name), entry, base) for name, entry in _mapping(values.get("methods"), "methods").items()
    }
    metrics = _metrics(values.get("metrics", ["image"]))
    comparisons = tuple(_comparison(part, datasets, metrics) for part in _sequence(parts, "comparisons"))
    recipe = Recipe(
        datasets=datasets,
        methods=methods,
        comparisons=comparisons,
        metrics=metrics,
        timing=_timing(values.get("timing")),
        title=_text(values.get("title", Recipe.title), "title"),
        split=_text(values.get("split", Recipe.split), "split"),
        pictured=_whole(values.get("pictured", Recipe.pictured), "pictured"),
        beside=_text(values.get("beside", ""), "beside"),
        notes=_notes(values.get("notes")),
    )
    _check_names(recipe)
    return replace(recipe, limits=_counts(values.get("limits"), "limits", recipe.pipelines))


def _values(given: str | Path | Mapping[str, Any]) -> tuple[Any, Path]:
    """Return plain values, and the folder that paths in them are taken from."""
    if isinstance(given, Mapping):
        return given, Path()
    packaged = packaged_recipes()
    if str(given) in packaged and not Path(given).is_file():
        return yaml.safe_load(packaged[str(given)].read_text(encoding="utf-8")), Path()
    if not Path(given).exists() and Path(given).suffix == "":
        raise UsageError(f"there is no recipe '{given}': name a YAML file, or {did_you_mean(str(given), packaged)}")
    return files.read_yaml(given), Path(given).parent


def _only_known(values: Mapping[str, Any], known: set[str], where: str) -> None:
    for key in values:
        if key not in known:
            raise UsageError(f"{where} has an unknown key '{key}': {did_you_mean(str(key), known)}")


def _mapping(given: Any, key: str) -> Mapping[str, Any]:
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise UsageError(f"expected '{key}' of the recipe to map names to values, got {given!r}")
    return given


def _sequence(given: Any, key: str) -> list[Any]:
    if not isinstance(given, list | tuple):
        raise UsageError(f"expected '{key}' of the recipe to be a list, got {given!r}")
    return list(given)


def _text(given: Any, key: str) -> str:
    if not isinstance(given, str):
        raise UsageError(f"expected '{key}' of the recipe to be a text, got {given!r}")
    return given


def _names(given: Any, key: str) -> tuple[str, ...]:
    if not isinstance(given, list | tuple) or not all(isinstance(value, str) for value in given):
        raise UsageError(f"expected '{key}' of the recipe to be a list of names, got {given!r}")
    return tuple(dict.fromkeys(given))


def _name(given: Any) -> str:
    """Return a name that files are called by: it must not lead into another folder."""
    name = str(given)
    if "/" in name or "\\" in name or not name.isprintable():
        raise UsageError(f"expected a name without / and \\ in the recipe, for files are called by it, got {name!r}")
    return name


def _whole(given: Any, key: str) -> int:
    if type(given) is not int or given < 1:
        raise UsageError(f"expected '{key}' of the recipe to be a whole number from 1 on, got {given!r}")
    return given


def _data(name: str, given: Any, base: Path) -> DataEntry:
    if isinstance(given, str):
        return DataEntry(path=str((base / given).resolve()))
    if not isinstance(given, Mapping) or not isinstance(given.get("source"), str):
        raise UsageError(f"expected data set '{name}' of the recipe to be a path, or to have a source, got {given!r}")
    options = {str(key): value for key, value in given.items() if key != "source"}
    source = given["source"]
    return DataEntry(source=source if source == "synthetic" else str((base / source).resolve()), options=options)


def _method(name: str, given: Any, base: Path) -> MethodEntry:
    method = name.partition(":")[0]
    METHODS.get(method)  # an unknown name is refused before anything is read
    given = {"weights": given} if isinstance(given, str) else given
    if not isinstance(given, Mapping):
        raise UsageError(f"expected method '{name}' of the recipe to be a path of weights, or to have a preset, got {given!r}")
    _only_known(given, {"weights", "preset", "set", "seed"}, f"method '{name}' of the recipe")
    weights, settings = given.get("weights"), _mapping(given.get("set"), f"methods: {name}: set")
    if weights is not None:
        if set(given) != {"weights"}:
            raise UsageError(f"method '{name}' of the recipe has both weights and settings: trained weights have their own")
        named = _text(weights, f"methods: {name}: weights")
        shipped = named.startswith("shipped:")  # weights that come with the package lie in no folder of the recipe's
        return MethodEntry(method, weights=named if shipped else str((base / named).resolve()))
    seed = given.get("seed", 0)
    if type(seed) is not int:
        raise UsageError(f"expected the seed of method '{name}' in the recipe to be a whole number, got {seed!r}")
    preset = _text(given.get("preset", "paper"), f"methods: {name}: preset")
    return MethodEntry(method, preset=preset, settings={str(key): value for key, value in settings.items()}, seed=seed)


def _metrics(given: Any) -> dict[str, dict[str, Any]]:
    listed = {name: {} for name in given} if isinstance(given, list | tuple) else _mapping(given, "metrics")
    chosen = {}
    for name, settings in listed.items():
        kind = METRICS.get(str(name))
        own = {str(key): value for key, value in _mapping(settings, f"metrics: {name}").items()}
        kind(**own)  # a wrong setting is refused at once; nothing is loaded
        chosen[str(name)] = own
    return chosen


def _comparison(given: Any, datasets: Mapping[str, DataEntry], metrics: Mapping[str, Any]) -> Comparison:
    part = _mapping(given, "comparisons")
    _only_known(part, {entry.name for entry in fields(Comparison)}, "a comparison of the recipe")
    if not part.get("pipelines"):
        raise UsageError("a comparison of the recipe names no pipelines")
    chosen = Comparison(
        datasets=_names(part.get("datasets") or list(datasets), "datasets"),
        masks=_names(part.get("masks") or [], "masks"),
        pipelines=_names(part["pipelines"], "pipelines"),
        trained_on=_names(part.get("trained_on") or [OWN], "trained_on"),
        metrics=_names(part.get("metrics") or [], "metrics"),
        mask_given=_masks_given(part.get("mask_given", "true")),
        limit=None if part.get("limit") is None else _whole(part["limit"], "limit"),
    )
    for kind, names, known in (
        ("data set", chosen.datasets, datasets),
        ("data set", [name for name in chosen.trained_on if name != OWN], datasets),
        ("metric", chosen.metrics, metrics),
    ):
        for name in names:
            if name not in known:
                raise UsageError(f"a comparison names {kind} '{name}', which the recipe has not: {did_you_mean(name, known)}")
    return chosen


def _masks_given(given: Any) -> tuple[str, ...]:
    values = given if isinstance(given, list | tuple) else [given]
    names = tuple(dict.fromkeys("true" if value is True else value for value in values))  # YAML reads true as a truth value
    if not names or not all(name in _MASKS_GIVEN for name in names):
        raise UsageError(f"expected 'mask_given' of the recipe to be true, estimated or a list of both, got {given!r}")
    return names


def _timing(given: Any) -> Timing:
    values = _mapping(given, "timing")
    _only_known(values, {entry.name for entry in fields(Timing)}, "'timing' of the recipe")
    pipelines = _names(values.get("pipelines", []), "timing: pipelines")
    return Timing(
        pipelines=pipelines,
        runs=_whole(values.get("runs", Timing.runs), "timing: runs"),
        warm_up=_whole(values.get("warm_up", Timing.warm_up), "timing: warm_up"),
        runs_of=_counts(values.get("runs_of"), "timing: runs_of", pipelines),
    )


def _counts(given: Any, key: str, pipelines: tuple[str, ...]) -> dict[str, int]:
    """Return whole numbers by the names of pipelines."""
    counts = _mapping(given, key)
    for name in counts:
        if name not in pipelines:
            raise UsageError(f"'{key}' of the recipe names no pipeline of it, '{name}': {did_you_mean(str(name), pipelines)}")
    return {str(name): _whole(number, f"{key}: {name}") for name, number in counts.items()}


def _notes(given: Any) -> dict[str, str]:
    notes = _mapping(given, "notes")
    if not notes:
        return {}
    from occface.benchmark.tables import TABLES  # statistics take long to import, and few recipes have notes

    known = [*(f"table_{key}" for key in TABLES), *(f"figure_{number}" for number in _FIGURES)]
    for name, note in notes.items():
        if name not in known:
            raise UsageError(f"'notes' of the recipe names no table or figure, '{name}': {did_you_mean(str(name), known)}")
        if not isinstance(note, str) or not note.strip():
            raise UsageError(f"expected 'notes: {name}' of the recipe to be a sentence, got {note!r}")
    return {str(name): note.strip() for name, note in notes.items()}


def _check_names(recipe: Recipe) -> None:
    """Refuse pipelines that are none, and references to methods that the recipe has not."""
    if REFERENCE_PIPELINE in recipe.timing.pipelines:
        raise UsageError(f"'timing' of the recipe names '{REFERENCE_PIPELINE}': true faces take no time")
    for pipeline in recipe.pipelines:
        if pipeline != REFERENCE_PIPELINE:
            order_of(pipeline)
            for name in method_names(pipeline):
                if ":" in name and name not in recipe.methods:
                    raise UsageError(
                        f"pipeline '{pipeline}' asks for the variant '{name}', which the recipe's 'methods' do not have: "
                        f"{did_you_mean(name, recipe.methods)}"
                    )
    texts = [(f"method '{name}'", entry.settings) for name, entry in recipe.methods.items()]
    texts += [(f"metric '{name}'", settings) for name, settings in recipe.metrics.items()]
    for who, settings in texts:
        for value in settings.values():
            for asked in REFERENCE.findall(value) if isinstance(value, str) else ():
                name, _, dataset = asked.partition("/")
                for wanted, known in ((name, recipe.methods), (dataset, recipe.datasets)):
                    if wanted and wanted not in known:
                        raise UsageError(f"{who} asks for '@{asked}', which the recipe has not: {did_you_mean(wanted, known)}")
