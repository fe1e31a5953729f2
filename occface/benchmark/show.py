"""From a benchmark's record to tables, figures, claims and a report, without data sets or models."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Container, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from occface import files
from occface.benchmark import curves
from occface.benchmark.claims import (
    NOT_TESTABLE,
    UNDECIDABLE,
    claims_counted,
    claims_markdown,
    claims_shown,
    evaluate_claims,
    write_claims,
)
from occface.benchmark.grids import draw_grids
from occface.benchmark.outcome import Benchmark
from occface.benchmark.paper import compare, pipeline_title
from occface.benchmark.recipe import Recipe
from occface.benchmark.record import Record
from occface.benchmark.report import Section, write_report
from occface.benchmark.tables import TABLES, Frames, markdown, write_table
from occface.benchmark.tables.downstream import guessing
from occface.benchmark.tables.frames import POSE_STEP, is_region, one_training, scored_methods, square_size, table_rows
from occface.benchmark.tables.means import trained
from occface.occlusion.degrade import FILLS
from occface.occlusion.estimate import flat_fill
from occface.occlusion.masks import mask_family

__all__ = ["show_benchmark"]

log = logging.getLogger("occface")

_ORDERS = (
    "SR+PA restores the size first and then inpaints; PA+SR does it the other way round; joint methods do both in one network. "
    "SR alone shows what is left without inpainting."
)
_AGREE = "What the paper says, what was measured here, and whether the two agree."
_TESTED = "Claims that were tested"
#: Of what learns, where anything does.
_ONCE = "Each method was trained once; p-values speak of faces and people, not of another training's luck."
_CLAIMS = (
    "The effect is positive where it goes the way the claim says, in the unit of what was measured; with its 95 % bootstrap "
    "interval, and p of a paired permutation test, corrected by Holm's method over all claims that were tested. Single numbers "
    "(sizes, times, Frechet distances) are compared without a test. Reproduced means the direction, not the size. n counts the "
    "values compared, units the people (or photographs of unknown people) behind them, which the tests take as independent."
)
_INTERVALS = "Bands and bars are 95 % bootstrap intervals of the means; n is the number of faces."
#: The paper's figure that a caption says it is like.
_LIKE = re.compile(r"in the manner of Fig\. (\d+)")
_TRAINED = ("pipeline", "trained_on", "method")
#: What is not recorded of an act, as people read it.
_NOT_RECORDED = "not recorded"


def show_benchmark(folder: Path, recipe: Recipe) -> Benchmark:
    """Write ``tables/``, ``figures/``, ``claims.csv``, ``provenance.csv`` and ``report.html`` from what the folder holds.

    Parameters
    ----------
    folder : Path
        The benchmark's folder.
    recipe : Recipe
        What was asked for.
    """
    record = Record(folder)
    with ThreadPoolExecutor(1) as beside:  # reading and writing pictures leaves the processor to Python code in between
        return _shown(record, recipe, beside.submit(draw_grids, record))


def _shown(record: Record, recipe: Recipe, grids: Future[dict[str, dict[str, Path]]]) -> Benchmark:
    folder = record.folder
    frames = replace(record.frames, trainings=_trainings(record))
    tables = {key: table for key, spec in TABLES.items() if (table := spec.build(frames)) is not None}
    for key, table in tables.items():
        if note := record.notes.get(f"table_{key}"):
            table.attrs["caption"] = f"{table.attrs['caption']} {note}"
        write_table(table, folder / "tables" / f"table_{key}")
    beside = {}
    for key, table in tables.items():
        numeral = TABLES[key].paper
        if numeral:
            both = compare(numeral, table, recipe.beside or None)
            if not both.empty:
                beside[key] = both
                files.write_text(_beside_path(folder, key), both.to_csv(lineterminator="\n"))
    for key in TABLES:  # what an earlier recipe left
        left = [] if key in tables else (folder / "tables").glob(f"table_{key}.*")
        for path in (*left, *([] if key in beside else [_beside_path(folder, key)])):
            path.unlink(missing_ok=True)
    claims = evaluate_claims(frames.scores, frames.sets, frames.efficiency)
    write_claims(claims, folder / "claims.csv")
    files.write_text(folder / "provenance.csv", record.provenance.to_csv(index=False, lineterminator="\n"))
    notes = _notes(record)
    failed = int((frames.scores["error"] != "").sum())
    if failed:
        log.warning("%d images failed; their rows in %s say why", failed, folder / "scores")
        notes.append(f"{failed} images failed; they are counted in every table, and in no mean.")
    if record.failed > failed:
        notes.append(f"{record.failed - failed} more images failed that were to be shown, and not scored.")
    notes += [f"Not done: {name} ({why})." for name, why in record.broken.items()]
    notes += record.source_notes
    drawings = _noted(_curves(frames, folder / "figures"), record.notes)
    pictures = {dataset: _noted(found, record.notes) for dataset, found in grids.result().items()}
    absent = _absent(tables, [*drawings, *(caption for found in pictures.values() for caption in found)], record.notes)
    sections = [
        Section("Tables", _ORDERS, {TABLES[key].title: table for key, table in tables.items()}, text=absent),
        Section(
            "Claims of the paper",
            " ".join(filter(None, [_AGREE, claims_counted(claims), _too_few(claims)])),
            _claims(claims),
        ),
        Section("Beside the paper", "", {f"{TABLES[key].title}, ours and the paper's": both for key, both in beside.items()}),
        Section("Curves", _INTERVALS, {}, drawings),
        Section(
            "Pictures", "Faces are taken evenly from the scored split, not chosen, but for the worst cases.", folds=pictures
        ),
    ]
    write_report(
        folder, recipe.title, [part for part in sections if part.tables or part.figures or part.folds], _facts(record), notes
    )
    printed = [f"{TABLES[key].title}\n\n{markdown(table)}\n{table.attrs.get('caption', '')}\n" for key, table in tables.items()]
    printed += [claims_markdown(claims), *notes]
    return Benchmark(folder, tables, claims, "\n".join(printed), record.failed, record.broken)


def _beside_path(folder: Path, key: str) -> Path:
    return folder / "tables" / f"table_{key}_beside_paper.csv"


def _claims(claims: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return the tables of claims that were tested, and of those that were not, as far as there are any."""
    untested = claims["verdict"] == NOT_TESTABLE
    parts = {_TESTED: claims[~untested], "Claims that could not be tested here": claims[untested]}
    found = {heading: claims_shown(part) for heading, part in parts.items() if len(part)}
    for heading, part in found.items():
        if heading == _TESTED:
            part.attrs["caption"] = _CLAIMS
        else:
            found[heading] = part.drop(columns="verdict")  # the heading says it
    return found


