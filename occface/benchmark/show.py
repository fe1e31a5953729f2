"""From a benchmark's record to tables, figures, claims and a report, without data sets or models."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from occface.benchmark import curves
from occface.benchmark.claims import claims_markdown, evaluate_claims, write_claims
from occface.benchmark.engine import Benchmark
from occface.benchmark.grids import draw_grids
from occface.benchmark.paper import compare, pipeline_title
from occface.benchmark.recipe import Recipe
from occface.benchmark.record import Record
from occface.benchmark.report import Section, write_report
from occface.benchmark.tables import TABLES, markdown, write_table
from occface.occlusion.degrade import FILLS
from occface.occlusion.estimate import flat_fill
from occface.versions import software_versions

__all__ = ["show_benchmark"]

log = logging.getLogger("occface")

_ORDERS = (
    "SR+PA restores the size first and then inpaints; PA+SR does it the other way round; joint methods do both in one network. "
    "SR alone shows what is left without inpainting."
)


def show_benchmark(folder: Path, recipe: Recipe, broken: Mapping[str, str]) -> Benchmark:
    """Write ``tables/``, ``figures/``, ``claims.csv`` and ``report.html`` from what the folder holds.

    Parameters
    ----------
    folder : Path
        The benchmark's folder.
    recipe : Recipe
        What was asked for.
    broken : mapping of str to str
        Steps that failed, and why.
    """
    record = Record(folder)
    tables = {key: table for key, spec in TABLES.items() if (table := spec.build(record.frames)) is not None}
    for key, table in tables.items():
        write_table(table, folder / "tables" / f"table_{key}")
    for key in TABLES.keys() - tables.keys():  # what an earlier recipe left
        for pattern in (f"table_{key}.*", f"table_{key}_beside_paper.csv"):
            for path in (folder / "tables").glob(pattern):
                path.unlink()
    absent = {spec.title: spec.reason for key, spec in TABLES.items() if key not in tables}
    beside = {}
    for key, table in tables.items():
        numeral = TABLES[key].paper
        if numeral:
            both = compare(numeral, table, recipe.beside or None)
            if not both.empty:
                beside[f"{TABLES[key].title}, ours and the paper's"] = both
                both.to_csv(folder / "tables" / f"table_{key}_beside_paper.csv", lineterminator="\n")
    claims = evaluate_claims(record.scores, record.sets, record.efficiency)
    write_claims(claims, folder / "claims.csv")
    notes = _notes(record)
    failed = int((record.scores["error"] != "").sum())
    if failed:
        log.warning("%d images failed; their rows in %s say why", failed, folder / "scores")
        notes.append(f"{failed} images failed; they are counted in every table, and in no mean.")
    notes += [f"Not done: {name} ({why})." for name, why in broken.items()]
    sections = [
        Section("Tables", _ORDERS, {TABLES[key].title: table for key, table in tables.items()}, text=_absent(absent)),
        Section(
            "Claims of the paper",
            "What the paper says, what was measured here, and whether the two agree.",
            {"Claims": claims},
        ),
        Section("Beside the paper", "", beside),
        Section("Curves", "", {}, _curves(record, folder / "figures")),
        Section("Pictures", "Faces are taken evenly from the scored split, not chosen.", {}, draw_grids(record)),
    ]
    write_report(folder, recipe.title, [part for part in sections if part.tables or part.figures], _facts(record), notes)
    printed = [f"{TABLES[key].title}\n\n{markdown(table)}\n{table.attrs.get('caption', '')}\n" for key, table in tables.items()]
    printed += [claims_markdown(claims), *notes]
    return Benchmark(folder, tables, claims, "\n".join(printed), failed, dict(broken))


def _absent(reasons: Mapping[str, str]) -> str:
    return "\n\n".join(f"No {title}: {reason}." for title, reason in reasons.items())


def _curves(record: Record, folder: Path) -> dict[str, Path]:
    scores, efficiency = record.scores, record.efficiency
    if "psnr" not in scores:  # another metric alone was asked for, or every image failed
        scores = scores.assign(psnr=math.nan)
    matrices = [
        name for name in ("bicubic", "gfc+bicubic", "fcsr-gan", "pro-uigan", "hr") if (scores["pipeline"] == name).any()
    ]
    drawn = {
        "PSNR by the size of square masks, in the manner of Fig. 7; bands are 95 % intervals": curves.quality_by_mask_size(
            scores, "psnr", folder / "mask_size.svg"
        ),
        "PSNR by the occluded share of the face, irregular masks": curves.quality_by_hole_area(
            scores, "psnr", folder / "hole_area.svg"
        ),
        "PSNR by pose": curves.quality_by_pose(scores, "psnr", folder / "pose.svg"),
        "PSNR of each stage of Pro-UIGAN": curves.stages(scores, folder / "stages.svg"),
        "Face recognition by what is masked, in the manner of Fig. 15": curves.recognition(scores, folder / "recognition.svg"),
        "Expressions: what they are, and what is seen in results, in the manner of Fig. 16": curves.confusion(
            scores, folder / "confusion.svg", matrices
        ),
        "Time, size and quality": curves.efficiency(efficiency, scores, folder / "efficiency.svg"),
    }
    return {caption: path for caption, path in drawn.items() if path is not None}


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
        "Scored on": ", ".join(dict.fromkeys(one.facts["device"] for one in record.shown)),
        "Metrics": record.contracts,
        "Versions": software_versions(),
    }


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
