"""Faces in photographs: found, marked with 68 landmarks, and brought upright into a 128 x 128 crop."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from occface.errors import BadImageError
from occface.faces import align
from occface.faces.detect import Detection, Detector, largest
from occface.faces.landmarks import Landmarker
from occface.registry import Registry

__all__ = ["DETECTORS", "LANDMARKERS", "AlignedFace", "Detection", "Detector", "Landmarker", "align_face", "align_found"]

DETECTORS: Registry[type[Detector]] = Registry(
    "detector", group="occface.detectors", builtin={"dlib": "occface.faces.detect:DlibDetector"}
)
LANDMARKERS: Registry[type[Landmarker]] = Registry(
    "landmark detector", group="occface.landmarkers", builtin={"dlib": "occface.faces.landmarks:DlibLandmarks"}
)

#: The shortest side of a photograph in which a face is looked for: dlib's detector sees faces from 40 px on, upsampled.
MIN_SIDE = 40

#: A crop of which more than this part lies outside the photograph is not used: the rest is invented by mirroring.
MAX_OUTSIDE = 0.4


@dataclass(frozen=True)
class AlignedFace:
    """A face brought upright into the crop.

    Attributes
    ----------
    hr : numpy.ndarray
        (size, size, 3) uint8 RGB, the crop.
    landmarks : numpy.ndarray
        (68, 2) float32, in pixels of the crop, pixel centres at integers.
    box : numpy.ndarray
        (4,) float32, the detector's box (x0, y0, x1, y1) in pixels of the photograph.
    transform : numpy.ndarray
        (2, 3) float64, from pixels of the photograph to pixels of the crop.
    """

    hr: np.ndarray
    landmarks: np.ndarray
    box: np.ndarray
    transform: np.ndarray


def align_face(image: np.ndarray, detector: Detector, landmarker: Landmarker, size: int = align.CROP_SIZE) -> AlignedFace:
    """Find the largest face of a photograph and bring it upright into the crop.

    Parameters
    ----------
    image : numpy.ndarray
        (height, width, 3) uint8 RGB.
    detector, landmarker
        For example ``DETECTORS.get("dlib")()`` and ``LANDMARKERS.get("dlib")()``.
    size : int
        Side of the crop in pixels.

    Returns
    -------
    AlignedFace

    Raises
    ------
    BadImageError
        If there is no face, or more than 40 % of the crop would lie outside the photograph.
    """
    height, width = image.shape[:2]
    if min(height, width) < MIN_SIDE:
        raise BadImageError(f"{width}x{height} is too small to hold a face (at least {MIN_SIDE}x{MIN_SIDE} px)")
    found = detector.detect(image)
    if not found:
        raise BadImageError(f"no face found by {detector.name} ({detector.tried(image)})")
    return align_found(image, largest(found), landmarker, size)


def align_found(image: np.ndarray, face: Detection, landmarker: Landmarker, size: int = align.CROP_SIZE) -> AlignedFace:
    """Bring a face that was found already upright into the crop; see `align_face`."""
    points = landmarker(image, face.box)
    transform = align.crop_transform(points, size)
    outside = align.outside(transform, image, size)
    if outside > MAX_OUTSIDE:
        raise BadImageError(
            f"the face lies partly outside the photograph: {outside:.0%} of its crop is missing, "
            f"more than the {MAX_OUTSIDE:.0%} that is mended"
        )
    return AlignedFace(
        hr=align.warp(image, transform, size),
        landmarks=align.apply(transform, points),
        box=np.array(face.box, dtype=np.float32),
        transform=transform,
    )
