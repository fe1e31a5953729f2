"""Facial expressions: seven as a small network sees them (mini-XCEPTION, trained on FER-2013), five as landmarks tell them."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING

import cv2
import numpy as np

from occface import assets
from occface.faces.measures import Measures

if TYPE_CHECKING:
    from occface.networks.xception import MiniXception

__all__ = ["ASSET", "EXPRESSIONS", "TOLD", "expression_scores", "is_neutral", "told_expression"]

ASSET = "expression"

#: The classes, in the order of the network's scores.
EXPRESSIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")

#: What `told_expression` tells apart; they are named as in Multi-PIE.
TOLD = ("neutral", "smile", "surprise", "squint", "scream")

#: How far the network's view reaches beyond the box of the face on each side, in parts of the box's side.
_MARGIN = 0.1


@functools.lru_cache(maxsize=1)
def _network() -> MiniXception:
    from occface.networks.xception import MiniXception

    (path,) = assets.require(ASSET).values()
    return MiniXception.from_keras(path)


def expression_scores(image: np.ndarray, box: tuple[float, float, float, float]) -> np.ndarray:
    """Return how much a face looks like each of `EXPRESSIONS`.

    Parameters
    ----------
    image : numpy.ndarray
        (height, width, 3) uint8 RGB.
    box : tuple of float
        (x0, y0, x1, y1) of the face, as dlib's detector draws it, pixel centres at integers; ``align.CROP_BOX`` in a crop.
        What lies outside the picture continues its border.

    Returns
    -------
    numpy.ndarray
        (7,) float32, positive, of sum 1.

    Raises
    ------
    AssetError
        If the network's file is absent or not the pinned one.
    """
    import torch

    from occface.networks.xception import SIZE

    x0, y0, x1, y1 = box
    dx, dy = _MARGIN * (x1 - x0), _MARGIN * (y1 - y0)
    left, top = math.floor(x0 - dx + 0.5), math.floor(y0 - dy + 0.5)
    right, bottom = math.floor(x1 + dx + 0.5), math.floor(y1 + dy + 0.5)
    rows = np.clip(np.arange(top, bottom + 1), 0, image.shape[0] - 1)
    columns = np.clip(np.arange(left, right + 1), 0, image.shape[1] - 1)
    grey = cv2.cvtColor(image[rows[:, None], columns], cv2.COLOR_RGB2GRAY)
    grey = cv2.resize(grey, (SIZE, SIZE), interpolation=cv2.INTER_AREA if grey.shape[0] > SIZE else cv2.INTER_LINEAR)
    x = torch.from_numpy(grey.astype(np.float32) / 127.5 - 1)[None, None]
    with torch.inference_mode():
        return _network()(x).softmax(1)[0].numpy()


def is_neutral(measures: Measures, scores: np.ndarray) -> bool:
    """Say whether a face by itself is a neutral one: mouth closed, its corners level, eyes open, and not happy.

    Parameters
    ----------
    measures : Measures
        Of the face.
    scores : numpy.ndarray
        (7,), see `expression_scores`.
    """
    closed = measures.mouth_opening < 0.06 and abs(measures.mouth_lift) < 0.08
    return closed and measures.eye_opening > 0.075 and float(scores[EXPRESSIONS.index("happy")]) < 0.5


def told_expression(measures: Measures, neutral: Measures) -> str:
    """Return the expression of a face beside the same person's neutral face, seen from the same side.

    Only landmarks are asked; lengths are in eye distances. A face between two expressions is given neither. Of 52 people
    who were asked to smile for a studio portrait (London Set), many with closed lips, 39 are told to smile, 11 neutral.

    Parameters
    ----------
    measures, neutral : Measures
        Of the face, and of the neutral one.

    Returns
    -------
    str
        ``smile``: the mouth is wider and its corners are lifted. ``scream``: it is opened by 0.28 or more. ``surprise``: it is
        opened, and brows and eyes together are raised. ``squint``: the eyes are a quarter narrower, the mouth is as it was.
        ``neutral``: as it was. Else an empty text.

    Examples
    --------
    >>> from occface.faces.measures import Measures, Pose
    >>> neutral = Measures(Pose(0, 0, 0), 0.8, 0.0, 0.0, 0.14, 0.3)
    >>> told_expression(Measures(Pose(0, 0, 0), 0.95, 0.1, 0.09, 0.12, 0.3), neutral)
    'smile'
    """
    opened = measures.mouth_opening - neutral.mouth_opening
    lifted = measures.mouth_lift - neutral.mouth_lift
    widened = measures.mouth_width - neutral.mouth_width
    eyes = measures.eye_opening / neutral.eye_opening - 1
    raised = (measures.eye_opening - neutral.eye_opening) + (measures.brow_height - neutral.brow_height)
    if lifted >= 0.04 and widened >= 0.06:
        return "smile"
    if opened >= 0.28:
        return "scream"
    if opened >= 0.09 and raised >= 0.04:
        return "surprise"
    if abs(opened) < 0.06 and abs(lifted) < 0.06:
        if eyes <= -0.25:
            return "squint"
        return "neutral" if abs(eyes) < 0.2 else ""
    return ""