def _too_few(claims: pd.DataFrame) -> str:
    """Say so where no claim could have had a corrected p below 0.05, whatever the scores: then nothing was tested at all."""
    tested = claims[claims["p"].notna() & (claims["verdict"] != NOT_TESTABLE)]
    if tested.empty or not tested["verdict"].str.startswith(UNDECIDABLE).all():
        return ""
    return (
        f"No p here could have been below 0.05: {len(tested)} tests are corrected for, and no more than "
        f"{tested['units'].max()} people or photographs are independent of each other. These scores can neither support nor "
        "contradict a claim."
    )


def _trainings(record: Record) -> pd.DataFrame:
    """Return how long each method with weights was trained: `occface.benchmark.tables.Frames.trainings`."""
    rows = {}
    for one in record.shown:
        for name, about in one.facts["methods"].items():
            if "training" not in about:
                continue
            training = about["training"]
            rows[one.row["pipeline"], one.row["trained_on"], name] = {
                "minutes": training["minutes"],
                "images": training["steps"] * about["settings"]["batch_size"],
                "device": training["device"],
                "as_paper": training["finished"] and about["preset"] == "paper" and not about["departures"],
            }
    return pd.DataFrame([{**dict(zip(_TRAINED, key, strict=True)), **values} for key, values in rows.items()])


