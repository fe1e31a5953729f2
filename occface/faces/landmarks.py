"""Finding 68 facial landmarks (the iBUG order) in a face whose box is known."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import cv2
import numpy as np

from occface import assets
from occface.faces.align import CROP_BOX, CROP_SIZE
from occface.faces.detect import check_box

__all__ = ["DlibLandmarks", "Landmarker", "LrLandmarker", "nrmse"]


class LrLandmarker(Protocol):
    """What finds landmarks in LR faces. Instances are light and picklable; models are loaded once per process."""

    assets: ClassVar[tuple[str, ...]]

    def on_lr(self, lr: np.ndarray) -> np.ndarray:
        """Return (68, 2) float32 landmarks, in pixels of the 128 crop, of an aligned LR face, uint8 (16, 16, 3)."""


class Landmarker(LrLandmarker, Protocol):
    """What finds landmarks in photographs too. Instances are light and picklable; models are loaded on first use."""

    name: ClassVar[str]

    def __call__(self, image: np.ndarray, box: tuple[float, float, float, float]) -> np.ndarray:
        """Return (68, 2) float32 landmarks, in pixels of `image`, of the face in `box`."""


#: The side of the box in pixels below which a face is enlarged for the predictor, which gives whole pixels only. Held against
#: the landmarks of the same photographs at full size, it errs by 0.63 px of the crop on faces of 80 px as they are, and by
#: 0.45 px when they are enlarged.
_FINE = 192


#: The side in px to which LR faces are enlarged: on those of 150 photographs the landmarks err by 2.39 px of the crop on the
#: average at 192 and at 256 px, and by 2.42 px at 128.
_LR_SIDE = 192


@functools.lru_cache(maxsize=1)
def _predictor() -> Any:
    import dlib

    (path,) = assets.require("dlib-68").values()
    return dlib.shape_predictor(str(path))


@dataclass(frozen=True)
class DlibLandmarks:
    """dlib's shape predictor (an ensemble of regression trees, trained on iBUG 300-W)."""

    name: ClassVar[str] = "dlib"
    assets: ClassVar[tuple[str, ...]] = ("dlib-68",)

    def __call__(self, image: np.ndarray, box: tuple[float, float, float, float]) -> np.ndarray:
        """Return the landmarks of the face in a box.

        Parameters
        ----------
        image : numpy.ndarray
            (height, width, 3) uint8 RGB. The predictor compares a few thousand of its pixels, so its size costs no time.
        box : tuple of float
            (x0, y0, x1, y1), pixel centres at integers, as dlib's detector draws it: the predictor has learnt its habits.

        Returns
        -------
        numpy.ndarray
            (68, 2) float32, (x, y) in pixels of `image`, pixel centres at integers. Points may lie outside the picture.

        Raises
        ------
        BadImageError
            If the box is too small, or mostly outside the photograph.
        AssetError
            If the predictor's file is absent or not the pinned one.
        """
        check_box(box, image)
        x0, y0, x1, y1 = box
        side = max(x1 - x0, y1 - y0)
        factor = max(1, math.ceil(_FINE / side))
        left, top = 0, 0
        if factor > 1:
            # The face with half its box around it: the predictor does not look further.
            margin = side / 2
            left, top = max(0, math.floor(x0 - margin)), max(0, math.floor(y0 - margin))
            image = image[top : math.ceil(y1 + margin) + 1, left : math.ceil(x1 + margin) + 1]
            image = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
        points = _predict(image, np.array(box) - np.array([left, top, left, top]), factor)
        return (points + np.array([left, top])).astype(np.float32)

    def on_lr(self, lr: np.ndarray) -> np.ndarray:
        """Return the landmarks of an aligned LR face in pixels of the 128 crop.

        No detector sees a face in 16 px, but in an aligned crop it is known where the box would lie. The LR face is enlarged
        bicubically for the predictor.

        Parameters
        ----------
        lr : numpy.ndarray
            (16, 16, 3) uint8 RGB.

        Returns
        -------
        numpy.ndarray
            (68, 2) float32.
        """
        grey = lr.astype(np.uint16).sum(axis=2) // 3  # what the predictor makes of a colour, here before enlarging
        enlarged = cv2.resize(grey.astype(np.uint8), (_LR_SIDE, _LR_SIDE), interpolation=cv2.INTER_CUBIC)
        return _predict(enlarged, np.array(CROP_BOX), _LR_SIDE / CROP_SIZE).astype(np.float32)


def _predict(image: np.ndarray, box: np.ndarray, factor: float) -> np.ndarray:
    """Return the (68, 2) landmarks that the predictor finds in an enlarged picture, in pixels of the picture before that."""
    import dlib

    # A pixel covers half a pixel around its centre; dlib's right and bottom pixels belong to the box.
    left, top, right, bottom = (math.floor(edge + 0.5) for edge in ((box + 0.5) * factor).tolist())
    shape = _predictor()(np.ascontiguousarray(image), dlib.rectangle(left, top, right - 1, bottom - 1))
    points = np.array([(point.x, point.y) for point in shape.parts()], dtype=np.float64)
    return (points + 0.5) / factor - 0.5


def nrmse(found: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Return the root mean square distance of landmarks over that of the outer eye corners, in per cent.

    Parameters
    ----------
    found, true : numpy.ndarray
        (N, 68, 2) landmarks of the same faces; the eyes are those of `true`.

    Returns
    -------
    numpy.ndarray
        (N,) float64.

    Examples
    --------
    >>> true = np.zeros((1, 68, 2))
    >>> true[0, 45] = (50, 0)
    >>> nrmse(true + [3, 4], true).tolist()
    [10.0]
    """
    squares = ((found.astype(np.float64) - true) ** 2).sum(axis=-1)
    eyes = np.linalg.norm(true[:, 45].astype(np.float64) - true[:, 36], axis=-1)
    return 100 * np.sqrt(squares.mean(axis=-1)) / eyes
