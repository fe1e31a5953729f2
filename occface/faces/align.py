"""Bringing a face upright into the 128 x 128 crop: the similarity transform, and resampling without aliasing."""

from __future__ import annotations

import cv2
import numpy as np

from occface.errors import BadImageError

__all__ = [
    "CROP_BOX",
    "CROP_SIZE",
    "TEMPLATE",
    "apply",
    "box_of_points",
    "crop_transform",
    "inverse",
    "outside",
    "warp",
    "warp_labels",
]

#: Side of the crop in pixels: the size of HR faces.
CROP_SIZE = 128

#: Where the five points come to lie: eyes, nose, mouth (left in the picture first). Their arrangement is the mean over 204
#: studio portraits (London Set) and 895 photographs of CelebA-HQ, weighted equally, found by iterated alignment and made
#: symmetric. The eyes are 36 px apart. At this height, all 68 landmarks of all those faces lie in the crop, and so they do for
#: 98 % of 3,384 video frames (YouTube Faces) and of 100 news photographs (LFW); the others look far aside.
TEMPLATE = np.array([[45.5, 50.0], [81.5, 50.0], [63.5, 69.2], [47.6, 87.5], [79.4, 87.5]])

#: The box that dlib's detector gives an aligned face, (x0, y0, x1, y1): near the median of the boxes found in the same
#: photographs, each brought into the crop. Single ones differ by about 5 px, for the detector's window moves in coarse steps.
CROP_BOX = (21.5, 24.5, 105.5, 108.5)

#: How wide a crop may be in the photograph, in px. Outside of that, landmarks are numerical noise and no face.
_LEAST_SIDE, _GREATEST_SIDE = 8, 1e6

# The iBUG numbers of the points that the five are made of: eyes, tip of the nose, corners of the mouth.
_EYES = (slice(36, 42), slice(42, 48))
_SINGLE = [30, 48, 54]


def five_points(landmarks: np.ndarray) -> np.ndarray:
    """Return the eyes' centres, the tip of the nose and the corners of the mouth, (5, 2) float64, of (68, 2) landmarks."""
    points = np.asarray(landmarks, dtype=np.float64)
    return np.stack([*(points[eye].mean(axis=0) for eye in _EYES), *points[_SINGLE]])


def crop_transform(landmarks: np.ndarray, size: int = CROP_SIZE) -> np.ndarray:
    """Return the similarity transform that brings a face upright into the crop.

    It is the rotation, scale and shift, without reflection, that bring the five points nearest to `TEMPLATE` in the least
    squares sense (Umeyama, IEEE TPAMI 13(4), 1991). With points as complex numbers that is a linear regression on one
    variable, w = a z + b.

    Parameters
    ----------
    landmarks : numpy.ndarray
        (68, 2), in pixels of the photograph, pixel centres at integers.
    size : int
        Side of the crop in pixels.

    Returns
    -------
    numpy.ndarray
        (2, 3) float64, from pixels of the photograph to pixels of the crop.

    Raises
    ------
    BadImageError
        If the points coincide, are not finite, or do not lie as in a face.
    """
    factor = size / CROP_SIZE
    if not np.isfinite(landmarks).all():
        raise BadImageError("the landmarks hold a number that is not finite: this is no face")
    z = five_points(landmarks) @ (1, 1j)
    w = ((TEMPLATE + 0.5) * factor - 0.5) @ (1, 1j)
    spread = z - z.mean()
    norm = np.vdot(spread, spread).real
    if not norm > 0:
        raise BadImageError("the landmarks found lie in one point: this is no face")
    a = np.vdot(spread, w) / norm
    if not _LEAST_SIDE <= size / max(abs(a), 1e-9) <= _GREATEST_SIDE:
        raise BadImageError(f"the landmarks found are no face: its crop would be {size / max(abs(a), 1e-9):.3g} px wide")
    b = w.mean() - a * z.mean()
    return np.array([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]])


