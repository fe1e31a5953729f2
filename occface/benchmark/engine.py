"""Runs a recipe: every pipeline on every data set and mask type, only where the scores are missing; then table and report."""

from __future__ import annotations

import logging
import math
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from occface import files, progress
from occface.benchmark import show
from occface.benchmark.recipe import load_recipe
from occface.benchmark.restoring import BATCH, Restored, restore_pairs
from occface.benchmark.scores import RESULT_FILE, ScoreRow, load_scores, write_scores
from occface.benchmark.units import Unit, plan
from occface.dataset.reader import FacePairs
from occface.errors import UsageError
from occface.methods import METHODS
from occface.methods.weights import LoadedMethod, load_method, untrained
from occface.metrics.image import psnr, ssim
from occface.training.devices import describe, resolve

__all__ = ["Benchmark", "run_benchmark"]

log = logging.getLogger("occface")


@dataclass(frozen=True)
class Benchmark:
    """What a benchmark left: its folder, Table I as a frame, the table as text, and the number of images that failed."""

    folder: Path
    table: pd.DataFrame
    printed: str
    failed: int

    @property
    def report(self) -> Path:
        """The page to open in a browser."""
        return self.folder / "report.html"

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON: the table as records."""
        flat = self.table.reset_index()
        flat.columns = [
            "/".join(str(part) for part in name if part) if isinstance(name, tuple) else name for name in flat.columns
        ]
        # JSON has no infinity, which the PSNR of a perfect result is.
        records = flat.astype(object).where(flat.notna(), None).replace(math.inf, "inf").to_dict("records")
        return {"folder": str(self.folder), "report": str(self.report), "failed": self.failed, "table_1": records}

    def text(self) -> str:
        """Return the table and where the report is."""
        return f"{self.printed}\n\nreport: {self.report}"


def run_benchmark(
    recipe: str | Path | Mapping[str, Any],
    out: str | Path = "occface-benchmark",
    *,
    device: str = "auto",
    limit: int | None = None,
    overwrite: bool = False,
) -> Benchmark:
    """Score the pipelines of a recipe and build Table I and a report from the scores.

    Parameters
    ----------
    recipe : path or mapping
        See `occface.benchmark.recipe`.
    out : path
        The folder for ``scores/``, ``tables/``, ``figures/`` and ``report.html``.
    device : str
        Where pipelines run.
    limit : int, optional
        Score the first so many faces of each data set only.
    overwrite : bool
        Score anew what has been scored already.

    Returns
    -------
    Benchmark

    Raises
    ------
    UsageError
        If the recipe, a data set or a weight file cannot be used.
    """
    wanted = load_recipe(recipe)
    folder = files.make_folder(out)
    place = resolve(device)
    methods = {name: _trained(name, path, place) for name, path in wanted.weights.items()}
    methods |= {name: untrained(name, **_preset_and_settings(values)) for name, values in wanted.settings.items()}
    units = list(plan(wanted, methods, limit))
    if overwrite:
        shutil.rmtree(folder / "figures" / "faces", ignore_errors=True)
    result = folder / "scores" / RESULT_FILE
    known = files.read_json(result).get("files", {}) if result.exists() else {}
    missing = [unit for unit in units if overwrite or not _is_scored(folder / "scores", unit, known)]
    with progress.bar(sum(unit.count for unit in missing), "scores", "image") as bar:
        for unit in missing:
            started = time.monotonic()
            rows = list(_score(unit, place, bar))
            seconds = round(time.monotonic() - started, 3)
            facts = {**_facts(unit), "device": describe(place), "seconds": seconds}
            write_scores(folder / "scores" / unit.path, rows, facts)
    files.write_yaml(folder / "recipe.yaml", wanted.as_dict())
    scores = load_scores(folder / "scores", [unit.path for unit in units])
    failed = int((scores["error"] != "").sum())
    if failed:
        log.warning("%d images failed; their rows in %s say why", failed, folder / "scores")
    table, printed = show.show_benchmark(folder, wanted, scores, units, place)
    return Benchmark(folder, table, printed, failed)


def _trained(name: str, path: Path, place: torch.device) -> LoadedMethod:
    """Load the weights that a recipe gives for a method: that method's."""
    METHODS.get(name)  # an unknown name is refused before anything is read
    loaded = load_method(path, place)
    if loaded.name != name:
        raise UsageError(f"the recipe gives {path} as weights of '{name}', but they are of '{loaded.name}': name them so")
    return loaded


def _preset_and_settings(values: Mapping[str, Any]) -> dict[str, Any]:
    """Split what a recipe says of a method that has nothing to learn."""
    settings = dict(values)
    return {"preset": settings.pop("preset", None), "settings": settings}


def _facts(unit: Unit) -> dict[str, Any]:
    """Return what the scores of a unit were made of."""
    stages = unit.pipeline.stages
    trainings = {stage.name: stage.card["training"]["seed"] for stage in stages if "training" in stage.card}
    return {
        "key": unit.key,
        "data": unit.data.content_hash,
        "mask_given": unit.mask_given,
        "weights": {stage.name: stage.identity for stage in stages},
        "settings": {stage.name: stage.method.config for stage in stages if not stage.trained and stage.method.config},
        "seeds": {"data": unit.data.configuration["seed"], **trainings},
    }


def _is_scored(folder: Path, unit: Unit, known: Mapping[str, Any]) -> bool:
    """Tell whether a unit's scores are there, made from the same things, as they were written, and without failures."""
    path = folder / unit.path
    entry = known.get(unit.path, {})
    scored = entry.get("key") == unit.key and not entry.get("failed")
    scored = scored and path.exists() and files.sha256_file(path) == entry.get("sha256")
    log.debug("%s: %s", unit.path, "scored already" if scored else "to be scored")
    return scored


def _score(unit: Unit, device: torch.device, bar: Any) -> Iterator[ScoreRow]:
    pairs = FacePairs(unit.data, unit.split, [unit.mask])
    columns = unit.data.columns(unit.split)
    for start in range(0, unit.count, BATCH):
        chosen = range(start, min(start + BATCH, unit.count))
        batch = [pairs[number] for number in chosen]
        for number, pair, outcome in zip(
            chosen, batch, restore_pairs(unit.pipeline, batch, device, unit.estimate), strict=True
        ):
            face = columns.iloc[number]
            yield ScoreRow(
                dataset=unit.dataset,
                mask_type=unit.mask,
                order=unit.pipeline.order,
                pipeline=unit.pipeline.name,
                image=face["id"],
                index=number,
                identity=face["identity"],
                expression=face["expression"],
                pose=face["pose"],
                hole_area=float(pair["mask"].mean()),
                mask_given=unit.mask_given,
                **_scores(outcome, pair["hr"]),
            )
            bar.update()


def _scores(outcome: Restored | str, truth: np.ndarray) -> dict[str, Any]:
    if isinstance(outcome, str):
        return {"error": outcome}
    return {"psnr": psnr(outcome.face, truth), "ssim": ssim(outcome.face, truth), "seconds": outcome.seconds}
