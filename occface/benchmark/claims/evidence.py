"""What score rows say for or against a claim: paired comparisons, pooled or against the strongest rival, trends and points."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from occface.benchmark.paper import mask_order, pipeline_title
from occface.benchmark.statistics import PairedTest, difference_test, differences, independent_units

__all__ = ["MEASURES", "Comparison", "Evidence", "Finding", "Measure", "NotTestableError"]

#: With fewer independent faces not even one sign all through is significant at 0.05, two-sided: 2 / 2**5.
_FEWEST = 6
#: As many sign flips are tried where p will be multiplied: with the usual 10,000 it could never be small then.
_FINE = 100_000
#: As many members of a family are listed one by one.
_LISTED = 8
#: As many pipelines with weights from elsewhere are named.
_NAMED = 3
_SIDE = re.compile(r"square[-_](\d+)")
_MAIN = ("irregular", "square")
_RECOGNITION = ("eyes", "mouth", "nose", "half", "left-half", "right-half", "lower-face")


class NotTestableError(Exception):
    """Rows that a claim needs are missing; the message says which."""


@dataclass(frozen=True)
class Measure:
    """How a metric is named and printed, and which way it points; values are multiplied by `scale`."""

    title: str
    unit: str = ""
    decimals: int = 3
    scale: float = 1
    lower_is_better: bool = False

    def value(self, number: float) -> str:
        """Return a value as text, with its unit."""
        return f"{number:.{self.decimals}f}{self.unit}"

    def gap(self, number: float) -> str:
        """Return a difference as text; those of percentages are points."""
        return f"{number:+.{self.decimals}f}{' points' if self.unit == ' %' else self.unit}"


_PERCENT = {"unit": " %", "decimals": 1}
#: The metrics that the paper's claims are about.
MEASURES: dict[str, Measure] = {
    "psnr": Measure("PSNR", " dB", 2),
    "ssim": Measure("SSIM"),
    "nrmse_outer_eyes": Measure("NRMSE", " %", 2, lower_is_better=True),
    "iou": Measure("IoU", decimals=4),
    "expression_correct": Measure("expression accuracy", " %", 1, 100),
    "identified": Measure("rank-1 identification", " %", 1, 100),
    "identity_cosine": Measure("cosine similarity of identity"),
    "stlpips": Measure("ST-LPIPS", lower_is_better=True),
    **{f"psnr_stage_{stage}": Measure(f"PSNR of stage {stage}", " dB", 2) for stage in (1, 2, 3)},
}


@dataclass(frozen=True)
class Finding:
    """What was found: numbers are in the metric's printed unit, and a positive effect is the one that the claim states.

    A finding that is not `tested` compares single numbers: it has no interval and no p-value. It is not `certain` where these
    numbers are closer than they vary.
    """

    measured: str
    effect: float
    low: float
    high: float
    p: float
    n: int
    datasets: str
    why: str
    tested: bool = True
    certain: bool = True


@dataclass(frozen=True)
class Comparison:
    """Two rows of values on the same faces, their differences in the stated direction, and the test of these, no interval."""

    label: str
    first: pd.Series
    second: pd.Series
    gaps: pd.Series
    tested: Callable[[], PairedTest]

    @functools.cached_property
    def effect(self) -> float:
        """The mean difference."""
        return float(self.gaps.mean())

    @functools.cached_property
    def test(self) -> PairedTest:
        """The test, made when it is asked for."""
        return self.tested()


class Evidence:
    """The rows that claims are tested on.

    Failed images, and pipelines that were given an estimated mask, are left out: the paper gives the true one. Methods that
    were trained on the data set itself are preferred; where there are none, those trained on the first other data set by
    name stand in, and the reasons say so.

    Parameters
    ----------
    scores, sets, efficiency : pandas.DataFrame or None
        Score rows, rows of set metrics, rows of sizes and times; missing columns make claims untestable, not errors.
    seed : int
        Of the resampling.
    """

    def __init__(
        self, scores: pd.DataFrame | None, sets: pd.DataFrame | None, efficiency: pd.DataFrame | None, seed: int = 0
    ) -> None:
        columns = ["dataset", "mask_type", "pipeline", "trained_on", "mask_given", "image", "identity", "expression"]
        self.all_rows = _complete(scores, columns).query("mask_given != 'estimated'")
        self.rows = _home(self.all_rows)
        self.sets = _home(_complete(sets, columns[:5]).query("mask_given != 'estimated'"))
        self.efficiency = _complete(efficiency, ["pipeline", "counted", "device", "precision"])
        self.seed = seed
        self._tables: dict[str, pd.DataFrame] = {}
        faces = self.all_rows.drop_duplicates(["dataset", "image"])
        keys = list(zip(faces["dataset"], faces["image"], strict=True))
        #: The expression of each face, by (dataset, image).
        self.expressions = dict(zip(keys, faces["expression"], strict=True))
        self._units = dict(zip(keys, independent_units(faces), strict=True))
        masks = sorted(dict.fromkeys(self.rows["mask_type"]), key=mask_order)
        #: The mask types of the paper's tables, or what the scores have in their place; m1 to m5; those of recognition.
        self.sizes = sorted(filter(_SIDE.fullmatch, masks), key=_side)
        self.recognition = [mask for mask in masks if mask in _RECOGNITION]
        others = [mask for mask in masks if mask not in (*self.sizes, *self.recognition)]
        self.main = [mask for mask in masks if mask in _MAIN] or others or self.sizes

    def table(self, metric: str, masks: Sequence[str] | None = None, datasets: Sequence[str] | None = None) -> pd.DataFrame:
        """Return a metric's values in its printed unit: rows (dataset, mask_type, image), a column for each pipeline."""
        if metric not in self._tables:
            values = self.rows.get(metric, pd.Series(math.nan, self.rows.index)).astype(float) * MEASURES[metric].scale
            index = ["dataset", "mask_type", "image"]
            self._tables[metric] = self.rows.assign(value=values).pivot(index=index, columns="pipeline", values="value")
        wide = self._tables[metric]
        kept = wide.index.get_level_values("mask_type").isin(self.main if masks is None else masks)
        if datasets is not None:
            kept &= wide.index.get_level_values("dataset").isin(datasets)
        return wide[kept]

    def compare(self, label: str, first: pd.Series, second: pd.Series, lower_is_better: bool = False) -> Comparison | None:
        """Compare two rows of values with one index, which has the levels dataset and image; None without a common face."""
        common = first.notna() & second.notna()
        if not common.any():
            return None
        first, second = first[common], second[common]
        gaps = pd.Series(differences(second, first) if lower_is_better else differences(first, second), first.index)
        return Comparison(label, first, second, gaps, functools.partial(self._test, gaps, level=None))

    def pairs(
        self,
        metric: str,
        pairs: Iterable[tuple[str, str]],
        masks: Sequence[str] | None = None,
        datasets: Sequence[str] | None = None,
    ) -> list[Comparison | None]:
        """Compare the first pipeline of each pair with the second, as far as the scores have both on the same faces."""
        wide = self.table(metric, masks, datasets)
        return [
            self.compare(f"{pipeline_title(a)} against {pipeline_title(b)}", wide[a], wide[b], MEASURES[metric].lower_is_better)
            for a, b in pairs
            if a in wide and b in wide
        ]

    def pooled(self, found: Iterable[Comparison | None], measure: Measure, needs: str, note: str = "") -> Finding:
        """Test all differences together; a face's differences in several comparisons count as one independent face.

        Raises
        ------
        NotTestableError
            If there is no comparison (`needs` says what was missing), or there are too few faces.
        """
        comparisons = _those(found, needs)
        test = self._test(pd.concat([comparison.gaps for comparison in comparisons]))
        if test.units < _FEWEST:
            raise NotTestableError(_few(test.units))
        means = [_mean([getattr(comparison, side) for comparison in comparisons]) for side in ("first", "second")]
        measured = f"{measure.value(means[0])} against {measure.value(means[1])}"
        why = _members(comparisons, measure) if len(comparisons) > 1 else ""
        return self._finding(measured, test, comparisons, "; ".join(filter(None, [why, note])))

    def strongest(self, found: Iterable[Comparison | None], measure: Measure, needs: str, note: str = "") -> Finding:
        """Test that every comparison goes the stated way: an intersection-union test.

        The effect and its interval are those of the smallest difference. If all go the stated way, p is the largest of their
        p-values, which needs no correction for their number; else it is that of the strongest counter-example times it.

        Raises
        ------
        NotTestableError
            If there is no comparison (`needs` says what was missing), or none has enough faces.
        """
        comparisons = _those(found, needs)
        able = [comparison for comparison in comparisons if comparison.test.units >= _FEWEST]
        if not able:
            raise NotTestableError(_few(max(comparison.test.units for comparison in comparisons)))
        against = [comparison for comparison in able if not comparison.effect > 0]
        if against:
            shown = min(against, key=lambda comparison: (comparison.test.p, comparison.effect))
            p = min(1.0, self._test(shown.gaps, level=None, resamples=_FINE).p * len(able))
        else:
            shown = min(able, key=lambda comparison: comparison.effect)
            p = max(comparison.test.p for comparison in able)
        measured = f"{shown.label}: {measure.value(_mean([shown.first]))} against {measure.value(_mean([shown.second]))}"
        why = [_members(able, measure)] if len(able) > 1 else []
        why += [
            f"not tested for too few faces: {comparison.label} {measure.gap(comparison.effect)} (n = {comparison.test.n})"
            for comparison in comparisons
            if comparison.test.units < _FEWEST
        ]
        return self._finding(measured, self._test(shown.gaps)._replace(p=p), able, "; ".join(filter(None, [*why, note])))

    def _finding(self, measured: str, test: PairedTest, comparisons: Sequence[Comparison], why: str) -> Finding:
        index = pd.concat([comparison.gaps for comparison in comparisons]).index
        datasets = list(dict.fromkeys(index.get_level_values("dataset")))
        if "mask_type" in index.names:
            measured += f" ({', '.join(sorted(dict.fromkeys(index.get_level_values('mask_type')), key=mask_order))})"
        compared = {side.name for comparison in comparisons for side in (comparison.first, comparison.second)}
        notes = [why, *self._away(datasets, compared)]
        if test.units < test.n:
            notes.append(f"{test.n} differences from {test.units} independent people or photographs")
        reasons = "; ".join(filter(None, notes))
        return Finding(measured, test.effect, test.low, test.high, test.p, test.n, ", ".join(datasets), reasons)

    def _away(self, datasets: Sequence[str], compared: Collection[object]) -> list[str]:
        """Say which of the pipelines that were compared, or of all where it was something else, had learnt elsewhere."""
        rows = self.rows[self.rows["dataset"].isin(datasets)]
        mentioned = rows["pipeline"].isin(list(compared))
        rows = rows[mentioned] if mentioned.any() else rows
        rows = rows[(rows["trained_on"] != "") & (rows["trained_on"] != rows["dataset"])]
        said = []
        for (dataset, trained_on), group in rows.groupby(["dataset", "trained_on"], sort=True):
            names = [pipeline_title(name) for name in dict.fromkeys(group["pipeline"])]
            more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
            said.append(f"on {dataset} with weights trained on {trained_on}: {', '.join(names[:_NAMED])}{more}")
        return said

    def _test(self, gaps: pd.Series, level: float | None = 0.95, resamples: int = 10_000) -> PairedTest:
        faces = zip(gaps.index.get_level_values("dataset"), gaps.index.get_level_values("image"), strict=True)
        units = [self._units[face] for face in faces]
        return difference_test(gaps, units, seed=self.seed, level=level, resamples=resamples)

    def falls(self, metric: str, pipeline: str) -> tuple[pd.Series, list[float]]:
        """Return by how much a metric falls from one mask size to the next, for each face, and the means of the sizes.

        The fall is the least-squares slope over the sizes in their order, of faces that were scored under all of them.

        Raises
        ------
        NotTestableError
            If there are fewer than three sizes, or no face has all.
        """
        if len(self.sizes) < 3:
            raise NotTestableError(f"needs square masks of at least three fixed sizes, has {len(self.sizes)}")
        wide = self.table(metric, self.sizes)
        if pipeline not in wide or wide[pipeline].isna().all():
            raise NotTestableError(
                f"needs {MEASURES[metric].title} of {pipeline_title(pipeline)} under square masks of fixed sizes"
            )
        faces = wide[pipeline].unstack("mask_type")[self.sizes].replace(math.inf, math.nan).dropna()
        if faces.empty:
            raise NotTestableError(f"needs faces that {pipeline_title(pipeline)} restored under all of {', '.join(self.sizes)}")
        steps = np.arange(len(self.sizes)) - (len(self.sizes) - 1) / 2
        slopes = (faces * steps).sum(axis=1) / (steps**2).sum()
        return (slopes if MEASURES[metric].lower_is_better else -slopes), faces.mean().tolist()

    def point(
        self,
        values: pd.Series,
        pipeline: str,
        name: Callable[[float], str],
        n: int,
        datasets: str = "",
        why: str = "",
        upper: pd.Series | None = None,
    ) -> Finding:
        """Compare single numbers of which less is better: a pipeline's with the least of the others, without a test.

        Where `upper` says what nine of ten repetitions stay below, the less one must stay below the other with that, too.
        """
        ours, rivals = values[pipeline], values.drop(pipeline)
        least = rivals.idxmin()
        certain = True
        if upper is not None:
            first, second = (pipeline, least) if ours < rivals[least] else (least, pipeline)
            certain = bool(upper[first] < values[second])
        measured = f"{name(ours)} against {name(rivals[least])} ({pipeline_title(str(least))})"
        why = "; ".join(filter(None, ["one number per pipeline: compared, not tested", why]))
        effect = float(rivals[least] - ours)
        return Finding(measured, effect, math.nan, math.nan, math.nan, n, datasets, why, tested=False, certain=certain)


