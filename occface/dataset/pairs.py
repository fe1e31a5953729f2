"""One photograph to one record: align the face, occlude it, make the LR faces, find the LR landmarks."""

from __future__ import annotations

from typing import Any

import numpy as np

from occface import faces, seeding
from occface.dataset.config import DatasetConfig
from occface.dataset.schema import LR_SIZE
from occface.occlusion.degrade import downsample, occlude
from occface.occlusion.masks import draw_mask
from occface.sources.base import Photo, Source

__all__ = ["make_record", "occluded_lr"]


def occluded_lr(hr: np.ndarray, mask: np.ndarray, kind: str, split: str, index: int, config: DatasetConfig) -> np.ndarray:
    """Return the LR face of an occluded HR face, uint8 (16, 16, 3), made after occluding (paper, section IV-A).

    Parameters
    ----------
    hr, mask : ndarray
        The aligned face, uint8 (128, 128, 3), and its mask, uint8 (128, 128), 1 where occluded.
    kind : str
        The mask type.
    split, index : str, int
        The place of the photograph in the data set, which all randomness hangs on (here, that of a noise fill).
    config : DatasetConfig
        Fill, LR kernel and seed.
    """
    occluded = occlude(hr, mask, config.fill, seeding.rng(config.seed, split, index, f"fill/{kind}"))
    return downsample(occluded, LR_SIZE, config.lr_kernel)


def make_record(source: Source, photo: Photo, split: str, index: int, config: DatasetConfig) -> dict[str, Any]:
    """Return every field of one face's record, by its path in the schema.

    Raises
    ------
    BadImageError
        If the photograph cannot be used; the message is the reason.
    """
    photograph = source.read(photo)
    detector = faces.DETECTORS.get(config.detector)()
    landmarker = faces.LANDMARKERS.get(config.landmarker)()
    face = faces.align_face(photograph.image, detector, landmarker)
    record: dict[str, Any] = {
        "hr": face.hr,
        "lr_clean": downsample(face.hr, LR_SIZE, config.lr_kernel),
        "landmarks": face.landmarks,
        "index": index,
        "box": face.box,
        "transform": face.transform,
        "id": photo.id,
        "identity": photo.identity,
        "expression": photo.expression,
        "pose": photo.pose,
        "path": photo.path,
        "sha256": photograph.sha256,
    }
    for kind in config.masks:
        mask = draw_mask(kind, seeding.rng(config.seed, split, index, f"mask/{kind}"), face.hr.shape[0])
        lr = occluded_lr(face.hr, mask, kind, split, index, config)
        record[f"occluded/{kind}/mask"] = mask
        record[f"occluded/{kind}/lr"] = lr
        record[f"occluded/{kind}/landmarks_lr"] = landmarker.on_lr(lr)
    return record
