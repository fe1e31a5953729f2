"""Resampled means and flipped signs: the arithmetic under the intervals and tests of `occface.benchmark.statistics`.

Equal inputs give equal bytes on every machine. The random choices are counter-based (`occface.seeding`), and sums over
resamples are made of whole numbers below 2**53, which floating point adds exactly in any order: how many threads a matrix
product uses, and on which processor, does not matter.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from occface import seeding
from occface.errors import UsageError

__all__ = ["MeanInterval", "Sample", "flip_signs", "intervals", "means", "sample_of", "smallest_p"]

#: Up to this many units with a difference, all sign flips are tried: 2**13 of them.
_EXACT = 13
#: Numbers in one block of draws; the last blocks are kept, since most rows of a table have the same n.
_BLOCK = 2_000_000
#: Rows whose resampled means are held at a time.
_ROWS = 256


class MeanInterval(NamedTuple):
    """A mean, the ends of its interval, and the number of values in it."""

    mean: float
    low: float
    high: float
    n: int


class Sample(NamedTuple):
    """Values without NaN, and the number of the unit that each belongs to: 0 to units - 1."""

    values: np.ndarray
    codes: np.ndarray
    units: int


def sample_of(values: Any, groups: Any) -> Sample:
    """Return values with the numbers of their units.

    Parameters
    ----------
    values : array-like of float, shape (n,)
        NaN are dropped.
    groups : array-like, shape (n,), or None
        The unit of each value; empty and missing names, and all without it, are units of their own.

    Raises
    ------
    UsageError
        If there is not one group for each value.
    """
    found = np.asarray(values, float).ravel()
    kept = ~np.isnan(found)
    found = found[kept]
    if groups is None:
        return Sample(found, np.arange(len(found)), len(found))
    names = list(groups)
    if len(names) != len(kept):
        raise UsageError(f"expected a group for each of the {len(kept)} values, got {len(names)}; give one per value")
    numbers: dict[Any, int] = {}
    codes = [
        # A value whose group is not known gets a name that no data set could give.
        numbers.setdefault((place,) if name is None or name == "" or name != name else name, len(numbers))
        for place, name in enumerate(names)
        if kept[place]
    ]
    return Sample(found, np.array(codes, int), len(numbers))


def intervals(samples: Sequence[Sample], seed: int = 0, level: float = 0.95, resamples: int = 10_000) -> list[MeanInterval]:
    """Return means with the ends of their percentile bootstrap intervals; both ends NaN where there are fewer than two units.

    Samples of equally many units share their draws, so that a table takes few matrix products.

    Parameters
    ----------
    samples : sequence of Sample
        What to average.
    seed : int
        Of the draws.
    level : float
        Coverage, in (0, 1).
    resamples : int
        At least 1.

    Raises
    ------
    UsageError
        If level or resamples do not fit.
    """
    if not 0 < level < 1:
        raise UsageError(f"expected the level of an interval between 0 and 1, got {level}; 0.95 is usual")
    if resamples < 1:
        raise UsageError(f"expected at least one resample, got {resamples}; 10000 are usual")
    found = means(samples)
    alike: dict[int, list[int]] = {}
    for place, sample in enumerate(samples):
        if sample.units > 1 and not math.isnan(found[place].mean):
            alike.setdefault(sample.units, []).append(place)
    for units, places in alike.items():
        for start in range(0, len(places), _ROWS):
            some = places[start : start + _ROWS]
            ends = _ends([samples[place] for place in some], units, seed, level, resamples)
            for place, (low, high) in zip(some, ends.tolist(), strict=True):
                found[place] = found[place]._replace(low=low, high=high)
    return found


def means(samples: Sequence[Sample]) -> list[MeanInterval]:
    """Return means without intervals: low and high are NaN."""
    return [MeanInterval(_mean(sample.values), math.nan, math.nan, len(sample.values)) for sample in samples]


def _mean(values: np.ndarray) -> float:
    if not len(values):
        return math.nan
    if np.isposinf(values).any() and np.isneginf(values).any():
        return math.nan
    return math.fsum(values) / len(values)


def _ends(samples: Sequence[Sample], units: int, seed: int, level: float, resamples: int) -> np.ndarray:
    """Return the ends of the intervals, (samples, 2), of samples that all have so many units."""
    finite = [np.isfinite(sample.values) for sample in samples]
    centres = np.array([_mean(sample.values[kept]) for sample, kept in zip(samples, finite, strict=True)])

    def per_unit(weights: Sequence[np.ndarray]) -> np.ndarray:
        pairs = zip(samples, weights, strict=True)
        return np.stack([np.bincount(s.codes, weights=w, minlength=units) for s, w in pairs])

    # Sums of deviations from the mean: equal values then give an interval of exactly that value.
    sums = per_unit(
        [np.where(kept, s.values - c, 0.0) for s, kept, c in zip(samples, finite, np.nan_to_num(centres), strict=True)]
    )
    sizes = per_unit([np.ones(len(sample.values)) for sample in samples])
    alone = (sizes == 1).all()
    whole, exponents = _whole_numbers(sums)
    resampled = np.empty((len(samples), resamples))
    infinite = per_unit([np.where(kept, 0.0, 1.0) for kept in finite])
    infinity = np.array([math.copysign(math.inf, s.values[~kept].sum()) for s, kept in zip(samples, finite, strict=True)])
    start = 0
    for counts in _blocks(_draw_units, seed, units, resamples):
        block = slice(start, start + len(counts))
        drawn = counts.T.astype(float)
        resampled[:, block] = centres[:, None] + np.ldexp(whole @ drawn, exponents) / (units if alone else sizes @ drawn)
        if infinite.any():
            resampled[:, block] = np.where(infinite @ drawn > 0, infinity[:, None], resampled[:, block])
        start = block.stop
    last = math.floor((1 - level) / 2 * resamples)
    ordered = np.partition(resampled, [last, resamples - 1 - last], axis=1)
    return ordered[:, [last, resamples - 1 - last]]


def _whole_numbers(sums: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return rows of whole numbers, and the power of two that makes each row what it was.

    The numbers are so small that as many of them as stand in a row, repeated or not, add up to less than 2**53.
    """
    exponents = np.frexp(np.abs(sums).max(axis=1, keepdims=True))[1] - (52 - math.ceil(math.log2(sums.shape[1])))
    return np.rint(np.ldexp(sums, -exponents)), exponents


