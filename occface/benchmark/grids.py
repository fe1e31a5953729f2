"""The figures that are made of faces: every method side by side, mask sizes, stages, the worst cases."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from occface import files
from occface.benchmark.figures import Column, comparison_grid
from occface.benchmark.record import Record, Shown
from occface.benchmark.tables.frames import is_region, square_size

__all__ = ["draw_grids"]

#: How many faces Fig. 12 shows.
_WORST = 6


def draw_grids(record: Record) -> dict[str, Path]:
    """Write the PNG grids that the record has pictures for; return them by their captions."""
    folder = record.folder / "figures"
    figures: dict[str, Path] = {}
    for dataset in dict.fromkeys(one.row["dataset"] for one in record.shown):
        own = [one for one in record.shown if one.row["dataset"] == dataset and one.row["trained_on"] in ("", dataset)]
        sized = [one for one in own if square_size(one.row["mask_type"]) is not None]
        main = [one for one in own if one not in sized and not is_region(one.row["mask_type"])]
        for mask in dict.fromkeys(one.row["mask_type"] for one in main):
            block = [one for one in main if one.row["mask_type"] == mask]
            caption = (
                f"{dataset}, {mask} masks: occluded LR faces, what each pipeline makes of them, and the ground truth, in the "
                "manner of Fig. 5"
            )
            path = folder / f"comparison_{dataset}_{mask}.png"
            figures |= _drawn(caption, path, _columns(block), ())
            for staged in (one for one in block if one.facts["stages"] > 1):
                caption = f"{dataset}, {mask} masks: the stages of {staged.title}, in the manner of Fig. 9"
                figures |= _drawn(
                    caption, folder / f"stages_{dataset}_{mask}_{staged.row['pipeline']}.png", _stages(staged), ()
                )
        figures |= _by_size(dataset, sized, folder)
        figures |= _worst(record, dataset, main, folder)
    return figures


def _drawn(caption: str, path: Path, columns: Sequence[Column], labels: Sequence[str]) -> dict[str, Path]:
    path = path.with_name(files.safe_name(path.name))
    if not columns or not columns[0][1]:
        return {}
    return {caption: comparison_grid(columns, path, labels)}


def _columns(block: Sequence[Shown]) -> list[Column]:
    numbers = block[0].numbers
    columns: list[Column] = [("Occluded LR", [block[0].given(number, "lr") for number in numbers])]
    columns += [(one.title, [one.picture(number) for number in numbers]) for one in block]
    return [*columns, ("Ground truth", [block[0].given(number, "hr") for number in numbers])]


def _stages(one: Shown) -> list[Column]:
    columns: list[Column] = [("Occluded LR", [one.given(number, "lr") for number in one.numbers])]
    columns += [
        (f"Stage {stage}", [one.picture(number, stage) for number in one.numbers]) for stage in range(1, one.facts["stages"])
    ]
    columns.append((f"Stage {one.facts['stages']}", [one.picture(number) for number in one.numbers]))
    return [*columns, ("Ground truth", [one.given(number, "hr") for number in one.numbers])]


def _by_size(dataset: str, sized: Sequence[Shown], folder: Path) -> dict[str, Path]:
    """Fig. 6: one face under masks of growing size."""
    masks = sorted(dict.fromkeys(one.row["mask_type"] for one in sized), key=lambda mask: square_size(mask) or 0)
    if len(masks) < 2:
        return {}
    pipelines = list(dict.fromkeys(one.title for one in sized))
    by = {(one.title, one.row["mask_type"]): one for one in sized}
    columns: list[Column] = []
    labels: list[str] = []
    first = {mask: next(one for one in sized if one.row["mask_type"] == mask) for mask in masks}
    for title in ("Occluded LR", *pipelines, "Ground truth"):
        pictures: list[np.ndarray | None] = []
        for mask in masks:
            for number in first[mask].numbers[:2]:
                if title in ("Occluded LR", "Ground truth"):
                    pictures.append(first[mask].given(number, "lr" if title == "Occluded LR" else "hr"))
                else:
                    pictures.append(by[title, mask].picture(number) if (title, mask) in by else None)
        columns.append((title, pictures))
    for mask in masks:
        labels += [mask] * len(first[mask].numbers[:2])
    return _drawn(
        f"{dataset}: masks of growing size, in the manner of Fig. 6", folder / f"mask_size_{dataset}.png", columns, labels
    )


def _worst(record: Record, dataset: str, main: Sequence[Shown], folder: Path) -> dict[str, Path]:
    """Fig. 12: the faces on which Pro-UIGAN's PSNR is lowest."""
    figures: dict[str, Path] = {}
    for one in (one for one in main if one.row["pipeline"] == "pro-uigan"):
        rows = record.scores[
            (record.scores["dataset"] == dataset)
            & (record.scores["mask_type"] == one.row["mask_type"])
            & (record.scores["pipeline"] == "pro-uigan")
            & (record.scores["trained_on"] == one.row["trained_on"])
        ]
        numbers = rows.nsmallest(_WORST, "psnr")["index"].tolist()
        known = [number for number in numbers if one.given(number, "hr") is not None]
        columns = list(_of(one, known))
        caption = f"{dataset}, {one.row['mask_type']} masks: the worst of {one.title} by PSNR, in the manner of Fig. 12"
        figures |= _drawn(caption, folder / f"worst_{dataset}_{one.row['mask_type']}.png", columns, ())
    return figures


def _of(one: Shown, numbers: Sequence[int]) -> Iterator[Column]:
    yield "Occluded LR", [one.given(number, "lr") for number in numbers]
    yield one.title, [one.picture(number) for number in numbers]
    yield "Ground truth", [one.given(number, "hr") for number in numbers]
