"""Masks of parts of a face, and of what people wear or hold before it, drawn by the 68 landmarks.

Every shape is built from the landmarks themselves, in a frame that turns with the face: it fits faces that are turned, rolled
or mirrored (with landmarks renumbered). Each varies a little at random, in size and place.

A point is a complex number, x + iy, so that a turn is a product. A shape is an outline, filled, and drawn over with a line
of some width that makes it larger and rounds its corners.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np

from occface.errors import BadImageError

__all__ = ["REGIONS", "draw_region"]

#: A frontal face's distance from between its eyes to its chin, in distances of its eyes.
_FACE_LENGTH = 1.72
#: Fractional bits of the coordinates that shapes are drawn with.
_SHIFT = 4


@dataclass(frozen=True)
class _Face:
    """The landmarks as complex numbers, (68,); and the frame: across and down the face, each as long as its eyes are apart.

    A face turned aside keeps its length, so the longer of the two measures of its size is taken.
    """

    points: np.ndarray
    across: complex
    down: complex

    @classmethod
    def of(cls, landmarks: np.ndarray) -> _Face:
        points = np.asarray(landmarks, dtype=np.float64) @ (1, 1j)
        right, left = points[36:42].mean(), points[42:48].mean()
        length = points[8] - (right + left) / 2
        # A quarter turn leads from across the face to down it. Together they tell where down is for a face in profile, whose
        # eyes coincide, and for one that opens its mouth aslant.
        down = 1j * (left - right) * _FACE_LENGTH + length
        unit = max(abs(left - right), abs(length) / _FACE_LENGTH)
        if not abs(down) > 1e-3 or not unit > 1e-3:
            raise BadImageError("the landmarks lie in one point or upside down: no part of the face can be told from them")
        down = complex(down / abs(down) * unit)
        return cls(points, -1j * down, down)


@dataclass(frozen=True)
class _Shape:
    """A closed outline of complex numbers, and by how many pixels it is made larger all around."""

    outline: np.ndarray
    swell: float = 0.0


_Draw = Callable[[_Face, np.random.Generator], Iterator[_Shape]]


def _hull(face: _Face, rng: np.random.Generator, numbers: list[int], swell: tuple[float, float]) -> Iterator[_Shape]:
    """Yield the convex hull of some landmarks, made larger by a random share of the eyes' distance, and moved a little."""
    points = face.points[numbers]
    hull = cv2.convexHull(np.stack([points.real, points.imag], axis=1).astype(np.float32))[:, 0].astype(np.float64) @ (1, 1j)
    move = rng.uniform(-0.06, 0.06) * face.across + rng.uniform(-0.06, 0.06) * face.down
    yield _Shape(hull + move, rng.uniform(*swell) * abs(face.down))


def _half(face: _Face, rng: np.random.Generator, left: bool) -> Iterator[_Shape]:
    """Yield one side of the face, from the hairline to the chin: along the jaw, and back over nose and lips."""
    p = face.points
    outward = face.across if left else -face.across
    temple, jaw = (p[16], p[15:8:-1]) if left else (p[0], p[1:8])
    crown = p[27] - rng.uniform(1.05, 1.3) * face.down
    turn = np.linspace(0, np.pi / 2, 8)[1:]
    forehead = p[27] + (crown - p[27]) * np.cos(turn) + (temple - p[27]) * np.sin(turn)
    middle = np.array([p[8], p[57], p[51], p[33], p[30], p[27], crown])
    shift = rng.uniform(-0.1, 0.1) * outward
    yield _Shape(np.concatenate([middle + shift, forehead, jaw]), 0.03 * abs(face.down))