def flip_signs(sums: np.ndarray, seed: int, resamples: int) -> float:
    """Return the two-sided p-value of a sum under random signs of what is summed.

    Parameters
    ----------
    sums : numpy.ndarray
        Finite and not zero, (units,). Of up to 13 all signs are tried, else `resamples` random ones.
    seed, resamples : int
        Of the draws.
    """
    units = len(sums)
    if not units:
        return 1.0
    whole = _whole_numbers(sums[None])[0][0]
    # Numbers were rounded by at most a half each, so sums that are equal on paper differ by less than this.
    reached = abs(whole.sum()) - units
    if units <= _EXACT:
        signs = np.array(list(itertools.product((1.0, -1.0), repeat=units)))
        return float(np.mean(np.abs(signs @ whole) >= reached))
    blocks = _blocks(_draw_signs, seed, units, resamples)
    k = sum(int(np.count_nonzero(np.abs(signs.astype(float) @ whole) >= reached)) for signs in blocks)
    return (k + 1) / (resamples + 1)


def smallest_p(units: int, resamples: int = 10_000) -> float:
    """Return the smallest p-value that `flip_signs` can give: that of units which all differ in the same way.

    Parameters
    ----------
    units : int
        Independent people or photographs, not images.
    resamples : int
        Random signs that are tried, where there are too many units for all.

    Examples
    --------
    >>> smallest_p(5), smallest_p(6)
    (0.0625, 0.03125)
    """
    if units < 1:
        return 1.0
    return 2.0 ** (1 - units) if units <= _EXACT else 1 / (resamples + 1)


def _blocks(draw: Any, seed: int, units: int, resamples: int) -> Iterator[np.ndarray]:
    """Give draws over so many units, (rows, units), in blocks of limited size."""
    rows = max(1, _BLOCK // units)
    for number in range(math.ceil(resamples / rows)):
        yield draw(seed, units, number, min(rows, resamples - number * rows))


@functools.lru_cache(maxsize=8)
def _draw_units(seed: int, units: int, number: int, rows: int) -> np.ndarray:
    """Draw units with replacement; return how often each was drawn."""
    drawn = seeding.rng(seed, "bootstrap", units, number).integers(0, units, (rows, units))
    drawn += np.arange(rows)[:, None] * units
    counts = np.bincount(drawn.ravel(), minlength=rows * units).reshape(rows, units)
    return counts.astype(np.min_scalar_type(units))


@functools.lru_cache(maxsize=8)
def _draw_signs(seed: int, units: int, number: int, rows: int) -> np.ndarray:
    return seeding.rng(seed, "signs", units, number).integers(0, 2, (rows, units), dtype=np.int8) * 2 - 1
