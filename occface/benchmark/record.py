"""What a benchmark's folder holds: scores and what made them, figures of efficiency, restored faces."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from occface import files
from occface.benchmark.paper import pipeline_title
from occface.benchmark.provenance import act, provenance_frame, source_notes
from occface.benchmark.restorations import kept_faces, untouched
from occface.benchmark.scores import load_scores, read_facts, read_scores
from occface.benchmark.tables import Frames
from occface.errors import UsageError
from occface.images import decode_image, read_image

__all__ = ["Record", "Shown"]

LIST = "files.json"

#: The columns of the figures of efficiency.
_EFFICIENCY = (
    "pipeline", "order", "counted", "parameters", "size_kb", "macs", "median_ms", "p90_ms", "runs", "peak_memory_mb", "device",
    "precision", "noisy", "preset", "together",
)  # fmt: skip
#: Times of which the 90th percentile is more than so many medians tell of the machine's other work.
_NOISY = 1.5


@dataclass(frozen=True)
class Shown:
    """One pipeline on one mask type of one data set: what is known of it beside its score rows.

    Attributes
    ----------
    facts : mapping
        What `occface.benchmark.scoring.Score` keeps beside a score file.
    row : pandas.Series
        Its first score row: ``dataset``, ``mask_type``, ``pipeline``, ``order``, ``trained_on``, ``mask_given``.
    folder : Path
        The benchmark's folder.
    """

    facts: Mapping[str, Any]
    row: pd.Series
    folder: Path

    @property
    def title(self) -> str:
        """The name that pictures show."""
        learnt = self.row["trained_on"]
        return self.facts["title"] + (f" (trained on {learnt})" if learnt not in ("", self.row["dataset"]) else "")

    @property
    def numbers(self) -> list[int]:
        """The faces that figures show."""
        return list(self.facts["shown"])

    def picture(self, number: int, stage: int | None = None) -> np.ndarray | None:
        """Return a restored face, or what an earlier stage made of it; None if it failed, is gone or was altered."""
        data = untouched(self._restored, self._faces.get(str(number), {}), number, stage)
        return None if data is None else decode_image(data)

    @property
    def _restored(self) -> Path:
        return self.folder / "restored" / self.facts["restored"]

    @functools.cached_property
    def _faces(self) -> dict[str, dict[str, Any]]:
        return kept_faces(self._restored)

    def given(self, number: int, what: str) -> np.ndarray | None:
        """Return the occluded LR face (``"lr"``) or the true HR one (``"hr"``)."""
        return _read(self.folder / "restored" / self.facts["inputs"] / f"{number:05d}.{what}.png")


def _read(path: Path) -> np.ndarray | None:
    return read_image(path) if path.exists() else None


class Record:
    """What the folder of a benchmark holds.

    Raises
    ------
    UsageError
        If it holds no scores, or some that were changed since they were written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        listed = folder / "scores" / LIST
        if not listed.exists():
            raise UsageError(f"expected scores of a benchmark in {folder}, found none: run it first, or name its folder")
        self._listed: Mapping[str, Any] = files.read_json(listed)
        self._facts = {name: read_facts(folder / "scores" / name) for name in self._listed["scores"]}
        for name, facts in self._facts.items():
            if not facts:
                raise UsageError(
                    f"{folder / 'scores' / name} is not there, or was changed since it was written: run the benchmark again "
                    "with its data and weights, without only-cache"
                )

    @property
    def notes(self) -> dict[str, str]:
        """Why a table or a figure lacks something, by its name, ``table_6`` or ``figure_13``, as the recipe says it."""
        return dict(self._listed.get("notes", {}))

    @property
    def broken(self) -> dict[str, str]:
        """Steps of the recipe that failed, or waited for one that did, and why."""
        return dict(self._listed.get("broken", {}))

    @property
    def failed(self) -> int:
        """Images that failed: those in score rows, and those that were to be shown and not scored."""
        return sum(facts["failed"] + len(facts.get("pictured_failed", ())) for facts in self._facts.values())

    @functools.cached_property
    def scores(self) -> pd.DataFrame:
        """All score rows."""
        return load_scores(self.folder / "scores", self._listed["scores"])

    @functools.cached_property
    def shown(self) -> list[Shown]:
        """Every pipeline on every mask type, in the order of the recipe."""
        folder = self.folder / "scores"
        return [Shown(facts, read_scores(folder / name).iloc[0], self.folder) for name, facts in self._facts.items()]

    @functools.cached_property
    def sets(self) -> pd.DataFrame:
        """The numbers that belong to sets of images."""
        keys = ("dataset", "mask_type", "order", "pipeline", "trained_on", "mask_given")
        rows = [
            {**{key: one.row[key] for key in keys}, "metric": name, "value": value, "n": facts["rows"] - facts["failed"]}
            for one in self.shown
            for facts in (one.facts,)
            for name, value in facts["sets"].items()
        ]
        return pd.DataFrame(rows, columns=[*keys, "metric", "value", "n"])

    @functools.cached_property
    def efficiency(self) -> pd.DataFrame:
        """The figures of Table IV: a row for each pipeline and for what is counted of it.

        Beside what `occface.benchmark.timing.measuring` finds: ``preset``, that its networks were built by (``paper, changed``
        if a setting departs from it), empty where there are none; ``together``, the same number in rows that were timed in
        turn; ``noisy``, 1 where the 90th percentile is more than 1.5 times the median, else 0.
        """
        rounds = list(dict.fromkeys(tuple(figures.get("together", ())) for figures in self._timed))
        rows = [
            {"preset": "", **row, "together": 1 + rounds.index(tuple(figures.get("together", ())))}
            for figures in self._timed
            for row in figures["rows"]
        ]
        frame = pd.DataFrame(rows, columns=[name for name in _EFFICIENCY if name != "noisy"])
        noisy = (frame["p90_ms"] > _NOISY * frame["median_ms"]).astype(int)
        return frame.assign(noisy=noisy)[list(_EFFICIENCY)]

    @functools.cached_property
    def _timed(self) -> list[dict[str, Any]]:
        return [files.read_json(self.folder / "efficiency" / name) for name in self._listed["efficiency"]]

    @functools.cached_property
    def provenance(self) -> pd.DataFrame:
        """Where everything was trained, restored, scored and timed: `occface.benchmark.provenance.provenance_frame`."""
        rows = []
        for one in self.shown:
            what = f"{one.title} on {one.row['dataset']}, {one.row['mask_type']}"
            sources = one.facts.get("sources", {})
            learnt = one.facts.get("trainings", {})
            rows += [act("trained", name, about, about["sources"], math.nan) for name, about in learnt.items()]
            restored = [sources.get("restored", "")]
            rows += [act("restored", what, about, restored, about["faces"], one.row) for about in one.facts["restored_on"]]
            scored = {"device": one.facts["device"], "versions": one.facts["versions"]}
            rows.append(act("scored", what, scored, [sources.get("scored", "")], one.facts["rows"], one.row))
        for figures in self._timed:
            row = figures["rows"][0]
            about = {**row, "versions": figures.get("versions", {})}
            timed = act("timed", pipeline_title(row["pipeline"]), about, [figures.get("sources", "")], row["runs"])
            rows.append({**timed, "pipeline": row["pipeline"]})
        order = {kind: place for place, kind in enumerate(("trained", "restored", "scored", "timed"))}
        return provenance_frame(sorted(rows, key=lambda row: order[row["act"]]))

    @property
    def source_notes(self) -> list[str]:
        """Sentences that say where different states of the code stand behind what is shown together; none if all agree."""
        trained = {
            name: (tuple(about["sources"]), one.facts["sources"]["learning"])
            for one in self.shown
            for name, about in one.facts.get("trainings", {}).items()
        }
        return source_notes(trained, self.provenance, self.efficiency["together"].nunique())

    @property
    def contracts(self) -> dict[str, str]:
        """How each metric's column was computed."""
        found: dict[str, str] = {}
        for one in self.shown:
            for about in one.facts["metrics"].values():
                found |= about["columns"]
        return found

    @property
    def frames(self) -> Frames:
        """What tables are built from."""
        return Frames(self.scores, self.sets, self.efficiency, self.contracts)
