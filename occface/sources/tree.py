"""What lies below a folder: names of files in any arrangement, and fingerprints of many files."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from occface import files
from occface.errors import UsageError

__all__ = ["contents_digest", "printable", "require_folder", "sizes_digest", "some", "walk"]


def require_folder(path: str, what: str) -> Path:
    """Return a folder that must be there; `what` is what it should hold, in words.

    Raises
    ------
    UsageError
        If there is none.
    """
    if not Path(path).is_dir():
        state = "it is a file" if Path(path).exists() else "there is nothing of that name"
        raise UsageError(f"expected a folder of {what} at {path}, but {state}")
    return Path(path)


def walk(root: Path) -> Iterator[str]:
    """Yield the paths of all files below a folder, relative to it, with ``/`` between the parts; in no certain order.

    Links are followed, and each folder is entered once. Names that begin with a dot are passed over.

    Raises
    ------
    UsageError
        If a folder cannot be entered.
    """
    entered: set[tuple[int, int]] = set()
    # By names alone, without a look at each file: there are data sets of 750,000.
    waiting = [""]
    while waiting:
        below = waiting.pop()
        folder = root / below
        try:
            status = folder.stat()
            if (status.st_dev, status.st_ino) in entered:
                continue
            entered.add((status.st_dev, status.st_ino))
            with os.scandir(folder) as listing:
                entries = [entry for entry in listing if not entry.name.startswith(".")]
        except OSError as error:
            raise UsageError(f"cannot enter the folder {error.filename}: {error.strerror}") from error
        subfolders = []
        for entry in entries:
            name = f"{below}/{entry.name}" if below else entry.name
            if entry.is_dir():
                subfolders.append(name)
            # A dangling link is kept, to be listed as unreadable; a pipe is not, for reading it would wait for ever.
            elif entry.is_file() or (entry.is_symlink() and not Path(entry.path).exists()):
                yield printable(name)
        # Of two ways to a folder through links, always the same one is taken: the first by name.
        waiting += sorted(subfolders, reverse=True)


def printable(name: str) -> str:
    r"""Return a name that any file can hold: bytes that are not UTF-8 are written out, as in ``caf\xe9.jpg``."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def some(names: Iterable[str]) -> str:
    """Return how many files there are, with the first of them as examples.

    Examples
    --------
    >>> some(["d.txt", "c.txt", "b.txt", "a.txt"])
    '4 other files (a.txt, b.txt, c.txt, ...)'
    """
    found = sorted(names)
    if not found:
        return "no files"
    shown = ", ".join(found[:3]) + (", ..." if len(found) > 3 else "")
    return f"{len(found)} other file{'s' if len(found) > 1 else ''} ({shown})"


def contents_digest(folder: Path) -> str:
    """Return a SHA-256 over the names and contents of all files below a folder."""
    return files.sha256_json([[name, files.sha256_file(folder / name)] for name in sorted(walk(folder))])


def sizes_digest(folder: Path) -> str:
    """Return a SHA-256 over the names and sizes of all files below a folder: for so many files that reading them takes long."""
    digest = hashlib.sha256()
    for name in sorted(walk(folder)):
        path = folder / name
        digest.update(f"{name}\0{path.stat().st_size if path.exists() else -1}\0".encode())
    return digest.hexdigest()
