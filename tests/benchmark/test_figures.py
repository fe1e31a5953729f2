from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from occface.benchmark.figures import comparison_grid
from occface.images import read_image


def _picture(seed: int, side: int = 128) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)


def _find(canvas: np.ndarray, picture: np.ndarray) -> tuple[int, int]:
    """Return the (x, y) at which a picture stands in the canvas, pixel for pixel."""
    height, width = picture.shape[:2]
    corners = np.argwhere((canvas == picture[0, 0]).all(axis=2))
    for y, x in corners:
        if np.array_equal(canvas[y : y + height, x : x + width], picture):
            return int(x), int(y)
    raise AssertionError("the picture is not in the grid")


def _read(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"))


def test_every_pixel_of_every_result_is_shown_in_its_place(tmp_path: Path) -> None:
    thumbnails = [_picture(i, 16) for i in range(3)]
    results = [_picture(10 + i) for i in range(3)]
    truths = [_picture(20 + i) for i in range(3)]
    labels = ["irregular", "irregular", "square"]
    path = comparison_grid(
        [("Occluded LR", thumbnails), ("Bicubic + GFC", results), ("Truth", truths)], tmp_path / "grid.png", labels
    )
    canvas = _read(path)
    enlarged = [np.kron(picture, np.ones((8, 8, 1), np.uint8)) for picture in thumbnails]
    places = [[_find(canvas, picture) for picture in column] for column in (enlarged, results, truths)]
    for column in places:
        assert len({x for x, _ in column}) == 1
        assert column[0][1] < column[1][1] < column[2][1]
    for row in range(3):
        assert len({column[row][1] for column in places}) == 1
        assert places[0][row][0] < places[1][row][0] < places[2][row][0]
    # There is ink above each column, and left of the rows.
    top, left = places[0][0][1], places[0][0][0]
    for column in places:
        assert (canvas[:top, column[0][0] : column[0][0] + 128] < 140).any()
    assert (canvas[top:, :left] < 140).any()


def test_a_larger_cell_enlarges_by_a_whole_factor(tmp_path: Path) -> None:
    picture = _picture(0)
    canvas = _read(comparison_grid([("Truth", [picture])], tmp_path / "grid.png", cell=256))
    _find(canvas, picture.repeat(2, axis=0).repeat(2, axis=1))


def test_a_face_without_a_picture_is_shown_as_such(tmp_path: Path) -> None:
    picture = _picture(0)
    canvas = _read(comparison_grid([("Ours", [None, picture]), ("Truth", [picture, picture])], tmp_path / "grid.png"))
    x, y = _find(canvas, picture)
    absent = canvas[y : y + 128, x - 132 : x - 4]
    assert (absent[:10] == 226).all()
    assert (absent[50:78] < 100).any()


@pytest.mark.parametrize("title", ["", "a-word-that-is-far-too-long-for-its-cell", "many words " * 9, "Ünïcode Ω"])
def test_titles_of_any_length_leave_the_pictures_alone(tmp_path: Path, title: str) -> None:
    picture = _picture(0)
    canvas = _read(comparison_grid([(title, [picture]), ("Truth", [picture])], tmp_path / "grid.png", ["x" * 99]))
    x, y = _find(canvas, picture)
    assert canvas.shape[1] == x + 128 + 4 + 128 + 10
    assert (canvas[:, x + 128 : x + 132][:y] == 255).all()


def test_beside_pictures_the_page_shines_through(tmp_path: Path) -> None:
    path = comparison_grid([("Truth", [_picture(0)])], tmp_path / "grid.png", legend={"red": (255, 0, 0)})
    canvas = np.asarray(Image.open(path))
    x, y = _find(canvas[..., :3], _picture(0))
    assert (canvas[y : y + 128, x : x + 128, 3] == 255).all()
    assert (canvas[0, :, 3] == 0).all()
    assert 0 < (canvas[..., 3] == 255).mean() < 1


def test_equal_pictures_give_equal_bytes(tmp_path: Path) -> None:
    columns = [("Truth", [_picture(0)])]
    first, second = (comparison_grid(columns, tmp_path / name).read_bytes() for name in ("a.png", "b.png"))
    assert first == second


def test_bad_input(tmp_path: Path) -> None:
    path, picture = tmp_path / "grid.png", _picture(0)
    with pytest.raises(ValueError, match="nothing to show"):
        comparison_grid([], path)
    with pytest.raises(ValueError, match="nothing to show"):
        comparison_grid([("a", [])], path)
    with pytest.raises(ValueError, match="expected 1 pictures in column 'b' as in the first, got 2"):
        comparison_grid([("a", [picture]), ("b", [picture, picture])], path)
    with pytest.raises(ValueError, match="expected 1 row labels, got 2"):
        comparison_grid([("a", [picture])], path, ["x", "y"])
    with pytest.raises(ValueError, match=r"side divides 128, got uint8 of shape \(100, 100, 3\)"):
        comparison_grid([("a", [picture[:100, :100]])], path)
    with pytest.raises(ValueError, match="got float64"):
        comparison_grid([("a", [picture / 255])], path)
    assert not path.exists()


def test_many_columns_go_into_blocks_that_repeat_the_first_and_the_last(tmp_path: Path) -> None:
    colours = np.linspace(0, 255, 8).astype(np.uint8)
    columns = [(f"m{number}", [np.full((16, 16, 3), grey)]) for number, grey in enumerate(colours)]
    comparison_grid(columns, tmp_path / "one.png", cell=16, widest=8)
    comparison_grid(columns, tmp_path / "more.png", cell=16, widest=5)
    one, more = read_image(tmp_path / "one.png"), read_image(tmp_path / "more.png")
    assert one.shape[1] == 2 * 10 + 8 * 20 - 4
    assert more.shape[1] == 2 * 10 + 5 * 20 - 4
    height = one.shape[0] - 20
    assert more.shape[0] == 2 * height + 3 * 10
    middle = [more[10 + height - 8 + block * (height + 10), 10 + 8 + 20 * place, 0] for block in range(2) for place in range(5)]
    assert middle == [colours[number] for number in (0, 1, 2, 3, 7, 0, 4, 5, 6, 7)]
    comparison_grid(columns, tmp_path / "once.png", cell=16, widest=4, repeated=False)
    once = read_image(tmp_path / "once.png")
    assert once.shape[:2] == (more.shape[0], 2 * 10 + 4 * 20 - 4)
    middle = [once[10 + height - 8 + block * (height + 10), 10 + 8 + 20 * place, 0] for block in range(2) for place in range(4)]
    assert middle == colours.tolist()
