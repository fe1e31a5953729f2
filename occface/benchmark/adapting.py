"""Benchmarks as a user asks for them: packaged recipes, own data in place of a recipe's, some of the tables."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from occface.benchmark.outcome import Benchmark
from occface.benchmark.recipe import REFERENCE, load_recipe, packaged_recipes
from occface.benchmark.tables import TABLES, markdown
from occface.errors import UsageError
from occface.parallel import default_workers
from occface.registry import did_you_mean
from occface.training.devices import resolve

__all__ = ["adapted_recipe", "check_tables", "list_recipes", "only_tables", "replace_data", "require_data", "workers_for"]

log = logging.getLogger("occface")

#: What generated faces are asked for by, and photographs are not.
_OF_GENERATED = ("count", "truncation", "identities", "poses", "expressions")
_GENERATED = "synthetic"


def list_recipes() -> dict[str, str]:
    """Return what each packaged recipe is, by name: the first line of its file, a comment."""
    lines = {name: place.read_text(encoding="utf-8").partition("\n")[0] for name, place in packaged_recipes().items()}
    return {name: line.removeprefix("#").strip() for name, line in lines.items()}


def adapted_recipe(
    recipe: str | Path | Mapping[str, Any], data: Mapping[str, str] | None = None, *, data_needed: bool = True
) -> dict[str, Any]:
    """Return a recipe's plain values, with absolute paths, and with the user's data sets in place of its own.

    Parameters
    ----------
    recipe : path, str or mapping
        As `occface.benchmark.recipe.load_recipe` takes it.
    data : mapping of str to str
        See `replace_data`.
    data_needed : bool
        Whether given data sets must be there, which tables alone do not need.

    Raises
    ------
    UsageError
        If the recipe cannot be, has no data set of a name, or one that must be there is not.
    """
    values = replace_data(load_recipe(recipe).as_dict(), data or {})
    if data_needed:
        require_data(values)
    return load_recipe(values).as_dict()


def replace_data(values: Mapping[str, Any], data: Mapping[str, str]) -> dict[str, Any]:
    """Return a recipe with other data sets, or without some.

    Parameters
    ----------
    values : mapping
        What `occface.benchmark.recipe.Recipe.as_dict` gives. It stays as it is.
    data : mapping of str to str
        By the names of data sets of the recipe: a file of `occface make-dataset`; a folder of photographs, or ``synthetic``,
        that one is to be made from by the options that the recipe has for it; or nothing, which leaves the data set out, and
        with it what would be trained or scored on it. Where photographs take the place of generated faces, as many are taken
        as would have been generated, and as large a share of them is held out.

    Raises
    ------
    UsageError
        If the recipe has no data set of such a name, or none is left.

    Examples
    --------
    >>> values = {"datasets": {"a": "/a.h5", "b": "/b.h5"}, "comparisons": [{"datasets": ["a", "b"], "trained_on": ["own"]}]}
    >>> replace_data(values, {"a": "/c.h5", "b": ""})
    {'datasets': {'a': '/c.h5'}, 'comparisons': [{'datasets': ['a'], 'trained_on': ['own']}]}
    """
    datasets = dict(values["datasets"])
    for name in data:
        if name not in datasets:
            raise UsageError(f"the recipe has no data set '{name}': {did_you_mean(name, datasets)}")
    kept = {name: _replaced(entry, data[name]) if name in data else entry for name, entry in datasets.items()}
    kept = {name: entry for name, entry in kept.items() if entry}
    if not kept:
        raise UsageError(f"all data sets of the recipe are left out ({', '.join(datasets)}): give one of them a place")
    changed = {**values, "datasets": kept}
    return changed if len(kept) == len(datasets) else _without(changed, set(datasets) - set(kept))


def _replaced(entry: Any, place: str) -> Any:
    """Return what a recipe says of a data set, with the data from another place; nothing without one."""
    if not place:
        return None
    options = {key: value for key, value in entry.items() if key != "source"} if isinstance(entry, Mapping) else {}
    if Path(place).is_dir():
        count, test = options.get("count"), options.get("test")
        options = {key: value for key, value in options.items() if key not in _OF_GENERATED}
        if count is not None:
            options.setdefault("limit", count)
            if test is not None and 1 <= test < count:
                options["test"] = test / count
        return {"source": str(Path(place).absolute()), **options}
    return {"source": place, **options} if place == _GENERATED else str(Path(place).absolute())


def _without(values: Mapping[str, Any], names: set[str]) -> dict[str, Any]:
    """Return a recipe without some data sets: they are in no comparison, and nothing is trained on them or asks for that."""
    metrics = {name: settings for name, settings in values.get("metrics", {}).items() if not _asking(settings, names)}
    for name in sorted(values.get("metrics", {}).keys() - metrics.keys()):
        log.warning("the metric '%s' is left out, with the data set that its judge was to learn from", name)
    comparisons = []
    for part in values["comparisons"]:
        left = {key: [name for name in part[key] if name not in names] for key in ("datasets", "trained_on")}
        if part.get("metrics"):  # none are all of the recipe's
            left["metrics"] = [name for name in part["metrics"] if name in metrics]
        if all(left.values()):
            comparisons.append({**part, **left})
    if not comparisons:
        raise UsageError(f"without {', '.join(sorted(names))} nothing of the recipe is left: give one of them a place")
    run = {name for part in comparisons for name in part.get("pipelines", ())}
    changed: dict[str, Any] = {**values, "comparisons": comparisons}
    if "methods" in values:
        changed["methods"] = {name: _not_asking(name, entry, names) for name, entry in values["methods"].items()}
    if "metrics" in values:
        changed["metrics"] = metrics
    if "timing" in values:
        timing = values["timing"]
        changed["timing"] = {**timing, "pipelines": [name for name in timing["pipelines"] if name in run]}
        if "runs_of" in timing:
            changed["timing"]["runs_of"] = {name: runs for name, runs in timing["runs_of"].items() if name in run}
    if "limits" in values:
        changed["limits"] = {name: limit for name, limit in values["limits"].items() if name in run}
    return changed


def _not_asking(name: str, entry: Any, without: set[str]) -> Any:
    """Return a method's entry without the settings that name a training on a data set that is left out."""
    if not isinstance(entry, Mapping) or not entry.get("set"):
        return entry
    asking = _asking(entry["set"], without)
    for key in asking:
        log.warning("%s: '%s' (%s) is left out, with its data set", name, key, entry["set"][key])
    return {**entry, "set": {key: value for key, value in entry["set"].items() if key not in asking}}


