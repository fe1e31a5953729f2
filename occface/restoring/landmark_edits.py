"""Named changes of a face's parts, as ways of its 68 landmarks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from occface.errors import UsageError
from occface.registry import did_you_mean

__all__ = ["EDITS", "Edit", "moved", "moved_within_bounds"]

_Moves = dict[int, tuple[float, float]]


def _all(numbers: Sequence[int], across: float, down: float) -> _Moves:
    return dict.fromkeys(numbers, (across, down))


_OPEN: _Moves = {
    **_all([55, 56, 57, 58, 59, 65, 66, 67], 0, 0.18),
    **_all([50, 51, 52, 61, 62, 63], 0, -0.03),
    **_all([6, 7, 8, 9, 10], 0, 0.12),
    **_all([5, 11], 0, 0.06),
    **_all([48, 60], 0.03, 0.03),
    **_all([54, 64], -0.03, 0.03),
}
_SMILE: _Moves = {
    **_all([48, 60], -0.14, -0.11),
    **_all([54, 64], 0.14, -0.11),
    **_all([49, 59], -0.06, -0.05),
    **_all([53, 55], 0.06, -0.05),
}
_WIDE_MOUTH: _Moves = {
    **_all([48, 60], -0.15, 0),
    **_all([49, 59], -0.08, 0),
    **_all([53, 55], 0.08, 0),
    **_all([54, 64], 0.15, 0),
}
_WIDE_EYES: _Moves = {**_all([37, 38, 43, 44], 0, -0.06), **_all([40, 41, 46, 47], 0, 0.04)}
_BROWS: _Moves = _all(range(17, 27), 0, -0.12)
_WIDE_NOSE: _Moves = {31: (-0.12, 0), 32: (-0.06, 0), 34: (0.06, 0), 35: (0.12, 0)}
_LONG_NOSE: _Moves = {29: (0, 0.05), **_all(range(30, 36), 0, 0.12)}

#: For each part and word: how landmarks (iBUG's numbers) move at strength 1, across the face to the picture's right and down
#: it, in distances of the eyes; and the sign of the strength.
EDITS: dict[str, dict[str, tuple[_Moves, int]]] = {
    "mouth": {
        "open": (_OPEN, 1),
        "close": (_OPEN, -1),
        "smile": (_SMILE, 1),
        "frown": (_SMILE, -1),
        "wide": (_WIDE_MOUTH, 1),
        "narrow": (_WIDE_MOUTH, -1),
    },
    "eyes": {"wide": (_WIDE_EYES, 1), "narrow": (_WIDE_EYES, -1)},
    "brows": {"up": (_BROWS, 1), "down": (_BROWS, -1)},
    "nose": {
        "wide": (_WIDE_NOSE, 1),
        "narrow": (_WIDE_NOSE, -1),
        "long": (_LONG_NOSE, 1),
        "short": (_LONG_NOSE, -1),
    },
}

#: What closes: for each, the part and word of its edit, the landmarks that go together, and the pairs of these, upper and
#: lower, that meet at most: inner lips, and the lids of each eye.
_CLOSING: tuple[tuple[str, str, tuple[int, ...], tuple[tuple[int, int], ...]], ...] = (
    ("mouth", "close", (*range(5, 12), *range(48, 68)), ((61, 67), (62, 66), (63, 65))),
    ("eyes", "narrow", tuple(range(36, 42)), ((37, 41), (38, 40))),
    ("eyes", "narrow", tuple(range(42, 48)), ((43, 47), (44, 46))),
)
_STRONGEST = 2.0


@dataclass(frozen=True)
class Edit:
    """A named change of a part of the face.

    Attributes
    ----------
    part, how : str
        Names in `EDITS`.
    strength : float
        How much of it, above 0 and at most 2.

    Raises
    ------
    UsageError
        If a name is unknown, or the strength cannot be.
    """

    part: str
    how: str
    strength: float = 1.0

    def __post_init__(self) -> None:
        if self.part not in EDITS:
            raise UsageError(f"unknown part of the face '{self.part}': {did_you_mean(self.part, EDITS)}")
        if self.how not in EDITS[self.part]:
            raise UsageError(f"unknown edit of the {self.part} '{self.how}': {did_you_mean(self.how, EDITS[self.part])}")
        if not (math.isfinite(self.strength) and 0 < self.strength <= _STRONGEST):
            raise UsageError(f"expected a strength above 0 and at most {_STRONGEST:g} for '{self.how}', got {self.strength:g}")

    @classmethod
    def parse(cls, part: str, text: str) -> Edit:
        """Read ``how`` or ``how:strength``.

        Examples
        --------
        >>> Edit.parse("mouth", "smile:0.5")
        Edit(part='mouth', how='smile', strength=0.5)
        """
        how, colon, strength = text.partition(":")
        try:
            return cls(part, how, float(strength) if colon else 1.0)
        except ValueError as error:
            raise UsageError(f"expected --{part} {how}:STRENGTH with a number, got '{text}'") from error


def moved(landmarks: np.ndarray, edits: Sequence[Edit]) -> np.ndarray:
    """Return landmarks after edits, which add up.

    Parameters
    ----------
    landmarks : numpy.ndarray
        (68, 2), in pixels of the crop.
    edits : sequence of Edit
        What to change.

    Returns
    -------
    numpy.ndarray
        (68, 2) float32. Across and down are those of the face, by its eyes; so is the unit. Lips and lids that close meet at
        most: from there on nothing of that edit moves.

    Examples
    --------
    >>> face = np.zeros((68, 2))
    >>> face[36:42], face[42:48] = (0, 50), (40, 50)
    >>> moved(face, [Edit("brows", "up", 0.5)])[17].astype(float).round(2).tolist()
    [0.0, -2.4]
    """
    return moved_within_bounds(landmarks, edits)[0]


def moved_within_bounds(landmarks: np.ndarray, edits: Sequence[Edit]) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return what `moved` does, and which edits were bounded, as ``mouth close``."""
    start = np.asarray(landmarks, dtype=np.float64)
    across = start[42:48].mean(axis=0) - start[36:42].mean(axis=0)
    down = np.array([-across[1], across[0]])
    steps = np.zeros((len(edits), *start.shape))
    for step, edit in zip(steps, edits, strict=True):
        moves, sign = EDITS[edit.part][edit.how]
        for number, (along, below) in moves.items():
            step[number] = sign * edit.strength * (along * across + below * down)
    points, bounded = start + steps.sum(axis=0), []
    for part, how, numbers, pairs in _CLOSING:
        ours = [step for step, edit in zip(steps, edits, strict=True) if (edit.part, edit.how) == (part, how)]
        if ours and _meet(points, start, np.sum(ours, axis=0), list(numbers), pairs, down / max(float(down @ down), 1e-9)):
            bounded.append(f"{part} {how}")
    return points.astype(np.float32), tuple(dict.fromkeys(bounded))


