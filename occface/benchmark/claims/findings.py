"""What is found for or against a claim: differences pooled, against every rival, and of single numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import pandas as pd

from occface.benchmark.claims.evidence import EVERYWHERE, Comparison, Evidence, Measure, NotTestableError, Where
from occface.benchmark.paper import mask_order, pipeline_title
from occface.benchmark.statistics import PairedTest, smallest_p

__all__ = ["FEWEST", "Compared", "Family", "Finding", "pooled", "single", "strongest"]

#: With fewer independent faces not even one sign all through is significant at 0.05, two-sided: 2 / 2**5.
FEWEST = 6
#: As many sign flips are tried where p will be multiplied: with the usual 10,000 it could never be small then.
_FINE = 100_000
#: As many members of a family are listed one by one.
_LISTED = 8


@dataclass(frozen=True)
class Compared:
    """How many comparisons were made (`here`), and how many (`made`) of those that the paper makes (`paper`)."""

    here: int = 1
    made: int = 1
    paper: int = 1

    @property
    def lacking(self) -> bool:
        """Whether one of the paper's is not there."""
        return self.made < self.paper

    def __str__(self) -> str:
        return f"{self.made} of {self.paper}" if self.paper > 1 else ""


@dataclass(frozen=True)
class Finding:
    """What was found: numbers are in the metric's printed unit, and a positive effect is the one that the claim states.

    Attributes
    ----------
    measured : str
        The two numbers that were compared.
    effect, low, high, p : float
        The difference with its interval, and p. A finding that is not `tested` compares single numbers, and has neither.
    n, units : int
        Paired values, and the independent people or photographs that they come from.
    datasets, why : str
        Where they come from, and what must be known.
    compared : Compared
        How many of the paper's comparisons were made.
    least : float
        The smallest p that the claim could have got from so many units, had all of them agreed.
    limit : str
        Who they are: "6 people".
    tested : bool
        Whether there is a test.
    certain : bool
        False where single numbers are closer than they vary.
    lacking : str
        Why the numbers, which are shown all the same, decide nothing.
    """

    measured: str
    effect: float
    low: float = math.nan
    high: float = math.nan
    p: float = math.nan
    n: int = 0
    units: int = 0
    datasets: str = ""
    why: str = ""
    compared: Compared = field(default_factory=Compared)
    least: float = math.nan
    limit: str = ""
    tested: bool = True
    certain: bool = True
    lacking: str = ""


@dataclass(frozen=True)
class Family:
    """The comparisons that decide a claim together.

    Attributes
    ----------
    measure : Measure
        What is compared.
    found : sequence of Comparison or None
        Those that there are.
    needs : str
        What is missing where there is none.
    paper : sequence of tuple of str
        The comparisons that the paper makes, by their pipelines; empty where it does not matter which there are.
    where : Where
        The mask types and data sets.
    note : str
        What else must be known.
    """

    measure: Measure
    found: Sequence[Comparison | None]
    needs: str
    paper: Sequence[tuple[str, ...]] = ()
    where: Where = EVERYWHERE
    note: str = ""

    def members(self) -> list[Comparison]:
        """Return the comparisons that there are.

        Raises
        ------
        NotTestableError
            If there is none.
        """
        members = [comparison for comparison in self.found if comparison is not None]
        if not members:
            raise NotTestableError(f"needs {self.needs}")
        return members


def pooled(evidence: Evidence, family: Family) -> Finding:
    """Test all differences together; a face's differences in several comparisons count as one independent face.

    Raises
    ------
    NotTestableError
        If there is no comparison, fewer than half of those that the paper makes, or there are too few faces.
    """
    members = family.members()
    test = evidence.test(pd.concat([member.gaps for member in members]))
    if test.units < FEWEST:
        raise NotTestableError(_few(evidence, members))
    compared, notes = _compared(evidence, family, members)
    measure = family.measure
    means = [_mean([getattr(member, side) for member in members]) for side in ("first", "second")]
    measured = f"{measure.value(means[0])} against {measure.value(means[1])}"
    why = [_listed(members, measure)] if len(members) > 1 else []
    return _finding(evidence, measured, test, members, members, compared, [*why, *notes, family.note])


def strongest(evidence: Evidence, family: Family) -> Finding:
    """Test that every comparison goes the stated way: an intersection-union test.

    Effect, interval, p, n and units are all those of the comparison that decides. If all go the stated way, that is the one
    with the largest p, which needs no correction for their number, and among equal ones the smallest effect. Else it is the
    strongest counter-example, with its p times their number.

    Raises
    ------
    NotTestableError
        If there is no comparison, none has enough faces, or there are fewer than half of those that the paper makes.
    """
    members = family.members()
    able = [member for member in members if member.test.units >= FEWEST]
    if not able:
        raise NotTestableError(_few(evidence, [max(members, key=lambda member: member.test.units)]))
    few = [member for member in members if member not in able]
    compared, notes = _compared(evidence, family, able, few)
    against = [member for member in able if not member.effect > 0]
    if against:
        shown = min(against, key=lambda member: (member.test.p, member.effect))
        p = min(1.0, evidence.test(shown.gaps, level=None, resamples=_FINE).p * len(able))
        because = "not as stated" if len(able) == 1 else f"not as stated; its p times {len(able)}"
    else:
        shown = max(able, key=lambda member: (member.test.p, -member.effect))
        p = shown.test.p
        because = "the largest p" if p > min(member.test.p for member in able) else "the smallest effect"
    value = family.measure.value
    measured = f"{shown.label}: {value(_mean([shown.first]))} against {value(_mean([shown.second]))}"
    why = [f"decided by {shown.label} ({because})", _listed(able, family.measure)] if len(able) > 1 else []
    test = evidence.test(shown.gaps)._replace(p=p)
    return _finding(evidence, measured, test, [shown], able, compared, [*why, *notes, family.note])


