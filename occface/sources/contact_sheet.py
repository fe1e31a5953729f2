"""A sheet of a grid's faces to look at: a row for each person, a column for each pose and expression."""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np

from occface.errors import UsageError

__all__ = ["contact_sheet"]

_PAPER, _INK, _EMPTY = 255, 40, 225
_HEAD, _SIDE = 34, 48


def contact_sheet(pictures: Mapping[str, np.ndarray], side: int = 96, rows: int = 0) -> np.ndarray:
    """Arrange the faces of a grid.

    Parameters
    ----------
    pictures : mapping of str to numpy.ndarray
        Faces by the ids of `GridSource`, ``.../person/pose/expression``, each (size, size, 3) uint8 RGB, as read
        or as aligned. The places of those that are not there stay empty.
    side : int
        The side of a face on the sheet in pixels.
    rows : int
        The most people to show, the first ones; 0 for all.

    Returns
    -------
    numpy.ndarray
        (height, width, 3) uint8 RGB, with the expression and the pose over each column and the person beside each row.
        Expressions stand in the order of the alphabet but ``neutral`` first, poses in that of their degrees.

    Raises
    ------
    UsageError
        If there are no faces, or an id is of another form.
    """
    cells: dict[tuple[str, str, float], np.ndarray] = {}
    for id_, picture in pictures.items():
        parts = id_.split("/")
        try:
            cells[parts[-3], parts[-1], float(parts[-2])] = picture
        except (IndexError, ValueError) as error:
            raise UsageError(f"expected ids of a grid, .../person/pose/expression, got '{id_}'") from error
    if not cells:
        raise UsageError("expected at least one face to show, got none")
    people = sorted({person for person, _, _ in cells})[: rows or None]
    expressions = sorted({expression for _, expression, _ in cells}, key=lambda name: (name != "neutral", name))
    columns = [(expression, pose) for expression in expressions for pose in sorted({pose for _, _, pose in cells})]
    sheet = np.full((_HEAD + side * len(people), _SIDE + side * len(columns), 3), _PAPER, dtype=np.uint8)
    for j, (expression, pose) in enumerate(columns):
        left = _SIDE + j * side
        _write(sheet, expression, left + 3, 13)
        _write(sheet, f"{pose:+g}" if pose else "0", left + 3, 28)
        for i, person in enumerate(people):
            top = _HEAD + i * side
            place = sheet[top : top + side - 1, left : left + side - 1]
            face = cells.get((person, expression, pose))
            place[:] = _EMPTY if face is None else cv2.resize(face, (side - 1, side - 1), interpolation=cv2.INTER_AREA)
    for i, person in enumerate(people):
        _write(sheet, person, 3, _HEAD + i * side + side // 2)
    return sheet


def _write(sheet: np.ndarray, text: str, x: int, y: int) -> None:
    cv2.putText(sheet, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (_INK,) * 3, 1, cv2.LINE_AA)