def _meet(
    points: np.ndarray,
    start: np.ndarray,
    closing: np.ndarray,
    numbers: list[int],
    pairs: Sequence[tuple[int, int]],
    down: np.ndarray,
) -> bool:
    """Take back of a closing motion what goes beyond the meeting of pairs of landmarks; return whether there was any.

    The motion stops as a whole where the last pair meets, and each other pair where it does. Pairs that had crossed already
    stay as they were.

    Parameters
    ----------
    points : numpy.ndarray
        (68, 2), where landmarks would come; changed in place.
    start : numpy.ndarray
        (68, 2), where they were.
    closing : numpy.ndarray
        (68, 2), the part of the motion that closes.
    numbers, pairs
        See `_CLOSING`.
    down : numpy.ndarray
        (2,), down the face; its product with a way is the way's length in distances of the eyes.
    """
    upper, lower = (list(each) for each in zip(*pairs, strict=True))

    def gaps(places: np.ndarray) -> np.ndarray:
        return np.asarray((places[lower] - places[upper]) @ down)

    least = np.minimum(gaps(start), 0.0)
    room, shut = gaps(points - closing) - least, -gaps(closing)
    part = float(np.clip(room / np.maximum(shut, 1e-9), 0.0, 1.0).max())
    if part == 1.0 and (gaps(points) >= least).all():
        return False
    points[numbers] -= (1 - part) * closing[numbers]
    lacking = np.maximum(least - gaps(points), 0.0)[:, None] * down / max(float(down @ down), 1e-9)
    points[upper] -= lacking / 2
    points[lower] += lacking / 2
    return True