def _finding(
    evidence: Evidence,
    measured: str,
    test: PairedTest,
    shown: Sequence[Comparison],
    members: Sequence[Comparison],
    made: Compared,
    notes: Iterable[str],
) -> Finding:
    """Put together what `shown` comparisons measured, and what `members`, them and others, say of how sure it can be."""
    index = pd.concat([comparison.gaps for comparison in shown]).index
    datasets = list(dict.fromkeys(index.get_level_values("dataset")))
    if "mask_type" in index.names:
        measured += f" ({', '.join(sorted(dict.fromkeys(index.get_level_values('mask_type')), key=mask_order))})"
    compared = {name for member in members for name in member.pipelines}
    said = [*notes, *evidence.away(datasets, compared)]
    if test.units < test.n:
        said.append(f"{test.n} differences from {evidence.independent(index)}")
    # Pooled differences are tested once; else the claim is as sure as its comparison of the fewest.
    fewest = index if len(shown) == len(members) else min(members, key=lambda member: member.test.units).gaps.index
    return Finding(
        measured,
        test.effect,
        test.low,
        test.high,
        test.p,
        test.n,
        test.units,
        ", ".join(datasets),
        "; ".join(filter(None, said)),
        made,
        smallest_p(evidence.count(fewest)),
        evidence.independent(fewest),
    )


def single(values: pd.Series, pipeline: str, name: Callable[[float], str], upper: pd.Series | None = None) -> Finding:
    """Compare single numbers of which less is better: a pipeline's with the least of the others, without a test.

    Parameters
    ----------
    values : pandas.Series
        A number for each pipeline, at least two.
    pipeline : str
        The one that the claim is about.
    name : callable
        Returns a number as text, with its unit.
    upper : pandas.Series, optional
        What nine of ten repetitions stay below: the lesser number must stay below the other with that, too, to be certain.
    """
    ours, rivals = values[pipeline], values.drop(pipeline)
    least = rivals.idxmin()
    certain = True
    if upper is not None:
        first, second = (pipeline, least) if ours < rivals[least] else (least, pipeline)
        certain = bool(upper[first] < values[second])
    return Finding(
        f"{name(ours)} against {name(rivals[least])} ({pipeline_title(str(least))})",
        float(rivals[least] - ours),
        why="one number per pipeline: compared, not tested",
        tested=False,
        certain=certain,
    )


def _compared(
    evidence: Evidence, family: Family, members: Sequence[Comparison], few: Sequence[Comparison] = ()
) -> tuple[Compared, list[str]]:
    """Return how many of the comparisons that the paper makes are among the members, and which are not.

    Those of too `few` faces are not absent, and not made either.

    Raises
    ------
    NotTestableError
        If fewer than half of them are.
    """
    made = dict.fromkeys(member.pipelines for member in members)
    there = {name for names in made for name in names}
    lacking = [names for names in family.paper if names not in made]
    compared = Compared(len(members), len(family.paper) - len(lacking), len(family.paper))
    seen = {*there, *(name for member in few for name in member.pipelines)}
    absent = dict.fromkeys(name for names in lacking for name in names if name not in seen)
    notes = [
        f"not tested for too few faces: {member.label} {family.measure.gap(member.effect)} (n = {member.test.n})"
        for member in few
    ]
    notes += [f"absent: {evidence.titles(absent, family.where)}"] if absent else []
    if 2 * compared.made < compared.paper:
        only = f"only {compared.made} of the {compared.paper} comparisons that the paper makes can be made"
        raise NotTestableError("; ".join([only, *notes, f"here: {_listed(members, family.measure)}"]))
    known = {name for names in family.paper for name in names}
    more = dict.fromkeys(pipeline_title(name) for names in made for name in names if known and name not in known)
    notes += [f"beside those of the paper's tables: {', '.join(more)}"] if more else []
    notes += [
        f"without images of {pipeline_title(name)} where its search missed its aim ({share})"
        for name, share in evidence.missed(family.where).items()
        if name in there
    ]
    return compared, notes


def _mean(values: Sequence[pd.Series]) -> float:
    return float(pd.concat(list(values)).mean())


def _few(evidence: Evidence, members: Sequence[Comparison]) -> str:
    independent = evidence.independent(pd.concat([member.gaps for member in members]).index)
    return f"only {independent}: at least {FEWEST} are needed for any test"


def _listed(members: Sequence[Comparison], measure: Measure) -> str:
    """Say what each comparison found on its own; of many, how many agree and which two lie at the ends."""
    ordered = list(members)
    agree = sum(member.effect > 0 for member in members)
    if len(ordered) > _LISTED:
        ordered = [f(ordered, key=lambda member: member.effect) for f in (min, max)]
    said = [f"{member.label} {measure.gap(member.effect)} (p = {member.test.p:.2g}, n = {member.test.n})" for member in ordered]
    dots = " ... " if len(members) > _LISTED else ", "
    return f"{agree} of {len(members)} go the stated way: {dots.join(said)}"
