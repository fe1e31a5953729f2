"""Finding faces with MTCNN: three networks, each of which looks closer at what the one before let through.

Zhang et al., "Joint face detection and alignment using multi-task cascaded convolutional networks", IEEE SPL 23(10), 2016.
It is the aligner of the paper (section IV-I). It finds faces from 20 px on, and faces turned aside.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import cv2
import numpy as np

from occface.faces.detect import Detection
from occface.networks.inference import one_thread

if TYPE_CHECKING:
    from torch import Tensor

    from occface.networks.mtcnn import OutputNet, ProposalNet, RefineNet

__all__ = ["MtcnnDetector"]

#: The window of the first network in px; a face of MIN_FACE px fills it in the largest picture of the pyramid.
_WINDOW, _STRIDE = 12, 2
_MIN_FACE = 20
_FACTOR = 0.709

#: How likely a face must be for the three networks.
_THRESHOLDS = (0.6, 0.7, 0.7)

#: The long side in px that larger photographs are shrunk to: a square one of that size takes 85 MB and 2 s.
_LONG_SIDE = 1600

#: Where small faces of a larger photograph are looked for as well, it is searched in tiles of this side in px, at its full size
#: and again at each `_OCTAVE`-th of that. Tiles share `_SHARED` px, and what is found in them is up to `_SMALL` px wide: so
#: every such face lies whole, with something around it, in one of them, and the next smaller size sees it from 80 px on.
_TILE, _SHARED, _SMALL, _OCTAVE = 1600, 160, 120, 4

#: A box in a tile that reaches so near to an edge within the photograph, in px, may be of a face that is cut there.
_AT_EDGE = 2

#: Of two boxes that share more than this part of the smaller one, found at different sizes or in two tiles, one is left.
_SAME_FACE = 0.5

#: Windows that are shown to the second and third network at a time.
_BATCH = 256


@functools.lru_cache(maxsize=1)
def _networks() -> tuple[ProposalNet, RefineNet, OutputNet]:
    from occface.networks.mtcnn import load_mtcnn

    return load_mtcnn()


@dataclass(frozen=True)
class MtcnnDetector:
    """MTCNN with the published weights and thresholds. Its boxes are brought into the shape of those of dlib's detector."""

    name: ClassVar[str] = "mtcnn"
    assets: ClassVar[tuple[str, ...]] = ("mtcnn",)

    def detect(self, image: np.ndarray, *, thorough: bool = False, known: Sequence[Detection] = ()) -> list[Detection]:
        """Return all faces from 20 px on; those of photographs with more than 1,600 px on a side, see `thorough`.

        Parameters
        ----------
        image : numpy.ndarray
            (height, width, 3) uint8 RGB. Photographs with more than 1,600 px on a side are shrunk to that for the search, and
            faces must have 20 px then.
        thorough : bool
            Whether such photographs are searched at their full size too, in tiles, for faces from 20 px on. That takes about
            0.25 s for each megapixel.
        known
            Not used.

        Returns
        -------
        list of Detection
            Boxes such as dlib's detector draws; scores in [0.7, 1].

        Raises
        ------
        AssetError
            If the weights are not at hand.
        """
        with one_thread():
            windows, scores, scale = _whole(image)
            boxes = _like_dlib(windows) * scale
            if thorough and max(image.shape[:2]) > _LONG_SIDE:
                boxes, scores = _with_small(image, boxes, scores)
        return [
            Detection(tuple(box), score, self.name) for box, score in zip((boxes - 0.5).tolist(), scores.tolist(), strict=True)
        ]

    def tried(self, image: np.ndarray) -> str:
        """Say how small a face may be.

        Examples
        --------
        >>> MtcnnDetector().tried(np.zeros((3200, 2000, 3), np.uint8))
        'faces from 40 px on, or from 20 where all are wanted'
        """
        least = round(_MIN_FACE * max(1.0, max(image.shape[:2]) / _LONG_SIDE))
        return f"faces from {least} px on" + (f", or from {_MIN_FACE} where all are wanted" if least > _MIN_FACE else "")


