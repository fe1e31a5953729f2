"""A folder of photographs, in any arrangement, with or without a table of labels."""

from __future__ import annotations

import csv
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar, NoReturn

from occface import files, images
from occface.errors import BadImageError, UsageError
from occface.sources.base import SPLITS, Photo, Photograph
from occface.sources.tree import require_folder, some, walk

__all__ = ["FolderSource"]

_COLUMNS = ("identity", "expression", "pose", "split")


@dataclass(frozen=True)
class FolderSource:
    """All photographs below a folder, told from other files by their suffix; names that begin with a dot are passed over.

    Parameters
    ----------
    path : str
        The folder. Links are followed, and each folder is entered once.
    labels : str
        A CSV file with a column ``file`` (as in the ids: below the folder, ``/`` between the parts) and any of ``identity``,
        ``expression``, ``pose`` and ``split``; other columns are not read, and photographs that it does not name have no
        labels. By default ``labels.csv`` in the folder, if there is one. A person is in one split: photographs without a
        split take that of the same identity's others.
    max_pixels : int
        Photographs with more pixels are refused.

    Raises
    ------
    UsageError
        If `path` is not a folder.
    """

    path: str
    labels: str = ""
    max_pixels: int = images.MAX_PIXELS

    name: ClassVar[str] = "folder"
    licence: ClassVar[str] = "not stated; that of the photographs in the folder"
    assets: ClassVar[tuple[str, ...]] = ()
    classes: ClassVar[tuple[str, ...]] = ()
    annotated: ClassVar[int] = 0

    def __post_init__(self) -> None:
        require_folder(self.path, "photographs")

    def photos(self) -> list[Photo]:
        """Return the photographs, sorted by id, which is the path below the folder.

        Raises
        ------
        UsageError
            If there are none, a folder cannot be entered, or the labels do not fit; the message names the line.
        """
        found: list[str] = []
        others: list[str] = []
        for name in walk(Path(self.path)):
            (found if name.lower().endswith(images.SUFFIXES) else others).append(name)
        if not found:
            kinds = ", ".join(suffix[1:] for suffix in images.SUFFIXES)
            raise UsageError(f"no photographs ({kinds}) in {self.path}: it holds {some(others)}; name a folder of photographs")
        names = set(found)
        labels = self._read_labels(names)
        return [Photo(id=name, path=name, **labels.get(name, {})) for name in sorted(found)]

    def read(self, photo: Photo) -> Photograph:
        """Read a photograph's file, once, for its hash and its pixels.

        Raises
        ------
        BadImageError
            If it cannot be read or decoded.
        """
        path = Path(self.path) / photo.path
        if not os.path.lexists(path):
            raise BadImageError("cannot be read: the file is gone, or its name is not UTF-8 (rename it then)")
        data = images.read_bytes(path)
        return Photograph(
            image=images.decode_image(data, self.max_pixels),
            sha256=hashlib.sha256(data).hexdigest(),
            file=data,
        )

    def describe(self) -> dict[str, Any]:
        """Return what determines the data besides the photographs: the tables' hashes and the limit. Not where they lie."""
        table = self._labels_path()
        return {
            "name": self.name,
            "labels": files.sha256_file(table) if table else "",
            "max_pixels": self.max_pixels,
        }

    def _labels_path(self) -> Path | None:
        if self.labels:
            if not Path(self.labels).is_file():
                raise UsageError(f"expected a CSV file of labels at {self.labels}, but there is no such file")
            return Path(self.labels)
        beside = Path(self.path) / "labels.csv"
        return beside if beside.is_file() else None

    def _read_labels(self, found: set[str]) -> dict[str, dict[str, Any]]:
        """Return the labels by photograph."""
        table = self._labels_path()
        if table is None:
            return {}
        labels: dict[str, dict[str, Any]] = {}
        homes: dict[str, str] = {}
        try:
            with open(table, encoding="utf-8-sig", newline="") as handle:
                reader = csv.DictReader(handle)
                if "file" not in (reader.fieldnames or ()):
                    raise UsageError(f"expected a column 'file' in {table}, got {', '.join(reader.fieldnames or ()) or 'none'}")
                for row in reader:
                    name = str(PurePosixPath(row["file"] or ""))
                    if name not in found or name in labels:
                        problem = "is there twice" if name in labels else "is not among the photographs"
                        _refuse(table, reader.line_num, f"'{name}' {problem}: correct or remove the line")
                    labels[name] = {column: (row.get(column) or "").strip() for column in _COLUMNS}
                    split = labels[name]["split"]
                    if split and split not in SPLITS:
                        _refuse(table, reader.line_num, f"expected a split of {', '.join(SPLITS)} or none, got '{split}'")
                    person = labels[name]["identity"]
                    if split and person and homes.setdefault(person, split) != split:
                        problem = f"'{person}' is in {homes[person]} already, now in {split}: give each person one split"
                        _refuse(table, reader.line_num, problem)
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise UsageError(f"expected a CSV file in UTF-8 at {table}, but it cannot be read: {error}") from error
        for row in labels.values():
            row["split"] = row["split"] or homes.get(row["identity"], "")
        return labels


def _refuse(table: Path, line: int, problem: str) -> NoReturn:
    raise UsageError(f"{table}, line {line}: {problem}")
