"""What tables are built from, and which of its rows belong into which table."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from occface.benchmark.paper import pipeline_title
from occface.occlusion.masks import mask_family

__all__ = [
    "POSE_STEP",
    "Frames",
    "TableSpec",
    "common_training",
    "is_region",
    "is_retrained",
    "main_masks",
    "one_training",
    "pose_order",
    "round_pose",
    "scored_methods",
    "square_size",
    "table_rows",
    "tenths",
    "with_titles",
]

#: What Tables II and III are about, and no other table.
_RETRAINED = ("p-fp", "p-gt", "l-minus", "l-dagger", "l-ddagger", "l-star")
#: Poses are shown in steps of so many degrees.
POSE_STEP = 15
_SQUARE = re.compile(r"square[-_](\d+)")
_DEGREES = re.compile(r"([+-]?\d+(?:\.\d+)?)\s*(?:°|deg(?:rees?)?)?")


@dataclass(frozen=True)
class Frames:
    """All that tables are built from. Texts that are missing are empty, as `occface.benchmark.scores.load_scores` gives them.

    Attributes
    ----------
    scores : pandas.DataFrame
        One row per image, pipeline, data set, mask type and training set; see `occface.benchmark.scores`. The columns
        ``trained_on`` and ``missed``, and all metrics but PSNR and SSIM, may be absent.
    sets : pandas.DataFrame
        One row per number that belongs to a set of images, such as a Frechet distance: columns dataset, mask_type, order,
        pipeline, trained_on, mask_given, metric, value, n.
    efficiency : pandas.DataFrame
        One row per pipeline and what is counted of it: columns pipeline, order, counted, parameters, size_kb, macs,
        median_ms, p90_ms, runs, peak_memory_mb, device, precision. Where they are known, ``preset``, the preset that the
        row's networks were built from, empty where it has none, and ``noisy``, 1 where other work disturbed the times.
    contracts : mapping of str to str
        How metrics were computed, by their columns, where their settings were not the default ones: captions say it.
    trainings : pandas.DataFrame
        One row per method with weights in a pipeline: columns pipeline and trained_on as in the scores, then method, minutes,
        images (those it has seen: batches times their size), device, and as_paper, whether by the paper's whole schedule.
    """

    scores: pd.DataFrame
    sets: pd.DataFrame = field(default_factory=pd.DataFrame)
    efficiency: pd.DataFrame = field(default_factory=pd.DataFrame)
    contracts: Mapping[str, str] = field(default_factory=dict)
    trainings: pd.DataFrame = field(default_factory=pd.DataFrame)


@dataclass(frozen=True)
class TableSpec:
    """A table that can be built.

    Attributes
    ----------
    title : str
        Its heading.
    build : callable
        Takes `Frames` and returns the table, with its caption in ``attrs["caption"]``; None where they hold no row for it.
    reason : str
        Why there is no table then.
    paper : str
        The number of the paper's table that it is, for `occface.benchmark.paper.compare`; empty where it is none.
    """

    title: str
    build: Callable[[Frames], pd.DataFrame | None]
    reason: str
    paper: str = ""


def table_rows(scores: pd.DataFrame, references: bool = False) -> pd.DataFrame:
    """Return the rows of the tables about methods: `scored_methods` on their `main_masks`."""
    return main_masks(scored_methods(scores, references))


def scored_methods(scores: pd.DataFrame, references: bool = False) -> pd.DataFrame:
    """Return the rows of methods as they are: no retrained variants, and one training set (see `common_training`).

    References are left out too, unless they are asked for.
    """
    if scores.empty:
        return scores
    variants = scores["pipeline"].map(is_retrained)
    return common_training(scores[~variants if references else ~variants & (scores["order"] != "reference")])


def is_retrained(pipeline: str) -> bool:
    """Tell whether a pipeline is one of the variants that Tables II and III are about.

    Examples
    --------
    >>> is_retrained("pro-uigan:p-fp"), is_retrained("pro-uigan:released"), is_retrained("pro-uigan")
    (True, False, False)
    """
    return pipeline.partition(":")[2] in _RETRAINED


def common_training(scores: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of methods that learnt from the same data set, or from nothing, so that like is held against like.

    On each data set that is the one from which most pipelines learnt, the data set itself where as many did; a pipeline that
    did not learn from it keeps all its rows. Where as many learnt from one other data set as from another, nothing is left
    out, and rows say what they learnt from.
    """
    if scores.empty or "trained_on" not in scores.columns:
        return scores
    ranked = _trainings(scores)
    as_many = ranked["learnt"] == ranked.groupby("dataset")["learnt"].transform("first")
    ties = ranked[as_many].groupby("dataset")["own"].agg(["size", "any"]).query("size > 1 and not any").index
    return scores[_of_common(scores, ranked) | scores["dataset"].isin(ties)]