def _asking(settings: Mapping[str, Any], datasets: set[str]) -> set[str]:
    """Return the settings that name a training on one of some data sets."""
    return {
        key
        for key, value in settings.items()
        if isinstance(value, str) and any(asked.partition("/")[2] in datasets for asked in REFERENCE.findall(value))
    }


def require_data(values: Mapping[str, Any]) -> None:
    """Raise a UsageError if a data set that a recipe takes as it is is not where it says."""
    for name, entry in values["datasets"].items():
        if isinstance(entry, str) and not Path(entry).is_file():
            raise UsageError(
                f"the recipe takes its data set '{name}' from {entry}, where there is none: make it by `occface make-dataset`, "
                f"say where it is by --data {name}=PATH, or leave it out by --data {name}="
            )


def workers_for(device: str) -> int:
    """Return how many processes a benchmark takes if it is not said: one for each processor.

    Beside accelerators too: they make data sets there, and networks run in one process for each accelerator.

    Raises
    ------
    UsageError
        If there is no such device, before anything is made for it.
    """
    resolve(device)
    return default_workers()


def check_tables(wanted: Iterable[str]) -> tuple[str, ...]:
    """Return the keys of tables, each once; raise a UsageError if there is no such table."""
    keys = tuple(dict.fromkeys(wanted))
    for key in keys:
        if key not in TABLES:
            raise UsageError(f"there is no table '{key}': {did_you_mean(key, TABLES)}")
    return keys


def only_tables(done: Benchmark, keys: Iterable[str]) -> Benchmark:
    """Return a benchmark that shows some tables and nothing else. Its files and its report hold everything still.

    Parameters
    ----------
    done : Benchmark
        What `occface.benchmark.engine.run_benchmark` returned.
    keys : iterable of str
        Of `occface.benchmark.tables.TABLES`: ``"1"``...
    """
    told = []
    for key in keys:
        table = done.tables.get(key)
        title = TABLES[key].title
        if table is None:
            told.append(f"No {title}: {TABLES[key].reason}.\n")
        else:
            told.append(f"{title}\n\n{markdown(table)}\n{table.attrs.get('caption', '')}\n")
    chosen = {key: done.tables[key] for key in keys if key in done.tables}
    return dataclasses.replace(done, tables=chosen, claims=done.claims.iloc[:0], printed="\n".join(told))
