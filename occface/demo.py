"""The whole story in one call: the packaged recipe `demo`, on generated faces or on the user's photographs."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

from occface.benchmark.adapting import replace_data, workers_for
from occface.benchmark.engine import Benchmark, run_benchmark
from occface.benchmark.recipe import load_recipe
from occface.errors import UsageError

__all__ = ["RECIPES", "run_demo"]

log = logging.getLogger("occface")

#: The recipes that the demo runs: `demo`, in minutes; `test`, with networks of no use, in a minute or two.
RECIPES = ("demo", "test")
#: Their data set of faces in the wild, whose place a folder of photographs takes.
_WILD = "generated"


def run_demo(
    source: Path | None = None,
    out: Path = Path("occface-demo"),
    preset: str = "demo",
    count: int | None = None,
    *,
    seed: int = 0,
    workers: int | None = None,
    device: str = "auto",
    limit: int | None = None,
    overwrite: bool = False,
) -> Benchmark:
    """Make data sets, train every method, score all pipelines; write all tables, figures, claims and a report.

    What is there already is not made again, so a second call takes seconds, and an interrupted one is gone on with.

    Parameters
    ----------
    source : path, optional
        A folder of photographs, which take the place of the generated faces in the wild, and give them the folder's name. The
        people of the grid, whose expressions and identities are known, and the third data set stay generated ones.
    out : path
        The folder for everything.
    preset : str
        One of `RECIPES`.
    count : int, optional
        Faces in the wild to generate, a fifth of them to be tested on.
    seed : int
        Of data sets and trainings.
    workers, device
        As everywhere.
    limit : int, optional
        Take the first so many photographs of `source`; by default as many as would be generated.
    overwrite : bool
        Start anew.

    Raises
    ------
    UsageError
        If the preset is unknown, there is no such folder, or `count` and `source` or `limit` and no source come together.
    OccfaceError
        If nothing could be scored.
    """
    if preset not in RECIPES:
        presets = " and ".join(RECIPES)
        raise UsageError(f"the demo runs in the presets {presets}, got '{preset}'; for other recipes see `occface benchmark`")
    if source is not None and count is not None:
        raise UsageError("--count is for generated faces: with --source, --limit says how many photographs are taken")
    if source is None and limit is not None:
        raise UsageError("--limit is for the photographs of --source: --count says how many faces are generated")
    if source is not None and not Path(source).is_dir():
        raise UsageError(f"expected a folder of photographs at {source}, found none; leave --source out for generated faces")
    begun = time.monotonic()
    values = _seeded(load_recipe(preset).as_dict(), seed)
    if source is not None:
        values = _on_photographs(values, Path(source), limit)
    elif count is not None:
        values["datasets"][_WILD] |= {"count": count, "test": max(1, round(count / 5))}
    strategy = "always" if overwrite else "only-missing"
    done = run_benchmark(values, out, device=device, workers=workers or workers_for(device), strategy=strategy)
    log.info("the demo took %.1f minutes", (time.monotonic() - begun) / 60)
    return done


def _seeded(values: dict[str, Any], seed: int) -> dict[str, Any]:
    """Return a recipe whose data sets and trainings have other seeds, each its own plus one for all."""
    datasets = {name: {**entry, "seed": entry.get("seed", 0) + seed} for name, entry in values["datasets"].items()}
    methods = {
        name: {**entry, "seed": entry["seed"] + seed} if "seed" in entry else entry  # ready weights have none
        for name, entry in values["methods"].items()
    }
    return {**values, "datasets": datasets, "methods": methods}


def _on_photographs(values: dict[str, Any], folder: Path, limit: int | None) -> dict[str, Any]:
    """Return a recipe whose wild data set is made of photographs, and has their folder's name."""
    changed = replace_data(values, {_WILD: str(folder)})
    if limit is not None:
        changed["datasets"][_WILD]["limit"] = limit
    name = folder.resolve().name or _WILD
    if name in changed["datasets"]:
        name = f"{name} (photographs)"

    def renamed(names: Any) -> list[str]:
        return [name if each == _WILD else each for each in names]

    datasets = {name if each == _WILD else each: entry for each, entry in changed["datasets"].items()}
    comparisons = [
        {**part, "datasets": renamed(part["datasets"]), "trained_on": renamed(part["trained_on"])}
        for part in changed["comparisons"]
    ]
    title = f"Face hallucination from occluded thumbnails, on {name} and generated faces"
    return {**changed, "title": title, "datasets": datasets, "comparisons": comparisons}
