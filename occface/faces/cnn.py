"""Finding faces with dlib's convolutional detector (max-margin object detection): slow, but it sees faces turned aside."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import cv2
import numpy as np

from occface import assets
from occface.faces.detect import Detection

__all__ = ["DlibCnnDetector"]

#: By how much a photograph is enlarged at the most: the detector sees faces from 80 px on.
_ENLARGED = 2

#: How far the centre of the box that dlib's frontal detector draws lies from that of this one, to the right and down, in parts
#: of its side; the sides are alike. Medians over 90 faces (CelebA-HQ, LFW, YouTube Faces, London Set), about which the boxes
#: scatter by 6 % of their side in place and by 12 % in size.
_SHIFT = np.array([0.034, 0.060])


@functools.lru_cache(maxsize=1)
def _model() -> Any:
    import dlib

    (path,) = assets.require("dlib-cnn").values()
    return dlib.cnn_face_detection_model_v1(str(path))


@dataclass(frozen=True)
class DlibCnnDetector:
    """dlib's detector made of convolutions, run on a small picture first, and on more pixels only while nothing is found.

    A million pixels take 8 s and 1.1 GB, so no photograph is searched with more than 1,024 px on a side: larger ones are
    shrunk. A face must then have 80 px.
    """

    name: ClassVar[str] = "dlib-cnn"
    assets: ClassVar[tuple[str, ...]] = ("dlib-cnn",)
    #: The long side in px that the photograph is brought to for each pass.
    passes: ClassVar[tuple[int, ...]] = (256, 512, 1024)

    def detect(self, image: np.ndarray, *, thorough: bool = False, known: Sequence[Detection] = ()) -> list[Detection]:
        """Return the faces of the first pass that finds any; thoroughly, the passes are made in reverse order.

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
            Boxes such as dlib's frontal detector draws; scores above 0.

        Raises
        ------
        AssetError
            If the model is not at hand.
        """
        sides = self._sides(image)
        for side in reversed(sides) if thorough else sides:
            found = _run(image, side)
            if found:
                return found
        return []

    def tried(self, image: np.ndarray) -> str:
        """Return the sizes at which `detect` looks in vain.

        Examples
        --------
        >>> DlibCnnDetector().tried(np.zeros((300, 400, 3), np.uint8))
        'tried at 256, 512, 800 px'
        """
        return f"tried at {', '.join(map(str, self._sides(image)))} px"

    def _sides(self, image: np.ndarray) -> list[int]:
        return list(dict.fromkeys(min(side, _ENLARGED * max(image.shape[:2])) for side in self.passes))


def _run(image: np.ndarray, side: int) -> list[Detection]:
    """Run the detector on a picture brought to a long side; return what it finds in pixels of the picture given."""
    height, width = image.shape[:2]
    factor = side / max(height, width)
    shape = (max(1, round(width * factor)), max(1, round(height * factor)))
    resized = cv2.resize(image, shape, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR)
    scale = np.array([width / shape[0], height / shape[1]])
    found = []
    for face in _model()(np.ascontiguousarray(resized), 0):
        # A pixel covers half a pixel around its centre, and dlib's right and bottom pixels belong to the box.
        low = np.array([face.rect.left(), face.rect.top()]) * scale
        high = np.array([face.rect.right() + 1, face.rect.bottom() + 1]) * scale
        (x0, y0), (x1, y1) = np.stack([low, high]) + _SHIFT * (high - low) - 0.5
        found.append(Detection((float(x0), float(y0), float(x1), float(y1)), float(face.confidence), "dlib-cnn"))
    return found
