"""The figures that are made of faces: every method side by side, mask sizes, stages, the worst cases, what judges saw."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from occface import files
from occface.benchmark.annotated import LANDMARK_COLOURS, Colour, draw_heatmaps, draw_landmarks, draw_parsing, parsing_colours
from occface.benchmark.annotations import Seen
from occface.benchmark.figures import Column, comparison_grid
from occface.benchmark.record import Record, Shown
from occface.benchmark.tables.frames import common_training, is_region, is_retrained, square_size
from occface.errors import UsageError
from occface.faces.parsing import CLASSES_11, CLASSES_19

__all__ = ["draw_grids"]

#: How many faces Fig. 12 shows, and how many Figs. 13 and 14.
_WORST, _ANNOTATED = 6, 3
#: Enlargement of faces with landmarks on them, which are thin, and how many of those fit side by side on a page.
_SCALE, _WIDEST = 2, 4
_PROGRESSIVE = "pro-uigan"


def draw_grids(record: Record) -> dict[str, dict[str, Path]]:
    """Write the PNG grids that the record has pictures for; return them by their captions, for each data set.

    Where a data set has several models of a method, those of the common training are shown, as in the tables.

    Raises
    ------
    UsageError
        If two figures would have one file or one caption, as the names of data sets or masks may have it.
    """
    gallery = _Gallery(record.folder / "figures")
    figures: dict[str, dict[str, Path]] = {}
    for dataset in dict.fromkeys(one.row["dataset"] for one in record.shown):
        shown = [one for one in record.shown if one.row["dataset"] == dataset]
        own = _common([one for one in shown if not _is_variant(one)])
        variants = _common([one for one in shown if _is_variant(one) or one.row["pipeline"] == _PROGRESSIVE])
        sized = [one for one in own if square_size(one.row["mask_type"]) is not None]
        main, retrained = (
            [one for one in part if square_size(one.row["mask_type"]) is None and not is_region(one.row["mask_type"])]
            for part in (own, variants)
        )
        found: dict[str, Path] = {}
        for mask in dict.fromkeys(one.row["mask_type"] for one in (*main, *retrained)):
            where, name = f"{dataset}, {mask} masks", f"{dataset}_{mask}"
            block, rivals = ([one for one in part if one.row["mask_type"] == mask] for part in (main, retrained))
            found |= _compared(block, where, name, gallery) | _variants(rivals, where, name, gallery)
            found |= _detailed(block, where, name, gallery)
        found |= _by_size(dataset, sized, gallery)
        found |= _worst(record, dataset, main, gallery)
        if found:
            figures[dataset] = found
    return figures


class _Gallery:
    """The folder of figures, in which each has a file and a caption of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._drawn: dict[str, str] = {}

    def draw(
        self,
        caption: str,
        name: str,
        columns: Sequence[Column],
        labels: Sequence[str],
        *,
        cell: int = 128,
        widest: int = 8,
        notes: Sequence[Sequence[str]] = (),
        legend: Mapping[str, Colour] | None = None,
        repeated: bool = True,
    ) -> dict[str, Path]:
        """Write a grid, see `occface.benchmark.figures.comparison_grid`, unless there is nothing to show."""
        if not columns or not columns[0][1]:
            return {}
        safe = files.safe_name(name)
        if safe != name:  # digits keep apart names that differ only in characters that file names should not have
            safe = f"{safe}-{files.sha256_json(f'{name}.png')[:6]}"
        if safe in self._drawn or caption in self._drawn.values():
            raise UsageError(
                f"expected a file and a caption of its own for each figure, but {safe}.png ('{caption}') would be drawn twice; "
                "give data sets and masks names that differ in more than where their underscores stand"
            )
        self._drawn[safe] = caption
        path = self._folder / f"{safe}.png"
        return {caption: comparison_grid(columns, path, labels, cell, widest, notes, legend or {}, repeated)}


def _common(shown: Sequence[Shown]) -> list[Shown]:
    """Return the models of the common training of a data set, see `occface.benchmark.tables.frames.common_training`."""
    rows = pd.DataFrame([{key: one.row[key] for key in ("dataset", "pipeline", "trained_on")} for one in shown])
    return [shown[place] for place in common_training(rows).index]


