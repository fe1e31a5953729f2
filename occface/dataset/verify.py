"""Is a data set whole: attributes, schema, shapes, ranges, landmarks, LR made again for a sample, content hash."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Mapping
from typing import Any

import h5py
import numpy as np

from occface import files, seeding
from occface.dataset.pairs import Degradation, Place
from occface.dataset.reader import DAMAGE, DatasetFile
from occface.dataset.schema import (
    ATTRIBUTES,
    COLUMNS,
    HR_SIZE,
    LANDMARKS,
    LR_SIZE,
    MASK_CONVENTION,
    UNCROPPED,
    UNKNOWN_CLASS,
    Field,
    Form,
    content_hash,
    type_name,
)
from occface.errors import OccfaceError, UsageError, first_line
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
    try:
        attributes = {key: value for key, value in data.attributes.items() if key not in {"configuration", "versions"}}
        for split in data.splits:
            if not isinstance(data.file[split].get("hr"), h5py.Dataset):
                raise ValueError(f"{split} has no data set hr")
        said = {
            "file": str(data.path),
            "bytes": data.path.stat().st_size,
            "faces": {split: data.count(split) for split in data.splits},
            "masks": sorted({mask for split in data.splits for mask in data.mask_types(split)}),
            **attributes,
            "configuration": data.configuration,
            "versions": data.attributes.get("versions"),
        }
        files.canonical_json(said).encode()  # attributes of a damaged file may be what no text can hold
    except DAMAGE as error:
        raise UsageError(f"{data.path} is damaged: {first_line(error)}; `occface verify` says what is wrong with it") from error
    return said


def verify(path: str | os.PathLike[str]) -> list[str]:
    """Return what is wrong with a data set, a line each; an empty list means that it is whole.

    Raises
    ------
    UsageError
        If `path` is no data set at all.
    """
    data = DatasetFile(path)
    configuration = data.configuration
    form = Form.of(configuration)
    wrong = _check_attributes(data.attributes, configuration)
    try:
        content: list[str] = []
        for split in data.splits:
            problems = _check_names(data.file[split], form) + _check_shapes(data.file[split], form)
            content += [f"{split}/{problem}" for problem in problems or _check_values(data, split, configuration, form)]
        if not content and content_hash(data.file, configuration) != data.content_hash:
            held = ", ".join(f"{data.count(split)} faces in {split}" for split in data.splits) or "no group of faces"
            content.append(
                f"the content does not give the content hash that the file carries: values, the configuration or the hash "
                f"were changed, or a group is missing (it holds {held})"
            )
        wrong += content
    except (*DAMAGE, OccfaceError) as error:
        wrong.append(f"cannot be read: {first_line(error)}")
    return wrong


def _check_attributes(attributes: Mapping[str, Any], configuration: Mapping[str, Any]) -> list[str]:
    """Return the root attributes that say something else than the configuration, that are missing or not known."""
    source = configuration["source"]
    expected = {
        "mask_convention": MASK_CONVENTION,
        "seed": configuration["seed"],
        "detector": "+".join(configuration["detectors"]),
        "landmarker": configuration["landmarker"],
    }
    if source["classes"]:
        expected["parsing_classes"] = source["classes"]
    expected |= {name: source[key] for name, key in (("source", "name"), ("licence", "licence")) if key in source}
    known = {*expected, *ATTRIBUTES, "versions"}
    return [
        *(f"root attribute {name} is missing" for name in sorted(known - set(attributes))),
        *(f"root attribute {name} is unknown" for name in sorted(set(attributes) - known)),
        *(
            f"root attribute {name}: expected {value!r}, as the file was made, got {attributes[name]!r}"
            for name, value in expected.items()
            if name in attributes and attributes[name] != value
        ),
    ]


def _check_names(group: h5py.Group, form: Form) -> list[str]:
    """Return the groups and data sets that do not belong into a split."""
    known = {*COLUMNS, *(field.path for field in form.fields()), *([UNCROPPED] if form.uncropped else [])}
    groups = {"occluded", *(f"occluded/{mask}" for mask in form.masks)}
    held = [*group]
    for path in sorted(groups):
        if isinstance(below := group.get(path), h5py.Group):
            held += [f"{path}/{name}" for name in below]
    return [f"{name} is unknown" for name in sorted(set(held) - known - groups)]


def _check_shapes(group: h5py.Group, form: Form) -> list[str]:
    """Return the data sets that are missing, or that have another type or shape than they must."""
    expected = [(field.path, field.shape, field.dtype) for field in form.fields()]
    expected += [(name, (), "str") for name in COLUMNS] + ([(UNCROPPED, (), "bytes")] if form.uncropped else [])
    held = {name: group.get(name) for name, _, _ in expected}
    lengths = Counter(len(data) for data in held.values() if isinstance(data, h5py.Dataset) and data.shape)
    if not lengths:
        return ["hr and all other data sets are missing"]
    # One data set of another length must not put the blame on all others.
    count = lengths.most_common(1)[0][0]
    wrong = []
    for name, shape, dtype in expected:
        data = held[name]
        if data is None:
            wrong.append(f"{name} is missing")
        elif not isinstance(data, h5py.Dataset):
            wrong.append(f"{name}: expected a data set, got a group")
        elif data.shape != (count, *shape) or _type(data.dtype) != dtype:
            wrong.append(f"{name}: expected {dtype} {(count, *shape)}, got {_type(data.dtype)} {data.shape}")
    return wrong


def _type(dtype: np.dtype[Any]) -> str:
    """Return the name of a type: ``str`` and ``bytes`` for those of variable length."""
    return type_name(dtype) if dtype.kind == "O" else str(dtype)


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