def box_of_points(points: np.ndarray) -> tuple[float, float, float, float]:
    """Return the box that dlib's detector would draw round a face, from points on its contour, brows, eyes, nose and mouth.

    What spans the points from ear to ear and from the brows to the chin is nearly the detector's box: that is a square, by
    6 % larger than the mean of their width and height, and by 10 % of their height further up. Both are medians over 501
    faces (CelebA-HQ, London Set, LFW) marked by dlib; the detector's boxes scatter about them by 9 % in size and by 7 % of
    their side in place.

    Parameters
    ----------
    points : numpy.ndarray
        (k, 2), in any order: the 68 landmarks, or Helen's 194.

    Returns
    -------
    tuple of float
        (x0, y0, x1, y1), pixel centres at integers.

    Examples
    --------
    >>> [round(edge, 1) for edge in box_of_points(np.array([[0, 0], [100, 100]]))]
    [-2.9, -13.2, 102.9, 92.6]
    """
    low, high = (np.asarray(points, dtype=np.float64).min(axis=0), np.asarray(points, dtype=np.float64).max(axis=0))
    width, height = (high - low).tolist()
    x, y = ((low + high) / 2 - (0, 0.103 * height)).tolist()
    half = 1.058 * (width + height) / 4
    return x - half, y - half, x + half, y + half


