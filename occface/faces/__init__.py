"""Faces in photographs: found, marked with 68 landmarks, and brought upright into a 128 x 128 crop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from occface.errors import BadImageError, UsageError
from occface.faces import align
from occface.faces.detect import CHOICES, Detection, Detector, chosen
from occface.faces.given import given_faces
from occface.faces.landmarks import Landmarker
from occface.registry import Registry, did_you_mean

__all__ = [
    "CHOICES",
    "DETECTORS",
    "LANDMARKERS",
    "AlignedFace",
    "Detection",
    "Detector",
    "Landmarker",
    "align_found",
    "find_faces",
]

DETECTORS: Registry[type[Detector]] = Registry(
    "detector",
    group="occface.detectors",
    builtin={
        "given": "occface.faces.given:GivenDetector",
        "dlib": "occface.faces.detect:DlibDetector",
        "dlib-cnn": "occface.faces.cnn:DlibCnnDetector",
        "mtcnn": "occface.faces.mtcnn:MtcnnDetector",
    },
)
LANDMARKERS: Registry[type[Landmarker]] = Registry(
    "landmark detector",
    group="occface.landmarkers",
    builtin={"dlib": "occface.faces.landmarks:DlibLandmarks", "fan": "occface.faces.fan:FanLandmarks"},
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
        (4,) float32, the box (x0, y0, x1, y1) in pixels of the photograph.
    transform : numpy.ndarray
        (2, 3) float64, from pixels of the photograph to pixels of the crop.
    detector, landmarker : str
        What found the face and its landmarks; ``"given"`` where these came with the photograph.
    """

    hr: np.ndarray
    landmarks: np.ndarray
    box: np.ndarray
    transform: np.ndarray
    detector: str
    landmarker: str


def find_faces(
    image: np.ndarray,
    detectors: Sequence[Detector],
    choose: str = "largest",
    boxes: np.ndarray | None = None,
    landmarks: np.ndarray | None = None,
) -> list[Detection]:
    """Find the faces of a photograph with the first of several detectors that finds any.

    Parameters
    ----------
    image : numpy.ndarray
        (height, width, 3) uint8 RGB.
    detectors : sequence of Detector
        In the order in which they are tried, for example ``[DETECTORS.get("dlib")()]``.
    choose : str
        One of `CHOICES`: the ``"largest"`` face, the most ``"central"`` one, or ``"all"``.
    boxes : numpy.ndarray, optional
        (n, 4), boxes that came with the photograph: what the detector ``given`` finds.
    landmarks : numpy.ndarray, optional
        (n, 68, 2), landmarks that came with it; a row for each of `boxes` where these are given too.

    Returns
    -------
    list of Detection
        One face; with ``"all"``, one or more, largest first.

    Raises
    ------
    BadImageError
        If no detector finds a face, or what was given is none.
    UsageError
        If `choose` is unknown, or the numbers of boxes and landmarks differ.
    """
    if choose not in CHOICES:
        raise UsageError(f"unknown choice of faces '{choose}': {did_you_mean(choose, CHOICES)}")
    height, width = image.shape[:2]
    if min(height, width) < MIN_SIDE:
        raise BadImageError(f"{width}x{height} is too small to hold a face (at least {MIN_SIDE}x{MIN_SIDE} px)")
    known = given_faces(boxes, landmarks)
    tried = []
    for detector in detectors:
        found = detector.detect(image, thorough=choose != "largest", known=known)
        if found:
            return chosen(found, choose, image)
        tried.append(f"{detector.name} ({detector.tried(image)})")
    raise BadImageError(f"no face found by {', '.join(tried)}")


def align_found(image: np.ndarray, found: Detection, landmarker: Landmarker, size: int = align.CROP_SIZE) -> AlignedFace:
    """Bring a face that was found upright into the crop.

    Parameters
    ----------
    image : numpy.ndarray
        (height, width, 3) uint8 RGB.
    found : Detection
        One of what `find_faces` returns. If it carries landmarks, these are taken.
    landmarker : Landmarker
        Finds the landmarks otherwise, for example ``LANDMARKERS.get("dlib")()``.
    size : int
        Side of the crop in pixels.

    Raises
    ------
    BadImageError
        If the box holds no face that can be used, or more than 40 % of the crop would lie outside the photograph.
    """
    points = landmarker(image, found.box) if found.landmarks is None else found.landmarks
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
        box=np.array(found.box, dtype=np.float32),
        transform=transform,
        detector=found.detector,
        landmarker=landmarker.name if found.landmarks is None else "given",
    )
