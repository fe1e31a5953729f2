"""Score rows: one for each image, pipeline, data set and mask type. Every table is built from them alone.

They are kept as plain CSV files in one folder, beside a ``result.json`` that says what made them.
"""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from occface import files
from occface.errors import UsageError, first_line
from occface.metrics import CONTRACT
from occface.versions import software_versions

__all__ = ["COLUMNS", "MASKS_GIVEN", "ORDERS", "RESULT_FILE", "ScoreRow", "load_scores", "write_scores"]

#: What a pipeline does, in the order of the paper's tables: super-resolution (SR) alone; SR, then face inpainting, which the
#: paper calls PA; the other way round; both in one network. A reference is no competitor: the ground truth, say.
ORDERS = ("SR", "SR+PA", "PA+SR", "joint", "reference")
#: The mask that a pipeline was given: none, the true one, or one that was estimated from the LR face.
MASKS_GIVEN = ("", "true", "estimated")
RESULT_FILE = "result.json"
#: 2: score files say which mask was given. 3: and which faces a search missed.
_SCHEMA_VERSION = 3


@dataclass(frozen=True)
class ScoreRow:
    """The scores of one image restored by one pipeline, or the reason why there are none.

    Attributes
    ----------
    dataset, mask_type, order, pipeline : str
        What was run on what: ``"demo"``, ``"square"``, one of `ORDERS`, ``"bicubic+gfc"``.
    image : str
        The photograph's id in its source.
    index : int
        Its place in the data set's test part.
    identity, expression, pose : str
        As the data set says, empty where it does not.
    hole_area : float
        The occluded fraction of the HR face, in [0, 1].
    psnr, ssim : float or None
        By the metric contract. None where the image failed.
    seconds : float or None
        Time the pipeline took for this image. None where it was not measured.
    error : str
        Why the image failed; empty where it did not.
    mask_given : str
        One of `MASKS_GIVEN`: empty where the pipeline needs no mask.
    missed : bool or None
        Whether a method that searches, such as PULSE, missed its own aim; 1 or 0 in the file. None where none searches.

    Raises
    ------
    ValueError
        If there are scores and an error, or neither, a score is not a number, or the order or the mask given is unknown.
    """

    dataset: str
    mask_type: str
    order: str
    pipeline: str
    image: str
    index: int
    identity: str = ""
    expression: str = ""
    pose: str = ""
    hole_area: float = 0.0
    psnr: float | None = None
    ssim: float | None = None
    seconds: float | None = None
    error: str = ""
    mask_given: str = ""
    missed: bool | None = None

    def __post_init__(self) -> None:
        scores = (self.psnr, self.ssim)
        if self.error and scores != (None, None):
            raise ValueError(f"expected no scores for the failed image '{self.image}', got {scores}")
        if not self.error and any(score is None or math.isnan(score) for score in scores):
            raise ValueError(f"expected two scores or an error for image '{self.image}', got {scores} and no error")
        if self.order not in ORDERS:
            raise ValueError(f"expected an order out of {', '.join(ORDERS)}, got '{self.order}'")
        if self.mask_given not in MASKS_GIVEN:
            raise ValueError(f"expected the mask given to be true, estimated or empty, got '{self.mask_given}'")

    @property
    def key(self) -> tuple[str, ...]:
        """What no two rows may share, the columns of `KEY`."""
        return tuple(getattr(self, name) for name in KEY)


KEY = ("dataset", "mask_type", "pipeline", "mask_given", "image")
COLUMNS: tuple[str, ...] = tuple(field.name for field in fields(ScoreRow))
_FLOATS = ("hole_area", "psnr", "ssim", "seconds", "missed")