def _model(one: Shown) -> list[str]:
    """Return what the file of a figure of one model says beside its pipeline: nothing of the usual one."""
    learnt = one.row["trained_on"]
    elsewhere = [f"trained-on-{learnt}"] if learnt not in ("", one.row["dataset"]) else []
    return [*elsewhere, *(["mask-estimated"] if one.row["mask_given"] == "estimated" else [])]


def _is_variant(one: Shown) -> bool:
    return is_retrained(one.row["pipeline"])


def _is_reference(one: Shown) -> bool:
    return one.row["order"] == "reference"


def _learnt(block: Iterable[Shown]) -> str:
    """Say, behind a caption, what the methods that learn had learnt from."""
    sources = ", ".join(dict.fromkeys(one.row["trained_on"] for one in block if one.row["trained_on"]))
    return f" Trained on: {sources}." if sources else ""


def _compared(block: Sequence[Shown], where: str, name: str, gallery: _Gallery) -> dict[str, Path]:
    """Fig. 5: what every method makes of the faces of one mask type."""
    methods = [one for one in block if not _is_reference(one)]
    caption = (
        f"{where}: occluded LR faces, what each pipeline makes of them, and the ground truth, in the manner of Fig. 5."
        f"{_learnt(block)}"
    )
    return gallery.draw(caption, f"comparison_{name}", *_columns(methods)) if methods else {}


def _variants(rivals: Sequence[Shown], where: str, name: str, gallery: _Gallery) -> dict[str, Path]:
    """Fig. 4: what the retrained variants make of them, beside the method itself."""
    if not any(map(_is_variant, rivals)):
        return {}
    caption = (
        f"{where}: what the variants of Tables II and III make of occluded LR faces, in the manner of Fig. 4.{_learnt(rivals)}"
    )
    return gallery.draw(caption, f"variants_{name}", *_columns(rivals))


def _detailed(block: Sequence[Shown], where: str, name: str, gallery: _Gallery) -> dict[str, Path]:
    """Draw the stages of methods that have some, and what judges saw in results."""
    figures: dict[str, Path] = {}
    for one in (one for one in block if not _is_reference(one) and one.facts["stages"] > 1):
        figures |= _stages(one, where, "_".join(["stages", name, one.row["pipeline"], *_model(one)]), gallery)
    return figures | _landmarks(block, where, f"landmarks_{name}", gallery) | _parsing(block, where, f"parsing_{name}", gallery)


def _faces(numbers: Iterable[int]) -> list[str]:
    """Return the labels of faces: the column ``index`` of their score rows."""
    return [f"face {number}" for number in numbers]


def _columns(block: Sequence[Shown]) -> tuple[list[Column], list[str]]:
    """Return results between what was given and the truth, and the labels of their rows."""
    numbers = block[0].numbers
    columns: list[Column] = [("Occluded LR", [block[0].given(number, "lr") for number in numbers])]
    columns += [(one.title, [one.picture(number) for number in numbers]) for one in block]
    return [*columns, ("Ground truth", [block[0].given(number, "hr") for number in numbers])], _faces(numbers)


def _stages(one: Shown, where: str, name: str, gallery: _Gallery) -> dict[str, Path]:
    """Fig. 9: what each stage made, and beside it where it saw landmarks."""
    columns: list[Column] = [("Occluded LR", [one.given(number, "lr") for number in one.numbers])]
    seen, count, warm = _seen(one), one.facts["stages"], False
    for stage in range(1, count + 1):
        made = [one.picture(number, stage if stage < count else None) for number in one.numbers]
        columns.append((f"Stage {stage}", made))
        if f"heatmaps_{stage}" in seen:
            maps = [seen.of(number, f"heatmaps_{stage}") for number in one.numbers]
            columns.append((f"Heatmaps {stage}", _over(made, maps, _glowing)))
            warm = True
    columns.append(("Ground truth", [one.given(number, "hr") for number in one.numbers]))
    beside = ", each with its landmark heatmaps over it" if warm else ""
    caption = f"{where}, {one.title}: its stages{beside}, in the manner of Fig. 9.{_learnt([one])}"
    return gallery.draw(caption, name, columns, _faces(one.numbers))


