"""Output files: written beside their place and renamed into it, so that they are whole or not there.

Also hashing, and reading and writing of the two small formats that everything here keeps its records in, JSON and YAML.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from occface.errors import OccfaceError, UsageError, first_line

__all__ = [
    "atomic_path",
    "canonical_json",
    "make_folder",
    "parse_json_object",
    "read_json",
    "read_yaml",
    "remove_leftovers",
    "safe_name",
    "sha256_bytes",
    "sha256_file",
    "sha256_json",
    "unwritable",
    "write_bytes",
    "write_json",
    "write_text",
    "write_yaml",
]


#: How `atomic_path` names temporary files: of ``faces.h5``, by process 77, ``.faces.77.part.h5``.
_TEMPORARY = re.compile(r"\.(.+)\.\d+\.part(\.[^.]*)?")


def unwritable(path: str | os.PathLike[str], error: OSError) -> OccfaceError:
    """Return the error that says why a file or folder could not be written, and what to do."""
    reason = error.strerror or ("No space left on device" if "No space left" in str(error) else first_line(error))
    return OccfaceError(
        f"could not write {path}: {reason}; nothing already there was changed; free space or name another place and run again"
    )


def make_folder(path: str | os.PathLike[str]) -> Path:
    """Create a folder (and its parents) unless it exists.

    Raises
    ------
    OccfaceError
        If it cannot be created: a file stands there, or the place is read-only.
    """
    folder = Path(path)
    while True:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            return folder
        except OSError as error:
            was_there = isinstance(error, FileExistsError) and error.filename == str(folder)
            if not was_there or os.path.lexists(folder):  # else another program has removed it since
                raise unwritable(folder, error) from error


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path beside `path`; rename it to `path` when the block ends well, else remove it.

    The temporary file keeps the suffix, for libraries that choose a format by it. It is flushed to the disk before it is
    renamed, so after a crash `path` is the old file or the new one, never half of one.

    Raises
    ------
    OccfaceError
        If the disk is full or the place cannot be written; the message names `path`.
    """
    target = Path(path)
    make_folder(target.parent)
    temporary = target.with_name(f".{target.stem}.{os.getpid()}.part{target.suffix}")
    try:
        yield temporary
        with open(temporary, "rb+") as handle:
            os.fsync(handle.fileno())
        temporary.replace(target)
    except OSError as error:
        raise unwritable(target, error) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def remove_leftovers(folder: str | os.PathLike[str], *names: str, below: bool = False) -> None:
    """Remove the temporary files that killed processes left, where nobody else writes: see `occface.locking.working_alone`.

    Parameters
    ----------
    folder : path
        Where they lie; it need not be there.
    *names : str
        Only those of files of these names; by default of all.
    below : bool
        Also in the folders below it.
    """
    for left in (Path(folder).rglob if below else Path(folder).glob)(".*.part*"):
        found = _TEMPORARY.fullmatch(left.name)
        if found and (not names or found[1] + (found[2] or "") in names) and left.is_file():
            left.unlink(missing_ok=True)


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Write bytes to a file, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write UTF-8 text to a file, atomically."""
    write_bytes(path, text.encode())


def canonical_json(value: Any) -> str:
    """Return the one JSON text that equal plain values share: sorted keys, no spaces.

    Examples
    --------
    >>> canonical_json({"b": 1, "a": [1.5, None]})
    '{"a":[1.5,null],"b":1}'
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def parse_json_object(text: str) -> dict[str, Any]:
    """Return the object that a JSON text holds; an empty text holds an empty one.

    Raises
    ------
    ValueError
        If it is no JSON, or no object.
    """
    value = json.loads(text) if text else {}
    if not isinstance(value, dict):
        raise ValueError(f"expected a JSON object, got {type(value).__name__}")
    return value


def sha256_json(value: Any) -> str:
    """Return the SHA-256, in hexadecimal, of a plain value's canonical JSON."""
    return sha256_bytes(canonical_json(value).encode())


def safe_name(name: str) -> str:
    """Return a name with a dash in the place of characters that file names should not have.

    Examples
    --------
    >>> safe_name("CelebA-HQ: 16x16/a+b")
    'CelebA-HQ-16x16-a+b'
    """
    return re.sub(r"[^\w.+-]+", "-", name)


def sha256_bytes(data: bytes) -> str:
    """Return the SHA-256 of bytes, in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Write a plain value as readable JSON, atomically."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: str | os.PathLike[str]) -> Any:
    """Read a JSON file; a file that is none raises `UsageError` naming it."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"expected a JSON file at {path}, but it cannot be read: {error}") from error


def write_yaml(path: str | os.PathLike[str], value: Any) -> None:
    """Write a plain value as YAML, atomically, keys in the order given."""
    write_text(path, yaml.safe_dump(value, sort_keys=False, allow_unicode=True))


def read_yaml(path: str | os.PathLike[str]) -> Any:
    """Read a YAML file of plain values; a file that is none, or says too much, raises `UsageError` naming it."""
    try:
        value = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        said = _count(value, {})
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise UsageError(f"expected a YAML file at {path}, but it cannot be read: {first_line(error)}") from error
    if said > _MOST_VALUES:
        raise UsageError(f"expected at most {_MOST_VALUES} values in {path}, got more by its aliases: write them out")
    return value


_MOST_VALUES = 100_000
"""A few lines of YAML can stand for billions of values, each alias for many of the one before; to show them would never end."""


def _count(value: Any, counted: dict[int, float]) -> float:
    """Return how many values there are, those behind an alias at each place where it stands."""
    if not isinstance(value, dict | list):
        return 1
    if id(value) not in counted:
        counted[id(value)] = math.inf  # what holds itself
        counted[id(value)] = 1 + sum(_count(each, counted) for each in (value.values() if isinstance(value, dict) else value))
    return counted[id(value)]
