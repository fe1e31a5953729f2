"""How far the landmarks that are found in a restored face lie from those of the true face: NRMSE, in per cent."""

from __future__ import annotations

from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from occface.faces import LANDMARKERS, Landmarker
from occface.faces.align import CROP_BOX
from occface.faces.landmarks import nrmse
from occface.faces.trained_fan import TrainedFanLandmarks, named
from occface.metrics.base import Column, Metric, Remembered, RestoredFaces

__all__ = ["NORMALISERS", "Landmarks", "lengths"]

#: What errors are divided by, and what that is.
NORMALISERS = {
    "outer_eyes": "the distance of the outer corners of the eyes (points 36 and 45)",
    "eye_centres": "the distance of the eyes' centres (means of points 36 to 41 and 42 to 47)",
    "face_width": "the width of the face (points 0 and 16)",
}


def lengths(points: np.ndarray) -> dict[str, np.ndarray]:
    """Return the lengths of `NORMALISERS`, (N,) float64 in px each, of landmarks (N, 68, 2).

    Points are counted from 0 in the iBUG order.
    """
    points = points.astype(np.float64)
    ends = {
        "outer_eyes": (points[:, 36], points[:, 45]),
        "eye_centres": (points[:, 36:42].mean(axis=1), points[:, 42:48].mean(axis=1)),
        "face_width": (points[:, 0], points[:, 16]),
    }
    return {name: np.linalg.norm(right - left, axis=-1) for name, (left, right) in ends.items()}


class Landmarks(Metric):
    """NRMSE of 68 landmarks, with three normalisers.

    For each face the root of the mean squared distance of its landmarks from the reference, over a length of the reference.

    Settings
    --------
    landmarker : str
        ``fan``, the published 2DFAN-4; ``fan:RUN``, a FAN trained here (a run folder or its weights); ``dlib``; or another
        registered one. It is told where the face lies in the crop, so that it answers always: what it says of a face that
        nobody would recognise as one is as wrong as it is, and counts.
    reference : {"seen", "data"}
        The landmarks that the same landmarker finds in the true face, or those of the data set. With ``seen`` the true face
        itself scores 0; with ``data`` it scores what data set and landmarker differ by.
    """

    name = "landmarks"
    SETTINGS: ClassVar[dict[str, Any]] = {"landmarker": "fan", "reference": "seen"}

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._choose("reference", ("seen", "data"))
        if not self.settings["landmarker"].startswith("fan:"):
            LANDMARKERS.get(self.settings["landmarker"])  # an unknown name is refused at once
        self._found_in_truth = Remembered(self._found)

    @cached_property
    def _judge(self) -> Landmarker | TrainedFanLandmarks:
        judge = named(self.settings["landmarker"])
        return LANDMARKERS.get(judge)() if isinstance(judge, str) else judge

    @property
    def assets(self) -> tuple[str, ...]:  # noqa: D102 - as in the base class
        return self._judge.assets

    @property
    def columns(self) -> tuple[Column, ...]:
        """One for each normaliser."""
        name = self.settings["landmarker"]
        judge = {"fan": "the published FAN", "dlib": "dlib's predictor"}.get(name, name)
        if name.startswith("fan:"):
            judge = "a FAN trained here"
        reference = "that it finds in the true face" if self.settings["reference"] == "seen" else "of the data set"
        return tuple(
            Column(
                f"nrmse_{name}",
                False,
                f"NRMSE of the 68 landmarks found by {judge} in the restored crop, against those {reference}, over {length}",
                "%",
            )
            for name, length in NORMALISERS.items()
        )

    def fingerprint(self) -> dict[str, Any]:
        """Return also the hash of a FAN that was trained here, instead of its path."""
        settings = dict(self.settings)
        if isinstance(self._judge, TrainedFanLandmarks):
            settings["landmarker"] = self._judge.describe()
        return super().fingerprint() | {"settings": settings}

    def _found(self, pictures: np.ndarray) -> np.ndarray:
        if isinstance(self._judge, TrainedFanLandmarks):
            return np.stack([self._judge.on_lr(picture) for picture in pictures])
        return np.stack([self._judge(picture, CROP_BOX) for picture in pictures])

    def measure(self, faces: RestoredFaces) -> dict[str, np.ndarray]:
        """Return the three errors for each face, in per cent."""
        reference = self._found_in_truth(faces.truth) if self.settings["reference"] == "seen" else faces.landmarks
        sizes = lengths(reference)
        errors = nrmse(self._found(faces.result), reference) * sizes["outer_eyes"]
        return {f"nrmse_{name}": errors / size for name, size in sizes.items()}

    def seen(self, faces: RestoredFaces) -> dict[str, np.ndarray]:
        """Return the landmarks that are found in the restored faces."""
        return {"landmarks": self._found(faces.result).astype(np.float32)}
