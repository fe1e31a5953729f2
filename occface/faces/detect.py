"""Finding faces: dlib's frontal detector (HOG features, linear SVM) as a cascade that starts small."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import cv2
import numpy as np

from occface.errors import BadImageError
from occface.faces import pyramid

__all__ = ["CHOICES", "Detection", "Detector", "DlibDetector", "check_box", "chosen"]

#: Which faces of a photograph are taken.
CHOICES = ("largest", "central", "all")

#: The side in px below which a box is taken for no face: FAN and dlib's predictor see nothing in so few pixels.
_MIN_BOX = 8

#: The part of a box that must lie in the photograph. Detectors draw boxes beyond the border, but not far.
_MIN_INSIDE = 0.25


@dataclass(frozen=True, eq=False)
class Detection:
    """A face found.

    Attributes
    ----------
    box : tuple of float
        (x0, y0, x1, y1) in pixels of the photograph, pixel centres at integers.
    score : float
        How sure the detector is; scores of different detectors do not compare.
    detector : str
        The name of the detector.
    landmarks : numpy.ndarray or None
        (68, 2) float32, in pixels of the photograph, where they were known with the box.
    """

    box: tuple[float, float, float, float]
    score: float
    detector: str = ""
    landmarks: np.ndarray | None = None

    @property
    def area(self) -> float:
        """The area of the box in square pixels."""
        x0, y0, x1, y1 = self.box
        return (x1 - x0) * (y1 - y0)


class Detector(Protocol):
    """What finds faces. Instances are light and picklable; models are loaded on first use, once per process."""

    name: ClassVar[str]
    assets: ClassVar[tuple[str, ...]]

    def detect(self, image: np.ndarray, *, thorough: bool = False, known: Sequence[Detection] = ()) -> list[Detection]:
        """Return the faces in a picture, uint8 (height, width, 3).

        Small faces may be left out beside large ones, unless `thorough` is true. `known` are the faces that came with the
        picture, which a detector is free to use.
        """

    def tried(self, image: np.ndarray) -> str:
        """Say in a few words how a picture is searched, for the message that no face was found in it."""


def chosen(found: Sequence[Detection], choose: str, image: np.ndarray) -> list[Detection]:
    """Return the faces that are wanted of those found.

    Parameters
    ----------
    found : sequence of Detection
        At least one.
    choose : str
        ``"largest"``: the face with the largest box, which is nearly always the subject of a photograph. ``"central"``: the
        face whose box has its centre nearest to the picture's. ``"all"``: every one, largest first. Of equal ones the one
        with the best score comes first, then the one further left.
    image : numpy.ndarray
        (height, width, 3).

    Examples
    --------
    >>> faces = [Detection((40, 40, 49, 49), 2.0), Detection((0, 0, 30, 30), 1.0)]
    >>> [[face.box[0] for face in chosen(faces, choose, np.zeros((90, 90, 3)))] for choose in CHOICES]
    [[0], [40], [0, 40]]
    """
    middle = np.array([image.shape[1] - 1, image.shape[0] - 1]) / 2

    def order(face: Detection) -> tuple[float, ...]:
        x0, y0, x1, y1 = face.box
        away = float(np.hypot(*((x0 + x1) / 2 - middle[0], (y0 + y1) / 2 - middle[1]))) if choose == "central" else 0.0
        return (away, -face.area, -face.score, *face.box)

    ordered = sorted(found, key=order)
    return ordered if choose == "all" else ordered[:1]


def check_box(box: tuple[float, float, float, float], image: np.ndarray) -> None:
    """Raise `BadImageError` where a box cannot hold a face of a picture: too small, or mostly outside.

    Examples
    --------
    >>> check_box((0, 0, 3, 3), np.zeros((90, 90, 3)))
    Traceback (most recent call last):
    occface.errors.BadImageError: the box of the face is too small: 3 x 3 px, at least 8 x 8 are needed
    """
    x0, y0, x1, y1 = box
    width, height = x1 - x0, y1 - y0
    if not (width >= _MIN_BOX and height >= _MIN_BOX):
        raise BadImageError(
            f"the box of the face is too small: {width:.3g} x {height:.3g} px, at least {_MIN_BOX} x {_MIN_BOX} are needed"
        )
    inside = max(0.0, min(x1, image.shape[1] - 0.5) - max(x0, -0.5)) * max(0.0, min(y1, image.shape[0] - 0.5) - max(y0, -0.5))
    if not inside >= _MIN_INSIDE * width * height:
        raise BadImageError(f"the box of the face lies mostly outside the photograph: ({x0:.5g}, {y0:.5g}, {x1:.5g}, {y1:.5g})")


@functools.lru_cache(maxsize=1)
def _detector() -> Any:
    import dlib

    return dlib.get_frontal_face_detector()


@dataclass(frozen=True)
class DlibDetector:
    """dlib's frontal face detector, run on a shrunk photograph first, and on more pixels only while nothing is found.

    The time a pass takes grows with its pixels, and the detector finds faces from 73 px on: most portraits need the first
    pass alone. A face that is small in its photograph is found by a later pass, in which small neighbours show up too; a
    pass that found something is the last. The passes enter dlib's own pyramid of the doubled photograph, so the boxes are
    those that dlib finds there; see `occface.faces.pyramid`.
    """

    name: ClassVar[str] = "dlib"
    assets: ClassVar[tuple[str, ...]] = ()
    #: The passes in their order: "level", and the long side in px that the first level has at most; or "between", and the long
    #: side of a pass off the pyramid: of a face that all its windows miss by a hair, one may fit there. Those find 6 of the 15
    #: faces of 1,404 photographs that the pyramid misses, and the first is so quick that it comes before the large levels.
    passes: ClassVar[tuple[tuple[str, int], ...]] = (
        ("level", 170),
        ("level", 345),
        ("between", 256),
        ("level", 600),
        ("level", 1920),
        ("between", 512),
    )

    def detect(self, image: np.ndarray, *, thorough: bool = False, known: Sequence[Detection] = ()) -> list[Detection]:
        """Return the faces of the first pass that finds any; thoroughly, those of the last pass and what the others add.

        Parameters
        ----------
        image : numpy.ndarray
            (height, width, 3) uint8 RGB.
        thorough : bool
            Whether small faces are wanted where there are large ones.
        known : sequence of Detection
            Not used.

        Returns
        -------
        list of Detection
            Boxes in pixels of `image`; they may reach beyond its border. Scores are distances to the SVM's plane, above 0.
        """
        passes = self._passes(image)
        if thorough:
            passes.sort(reverse=True, key=lambda each: (each[0] == "level", each[2]))
        found: list[Detection] = []
        for kind, number, _ in passes:
            more = _search_level(image, number, thorough) if kind == "level" else _search_between(image, number)
            found += [face for face in more if not any(_overlap(face, other) for other in found)]
            if found and not thorough:
                break
        return found

    def tried(self, image: np.ndarray) -> str:
        """Return the sizes at which `detect` looks in vain.

        Examples
        --------
        >>> DlibDetector().tried(np.zeros((300, 400, 3), np.uint8))
        'tried at 153, 320, 256, 556, 802, 400 px'
        """
        return f"tried at {', '.join(str(side) for _, _, side in self._passes(image))} px"

    def _passes(self, image: np.ndarray) -> list[tuple[str, int, int]]:
        """Return the passes for a picture: the kind, the number of the level or the long side, and in any case the long side.

        What is smaller than a pass wants is searched whole, and not twice.
        """
        sizes = pyramid.level_sizes(image.shape[1], image.shape[0])
        passes = []
        for kind, side in self.passes:
            if kind == "level":
                level = pyramid.level_below(sizes, side)
                passes.append((kind, level, max(sizes[level])))
            else:
                side = min(side, max(image.shape[:2]))
                passes.append((kind, side, side))
        return list(dict.fromkeys(passes))


def _search_level(image: np.ndarray, level: int, thorough: bool) -> list[Detection]:
    """Return the faces found from a level of the pyramid on.

    Where the largest face fits the smallest window of the level, a finer level may fit it better, and is tried; but not where
    all levels are tried anyway.
    """
    found, further = _run(image, level)
    if found and not thorough and level > 0 and further == 0:
        return _run(image, max(0, level - 2))[0] or found
    return found


def _run(image: np.ndarray, level: int) -> tuple[list[Detection], int]:
    """Search from a level of the pyramid on; return the faces, and how many levels further down the largest was found."""
    sizes = pyramid.level_sizes(image.shape[1], image.shape[0])
    rectangles, scores, _ = _detector().run(pyramid.shrink_to_level(image, sizes, level), 0, 0.0)
    placed = [pyramid.box_at_level(rectangle, level) for rectangle in rectangles]
    found = [Detection(box, float(score), "dlib") for (box, _), score in zip(placed, scores, strict=True)]
    return found, max((further for _, further in placed), default=0)


def _search_between(image: np.ndarray, side: int) -> list[Detection]:
    """Return the faces found in a photograph shrunk to a long side."""
    height, width = image.shape[:2]
    factor = side / max(height, width)
    shrunk = cv2.resize(image, (max(1, round(width * factor)), max(1, round(height * factor))), interpolation=cv2.INTER_AREA)
    sx, sy = width / shrunk.shape[1], height / shrunk.shape[0]
    rectangles, scores, _ = _detector().run(shrunk, 0, 0.0)
    # A pixel covers half a pixel around its centre, and dlib's right and bottom pixels belong to the box.
    return [
        Detection(
            (r.left() * sx - 0.5, r.top() * sy - 0.5, (r.right() + 1) * sx - 0.5, (r.bottom() + 1) * sy - 0.5),
            float(score),
            "dlib",
        )
        for r, score in zip(rectangles, scores, strict=True)
    ]


def _overlap(one: Detection, other: Detection) -> bool:
    """Say whether two detections are of one face: they share more than a third of what they cover together."""
    width, height = (min(one.box[i + 2], other.box[i + 2]) - max(one.box[i], other.box[i]) for i in (0, 1))
    both = max(width, 0) * max(height, 0)
    return both > (one.area + other.area - both) / 3
