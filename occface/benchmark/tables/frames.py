"""What tables are built from, and which of its rows belong into which table."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import pandas as pd

from occface.benchmark.paper import pipeline_title
from occface.occlusion.masks import mask_family

__all__ = [
    "POSE_STEP",
    "RETRAINED",
    "Frames",
    "TableSpec",
    "is_region",
    "main_masks",
    "own_training",
    "pose_angle",
    "round_pose",
    "scored_methods",
    "square_size",
    "table_rows",
    "with_titles",
]

#: What Tables II and III are about, and no other table.
RETRAINED = ("p-fp", "p-gt", "l-minus", "l-dagger", "l-ddagger", "l-star")
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
        median_ms, p90_ms, runs, peak_memory_mb, device, precision.
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
    """Return the rows of methods as they are: no retrained variants, no training on other data (see `own_training`).

    References are left out too, unless they are asked for.
    """
    if scores.empty:
        return scores
    variants = scores["pipeline"].map(_variant).isin(RETRAINED)
    return own_training(scores[~variants if references else ~variants & (scores["order"] != "reference")])


def _variant(pipeline: str) -> str:
    return pipeline.partition(":")[2]


def own_training(scores: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of methods that learnt from the data set itself, or from nothing.

    A pipeline that has no such row on a data set keeps those that it has.
    """
    if scores.empty or "trained_on" not in scores.columns:
        return scores
    own = scores["trained_on"].isin([""]) | (scores["trained_on"] == scores["dataset"])
    return scores[own | ~own.groupby([scores["dataset"], scores["pipeline"]]).transform("any")]


def square_size(mask_type: str) -> int | None:
    """Return the side in pixels of a square mask of fixed size, None for other masks.

    Examples
    --------
    >>> square_size("square_32"), square_size("square-32@2"), square_size("square")
    (32, 32, None)
    """
    found = _SQUARE.fullmatch(mask_type.partition("@")[0])
    return int(found[1]) if found else None


def pose_angle(pose: str) -> float | None:
    """Return the yaw in degrees that a pose says, None for a name.

    Examples
    --------
    >>> pose_angle("-30"), pose_angle("+1.8"), pose_angle("45 degrees"), pose_angle("45 left")
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
    angle = pose_angle(pose)
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
