"""Is a data set whole: schema, shapes, ranges, landmarks, LR recomputed from HR and mask for a sample, content hash."""

from __future__ import annotations

import os
from typing import Any

import h5py
import numpy as np

from occface import seeding
from occface.dataset.config import DatasetConfig
from occface.dataset.pairs import occluded_lr
from occface.dataset.reader import DatasetFile
from occface.dataset.schema import COLUMNS, content_hash, fields
from occface.errors import first_line

__all__ = ["describe", "verify"]

#: Faces per split and mask type whose LR face is made again from HR and mask.
SAMPLE = 32


def describe(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return what is in a data set, as plain values: counts, mask types, configuration, versions, hashes, size in bytes.

    Raises
    ------
    UsageError
        If `path` is no data set.
    """
    data = DatasetFile(path)
    attributes = {key: value for key, value in data.attributes.items() if key not in {"configuration", "versions"}}
    return {
        "file": str(data.path),
        "bytes": data.path.stat().st_size,
        "faces": {split: data.count(split) for split in data.splits},
        "masks": sorted({mask for split in data.splits for mask in data.mask_types(split)}),
        **attributes,
        "configuration": data.configuration,
        "versions": data.attributes.get("versions"),
    }


def verify(path: str | os.PathLike[str]) -> list[str]:
    """Return what is wrong with a data set, a line each; an empty list means that it is whole.

    Raises
    ------
    UsageError
        If `path` is no data set at all.
    """
    data = DatasetFile(path)
    wrong: list[str] = []
    try:
        configuration = data.configuration
        masks = tuple(configuration["masks"])
        for split in data.splits:
            problems = _check_shapes(data.file[split], masks)
            wrong += [f"{split}/{problem}" for problem in problems or _check_values(data, split, configuration)]
        if not wrong and content_hash(data.file, configuration) != data.content_hash:
            wrong.append("the content does not give the content hash that the file carries")
    except (OSError, KeyError, ValueError, RuntimeError) as error:
        wrong.append(f"cannot be read: {first_line(error)}")
    return wrong


def _check_shapes(group: h5py.Group, masks: tuple[str, ...]) -> list[str]:
    wrong = []
    count = len(group["hr"]) if "hr" in group else 0
    expected = [(field.path, (count, *field.shape), field.dtype) for field in fields(masks)]
    for name, shape, dtype in [*expected, *((column, (count,), "object") for column in COLUMNS)]:
        if name not in group:
            wrong.append(f"{name} is missing")
        elif group[name].shape != shape or group[name].dtype != np.dtype(dtype):
            wrong.append(f"{name}: expected {dtype} {shape}, got {group[name].dtype} {group[name].shape}")
    return wrong


def _check_values(data: DatasetFile, split: str, configuration: dict[str, Any]) -> list[str]:
    """Return values out of range, and sampled LR faces that HR and mask do not give."""
    wrong = []
    masks = tuple(configuration["masks"])
    count = data.count(split)
    for field in fields(masks):
        for start in range(0, count, 1024):
            values = data.stack(split, field.path, start, start + 1024)
            if values.dtype.kind == "f" and not np.isfinite(values).all():
                wrong.append(f"{field.path}: values that are not finite from record {start} on")
                break
            if field.low is not None and (values.min() < field.low or values.max() > (field.high or 0)):
                low, high = values.min(), values.max()
                wrong.append(f"{field.path}: expected values in [{field.low:g}, {field.high:g}], got [{low:g}, {high:g}]")
                break
    if len(set(data.columns(split)["id"])) != count:
        wrong.append("id: the same id stands twice")
    if wrong:
        return wrong
    config = DatasetConfig.from_dict(configuration)
    for row in np.sort(seeding.rng(0, "verify", split).permutation(count)[:SAMPLE]).tolist():
        face = data.record(split, row, ["hr", "index"])
        for kind in masks:
            held = data.record(split, row, [f"occluded/{kind}/mask", f"occluded/{kind}/lr"])
            lr = occluded_lr(face["hr"], held[f"occluded/{kind}/mask"], kind, split, int(face["index"]), config)
            if not np.array_equal(lr, held[f"occluded/{kind}/lr"]):
                wrong.append(f"occluded/{kind}/lr: record {row} is not what hr and mask give")
    return wrong
