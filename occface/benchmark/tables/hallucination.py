"""Tables I, II, III and V: PSNR and SSIM of hallucinated faces."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from occface.benchmark.tables.frames import Frames, common_training, main_masks, table_rows
from occface.benchmark.tables.means import mean_table

__all__ = ["quality", "table_1", "table_i", "table_ii", "table_iii", "table_v"]

_QUALITY = ("psnr", "ssim")
_TASK = "Face hallucination, 16x16 to 128x128, occluded"
_FULL = "pro-uigan"
_PRIORS = ("pro-uigan:p-fp", "pro-uigan:p-gt")
_LOSSES = ("pro-uigan:l-minus", "pro-uigan:l-dagger", "pro-uigan:l-ddagger", "pro-uigan:l-star")


def quality(scores: pd.DataFrame) -> list[str]:
    """Return the columns of PSNR and SSIM, as far as they were asked for; a pipeline that never worked has no number there."""
    return [name for name in _QUALITY if name in scores.columns]


def table_1(
    scores: pd.DataFrame, contracts: Mapping[str, str] | None = None, trainings: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Build Table I: face hallucination, PSNR and SSIM, for each mask type, order, method and data set.

    The paper prints the two orders of SR and inpainting side by side, and the joint methods in both halves. Here each
    pipeline is one row, named in the order in which its methods are applied, so that every number stands once.

    Parameters
    ----------
    scores : pandas.DataFrame
        What `occface.benchmark.scores.load_scores` returns.
    contracts : mapping of str to str, optional
        How metrics were computed, by their columns, where their settings were not the default ones.
    trainings : pandas.DataFrame, optional
        How long methods were trained, see `Frames`.

    Returns
    -------
    pandas.DataFrame
        Rows (mask type, order, method); columns (data set, name) with the means of PSNR and SSIM, the bounds of their
        intervals, and n; see `occface.benchmark.tables.means.mean_table`. A pipeline that was given an estimated mask is a
        method of its own, and says so. References, variants that were trained for Tables II and III, and masks of the
        studies of mask size and recognition have no rows. The caption, with n, who was given a mask, which searches missed
        their aim, and the metric contracts, is ``frame.attrs["caption"]``.

    Raises
    ------
    ValueError
        If there is no row for it at all.
    """
    rows = table_rows(scores)
    if rows.empty or not quality(rows):
        raise ValueError("expected score rows to build Table I from, got none")
    return mean_table(rows, quality(rows), _TASK, contracts=contracts, trainings=trainings)


def table_i(frames: Frames) -> pd.DataFrame | None:
    """Build `table_1`, or None where there is no row for it."""
    rows = table_rows(frames.scores)
    return table_1(frames.scores, frames.contracts, frames.trainings) if len(rows) and quality(rows) else None


def table_ii(frames: Frames) -> pd.DataFrame | None:
    """Build Table II: Pro-UIGAN without facial priors (P-FP), with those of the true face (P+GT), and as it is.

    Rows (mask type, method), those mask types that a variant was scored on.
    """
    lead = (
        f"{_TASK}: facial geometry priors. P-FP has none; P+GT is given the landmarks of the true HR face, an upper bound that "
        "does not compete"
    )
    return _variants(frames, _PRIORS, lead)


def table_iii(frames: Frames) -> pd.DataFrame | None:
    """Build Table III: Pro-UIGAN trained by fewer losses. Rows (mask type, method), L being all losses."""
    lead = (
        f"{_TASK}: training losses. L-: pixels and heatmaps; L†: and features in blocks 2 and 3; L‡: and features in all "
        "blocks; L*: and style and local discriminators; L: all"
    )
    return _variants(frames, _LOSSES, lead, full="pro-uigan:l")


def _variants(frames: Frames, variants: tuple[str, ...], lead: str, full: str = _FULL) -> pd.DataFrame | None:
    scores = frames.scores
    if scores.empty or not scores["pipeline"].isin(variants).any() or not quality(scores):
        return None
    rows = main_masks(common_training(scores[scores["pipeline"].isin([*variants, _FULL])]))
    where = pd.MultiIndex.from_frame(rows[["dataset", "mask_type"]])
    rows = rows[where.isin(where[rows["pipeline"].isin(variants)])]
    rows, trainings = (frame.replace({"pipeline": {_FULL: full}}) for frame in (rows, frames.trainings))
    index = ("mask type", "method")
    return mean_table(rows, quality(rows), lead, index=index, contracts=frames.contracts, trainings=trainings)


def table_v(frames: Frames) -> pd.DataFrame | None:
    """Build Table V: methods that learnt from one data set, scored on each.

    Rows (mask type, method, trained on): every pipeline of which there are models that learnt from several data sets; where
    there is none, every one that was scored on a data set that it did not learn from.
    """
    scores = frames.scores
    if scores.empty or "trained_on" not in scores.columns or not quality(scores):
        return None
    trained = main_masks(scores[scores["trained_on"].ne("") & scores["order"].ne("reference")])
    by = ["pipeline", "mask_type"]
    elsewhere = (trained["trained_on"] != trained["dataset"]).groupby([trained[name] for name in by]).transform("any")
    if not elsewhere.any():
        return None
    several = elsewhere & (trained.groupby(by)["trained_on"].transform("nunique") > 1)
    rows = trained[several if several.any() else elsewhere]
    lead = f"{_TASK}: across data sets. Rows say what a method learnt from, columns what it is scored on"
    index = ("mask type", "method", "trained on")
    return mean_table(rows, quality(rows), lead, index=index, contracts=frames.contracts, trainings=frames.trainings)
