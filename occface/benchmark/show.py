"""From scores to what people look at: Table I on disk and in the terminal, the page of pictures, the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from occface.benchmark.figures import comparison_grid
from occface.benchmark.paper import compare, pipeline_title
from occface.benchmark.recipe import Recipe
from occface.benchmark.report import write_report
from occface.benchmark.restorations import Restorations
from occface.benchmark.tables import markdown, table_1, write_table
from occface.benchmark.units import Unit
from occface.dataset.reader import FacePairs
from occface.methods import METHODS
from occface.methods.weights import LoadedMethod
from occface.occlusion.degrade import FILLS
from occface.occlusion.estimate import flat_fill
from occface.training.devices import describe
from occface.versions import software_versions

__all__ = ["show_benchmark"]


def show_benchmark(
    folder: Path, recipe: Recipe, scores: pd.DataFrame, restored: Mapping[Unit, Restorations], device: torch.device
) -> tuple[pd.DataFrame, str]:
    """Write ``tables/``, ``figures/`` and ``report.html``; return Table I as a frame and as text.

    Parameters
    ----------
    folder : Path
        The benchmark's folder.
    recipe : Recipe
        What was asked for.
    scores : DataFrame
        All score rows.
    restored : mapping of Unit to Restorations
        What the recipe asks for, with the faces that were restored.
    device : torch.device
        Where pipelines run.
    """
    units = list(restored)
    table = table_1(scores)
    write_table(table, folder / "tables" / "table_1")
    beside = compare(table)
    columns, labels = _pictures(recipe, restored)
    grid = comparison_grid(columns, folder / "figures" / "comparison.png", labels)
    data = {unit.dataset: unit.data for unit in units}
    stages = {stage.name: stage for unit in units for stage in unit.pipeline.stages}
    notes = [*_notes(units, stages), *_misses(scores)]
    facts = {
        "Data sets (faces)": {
            name: ", ".join(f"{opened.count(split)} {split}" for split in opened.splits) for name, opened in data.items()
        },
        "Content hashes": {name: opened.content_hash[:16] for name, opened in data.items()},
        "Scored split": recipe.split,
        "Scored faces": {unit.title: len(unit.scored) for unit in units if unit.pipeline.name in recipe.limits}
        or "all, or as n says",
        "Trained": {name: _trained(name, stage.card) for name, stage in stages.items() if stage.trained},
        "Settings": {name: _settings(stage) for name, stage in stages.items() if not stage.trained and stage.method.config},
        "Scored on": describe(device),
        "Versions": software_versions(),
    }
    write_report(
        folder,
        "Table I: face hallucination from occluded thumbnails",
        {"Table I": table},
        {"Ours and the paper's": beside},
        {"Occluded LR faces, what each pipeline makes of them, and the ground truth, in the manner of Fig. 5": grid},
        {name: value for name, value in facts.items() if value},
        notes,
    )
    return table, "\n".join([markdown(table), table.attrs["caption"], *notes])


def _trained(name: str, card: Mapping[str, Any]) -> str:
    """Say how weights were made, and every setting in which they depart from the paper's preset."""
    done = f"{card['steps']} steps" if card["finished"] else f"UNFINISHED: {card['steps']} of {card['steps_planned']} steps"
    return (
        f"preset {card['preset']}, {done} in {card['minutes']} minutes on {card['device']}; {_departures(name, card['config'])}"
    )


def _settings(stage: LoadedMethod) -> str:
    """Say with which settings a method runs that has nothing to learn."""
    values = ", ".join(f"{key} {value}" for key, value in stage.method.config.items())
    return f"preset {stage.card['preset']} ({values}); {_departures(stage.name, stage.method.config)}"


def _departures(name: str, config: Mapping[str, Any]) -> str:
    paper = METHODS.get(name).presets().get("paper", {})
    departures = ", ".join(f"{key} {value}" for key, value in config.items() if paper.get(key) != value)
    return f"departs from the preset paper in: {departures or 'nothing'}"


def _notes(units: Sequence[Unit], stages: Mapping[str, LoadedMethod]) -> list[str]:
    """Return what must be said of the numbers: of every benchmark, and of the methods in this one."""
    given = sorted(name for name, stage in stages.items() if stage.takes_mask)
    titles = ", ".join(map(pipeline_title, given))
    kinds = {unit.mask_given for unit in units}
    notes = [
        "The networks, their training time and the data are not the paper's: only the order of the methods can be compared."
    ]
    if "true" in kinds:
        marked = ", except in rows that say otherwise" if "estimated" in kinds else ""
        notes.append(f"Given the true mask of every face{marked}: {titles}. No other method is.")
    if "estimated" in kinds:
        fills = dict.fromkeys(unit.data.configuration["fill"] for unit in units)
        told = "; ".join(
            f"told that holes are filled with {FILLS[fill]}" if flat_fill(fill) else f"not told of the fill, {FILLS[fill]}"
            for fill in fills
        )
        notes.append(f"Estimated masks were made from the LR face alone, {told}; they were given to: {titles}.")
    if any("landmarks" in stage.method.needs for stage in stages.values()):
        notes.append("LR landmarks were estimated on the enlarged occluded LR face, as the paper does.")
    shown = sorted(name for name, stage in stages.items() if "true landmarks" in stage.method.needs)
    if shown:
        notes.append(f"Given the true landmarks of the HR face: {', '.join(map(pipeline_title, shown))}.")
    notes += [
        f"{pipeline_title(name)} was stopped before the end of its training; its numbers are not those of the method."
        for name, stage in stages.items()
        if stage.trained and not stage.card["finished"]
    ]
    return notes


def _misses(scores: pd.DataFrame) -> list[str]:
    """Say how many faces searching methods did not find."""
    searched = scores[scores["missed"].notna()]
    groups = searched.groupby(["dataset", "mask_type", "pipeline", "mask_given"], sort=False)["missed"]
    return [
        f"{pipeline_title(pipeline, given)} missed its aim on {int(missed.sum())} of {len(missed)} faces ({dataset}, {mask})."
        for (dataset, mask, pipeline, given), missed in groups
    ]


def _pictures(
    recipe: Recipe, restored: Mapping[Unit, Restorations]
) -> tuple[list[tuple[str, list[np.ndarray | None]]], list[str]]:
    """Return the grid's columns and the labels of its rows.

    Faces are taken evenly from the split, not chosen.
    """
    columns: dict[str, list[np.ndarray | None]] = {}
    labels: list[str] = []
    for name, mask in dict.fromkeys((unit.dataset, unit.mask) for unit in restored):
        block = [unit for unit in restored if (unit.dataset, unit.mask) == (name, mask)]
        chosen = block[0].pictured
        pairs = FacePairs(block[0].data, recipe.split, [mask])
        batch = [pairs[number] for number in chosen]
        pictures: dict[str, list[np.ndarray | None]] = {"Occluded LR": [pair["lr"] for pair in batch]}
        for unit in block:
            absent = restored[unit].missing(chosen)  # those that failed
            pictures[unit.title] = [None if number in absent else restored[unit][number].face for number in chosen]
        pictures["Ground truth"] = [pair["hr"] for pair in batch]
        for title, images in pictures.items():
            columns.setdefault(title, []).extend(images)
        labels += [mask if len(recipe.datasets) == 1 else f"{name}, {mask}"] * len(chosen)
    return list(columns.items()), labels
