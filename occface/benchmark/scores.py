"""Score rows: one for each image, pipeline, data set and mask type. Every table is built from them alone.

They are kept as plain CSV files, each with a JSON file of the same name beside it that says what made it.
"""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from occface import files
from occface.errors import UsageError, first_line
from occface.versions import software_versions

__all__ = ["COLUMNS", "KEY", "MASKS_GIVEN", "ORDERS", "ScoreRow", "load_scores", "read_facts", "read_scores", "write_scores"]

#: What a pipeline does, in the order of the paper's tables: super-resolution (SR) alone; SR, then face inpainting, which the
#: paper calls PA; the other way round; both in one network. A reference is no competitor: the ground truth, say.
ORDERS = ("SR", "SR+PA", "PA+SR", "joint", "reference")
#: The mask that a pipeline was given: none, the true one, or one that was estimated from the LR face.
MASKS_GIVEN = ("", "true", "estimated")
#: 4: what a pipeline was trained on, and a column for each metric.
_SCHEMA_VERSION = 4


@dataclass(frozen=True)
class ScoreRow:
    """The scores of one image restored by one pipeline, or the reason why there are none.

    Attributes
    ----------
    dataset, mask_type, order, pipeline : str
        What was run on what: ``"demo"``, ``"square"``, one of `ORDERS`, ``"bicubic+gfc"``.
    trained_on : str
        The data set that its methods learnt from; empty where none learns.
    mask_given : str
        One of `MASKS_GIVEN`: empty where the pipeline needs no mask.
    image : str
        The photograph's id in its source.
    index : int
        Its place in the data set's scored part.
    identity, expression, pose : str
        As the data set says, empty where it does not.
    hole_area : float
        The occluded fraction of the HR face, in [0, 1].
    seconds : float or None
        Time the pipeline took for this image. None where it was not measured.
    error : str
        Why the image failed; empty where it did not.
    missed : bool or None
        Whether a method that searches, such as PULSE, missed its own aim; 1 or 0 in the file. None where none searches.
    scores : mapping of str to float or str
        By the names of the metrics' columns; NaN, or an empty text, where there is none. Empty where the image failed.

    Raises
    ------
    ValueError
        If there are scores and an error, or neither, or the order or the mask given is unknown.
    """

    dataset: str
    mask_type: str
    order: str
    pipeline: str
    image: str
    index: int
    trained_on: str = ""
    mask_given: str = ""
    identity: str = ""
    expression: str = ""
    pose: str = ""
    hole_area: float = 0.0
    seconds: float | None = None
    error: str = ""
    missed: bool | None = None
    scores: Mapping[str, float | str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.error and self.scores:
            raise ValueError(f"expected no scores for the failed image '{self.image}', got {dict(self.scores)}")
        if not self.error and not self.scores:
            raise ValueError(f"expected scores or an error for image '{self.image}', got neither")
        if self.order not in ORDERS:
            raise ValueError(f"expected an order out of {', '.join(ORDERS)}, got '{self.order}'")
        if self.mask_given not in MASKS_GIVEN:
            raise ValueError(f"expected the mask given to be true, estimated or empty, got '{self.mask_given}'")

    @property
    def key(self) -> tuple[str, ...]:
        """What no two rows may share, the columns of `KEY`."""
        return tuple(getattr(self, name) for name in KEY)


KEY = ("dataset", "mask_type", "pipeline", "trained_on", "mask_given", "image")
COLUMNS: tuple[str, ...] = (
    "dataset", "mask_type", "order", "pipeline", "trained_on", "mask_given", "image", "index", "identity", "expression", "pose",
    "hole_area", "seconds", "error", "missed",
)  # fmt: skip
_FLOATS = ("hole_area", "seconds", "missed")
assert set(COLUMNS) == {entry.name for entry in fields(ScoreRow)} - {"scores"}


def write_scores(
    path: str | os.PathLike[str],
    rows: Iterable[ScoreRow],
    metrics: Sequence[str] = ("psnr", "ssim"),
    facts: Mapping[str, Any] | None = None,
) -> None:
    """Write score rows as CSV, and what made them as JSON beside it; both atomically, the JSON last.

    Rows are sorted, and floats written so that reading gives the same float, so equal rows give equal bytes.

    Parameters
    ----------
    path : path
        The CSV file. Its folder may hold others: `load_scores` reads them together.
    rows : iterable of ScoreRow
        In any order.
    metrics : sequence of str
        The columns of scores, in this order.
    facts : mapping, optional
        Plain values to keep about this file: hashes of data and weights, seeds, device. Added are the file's hash, the numbers
        of rows, failures and misses, and the versions of the software.

    Raises
    ------
    ValueError
        If two rows are for the same image and pipeline, or a row has other scores than `metrics` says.
    OccfaceError
        If the place cannot be written.
    """
    target = Path(path)
    ordered = sorted(rows, key=lambda row: (row.dataset, row.mask_type, ORDERS.index(row.order), *row.key[2:5], row.index))
    keys = [row.key for row in ordered]
    if len(set(keys)) != len(keys):
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"expected one row for each of {', '.join(KEY)}, got two for {twice}")
    for row in ordered:
        if row.scores and set(row.scores) != set(metrics):
            raise ValueError(f"expected the scores {', '.join(metrics)} of image '{row.image}', got {', '.join(row.scores)}")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*COLUMNS, *metrics])
    for row in ordered:
        values = [*(getattr(row, name) for name in COLUMNS), *(row.scores.get(name) for name in metrics)]
        writer.writerow([_cell(value) for value in values])
    files.write_text(target, text.getvalue())
    about = {
        "schema_version": _SCHEMA_VERSION,
        "sha256": files.sha256_file(target),
        "rows": len(ordered),
        "failed": sum(bool(row.error) for row in ordered),
        "missed": sum(bool(row.missed) for row in ordered),
        "versions": software_versions(),
        **(facts or {}),
    }
    files.write_json(target.with_suffix(".json"), about)