def write_scores(path: str | os.PathLike[str], rows: Iterable[ScoreRow], facts: Mapping[str, Any] | None = None) -> None:
    """Write score rows as CSV, and what made them into ``result.json`` beside it; both atomically.

    Rows are sorted, and floats written so that reading gives the same float, so equal rows give equal bytes.

    Parameters
    ----------
    path : path
        The CSV file. Its folder may hold others: `load_scores` reads them together.
    rows : iterable of ScoreRow
        In any order.
    facts : mapping, optional
        Plain values to keep about this file: hashes of data and weights, seeds, device, timings. ``result.json`` holds them
        under the file's name, with the file's hash, the numbers of rows and failures, and the versions of the software; and
        the metric contract for all files.

    Raises
    ------
    ValueError
        If two rows are for the same data set, mask type, pipeline, mask given and image.
    OccfaceError
        If the place cannot be written.
    """
    target = Path(path)
    ordered = sorted(
        rows,
        key=lambda row: (
            row.dataset,
            row.mask_type,
            ORDERS.index(row.order),
            row.pipeline,
            row.mask_given,
            row.index,
            row.image,
        ),
    )
    keys = [row.key for row in ordered]
    if len(set(keys)) != len(keys):
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"expected one row for each data set, mask type, pipeline, mask given and image, got two for {twice}")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in ordered:
        writer.writerow([_cell(getattr(row, name)) for name in COLUMNS])
    files.write_text(target, text.getvalue())
    _update_result(target, ordered, dict(facts or {}))


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(int(value))
    # A numpy float is a float, but its repr is not that of one.
    return repr(float(value)) if isinstance(value, float | np.floating) else str(value)


def _update_result(target: Path, rows: list[ScoreRow], facts: dict[str, Any]) -> None:
    path = target.with_name(RESULT_FILE)
    entries = files.read_json(path)["files"] if path.exists() else {}
    entries[target.name] = {
        "sha256": files.sha256_file(target),
        "rows": len(rows),
        "failed": sum(bool(row.error) for row in rows),
        "missed": sum(bool(row.missed) for row in rows),
        "versions": software_versions(),
        **facts,
    }
    record = {"schema_version": _SCHEMA_VERSION, "metric_contract": CONTRACT, "files": dict(sorted(entries.items()))}
    files.write_json(path, record)


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
        The columns of `ScoreRow`; scores that are missing are NaN, texts that are missing are empty.

    Raises
    ------
    UsageError
        If there is no score file, one is not of this form, or two hold a row for the same data set, mask type, pipeline, mask
        given and image, which would count it twice.
    """
    paths = sorted(Path(folder).glob("*.csv")) if names is None else sorted(Path(folder) / name for name in names)
    if not paths:
        raise UsageError(
            f"expected score files (*.csv) in {folder}, found none; run the benchmark first or name its scores folder"
        )
    frames = [_read(path) for path in paths]
    scores = pd.concat(frames, ignore_index=True)
    twice = scores.duplicated(list(KEY))
    if twice.any():
        row = scores[twice].iloc[0]
        raise UsageError(
            f"expected one row for each image and pipeline in {folder}, found two of image '{row.image}' for {row.pipeline} "
            f"({row.dataset}, {row.mask_type}); keep one of the score files that hold it"
        )
    rank = scores["order"].map({order: place for place, order in enumerate(ORDERS)})
    by = ["dataset", "mask_type", "rank", "pipeline", "mask_given", "index", "image"]
    return scores.assign(rank=rank).sort_values(by, ignore_index=True, kind="stable").drop(columns="rank")


def _read(path: Path) -> pd.DataFrame:
    try:
        frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:  # pandas' parser errors are ValueErrors
        raise _unreadable(path, error) from error
    if tuple(frame.columns) != COLUMNS:
        absent = [name for name in COLUMNS if name not in frame.columns]
        came = f"no column {', '.join(absent)}" if absent else f"the columns {', '.join(frame.columns)}"
        raise UsageError(f"expected the score columns in {path}, found {came}; is it another file? move it out of the folder")
    try:
        # By Python itself: it reads exactly the float that was written, in every version of pandas.
        numbers: dict[str, Any] = {name: [float(text) if text else math.nan for text in frame[name]] for name in _FLOATS}
        numbers["index"] = [int(text) for text in frame["index"]]
    except (TypeError, ValueError) as error:
        raise _unreadable(path, error) from error
    for column, known in (("order", ORDERS), ("mask_given", MASKS_GIVEN)):
        unknown = sorted(set(frame[column]) - set(known))
        if unknown:
            raise UsageError(f"expected {column} out of {', '.join(filter(None, known))} in {path}, found {', '.join(unknown)}")
    return frame.assign(**numbers)


def _unreadable(path: Path, error: Exception) -> UsageError:
    return UsageError(f"expected a score file at {path}, but it cannot be read: {first_line(error)}")