def _whole(image: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Search a photograph, shrunk to 1,600 px; return boxes (n, 4) and scores (n,) there, and what brings edges back, (4,)."""
    height, width = image.shape[:2]
    factor = min(1.0, _LONG_SIDE / max(height, width))
    if factor < 1:
        image = _shrunk(image, factor)
    return *_cascade(image), np.array([width / image.shape[1], height / image.shape[0]] * 2)


def _shrunk(image: np.ndarray, factor: float) -> np.ndarray:
    shape = (max(1, round(image.shape[1] * factor)), max(1, round(image.shape[0] * factor)))
    return cv2.resize(image, shape, interpolation=cv2.INTER_AREA)


def _with_small(image: np.ndarray, boxes: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Add the small faces of a large photograph to those found in it as a whole, in its own pixels.

    The larger view counts first: what looks like a small face within a large one, such as an eye, is none.
    """
    divisors = [1]
    while max(image.shape[:2]) / (divisors[-1] * _OCTAVE) > _LONG_SIDE:
        divisors.append(divisors[-1] * _OCTAVE)
    for divisor in reversed(divisors):
        view = image if divisor == 1 else _shrunk(image, 1 / divisor)
        scale = np.array([image.shape[1] / view.shape[1], image.shape[0] / view.shape[0]] * 2)
        windows, found = _in_tiles(view)
        small = _like_dlib(windows) * scale
        free = np.array([_shared(box, boxes) <= _SAME_FACE for box in small], dtype=bool)
        boxes, scores = np.concatenate([boxes, small[free]]), np.concatenate([scores, found[free]])
    return boxes, scores


def _in_tiles(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the boxes, (n, 4), and scores, (n,), of small faces that are found in overlapping tiles."""
    boxes, scores = [np.zeros((0, 4))], [np.zeros(0)]
    height, width = image.shape[:2]
    for top, bottom in _spans(height):
        for left, right in _spans(width):
            found, sure = _cascade(image[top:bottom, left:right], _SMALL)
            found = found + np.array([left, top] * 2)
            fits = (found[:, 2:] - found[:, :2]).max(axis=1, initial=0) <= _SMALL
            for column, edge, border in ((0, left, 0), (1, top, 0)):
                fits &= (edge == border) | (found[:, column] > edge + _AT_EDGE)
            for column, edge, border in ((2, right, width), (3, bottom, height)):
                fits &= (edge == border) | (found[:, column] < edge - _AT_EDGE)
            boxes.append(found[fits])
            scores.append(sure[fits])
    every, sure = np.concatenate(boxes), np.concatenate(scores)
    kept = _suppressed(every, sure, 0.0, _SAME_FACE, of_smaller=True)
    return every[kept], sure[kept]


def _spans(length: int) -> list[tuple[int, int]]:
    """Divide a length into as few equal spans of at most `_TILE` as can share `_SHARED` each.

    Examples
    --------
    >>> _spans(900), _spans(3000)
    ([(0, 900)], [(0, 1580), (1420, 3000)])
    """
    count = max(1, -(-(length - _SHARED) // (_TILE - _SHARED)))
    side = -(-(length + (count - 1) * _SHARED) // count)
    starts = [round(number * (length - side) / max(1, count - 1)) for number in range(count)]
    return [(start, start + side) for start in starts]


def _shared(box: np.ndarray, others: np.ndarray) -> float:
    """Return the most that a box, (4,), shares with any of others, (n, 4), as a part of the smaller of the two."""
    sides = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    areas = np.minimum(np.prod(box[2:] - box[:2]), np.prod(others[:, 2:] - others[:, :2], axis=1))
    return float((np.prod(np.maximum(sides, 0), axis=1) / areas).max(initial=0))


def _cascade(image: np.ndarray, largest: float = np.inf) -> tuple[np.ndarray, np.ndarray]:
    """Return MTCNN's own boxes, (n, 4), and their scores, (n,), of faces up to about `largest` px.

    Pixel i covers what lies between edges i and i + 1 here.
    """
    proposal, refine, output = _networks()
    boxes = _squared(_proposals(image, proposal, largest))
    scores, moves = _judged(image, boxes, refine, 24)
    kept = _suppressed(boxes, scores, _THRESHOLDS[1], 0.7)
    boxes = _squared(_moved(boxes[kept], moves[kept]))
    scores, moves = _judged(image, boxes, output, 48)
    boxes = _moved(boxes, moves)
    kept = _suppressed(boxes, scores, _THRESHOLDS[2], 0.7, of_smaller=True)
    return boxes[kept], scores[kept]


def _proposals(image: np.ndarray, network: ProposalNet, largest: float) -> np.ndarray:
    """Return the boxes that the first network proposes over a pyramid of sizes."""
    import torch

    height, width = image.shape[:2]
    boxes, scores, moves = np.zeros((0, 4)), np.zeros(0), np.zeros((0, 4))
    factor = _WINDOW / _MIN_FACE
    while min(height, width) * factor >= _WINDOW and _WINDOW / factor <= largest:
        shape = (int(width * factor) + 1, int(height * factor) + 1)
        likely, shifts = network(_batch([cv2.resize(image, shape, interpolation=cv2.INTER_AREA)]))
        rows, columns = torch.nonzero(likely[0] > _THRESHOLDS[0], as_tuple=True)
        corners = _STRIDE * np.stack([columns.numpy(), rows.numpy()], axis=1)
        level = np.concatenate([corners, corners + _WINDOW], axis=1) / ([shape[0] / width, shape[1] / height] * 2)
        level_scores = likely[0, rows, columns].double().numpy()
        kept = _suppressed(level, level_scores, _THRESHOLDS[0], 0.5)
        boxes, scores = np.concatenate([boxes, level[kept]]), np.concatenate([scores, level_scores[kept]])
        moves = np.concatenate([moves, shifts[0, :, rows, columns].T.double().numpy()[kept]])
        factor *= _FACTOR
    kept = _suppressed(boxes, scores, _THRESHOLDS[0], 0.7)
    return _moved(boxes[kept], moves[kept])


def _batch(pictures: list[np.ndarray]) -> Tensor:
    """Return pictures of one size, uint8 RGB, as the networks want them."""
    import torch

    return (torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() - 127.5) / 128


def _judged(image: np.ndarray, boxes: np.ndarray, network: RefineNet | OutputNet, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Show a network what boxes hold; return how likely these are faces, (n,), and their edges' moves, (n, 4)."""
    scores, moves = [np.zeros(0)], [np.zeros((0, 4))]
    for start in range(0, len(boxes), _BATCH):
        found = network(_batch([_cut(image, box, side) for box in boxes[start : start + _BATCH]]))
        scores.append(found[0].double().numpy())
        moves.append(found[1].double().numpy())
    return np.concatenate(scores), np.concatenate(moves)


def _cut(image: np.ndarray, box: np.ndarray, side: int) -> np.ndarray:
    """Return what a box holds, brought to a side; black where it reaches beyond the picture."""
    x0, y0, x1, y1 = np.rint(box).astype(int).tolist()
    x1, y1 = max(x1, x0 + 1), max(y1, y0 + 1)
    part = image[max(y0, 0) : max(y1, 0), max(x0, 0) : max(x1, 0)]
    if part.shape[:2] != (y1 - y0, x1 - x0):
        whole = np.zeros((y1 - y0, x1 - x0, 3), np.uint8)
        if part.size:
            top, left = max(-y0, 0), max(-x0, 0)
            whole[top : top + part.shape[0], left : left + part.shape[1]] = part
        part = whole
    return cv2.resize(part, (side, side), interpolation=cv2.INTER_AREA)


def _moved(boxes: np.ndarray, moves: np.ndarray) -> np.ndarray:
    """Move the edges of boxes by parts of their widths and heights."""
    sides = boxes[:, 2:] - boxes[:, :2]
    return boxes + moves * np.concatenate([sides, sides], axis=1)


def _squared(boxes: np.ndarray) -> np.ndarray:
    """Return squares around the centres of boxes, as large as their longer sides."""
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    half = (boxes[:, 2:] - boxes[:, :2]).max(axis=1, keepdims=True) / 2
    return np.concatenate([centres - half, centres + half], axis=1)


def _suppressed(
    boxes: np.ndarray, scores: np.ndarray, threshold: float, limit: float, *, of_smaller: bool = False
) -> np.ndarray:
    """Return the numbers of the boxes with a score above the threshold that no better one overlaps, the best first.

    Two boxes overlap where what they share is more than `limit` of what they cover together; or, on demand, of the smaller.
    """
    order = np.argsort(-scores, kind="stable")
    order = order[scores[order] > threshold]
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    kept = []
    while len(order):
        best, rest = order[0], order[1:]
        kept.append(best)
        sides = np.minimum(boxes[best, 2:], boxes[rest, 2:]) - np.maximum(boxes[best, :2], boxes[rest, :2])
        shared = np.prod(np.maximum(sides, 0), axis=1)
        whole = np.minimum(areas[best], areas[rest]) if of_smaller else areas[best] + areas[rest] - shared
        order = rest[shared <= limit * whole]
    return np.array(kept, dtype=int)


def _like_dlib(boxes: np.ndarray) -> np.ndarray:
    """Return the boxes that dlib's detector would draw round the faces in MTCNN's boxes: lower, and squares.

    Side and shift are medians over 448 faces (CelebA-HQ, LFW, YouTube Faces, London Set); dlib's boxes scatter about them by
    8 % in size and by 7 and 4 % of MTCNN's width and height in place. dlib's landmarks then lie by 1.1 % of the distance of the
    outer corners of the eyes (median of 150) from those in dlib's own boxes; in MTCNN's boxes as they are, by 2.2 %.
    """
    sides = boxes[:, 2:] - boxes[:, :2]
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2 + sides * (0, 0.065)
    half = 0.948 * sides.mean(axis=1, keepdims=True) / 2
    return np.concatenate([centres - half, centres + half], axis=1)
