"""Shards into one HDF5 file, written beside its place and renamed into it."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from occface import files, progress
from occface.dataset.schema import (
    COLUMNS,
    MASK_CONVENTION,
    SCHEMA_VERSION,
    SPLITS,
    UNCROPPED,
    Form,
    combined_hash,
    sized,
    type_name,
)
from occface.dataset.shards import read_shards
from occface.errors import OccfaceError
from occface.versions import software_versions

__all__ = ["assemble"]


def _check_space(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise OccfaceError(
            f"the data set needs {needed / 1e6:.0f} MB in {folder}, which has {free / 1e6:.0f} MB free; "
            "what was made is kept: free space and run again with --resume"
        )


def assemble(output: Path, shards: Sequence[Path], root: dict[str, Any]) -> tuple[str, dict[str, int]]:
    """Write the shards as one HDF5 file; return its content hash and the number of faces per split.

    Parameters
    ----------
    output : Path
        The file to make, atomically.
    shards : sequence of Path
        The shards' files, in the order of their photographs.
    root : dict
        ``configuration`` (plain values), ``source`` and ``licence`` (text) for the root attributes.
    """
    configuration = root["configuration"]
    form = Form.of(configuration)
    counts = dict.fromkeys(SPLITS, 0)
    needed = 0
    for part in read_shards(shards, ["split", "uncropped_sizes"]):
        for split, count in zip(*np.unique(part["split"], return_counts=True), strict=True):
            counts[str(split)] += int(count)
        needed += int(part.get("uncropped_sizes", np.zeros(1)).sum())
    numeric = form.fields()
    needed += sum(counts.values()) * (1024 + sum(int(np.prod(f.shape)) * np.dtype(f.dtype).itemsize for f in numeric))
    _check_space(output.parent, needed)
    with files.atomic_path(output) as temporary, h5py.File(temporary, "w") as file:
        columns = {
            f"{split}/{name}": _Column(file.create_dataset(f"{split}/{name}", (count, *shape), dtype))
            for split, count in counts.items()
            for name, shape, dtype in _data_sets(form)
            if count
        }
        with progress.bar(len(shards), "joining", "shard") as bar:
            for part in read_shards(shards, [*(name for name, _, _ in _data_sets(form)), "split", "uncropped_sizes"]):
                _append(columns, part)
                bar.update()
        hash_ = combined_hash(configuration, {name: column.finish() for name, column in columns.items()})
        file.attrs["schema_version"] = SCHEMA_VERSION
        file.attrs["mask_convention"] = MASK_CONVENTION
        file.attrs["seed"] = configuration["seed"]
        file.attrs["source"] = root["source"]
        file.attrs["licence"] = root["licence"]
        file.attrs["detector"] = "+".join(configuration["detectors"])
        file.attrs["landmarker"] = configuration["landmarker"]
        if form.classes:
            file.attrs["parsing_classes"] = list(form.classes)
        file.attrs["configuration"] = files.canonical_json(configuration)
        file.attrs["versions"] = files.canonical_json(software_versions())
        file.attrs["content_hash"] = hash_
    return hash_, {split: count for split, count in counts.items() if count}


def _data_sets(form: Form) -> list[tuple[str, tuple[int, ...], Any]]:
    """Return path, shape of a record and HDF5 type of each data set of a group."""
    numeric: list[tuple[str, tuple[int, ...], Any]] = [(field.path, field.shape, field.dtype) for field in form.fields()]
    kept = [(UNCROPPED, (), h5py.vlen_dtype(np.uint8))] if form.uncropped else []
    return [*numeric, *((name, (), h5py.string_dtype()) for name in COLUMNS), *kept]


class _Column:
    """A data set that is filled from its beginning on, and the hash of what was put into it."""

    def __init__(self, data: h5py.Dataset) -> None:
        self.data = data
        self._digest = hashlib.sha256()
        self._filled = 0
        self._text: list[str] = []

    def append(self, values: np.ndarray | list[bytes]) -> None:
        """Put further records in; text, of which there is little, is written at the end."""
        start = self._filled
        self._filled += len(values)
        if isinstance(values, list):
            for place, value in enumerate(values):
                self._digest.update(sized(value))
                self.data[start + place] = np.frombuffer(value, np.uint8)
        elif values.dtype.kind == "U":
            self._text += values.tolist()
        else:
            values = np.ascontiguousarray(values)
            self._digest.update(values.data)
            self.data[start : self._filled] = values

    def finish(self) -> tuple[str, tuple[int, ...], str]:
        """Write what was kept back; return type, shape and hash."""
        if self._text:
            self._digest.update(b"".join(map(sized, self._text)))
            self.data[:] = np.array(self._text, dtype=object)
        return type_name(self.data.dtype), self.data.shape, self._digest.hexdigest()


def _append(columns: Mapping[str, _Column], part: dict[str, np.ndarray]) -> None:
    """Put a shard's records into the columns of their splits."""
    splits = part.pop("split")
    sizes = part.pop("uncropped_sizes", None)
    for split in np.unique(splits).tolist():
        chosen = splits == split
        for name, values in part.items():
            if name == UNCROPPED and sizes is not None:
                kept = np.split(values, np.cumsum(sizes)[:-1])
                columns[f"{split}/{name}"].append([kept[row].tobytes() for row in np.flatnonzero(chosen).tolist()])
            else:
                columns[f"{split}/{name}"].append(values if chosen.all() else values[chosen])
