"""Means with their intervals, and paired tests between pipelines, out of score frames.

What is resampled, and whose signs are flipped, is a person where the data set knows one, else a photograph: several pictures
of one person, or one picture under several masks, are not independent, and counting them as if they were makes intervals too
narrow and p-values too small.

Equal inputs give equal bytes: `occface.benchmark.resampling` says how.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from occface.benchmark.resampling import MeanInterval, flip_signs, intervals, means, sample_of, smallest_p
from occface.errors import UsageError
from occface.registry import did_you_mean

__all__ = [
    "MeanInterval",
    "PairedTest",
    "compare_pipelines",
    "difference_test",
    "differences",
    "holm",
    "independent_units",
    "mean_interval",
    "paired_test",
    "smallest_p",
    "with_intervals",
]

_TESTS = ("permutation", "wilcoxon")


class PairedTest(NamedTuple):
    """A mean difference, the ends of its interval, its two-sided p-value, the number of pairs, and of independent units."""

    effect: float
    low: float
    high: float
    p: float
    n: int
    units: int


def mean_interval(
    values: Any, seed: int = 0, level: float = 0.95, resamples: int = 10_000, *, groups: Any = None
) -> MeanInterval:
    """Return a mean with its percentile bootstrap interval.

    The percentile interval, and not BCa: for means of a hundred faces the two differ in the third digit of their width, and
    BCa is undefined where all values are equal or one is infinite, both of which happen to scores.

    Parameters
    ----------
    values : array-like of float, shape (n,)
        NaN are dropped. The PSNR of a perfect image is infinite: then so is the mean, and an end of the interval is infinite
        where a resample at that place holds such an image.
    seed : int
        Equal values and seeds give equal intervals.
    level : float
        Coverage, in (0, 1).
    resamples : int
        At least 1. The ends are two of the resampled means, not interpolated.
    groups : array-like, shape (n,), optional
        Who each value belongs to; empty or missing names are units of their own. People are resampled, not images: a
        resample takes all images of the people that it drew. Without it each value stands for itself.

    Returns
    -------
    MeanInterval
        ``(mean, low, high, n)``, n without NaN. With a single unit low and high are NaN, for one person says nothing of how
        people differ; with no value the mean is NaN too.

    Raises
    ------
    UsageError
        If lengths, level or resamples do not fit.

    References
    ----------
    Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapters 13 and 14; Davison and Hinkley, Bootstrap Methods
    and their Application, 1997, section 3.8 (resampling of whole groups).

    Examples
    --------
    >>> mean_interval([20.0, 21.0, 22.0, 23.0])
    MeanInterval(mean=21.5, low=20.5, high=22.5, n=4)
    >>> mean_interval([float("nan"), 20.0])
    MeanInterval(mean=20.0, low=nan, high=nan, n=1)
    """
    return intervals([sample_of(values, groups)], seed, level, resamples)[0]


def independent_units(scores: pd.DataFrame) -> pd.Series:
    """Return who each score row belongs to: the person, where the data set knows one, else the photograph.

    Parameters
    ----------
    scores : pandas.DataFrame
        Score rows, with the columns dataset, identity and image.

    Returns
    -------
    pandas.Series
        Texts, by the index of `scores`. People of different data sets are different people.

    Examples
    --------
    >>> rows = pd.DataFrame({"dataset": ["demo"] * 2, "identity": ["", "7"], "image": ["a.png", "b.png"]})
    >>> independent_units(rows).tolist()
    ['demo/image/a.png', 'demo/person/7']
    """
    _check_columns(scores, ["dataset", "identity", "image"])
    identity = _texts(scores["identity"])
    who = ("person/" + identity).where(identity != "", "image/" + scores["image"].astype(str))
    return scores["dataset"].astype(str) + "/" + who


def with_intervals(scores: pd.DataFrame, by: Sequence[str], metrics: Sequence[str], **options: Any) -> pd.DataFrame:
    """Return mean, interval and n of every metric in every group of score rows.

    Parameters
    ----------
    scores : pandas.DataFrame
        Score rows; failed images are NaN in all metrics, and in no mean.
    by : sequence of str
        Columns that make the groups, at least one: ``["dataset", "mask_type", "pipeline"]``.
    metrics : sequence of str
        Columns to average.
    **options
        ``seed``, ``level``, ``resamples`` of `mean_interval`, whose numbers these are, with `independent_units` for groups.

    Returns
    -------
    pandas.DataFrame
        One row per group and metric, groups in the order in which they first appear, metrics in the order given. Columns:
        those of `by`, then ``metric, mean, low, high, n``. A metric that has no value in a group has a row with n = 0.

    Raises
    ------
    UsageError
        If a column is missing, or level or resamples do not fit.
    """
    if not by:
        raise UsageError("expected at least one column to group scores by, got none; name some, such as dataset and pipeline")
    _check_columns(scores, [*by, *metrics])
    scores = scores.reset_index(drop=True)
    units = independent_units(scores)
    keys: list[tuple[Any, ...]] = []
    samples = []
    for key, group in scores.groupby(list(by), sort=False, dropna=False):
        who = units[group.index]
        for metric in metrics:
            keys.append((*key, metric))
            samples.append(sample_of(group[metric], who))
    rows = [(*key, *found) for key, found in zip(keys, intervals(samples, **options), strict=True)]
    return pd.DataFrame(rows, columns=[*by, "metric", *MeanInterval._fields])


def differences(a: Any, b: Any) -> np.ndarray:
    """Return a - b, float64, where two equal infinities differ by nothing.

    Examples
    --------
    >>> differences([21.0, float("inf")], [20.0, float("inf")]).tolist()
    [1.0, 0.0]
    """
    first, second = np.asarray(a, float), np.asarray(b, float)
    if first.shape != second.shape:
        raise UsageError(
            f"expected two rows of values on the same images, got shapes {first.shape} and {second.shape}; join them by image"
        )
    with np.errstate(invalid="ignore"):
        return np.where(first == second, 0.0, first - second)


def paired_test(a: Any, b: Any, **options: Any) -> PairedTest:
    """Compare two rows of values on the same images, a minus b: `difference_test` of their `differences`.

    Parameters
    ----------
    a, b : array-like of float, shape (n,)
        Joined beforehand, so that the same place means the same data set, mask type and image. Pairs with a NaN are dropped.
    **options
        What `difference_test` takes: ``groups``, ``method``, ``seed``, ``level``, ``resamples``.

    Returns
    -------
    PairedTest
        ``(effect, low, high, p, n, units)``.

    Examples
    --------
    >>> paired_test([3.0, 4.0, 6.0], [1.0, 2.0, 3.0]).p
    0.25
    """
    return difference_test(differences(a, b), **options)


def difference_test(
    values: Any,
    groups: Any = None,
    *,
    method: str = "permutation",
    seed: int = 0,
    level: float | None = 0.95,
    resamples: int = 10_000,
) -> PairedTest:
    """Test whether paired differences are centred on zero, two-sided.

    Parameters
    ----------
    values : array-like of float, shape (n,)
        Differences; NaN are dropped. Beside finite ones an infinite difference counts in the test as much as the largest of
        them; the effect is infinite.
    groups : array-like, shape (n,), optional
        Who each difference belongs to, as for `mean_interval`.
    method : str
        ``"permutation"``: were there no difference, all differences of a unit could as well have the other sign. The
        statistic is the absolute sum over units; all sign flips are tried where at most 13 units differ, else `resamples`
        random ones, with p = (k + 1) / (resamples + 1) where k of them reach what was seen. ``"wilcoxon"``: SciPy's signed
        rank test of the units' mean differences, zeros left out.
    seed, level, resamples
        As for `mean_interval`, which makes the interval. With the level None there is none, and the test takes half the time.

    Returns
    -------
    PairedTest
        The mean difference with its interval, p, n pairs, and how many independent units they come from. p is 1 where nothing
        differs, NaN where there is no pair.

    Raises
    ------
    UsageError
        If the method is unknown, or lengths, level or resamples do not fit.

    References
    ----------
    Phipson and Smyth, Permutation P-values Should Never Be Zero, 2010.

    Examples
    --------
    >>> difference_test([1.0, 2.0, 3.0, 4.0, 5.0])
    PairedTest(effect=3.0, low=1.8, high=4.2, p=0.0625, n=5, units=5)
    """
    if method not in _TESTS:
        raise UsageError(f"unknown paired test '{method}': {did_you_mean(method, _TESTS)}")
    sample = sample_of(values, groups)
    found = means([sample])[0] if level is None else intervals([sample], seed, level, resamples)[0]
    p = math.nan
    if found.n:
        finite = np.abs(sample.values[np.isfinite(sample.values)])
        limit = finite.max(initial=0.0) or 1.0
        sums = np.bincount(sample.codes, weights=np.clip(sample.values, -limit, limit), minlength=sample.units)
        counts = np.bincount(sample.codes, minlength=sample.units)
        p = flip_signs(sums[sums != 0], seed, resamples) if method == "permutation" else _wilcoxon(sums / counts)
    return PairedTest(found.mean, found.low, found.high, p, found.n, sample.units)


def holm(pvalues: Any) -> np.ndarray:
    """Return p-values corrected for their number by Holm's step-down method.

    Parameters
    ----------
    pvalues : array-like of float, shape (n,)
        One family: the chance that any of its true null hypotheses gets a corrected p below 0.05 is at most 0.05. NaN are no
        tests: they stay, and do not count.

    Returns
    -------
    numpy.ndarray
        float64 of shape (n,), in the order given.

    References
    ----------
    Holm, A Simple Sequentially Rejective Multiple Test Procedure, 1979.

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03, float("nan")]).tolist()
    [0.03, 0.06, 0.06, nan]
    """
    given = np.asarray(pvalues, float)
    corrected = np.full(given.shape, math.nan)
    order = np.argsort(given, kind="stable")[: np.count_nonzero(~np.isnan(given))]
    steps = given[order] * np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return corrected


def compare_pipelines(scores: pd.DataFrame, metric: str, against: str | None = None, **options: Any) -> pd.DataFrame:
    """Compare pipelines on the images that both scored, within each data set and mask type.

    Parameters
    ----------
    scores : pandas.DataFrame
        Score rows.
    metric : str
        A column of it.
    against : str, optional
        The pipeline that all others are compared with, as the columns of the result name it: ``"pro-uigan"``, ``"fcsr-gan
        (mask estimated)"``, ``"pro-uigan (trained on Helen)"`` where that is not the data set itself. Data sets and mask
        types without it have no rows. All pairs by default.
    **options
        ``method``, ``seed``, ``level``, ``resamples`` of `difference_test`, with `independent_units` for groups.

    Returns
    -------
    pandas.DataFrame
        Columns ``dataset, mask_type, metric, pipeline, against, effect, low, high, p, p_holm, n, units``; effect is pipeline
        minus against. Holm's correction is over a family: all comparisons of this call within one data set and mask type.

    Raises
    ------
    UsageError
        If a column is missing, or no row is of the pipeline `against`.
    """
    _check_columns(scores, ["dataset", "mask_type", "pipeline", "mask_given", "trained_on", "image", metric])
    named = scores.assign(competitor=_competitors(scores), unit=independent_units(scores))
    if against is not None and against not in set(named["competitor"]):
        raise UsageError(
            f"no scores of pipeline '{against}' to compare with: {did_you_mean(against, set(named['competitor']))}"
        )
    twice = named.duplicated(["dataset", "mask_type", "competitor", "image"])
    if twice.any():
        row = named[twice].iloc[0]
        raise UsageError(
            f"expected one row per image and pipeline, got two of image '{row['image']}' for {row['competitor']} "
            f"({row['dataset']}, {row['mask_type']}); keep one of them"
        )
    rows: list[dict[str, Any]] = []
    for (dataset, mask_type), group in named.groupby(["dataset", "mask_type"], sort=False):
        names = list(dict.fromkeys(group["competitor"]))
        values = group.pivot(index="image", columns="competitor", values=metric)
        units = group.drop_duplicates("image").set_index("image")["unit"].reindex(values.index)
        if against is None:
            pairs = list(itertools.combinations(names, 2))
        else:
            pairs = [(name, against) for name in names if name != against] if against in names else []
        tests = [paired_test(values[a], values[b], groups=units, **options)._asdict() for a, b in pairs]
        corrected = holm([test["p"] for test in tests])
        for (a, b), test, p_holm in zip(pairs, tests, corrected, strict=True):
            family = {"dataset": dataset, "mask_type": mask_type, "metric": metric}
            rows.append({**family, "pipeline": a, "against": b, **test, "p_holm": p_holm})
    columns = ["dataset", "mask_type", "metric", "pipeline", "against", *PairedTest._fields]
    columns.insert(columns.index("p") + 1, "p_holm")
    return pd.DataFrame(rows, columns=columns)


def _competitors(scores: pd.DataFrame) -> pd.Series:
    """Name what competes: a pipeline, with the kind of mask and of weights where these are not the plain ones."""
    estimated = scores["mask_given"].eq("estimated").map({True: " (mask estimated)", False: ""})
    away = _texts(scores["trained_on"])
    away = away.where(away != scores["dataset"], "")
    return scores["pipeline"] + estimated + (" (trained on " + away + ")").where(away != "", "")


def _texts(column: pd.Series) -> pd.Series:
    """Return a column as texts; a column that is empty throughout may have been read as numbers."""
    return column.astype(object).where(column.notna(), "").astype(str)


def _check_columns(scores: pd.DataFrame, names: Sequence[str]) -> None:
    for name in names:
        if name not in scores.columns:
            raise UsageError(f"expected scores with a column '{name}': {did_you_mean(name, map(str, scores.columns))}")


def _wilcoxon(means: np.ndarray) -> float:
    from scipy.stats import wilcoxon  # half a second to import, for who asks for this test

    return float(wilcoxon(means, zero_method="wilcox").pvalue) if means.any() else 1.0