def _glowing(picture: np.ndarray, heat: np.ndarray) -> np.ndarray:
    return draw_heatmaps(picture, heat[None] / 255, 1)


def _over(
    pictures: Iterable[np.ndarray | None],
    drawings: Iterable[np.ndarray | None],
    draw: Callable[[np.ndarray, np.ndarray], np.ndarray],
) -> list[np.ndarray | None]:
    """Draw on those pictures that are there, what is known to be drawn."""
    return [
        None if picture is None or drawing is None else draw(picture, drawing)
        for picture, drawing in zip(pictures, drawings, strict=True)
    ]


def _seen(one: Shown) -> Seen:
    name = one.facts.get("seen", "")
    return Seen.read(one.folder / "scores" / name) if name else Seen((), {})


def _landmarks(block: Sequence[Shown], where: str, name: str, gallery: _Gallery) -> dict[str, Path]:
    """Fig. 13: the landmarks that the judge found in results, and how far they are off."""
    return _annotated(
        block,
        f"{where}: landmarks that are found in results, with their NRMSE (over the distance of the outer corners of the eyes), "
        f"in the manner of Fig. 13.{_learnt(block)}",
        name,
        gallery,
        "landmarks",
        lambda face, points: draw_landmarks(face, points, _SCALE),
        lambda seen, number: _note("NRMSE {:.1f} %", seen.value(number, "nrmse_outer_eyes")),
        LANDMARK_COLOURS,
        cell=128 * _SCALE,
        widest=_WIDEST,
        repeated=False,  # half of each block would be LR faces and truths again
    )


def _parsing(block: Sequence[Shown], where: str, name: str, gallery: _Gallery) -> dict[str, Path]:
    """Fig. 14: the parts that the judge found in results, and how well they lie."""
    judges = [one.facts["metrics"]["parsing"]["fingerprint"]["settings"] for one in block if "parsing" in one.facts["metrics"]]
    if not judges:
        return {}
    classes = CLASSES_19 if judges[0]["classes"] == 19 else CLASSES_11
    return _annotated(
        block,
        f"{where}: the parts of the face that are found in results, with their mean IoU, in the manner of Fig. 14."
        f"{_learnt(block)}",
        name,
        gallery,
        "parsing",
        lambda face, labels: draw_parsing(face, labels, classes, 1),
        lambda seen, number: _note("IoU {:.3f}", seen.value(number, "iou")),
        parsing_colours(classes),
        cell=128,
        widest=8,
    )


def _note(form: str, value: float) -> str:
    return "" if math.isnan(value) else form.format(value)


def _annotated(
    block: Sequence[Shown],
    caption: str,
    name: str,
    gallery: _Gallery,
    what: str,
    draw: Callable[[np.ndarray, np.ndarray], np.ndarray],
    note: Callable[[Seen, int], str],
    legend: Mapping[str, Colour],
    *,
    cell: int,
    widest: int,
    repeated: bool = True,
) -> dict[str, Path]:
    """Draw what a judge saw on every pipeline's results. The ground truth stands last, drawn on if the judge was shown it."""
    known = [(one, seen) for one in sorted(block, key=_is_reference) if what in (seen := _seen(one))]
    if not known:
        return {}
    first, numbers = known[0][0], known[0][0].numbers[:_ANNOTATED]
    columns: list[Column] = [("Occluded LR", [first.given(number, "lr") for number in numbers])]
    notes = [[""] * len(numbers)]
    for one, seen in known:
        drawings = [seen.of(number, what) for number in numbers]
        columns.append((one.title, _over([one.picture(number) for number in numbers], drawings, draw)))
        notes.append([note(seen, number) for number in numbers])
    if not _is_reference(known[-1][0]):
        columns.append(("Ground truth", [first.given(number, "hr") for number in numbers]))
        notes.append([""] * len(numbers))
    return gallery.draw(
        caption, name, columns, _faces(numbers), cell=cell, widest=widest, notes=notes, legend=legend, repeated=repeated
    )


