"""What a benchmark leaves: its tables and verdicts, and what failed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

__all__ = ["Benchmark"]


@dataclass(frozen=True)
class Benchmark:
    """What a benchmark left.

    Attributes
    ----------
    folder : Path
        ``scores/``, ``tables/``, ``figures/``, ``claims.csv``, ``report.html`` and more.
    tables : dict of str to DataFrame
        The tables that there are rows for, by their numbers: ``"1"``...
    claims : DataFrame
        What the paper says and what was measured.
    printed : str
        Tables and verdicts as text.
    failed : int
        Images that failed, scored ones and those that were only to be shown.
    broken : dict of str to str
        Steps that failed, and why.
    """

    folder: Path
    tables: dict[str, pd.DataFrame]
    claims: pd.DataFrame
    printed: str
    failed: int
    broken: dict[str, str]

    @property
    def report(self) -> Path:
        """The page to open in a browser."""
        return self.folder / "report.html"

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON: tables as records."""
        return {
            "folder": str(self.folder),
            "report": str(self.report),
            "failed": self.failed,
            "broken": self.broken,
            "tables": {number: _records(table) for number, table in self.tables.items()},
            "claims": _records(self.claims),
        }

    def text(self) -> str:
        """Return the tables and where the report is."""
        return f"{self.printed}\n\nreport: {self.report}"


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    flat = table.reset_index() if table.index.names != [None] else table.copy()
    flat.columns = ["/".join(str(part) for part in name if part) if isinstance(name, tuple) else name for name in flat.columns]
    # JSON has no infinity, which the PSNR of a perfect result is.
    records: list[dict[str, Any]] = (
        flat.astype(object).where(flat.notna(), None).replace({math.inf: "inf", -math.inf: "-inf"}).to_dict("records")
    )
    return records
