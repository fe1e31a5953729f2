"""Whether a restored face is still the same person: similarity to the true face, and rank-1 identification."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from occface.faces import recognition
from occface.metrics.base import Column, Metric, Remembered, RestoredFaces

if TYPE_CHECKING:
    import pandas as pd

    from occface.dataset.reader import DatasetFile

__all__ = ["FRONTAL", "Identity", "embeddings", "gallery_of"]

#: A yaw of at most so many degrees is frontal: half the distance of Multi-PIE's cameras.
FRONTAL = 7.5

_JUDGE = "dlib's recognition ResNet (128 numbers of a 150x150 chip cut by the true landmarks)"


def embeddings(pictures: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """Return the recogniser's numbers, (N, 128) float64, of pictures (N, H, W, 3) uint8 with landmarks (N, 68, 2)."""
    return np.stack([recognition.embed(*face) for face in zip(pictures, landmarks, strict=True)]).astype(np.float64)


def gallery_of(columns: pd.DataFrame) -> dict[str, int]:
    """Choose one photograph for each person: frontal and neutral, as far as labels say so.

    First those of a yaw of at most `FRONTAL` degrees, or of unknown yaw; among these neutral ones; then the smaller yaw; then
    the one that comes first.

    Parameters
    ----------
    columns : pandas.DataFrame
        The columns ``identity``, ``expression`` and ``pose`` (yaw in degrees) of a split.

    Returns
    -------
    dict of str to int
        Rows by identity, in the order in which people first come; people without a name are in no gallery.
    """

    def rank(number: int) -> tuple[bool, bool, float, int]:
        face = columns.iloc[number]
        yaw = _yaw(face["pose"])
        return (yaw > FRONTAL, face["expression"] != "neutral", yaw, number)

    people: dict[str, list[int]] = {}
    for number, identity in enumerate(columns["identity"]):
        if identity:
            people.setdefault(identity, []).append(number)
    return {identity: min(numbers, key=rank) for identity, numbers in people.items()}


def _yaw(pose: str) -> float:
    """Return how far a face looks aside, in degrees; 0 where that is not known."""
    try:
        yaw = abs(float(pose))
    except ValueError:
        return 0.0
    return yaw if math.isfinite(yaw) else 0.0


class Identity(Metric):
    """Cosine similarity to the true face, and rank-1 identification in a gallery of clean HR faces.

    The recogniser gives 128 numbers for a face. Their *cosine* is the inner product of both faces' numbers over the product of
    their lengths: 1 for one and the same picture. The recogniser was trained to bring people nearer than 0.6 in *Euclidean*
    distance, so the gallery is searched by that. Restored and true faces are both cut out by the true face's landmarks, so that
    no landmark detector has a part in it.
    """

    name = "identity"
    assets = (recognition.ASSET,)
    columns = (
        Column("identity_cosine", True, f"Cosine of the embeddings of restored and true face by {_JUDGE}"),
        Column(
            "identified",
            True,
            f"Rank-1 identification, 1 or 0: whether the face of the gallery nearest in Euclidean distance, by {_JUDGE}, is "
            "the same person; the gallery holds one clean HR face for each identity of the split, frontal and neutral where "
            "labels say so; of a person with several photographs, the gallery's own is no probe",
        ),
    )

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._of_truth = Remembered(embeddings)
        self._gallery: np.ndarray | None = None
        self._people: list[str] = []
        self._no_probes: frozenset[str] = frozenset()

    def prepare(self, data: DatasetFile, split: str) -> None:
        """Make the gallery of a split, of all its faces however few are scored."""
        columns = data.columns(split)
        chosen = gallery_of(columns)
        counts = columns["identity"].value_counts()
        self._people = list(chosen)
        self._no_probes = frozenset(columns["id"].iloc[number] for who, number in chosen.items() if counts[who] > 1)
        hr, points = data.field(split, "hr"), data.field(split, "landmarks")
        faces = [self._of_truth(hr[number][None], points[number][None])[0] for number in chosen.values()]
        self._gallery = np.stack(faces) if faces else np.empty((0, 128))

    def facts(self) -> dict[str, Any]:
        """Return how many people the gallery holds; guessing is right once in so many times."""
        return {"gallery": len(self._people)}

    def measure(self, faces: RestoredFaces) -> dict[str, np.ndarray]:
        """Return both for each face; NaN for `identified` where there is no identity, or the face is the gallery's own.

        Raises
        ------
        ValueError
            If no gallery was prepared, or it does not hold one of the people.
        """
        if self._gallery is None:
            raise ValueError("expected a gallery: call prepare with the data set's split first")
        found = embeddings(faces.result, faces.landmarks)
        true = self._of_truth(faces.truth, faces.landmarks)
        cosine = (found * true).sum(axis=1) / (np.linalg.norm(found, axis=1) * np.linalg.norm(true, axis=1))
        identified = np.full(len(faces), np.nan)
        for number, (id_, person) in enumerate(zip(faces.columns["id"], faces.columns["identity"], strict=True)):
            if not person or id_ in self._no_probes:
                continue
            if person not in self._people:
                raise ValueError(
                    f"expected faces of the split that was prepared, got one of '{person}', who is not in its gallery"
                )
            nearest = recognition.distances(found[number][None], self._gallery)[0].argmin()
            identified[number] = self._people[nearest] == person
        return {"identity_cosine": cosine, "identified": identified}
