"""From scores to what people look at: Table I on disk and in the terminal, the picture grid, the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from occface.benchmark.figures import comparison_grid
from occface.benchmark.paper import compare, pipeline_title
from occface.benchmark.recipe import Recipe
from occface.benchmark.report import write_report
from occface.benchmark.restoring import restore_pairs
from occface.benchmark.scores import software_versions
from occface.benchmark.tables import markdown, table_1, write_table
from occface.dataset.reader import DatasetFile, FacePairs
from occface.methods.weights import LoadedMethod
from occface.pipelines import Pipeline
from occface.training.devices import describe

__all__ = ["show_benchmark"]

#: Faces in the picture grid for each data set and mask type.
PICTURED = 3

NOTES = (
    "The networks, their training time and the data are not the paper's: what can be compared is the order of the methods.",
    "GFC is given the true mask of every face; Pro-UIGAN is not, and must find the occlusion itself.",
    "Pro-UIGAN is given landmarks that were estimated on the enlarged occluded LR face, as the paper does.",
)


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
    facts = {
        "Data sets (faces)": {name: ", ".join(f"{n} {split}" for split, n in counts.items()) for name, counts in faces.items()},
        "Content hashes": {name: data.content_hash[:16] for name, data, _ in shown},
        "Scored split": recipe.split,
        "Trained": {name: _trained(loaded.card) for name, loaded in methods.items()},
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
        NOTES,
    )
    return table, f"{markdown(table)}\n{table.attrs['caption']}"


def _trained(card: Mapping[str, object]) -> str:
    return f"preset {card['preset']}, {card['steps']} steps in {card['minutes']} minutes on {card['device']}"


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
