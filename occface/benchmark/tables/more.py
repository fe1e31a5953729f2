"""What the paper has no table of: perception, identity, regions, stages; and Table I by pose, mask size and occluded share."""

from __future__ import annotations

import re

import pandas as pd
from pandas.api.types import is_numeric_dtype

from occface.benchmark.tables.frames import (
    POSE_STEP,
    Frames,
    pose_order,
    round_pose,
    scored_methods,
    square_size,
    table_rows,
    tenths,
)
from occface.benchmark.tables.hallucination import quality
from occface.benchmark.tables.means import mean_table, present
from occface.benchmark.tables.quantities import is_metric

__all__ = ["by_hole_area", "by_mask_size", "by_pose", "more", "stages"]

_MORE = ("stlpips", "psnr_y", "psnr_masked", "psnr_visible", "identity_cosine", "identified")
#: What other tables show; metrics that are in none, those of plug-ins too, stand behind `_MORE`.
_ELSEWHERE = re.compile(r"psnr|ssim|nrmse_.*|iou(_.*)?|expression_correct|psnr_stage_.*")
_STAGES = ("psnr_stage_1", "psnr_stage_2", "psnr_stage_3")
#: Slices make the columns, so data sets are rows.
_ROWS = ("dataset", "mask type", "order", "method")


def more(frames: Frames) -> pd.DataFrame | None:
    """Build a table of ST-LPIPS, region PSNR and identity, of every metric that no other table shows, and of whole sets.

    The numbers of whole sets, such as Frechet distances, are those of ``frames.sets``.
    """
    rows, sets = table_rows(frames.scores), table_rows(frames.sets)
    others = [name for name in rows.columns if name not in _MORE and not _ELSEWHERE.fullmatch(name) and is_metric(name)]
    metrics = present(rows, [*_MORE, *(name for name in others if is_numeric_dtype(rows[name]))])
    if rows.empty or not (metrics or len(sets)):
        return None
    lead = "Perception, identity, and masked and visible regions apart"
    return mean_table(rows, metrics, lead, sets=sets, contracts=frames.contracts)


def stages(frames: Frames) -> pd.DataFrame | None:
    """Build a table of the PSNR of each stage of methods that have stages."""
    rows = table_rows(frames.scores)
    metrics = present(rows, _STAGES)
    lead = "PSNR of the result of each stage, enlarged to 128x128"
    return mean_table(rows, metrics, lead, contracts=frames.contracts) if metrics else None


def by_pose(frames: Frames) -> pd.DataFrame | None:
    """Build Table I by pose, yaws to the nearest 15 degrees: rows (dataset, mask type, order, method), columns (pose, name)."""
    rows = table_rows(frames.scores)
    rows = rows if rows.empty else rows[rows["pose"] != ""]
    if rows.empty or not quality(rows):
        return None
    rows = rows.assign(pose=rows["pose"].map(round_pose))
    rows = rows.sort_values("pose", key=lambda poses: poses.map(pose_order), kind="stable")
    rows = rows.assign(pose="pose " + rows["pose"])
    lead = f"Face hallucination by pose, the yaw in degrees rounded to the nearest {POSE_STEP}"
    return mean_table(rows, quality(rows), lead, index=_ROWS, across="pose", contracts=frames.contracts)


def by_mask_size(frames: Frames) -> pd.DataFrame | None:
    """Build Table I by the size of square masks, m1 and so on: rows (dataset, order, method), columns (side, name)."""
    rows = scored_methods(frames.scores)
    if rows.empty or not quality(rows):
        return None
    sides = rows["mask_type"].map(square_size)
    if sides.nunique() < 2:
        return None
    rows = rows.assign(side=sides).dropna(subset="side").sort_values("side", kind="stable")
    rows["side"] = rows["side"].map("{:.0f} px".format)
    lead = "Face hallucination by the side of the square mask in pixels of the 128x128 face, m1 being the smallest"
    return mean_table(
        rows, quality(rows), lead, index=("dataset", "order", "method"), across="side", contracts=frames.contracts
    )


def by_hole_area(frames: Frames) -> pd.DataFrame | None:
    """Build Table I by the occluded share of the face, in tenths: rows (dataset, mask type, order, method)."""
    rows = table_rows(frames.scores)
    if rows.empty or not quality(rows):
        return None
    rows = rows.assign(tenth=tenths(rows["hole_area"])).sort_values("tenth", kind="stable")
    rows["share"] = [f"{tenth / 10} to {(tenth + 1) / 10}" for tenth in rows["tenth"]]
    lead = "Face hallucination by the occluded share of the HR face, the upper end of a range not in it"
    return mean_table(rows, quality(rows), lead, index=_ROWS, across="share", contracts=frames.contracts)
