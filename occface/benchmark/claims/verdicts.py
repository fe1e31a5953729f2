"""The verdicts: every claim tested, corrected for their number, and written down."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence

import pandas as pd

from occface import files
from occface.benchmark.claims.downstream import downstream_claims
from occface.benchmark.claims.evidence import Evidence, Finding, NotTestableError
from occface.benchmark.claims.hallucination import hallucination_claims
from occface.benchmark.statistics import holm

__all__ = ["COLUMNS", "NOT_REPRODUCED", "NOT_TESTABLE", "REPRODUCED", "claims_markdown", "evaluate_claims", "write_claims"]

REPRODUCED = "reproduced"
NOT_REPRODUCED = "not reproduced"
NOT_TESTABLE = "not testable here"
COLUMNS = ("claim", "source", "paper", "measured", "effect", "low", "high", "p", "p_holm", "n", "datasets", "verdict", "why")
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
        the paired values. ``verdict`` is `REPRODUCED` where the effect goes the stated way with p_holm below 0.05,
        `NOT_REPRODUCED` where it does not (``why`` says whether that contradicts the claim or only fails to show it), or
        `NOT_TESTABLE`, and ``why`` says what is missing. Sizes, times and Frechet distances are single numbers: they are
        compared without a test, and have no p.
    """
    evidence = Evidence(scores, sets, efficiency, seed)
    listed = [*hallucination_claims(evidence), *downstream_claims(evidence)]
    findings: list[Finding | str] = []
    for claim in listed:
        try:
            findings.append(claim.find())
        except NotTestableError as missing:
            findings.append(str(missing))
    corrected = holm([finding.p if isinstance(finding, Finding) else math.nan for finding in findings])
    rows = [
        {"claim": claim.text, "source": claim.source, "paper": claim.paper, **_judge(finding, p_holm)}
        for claim, finding, p_holm in zip(listed, findings, corrected.tolist(), strict=True)
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _judge(finding: Finding | str, p_holm: float) -> dict[str, object]:
    if isinstance(finding, str):
        none = dict.fromkeys(("effect", "low", "high", "p", "p_holm"), math.nan)
        return {"measured": "", **none, "n": 0, "datasets": "", "verdict": NOT_TESTABLE, "why": finding}
    certain = p_holm < _LEVEL if finding.tested else True
    if finding.effect > 0 and certain:
        verdict, reason = REPRODUCED, ""
    elif finding.effect < 0 and certain:
        verdict, reason = NOT_REPRODUCED, "contradicted: the difference goes the other way"
    elif finding.tested:
        verdict, reason = (
            NOT_REPRODUCED,
            f"no significant difference ({'as' if finding.effect > 0 else 'not as'} stated in sign)",
        )
    else:
        verdict, reason = NOT_REPRODUCED, "no difference"
    names = ("measured", "effect", "low", "high", "p", "n", "datasets")
    return {
        **{name: getattr(finding, name) for name in names},
        "p_holm": p_holm,
        "verdict": verdict,
        "why": "; ".join(filter(None, [reason, finding.why])),
    }


def write_claims(frame: pd.DataFrame, path: str | os.PathLike[str]) -> None:
    """Write what `evaluate_claims` returns as CSV, atomically, with full precision; missing numbers are empty."""
    files.write_text(path, frame.to_csv(index=False, lineterminator="\n"))


def claims_markdown(frame: pd.DataFrame) -> str:
    """Return the claims as Markdown: how many got which verdict, and a table of them all.

    Parameters
    ----------
    frame : pandas.DataFrame
        What `evaluate_claims` returns.
    """
    counts = [f"{(frame['verdict'] == verdict).sum()} {verdict}" for verdict in (REPRODUCED, NOT_REPRODUCED, NOT_TESTABLE)]
    heads = ("claim", "source", "paper", "measured", "effect [95 %]", "p (Holm)", "n", "data sets", "verdict", "why")
    lines: list[Sequence[str]] = [heads, ["---"] * len(heads)]
    for row in frame.to_dict("records"):
        effect = _NONE if math.isnan(row["effect"]) else f"{row['effect']:+.3g}"
        if not math.isnan(row["low"]):
            effect += f" [{row['low']:+.3g}, {row['high']:+.3g}]"
        p = _NONE if math.isnan(row["p_holm"]) else "< 0.001" if row["p_holm"] < 0.001 else f"{row['p_holm']:.3f}"
        n = str(row["n"]) if row["n"] else _NONE
        texts = (row["claim"], row["source"], row["paper"], row["measured"] or _NONE, effect, p, n, row["datasets"] or _NONE)
        lines.append((*texts, f"**{row['verdict']}**", row["why"]))
    table = "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)
    return f"{len(frame)} claims: {', '.join(counts)}.\n\n{table}"
