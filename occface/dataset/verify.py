"""Is a data set whole: schema, shapes, ranges, landmarks, LR recomputed from HR and mask for a sample, content hash."""

from __future__ import annotations

import hashlib
import os
from typing import Any

import h5py
import numpy as np

from occface import seeding
from occface.dataset.pairs import Degradation, Place
from occface.dataset.reader import DatasetFile
from occface.dataset.schema import (
    COLUMNS,
    HR_SIZE,
    LANDMARKS,
    LR_SIZE,
    UNCROPPED,
    UNKNOWN_CLASS,
    Field,
    Form,
    content_hash,
)
from occface.errors import first_line
from occface.occlusion.degrade import downsample

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
        form = Form.of(configuration)
        for split in data.splits:
            problems = _check_shapes(data.file[split], form)
            wrong += [f"{split}/{problem}" for problem in problems or _check_values(data, split, configuration, form)]
        if not wrong and content_hash(data.file, configuration) != data.content_hash:
            wrong.append("the content does not give the content hash that the file carries")
    except (OSError, KeyError, ValueError, TypeError, RuntimeError) as error:
        wrong.append(f"cannot be read: {first_line(error)}")
    return wrong


def _check_shapes(group: h5py.Group, form: Form) -> list[str]:
    wrong = []
    count = len(group["hr"]) if "hr" in group else 0
    expected = [(field.path, (count, *field.shape), field.dtype) for field in form.fields()]
    expected += [(name, (count,), "object") for name in (*COLUMNS, *([UNCROPPED] if form.uncropped else []))]
    for name, shape, dtype in expected:
        if name not in group:
            wrong.append(f"{name} is missing")
        elif group[name].shape != shape or group[name].dtype != np.dtype(dtype):
            wrong.append(f"{name}: expected {dtype} {shape}, got {group[name].dtype} {group[name].shape}")
    return wrong


def _check_values(data: DatasetFile, split: str, configuration: dict[str, Any], form: Form) -> list[str]:
    """Return values that cannot be, and sampled records of which one part does not fit another."""
    count = data.count(split)
    wrong = []
    for field in form.fields():
        for start in range(0, count, 1024):
            problem = _wrong_values(field, data.stack(split, field.path, start, start + 1024), form)
            if problem:
                wrong.append(f"{field.path}, records from {start} on: {problem}")
                break
    if len(set(data.columns(split)["id"])) != count:
        wrong.append("id: the same id stands twice")
    for row in [] if wrong else np.sort(seeding.rng(0, "verify", split).permutation(count)[:SAMPLE]).tolist():
        wrong += _check_record(data, split, row, Degradation.of(configuration), form)
    return wrong


def _wrong_values(field: Field, values: np.ndarray, form: Form) -> str:
    """Return what is wrong with the values of a field, or nothing."""
    if values.dtype.kind == "f" and not field.may_be_nan and not np.isfinite(values).all():
        return "values that are not finite"
    if field.low is not None and field.high is not None and (values.min() < field.low or values.max() > field.high):
        return f"expected values in [{field.low:g}, {field.high:g}], got [{values.min():g}, {values.max():g}]"
    if field.path == "landmarks":
        # Single points of a face that looks aside may lie outside the crop, but not most of them.
        inside = ((values > -0.5) & (values < HR_SIZE - 0.5)).all(axis=2).sum(axis=1)
        if inside.min() < LANDMARKS // 2:
            return f"of the 68 landmarks of record {int(inside.argmin())} of these only {inside.min()} lie in the crop"
    if field.path == "parsing" and not np.isin(values, [*range(len(form.classes)), UNKNOWN_CLASS]).all():
        return f"expected classes below {len(form.classes)}, or {UNKNOWN_CLASS} where not known, got {values.max()}"
    return ""


def _check_record(data: DatasetFile, split: str, row: int, degradation: Degradation, form: Form) -> list[str]:
    """Make the LR faces of one record again, and compare."""
    wrong = []
    face = data.record(split, row, ["hr", "lr_clean", "index", "face"])
    place = Place(split, int(face["index"]), int(face["face"]))
    if not np.array_equal(downsample(face["hr"], LR_SIZE, degradation.lr_kernel), face["lr_clean"]):
        wrong.append(f"lr_clean: record {row} is not what hr gives")
    for kind in form.masks:
        names = (f"occluded/{kind}/mask", f"occluded/{kind}/lr")
        held = data.record(split, row, names)
        if not np.array_equal(degradation.occluded_lr(face["hr"], held[names[0]], kind, place), held[names[1]]):
            wrong.append(f"{names[1]}: record {row} is not what hr and mask give")
    if form.uncropped:
        columns = data.file[split]
        kept, named = data.record(split, row, [UNCROPPED])[UNCROPPED], columns["sha256"].asstr()[row]
        if columns["path"].asstr()[row] and hashlib.sha256(kept.tobytes()).hexdigest() != named:
            wrong.append(f"{UNCROPPED}: record {row} is not the photograph that its sha256 names")
    return wrong