def _lower_face(face: _Face, rng: np.random.Generator) -> Iterator[_Shape]:
    """Yield a mask as worn: over the bridge of the nose, from cheek to cheek, to under the chin; and its ear loops."""
    p, unit = face.points, abs(face.down)
    bridge = p[28] + (p[29] - p[28]) * rng.uniform(-0.2, 1.2)
    start = rng.uniform(0, 1)
    right, left = p[1] + (p[2] - p[1]) * start, p[15] + (p[14] - p[15]) * start
    middle = p[62]
    rim = middle + (p[3:14] - middle) * rng.uniform(1.02, 1.1)
    drop = rng.uniform(0.02, 0.12) * np.sin(np.linspace(0, np.pi, 11)) ** 2
    sag = rng.uniform(0, 0.15) * face.down
    top = np.concatenate([_curve(left, (left + bridge) / 2 + sag, bridge), _curve(bridge, (right + bridge) / 2 + sag, right)])
    yield _Shape(np.concatenate([top, rim + drop * face.down]), 0.02 * unit)
    for corner, low, ear, outward in ((right, p[4], p[0], -face.across), (left, p[12], p[16], face.across)):
        behind = ear + 0.12 * outward
        for end in (corner, low):
            yield _Shape(np.array([end, behind]), 0.03 * unit)


def _curve(start: complex, control: complex, end: complex) -> np.ndarray:
    """Return points of the quadratic Bezier curve from one point to another."""
    t = np.linspace(0, 1, 8)
    return (1 - t) ** 2 * start + 2 * t * (1 - t) * control + t**2 * end


def _sunglasses(face: _Face, rng: np.random.Generator) -> Iterator[_Shape]:
    """Yield two lenses, from round to nearly square, a bridge between and an arm to each ear."""
    p, unit = face.points, abs(face.down)
    height, wide, corners = rng.uniform(0.3, 0.45), rng.uniform(0.35, 0.6), rng.uniform(2, 5)
    low = rng.uniform(0.02, 0.12) * face.down
    t = np.linspace(0, 2 * np.pi, 32, endpoint=False)
    x, y = (np.sign(f) * np.abs(f) ** (2 / corners) for f in (np.cos(t), np.sin(t)))
    rims = []
    for outer, inner, temple in ((p[36], p[39], p[0]), (p[45], p[42], p[16])):
        # The lens is as foreshortened as the eye that it hides.
        inside, outside = inner + (p[27] - inner) * 0.45, outer + (outer - inner) * wide
        centre, half = (inside + outside) / 2 + low, (outside - inside) / 2
        yield _Shape(centre + half * x + height * face.down * y, 0.02 * unit)
        rims.append(centre - half)
        yield _Shape(np.array([centre + half, temple - 0.1 * face.down]), 0.04 * unit)
    yield _Shape(np.array(rims) - 0.08 * face.down, 0.05 * unit)


def _hand(face: _Face, rng: np.random.Generator) -> Iterator[_Shape]:
    """Yield a hand laid on mouth or cheek: a palm, four fingers side by side, a thumb apart, and the arm it comes on."""
    unit = abs(face.down)
    side = rng.choice([-1, 1])
    up = -face.down * np.exp(1j * side * rng.uniform(-0.3, 1.2))
    along = 1j * up  # across the palm, from the little finger to the thumb or back
    palm = face.points[62] - 0.55 * up + rng.uniform(-0.25, 0.25) * along
    corners = np.array([0.4 * up + 0.42 * along, 0.4 * up - 0.42 * along, -0.45 * up - 0.3 * along, -0.45 * up + 0.3 * along])
    yield _Shape(palm + corners, 0.1 * unit)
    spread = rng.uniform(0.02, 0.14)
    for finger, length in enumerate((0.75, 0.95, 1.0, 0.85)):
        place = (finger - 1.5) * 0.27
        base = palm + 0.35 * up + place * along
        yield _Shape(np.array([base, base + length * rng.uniform(0.85, 1) * up + place * spread * 4 * along]), 0.125 * unit)
    base = palm - 0.1 * up - side * 0.4 * along
    yield _Shape(np.array([base, base + 0.65 * up - side * rng.uniform(0.25, 0.5) * along]), 0.14 * unit)
    yield _Shape(np.array([palm - 0.3 * up, palm - 5 * up]), 0.34 * unit)


