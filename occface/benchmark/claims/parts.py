"""What the claims are made of: the pipelines they speak of, the paper's numbers in words, and the two ways to test them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import pandas as pd

from occface.benchmark.claims.evidence import MEASURES, Evidence, Finding, Measure, NotTestableError
from occface.benchmark.paper import PAPER_DATASETS, paper_scores, pipeline_title

__all__ = [
    "FULL",
    "LEADS",
    "ORDER_PAIRS",
    "QUALITY",
    "RIVALS",
    "SEQUENTIAL",
    "SUPER_RESOLVERS",
    "Claim",
    "all_printed",
    "gain_of_inpainting_first",
    "in_words",
    "lead",
    "paper_name",
    "paper_rows",
    "pooled",
    "printed",
    "strongest",
    "unscored",
]

FULL = "pro-uigan"
#: Our name and the paper's. Its text names FSRNet, its Table I does not.
SUPER_RESOLVERS = {"bicubic": "Bicubic", "fhc": "FHC", "pulse": "PULSE", "re-cpgan": "Re-CPGAN", "fsrnet": "FSRNet"}
#: Inpainting first, and super-resolution first.
ORDER_PAIRS = [(f"gfc+{name}", f"{name}+gfc") for name in SUPER_RESOLVERS]
SEQUENTIAL = [name for pair in ORDER_PAIRS for name in pair]
#: What the paper compares Pro-UIGAN with.
RIVALS = [*SEQUENTIAL, "fcsr-gan"]
LEADS = [(FULL, rival) for rival in RIVALS]
QUALITY = ("psnr", "ssim")
#: As the paper's tables call these metrics.
_PRINTED = {"psnr": "PSNR", "ssim": "SSIM", "nrmse_outer_eyes": "NRMSE", "iou": "IoU"}


@dataclass(frozen=True)
class Claim:
    """One claim: its text, where the paper makes it, what the paper says, and what finds evidence for or against it."""

    text: str
    source: str
    paper: str
    find: Callable[[], Finding]


def paper_name(pipeline: str) -> str:
    """Return what the paper calls the super-resolver or joint method of a rival.

    Examples
    --------
    >>> paper_name("gfc+fhc"), paper_name("fcsr-gan")
    ('FHC', 'FCSR-GAN')
    """
    name = next((part for part in pipeline.split("+") if part in SUPER_RESOLVERS), pipeline)
    return SUPER_RESOLVERS.get(name, pipeline_title(name))


# What is kept below is read by all claims, and changed by none.
@functools.cache
def paper_rows(table: str, metric: str) -> pd.DataFrame:
    """Return what the paper prints in one table of one metric, one number a row."""
    rows = paper_scores()
    return rows[(rows["table"] == table) & (rows["metric"] == metric)]


@functools.cache
def printed(table: str, metric: str, method: str) -> pd.Series:
    """Return what the paper prints of a joint method, by (data set, mask type)."""
    rows = paper_rows(table, metric)
    rows = rows[(rows["method"] == method) & (rows["order"] == "joint")]
    return rows.set_index(["dataset", "mask_type"])["value"]


@functools.cache
def all_printed(table: str, metric: str) -> pd.DataFrame:
    """Return a table of the paper: rows (data set, mask type), columns (order, method), references left out."""
    rows = paper_rows(table, metric)
    rows = rows[rows["order"] != "reference"]
    return rows.pivot(index=["dataset", "mask_type"], columns=["order", "method"], values="value")


def in_words(gaps: pd.Series, measure: Measure) -> str:
    """Put the paper's differences into words: each where they are few, else their mean and range."""
    if len(gaps) > 3:
        within = f"{measure.gap(gaps.min())} to {measure.gap(gaps.max())}"
        return f"{measure.gap(gaps.mean())} on average over {len(gaps)} cells, {(gaps > 0).sum()} of them above 0 ({within})"
    ordered = sorted(gaps.items(), key=lambda item: PAPER_DATASETS.index(item[0][0]))
    return ", ".join(f"{dataset} {measure.gap(gap)}" for (dataset, _), gap in ordered)


def lead(table: str, metric: str, dataset: str | None = None, mask_type: str | None = None) -> str:
    """Say how far Pro-UIGAN leads its best rival in the paper, in one cell of a table or in all."""
    cells = all_printed(table, _PRINTED[metric])
    ours = cells[("joint", "Pro-UIGAN")]
    rivals = cells.drop(columns=[("joint", "Pro-UIGAN")])
    gaps = rivals.min(axis=1) - ours if MEASURES[metric].lower_is_better else ours - rivals.max(axis=1)
    if (dataset, mask_type) in gaps.index:
        gaps = gaps.loc[[(dataset, mask_type)]]
    return f"best of all; ahead of the best rival: {in_words(gaps, MEASURES[metric])}"


def gain_of_inpainting_first(table: str, metric: str, lower_is_better: bool = False, method: str | None = None) -> pd.Series:
    """Return the paper's gain of PA+SR over SR+PA in each cell."""
    cells = all_printed(table, metric)
    gain = (cells["PA+SR"] - cells["SR+PA"]) * (-1 if lower_is_better else 1)
    return (gain if method is None else gain[[method]]).stack()


def pooled(
    evidence: Evidence,
    metric: str,
    pairs: Sequence[tuple[str, str]],
    masks: Sequence[str] | None = None,
    datasets: Sequence[str] | None = None,
) -> Finding:
    """Test whether the first pipelines are better than the second ones, all differences together."""
    return _tested(evidence.pooled, evidence, metric, pairs, masks, datasets)


def strongest(
    evidence: Evidence,
    metric: str,
    pairs: Sequence[tuple[str, str]],
    masks: Sequence[str] | None = None,
    datasets: Sequence[str] | None = None,
) -> Finding:
    """Test whether the first pipeline of every pair is better than the second."""
    return _tested(evidence.strongest, evidence, metric, pairs, masks, datasets)


def _tested(
    test: Callable[..., Finding],
    evidence: Evidence,
    metric: str,
    pairs: Sequence[tuple[str, str]],
    masks: Sequence[str] | None,
    datasets: Sequence[str] | None,
) -> Finding:
    wide = evidence.table(metric, masks, datasets)
    absent = [name for name in _names(pairs) if name not in wide or wide[name].isna().all()]
    found = evidence.pairs(metric, pairs, masks, datasets)
    return test(found, MEASURES[metric], _needs(metric, absent, pairs), _note(absent))


def _names(pairs: Iterable[tuple[str, str]]) -> list[str]:
    return list(dict.fromkeys(name for pair in pairs for name in pair))


def _needs(metric: str, absent: Sequence[str], pairs: Sequence[tuple[str, str]]) -> str:
    title = MEASURES[metric].title
    if absent:
        return f"{title} of {', '.join(map(pipeline_title, absent))}"
    return f"faces that have {title} of {' and '.join(map(pipeline_title, _names(pairs)))}"


def _note(absent: Sequence[str]) -> str:
    return f"no rows of {', '.join(map(pipeline_title, absent))}" if absent else ""


def unscored(text: str, source: str, paper: str, what: str) -> Claim:
    """Return a claim that no scores can test, for they hold no `what`."""

    def find() -> Finding:
        raise NotTestableError(f"the scores hold no {what}")

    return Claim(text, source, paper, find)
