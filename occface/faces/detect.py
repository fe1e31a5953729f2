"""Finding faces: dlib's frontal detector (HOG features, linear SVM) as a cascade that starts small."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import cv2
import numpy as np

__all__ = ["Detection", "Detector", "DlibDetector", "largest"]


@dataclass(frozen=True)
class Detection:
    """A face found: its box (x0, y0, x1, y1), in pixels of the photograph with pixel centres at integers, and a score."""

    box: tuple[float, float, float, float]
    score: float

    @property
    def area(self) -> float:
        """The area of the box in square pixels."""
        x0, y0, x1, y1 = self.box
        return (x1 - x0) * (y1 - y0)


class Detector(Protocol):
    """What finds faces. Instances are light and picklable; models are loaded on first use, once per process."""

    name: ClassVar[str]

    def detect(self, image: np.ndarray) -> list[Detection]:
        """Return the faces in a picture, uint8 (height, width, 3), largest first."""

    def tried(self, image: np.ndarray) -> str:
        """Say in a few words how a picture is searched, for the message that no face was found in it."""


def largest(detections: Sequence[Detection]) -> Detection:
    """Return the face with the largest box; of equal ones, the one with the best score.

    A photograph makes one record of a data set. Where it shows several faces, the largest is nearly always its subject.

    Examples
    --------
    >>> largest([Detection((0, 0, 9, 9), 2.0), Detection((20, 0, 50, 30), 1.0)]).box
    (20, 0, 50, 30)
    """
    return max(detections, key=lambda face: (face.area, face.score))


@functools.lru_cache(maxsize=1)
def _detector() -> Any:
    import dlib

    return dlib.get_frontal_face_detector()


@dataclass(frozen=True)
class DlibDetector:
    """dlib's frontal face detector, run on a shrunk photograph first, and on more pixels only while nothing is found.

    The time a pass takes grows with its pixels, and the detector finds faces from 80 px on: most portraits need the first
    pass alone. A face that is small in its photograph is found by a later pass, in which small neighbours show up too; a
    pass that found something is the last.
    """

    name: ClassVar[str] = "dlib"
    #: Each pass: the long side in px that the photograph is shrunk to (never enlarged), and how often it is doubled then.
    passes: ClassVar[tuple[tuple[int, int], ...]] = ((256, 0), (512, 0), (512, 1), (1600, 0))

    def detect(self, image: np.ndarray) -> list[Detection]:
        """Return the faces of the first pass that finds any, largest first.

        Parameters
        ----------
        image : numpy.ndarray
            (height, width, 3) uint8 RGB.

        Returns
        -------
        list of Detection
            Boxes in pixels of `image`; they may reach beyond its border. Scores are distances to the SVM's plane, above 0.
        """
        for side, doublings in self._passes(image):
            found = _run(image, side, doublings)
            if found:
                return sorted(found, key=lambda face: (-face.area, -face.score, face.box))
        return []

    def tried(self, image: np.ndarray) -> str:
        """Return the passes that `detect` makes in vain.

        Examples
        --------
        >>> DlibDetector().tried(np.zeros((300, 400, 3), np.uint8))
        'tried at 256, 400, 400 upsampled px'
        """
        sizes = [f"{side} upsampled" if doublings else f"{side}" for side, doublings in self._passes(image)]
        return f"tried at {', '.join(sizes)} px"

    def _passes(self, image: np.ndarray) -> list[tuple[int, int]]:
        """Return the passes for a picture: what is smaller than a pass wants is taken as it is, and not twice."""
        side = max(image.shape[:2])
        return list(dict.fromkeys((min(side, wanted), doublings) for wanted, doublings in self.passes))


def _run(image: np.ndarray, side: int, doublings: int) -> list[Detection]:
    """Run the detector on a picture shrunk to a long side; return what it finds in pixels of the picture given."""
    height, width = image.shape[:2]
    if side < max(height, width):
        factor = side / max(height, width)
        shrunk = cv2.resize(
            image, (max(1, round(width * factor)), max(1, round(height * factor))), interpolation=cv2.INTER_AREA
        )
    else:
        shrunk = np.ascontiguousarray(image)
    sx, sy = width / shrunk.shape[1], height / shrunk.shape[0]
    boxes, scores, _ = _detector().run(shrunk, doublings, 0.0)
    # A pixel covers half a pixel around its centre, and dlib's right and bottom pixels belong to the box.
    return [
        Detection(
            (b.left() * sx - 0.5, b.top() * sy - 0.5, (b.right() + 1) * sx - 0.5, (b.bottom() + 1) * sy - 0.5), float(score)
        )
        for b, score in zip(boxes, scores, strict=True)
    ]