def _complete(frame: pd.DataFrame | None, columns: Sequence[str]) -> pd.DataFrame:
    """Return a frame that has these columns of texts, whatever was missing."""
    found = pd.DataFrame() if frame is None else frame.reset_index(drop=True)
    given = {name: found.get(name, pd.Series("", found.index, dtype=object)).astype(object) for name in columns}
    # A column that is empty throughout may have been read as numbers.
    return found.assign(**{name: column.where(column.notna(), "").astype(str) for name, column in given.items()})


def _home(rows: pd.DataFrame) -> pd.DataFrame:
    """Keep one training set for each pipeline and data set: the data set itself, else the first other by name."""
    trained = rows["trained_on"].where(rows["trained_on"] != rows["dataset"], "")
    kept = rows[trained == trained.groupby([rows["dataset"], rows["pipeline"]]).transform("min")]
    key = [name for name in ("dataset", "mask_type", "pipeline", "image", "metric") if name in kept]
    return kept.drop_duplicates(key)


def _those(found: Iterable[Comparison | None], needs: str) -> list[Comparison]:
    comparisons = [comparison for comparison in found if comparison is not None]
    if not comparisons:
        raise NotTestableError(f"needs {needs}")
    return comparisons


def _side(mask_type: str) -> int:
    found = _SIDE.fullmatch(mask_type)
    return int(found.group(1)) if found else 0


def _mean(values: Sequence[pd.Series]) -> float:
    return float(pd.concat(list(values)).mean())


def _few(units: int) -> str:
    return f"only {units} independent people or photographs: at least {_FEWEST} are needed for any test"


def _members(comparisons: Sequence[Comparison], measure: Measure) -> str:
    """Say what each comparison found on its own; of many, how many agree and which two lie at the ends."""
    ordered = list(comparisons)
    agree = sum(comparison.effect > 0 for comparison in comparisons)
    if len(ordered) > _LISTED:
        ordered = [f(ordered, key=lambda comparison: comparison.effect) for f in (min, max)]
    said = [
        f"{comparison.label} {measure.gap(comparison.effect)} (p = {comparison.test.p:.2g}, n = {comparison.test.n})"
        for comparison in ordered
    ]
    dots = " ... " if len(comparisons) > _LISTED else ", "
    return f"{agree} of {len(comparisons)} go the stated way: {dots.join(said)}"