def _absent(tables: Container[str], captions: Iterable[str], notes: Mapping[str, str]) -> str:
    """Say why tables were not built, as the recipe notes it or else as the table does, and what it notes of absent figures."""
    said = [
        f"“{spec.title}” is left out. {notes[f'table_{key}']}"
        if f"table_{key}" in notes
        else f"“{spec.title}” is left out, because {spec.reason}."
        for key, spec in TABLES.items()
        if key not in tables
    ]
    drawn = {f"figure_{found[1]}" for caption in captions if (found := _LIKE.search(caption))}
    said += [
        f"{name.replace('figure_', 'Fig. ')} is left out. {note}"
        for name, note in notes.items()
        if name.startswith("figure_") and name not in drawn
    ]
    return "\n\n".join(said)


def _noted(figures: Mapping[str, Path], notes: Mapping[str, str]) -> dict[str, Path]:
    """Return figures by their captions, with what the recipe notes of the paper's figure that they say they are like."""

    def note(caption: str) -> str:
        found = _LIKE.search(caption)
        return notes.get(f"figure_{found[1]}", "") if found else ""

    return {f"{caption} {note(caption)}".strip(): path for caption, path in figures.items()}


def _curves(frames: Frames, folder: Path) -> dict[str, Path]:
    scores, efficiency = frames.scores, frames.efficiency
    if "psnr" not in scores:  # another metric alone was asked for, or every image failed
        scores = scores.assign(psnr=math.nan)
    matrices = [
        name for name in ("bicubic", "gfc+bicubic", "fcsr-gan", "pro-uigan", "hr") if (scores["pipeline"] == name).any()
    ]
    masks, rows = scores["mask_type"], table_rows(scores)
    drawn = (
        (
            "PSNR by the size of square masks, in the manner of Fig. 7.",
            curves.quality_by_mask_size(scores, "psnr", folder / "mask_size.svg"),
            scored_methods(scores[masks.map(square_size).notna()]),
        ),
        (
            "PSNR by the occluded share of the face, irregular masks.",
            curves.quality_by_hole_area(scores, "psnr", folder / "hole_area.svg"),
            scored_methods(scores[masks.map(mask_family) == "irregular"]),
        ),
        (
            f"PSNR by pose, yaws rounded to the nearest {POSE_STEP} degrees.",
            curves.quality_by_pose(scores, "psnr", folder / "pose.svg"),
            rows[rows["pose"] != ""],
        ),
        (
            "PSNR of each stage of Pro-UIGAN, enlarged to 128x128.",
            curves.stages(scores, folder / "stages.svg"),
            _with(rows, "psnr_stage_1"),
        ),
        (
            "Face recognition by what is masked, in the manner of Fig. 15.",
            curves.recognition(scores, folder / "recognition.svg"),
            _with(scored_methods(scores[masks.map(is_region)]), "identity_cosine"),
        ),
        (
            "Expressions: what they are, and what is seen in results, in the manner of Fig. 16. " + guessing(scores),
            curves.confusion(scores, folder / "confusion.svg", matrices),
            _with(rows, "expression_correct"),
        ),
        (
            "Time, size and quality.",
            curves.efficiency(efficiency, scores, folder / "efficiency.svg"),
            rows[rows["pipeline"].isin(efficiency["pipeline"])],
        ),
    )
    return {f"{caption} {trained(one_training(shown))}".strip(): path for caption, path, shown in drawn if path is not None}


def _with(rows: pd.DataFrame, metric: str) -> pd.DataFrame:
    return rows[rows[metric].notna()] if metric in rows else rows[:0]