def _scarf(face: _Face, rng: np.random.Generator) -> Iterator[_Shape]:
    """Yield a scarf pulled up over the mouth: from cheek to cheek, wider than the face, and down out of the picture."""
    p = face.points
    top = p[33] + (p[62] - p[33]) * rng.uniform(0, 0.9)
    tilt = rng.uniform(-0.12, 0.12) * face.down
    right, left = p[3] - 0.12 * face.across + tilt, p[13] + 0.12 * face.across - tilt
    shoulders = p[8] + rng.uniform(0.7, 1.1) * face.down + np.array([1.7, 1.9, -1.9, -1.7]) * face.across
    shoulders[1:3] += 5 * face.down
    edge = [_curve(right, (right + top) / 2 + 0.1 * face.down, top), _curve(top, (left + top) / 2 + 0.1 * face.down, left)]
    sides = [_curve(left, p[11] + 0.5 * face.across, shoulders[0]), _curve(shoulders[3], p[5] - 0.5 * face.across, right)]
    yield _Shape(np.concatenate([*edge, sides[0], shoulders[1:3], sides[1]]), 0.08 * abs(face.down))


def _microphone(face: _Face, rng: np.random.Generator) -> Iterator[_Shape]:
    """Yield a microphone held before the mouth: a round head, and a handle that leads down out of the picture."""
    unit = abs(face.down)
    down = face.down * np.exp(1j * rng.uniform(-0.7, 0.7))
    head = face.points[57] + rng.uniform(-0.1, 0.25) * face.down + rng.uniform(-0.25, 0.25) * face.across
    yield _Shape(np.array([head, head + 0.12 * down]), rng.uniform(0.26, 0.38) * unit)
    yield _Shape(np.array([head, head + 5 * down]), rng.uniform(0.1, 0.16) * unit)


#: The masks drawn by landmarks, by name. Left and right are the subject's.
REGIONS: dict[str, _Draw] = {
    "eyes": partial(_hull, numbers=list(range(36, 48)), swell=(0.16, 0.28)),
    "nose": partial(_hull, numbers=list(range(28, 36)), swell=(0.1, 0.2)),
    "mouth": partial(_hull, numbers=list(range(48, 60)), swell=(0.12, 0.26)),
    "left-half": partial(_half, left=True),
    "right-half": partial(_half, left=False),
    "lower-face": _lower_face,
    "sunglasses": _sunglasses,
    "hand": _hand,
    "scarf": _scarf,
    "microphone": _microphone,
}


def draw_region(name: str, rng: np.random.Generator, size: int, landmarks: np.ndarray) -> np.ndarray:
    """Draw the mask of a part of the face, or of what hides one.

    Parameters
    ----------
    name : str
        One of `REGIONS`.
    rng : numpy.random.Generator
        The only source of randomness.
    size : int
        Side of the image in pixels.
    landmarks : numpy.ndarray
        (68, 2), (x, y) in pixels of the image, pixel centres at integers, iBUG order.

    Returns
    -------
    numpy.ndarray
        uint8 {0, 1} of shape (size, size); 1 is occluded.

    Raises
    ------
    BadImageError
        If the landmarks lie in one point, or so far outside the image that nothing or everything of it would be hidden.
    ValueError
        If the landmarks are not 68 finite points.
    """
    if landmarks.shape != (68, 2) or not np.isfinite(landmarks).all():
        raise ValueError(f"expected 68 finite landmarks, (68, 2), got an array of shape {landmarks.shape}")
    mask = np.zeros((size, size), np.uint8)
    for shape in REGIONS[name](_Face.of(landmarks), rng):
        _paint(mask, shape)
    if mask.all() or not mask.any():
        what = "everything" if mask.any() else "nothing"
        raise BadImageError(f"the mask '{name}' would hide {what}: the face's landmarks lie far outside the crop")
    return mask


def _paint(mask: np.ndarray, shape: _Shape) -> None:
    # Far outside the image nothing is seen of where a shape ends, and OpenCV counts pixels in few bits.
    reach = 16 * mask.shape[0]
    points = np.stack([shape.outline.real, shape.outline.imag], axis=1).clip(-reach, reach)
    fixed = [np.rint(points * (1 << _SHIFT)).astype(np.int32)]
    cv2.fillPoly(mask, fixed, 1, shift=_SHIFT)
    if shape.swell >= 0.5:
        cv2.polylines(mask, fixed, True, 1, thickness=min(round(2 * shape.swell), 1000), shift=_SHIFT)