def one_training(scores: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of one model of each pipeline on each data set, for what tells no models of a method apart.

    That is its `common_training`; a pipeline that did not learn from that and has several models gives the one scored most.
    """
    if scores.empty or "trained_on" not in scores.columns:
        return scores
    scores = scores[_of_common(scores, _trainings(scores))]
    by = [scores["dataset"], scores["pipeline"]]
    rows = scores.groupby([*by, scores["trained_on"]])["trained_on"].transform("size")
    most = scores["trained_on"].where(rows == rows.groupby(by).transform("max"))
    return scores[scores["trained_on"].isin([""]) | (scores["trained_on"] == most.groupby(by).transform("first"))]


def _trainings(scores: pd.DataFrame) -> pd.DataFrame:
    """Return for each data set what its pipelines learnt from, most of them first: dataset, trained_on, learnt, own."""
    counts = scores[~scores["trained_on"].isin([""])].groupby(["dataset", "trained_on"])["pipeline"].nunique()
    ranked = counts.rename("learnt").reset_index()
    ranked["own"] = ranked["trained_on"] == ranked["dataset"]
    order = ["dataset", "learnt", "own", "trained_on"]
    return ranked.sort_values(order, ascending=[True, False, False, True], ignore_index=True)


def _of_common(scores: pd.DataFrame, ranked: pd.DataFrame) -> pd.Series:
    """Tell the rows that learnt from what most pipelines of their data set did, and all of pipelines without such rows."""
    chosen = ranked.drop_duplicates("dataset").set_index("dataset")["trained_on"]
    common = scores["trained_on"].isin([""]) | (scores["trained_on"] == scores["dataset"].map(chosen))
    return common | ~common.groupby([scores["dataset"], scores["pipeline"]]).transform("any")


def square_size(mask_type: str) -> int | None:
    """Return the side in pixels of a square mask of fixed size, None for other masks.

    Examples
    --------
    >>> square_size("square_32"), square_size("square-32@2"), square_size("square")
    (32, 32, None)
    """
    found = _SQUARE.fullmatch(mask_type.partition("@")[0])
    return int(found[1]) if found else None


def tenths(areas: pd.Series) -> pd.Series:
    """Return the tenth of the face, 0 to 9, that each occluded share falls into: its lower end is in it, and 1 in the last.

    Examples
    --------
    >>> tenths(pd.Series([0.05, 0.1, 0.7 - 0.4, 1.0])).tolist()
    [0, 1, 3, 9]
    """
    # Rounded first: 0.3 may have come as 0.29999999.
    return np.floor((areas * 10).round(6)).clip(0, 9).astype(int)


def pose_order(pose: str) -> tuple[float, str]:
    """Return the sort key of a pose: yaws by their angle, names behind them.

    Examples
    --------
    >>> sorted(["frontal", "+15", "0", "-90"], key=pose_order)
    ['-90', '0', '+15', 'frontal']
    """
    angle = _angle(pose)
    return (math.inf if angle is None else angle, pose)


def _angle(pose: str) -> float | None:
    """Return the yaw in degrees that a pose says, None for a name.

    Examples
    --------
    >>> _angle("-30"), _angle("+1.8"), _angle("45 degrees"), _angle("45 left")
    (-30.0, 1.8, 45.0, None)
    """
    found = _DEGREES.fullmatch(pose.strip().replace("\u2212", "-"))
    return float(found[1]) if found else None


def round_pose(pose: str) -> str:
    """Return a pose for tables and figures: yaws rounded to the nearest `POSE_STEP` degrees, other names as they are.

    Examples
    --------
    >>> [round_pose(pose) for pose in ("+1.8", "-30", "7.5", "-7.5", "22.4", "frontal")]
    ['0', '-30', '+15', '-15', '+15', 'frontal']
    """
    angle = _angle(pose)
    if angle is None:
        return pose
    steps = math.floor(abs(angle) / POSE_STEP + 0.5)  # halves go outwards, to the left as to the right
    return f"{'-' if angle < 0 else '+'}{steps * POSE_STEP}" if steps else "0"


def is_region(mask_type: str) -> bool:
    """Tell whether a mask hides a part of the face."""
    return mask_type == "half" or mask_family(mask_type) == "region"


def main_masks(scores: pd.DataFrame) -> pd.DataFrame:
    """Return a frame without the rows of studies of masks: of several sizes of squares, of several regions of the face.

    These have tables of their own. A single size or region is no study, and stays, as do those of a frame that holds nothing
    else.
    """
    if scores.empty:
        return scores
    masks = scores["mask_type"].unique()
    studies = [[mask for mask in masks if square_size(mask) is not None], [mask for mask in masks if is_region(mask)]]
    left_out = {mask for study in studies if len(study) > 1 for mask in study}
    kept = ~scores["mask_type"].isin(left_out)
    return scores[kept] if kept.any() else scores


def with_titles(scores: pd.DataFrame, tell_apart: bool = True) -> pd.DataFrame:
    """Return a frame with the columns that rows of tables are named by: ``mask type``, ``method``, ``trained on``.

    A method of which a data set has several models, which learnt from several others, is told apart by what it learnt from,
    unless something else tells them apart.
    """
    titles = [pipeline_title(*pair) for pair in zip(scores["pipeline"], scores["mask_given"], strict=True)]
    named = scores.assign(method=titles, **{"mask type": scores["mask_type"].replace({"": "none"})})
    if "trained_on" not in scores.columns:
        return named
    named["trained on"] = named["trained_on"]
    elsewhere = ~named["trained_on"].isin([""]) & (named["trained_on"] != named["dataset"])
    several = elsewhere & (named.groupby(["dataset", "pipeline"])["trained_on"].transform("nunique") > 1)
    if tell_apart and several.any():
        named.loc[several, "method"] += " (trained on " + named.loc[several, "trained_on"] + ")"
    return named
