"""Runs a recipe: every pipeline on every data set and mask type, only where the scores are missing; then table and report."""

from __future__ import annotations

import logging
import math
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from occface import __version__, files, progress
from occface.benchmark import show
from occface.benchmark.recipe import Recipe, load_recipe
from occface.benchmark.restoring import Restored, restore_pairs
from occface.benchmark.scores import RESULT_FILE, ScoreRow, load_scores, write_scores
from occface.dataset.reader import DatasetFile, FacePairs
from occface.methods.weights import LoadedMethod, load_method
from occface.metrics import CONTRACT
from occface.metrics.image import psnr, ssim
from occface.pipelines import Pipeline, build_pipeline
from occface.training.devices import describe, resolve

__all__ = ["Benchmark", "run_benchmark"]

log = logging.getLogger("occface")

#: Faces restored at once. Results do not depend on it beyond rounding; memory does.
BATCH = 16


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


@dataclass(frozen=True)
class _Unit:
    """One score file: a pipeline on a mask type of a data set."""

    dataset: str
    data: DatasetFile
    mask: str
    pipeline: Pipeline
    split: str
    limit: int | None

    @property
    def path(self) -> str:
        # The digits keep apart names that differ only in characters that file names should not have.
        digits = files.sha256_json([self.dataset, self.mask, self.pipeline.name])[:6]
        return re.sub(r"[^\w.+-]+", "-", f"{self.dataset}_{self.mask}_{self.pipeline.name}_{digits}") + ".csv"

    @property
    def key(self) -> str:
        """The hash of all that the scores depend on."""
        return files.sha256_json(
            [
                self.dataset,
                self.data.content_hash,
                self.split,
                self.mask,
                self.pipeline.identity,
                self.limit,
                CONTRACT,
                __version__,
            ]
        )

    @property
    def count(self) -> int:
        return min(self.data.count(self.split), self.limit or 10**12)


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
    methods = {name: load_method(path, place) for name, path in wanted.weights.items()}
    units = list(_units(wanted, methods, limit))
    result = folder / "scores" / RESULT_FILE
    known = files.read_json(result).get("files", {}) if result.exists() else {}
    missing = [unit for unit in units if overwrite or not _is_scored(folder / "scores", unit, known)]
    with progress.bar(sum(unit.count for unit in missing), "scores", "image") as bar:
        for unit in missing:
            started = time.monotonic()
            rows = list(_score(unit, place, bar))
            facts = {
                "key": unit.key,
                "data": unit.data.content_hash,
                "weights": {stage.name: stage.identity for stage in unit.pipeline.stages},
                "seeds": {
                    "data": unit.data.configuration["seed"],
                    **{
                        stage.name: stage.card["training"]["seed"] for stage in unit.pipeline.stages if "training" in stage.card
                    },
                },
                "device": describe(place),
                "seconds": round(time.monotonic() - started, 3),
            }
            write_scores(folder / "scores" / unit.path, rows, facts)
    files.write_yaml(folder / "recipe.yaml", wanted.as_dict())
    scores = load_scores(folder / "scores", [unit.path for unit in units])
    failed = int((scores["error"] != "").sum())
    if failed:
        log.warning("%d images failed; their rows in %s say why", failed, folder / "scores")
    shown = [(unit.dataset, unit.data, unit.mask) for unit in units if unit.pipeline.name == wanted.pipelines[0]]
    pipelines = {unit.pipeline.name: unit.pipeline for unit in units}
    table, printed = show.show_benchmark(folder, wanted, scores, shown, pipelines, methods, place)
    return Benchmark(folder, table, printed, failed)


def _units(recipe: Recipe, methods: Mapping[str, LoadedMethod], limit: int | None) -> Iterator[_Unit]:
    for name, path in recipe.datasets.items():
        data = DatasetFile(path)
        for mask in FacePairs(data, recipe.split, recipe.masks).masks:
            for pipeline in recipe.pipelines:
                yield _Unit(name, data, mask, build_pipeline(pipeline, methods), recipe.split, limit)


def _is_scored(folder: Path, unit: _Unit, known: Mapping[str, Any]) -> bool:
    """Tell whether a unit's scores are there, made from the same things, as they were written, and without failures."""
    path = folder / unit.path
    entry = known.get(unit.path, {})
    scored = entry.get("key") == unit.key and not entry.get("failed")
    scored = scored and path.exists() and files.sha256_file(path) == entry.get("sha256")
    log.debug("%s: %s", unit.path, "scored already" if scored else "to be scored")
    return scored


def _score(unit: _Unit, device: torch.device, bar: Any) -> Iterator[ScoreRow]:
    pairs = FacePairs(unit.data, unit.split, [unit.mask])
    columns = unit.data.columns(unit.split)
    for start in range(0, unit.count, BATCH):
        chosen = range(start, min(start + BATCH, unit.count))
        batch = [pairs[number] for number in chosen]
        for number, pair, outcome in zip(chosen, batch, restore_pairs(unit.pipeline, batch, device), strict=True):
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
                **_scores(outcome, pair["hr"]),
            )
            bar.update()


def _scores(outcome: Restored | str, truth: np.ndarray) -> dict[str, Any]:
    if isinstance(outcome, str):
        return {"error": outcome}
    return {"psnr": psnr(outcome.face, truth), "ssim": ssim(outcome.face, truth), "seconds": outcome.seconds}