def read_facts(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return what made a score file, or nothing where that is not known: the file is not there, or was changed since."""
    target = Path(path)
    beside = target.with_suffix(".json")
    if not target.exists() or not beside.exists():
        return {}
    try:
        facts = files.read_json(beside)
    except UsageError:  # damaged: as good as not there
        return {}
    same = isinstance(facts, dict) and facts.get("schema_version") == _SCHEMA_VERSION
    return facts if same and files.sha256_file(target) == facts.get("sha256") else {}


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(int(value))
    # A numpy float is a float, but its repr is not that of one. NaN says that there is no value.
    return ("" if math.isnan(value) else repr(float(value))) if isinstance(value, float | np.floating) else str(value)


def load_scores(folder: str | os.PathLike[str], names: Iterable[str] | None = None) -> pd.DataFrame:
    """Read the score files of a folder into one frame, in a fixed order.

    Parameters
    ----------
    folder : path
        The folder.
    names : iterable of str, optional
        The files to read; all (``*.csv``) by default.

    Returns
    -------
    pandas.DataFrame
        `COLUMNS`, then a column for each metric of any file, in the order of their first file; numbers that are missing are
        NaN, texts that are missing are empty.

    Raises
    ------
    UsageError
        If there is no score file, one is not of this form, or two hold a row for the same image and pipeline, which would
        count it twice.
    """
    paths = sorted(Path(folder).glob("*.csv")) if names is None else sorted(Path(folder) / name for name in names)
    if not paths:
        raise UsageError(
            f"expected score files (*.csv) in {folder}, found none; run the benchmark first or name its scores folder"
        )
    frames = [read_scores(path) for path in paths]
    scores = pd.concat(frames, ignore_index=True)
    for name in scores.columns:
        if any(name in frame and not pd.api.types.is_numeric_dtype(frame[name]) for frame in frames):
            scores[name] = scores[name].fillna("")
    twice = scores.duplicated(list(KEY))
    if twice.any():
        row = scores[twice].iloc[0]
        raise UsageError(
            f"expected one row for each image and pipeline in {folder}, found two of image '{row.image}' for {row.pipeline} "
            f"({row.dataset}, {row.mask_type}); keep one of the score files that hold it"
        )
    rank = scores["order"].map({order: place for place, order in enumerate(ORDERS)})
    by = ["dataset", "mask_type", "rank", "pipeline", "trained_on", "mask_given", "index", "image"]
    return scores.assign(rank=rank).sort_values(by, ignore_index=True, kind="stable").drop(columns="rank")


def read_scores(path: Path) -> pd.DataFrame:
    """Read one score file as it is, without a look at others; see `load_scores`."""
    try:
        frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:  # pandas' parser errors are ValueErrors
        raise _unreadable(path, error) from error
    absent = [name for name in COLUMNS if name not in frame.columns]
    if absent or tuple(frame.columns[: len(COLUMNS)]) != COLUMNS:
        came = f"no column {', '.join(absent)}" if absent else f"the columns {', '.join(frame.columns)}"
        raise UsageError(f"expected the score columns in {path}, found {came}; is it another file? move it out of the folder")
    try:
        # By Python itself: it reads exactly the float that was written, in every version of pandas.
        numbers: dict[str, Any] = {name: [float(text) if text else math.nan for text in frame[name]] for name in _FLOATS}
        numbers["index"] = [int(text) for text in frame["index"]]
    except (TypeError, ValueError) as error:
        raise _unreadable(path, error) from error
    for name in frame.columns[len(COLUMNS) :]:
        try:
            numbers[name] = [float(text) if text else math.nan for text in frame[name]]
        except ValueError:  # a metric that answers in words
            numbers[name] = list(frame[name])
    for column, known in (("order", ORDERS), ("mask_given", MASKS_GIVEN)):
        unknown = sorted(set(frame[column]) - set(known))
        if unknown:
            raise UsageError(f"expected {column} out of {', '.join(filter(None, known))} in {path}, found {', '.join(unknown)}")
    return frame.assign(**numbers)


def _unreadable(path: Path, error: Exception) -> UsageError:
    return UsageError(f"expected a score file at {path}, but it cannot be read: {first_line(error)}")
