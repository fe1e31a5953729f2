"""The text files that come with CelebA and CelebAMask-HQ: attributes, poses, the way back to CelebA, its splits and people."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from occface.errors import UsageError

__all__ = [
    "ATTRIBUTES",
    "IDENTITIES",
    "MAPPING",
    "PARTITION",
    "POSES",
    "TABLES",
    "read_identities",
    "read_mapping",
    "read_partition",
    "read_values",
]

ATTRIBUTES = "CelebAMask-HQ-attribute-anno.txt"
POSES = "CelebAMask-HQ-pose-anno.txt"
MAPPING = "CelebA-HQ-to-CelebA-mapping.txt"
PARTITION = "list_eval_partition.txt"
IDENTITIES = "identity_CelebA.txt"
TABLES = (ATTRIBUTES, POSES, MAPPING, PARTITION, IDENTITIES)

_SPLITS = {"0": "train", "1": "val", "2": "test"}


def _refuse(path: Path, line: int, problem: str) -> NoReturn:
    raise UsageError(f"{path}, line {line}: {problem}")


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the number and the words of each line that has any."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"expected a text file in UTF-8 at {path}, but it cannot be read: {error}") from error
    for number, line in enumerate(text.splitlines(), 1):
        if words := line.split():
            yield number, words


def read_values(path: Path) -> dict[int, dict[str, float]]:
    """Read a table of numbers per photograph: first their count, then the columns' names, then a line per photograph.

    Parameters
    ----------
    path : Path
        ``CelebAMask-HQ-attribute-anno.txt`` (40 attributes, 1 or -1) or ``CelebAMask-HQ-pose-anno.txt`` (degrees).

    Returns
    -------
    dict of int to dict
        By the photograph's number, the values by the columns' names.

    Raises
    ------
    UsageError
        If it is no such table; the message names the line.
    """
    found: dict[int, dict[str, float]] = {}
    names: list[str] = []
    for place, (line, words) in enumerate(_rows(path)):
        if place == 0:
            continue
        if place == 1:
            names = words
            continue
        stem = Path(words[0]).stem
        if not stem.isdecimal() or len(words) != len(names) + 1:
            _refuse(path, line, f"expected a numbered photograph and {len(names)} values, got {' '.join(words)[:40]}")
        try:
            values = [float(word) for word in words[1:]]
        except ValueError:
            values = [math.nan]
        if not all(map(math.isfinite, values)):
            _refuse(path, line, f"expected {len(names)} numbers, got {' '.join(words[1:])[:40]}")
        found[int(stem)] = dict(zip(names, values, strict=True))
    return found


def read_mapping(path: Path) -> dict[int, str]:
    """Read which file of CelebA each photograph was made from: a headline, then its number, CelebA's number and file name."""
    found: dict[int, str] = {}
    for place, (line, words) in enumerate(_rows(path)):
        if place == 0:
            continue
        if len(words) != 3 or not words[0].isdecimal():
            _refuse(path, line, f"expected a number, CelebA's number and its file name, got {' '.join(words)[:40]}")
        found[int(words[0])] = words[2]
    return found


def _pairs(path: Path) -> Iterator[tuple[int, str, str]]:
    for line, words in _rows(path):
        if len(words) != 2:
            _refuse(path, line, f"expected a file name and a number, got {' '.join(words)[:40]}")
        yield line, words[0], words[1]


def read_partition(path: Path) -> dict[str, str]:
    """Read CelebA's own splits by file name: 0 is train, 1 val, 2 test."""
    found: dict[str, str] = {}
    for line, name, number in _pairs(path):
        if number not in _SPLITS:
            _refuse(path, line, f"expected a split of 0, 1 or 2, got '{number}'")
        found[name] = _SPLITS[number]
    return found


def read_identities(path: Path) -> dict[str, str]:
    """Read CelebA's numbers of people by file name."""
    return {name: person for _, name, person in _pairs(path)}
