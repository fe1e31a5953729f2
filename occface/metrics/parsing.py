"""How well the parts of a restored face lie where they should: intersection over union of parsing maps."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from occface.errors import UsageError
from occface.metrics.base import Column, Metric, Remembered, RestoredFaces
from occface.metrics.parser import TrainedParser
from occface.registry import did_you_mean

if TYPE_CHECKING:
    from occface.dataset.reader import DatasetFile

__all__ = ["Parsing", "intersection_over_union"]

_UNKNOWN = 255
_BACKGROUND = 0


def intersection_over_union(found: np.ndarray, reference: np.ndarray, classes: int) -> np.ndarray:
    """Return the intersection over union of each class of each face.

    Parameters
    ----------
    found, reference : numpy.ndarray
        (N, H, W) uint8, classes; pixels whose reference is 255 are unknown and count nowhere.
    classes : int
        How many classes there are.

    Returns
    -------
    numpy.ndarray
        (N, classes) float64 in [0, 1]: 0 of a class that was not found at all, NaN of one that is not in the reference.

    Examples
    --------
    >>> intersection_over_union(np.array([[[0, 1, 1, 1]]]), np.array([[[0, 0, 1, 1]]]), 3).round(3).tolist()
    [[0.5, 0.667, nan]]
    """
    scores = np.full((len(reference), classes), np.nan)
    for row, ours, theirs in zip(scores, found, reference, strict=True):
        known = theirs != _UNKNOWN
        pairs = np.bincount(theirs[known].astype(np.intp) * classes + ours[known], minlength=classes**2)
        table = pairs.reshape(classes, classes)
        both, true, made = table.diagonal(), table.sum(axis=1), table.sum(axis=0)
        present = true > 0
        row[present] = both[present] / (true + made - both)[present]
    return scores


class Parsing(Metric):
    """Mean IoU of the parts of a face.

    For each face the mean over the classes that are in its reference map, without the background; a class of which the parser
    finds nothing in the restored face counts as 0.

    Settings
    --------
    parser : str
        A run folder or weights of method ``face-parser``.
    reference : {"data-or-seen", "data", "seen"}
        The data set's maps; what the same parser finds in the true faces; or the former on data sets that have maps, the
        latter on others. The columns' contracts say which it was.
    classes : int
        11, those of Helen, or 19, those of CelebAMask-HQ. With 11, ears and eye glasses are skin, and what is worn or below
        the chin is background; so a data set with 19 classes and a parser with 11 can be compared.
    each : list of str
        Classes whose own IoU is wanted too, as ``iou_<class>``, none for faces whose reference has no such part.
    """

    name = "parsing"
    SETTINGS: ClassVar[dict[str, Any]] = {"parser": "", "reference": "data-or-seen", "classes": 11, "each": []}

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._choose("reference", ("data-or-seen", "data", "seen"))
        if self.settings["classes"] not in (11, 19):
            raise UsageError(f"the metric 'parsing' compares 11 or 19 classes, got classes = {self.settings['classes']}")
        self._reference = self.settings["reference"]
        self._seen_in_truth = Remembered(self._seen)

    @cached_property
    def _names(self) -> tuple[str, ...]:
        from occface.faces.parsing import CLASSES_11, CLASSES_19

        names = CLASSES_11 if self.settings["classes"] == 11 else CLASSES_19
        for name in self.settings["each"]:
            if name not in names[1:]:
                raise UsageError(f"the metric 'parsing' compares no class '{name}': {did_you_mean(str(name), names[1:])}")
        return names

    @cached_property
    def _judge(self) -> TrainedParser:
        if not self.settings["parser"]:
            raise UsageError("the metric 'parsing' needs a face parser: set parser to a run of `occface train face-parser`")
        return TrainedParser.open(self.settings["parser"])

    @property
    def needs(self) -> frozenset[str]:
        """Parsing maps, where these alone are to be the reference."""
        return frozenset({"parsing"} if self.settings["reference"] == "data" else ())

    @property
    def columns(self) -> tuple[Column, ...]:
        """The mean, and the classes asked for."""
        reference = {
            "data": "the data set's map",
            "seen": "what it finds in the true face",
            "data-or-seen": "the data set's map, or where it has none what is found in the true face",
        }[self._reference]
        judged = f"of the parts that a face parser (BiSeNet, {self.settings['classes']} classes) finds, against {reference}"
        mean = Column(
            "iou",
            True,
            f"IoU {judged}: mean over the classes in the reference, without background, 0 for a class not found; per image",
        )
        return (mean, *(Column(f"iou_{name}", True, f"IoU of {name}, {judged}") for name in self.settings["each"]))

    @classmethod
    def column(cls, name: str) -> Column | None:
        """Return the column of that name; one of every class is known."""
        part = name.removeprefix("iou_")
        return next((column for column in cls(each=[part]).columns if column.name == name), None) if part else None

    def prepare(self, data: DatasetFile, split: str) -> None:
        """Settle what the reference is.

        Raises
        ------
        UsageError
            If the data set has no maps and should, or its maps tell less apart than is to be compared.
        """
        wanted = self.settings["reference"]
        if wanted == "data" and not data.classes:
            raise UsageError(f"{data.path} has no parsing maps to compare with: set reference of metric 'parsing' to seen")
        self._reference = wanted if wanted != "data-or-seen" else ("data" if data.classes else "seen")
        if self._reference == "data":
            self._table(data.classes)

    def fingerprint(self) -> dict[str, Any]:
        """Return also the hash of the parser, instead of its path."""
        return super().fingerprint() | {"settings": self.settings | {"parser": self._judge.sha256}}

    def facts(self) -> dict[str, Any]:
        """Return which reference was taken."""
        return {"reference": self._reference}

    def _table(self, classes: tuple[str, ...]) -> np.ndarray:
        """Return what leads from a data set's classes to those compared, (256,) uint8."""
        from occface.faces.parsing import class_table

        absent = [name for name in self._names if name not in classes]
        if absent:
            raise UsageError(
                f"the data set's parsing maps do not tell {', '.join(absent)} apart: set classes of metric 'parsing' to 11"
            )
        return np.asarray(class_table(classes, self._names).numpy())

    def _seen(self, pictures: np.ndarray) -> np.ndarray:
        return self._judge.parse(pictures, self._names)

    def measure(self, faces: RestoredFaces) -> dict[str, np.ndarray]:
        """Return the mean IoU of each face, and those of the classes asked for."""
        if self.settings["reference"] != "seen" and faces.parsing is not None:
            reference = self._table(faces.classes)[faces.parsing]
        elif self.settings["reference"] != "data":
            reference = self._seen_in_truth(faces.truth)
        else:
            raise ValueError("expected faces with the data set's parsing maps, got none")
        scores = intersection_over_union(self._seen(faces.result), reference, len(self._names))
        parts = np.delete(scores, _BACKGROUND, axis=1)
        counts = (~np.isnan(parts)).sum(axis=1)
        means = np.where(counts > 0, np.nansum(parts, axis=1) / np.maximum(counts, 1), np.nan)
        return {"iou": means} | {f"iou_{name}": scores[:, self._names.index(name)] for name in self.settings["each"]}

    def seen(self, faces: RestoredFaces) -> dict[str, np.ndarray]:
        """Return the parsing maps that the parser makes of the restored faces, in the classes that are compared."""
        return {"parsing": self._seen(faces.result)}