def _by_size(dataset: str, sized: Sequence[Shown], gallery: _Gallery) -> dict[str, Path]:
    """Fig. 6: some faces under masks of growing size."""
    masks = sorted(dict.fromkeys(one.row["mask_type"] for one in sized), key=lambda mask: square_size(mask) or 0)
    if len(masks) < 2:
        return {}
    by = {(one.title, one.row["mask_type"]): one for one in sized}
    first = {mask: next(one for one in sized if one.row["mask_type"] == mask) for mask in masks}
    rows = [(mask, number) for mask in masks for number in first[mask].numbers[:2]]
    columns: list[Column] = [("Occluded LR", [first[mask].given(number, "lr") for mask, number in rows])]
    for title in dict.fromkeys(one.title for one in sized if not _is_reference(one)):
        made = [by[title, mask].picture(number) if (title, mask) in by else None for mask, number in rows]
        columns.append((title, made))
    columns.append(("Ground truth", [first[mask].given(number, "hr") for mask, number in rows]))
    return gallery.draw(
        f"{dataset}: square masks of growing size, in the manner of Fig. 6.{_learnt(sized)}",
        f"mask_size_{dataset}",
        columns,
        [f"m{masks.index(mask) + 1}, {square_size(mask)} px" for mask, _ in rows],
    )


def _worst(record: Record, dataset: str, main: Sequence[Shown], gallery: _Gallery) -> dict[str, Path]:
    """Fig. 12: the faces on which Pro-UIGAN's PSNR is lowest, with the landmarks that it was given."""
    figures: dict[str, Path] = {}
    if "psnr" not in record.scores:
        return figures
    for one in (one for one in main if one.row["pipeline"] == _PROGRESSIVE):
        rows = record.scores[
            (record.scores["dataset"] == dataset)
            & (record.scores["mask_type"] == one.row["mask_type"])
            & (record.scores["pipeline"] == _PROGRESSIVE)
            & (record.scores["trained_on"] == one.row["trained_on"])
        ]
        worst = rows.nsmallest(_WORST, "psnr")
        quality = {number: f"{psnr:.1f} dB" for number, psnr in zip(worst["index"], worst["psnr"], strict=True)}
        numbers = [number for number in quality if one.given(number, "hr") is not None]
        pictures, truths = ([one.given(number, what) for number in numbers] for what in ("lr", "hr"))
        columns: list[Column] = [("Occluded LR", pictures)]
        given = "landmarks" in one.facts["methods"][_PROGRESSIVE]["needs"]
        known = [_points(one, number) for number in numbers] if given else []
        if known:
            estimated, true = ([None if points is None else points[place] for points in known] for place in (0, 1))
            columns.append(("Landmarks estimated on it", _over(pictures, estimated, _pointed)))
        columns.append((one.title, [one.picture(number) for number in numbers]))
        if known:
            columns.append(("True landmarks", _over(truths, true, _pointed)))
        else:
            columns.append(("Ground truth", truths))
        notes = [[quality[number] if title == one.title else "" for number in numbers] for title, _ in columns]
        told = ", with the landmarks it was given" if known else ""
        scored = int(rows["psnr"].notna().sum())
        caption = (
            f"{dataset}, {one.row['mask_type']} masks, {one.title}: its {len(numbers)} worst of {scored} faces by PSNR{told}, "
            f"in the manner of Fig. 12.{_learnt([one])}"
        )
        name = "_".join(["worst", dataset, one.row["mask_type"], *_model(one)])
        figures |= gallery.draw(
            caption, name, columns, _faces(numbers), cell=128 * _SCALE, notes=notes, legend=LANDMARK_COLOURS if known else None
        )
    return figures


def _pointed(face: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    return draw_landmarks(face, landmarks, _SCALE)


def _points(one: Shown, number: int) -> np.ndarray | None:
    """Return the landmarks (2, 68, 2) that were estimated on the LR face, and the true ones; None if they are not there."""
    path = one.folder / "restored" / one.facts["inputs"] / f"{number:05d}.landmarks.npy"
    return np.asarray(np.load(path, allow_pickle=False)) if path.exists() else None
