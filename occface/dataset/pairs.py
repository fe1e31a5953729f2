"""One photograph to the records of its faces: align, occlude, make the LR faces, find the LR landmarks."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np

from occface import faces, files, occlusion, seeding
from occface.dataset.config import DatasetConfig
from occface.dataset.schema import LR_SIZE, UNKNOWN_CLASS
from occface.errors import BadImageError
from occface.faces import AlignedFace, align
from occface.faces.landmarks import LrLandmarker
from occface.faces.mirror import mirror_classes
from occface.faces.turning import Turning
from occface.images import encode_png
from occface.occlusion.degrade import downsample, occlude
from occface.sources.base import Photo, Photograph, Source

__all__ = ["Degradation", "Place", "forget", "make_records"]


@dataclass(frozen=True)
class Place:
    """Where a face stands in a data set; all that is random about the face hangs on it.

    Attributes
    ----------
    split : str
        The split.
    index : int
        The photograph's number in its split, rejected ones counted.
    face : int
        The face's number in its photograph.
    """

    split: str
    index: int
    face: int = 0

    def rng(self, seed: int, stream: str) -> np.random.Generator:
        """Return the random generator of one stream, for example ``"mask/square"``."""
        return seeding.rng(seed, self.split, self.index, stream, *([self.face] if self.face else []))


@dataclass(frozen=True)
class Degradation:
    """How a face and a mask become the LR face (paper, section IV-A): the fill, the LR kernel, the seed of a noise fill."""

    fill: str
    lr_kernel: str
    seed: int

    @classmethod
    def of(cls, configuration: Mapping[str, Any]) -> Degradation:
        """Return that of a data set's recorded configuration."""
        return cls(configuration["fill"], configuration["lr_kernel"], configuration["seed"])

    def occluded_hr(self, hr: np.ndarray, mask: np.ndarray, kind: str, place: Place) -> np.ndarray:
        """Return an HR face, uint8 (128, 128, 3), with what is under a mask of some type replaced by the fill."""
        return occlude(hr, mask, self.fill, lambda: place.rng(self.seed, f"fill/{kind}"))

    def occluded_lr(self, hr: np.ndarray, mask: np.ndarray, kind: str, place: Place) -> np.ndarray:
        """Return the LR face of an occluded HR face, uint8 (16, 16, 3), made after occluding."""
        return downsample(self.occluded_hr(hr, mask, kind, place), LR_SIZE, self.lr_kernel)


def make_records(
    source: Source, photo: Photo, place: Place, config: DatasetConfig
) -> tuple[list[dict[str, Any]], list[tuple[str, str]]]:
    """Return the records of a photograph's faces, and the faces that could not be used.

    Parameters
    ----------
    source, photo
        The photograph.
    place : Place
        That of its first face.
    config : DatasetConfig
        How the records are made.

    Returns
    -------
    records : list of dict
        For each face every field by its path in the schema.
    rejected : list of (str, str)
        Id and reason of each face that could not be used, of several.

    Raises
    ------
    BadImageError
        If none of its faces can be used; the message is the reason.
    """
    seen = _look if photo.turns or photo.mirrored or photo.group else _look.__wrapped__
    photograph, found = seen(cast(Any, source), _upright(photo), config.detectors, config.faces, config.landmarker)
    landmarker = config.on_lr()
    records: list[dict[str, Any]] = []
    rejected: list[tuple[str, str]] = []
    for number, face in enumerate(found):
        id_ = photo.id if number == 0 else f"{photo.id}#{number + 1}"
        try:
            if isinstance(face, BadImageError):
                raise face
            records.append(
                _labels(photo if number == 0 else _bystander(photo), photograph, id_, face, number)
                | _face(source, photo, photograph, face)
                | _occluded(photo, face, landmarker, replace(place, face=number), config)
            )
        except BadImageError as error:
            if len(found) == 1:
                raise
            rejected.append((id_, str(error)))
    if config.keep_uncropped:
        kept = photograph.file if photograph.file is not None else encode_png(photograph.image)
        for record in records:
            record["uncropped"] = kept
    return records, rejected


def _upright(photo: Photo) -> Photo:
    """Return the photo as all its turned and mirrored variants share it."""
    return replace(photo, id=photo.path, turns=0, mirrored=False) if photo.turns or photo.mirrored else photo


