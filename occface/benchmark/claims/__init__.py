"""A verdict on each claim of the paper that the scores can test."""

from __future__ import annotations

from occface.benchmark.claims.verdicts import (
    COLUMNS,
    NOT_REPRODUCED,
    NOT_TESTABLE,
    REPRODUCED,
    claims_markdown,
    evaluate_claims,
    write_claims,
)

__all__ = ["COLUMNS", "NOT_REPRODUCED", "NOT_TESTABLE", "REPRODUCED", "claims_markdown", "evaluate_claims", "write_claims"]
