"""A folder of photographs, in any arrangement, with or without a table of labels."""

from __future__ import annotations

import csv
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar, NoReturn

from occface import files, images
from occface.errors import BadImageError, UsageError
from occface.sources.base import SPLITS, Photo, Photograph

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
        labels. By default ``labels.csv`` in the folder, if there is one.
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
        if not Path(self.path).is_dir():
            what = "it is a file" if Path(self.path).exists() else "there is nothing of that name"
            raise UsageError(f"expected a folder of photographs at {self.path}, but {what}")

    def photos(self) -> list[Photo]:
        """Return the photographs, sorted by id, which is the path below the folder.

        Raises
        ------
        UsageError
            If there are none, a folder cannot be entered, or the labels do not fit; the message names the line.
        """
        found: list[str] = []
        others: list[str] = []
        for name in _walk(Path(self.path)):
            (found if name.lower().endswith(images.SUFFIXES) else others).append(name)
        if not found:
            kinds = ", ".join(suffix[1:] for suffix in images.SUFFIXES)
            raise UsageError(
                f"no photographs ({kinds}) in {self.path}: it holds {_some(sorted(others))}; name a folder of photographs"
            )
        labels = self._read_labels(set(found))
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
        return Photograph(image=images.decode_image(data, self.max_pixels), sha256=hashlib.sha256(data).hexdigest())

    def describe(self) -> dict[str, Any]:
        """Return what determines the data besides the files: the labels' hash and the limit. Not where the folder lies."""
        table = self._labels_path()
        return {"name": self.name, "labels": files.sha256_file(table) if table else "", "max_pixels": self.max_pixels}

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
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise UsageError(f"expected a CSV file in UTF-8 at {table}, but it cannot be read: {error}") from error
        return labels


def _refuse(table: Path, line: int, problem: str) -> NoReturn:
    raise UsageError(f"{table}, line {line}: {problem}")


def _some(names: list[str]) -> str:
    """Return how many other files there are, with the first of them as examples."""
    if not names:
        return "no files"
    shown = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
    return f"{len(names)} other file{'s' if len(names) > 1 else ''} ({shown})"


def _walk(root: Path) -> Iterator[str]:
    """Yield the paths of all files below a folder, relative to it, with ``/`` between the parts; in no certain order."""

    def fail(error: OSError) -> NoReturn:
        raise UsageError(f"cannot enter the folder {error.filename}: {error.strerror}") from error

    entered: set[tuple[int, int]] = set()
    for folder, subfolders, names in os.walk(root, onerror=fail, followlinks=True):
        status = Path(folder).stat()
        if (status.st_dev, status.st_ino) in entered:
            subfolders.clear()
            continue
        entered.add((status.st_dev, status.st_ino))
        # Of two ways to a folder through links, always the same one is taken.
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        for name in names:
            path = Path(folder, name)
            # A dangling link is kept, to be listed as unreadable; a pipe is not, for reading it would wait for ever.
            if not name.startswith(".") and (path.is_file() or not path.exists()):
                yield _printable(path.relative_to(root).as_posix())


def _printable(name: str) -> str:
    r"""Return a name that any file can hold: bytes that are not UTF-8 are written out, as in ``caf\xe9.jpg``."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")
