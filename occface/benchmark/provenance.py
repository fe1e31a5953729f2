"""Where numbers came from: which device, software and state of the code trained, restored, scored and timed.

Only what was recorded then is told here, never what the machine is like that reads it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from occface.versions import source_hash

__all__ = ["LEARNING", "RESTORING", "TIMING", "act", "provenance_frame", "short_hash", "source_notes"]

#: The parts of the package that restored faces depend on.
RESTORING = (
    "benchmark/restoring.py",
    "dataset",
    "faces",
    "images.py",
    "methods",
    "networks",
    "occlusion",
    "pipelines.py",
    "seeding.py",
)
#: Those that trained weights depend on.
LEARNING = (*RESTORING, "losses.py", "training")
#: Those that figures of efficiency depend on.
TIMING = ("benchmark/timing.py", *RESTORING)

_COLUMNS = (
    "act", "what", "dataset", "mask_type", "pipeline", "trained_on", "mask_given", "device", "precision", "versions", "sources",
    "n",
)  # fmt: skip
_DIGITS = 12


def short_hash(parts: tuple[str, ...] = ()) -> str:
    """Return the first digits of the SHA-256 of parts of the package's sources as they are now, or of all."""
    return source_hash(parts)[:_DIGITS]


def act(kind: str, what: str, about: Mapping[str, Any], sources: Iterable[str], n: float, row: Any = None) -> dict[str, Any]:
    """Return a row of `provenance_frame`.

    Parameters
    ----------
    kind, what : str
        ``"trained"``, ``"restored"``, ``"scored"`` or ``"timed"``, and what people read.
    about : mapping
        What was recorded: ``device``, ``precision``, ``versions`` (by package); any may be absent.
    sources : iterable of str
        Hashes of the sources, in the order that they were at work.
    n : float
        How many faces or runs; NaN where that is not counted.
    row : mapping or pandas.Series, optional
        A score row of it.
    """
    keys = ("dataset", "mask_type", "pipeline", "trained_on", "mask_given")
    return {
        "act": kind,
        "what": what,
        **{key: "" if row is None else row[key] for key in keys},
        "device": str(about.get("device", "")),
        "precision": str(about.get("precision", "")),
        "versions": ", ".join(f"{name} {version}" for name, version in about.get("versions", {}).items()),
        "sources": " + ".join(dict.fromkeys(filter(None, sources))),
        "n": float(n),
    }


def provenance_frame(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Return rows of `act` as a frame; each training once, though many pipelines use it.

    Returns
    -------
    pandas.DataFrame
        Texts, empty where nothing was recorded: ``act``, ``what``, ``dataset``, ``mask_type``, ``pipeline``, ``trained_on``,
        ``mask_given``, ``device``, ``precision``, ``versions``, ``sources`` (first digits of hashes, with + between where it
        was done in parts); and the float ``n``.
    """
    frame = pd.DataFrame(list(rows), columns=list(_COLUMNS)).astype({"n": float})
    return frame.drop_duplicates(ignore_index=True)


def source_notes(trained: Mapping[str, tuple[tuple[str, ...], str]], frame: pd.DataFrame, rounds: int) -> list[str]:
    """Say where different states of the code stand behind numbers that are shown together.

    A training is not made anew when the code changes within a version, so it may be of other sources than the scores of what it
    learnt; scores are, unless they were asked to be kept.

    Parameters
    ----------
    trained : mapping of str to (tuple of str, str)
        By trainings: the sources that they were done with, and those that they would have been done with when it was scored.
    frame : pandas.DataFrame
        What `provenance_frame` returns.
    rounds : int
        How many times timings were taken.
    """
    notes = []
    other: dict[tuple[tuple[str, ...], str], list[str]] = {}
    for name, (then, scored) in trained.items():
        if then and set(then) != {scored}:
            other.setdefault((then, scored), []).append(name)
    notes += [
        f"Trained by another state of the code ({' + '.join(then)}) than the one that restored and scored ({scored}): "
        f"{', '.join(names)}."
        for (then, scored), names in other.items()
    ]
    for kind, made in (("scored", "Scores were made"), ("timed", "Timings were taken")):
        states = frame.loc[frame["act"] == kind, "sources"].replace("", "not recorded").value_counts(sort=False)
        if len(states) > 1:
            counted = "; ".join(f"{count} by {state}" for state, count in states.items())
            notes.append(f"{made} by {len(states)} states of the code: {counted}.")
    if rounds > 1:
        notes.append(
            f"Timings were taken at {rounds} different moments; only those of one moment were taken in turn, so that the "
            "machine's other work fell on all of them alike."
        )
    return notes
