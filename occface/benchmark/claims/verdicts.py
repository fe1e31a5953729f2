"""The verdicts: every claim tested, corrected for their number, and written down."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence

import pandas as pd

from occface import files
from occface.benchmark.claims.downstream import downstream_claims
from occface.benchmark.claims.evidence import Evidence, NotTestableError
from occface.benchmark.claims.findings import Finding
from occface.benchmark.claims.hallucination import hallucination_claims
from occface.benchmark.claims.parts import Claim
from occface.benchmark.statistics import holm

__all__ = [
    "COLUMNS",
    "CONTRADICTED",
    "NOT_REPRODUCED",
    "NOT_TESTABLE",
    "REPRODUCED",
    "UNDECIDABLE",
    "UNDECIDED",
    "claims_counted",
    "claims_markdown",
    "claims_shown",
    "evaluate_claims",
    "write_claims",
]

REPRODUCED = "reproduced"
NOT_REPRODUCED = "not reproduced"
NOT_TESTABLE = "not testable here"
#: What the verdict begins with where so few people or photographs could not have shown it; it ends with how many they are.
UNDECIDABLE = "undecidable"
COLUMNS = (
    "claim", "source", "paper", "measured", "effect", "low", "high", "p", "p_holm", "n", "datasets", "verdict", "why", "units",
    "compared",
)  # fmt: skip
#: What reasons of claims that were not reproduced begin with.
CONTRADICTED, UNDECIDED = "contradicted", "undecided"
_LEVEL = 0.05
_NONE = "–"  # noqa: RUF001 - an en dash is meant


def evaluate_claims(
    scores: pd.DataFrame | None,
    sets: pd.DataFrame | None = None,
    efficiency: pd.DataFrame | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Test every claim of the paper, as far as there are rows for it.

    Parameters
    ----------
    scores : pandas.DataFrame or None
        Score rows: a row per image, pipeline, data set, mask type, mask given and training set.
    sets : pandas.DataFrame or None
        Rows of metrics that belong to a set of images: dataset, mask_type, pipeline, trained_on, mask_given, metric, value, n.
    efficiency : pandas.DataFrame or None
        Sizes and times: pipeline, counted, size_kb, median_ms, runs, device, precision.
    seed : int
        Of the resampling; equal frames and seeds give equal results.

    Returns
    -------
    pandas.DataFrame
        One row per claim, in the order of the paper; columns `COLUMNS`. ``effect`` is positive where it goes the way the
        claim says, in the unit that ``measured`` prints, with ``low`` and ``high`` its 95 % bootstrap interval; ``p`` is
        two-sided, of a paired permutation test; ``p_holm`` is corrected over all claims that were tested here; ``n`` counts
        the paired values and ``units`` the independent people, or photographs of unknown people, that they come from.
        ``compared`` says how many of the comparisons that the paper makes were made, "7 of 9", where it makes several; where
        some are lacking ``claim`` says so too. Where it is less than half of them the claim is not tested.

        ``verdict`` is `REPRODUCED` where the effect goes the stated way with p_holm below 0.05. It is `NOT_REPRODUCED` where
        it does not (``why`` begins with "contradicted" where it goes the other way with p_holm below 0.05, else with
        "undecided"). It begins with `UNDECIDABLE` where p_holm could not have been below 0.05 even if all units had agreed.
        It is `NOT_TESTABLE` where something is missing, which ``why`` says; there may be numbers all the same. Sizes, times
        and Frechet distances are single numbers: they are compared without a test, and have no p.
    """
    evidence = Evidence(scores, sets, efficiency, seed)
    listed = [*hallucination_claims(evidence), *downstream_claims(evidence)]
    findings: list[Finding | str] = []
    for claim in listed:
        try:
            findings.append(claim.find())
        except NotTestableError as missing:
            findings.append(str(missing))
    pvalues = [finding.p if isinstance(finding, Finding) else math.nan for finding in findings]
    corrected = holm(pvalues).tolist()
    rows = []
    for place, (claim, finding) in enumerate(zip(listed, findings, strict=True)):
        least = math.nan
        if isinstance(finding, Finding) and finding.tested:
            # What its p_holm would be, had all of its units agreed, and all else been as it is.
            least = float(holm([*pvalues[:place], finding.least, *pvalues[place + 1 :]])[place])
        rows.append(_row(claim, finding, corrected[place], least))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _row(claim: Claim, finding: Finding | str, p_holm: float, least: float) -> dict[str, object]:
    said = {"claim": claim.text, "source": claim.source, "paper": claim.paper}
    if isinstance(finding, str):
        none = dict.fromkeys(("effect", "low", "high", "p", "p_holm"), math.nan)
        empty = {"measured": "", "n": 0, "units": 0, "datasets": "", "compared": ""}
        return {**said, **none, **empty, "verdict": NOT_TESTABLE, "why": finding}
    names = ("measured", "effect", "low", "high", "p", "n", "units", "datasets")
    verdict, reason = _judge(finding, p_holm, least)
    return {
        **said,
        "claim": claim.titled(finding),
        **{name: getattr(finding, name) for name in names},
        "p_holm": p_holm,
        "verdict": verdict,
        "why": "; ".join(filter(None, [reason, finding.why])),
        "compared": str(finding.compared),
    }


