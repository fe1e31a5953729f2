"""The quantitative figures, out of score frames alone: quality by mask size and pose, stages, recognition, expressions, cost.

Each function writes one SVG file and returns its path, or returns None where no row can be shown. Equal frames give equal
bytes. Bands and bars are 95 % intervals of the mean, by `occface.benchmark.statistics`. Failed images are in no figure. The
rows are those of the tables (`occface.benchmark.tables.frames`): retrained variants and trainings on other data are left out,
and so are studies of masks where a figure is not about them. Of several models of a method, all of which learnt from other
data, figures show one (`occface.benchmark.tables.frames.one_training`).
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from occface.benchmark import plotting
from occface.benchmark.paper import mask_order, pipeline_title
from occface.benchmark.scores import ORDERS
from occface.benchmark.statistics import with_intervals
from occface.benchmark.tables.efficiency import COUNTED, counted_alike, is_noisy
from occface.benchmark.tables.frames import (
    POSE_STEP,
    is_region,
    main_masks,
    one_training,
    pose_order,
    round_pose,
    scored_methods,
    square_size,
    table_rows,
    tenths,
)
from occface.benchmark.tables.quantities import FEWEST
from occface.occlusion.masks import mask_family

__all__ = [
    "confusion",
    "efficiency",
    "quality_by_hole_area",
    "quality_by_mask_size",
    "quality_by_pose",
    "recognition",
    "stages",
]

_GROUP = ["dataset", "mask_type", "order", "pipeline", "mask_given"]


def quality_by_mask_size(scores: pd.DataFrame, metric: str, path: str | os.PathLike[str]) -> Path | None:
    """Draw a metric against the side of square masks, m1 to m5, for each pipeline, as the paper's Fig. 7.

    Parameters
    ----------
    scores : pandas.DataFrame
        Score rows; those of mask types ``square_16`` (or ``square-16``) to ``square_64`` are used, the sides in HR pixels.
    metric : str
        A column of the frame, such as ``"psnr"``.
    path : path
        The SVG file, written atomically.

    Returns
    -------
    pathlib.Path or None
        The file; None where fewer than two sizes were scored.
    """
    sides = scores["mask_type"].map(square_size)
    known = sorted(sides.dropna().unique())
    if len(known) < 2:
        return None
    ticks = [f"m{number}\n{side:.0f} px" for number, side in enumerate(known, start=1)]
    rows = scores.assign(place=sides.map({side: place for place, side in enumerate(known)}), row=scores["dataset"])
    return _by_order(rows, metric, ticks, "side of the square mask", path)


def quality_by_hole_area(scores: pd.DataFrame, metric: str, path: str | os.PathLike[str]) -> Path | None:
    """Draw a metric against the occluded fraction of the face, in tenths, for irregular masks.

    Parameters and return value as of `quality_by_mask_size`; None where all masks fall into one tenth.
    """
    irregular = scores[scores["mask_type"].map(mask_family) == "irregular"]
    tenth = tenths(irregular["hole_area"])
    known = sorted(tenth.unique())
    if len(known) < 2:
        return None
    ticks = [f"{10 * k}–{10 * k + 10} %" for k in known]  # noqa: RUF001 - en dashes are meant
    rows = irregular.assign(place=tenth.map({k: place for place, k in enumerate(known)}), row=irregular["dataset"])
    return _by_order(rows, metric, ticks, "occluded area of the face, irregular masks", path)


def quality_by_pose(scores: pd.DataFrame, metric: str, path: str | os.PathLike[str]) -> Path | None:
    """Draw a metric against the pose that the data set gives, yaws to the nearest 15 degrees, each mask type by itself.

    Parameters and return value as of `quality_by_mask_size`; None where fewer than two poses are known.
    """
    posed = main_masks(scores[scores["pose"] != ""])
    posed = posed.assign(pose=posed["pose"].map(round_pose))
    known = sorted(posed["pose"].unique(), key=pose_order)
    if len(known) < 2:
        return None
    rows = posed.assign(
        place=posed["pose"].map({pose: place for place, pose in enumerate(known)}),
        row=posed["dataset"] + ", " + posed["mask_type"],
    )
    about = f"pose: yaw in degrees, to the nearest {POSE_STEP}"
    return _by_order(rows, metric, [str(pose) for pose in known], about, path)


def stages(scores: pd.DataFrame, path: str | os.PathLike[str]) -> Path | None:
    """Draw the PSNR of each stage's face, enlarged to 128x128, for pipelines that work in stages.

    Parameters
    ----------
    scores : pandas.DataFrame
        Score rows with the columns ``psnr_stage_1`` to ``psnr_stage_3``.
    path : path
        The SVG file, written atomically.

    Returns
    -------
    pathlib.Path or None
        The file; None where no pipeline has stages.
    """
    columns = [name for name in ("psnr_stage_1", "psnr_stage_2", "psnr_stage_3") if name in scores]
    parts = [
        scores.assign(psnr=scores[name], place=place, row=scores["dataset"], panel=scores["mask_type"])
        for place, name in enumerate(columns)
    ]
    if not parts:
        return None
    rows = _shown(table_rows(pd.concat(parts, ignore_index=True)), "psnr")
    panels = sorted(rows["panel"].unique(), key=mask_order)
    return _lines(rows, "psnr", [f"stage {name[-1]}" for name in columns], "", panels, path) if len(rows) else None


def recognition(scores: pd.DataFrame, path: str | os.PathLike[str]) -> Path | None:
    """Draw how often people are identified in restored faces, and how similar they are to themselves, as the paper's Fig. 15.

    Parameters
    ----------
    scores : pandas.DataFrame
        Score rows with the columns ``identified`` (1 or 0: rank-1) and ``identity_cosine``. Masks over a part of the face
        (eyes, mouth, nose, half) are shown where there are any, else every mask type.
    path : path
        The SVG file, written atomically.

    Returns
    -------
    pathlib.Path or None
        The file; None where nothing of it was measured.
    """
    metrics = [name for name in ("identified", "identity_cosine") if name in scores and scores[name].notna().any()]
    if not metrics:
        return None
    rows = _shown(scored_methods(scores, references=True), *metrics)
    if rows.empty:
        return None
    masks = sorted(rows["mask_type"].unique(), key=mask_order)
    masks = [mask for mask in masks if is_region(mask)] or masks
    rows = rows[rows["mask_type"].isin(masks)].assign(identified=lambda frame: 100 * frame["identified"])
    means = with_intervals(rows, _GROUP, metrics)
    datasets = list(dict.fromkeys(rows["dataset"]))
    lines = {name: plotting.sorted_lines(means[means["dataset"] == name]) for name in datasets}
    count = sum(map(len, lines.values()))
    with mpl.rc_context(plotting.STYLE):
        figure = Figure(figsize=(1.9 + 3.4 * len(metrics), 1.1 + 0.75 * len(datasets) + 0.27 * count))
        grid = figure.subplots(
            len(datasets), len(metrics), squeeze=False, sharey="row", height_ratios=[len(part) + 1 for part in lines.values()]
        )
        for axes, dataset in zip(grid, datasets, strict=True):
            for axis, metric in zip(axes, metrics, strict=True):
                part = means[(means["dataset"] == dataset) & (means["metric"] == metric)]
                for number, mask in enumerate(masks):
                    found = part[part["mask_type"] == mask].set_index(["order", "pipeline", "mask_given"])
                    found = found.reindex(pd.MultiIndex.from_tuples(lines[dataset]))
                    places = np.arange(len(found)) + 0.6 * ((number + 0.5) / len(masks) - 0.5)
                    hue, marker = (kind[number % len(kind)] for kind in (plotting.HUES, plotting.MARKERS))
                    axis.errorbar(
                        found["mean"], places, xerr=plotting.errors(found),
                        fmt=marker, color=hue, markersize=4, elinewidth=1, label=mask,
                    )  # fmt: skip
                axis.set_xlabel("identified at rank 1 (%)" if metric == "identified" else plotting.label(metric))
                axis.grid(False, axis="y")
                axis.set_title(f"{dataset}, n = {plotting.count(part['n'])}", loc="left")
            axes[0].set_yticks(range(len(lines[dataset])), [pipeline_title(*line[1:]) for line in lines[dataset]])
            axes[0].set_ylim(len(lines[dataset]) - 0.5, -0.5)
            plotting.separate_orders(axes, [order for order, *_ in lines[dataset]])
        handles, names = grid[0][0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside upper center", ncols=len(names), title="occluded")
        return plotting.save(figure, path, "Recognition of restored faces")


def confusion(scores: pd.DataFrame, path: str | os.PathLike[str], pipelines: Sequence[str]) -> Path | None:
    """Draw which expression was seen for which, as counts and as shares of each row, as the paper's Fig. 16.

    Parameters
    ----------
    scores : pandas.DataFrame
        Score rows with the column ``expression_seen``. Each data set and mask type has a row of matrices.
    path : path
        The SVG file, written atomically.
    pipelines : sequence of str
        Which to show, from left to right: ``["bicubic", "pro-uigan", "hr"]``. Those without rows are left out.

    Returns
    -------
    pathlib.Path or None
        The file; None where no expression was judged.
    """
    if "expression_seen" not in scores:
        return None
    judged = _shown(scores)
    judged = judged[(judged["expression"] != "") & (judged["expression_seen"].fillna("") != "")]
    judged = judged[judged["pipeline"].isin(list(pipelines))]
    if judged.empty:
        return None
    places = {name: place for place, name in enumerate(pipelines)}
    columns = sorted({*zip(judged["pipeline"], judged["mask_given"], strict=True)}, key=lambda pair: (places[pair[0]], pair[1]))
    facets = sorted(
        {*zip(judged["dataset"], judged["mask_type"], strict=True)}, key=lambda pair: (pair[0], mask_order(pair[1]))
    )
    names = sorted({*judged["expression"], *judged["expression_seen"]})
    side = 1.1 + 0.55 * len(names)
    with mpl.rc_context({**plotting.STYLE, "axes.grid": False}):
        # The layout makes no room for titles that are wider than their matrix.
        figure = Figure(figsize=(max(side, 2.0) * len(columns), (side + 0.25) * len(facets)))
        grid = figure.subplots(len(facets), len(columns), squeeze=False)
        for axes, (dataset, mask_type) in zip(grid, facets, strict=True):
            for axis, (pipeline, given) in zip(axes, columns, strict=True):
                part = judged[(judged["dataset"] == dataset) & (judged["mask_type"] == mask_type)]
                part = part[(part["pipeline"] == pipeline) & (part["mask_given"] == given)]
                if part.empty:
                    axis.set_axis_off()
                    continue
                counts = pd.crosstab(part["expression"], part["expression_seen"]).reindex(names, axis=0, fill_value=0)
                plotting.matrix(axis, counts.reindex(names, axis=1, fill_value=0).to_numpy(), names)
                right = (part["expression"] == part["expression_seen"]).mean()
                name = pipeline_title(pipeline, given)
                axis.set_title(f"{name}\n{100 * right:.1f} % right, n = {len(part)}")
            axes[0].set_ylabel(f"{dataset}, {mask_type}\ntrue")
        return plotting.save(figure, path, "Expressions seen in restored faces")


def efficiency(efficiency: pd.DataFrame, scores: pd.DataFrame, path: str | os.PathLike[str]) -> Path | None:
    """Draw PSNR against running time, the size of the weights as area.

    Parameters
    ----------
    efficiency : pandas.DataFrame
        A row for each pipeline and way of counting, as in `occface.benchmark.tables.frames.Frames`. Sizes are those of
        everything that the pipeline needs; names of noisy times say so. Devices and precisions are drawn apart.
    scores : pandas.DataFrame
        Score rows, for the mean PSNR of each data set and mask type.
    path : path
        The SVG file, written atomically.

    Returns
    -------
    pathlib.Path or None
        The file; None where no pipeline has both a time and a PSNR.
    """
    rows = _shown(table_rows(scores), "psnr")
    if efficiency.empty or rows.empty:
        return None
    means = rows.groupby(["dataset", "mask_type", "pipeline", "mask_given"], as_index=False)["psnr"].mean()
    means = means.drop_duplicates(["dataset", "mask_type", "pipeline"], keep="last")  # "true" comes after "estimated"
    whole = counted_alike(efficiency)[COUNTED[1]].assign(noisy=is_noisy)
    points = whole.dropna(subset=["median_ms"]).merge(means, on="pipeline")
    points = points[np.isfinite(points["psnr"])]
    facets = [(key, part) for key, part in points.groupby(["dataset", "mask_type", "device", "precision"])]
    facets = [facet for facet in facets if len(facet[1]) > 1] or facets  # a point alone says nothing
    if not facets:
        return None
    facets.sort(key=lambda facet: (facet[0][0], mask_order(facet[0][1]), facet[0][2:]))
    columns = min(2, len(facets))
    height = max(3.8, 0.9 + 0.18 * max(len(part) for _, part in facets)) * math.ceil(len(facets) / columns)
    with mpl.rc_context(plotting.STYLE):
        figure = Figure(figsize=(6.4 * columns, height + 0.4))
        grid = list(figure.subplots(math.ceil(len(facets) / columns), columns, squeeze=False).flat)
        for axis, ((dataset, mask_type, device, precision), part) in zip(grid, facets, strict=False):
            plotting.bubbles(axis, part, points["size_kb"].max())
            axis.set_title(f"{dataset}, {mask_type}; {device}, {precision}", loc="left")
            axis.set_ylabel(plotting.label("psnr"))
            axis.set_xlabel("median time of a face (ms); area of a circle: size of the weights")
        for axis in grid[len(facets) :]:
            axis.set_axis_off()
        orders = [number for number, order in enumerate(ORDERS) if (points["order"] == order).any()]
        handles = [plotting.entry(ORDERS[number], plotting.HUES[number], "o") for number in orders]
        figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
        return plotting.save(figure, path, "PSNR, running time and size of each pipeline")


# --- rows


def _shown(rows: pd.DataFrame, *metrics: str) -> pd.DataFrame:
    """Return the rows of one model of each method, without a failure, and with one of the metrics where some are named."""
    rows = one_training(rows[rows["error"] == ""])
    return rows[rows[list(metrics)].notna().any(axis=1)] if metrics else rows


# --- lines


def _by_order(rows: pd.DataFrame, metric: str, ticks: Sequence[str], about: str, path: str | os.PathLike[str]) -> Path | None:
    """Draw a panel for each order of super-resolution and inpainting."""
    if metric not in rows:
        return None
    rows = _shown(scored_methods(rows[rows["place"].notna()]), metric)
    if rows.empty:
        return None
    return _lines(
        rows.assign(panel=rows["order"]),
        metric,
        ticks,
        about,
        [order for order in ORDERS if (rows["order"] == order).any()],
        path,
    )


def _lines(
    rows: pd.DataFrame, metric: str, ticks: Sequence[str], about: str, panels: Sequence[str], path: str | os.PathLike[str]
) -> Path:
    """Draw a grid of panels: one row for each value of the column ``row``, one column for each of ``panel``.

    In panels of the other orders, super-resolution alone is dotted, to compare with.
    """
    means = with_intervals(rows, ["row", "panel", "place", *_GROUP], [metric])
    alone = means[means["panel"] == "SR"]
    panels = [panel for panel in panels if panel != "SR"] or list(panels)
    look = plotting.looks(plotting.series(*line[:2]) for line in plotting.sorted_lines(means))
    facets = list(dict.fromkeys(means["row"]))
    with mpl.rc_context(plotting.STYLE):
        width = 0.7 + max(2.6, 0.62 * len(ticks)) * len(panels)
        figure = Figure(figsize=(width, 0.9 + 2.5 * len(facets)))
        grid = figure.subplots(len(facets), len(panels), squeeze=False, sharey="row")
        for axes, facet in zip(grid, facets, strict=True):
            for axis, panel in zip(axes, panels, strict=True):
                here = means[(means["row"] == facet) & (means["panel"] == panel)]
                plotting.lines(axis, here, len(ticks), look)
                if panel not in alone["panel"].to_numpy():
                    plotting.lines(axis, alone[alone["row"] == facet], len(ticks), look, faint=True)
                counts = [plotting.count(here.loc[here["place"] == place, "n"]) for place in range(len(ticks))]
                axis.set_xticks(
                    range(len(ticks)), [f"{tick}\nn = {n}" for tick, n in zip(ticks, counts, strict=True)], fontsize=7.5
                )
                axis.set_xlim(-0.3, len(ticks) - 0.7)
                axis.set_title(f"{facet}: {panel}", loc="left")
            axes[0].set_ylabel(plotting.label(metric))
        grid[-1][0].set_xlabel(about, loc="left")  # once: beside each other they would overlap
        dotted = [] if panels == ["SR"] else [line[1] for line in plotting.sorted_lines(alone)]
        handles = [
            plotting.entry(plotting.series_title(one), hue, *(("", ":") if one[0] in dotted and not one[1] else (marker,)))
            for one, (hue, marker) in look.items()
        ]
        if (means["mask_given"] == "estimated").any():
            handles.append(plotting.entry("mask estimated", plotting.SOFT, line="--"))
        if means["n"].between(1, FEWEST - 1).any():
            handles.append(plotting.entry(f"fewer than {FEWEST} faces", plotting.SOFT, "o", hollow=True))
        figure.legend(handles=handles, loc="outside lower center", ncols=max(2, int(width / 1.7)))
        return plotting.save(figure, path, f"{plotting.label(metric)} by {about or 'stage'}")
