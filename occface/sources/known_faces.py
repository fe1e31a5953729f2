"""Faces that were found before, in a table: boxes and landmarks, written once and read again.

The table is a CSV file in UTF-8 with a row per face. The column ``file`` names the photograph as its id does. The columns
``x0,y0,x1,y1`` hold the box, ``lx0,ly0`` to ``lx67,ly67`` the 68 landmarks (iBUG order); either may be missing, or empty in a
row. All are in pixels of the upright photograph, pixel centres at integers. Several rows of a photograph are several faces.
"""

from __future__ import annotations

import csv
import functools
import io
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, NoReturn

import numpy as np

from occface import files
from occface.errors import UsageError
from occface.sources.base import Photo, Photograph, Source

__all__ = ["KnownFace", "KnownFaces", "WithKnownFaces", "read_faces", "write_faces"]

_BOX = ("x0", "y0", "x1", "y1")
_LANDMARKS = tuple(f"l{axis}{number}" for number in range(68) for axis in "xy")


@dataclass(frozen=True)
class KnownFace:
    """A face as found.

    Attributes
    ----------
    file : str
        The photograph's id.
    box : tuple of float or None
        (x0, y0, x1, y1).
    landmarks : numpy.ndarray or None
        (68, 2).
    """

    file: str
    box: tuple[float, float, float, float] | None = None
    landmarks: np.ndarray | None = None


@dataclass(frozen=True)
class KnownFaces:
    """The known faces of one photograph: boxes (n, 4) and landmarks (n, 68, 2), float32, each None where not known."""

    line: int
    boxes: np.ndarray | None
    landmarks: np.ndarray | None


def write_faces(path: str | os.PathLike[str], faces: Iterable[KnownFace]) -> None:
    """Write found faces as a table that `read_faces` reads; numbers come back as the same float32.

    Parameters
    ----------
    path : path
        The CSV file to make.
    faces : iterable of KnownFace
        In any order; they are written in the order given.

    Raises
    ------
    OccfaceError
        If it cannot be written.
    """
    found = list(faces)
    marked = any(face.landmarks is not None for face in found)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["file", *_BOX, *(_LANDMARKS if marked else ())])
    for face in found:
        row = [face.file, *_cells(face.box, len(_BOX))]
        writer.writerow(row + (_cells(face.landmarks, len(_LANDMARKS)) if marked else []))
    files.write_text(path, text.getvalue())


def _cells(values: np.ndarray | tuple[float, ...] | None, count: int) -> list[str]:
    if values is None:
        return [""] * count
    # The shortest decimals that give the same float32 again.
    return [np.format_float_positional(value, trim="-") for value in np.asarray(values, dtype=np.float32).reshape(count)]


def read_faces(path: str) -> Mapping[str, KnownFaces]:
    """Read a table of known faces, once per process.

    Returns
    -------
    mapping of str to KnownFaces
        By the name of the photograph.

    Raises
    ------
    UsageError
        If it is no such table; the message names the line.
    """
    try:
        status = Path(path).stat()
    except OSError as error:
        raise UsageError(f"expected a CSV file of faces at {path}, but it cannot be read: {error.strerror}") from error
    return _read(path, status.st_mtime_ns, status.st_size)


