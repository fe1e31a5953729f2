"""occface: progressive face hallucination from occluded thumbnails, as a toolkit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import os

    import pandas as pd

    from occface.restoring.restorer import Restoration, Restorer

__all__ = ["Restoration", "Restorer", "__version__", "load_scores"]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Import `Restorer` and `Restoration` when they are asked for: they bring torch, and the command line's help must not."""
    if name in {"Restoration", "Restorer"}:
        from occface.restoring import restorer

        return getattr(restorer, name)
    raise AttributeError(f"module 'occface' has no attribute '{name}'")


def load_scores(folder: str | os.PathLike[str]) -> pd.DataFrame:
    """Read the scores of a benchmark: a row for each image, pipeline, data set, mask type and training set.

    Parameters
    ----------
    folder : path
        What `occface benchmark` or `occface demo` wrote. Of scores that an earlier recipe left there, nothing is read.

    Returns
    -------
    pandas.DataFrame
        The columns of `occface.benchmark.scores`, then one for each metric.

    Raises
    ------
    UsageError
        If there are no scores, or some that were changed since they were written.

    Examples
    --------
    >>> scores = load_scores("occface-demo")  # doctest: +SKIP
    >>> scores.query("mask_type == 'square'").groupby(["dataset", "pipeline"])["psnr"].mean()  # doctest: +SKIP
    """
    from pathlib import Path

    from occface.benchmark.record import Record

    return Record(Path(folder)).scores
