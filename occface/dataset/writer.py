"""Shards into one HDF5 file, written beside its place and renamed into it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from occface import files
from occface.dataset.schema import COLUMNS, SCHEMA_VERSION, SPLITS, content_hash, fields
from occface.errors import OccfaceError
from occface.versions import software_versions

__all__ = ["assemble", "read_parts"]


def read_parts(paths: Sequence[Path], names: Sequence[str]) -> Iterator[dict[str, np.ndarray]]:
    """Yield the named arrays of each shard in turn."""
    for path in paths:
        try:
            with np.load(path, allow_pickle=False) as part:
                held = {name.replace("|", "/") for name in part.files}
                yield {name: part[name.replace("/", "|")] for name in names if name in held}
        except (OSError, ValueError, EOFError) as error:
            raise OccfaceError(f"the shard {path} is damaged ({error}): remove it and run again with --resume") from error


def _check_space(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise OccfaceError(
            f"the data set needs {needed / 1e6:.0f} MB in {folder}, which has {free / 1e6:.0f} MB free; "
            "what was made is kept: free space and run again with --resume"
        )


def assemble(output: Path, parts: Sequence[Path], masks: tuple[str, ...], root: dict[str, Any]) -> tuple[str, dict[str, int]]:
    """Write the shards as one HDF5 file; return its content hash and the number of faces per split.

    Parameters
    ----------
    output : Path
        The file to make, atomically.
    parts : sequence of Path
        The shards, in the order of their photographs.
    masks : tuple of str
        The mask types.
    root : dict
        ``configuration`` (plain values), ``source`` and ``licence`` (text) for the root attributes.
    """
    counts = dict.fromkeys(SPLITS, 0)
    for part in read_parts(parts, ["split"]):
        for split, count in zip(*np.unique(part["split"], return_counts=True), strict=True):
            counts[str(split)] += int(count)
    numeric = fields(masks)
    per_face = sum(int(np.prod(field.shape)) * np.dtype(field.dtype).itemsize for field in numeric)
    _check_space(output.parent, sum(counts.values()) * (per_face + 1024))
    with files.atomic_path(output) as temporary, h5py.File(temporary, "w") as file:
        for split, count in counts.items():
            if count:
                group = file.create_group(split)
                for field in numeric:
                    group.create_dataset(field.path, (count, *field.shape), field.dtype)
                for name in COLUMNS:
                    group.create_dataset(name, (count,), h5py.string_dtype())
        _fill(file, parts, [*(field.path for field in numeric), *COLUMNS])
        hash_ = content_hash(file, root["configuration"])
        file.attrs["schema_version"] = SCHEMA_VERSION
        file.attrs["mask_convention"] = "1 = occluded"
        file.attrs["seed"] = root["configuration"]["seed"]
        file.attrs["source"] = root["source"]
        file.attrs["licence"] = root["licence"]
        file.attrs["detector"] = root["configuration"]["detector"]
        file.attrs["landmarker"] = root["configuration"]["landmarker"]
        file.attrs["configuration"] = files.canonical_json(root["configuration"])
        file.attrs["versions"] = files.canonical_json(software_versions())
        file.attrs["content_hash"] = hash_
    return hash_, {split: count for split, count in counts.items() if count}


def _fill(file: h5py.File, parts: Sequence[Path], names: Sequence[str]) -> None:
    """Copy the shards' records into their groups, in order."""
    position = dict.fromkeys(file, 0)
    for part in read_parts(parts, [*names, "split"]):
        for split in np.unique(part["split"]).tolist():
            chosen = part["split"] == split
            start = position[split]
            position[split] = start + int(chosen.sum())
            for name in names:
                values = part[name][chosen]
                file[split][name][start : position[split]] = values.astype(object) if values.dtype.kind == "U" else values
