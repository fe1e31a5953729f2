"""Runs a recipe: every pipeline on every data set and mask type, only where the scores are missing; then table and report."""

from __future__ import annotations

import logging
import math
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
from occface.benchmark.restorations import Restorations
from occface.benchmark.restoring import Restored
from occface.benchmark.scores import RESULT_FILE, ScoreRow, load_scores, write_scores
from occface.benchmark.units import Unit, plan
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
    result = folder / "scores" / RESULT_FILE
    known = files.read_json(result).get("files", {}) if result.exists() and not overwrite else {}
    restored = {unit: Restorations(folder / "restored", unit) for unit in units}
    if overwrite:
        for faces in restored.values():
            faces.forget()
    scored = {unit for unit in units if _is_scored(folder / "scores", unit, known)}
    missing = {unit: restored[unit].missing(unit.pictured if unit in scored else unit.numbers) for unit in units}
    with progress.bar(sum(map(len, missing.values())), "restoring", "image") as bar:
        for unit, faces in restored.items():
            failed = faces.restore(missing[unit], place, bar.update)
            if unit not in scored:
                write_scores(folder / "scores" / unit.path, _score(unit, faces, failed), _facts(unit, place))
    files.write_yaml(folder / "recipe.yaml", wanted.as_dict())
    scores = load_scores(folder / "scores", [unit.path for unit in units])
    failures = int((scores["error"] != "").sum())
    if failures:
        log.warning("%d images failed; their rows in %s say why", failures, folder / "scores")
    table, printed = show.show_benchmark(folder, wanted, scores, restored, place)
    return Benchmark(folder, table, printed, failures)


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


def _facts(unit: Unit, device: torch.device) -> dict[str, Any]:
    """Return what the scores of a unit were made of."""
    stages = unit.pipeline.stages
    trainings = {stage.name: stage.card["training"]["seed"] for stage in stages if "training" in stage.card}
    return {
        "key": unit.key,
        "restoration_key": unit.restoration_key,
        "data": unit.data.content_hash,
        "mask_given": unit.mask_given,
        "weights": {stage.name: stage.identity for stage in stages},
        "settings": {stage.name: stage.method.config for stage in stages if not stage.trained and stage.method.config},
        "seeds": {"data": unit.data.configuration["seed"], **trainings},
        "device": describe(device),
    }


def _is_scored(folder: Path, unit: Unit, known: Mapping[str, Any]) -> bool:
    """Tell whether a unit's scores are there, made from the same things, as they were written, and without failures."""
    path = folder / unit.path
    entry = known.get(unit.path, {})
    scored = entry.get("key") == unit.key and not entry.get("failed")
    scored = scored and path.exists() and files.sha256_file(path) == entry.get("sha256")
    log.debug("%s: %s", unit.path, "scored already" if scored else "to be scored")
    return scored


def _score(unit: Unit, restored: Restorations, failed: Mapping[int, str]) -> Iterator[ScoreRow]:
    for number in unit.scored:
        face = unit.faces.iloc[number]
        pair = unit.data.record(unit.split, number, ["hr", f"occluded/{unit.mask}/mask"])
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
            hole_area=float(pair[f"occluded/{unit.mask}/mask"].mean()),
            mask_given=unit.mask_given,
            **({"error": failed[number]} if number in failed else _scores(restored[number], pair["hr"])),
        )


def _scores(made: Restored, truth: np.ndarray) -> dict[str, Any]:
    return {
        "psnr": psnr(made.face, truth),
        "ssim": ssim(made.face, truth),
        "seconds": made.seconds,
        "missed": made.missed,
    }
