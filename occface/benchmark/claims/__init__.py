"""A verdict on each claim of the paper that the scores can test."""

from __future__ import annotations

from occface.benchmark.claims.verdicts import (
    COLUMNS,
    CONTRADICTED,
    NOT_REPRODUCED,
    NOT_TESTABLE,
    REPRODUCED,
    UNDECIDABLE,
    UNDECIDED,
    claims_counted,
    claims_markdown,
    claims_shown,
    evaluate_claims,
    write_claims,
)

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