@functools.lru_cache(maxsize=1)
def _look(
    source: Any, photo: Photo, detectors: tuple[str, ...], choose: str, landmarker: str
) -> tuple[Photograph, list[AlignedFace | BadImageError]]:
    """Read a photograph, find its faces and align them; the last one is kept, for its variants come one after another."""
    photograph = source.read(photo)
    finders = [faces.DETECTORS.get(name)() for name in detectors]
    found = faces.find_faces(photograph.image, finders, choose, photograph.boxes, photograph.landmarks)
    marker = faces.LANDMARKERS.get(landmarker)()
    aligned: list[AlignedFace | BadImageError] = []
    for detection in found:
        try:
            aligned.append(faces.align_found(photograph.image, detection, marker))
        except BadImageError as error:
            aligned.append(error)
    return photograph, aligned


def forget() -> None:
    """Forget the photograph kept for its variants: another time its file may be another."""
    _look.cache_clear()


def _bystander(photo: Photo) -> Photo:
    """Return what is known of a further face of a photograph: nothing, for labels are those of its subject."""
    return replace(photo, identity="", expression="", pose="", labels="")


def _labels(photo: Photo, photograph: Photograph, id_: str, face: AlignedFace, face_number: int) -> dict[str, str]:
    """Return the text columns: what the source says, what was measured in its place, and who found the face."""
    measured = dict(photograph.measured) if face_number == 0 else {}
    own = {name: measured.pop(name, getattr(photo, name)) for name in ("identity", "expression", "pose")}
    turned = {name: value for name in ("turns", "mirrored") if (value := getattr(photo, name))}
    further = {**files.parse_json_object(photo.labels), **turned, **measured}
    return {
        "id": id_,
        **own,
        "labels": files.canonical_json(further) if further else "",
        "path": photo.path,
        "sha256": photograph.sha256,
        "detector": face.detector,
        "landmarker": face.landmarker,
    }


def _face(source: Source, photo: Photo, photograph: Photograph, face: AlignedFace) -> dict[str, Any]:
    """Return what belongs to the aligned face, turned as the photo says."""
    turning = Turning(photo.turns, photo.mirrored)
    record: dict[str, Any] = {
        "hr": turning.picture(face.hr),
        "landmarks": turning.landmarks(face.landmarks),
        "box": face.box,
        "transform": turning.transform(face.transform),
    }
    if source.classes:
        record["parsing"] = turning.picture(_parsing(photograph.parsing, face))
        if photo.mirrored:
            record["parsing"] = mirror_classes(source.classes)[record["parsing"]]
    if source.annotated:
        points = photograph.points
        record["annotation"] = (
            np.full((source.annotated, 2), np.nan, np.float32) if points is None else align.apply(record["transform"], points)
        )
    return record


def _parsing(parsing: np.ndarray | None, face: AlignedFace) -> np.ndarray:
    """Return a parsing map in the crop; one of an unknown class where the photograph has none."""
    size = len(face.hr)
    if parsing is None:
        return np.full((size, size), UNKNOWN_CLASS, np.uint8)
    return align.warp_labels(parsing, face.transform, size)


def _occluded(photo: Photo, face: AlignedFace, landmarker: LrLandmarker, place: Place, config: DatasetConfig) -> dict[str, Any]:
    """Return the mask, the LR face and its landmarks for each mask type, and the LR face without any."""
    turning = Turning(photo.turns, photo.mirrored)
    hr, landmarks = turning.picture(face.hr), turning.landmarks(face.landmarks)
    degradation = Degradation(config.fill, config.lr_kernel, config.seed)
    record: dict[str, Any] = {
        "index": place.index,
        "face": place.face,
        "lr_clean": downsample(hr, LR_SIZE, config.lr_kernel),
    }
    for kind in config.masks:
        rng = place.rng(config.seed, f"mask/{kind}")
        mask = occlusion.draw_mask(kind, rng, len(hr), landmarks=landmarks, folder=config.mask_folder)
        lr = degradation.occluded_lr(hr, mask, kind, place)
        record[f"occluded/{kind}/mask"] = mask
        record[f"occluded/{kind}/lr"] = lr
        # Landmark detectors know upright faces only.
        record[f"occluded/{kind}/landmarks_lr"] = turning.landmarks(landmarker.on_lr(turning.undone(lr)))
    return record