def apply(transform: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Apply a (2, 3) transform to (..., 2) points; return float32."""
    return (np.asarray(points, dtype=np.float64) @ transform[:, :2].T + transform[:, 2]).astype(np.float32)


def inverse(transform: np.ndarray) -> np.ndarray:
    """Return the (2, 3) transform that undoes one: from pixels of the crop to pixels of the photograph."""
    return np.linalg.inv(np.vstack([transform, [0, 0, 1]]))[:2]


def _corners(transform: np.ndarray, size: int) -> np.ndarray:
    """Return the outer corners of the crop, (4, 2), in pixels of the photograph."""
    low, high = -0.5, size - 0.5
    corners = np.array([[low, low], [high, low], [high, high], [low, high]])
    return np.linalg.solve(transform[:, :2], (corners - transform[:, 2]).T).T


def outside(transform: np.ndarray, image: np.ndarray, size: int = CROP_SIZE) -> float:
    """Return which part of the crop, in [0, 1], lies outside the photograph."""
    corners = _corners(transform, size)
    middle = corners.mean(axis=0)  # taken off before rounding: a crop far away is no point
    height, width = image.shape[:2]
    photo = (np.array([[0, 0], [width, 0], [width, height], [0, height]]) - 0.5 - middle).astype(np.float32)
    crop = (corners - middle).astype(np.float32)
    area, _ = cv2.intersectConvexConvex(crop, photo)
    return float(np.clip(1 - area / cv2.contourArea(crop), 0, 1))


def warp(image: np.ndarray, transform: np.ndarray, size: int = CROP_SIZE) -> np.ndarray:
    """Resample a photograph into the crop, bilinearly and without aliasing.

    A pixel of the crop is the mean of two by two or three by three bilinear samples, evenly spread over it, of the photograph
    shrunk by a whole number as far as these samples allow. So all pixels of the photograph count; and the result is as sharp
    at one sub-pixel position as at another, which it is not where each pixel is sampled once.

    Parameters
    ----------
    image : numpy.ndarray
        (height, width, 3) uint8.
    transform : numpy.ndarray
        (2, 3) float64 similarity, from pixels of the photograph to pixels of the crop.
    size : int
        Side of the crop in pixels.

    Returns
    -------
    numpy.ndarray
        (size, size, 3) uint8. What lies outside the photograph is filled with its mirror image.

    Raises
    ------
    BadImageError
        If the crop lies outside the photograph altogether.
    """
    shrink = max(1, int(0.5 / _scale(transform)))
    region, origin = _region(image, _corners(transform, size), shrink)
    if shrink > 1:
        shape = (region.shape[1] // shrink, region.shape[0] // shrink)
        region = cv2.resize(region, shape, interpolation=cv2.INTER_AREA)
    # A pixel of the crop is below four pixels of the shrunk photograph wide, so samples are at most 4/3 of one apart.
    samples = 2 if 1 / (_scale(transform) * shrink) <= 2.5 else 3
    # From the shrunk region to the photograph, from there to the crop, and to the crop in samples. A pixel covers half a
    # pixel around its centre, so centre x of a picture shrunk n times lies at n x + (n - 1) / 2 in the original.
    to_photo = np.array(
        [[shrink, 0, (shrink - 1) / 2 + origin[0]], [0, shrink, (shrink - 1) / 2 + origin[1]], [0, 0, 1]], dtype=np.float64
    )
    to_samples = np.array([[samples, 0, (samples - 1) / 2], [0, samples, (samples - 1) / 2]]) @ np.vstack(
        [transform, [0, 0, 1]]
    )
    # With a fourth channel OpenCV takes half the time, for the same colours.
    fine = cv2.warpAffine(
        cv2.cvtColor(region, cv2.COLOR_RGB2RGBA),
        to_samples @ to_photo,
        (samples * size,) * 2,
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return cv2.cvtColor(cv2.resize(fine, (size, size), interpolation=cv2.INTER_AREA), cv2.COLOR_RGBA2RGB)


def warp_labels(labels: np.ndarray, transform: np.ndarray, size: int = CROP_SIZE) -> np.ndarray:
    """Resample a map of classes into the crop: each pixel takes the class of the nearest pixel of the photograph.

    Parameters
    ----------
    labels : numpy.ndarray
        (height, width) uint8.
    transform : numpy.ndarray
        (2, 3) float64 similarity, from pixels of the photograph to pixels of the crop.
    size : int
        Side of the crop in pixels.

    Returns
    -------
    numpy.ndarray
        (size, size) uint8. Outside the photograph lies its mirror image, as in `warp`.

    Examples
    --------
    >>> warp_labels(np.array([[3, 4], [5, 6]], np.uint8), np.array([[2, 0, 0.5], [0, 2, 0.5]]), 5)[2].tolist()
    [5, 5, 6, 6, 6]
    """
    pixels = np.arange(size)
    (a, b), (c, d) = np.linalg.inv(transform[:, :2])
    x, y = pixels[None, :] - transform[0, 2], pixels[:, None] - transform[1, 2]
    columns = _mirrored(np.floor(a * x + b * y + 0.5).astype(np.int64), labels.shape[1])
    rows = _mirrored(np.floor(c * x + d * y + 0.5).astype(np.int64), labels.shape[0])
    return labels[rows, columns].astype(np.uint8, copy=False)


def _mirrored(index: np.ndarray, length: int) -> np.ndarray:
    """Bring indices beyond an end back by mirroring there, the last pixel being repeated."""
    index = index % (2 * length)
    return np.minimum(index, 2 * length - 1 - index)


def _scale(transform: np.ndarray) -> float:
    """Return how many pixels of the crop a pixel of the photograph is wide."""
    return float(np.hypot(transform[0, 0], transform[1, 0]))


def _region(image: np.ndarray, corners: np.ndarray, multiple: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the part of a photograph that corners span, with a margin for the filters, and where it begins, (x, y).

    Its sides are multiples of `multiple`; where it reaches beyond the photograph, it is continued by the mirror image.
    """
    margin = 2 * multiple
    start = np.floor(corners.min(axis=0) - margin).astype(int)
    sides = np.ceil((corners.max(axis=0) + margin - start) / multiple).astype(int) * multiple
    shape = np.array(image.shape[1::-1])
    low, high = np.clip(start, 0, shape), np.clip(start + sides, 0, shape)
    if (low >= high).any():
        raise BadImageError("the face lies outside the photograph")
    inside = np.ascontiguousarray(image[low[1] : high[1], low[0] : high[0]])
    (left, top), (right, bottom) = (low - start).tolist(), (start + sides - high).tolist()
    if left or top or right or bottom:
        inside = cv2.copyMakeBorder(inside, top, bottom, left, right, cv2.BORDER_REFLECT)
    return inside, start
