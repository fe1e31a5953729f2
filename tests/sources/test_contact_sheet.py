from __future__ import annotations

import numpy as np
import pytest

from occface.errors import UsageError
from occface.sources.contact_sheet import contact_sheet


def picture(colour: tuple[int, int, int]) -> np.ndarray:
    return np.full((40, 40, 3), colour, np.uint8)


def test_people_are_rows_and_poses_columns_in_order():
    red, green, blue, white = (200, 0, 0), (0, 200, 0), (0, 0, 200), (250, 250, 250)
    faces = {
        "synthetic-grid/0001/+30/neutral": picture(red),
        "synthetic-grid/0000/-30/neutral": picture(green),
        "synthetic-grid/0000/0/smile": picture(blue),
        "synthetic-grid/0000/0/neutral": picture(white),
    }
    sheet = contact_sheet(faces, side=20)
    height, width = sheet.shape[:2]
    top, left = height - 2 * 20, width - 6 * 20
    middle = sheet[top + 10 :: 20, left + 10 :: 20].tolist()
    empty = [225, 225, 225]
    assert middle[0] == [list(green), list(white), empty, empty, list(blue), empty]
    assert middle[1] == [empty, empty, list(red), empty, empty, empty]
    assert (sheet[:top] < 128).any(), "the columns have no heads"
    assert contact_sheet(faces, side=20, rows=1).shape[0] == height - 20


@pytest.mark.parametrize("faces", [{}, {"0000": picture((0, 0, 0))}, {"synthetic/0000/left/smile": picture((0, 0, 0))}])
def test_what_is_no_grid_is_refused(faces):
    with pytest.raises(UsageError, match="expected"):
        contact_sheet(faces)