@functools.lru_cache(maxsize=2)
def _read(path: str, changed: int, size: int) -> Mapping[str, KnownFaces]:
    """Read the table; its time of change and its size tell one state of the file from another."""
    found: dict[str, list[tuple[int, np.ndarray | None, np.ndarray | None]]] = {}
    try:
        with open(path, encoding="utf-8-sig", newline="") as handle:
            reader = csv.reader(handle)
            places = {name.strip(): place for place, name in enumerate(next(reader, []))}
            groups = [names for names in (_BOX, _LANDMARKS) if all(name in places for name in names)]
            if "file" not in places or not groups:
                raise UsageError(
                    f"expected the columns file and x0,y0,x1,y1, or file and lx0,ly0 to lx67,ly67, in {path}, "
                    f"got {', '.join(list(places)[:6]) or 'none'}"
                )
            for row in reader:
                if not row:
                    continue
                cells = {name: row[place].strip() for name, place in places.items() if place < len(row)}
                box, points = (
                    _numbers(path, reader.line_num, cells, names) if names in groups else None for names in (_BOX, _LANDMARKS)
                )
                if box is None and points is None:
                    _refuse(path, reader.line_num, "neither a box nor landmarks: give one, or remove the line")
                if box is not None and not (box[0] < box[2] and box[1] < box[3]):
                    _refuse(path, reader.line_num, f"expected a box with x0 < x1 and y0 < y1, got {box.tolist()}")
                name = str(PurePosixPath(cells.get("file", "")))
                rows = found.setdefault(name, [])
                if rows and [box is None, points is None] != [value is None for value in rows[0][1:]]:
                    _refuse(path, reader.line_num, f"all faces of '{name}' must have a box, or none; likewise landmarks")
                rows.append((reader.line_num, box, points))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"expected a CSV file of faces in UTF-8 at {path}, but it cannot be read: {error}") from error
    return {
        name: KnownFaces(rows[0][0], _stack([row[1] for row in rows], (4,)), _stack([row[2] for row in rows], (68, 2)))
        for name, rows in found.items()
    }


def _numbers(path: str, line: int, cells: dict[str, str], names: tuple[str, ...]) -> np.ndarray | None:
    """Return a row's numbers in the columns `names`, or None if all of them are empty."""
    texts = [cells.get(name, "") for name in names]
    if not any(texts):
        return None
    for name, text in zip(names, texts, strict=True):
        try:
            good = np.isfinite(np.float32(text))
        except ValueError:
            good = False
        if not good:
            _refuse(path, line, f"expected a number in the column {name}, got '{text}'")
    return np.array(texts, dtype=np.float32)


def _stack(rows: list[np.ndarray | None], shape: tuple[int, ...]) -> np.ndarray | None:
    known = [row.reshape(shape) for row in rows if row is not None]
    return np.stack(known) if known else None


def _refuse(path: str, line: int, problem: str) -> NoReturn:
    raise UsageError(f"{path}, line {line}: {problem}")


@dataclass(frozen=True)
class WithKnownFaces:
    """A source whose photographs come with the faces that a table says, in place of any of its own.

    Parameters
    ----------
    source : Source
        A source of photographs that have files.
    table : str
        A CSV file of known faces; the names in it are those of `Photo.path`.
    """

    source: Source
    table: str

    @property
    def name(self) -> str:
        """The source's own name."""
        return self.source.name

    @property
    def path(self) -> str:
        """The source's folder."""
        return str(getattr(self.source, "path", ""))

    @property
    def licence(self) -> str:
        """The source's."""
        return self.source.licence

    @property
    def assets(self) -> tuple[str, ...]:
        """The source's."""
        return self.source.assets

    @property
    def classes(self) -> tuple[str, ...]:
        """The source's."""
        return self.source.classes

    @property
    def annotated(self) -> int:
        """The source's."""
        return self.source.annotated

    def photos(self) -> list[Photo]:
        """Return the source's photographs.

        Raises
        ------
        UsageError
            If the table names a photograph that is not there; the message names the line.
        """
        photos = self.source.photos()
        paths = {photo.path for photo in photos}
        for name, faces in read_faces(self.table).items():
            if name not in paths:
                _refuse(self.table, faces.line, f"'{name}' is not among the photographs: correct or remove the line")
        return photos

    def read(self, photo: Photo) -> Photograph:
        """Read a photograph; where the table has no face of it, it comes without any."""
        faces = read_faces(self.table).get(photo.path)
        return replace(
            self.source.read(photo),
            boxes=faces.boxes if faces else None,
            landmarks=faces.landmarks if faces else None,
        )

    def describe(self) -> dict[str, Any]:
        """Return the source's description and the table's hash."""
        return {**self.source.describe(), "faces": files.sha256_file(self.table)}
