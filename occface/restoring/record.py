"""What was done with every face: a journal while it goes on, a table in the end."""

from __future__ import annotations

import csv
import io
import json
import math
import os
from pathlib import Path
from typing import Any, TextIO

from occface import files
from occface.errors import OccfaceError, UsageError
from occface.restoring.inputs import Photo
from occface.restoring.photograph import FoundFace
from occface.restoring.restorer import Restoration

__all__ = ["COLUMNS", "LARGE", "STATES", "Record", "face_row", "photo_row"]

#: The columns of ``results.csv``.
COLUMNS = (
    "file", "face", "state", "reason", "note", "x0", "y0", "x1", "y1", "face_px", "detector", "score", "landmarker",
    "misfit_px", "mask", "hidden", "pipeline", "landmark_confidence", "missed", "seconds", "folder",
)  # fmt: skip

#: What can become of a photograph or a face.
STATES = ("restored", "left out", "failed", "no face", "not read")

#: How wide a face may be, in px of its photograph, before restoring it from 16 x 16 px is said to throw detail away.
LARGE = 32

_JOURNAL, _REQUEST, _TABLE = "journal.jsonl", "request.json", "results.csv"


def photo_row(photo: Photo, state: str, reason: str) -> dict[str, Any]:
    """Return the row of a photograph of which no face is restored."""
    return {"file": photo.name, "state": state, "reason": reason}


def face_row(
    photo: Photo, face: FoundFace, restored: Restoration | None, reason: str, note: str, mask: str, pipeline: str, folder: str,
    *, left_out: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """Return the row of a face.

    Parameters
    ----------
    photo, face, restored
        What was found, and what became of it.
    reason : str
        Why it was not restored; else empty.
    note : str
        What is to be known of how the photograph was read.
    mask, pipeline : str
        How masks came, and what restored.
    folder : str
        Where its pictures lie, below the output folder.
    left_out : bool
        Whether it was not restored because that was asked for.
    """
    state = "left out" if left_out else "failed"
    row: dict[str, Any] = {"file": photo.name, "face": face.number, "state": state, "reason": reason, "mask": mask}
    notes = [note] if note else []
    if face.aligned is not None:
        row |= dict(zip(("x0", "y0", "x1", "y1"), (round(float(edge), 1) for edge in face.aligned.box), strict=True))
        row |= {"detector": face.aligned.detector, "landmarker": face.aligned.landmarker}
        row |= {"score": _short(face.score), "misfit_px": _short(face.misfit, 2)}
    if face.thumbnail is not None:
        row["face_px"] = _short(face.width, 1)
        if face.width > LARGE and not left_out:
            notes.append(f"a face of {face.width:.0f} px made 16x16: the detail it has is thrown away")
    if restored is not None:
        row |= {
            "state": "restored",
            "hidden": round(restored.thumbnail.hidden, 4),
            "pipeline": pipeline,
            "landmark_confidence": _short(restored.confidence),
            "missed": "" if restored.missed is None else int(restored.missed),
            "seconds": round(restored.seconds, 4),
            "folder": folder,
        }
        if restored.missed:
            notes.append("the search missed its aim")
    return row | {"note": "; ".join(notes)}


def _short(value: float, digits: int = 4) -> float | str:
    return "" if math.isnan(value) else round(float(value), digits)


class Record:
    """Keeps what was done in an output folder, for the length of a ``with`` block.

    ``request.json`` says what was asked for, ``journal.jsonl`` has a line for each photograph that is done, and
    ``results.csv`` is made of the journal in the end. A photograph that changed since is done anew.

    Parameters
    ----------
    folder : Path
        The output folder.
    request : dict
        Plain values that determine what is made of a photograph.
    resume, overwrite : bool
        Whether what is there is gone on with, or dropped.

    Raises
    ------
    UsageError
        If there are results already, and neither was asked for; or they were asked for in another way.
    OccfaceError
        If the folder cannot be written.
    """

    def __init__(self, folder: Path, request: dict[str, Any], *, resume: bool = False, overwrite: bool = False) -> None:
        self.folder = folder
        self._journal = folder / _JOURNAL
        self._file: TextIO | None = None
        self.done: dict[str, dict[str, Any]] = {}
        there = (folder / _REQUEST).exists()
        if there and not (resume or overwrite):
            raise UsageError(f"{folder} holds results already: go on with them by --resume, replace them by --overwrite")
        if there and resume and not overwrite:
            if files.read_json(folder / _REQUEST) != request:
                raise UsageError(
                    f"the results in {folder} were made by another pipeline or with other options: name another folder, or "
                    "replace them by --overwrite"
                )
            self.done = self._read()
        else:  # first, or what is left would be taken for what was asked for now if this were interrupted
            self._journal.unlink(missing_ok=True)
            (folder / _TABLE).unlink(missing_ok=True)
        files.write_json(folder / _REQUEST, request)
        # What a killed process left half written is dropped here.
        files.write_text(self._journal, "".join(_line(entry) for entry in self.done.values()))

    def _read(self) -> dict[str, dict[str, Any]]:
        done = {}
        for line in self._journal.read_text(encoding="utf-8").splitlines() if self._journal.exists() else ():
            try:
                entry = json.loads(line)
                done[str(entry["file"])] = entry
            except (ValueError, KeyError, TypeError):
                continue
        return done

    def __enter__(self) -> Record:
        try:
            self._file = open(self._journal, "a", encoding="utf-8")  # closed in __exit__
        except OSError as error:
            raise OccfaceError(
                f"could not write {self._journal}: {error.strerror}; free space or name another place"
            ) from error
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def is_done(self, photo: Photo) -> bool:
        """Say whether a photograph is done, and still the same file."""
        return photo.name in self.done and self.done[photo.name]["state"] == photo.state()

    def add(self, photo: Photo, rows: list[dict[str, Any]]) -> None:
        """Note that a photograph is done; its pictures must be written by then."""
        assert self._file is not None  # inside the with block
        entry = {"file": photo.name, "state": photo.state(), "rows": rows}
        try:
            self._file.write(_line(entry))
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise OccfaceError(f"could not write {self._journal}: {error.strerror}; what was made is kept: --resume") from error
        self.done[photo.name] = entry

    def write_table(self, photos: list[Photo]) -> list[dict[str, Any]]:
        """Write ``results.csv``, the photographs in their order; return its rows."""
        rows = [row for photo in photos if photo.name in self.done for row in self.done[photo.name]["rows"]]
        text = io.StringIO()
        table = csv.DictWriter(text, COLUMNS, restval="", lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
        files.write_text(self.folder / _TABLE, text.getvalue())
        return rows


def _line(entry: dict[str, Any]) -> str:
    return json.dumps(entry, ensure_ascii=False, allow_nan=False) + "\n"
