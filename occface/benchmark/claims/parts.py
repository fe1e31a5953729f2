"""What the claims are made of: the pipelines they speak of, the paper's numbers in words, and how they are tested."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import pandas as pd

from occface.benchmark.claims.evidence import EVERYWHERE, MEASURES, Evidence, Measure, NotTestableError, Where
from occface.benchmark.claims.findings import Family, Finding, pooled, strongest
from occface.benchmark.paper import PAPER_DATASETS, paper_scores, pipeline_title

__all__ = [
    "FULL",
    "LEADS",
    "ORDER_PAIRS",
    "PAPER_LEADS",
    "QUALITY",
    "RIVALS",
    "SEQUENTIAL",
    "SUPER_RESOLVERS",
    "Claim",
    "all_printed",
    "best_of_all",
    "decided",
    "gain_of_inpainting_first",
    "in_words",
    "inpainting_first",
    "lead",
    "paper_name",
    "paper_pairs",
    "paper_rows",
    "printed",
    "unscored",
]

FULL = "pro-uigan"
#: Our name and the paper's. Its text names FSRNet, its tables do not.
SUPER_RESOLVERS = {"bicubic": "Bicubic", "fhc": "FHC", "pulse": "PULSE", "re-cpgan": "Re-CPGAN", "fsrnet": "FSRNet"}
#: Inpainting first, and super-resolution first.
ORDER_PAIRS = [(f"gfc+{name}", f"{name}+gfc") for name in SUPER_RESOLVERS]
SEQUENTIAL = [name for pair in ORDER_PAIRS for name in pair]
#: What the paper compares Pro-UIGAN with.
RIVALS = [*SEQUENTIAL, "fcsr-gan"]
LEADS = [(FULL, rival) for rival in RIVALS]
QUALITY = ("psnr", "ssim")
#: As the paper's tables call these metrics.
_PRINTED = {
    "psnr": "PSNR",
    "ssim": "SSIM",
    "nrmse_outer_eyes": "NRMSE",
    "iou": "IoU",
    "expression_correct": "expression_accuracy_percent",
}
_ALL, _HERE = "best of all", "best of the {} that are here"


@dataclass(frozen=True)
class Claim:
    """One claim: its text, where the paper makes it, what the paper says, and what finds evidence for or against it."""

    text: str
    source: str
    paper: str
    find: Callable[[], Finding]

    def titled(self, finding: Finding) -> str:
        """Return the text, which says so where some of the paper's rivals are not there: it then claims no more than that."""
        compared = finding.compared
        if not compared.lacking:
            return self.text
        if _ALL in self.text:
            return self.text.replace(_ALL, _HERE.format(compared.here + 1))
        return f"{self.text} ({compared.made} of the paper's {compared.paper} comparisons)"


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


@functools.cache
def _paper_methods() -> frozenset[str]:
    """Return the methods of the paper's Table I, which are those of its Tables VI and VII and of its Fig. 5 too."""
    return frozenset(all_printed("I", "PSNR").columns.get_level_values("method"))


def paper_pairs(pairs: Sequence[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Return those of which the paper's tables have every pipeline: a claim about all must be tested against these."""
    return [names for names in pairs if {paper_name(name) for name in names} <= _paper_methods()]


#: The pairs of `LEADS` that the paper's tables have.
PAPER_LEADS = paper_pairs(LEADS)


def in_words(gaps: pd.Series, measure: Measure) -> str:
    """Put the paper's differences into words: each where they are few, else their mean and range."""
    if len(gaps) > 3:
        within = f"{measure.gap(gaps.min())} to {measure.gap(gaps.max())}"
        return f"{measure.gap(gaps.mean())} on average over {len(gaps)} cells, {(gaps > 0).sum()} of them above 0 ({within})"
    ordered = sorted(gaps.items(), key=lambda item: PAPER_DATASETS.index(item[0][0]))
    return ", ".join(f"{dataset} {measure.gap(gap)}" for (dataset, _), gap in ordered)


@functools.cache
def lead(table: str, metric: str, dataset: str | None = None, mask_type: str | None = None) -> str:
    """Say how far Pro-UIGAN leads its best rival in the paper, in one cell of a table or in all."""
    cells = all_printed(table, _PRINTED[metric])
    ours = cells[("joint", "Pro-UIGAN")]
    rivals = cells.drop(columns=[("joint", "Pro-UIGAN")])
    gaps = rivals.min(axis=1) - ours if MEASURES[metric].lower_is_better else ours - rivals.max(axis=1)
    if (dataset, mask_type) in gaps.index:
        gaps = gaps.loc[[(dataset, mask_type)]]
    return f"{_ALL}; ahead of the best rival: {in_words(gaps, MEASURES[metric])}"


@functools.cache
def gain_of_inpainting_first(table: str, metric: str, method: str | None = None) -> pd.Series:
    """Return the paper's gain of PA+SR over SR+PA in each cell."""
    cells = all_printed(table, _PRINTED[metric])
    gain = (cells["PA+SR"] - cells["SR+PA"]) * (-1 if MEASURES[metric].lower_is_better else 1)
    return (gain if method is None else gain[[method]]).stack()


def decided(
    test: Callable[[Evidence, Family], Finding],
    evidence: Evidence,
    metric: str,
    pairs: Sequence[tuple[str, str]],
    where: Where = EVERYWHERE,
) -> Finding:
    """Test whether the first pipeline of each pair is better than the second.

    Parameters
    ----------
    test : callable
        `occface.benchmark.claims.findings.pooled`, all differences together, or `strongest`, which asks it of every pair.
    evidence : Evidence
        The rows.
    metric : str
        One of `MEASURES`.
    pairs : sequence of (str, str)
        Pipelines.
    where : Where
        Mask types and data sets.
    """
    wide, measure = evidence.table(metric, where), MEASURES[metric]
    paper = paper_pairs(pairs)
    names = dict.fromkeys(name for pair in paper or pairs for name in pair)
    absent = [name for name in names if name not in wide or wide[name].isna().all()]
    of = evidence.titles(absent, where) if absent else " and ".join(map(pipeline_title, names))
    needs = f"{measure.title} of {of}" if absent else f"faces that have {measure.title} of {of}"
    return test(evidence, Family(measure, evidence.pairs(metric, pairs, where), needs, paper, where))


def best_of_all(
    evidence: Evidence, metric: str, source: str, paper: str, added: str = "", where: Where = EVERYWHERE, text: str = ""
) -> Claim:
    """Return the claim that Pro-UIGAN is ahead of every rival."""
    find = partial(decided, strongest, evidence, metric, LEADS, where)
    return Claim(f"{text or f'Pro-UIGAN {_ALL}{added}'}: {MEASURES[metric].title}", source, paper, find)


def inpainting_first(evidence: Evidence, metric: str, source: str, table: str, text: str, said: str = "") -> Claim:
    """Return the claim that PA+SR is better than SR+PA, of all super-resolvers together."""
    paper = f"{said}{in_words(gain_of_inpainting_first(table, metric), MEASURES[metric])}"
    find = partial(decided, pooled, evidence, metric, ORDER_PAIRS)
    return Claim(f"{text}: {MEASURES[metric].title}", source, paper, find)


def unscored(text: str, source: str, paper: str, what: str) -> Claim:
    """Return a claim that no scores can test, for they hold no `what`."""

    def find() -> Finding:
        raise NotTestableError(f"the scores hold no {what}")

    return Claim(text, source, paper, find)
