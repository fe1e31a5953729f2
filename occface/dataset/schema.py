"""The HDF5 file of occluded LR / non-occluded HR face pairs: what lies where, in which shape and type.

Version 1. Groups ``train`` and ``test`` (and ``val`` where asked for) hold the same data sets; N is the number of faces
of the group. Everything is contiguous and uncompressed, so a random record costs one seek. Masks are 1 where occluded.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from occface import files
from occface.sources.base import SPLITS

__all__ = [
    "ATTRIBUTES",
    "COLUMNS",
    "HR_SIZE",
    "LANDMARKS",
    "LR_SIZE",
    "SCHEMA_VERSION",
    "SPLITS",
    "Field",
    "content_hash",
    "fields",
    "mask_types",
]

SCHEMA_VERSION = 1
HR_SIZE = 128
LR_SIZE = 16
LANDMARKS = 68

#: Per-face columns of text, stored as variable-length UTF-8.
COLUMNS = ("id", "identity", "expression", "pose", "path", "sha256")


#: Root attributes that every file has.
ATTRIBUTES = ("schema_version", "configuration", "content_hash", "source", "licence")


@dataclass(frozen=True)
class Field:
    """One data set of a group: its path below the group, the shape of one record, its type, and the values allowed."""

    path: str
    shape: tuple[int, ...]
    dtype: str
    low: float | None = None
    high: float | None = None


def fields(masks: tuple[str, ...]) -> tuple[Field, ...]:
    """Return the numeric data sets of a group for the given mask types."""
    face = (
        Field("hr", (HR_SIZE, HR_SIZE, 3), "uint8"),
        Field("lr_clean", (LR_SIZE, LR_SIZE, 3), "uint8"),
        Field("landmarks", (LANDMARKS, 2), "float32", -HR_SIZE, 2 * HR_SIZE),
        Field("index", (), "int64", 0, 2**62),  # the photograph's number in its split, which all randomness hangs on
        Field("box", (4,), "float32"),
        Field("transform", (2, 3), "float64"),
    )
    occluded = []
    for mask in masks:
        occluded += [
            Field(f"occluded/{mask}/mask", (HR_SIZE, HR_SIZE), "uint8", 0, 1),
            Field(f"occluded/{mask}/lr", (LR_SIZE, LR_SIZE, 3), "uint8"),
            Field(f"occluded/{mask}/landmarks_lr", (LANDMARKS, 2), "float32", -HR_SIZE, 2 * HR_SIZE),
        ]
    return face + tuple(occluded)


def mask_types(group: Any) -> tuple[str, ...]:
    """Return the mask types that a group of an open HDF5 file holds, sorted."""
    return tuple(sorted(group["occluded"]))


def content_hash(file: Any, configuration: dict[str, Any], block: int = 512) -> str:
    """Return the SHA-256 of what an open HDF5 file says: its configuration and every data set's name, type, shape, values.

    The order of writing, the layout and the versions of the software that wrote the file do not matter.
    """
    digest = hashlib.sha256(files.canonical_json(configuration).encode())
    found: list[str] = []
    file.visit(lambda name: found.append(name) if hasattr(file[name], "dtype") else None)
    for name in sorted(found):
        data = file[name]
        text = data.dtype.kind == "O"
        digest.update(f"{name}|{'str' if text else data.dtype.str}|{data.shape}".encode())
        for start in range(0, len(data), block):
            values = data[start : start + block]
            digest.update(b"\0".join(values.tolist()) + b"\0" if text else np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()
