"""The HDF5 file of occluded LR / non-occluded HR face pairs: what lies where, in which shape and type.

Version 1. Groups ``train`` and ``test`` (and ``val`` where asked for) hold the same data sets; N is the number of faces
of the group. Everything is contiguous and uncompressed, so a random record costs one seek. Masks are 1 where occluded.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np

from occface import files
from occface.sources.base import SPLITS

__all__ = [
    "ATTRIBUTES",
    "COLUMNS",
    "HR_SIZE",
    "LANDMARKS",
    "LR_SIZE",
    "MASK_CONVENTION",
    "SCHEMA_VERSION",
    "SPLITS",
    "UNCROPPED",
    "UNKNOWN_CLASS",
    "Field",
    "Form",
    "content_hash",
    "mask_types",
]

SCHEMA_VERSION = 1
HR_SIZE = 128
LR_SIZE = 16
LANDMARKS = 68

#: Per-face columns of text, stored as variable-length UTF-8. ``labels`` is one JSON object of whatever else is known.
COLUMNS = ("id", "identity", "expression", "pose", "labels", "path", "sha256", "detector", "landmarker")

#: The class of parsing maps where the source has no map of the photograph.
UNKNOWN_CLASS = 255

#: What masks mean, as files say it.
MASK_CONVENTION = "1 = occluded"

#: The photographs themselves, as files, where they were asked for: variable-length bytes.
UNCROPPED = "uncropped"

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
    may_be_nan: bool = False


@dataclass(frozen=True)
class Form:
    """What the records of a data set hold beyond what all have.

    Attributes
    ----------
    masks : tuple of str
        The mask types.
    classes : tuple of str
        The names of the classes of the parsing maps; empty where there are none.
    annotated : int
        How many points the source's own annotation has; 0 where it has none.
    uncropped : bool
        Whether the photographs themselves are there.
    """

    masks: tuple[str, ...]
    classes: tuple[str, ...] = ()
    annotated: int = 0
    uncropped: bool = False

    @classmethod
    def of(cls, configuration: Mapping[str, Any]) -> Form:
        """Return that of a data set's recorded configuration."""
        own = configuration["source"]
        return cls(
            tuple(configuration["masks"]), tuple(own["classes"]), int(own["annotated"]), bool(configuration["keep_uncropped"])
        )

    def fields(self) -> tuple[Field, ...]:
        """Return the numeric data sets of a group."""
        face = [
            Field("hr", (HR_SIZE, HR_SIZE, 3), "uint8"),
            Field("lr_clean", (LR_SIZE, LR_SIZE, 3), "uint8"),
            Field("landmarks", (LANDMARKS, 2), "float32", -HR_SIZE, 2 * HR_SIZE),
            # The photograph's number in its split and the face's in the photograph, which all randomness hangs on.
            Field("index", (), "int64", 0, 2**62),
            Field("face", (), "int64", 0, 2**31),
            Field("box", (4,), "float32"),
            Field("transform", (2, 3), "float64"),
        ]
        if self.classes:
            face.append(Field("parsing", (HR_SIZE, HR_SIZE), "uint8"))
        if self.annotated:
            face.append(Field("annotation", (self.annotated, 2), "float32", may_be_nan=True))
        for mask in self.masks:
            face += [
                Field(f"occluded/{mask}/mask", (HR_SIZE, HR_SIZE), "uint8", 0, 1),
                Field(f"occluded/{mask}/lr", (LR_SIZE, LR_SIZE, 3), "uint8"),
                Field(f"occluded/{mask}/landmarks_lr", (LANDMARKS, 2), "float32", -HR_SIZE, 2 * HR_SIZE),
            ]
        return tuple(face)


def mask_types(group: Any) -> tuple[str, ...]:
    """Return the mask types that a group of an open HDF5 file holds, sorted."""
    return tuple(sorted(group["occluded"]))


def content_hash(file: Any, configuration: Mapping[str, Any], block: int = 512) -> str:
    """Return the SHA-256 of what an open HDF5 file says: its configuration and every data set's name, type, shape, values.

    The order of writing, the layout and the versions of the software that wrote the file do not matter. It is the hash of a
    text with a line for each data set, in the order of their names, that holds the hash of its values: of numbers their bytes,
    of text and photographs each value with its length before it.
    """
    digests = {}
    found: list[str] = []
    file.visit(lambda name: found.append(name) if hasattr(file[name], "dtype") else None)
    for name in found:
        digest = hashlib.sha256()
        data = file[name]
        if data.dtype.kind == "O":
            for number in range(len(data)):  # one by one: they may be whole photographs
                digest.update(sized(data[number]))
        else:
            for start in range(0, len(data), block):
                digest.update(np.ascontiguousarray(data[start : start + block]).data)
        digests[name] = (type_name(data.dtype), data.shape, digest.hexdigest())
    return combined_hash(configuration, digests)


def type_name(dtype: np.dtype[Any]) -> str:
    """Return how the content hash names a type: ``str`` and ``bytes`` for those of variable length."""
    if dtype.kind != "O":
        return str(dtype.str)
    return "str" if h5py.check_string_dtype(dtype) is not None else "bytes"


def sized(value: bytes | str | np.ndarray) -> bytes:
    """Return a value of variable length as the content hash takes it: its length in eight bytes, and its bytes."""
    data = value.encode() if isinstance(value, str) else bytes(value)
    return len(data).to_bytes(8, "little") + data


def combined_hash(configuration: Mapping[str, Any], digests: Mapping[str, tuple[str, tuple[int, ...], str]]) -> str:
    """Return the content hash, given type, shape and hash of the values of each data set by its name."""
    lines = [f"{name}|{type_}|{shape}|{digest}" for name, (type_, shape, digest) in sorted(digests.items())]
    return hashlib.sha256("\n".join([files.canonical_json(configuration), *lines]).encode()).hexdigest()
