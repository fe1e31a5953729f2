"""From scores to what people look at: Table I on disk and in the terminal, the picture grid, the report."""

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
from occface.benchmark.restoring import restore_pairs
from occface.benchmark.tables import markdown, table_1, write_table
from occface.dataset.reader import DatasetFile, FacePairs
from occface.methods import METHODS
from occface.methods.weights import LoadedMethod
from occface.pipelines import Pipeline, method_names
from occface.training.devices import describe
from occface.versions import software_versions

__all__ = ["show_benchmark"]

#: Faces in the picture grid for each data set and mask type.
PICTURED = 3


def show_benchmark(
    folder: Path,
    recipe: Recipe,
    scores: pd.DataFrame,
    shown: Sequence[tuple[str, DatasetFile, str]],
    pipelines: Mapping[str, Pipeline],
    methods: Mapping[str, LoadedMethod],
    device: torch.device,
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
    shown : sequence of (str, DatasetFile, str)
        Name, data set and mask type of each block of the picture grid.
    pipelines, methods : mapping
        By name, ready to run.
    device : torch.device
        Where they run.
    """
    table = table_1(scores)
    write_table(table, folder / "tables" / "table_1")
    beside = compare(table)
    columns, labels = _pictures(recipe, shown, pipelines, device)
    grid = comparison_grid(columns, folder / "figures" / "comparison.png", labels)
    faces = {name: {split: data.count(split) for split in data.splits} for name, data, _ in shown}
    notes = _notes(recipe, methods)
    facts = {
        "Data sets (faces)": {name: ", ".join(f"{n} {split}" for split, n in counts.items()) for name, counts in faces.items()},
        "Content hashes": {name: data.content_hash[:16] for name, data, _ in shown},
        "Scored split": recipe.split,
        "Trained": {name: _trained(name, loaded.card) for name, loaded in methods.items()},
        "Scored on": describe(device),
        "Versions": software_versions(),
    }
    write_report(
        folder,
        "Table I: face hallucination from occluded thumbnails",
        {"Table I": table},
        {"Ours and the paper's": beside},
        {"Occluded LR faces, what each pipeline makes of them, and the ground truth, in the manner of Fig. 5": grid},
        facts,
        notes,
    )
    return table, "\n".join([markdown(table), table.attrs["caption"], *notes])


def _trained(name: str, card: Mapping[str, Any]) -> str:
    """Say how weights were made, and every setting in which they depart from the paper's preset."""
    done = f"{card['steps']} steps" if card["finished"] else f"UNFINISHED: {card['steps']} of {card['steps_planned']} steps"
    paper = METHODS.get(name).presets().get("paper", {})
    departures = ", ".join(f"{key} {value}" for key, value in card["config"].items() if paper.get(key) != value)
    return (
        f"preset {card['preset']}, {done} in {card['minutes']} minutes on {card['device']}; "
        f"departs from the preset paper in: {departures or 'nothing'}"
    )


def _notes(recipe: Recipe, methods: Mapping[str, LoadedMethod]) -> list[str]:
    """Return what must be said of the numbers: of every benchmark, and of the methods in this one."""
    used = {part for pipeline in recipe.pipelines for part in method_names(pipeline)}
    given = [name for name in sorted(used) if "mask" in METHODS.get(name).needs]
    notes = [
        "The networks, their training time and the data are not the paper's: only the order of the methods can be compared."
    ]
    if given:
        notes.append(f"Given the true mask of every face: {', '.join(map(pipeline_title, given))}. All others are not.")
    if any("landmarks" in METHODS.get(name).needs for name in used):
        notes.append("LR landmarks were estimated on the enlarged occluded LR face, as the paper does.")
    notes += [
        f"{pipeline_title(name)} was stopped before the end of its training; its numbers are not those of the method."
        for name, loaded in methods.items()
        if not loaded.card["finished"]
    ]
    return notes


def _pictures(
    recipe: Recipe, shown: Sequence[tuple[str, DatasetFile, str]], pipelines: Mapping[str, Pipeline], device: torch.device
) -> tuple[list[tuple[str, list[np.ndarray | None]]], list[str]]:
    """Return the grid's columns and the labels of its rows. Faces are taken evenly from the split, not chosen."""
    columns: dict[str, list[np.ndarray | None]] = {}
    labels: list[str] = []
    for name, data, mask in shown:
        pairs = FacePairs(data, recipe.split, [mask])
        count = min(PICTURED, len(pairs))
        chosen = np.linspace(0, len(pairs) - 1, count).round().astype(int).tolist()
        batch = [pairs[number] for number in chosen]
        pictures: dict[str, list[np.ndarray | None]] = {"Occluded LR": [pair["lr"] for pair in batch]}
        for pipeline in pipelines.values():
            outcomes = restore_pairs(pipeline, batch, device)
            faces = [None if isinstance(outcome, str) else outcome.face for outcome in outcomes]
            pictures[pipeline_title(pipeline.name)] = faces
        pictures["Ground truth"] = [pair["hr"] for pair in batch]
        for title, images in pictures.items():
            columns.setdefault(title, []).extend(images)
        labels += [mask if len(recipe.datasets) == 1 else f"{name}, {mask}"] * count
    return list(columns.items()), labels
