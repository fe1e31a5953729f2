"""Faces with something drawn on them: landmarks, parsing maps, heatmaps, in the manner of the paper's Figs. 9, 13 and 14.

Pure functions of arrays. Every ``draw_`` function takes a face or another picture, (S, S, 3) uint8 RGB, S a divisor of 128, so
that an LR face is enlarged as well, and ``scale``, the pixels of the result for one of the 128x128 crop. It enlarges the
picture by whole factors, so that its pixels stay as they are, and draws at the size of the result, so that lines are crisp. It
returns a new picture, (128 scale, 128 scale, 3) uint8; what is of another form is a `UsageError`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import cv2
import matplotlib as mpl
import numpy as np
from PIL import Image, ImageDraw

from occface import lettering
from occface.errors import UsageError
from occface.faces.align import CROP_SIZE
from occface.faces.parsing import UNKNOWN

__all__ = [
    "INK",
    "LANDMARK_COLOURS",
    "PAPER",
    "draw_heatmaps",
    "draw_landmarks",
    "draw_parsing",
    "legend_strip",
    "parsing_colours",
]

Colour = tuple[int, int, int]

#: The parts that landmarks outline, in hues that colour-blind readers tell apart, as the legend names them.
LANDMARK_COLOURS: dict[str, Colour] = {
    "jaw": (86, 180, 233),
    "brows": (230, 159, 0),
    "nose": (240, 228, 66),
    "eyes": (0, 190, 140),
    "mouth": (255, 120, 190),
}
#: The strokes of the 68 landmarks (iBUG order): part, first, last, and whether the stroke is closed.
_STROKES = (
    ("jaw", 0, 16, False), ("brows", 17, 21, False), ("brows", 22, 26, False), ("nose", 27, 30, False), ("nose", 31, 35, False),
    ("eyes", 36, 41, True), ("eyes", 42, 47, True), ("mouth", 48, 59, True), ("mouth", 60, 67, True),
)  # fmt: skip
#: Of each class of parsing maps, whichever set of classes it belongs to. Left and right are told apart by lightness.
_CLASS_COLOURS: dict[str, Colour] = {
    "background": (70, 70, 78),
    "skin": (244, 196, 160),
    "nose": (240, 228, 66),
    "eye_g": (120, 94, 240),
    "l_eye": (0, 120, 200),
    "r_eye": (110, 195, 255),
    "l_brow": (130, 70, 10),
    "r_brow": (205, 135, 50),
    "l_ear": (150, 60, 140),
    "r_ear": (225, 150, 215),
    "mouth": (110, 0, 25),
    "u_lip": (255, 120, 120),
    "l_lip": (215, 40, 50),
    "hair": (90, 58, 38),
    "hat": (255, 255, 255),
    "ear_r": (255, 190, 0),
    "neck_l": (200, 230, 60),
    "neck": (200, 140, 110),
    "cloth": (0, 140, 110),
}
#: Ground and letters of what is read on light and on dark pages: nothing, and a grey that is 4 times as bright or dark as they.
PAPER, INK = (255, 255, 255, 0), (125, 125, 125, 255)
_RIM = (34, 34, 34)
_GAP = 4
#: Fractional bits of the coordinates that OpenCV draws at.
_SHIFT = 4


def draw_landmarks(face: np.ndarray, landmarks: np.ndarray, scale: int = 3) -> np.ndarray:
    """Draw 68 landmarks on a face: a dot each, and thin lines along the parts, in `LANDMARK_COLOURS`.

    Parameters
    ----------
    landmarks : numpy.ndarray
        (68, 2) x and y in pixels of the 128x128 crop, pixel centres at integers, iBUG order. They may lie outside of it.
    """
    canvas = _enlarged(face, scale)
    points = np.asarray(landmarks, np.float64)
    if points.shape != (68, 2) or not np.isfinite(points).all():
        raise UsageError(f"expected 68 finite landmarks (68, 2), got {points.shape}; draw only faces whose landmarks are known")
    # Far outside they would overflow OpenCV's coordinates; nothing of them shows anyway.
    places = np.clip((points + 0.5) * scale - 0.5, -(1 << 14), 1 << 14)
    fixed = np.rint(places * (1 << _SHIFT)).astype(np.int32)
    for part, first, last, closed in _STROKES:
        stroke = [fixed[first : last + 1]]
        cv2.polylines(canvas, stroke, closed, LANDMARK_COLOURS[part], max(1, round(scale / 4)), cv2.LINE_AA, _SHIFT)
    for part, first, last, _ in _STROKES:
        for x, y in places[first : last + 1].tolist():
            # A dark rim, so that the dot is seen on light skin too.
            _disc(canvas, x, y, 0.65 * scale + max(0.8, scale / 5), _RIM)
            _disc(canvas, x, y, 0.65 * scale, LANDMARK_COLOURS[part])
    return canvas


def _disc(canvas: np.ndarray, x: float, y: float, radius: float, colour: Colour) -> None:
    """Draw a disc with a smooth edge; OpenCV makes small ones angular."""
    reach = radius + 1
    left, right = max(0, math.floor(x - reach)), min(canvas.shape[1], math.ceil(x + reach) + 1)
    top, bottom = max(0, math.floor(y - reach)), min(canvas.shape[0], math.ceil(y + reach) + 1)
    if left >= right or top >= bottom:
        return
    distance = np.hypot(np.arange(left, right) - x, np.arange(top, bottom)[:, None] - y)
    cover = np.clip(radius + 0.5 - distance, 0, 1)[..., None]
    under = canvas[top:bottom, left:right]
    canvas[top:bottom, left:right] = np.rint(under * (1 - cover) + np.array(colour) * cover)


def parsing_colours(classes: Sequence[str]) -> dict[str, Colour]:
    """Return the colour of each class, for the legend.

    Raises
    ------
    UsageError
        If a class is unknown.
    """
    unknown = [name for name in classes if name not in _CLASS_COLOURS]
    if unknown:
        raise UsageError(f"no colour for the parsing class '{unknown[0]}': expected one of {', '.join(_CLASS_COLOURS)}")
    return {name: _CLASS_COLOURS[name] for name in classes}


def draw_parsing(
    face: np.ndarray, labels: np.ndarray, classes: Sequence[str], scale: int = 3, opacity: float = 0.65
) -> np.ndarray:
    """Lay a parsing map over a face, each class in its colour, with thin lines between the classes.

    Parameters
    ----------
    labels : numpy.ndarray
        (128, 128) uint8 classes. Where it is `occface.faces.parsing.UNKNOWN` the face is left as it is.
    classes : sequence of str
        The names of the classes, 0 first.
    opacity : float
        Of the colours, in [0, 1].
    """
    canvas = _enlarged(face, scale)
    known = labels != UNKNOWN
    if labels.dtype != np.uint8 or labels.shape != (CROP_SIZE, CROP_SIZE) or (labels[known] >= len(classes)).any():
        raise UsageError(
            f"expected a parsing map (128, 128) uint8 of {len(classes)} classes, got {labels.shape} {labels.dtype} "
            f"up to class {labels[known].max(initial=0)}; give the classes of the map's own source"
        )
    palette = np.zeros((256, 3))
    palette[: len(classes)] = list(parsing_colours(classes).values())
    large = labels.repeat(scale, axis=0).repeat(scale, axis=1)
    weight = np.where(large == UNKNOWN, 0.0, opacity)[..., None]
    mixed = canvas * (1 - weight) + palette[large] * weight
    border = np.zeros(large.shape, bool)
    border[1:] |= large[1:] != large[:-1]
    border[:, 1:] |= large[:, 1:] != large[:, :-1]
    mixed[border] *= 0.35
    return np.rint(mixed).astype(np.uint8)


def draw_heatmaps(picture: np.ndarray, heatmaps: np.ndarray, scale: int = 3) -> np.ndarray:
    """Lay landmark heatmaps over a stage's picture: the darkened picture, glowing where any landmark is expected.

    Parameters
    ----------
    heatmaps : numpy.ndarray
        (K, h, h) floats, one map a landmark; 0 and below is nothing, 1 and above the brightest. Their largest value at each
        place is shown, smoothly enlarged.
    """
    canvas = _enlarged(picture, scale)
    maps = np.asarray(heatmaps, np.float32)
    if maps.ndim != 3 or maps.shape[1] != maps.shape[2] or not maps.size or not np.isfinite(maps).all():
        raise UsageError(f"expected finite square heatmaps (K, h, h), got {maps.shape}; give those of one face")
    field = cv2.resize(maps.max(axis=0).clip(0, 1), (canvas.shape[1], canvas.shape[0]), interpolation=cv2.INTER_LINEAR)
    glow = mpl.colormaps["inferno"](field)[..., :3] * 255
    weight = np.sqrt(field)[..., None]  # faint heat shows too
    return np.rint(canvas * 0.55 * (1 - weight) + glow * weight).astype(np.uint8)


def legend_strip(colours: Mapping[str, Colour], width: int, size: int = 14) -> np.ndarray:
    """Write the names of colours beside swatches of them, in as many lines as a width needs.

    Parameters
    ----------
    colours : mapping of str to (int, int, int)
        Such as `LANDMARK_COLOURS` or what `parsing_colours` returns.
    width : int
        Of the strip, in pixels.
    size : int
        Of the letters, in pixels.

    Returns
    -------
    numpy.ndarray
        (height, width, 4) uint8 RGBA: letters on nothing, that are read on light and on dark pages.
    """
    font = lettering.font(size)
    line = sum(font.getmetrics()) + _GAP
    places, x, y = [], _GAP, _GAP
    for name in colours:
        text = lettering.cut(name, font, width - size - 4 * _GAP)
        needed = size + _GAP + int(font.getlength(text)) + 3 * _GAP
        if x > _GAP and x + needed > width:
            x, y = _GAP, y + line
        places.append((name, text, x, y))
        x += needed
    sheet = Image.new("RGBA", (width, y + line if places else 1), PAPER)
    draw = ImageDraw.Draw(sheet)
    for name, text, left, top in places:
        draw.rectangle((left, top + 2, left + size - 1, top + size + 1), fill=colours[name], outline=INK)
        draw.text((left + size + _GAP, top), text, fill=INK, font=font)
    return np.asarray(sheet)


def _enlarged(face: np.ndarray, scale: int) -> np.ndarray:
    """Return a face repeated to `scale` times the crop's size."""
    side = face.shape[0] if face.ndim == 3 else 0
    if face.dtype != np.uint8 or face.shape != (side, side, 3) or not side or CROP_SIZE % side:
        raise UsageError(
            f"expected a face (S, S, 3) uint8 whose side divides {CROP_SIZE}, got {face.shape} {face.dtype}; "
            "cut and convert it first"
        )
    if scale < 1:
        raise UsageError(f"expected a scale of at least 1, got {scale}")
    factor = scale * (CROP_SIZE // side)
    return face.repeat(factor, axis=0).repeat(factor, axis=1)
