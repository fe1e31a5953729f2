"""What a metric is: what it is given, what it measures, by which judge, and how its numbers are to be read."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from occface import assets
from occface.errors import UsageError
from occface.registry import did_you_mean

if TYPE_CHECKING:
    import pandas as pd

    from occface.dataset.reader import DatasetFile

__all__ = ["Column", "Measure", "Metric", "Remembered", "RestoredFaces", "SetMetric"]

#: The per-face columns of a data set that metrics may ask for.
LABELS = ("id", "identity", "expression", "pose")


@dataclass(frozen=True)
class RestoredFaces:
    """Faces that a pipeline restored, and all that is known of the true ones; N is at least 1.

    Attributes
    ----------
    result, truth : numpy.ndarray
        (N, H, W, 3) uint8 RGB, the restored and the true HR faces; H = W = 128 in every data set.
    mask : numpy.ndarray
        (N, H, W) uint8, 1 where the face was occluded, else 0.
    landmarks : numpy.ndarray
        (N, 68, 2) float32, those of the true faces, in pixels of the crop, pixel centres at integers.
    columns : pandas.DataFrame
        A row per face, with at least the texts ``id``, ``identity``, ``expression`` and ``pose``, empty where not known.
    parsing : numpy.ndarray, optional
        (N, H, W) uint8, the data set's parsing maps in the classes `classes`, 255 where unknown.
    classes : tuple of str
        The names of those classes, 0 first; empty where there are no maps.
    stages : tuple of numpy.ndarray
        (N, S, S, 3) uint8 each: what the stages of a progressive method gave, first stage first; else empty.

    Raises
    ------
    ValueError
        If something is of another shape or type than said here.
    """

    result: np.ndarray
    truth: np.ndarray
    mask: np.ndarray
    landmarks: np.ndarray
    columns: pd.DataFrame
    parsing: np.ndarray | None = None
    classes: tuple[str, ...] = ()
    stages: tuple[np.ndarray, ...] = ()

    def __post_init__(self) -> None:
        count, *size = self.truth.shape[:3] if self.truth.ndim == 4 else (0,)
        if not count:
            raise ValueError(f"expected at least one face, truth of shape (N, H, W, 3), got shape {self.truth.shape}")
        self._check("truth", self.truth, np.uint8, (count, *size, 3))
        self._check("result", self.result, np.uint8, (count, *size, 3))
        self._check("mask", self.mask, np.uint8, (count, *size))
        self._check("landmarks", self.landmarks, np.float32, (count, 68, 2))
        if self.parsing is not None:
            self._check("parsing", self.parsing, np.uint8, (count, *size))
        if (self.parsing is not None) != bool(self.classes):
            raise ValueError("expected parsing maps and the names of their classes, or neither; got one of both")
        for number, stage in enumerate(self.stages, 1):
            self._check(f"stage {number}", stage, np.uint8, (count, *stage.shape[1:3], 3))
        absent = [name for name in LABELS if name not in self.columns]
        if absent or len(self.columns) != count:
            raise ValueError(
                f"expected {count} rows with the columns {', '.join(LABELS)}, got {len(self.columns)} rows"
                + (f" without {', '.join(absent)}" if absent else "")
            )

    @staticmethod
    def _check(name: str, array: np.ndarray, dtype: type, shape: tuple[int, ...]) -> None:
        if array.dtype != dtype or array.shape != shape:
            raise ValueError(f"expected the {name} as {np.dtype(dtype)} {shape}, got {array.dtype} {array.shape}")

    def __len__(self) -> int:
        return len(self.truth)

    @classmethod
    def read(
        cls,
        data: DatasetFile,
        split: str,
        mask: str,
        numbers: Sequence[int],
        result: np.ndarray,
        stages: tuple[np.ndarray, ...] = (),
    ) -> RestoredFaces:
        """Put restored faces beside what a data set knows of them.

        Parameters
        ----------
        data, split, mask
            The data set, one of its splits, and one of its mask types.
        numbers : sequence of int
            Which faces of the split these are.
        result : numpy.ndarray
            (len(numbers), 128, 128, 3) uint8 RGB.
        stages : tuple of numpy.ndarray
            See `RestoredFaces`.
        """

        def taken(name: str) -> np.ndarray:
            field = data.field(split, name)
            return np.stack([np.asarray(field[number]) for number in numbers])

        return cls(
            result=result,
            truth=taken("hr"),
            mask=taken(f"occluded/{mask}/mask"),
            landmarks=taken("landmarks"),
            columns=data.columns(split).iloc[list(numbers)].reset_index(drop=True),
            parsing=taken("parsing") if data.classes else None,
            classes=data.classes,
            stages=stages,
        )


@dataclass(frozen=True)
class Column:
    """One number (or text) that a metric gives, and how it is to be read.

    Attributes
    ----------
    name : str
        The name of the column in score files.
    higher_is_better : bool or None
        Which way is better; None where neither is.
    contract : str
        Its definition in one sentence: what, by which judge, against what.
    unit : str
        ``"dB"``, ``"%"`` or empty.
    decimals : int
        How many are printed.
    """

    name: str
    higher_is_better: bool | None
    contract: str
    unit: str = ""
    decimals: int = 3


class Measure(ABC):
    """What metrics of single faces and of sets have in common. Making one loads nothing: judges are loaded when needed.

    Parameters
    ----------
    **settings
        Those of `SETTINGS` that are to be other than the defaults there.

    Attributes
    ----------
    SETTINGS : dict
        Its settings by name, with their defaults; plain values.
    needs : frozenset of str
        What a data set must know for it: any of ``"parsing"``, ``"identity"``, ``"expression"``.
    assets : tuple of str
        The pinned assets that it looks through, see `occface.assets`.

    Raises
    ------
    UsageError
        If a setting is unknown or of another type than its default.
    """

    SETTINGS: ClassVar[dict[str, Any]] = {}

    def __init__(self, **settings: Any) -> None:
        for key, value in settings.items():
            if key not in self.SETTINGS:
                raise UsageError(f"metric '{self.name}' has no setting '{key}': {did_you_mean(key, self.SETTINGS)}")
            if type(value) is not type(self.SETTINGS[key]):
                raise UsageError(
                    f"setting '{key}' of metric '{self.name}' takes a value like {self.SETTINGS[key]!r}, got {value!r}"
                )
        self.settings: dict[str, Any] = {**self.SETTINGS, **settings}

    @property
    @abstractmethod
    def name(self) -> str:
        """The name under which it is registered."""

    @property
    @abstractmethod
    def columns(self) -> tuple[Column, ...]:
        """What it gives, with contracts that say what its settings are."""

    @property
    def needs(self) -> frozenset[str]:
        """What a data set must know for it."""
        return frozenset()

    @property
    def assets(self) -> tuple[str, ...]:
        """The pinned assets that it looks through."""
        return ()

    @classmethod
    def column(cls, name: str) -> Column | None:
        """Return the column of that name as it is with default settings, or None if the metric gives none such."""
        return next((column for column in cls().columns if column.name == name), None)

    def missing(self, data: DatasetFile, split: str) -> tuple[str, ...]:
        """Return what of `needs` a data set does not know; the metric can be measured where that is nothing."""
        known = {"parsing"} if data.classes else set()
        labels = data.columns(split) if self.needs - known else None
        known |= {name for name in self.needs if labels is not None and name in labels and (labels[name] != "").any()}
        return tuple(sorted(self.needs - known))

    def prepare(self, data: DatasetFile, split: str) -> None:
        """Get ready to measure faces of a split: make a gallery, train a judge. What was prepared before is dropped."""
        return

    def fingerprint(self) -> dict[str, Any]:
        """Return what its numbers depend on besides the faces: its name, its settings, its judge's hashes; plain values.

        Paths are not in it, and pinned assets need not be at hand for it. Files that a setting names must be.
        """
        pinned = {name: [file.sha256 for file in assets.ASSETS[name].files] for name in self.assets}
        return {"metric": self.name, "settings": dict(self.settings), "assets": pinned}

    def facts(self) -> dict[str, Any]:
        """Return what `prepare` found, for the record, as plain values."""
        return {}

    def _choose(self, key: str, choices: Sequence[str]) -> str:
        """Return a setting that must be one of several texts."""
        value = self.settings[key]
        if value not in choices:
            raise UsageError(f"unknown {key} '{value}' of metric '{self.name}': {did_you_mean(value, choices)}")
        return str(value)


class Metric(Measure):
    """A measure of each face by itself."""

    @abstractmethod
    def measure(self, faces: RestoredFaces) -> dict[str, np.ndarray]:
        """Return (N,) values for each of `columns`: float64, NaN where there is none; or texts, empty where there is none.

        Raises
        ------
        AssetError
            If a judge's weights are not at hand.
        """

    def seen(self, faces: RestoredFaces) -> dict[str, np.ndarray]:
        """Return what its judge saw in the restored faces, where figures can draw it: arrays by name, N faces first.

        Figures draw ``landmarks``, (N, 68, 2) in pixels of the crop, and ``parsing``, (N, H, W) uint8. Most metrics see nothing
        that can be drawn.

        Raises
        ------
        AssetError
            If a judge's weights are not at hand.
        """
        return {}


class SetMetric(Measure):
    """A measure of all faces together."""

    @abstractmethod
    def measure(self, faces: RestoredFaces) -> float:
        """Return the value of its one column, NaN where there is none.

        Raises
        ------
        AssetError
            If a judge's weights are not at hand.
        """


class Remembered:
    """A judge that keeps what it said: the same true faces stand beside the results of every pipeline.

    Parameters
    ----------
    judge : callable
        Takes arrays, N faces first, and returns an array, N faces first, that depends on each face alone.

    Examples
    --------
    >>> seen = []
    >>> double = Remembered(lambda values: (seen.append(len(values)), 2 * values)[1])
    >>> double(np.array([1, 2])).tolist(), double(np.array([2, 3, 1])).tolist(), seen
    ([2, 4], [4, 6, 2], [2, 1])
    """

    def __init__(self, judge: Callable[..., np.ndarray]) -> None:
        self._judge = judge
        self._kept: dict[bytes, np.ndarray] = {}

    def __call__(self, *arrays: np.ndarray) -> np.ndarray:
        """Return what the judge says of the faces, asking it for new ones alone."""
        keys = [hashlib.blake2b(b"".join(part.tobytes() for part in face)).digest() for face in zip(*arrays, strict=True)]
        new = [number for number, key in enumerate(keys) if key not in self._kept]
        if new:
            said = self._judge(*(array[new] for array in arrays))
            self._kept.update((keys[number], answer) for number, answer in zip(new, said, strict=True))
        return np.stack([self._kept[key] for key in keys])