def _notes(record: Record) -> list[str]:
    """Return what must be said of the numbers: of every benchmark, and of the methods in this one."""
    methods: dict[str, Mapping[str, Any]] = {}
    for one in record.shown:
        methods |= one.facts["methods"]
    kinds = {one.facts["mask_given"] for one in record.shown}
    titles = ", ".join(pipeline_title(name) for name, about in sorted(methods.items()) if about["takes_mask"])
    notes = [
        "The networks, their training time and the data are not the paper's: only the order of the methods can be compared."
    ]
    if any("training" in about for about in methods.values()):
        notes.append(_ONCE)
    if "true" in kinds:
        marked = ", except in rows that say otherwise" if "estimated" in kinds else ""
        notes.append(f"Given the true mask of every face{marked}: {titles}. No other method is.")
    if "estimated" in kinds:
        fills = dict.fromkeys(one.facts["fill"] for one in record.shown)
        told = "; ".join(
            f"told that holes are filled with {FILLS[fill]}" if flat_fill(fill) else f"not told of the fill, {FILLS[fill]}"
            for fill in fills
        )
        notes.append(f"Estimated masks were made from the LR face alone, {told}; they were given to: {titles}.")
    if any("landmarks" in about["needs"] for about in methods.values()):
        notes.append("LR landmarks were estimated on the enlarged occluded LR face, as the paper does.")
    shown = [pipeline_title(name) for name, about in sorted(methods.items()) if "true landmarks" in about["needs"]]
    if shown:
        notes.append(f"Given the true landmarks of the HR face: {', '.join(shown)}.")
    notes += [
        f"{pipeline_title(name)} was stopped before the end of its training; its numbers are not those of the method."
        for name, about in sorted(methods.items())
        if "training" in about and not about["training"]["finished"]
    ]
    return notes


def _facts(record: Record) -> dict[str, Any]:
    """Return where the numbers came from."""
    data: dict[str, str] = {}
    trained: dict[str, str] = {}
    settings: dict[str, str] = {}
    for one in record.shown:
        split = ", ".join(f"{count} {name}" for name, count in one.facts["split"].items())
        data[one.row["dataset"]] = (
            f"{split}; content {one.facts['data'][:16]}; fill {one.facts['fill']}, LR by {one.facts['lr_kernel']}"
        )
        for name, about in one.facts["methods"].items():
            title = f"{name}, on {one.row['trained_on']}" if one.row["trained_on"] else name
            if "training" in about:
                trained[title] = _trained(about)
            elif about["settings"]:
                settings[name] = f"preset {about['preset']}; {_departures(about)}"
    return {
        "Data sets": data,
        "Trained": trained,
        "Settings": settings,
        "Metrics": record.contracts,
        "Devices": _by_act(record.provenance, "device"),
        "Precision": _by_act(record.provenance, "precision"),
        "Versions": _by_act(record.provenance, "versions"),
        "State of the code": _by_act(record.provenance, "sources"),
    }


def _by_act(provenance: pd.DataFrame, name: str) -> dict[str, str]:
    """Return what was recorded under a name of trainings, restorations, scores and timings; those that agree together."""
    said: dict[str, list[str]] = {}
    for act, values in provenance.groupby("act", sort=False)[name]:
        if values.any():
            known = values.replace("", _NOT_RECORDED).value_counts(sort=False)
            several = "; ".join(f"{value} ({count} of {len(values)})" for value, count in known.items())
            said.setdefault(several if len(known) > 1 else known.index[0], []).append(str(act))
    return {", ".join(acts): value for value, acts in said.items()}


def _trained(about: Mapping[str, Any]) -> str:
    """Say how weights were made, and every setting in which they depart from the paper's preset."""
    training = about["training"]
    done = f"{training['steps']} steps"
    if not training["finished"]:
        done = f"UNFINISHED: {training['steps']} of {training['steps_planned']} steps"
    return (
        f"preset {about['preset']}, seed {training['seed']}, {done} in {training['minutes']} minutes on {training['device']}, "
        f"{training['parameters']:,} parameters; {_departures(about)}"
    )


def _departures(about: Mapping[str, Any]) -> str:
    said = ", ".join(f"{key} {value}" for key, value in about["departures"].items())
    return f"departs from the preset paper in: {said or 'nothing'}"
