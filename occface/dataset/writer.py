"""Shards into one HDF5 file, written beside its place and renamed into it."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from occface import files, progress
from occface.dataset.schema import COLUMNS, SCHEMA_VERSION, SPLITS, UNCROPPED, Form, content_hash
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
        for split, count in counts.items():
            if count:
                group = file.create_group(split)
                for field in numeric:
                    group.create_dataset(field.path, (count, *field.shape), field.dtype)
                for name in COLUMNS:
                    group.create_dataset(name, (count,), h5py.string_dtype())
                if form.uncropped:
                    group.create_dataset(UNCROPPED, (count,), h5py.vlen_dtype(np.uint8))
        _fill(file, shards, [field.path for field in numeric], form.uncropped)
        hash_ = content_hash(file, configuration)
        file.attrs["schema_version"] = SCHEMA_VERSION
        file.attrs["mask_convention"] = "1 = occluded"
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


def _fill(file: h5py.File, shards: Sequence[Path], fields: Sequence[str], uncropped: bool) -> None:
    """Copy the shards' records into their groups, in order; the text, of which there is little, at the end."""
    data = {split: {name: file[split][name] for name in fields} for split in file}
    text: dict[str, dict[str, list[str]]] = {split: {name: [] for name in COLUMNS} for split in file}
    position = dict.fromkeys(file, 0)
    extra = ["split", *([UNCROPPED, "uncropped_sizes"] if uncropped else [])]
    with progress.bar(len(shards), "joining", "shard") as bar:
        for part in read_shards(shards, [*fields, *COLUMNS, *extra]):
            for split in np.unique(part["split"]).tolist():
                chosen = part["split"] == split
                start = position[split]
                position[split] = start + int(chosen.sum())
                for name in fields:
                    data[split][name][start : position[split]] = part[name][chosen]
                for name in COLUMNS:
                    text[split][name] += part[name][chosen].tolist()
                if uncropped:
                    kept = np.split(part[UNCROPPED], np.cumsum(part["uncropped_sizes"])[:-1])
                    for place, number in enumerate(np.flatnonzero(chosen).tolist()):
                        file[split][UNCROPPED][start + place] = kept[number]
            bar.update()
    for split, columns in text.items():
        for name, values in columns.items():
            file[split][name][:] = np.array(values, dtype=object)