def _judge(finding: Finding, p_holm: float, least: float) -> tuple[str, str]:
    """Return the verdict, and what its reasons begin with."""
    if finding.lacking:
        return NOT_TESTABLE, finding.lacking
    certain = p_holm < _LEVEL if finding.tested else finding.certain and finding.effect != 0
    if certain:
        if finding.effect > 0:
            return REPRODUCED, ""
        return NOT_REPRODUCED, f"{CONTRADICTED}: the difference goes the other way"
    sign = "as stated" if finding.effect > 0 else "the other way" if finding.effect < 0 else "neither way"
    if least >= _LEVEL:
        reason = f"{UNDECIDABLE}: had all {finding.limit} agreed, p would still be {least:.2g}"
        return f"{UNDECIDABLE} with {finding.limit}", f"{reason} ({sign} in sign)"
    lacks = "no significant difference" if finding.tested else "the numbers vary more than they differ"
    return NOT_REPRODUCED, f"{UNDECIDED}: {lacks} ({sign} in sign)"


def write_claims(frame: pd.DataFrame, path: str | os.PathLike[str]) -> None:
    """Write what `evaluate_claims` returns as CSV, atomically, with full precision; missing numbers are empty."""
    files.write_text(path, frame.to_csv(index=False, lineterminator="\n"))


def claims_counted(frame: pd.DataFrame) -> str:
    """Return a sentence on how many claims got which verdict, and how many of those not reproduced are contradicted."""
    reproduced, not_reproduced, untestable = (
        frame["verdict"] == verdict for verdict in (REPRODUCED, NOT_REPRODUCED, NOT_TESTABLE)
    )
    contradicted, undecided = ((not_reproduced & frame["why"].str.startswith(word)).sum() for word in (CONTRADICTED, UNDECIDED))
    some = (reproduced & _lacking(frame["compared"])).sum()
    among = f" ({some} of them with some of the paper's comparisons alone)" if some else ""
    undecidable = frame["verdict"].str.startswith(UNDECIDABLE).sum()
    so_few = f"{undecidable} {UNDECIDABLE} with so few people or photographs, " if undecidable else ""
    return (
        f"{len(frame)} claims: {reproduced.sum()} {REPRODUCED}{among}, {not_reproduced.sum()} {NOT_REPRODUCED} "
        f"({contradicted} {CONTRADICTED}, {undecided} {UNDECIDED}), {so_few}{untestable.sum()} {NOT_TESTABLE}."
    )


def _lacking(compared: pd.Series) -> pd.Series:
    """Tell where some of the comparisons that the paper makes were not made: "7 of 9"."""
    made = compared.str.split(" of ")
    return made.str[0] != made.str[-1]


def claims_shown(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the claims for readers: fewer columns, the interval and what was compared where as texts.

    Parameters
    ----------
    frame : pandas.DataFrame
        What `evaluate_claims` returns, or rows of it.

    Returns
    -------
    pandas.DataFrame
        Columns ``claim`` with its source, ``verdict`` (of claims not reproduced with the first word of the reason; where some
        of the paper's comparisons are lacking, with "7 of 9 compared"), ``paper``, ``measured`` with the data sets,
        ``effect`` in three digits, ``95 %``, ``p`` (corrected), ``n``, ``units`` and ``why``; those that would be empty
        throughout are left out.
    """
    intervals = [
        "" if math.isnan(low) else f"{low:+.3g} to {high:+.3g}" for low, high in zip(frame["low"], frame["high"], strict=True)
    ]
    shown = pd.DataFrame(
        {
            "claim": frame["claim"] + " (" + frame["source"] + ")",
            "verdict": [
                (f"{verdict}: {why.partition(':')[0]}" if verdict == NOT_REPRODUCED else verdict)
                + (f", {compared} compared" if lacks else "")
                for verdict, why, compared, lacks in zip(
                    frame["verdict"], frame["why"], frame["compared"], _lacking(frame["compared"]), strict=True
                )
            ],
            "paper": frame["paper"],
            "measured": frame["measured"] + (" on " + frame["datasets"]).where(frame["datasets"] != "", ""),
            "effect": frame["effect"].map(lambda effect: float(f"{effect:.3g}")),
            "95 %": intervals,
            "p": frame["p_holm"],
            "n": frame["n"].where(frame["n"] > 0),
            "units": frame["units"].where(frame["units"] > 0),
            "why": frame["why"],
        }
    ).reset_index(drop=True)
    return shown[[name for name in shown if not (shown[name].isna() | (shown[name] == "")).all()]]


def claims_markdown(frame: pd.DataFrame) -> str:
    """Return the claims as Markdown: how many got which verdict, and a table of them all.

    Parameters
    ----------
    frame : pandas.DataFrame
        What `evaluate_claims` returns.
    """
    shown = claims_shown(frame)
    lines: list[Sequence[str]] = [list(shown.columns), ["---"] * len(shown.columns)]
    for row in shown.to_dict("records"):
        texts = {name: _NONE if pd.isna(value) or value == "" else str(value) for name, value in row.items()}
        for name, form in (("effect", "+.3g"), ("n", ".0f"), ("units", ".0f")):
            if name in row and not pd.isna(row[name]):
                texts[name] = format(row[name], form)
        if "p" in row and not pd.isna(row["p"]):
            texts["p"] = "< 0.001" if row["p"] < 0.001 else f"{row['p']:.3f}"
        texts["verdict"] = f"**{row['verdict']}**"
        lines.append(list(texts.values()))
    table = "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)
    return f"{claims_counted(frame)}\n\n{table}"
