from __future__ import annotations

import itertools

import numpy as np
import pytest
from skimage.draw import disk

from occface.benchmark.annotated import (
    INK,
    LANDMARK_COLOURS,
    draw_heatmaps,
    draw_landmarks,
    draw_parsing,
    legend_strip,
    parsing_colours,
)
from occface.errors import UsageError
from occface.faces.parsing import CLASSES_11, CLASSES_19, UNKNOWN


def _face(side: int = 128) -> np.ndarray:
    return np.random.default_rng(side).integers(0, 256, (side, side, 3), dtype=np.uint8)


def _enlarged(face: np.ndarray, scale: int) -> np.ndarray:
    factor = 128 * scale // len(face)
    return np.kron(face, np.ones((factor, factor, 1), np.uint8))


def _landmarks() -> np.ndarray:
    """All 68 on a grid, six pixels apart at least, so that no dot touches another."""
    return np.stack([20 + 9.0 * (np.arange(68) % 10), 20 + 12.0 * (np.arange(68) // 10)], axis=1)


def test_every_landmark_is_a_dot_at_its_place() -> None:
    drawn = draw_landmarks(_face(), _landmarks(), scale=3)
    parts = {"jaw": range(17), "brows": range(17, 27), "nose": range(27, 36), "eyes": range(36, 48), "mouth": range(48, 68)}
    assert drawn.shape == (384, 384, 3)
    for part, numbers in parts.items():
        for x, y in _landmarks()[list(numbers)]:
            # Crop pixel x covers the pixels 3x, 3x + 1 and 3x + 2, whose centre is 3x + 1.
            rows, columns = disk((3 * y + 1, 3 * x + 1), 1.5)
            assert (drawn[rows, columns] == LANDMARK_COLOURS[part]).all()


def test_half_a_pixel_moves_a_dot() -> None:
    points = _landmarks()
    drawn = draw_landmarks(np.zeros((128, 128, 3), np.uint8), np.full((68, 2), 64.0), 4).astype(int)
    moved = draw_landmarks(np.zeros((128, 128, 3), np.uint8), np.full((68, 2), 64.5), 4).astype(int)
    assert np.array_equal(drawn[200:300, 200:300], moved[202:302, 202:302])
    assert not np.array_equal(draw_landmarks(_face(), points), draw_landmarks(_face(), points + 0.25))


@pytest.mark.parametrize("side", [16, 64, 128])
def test_away_from_landmarks_the_pixels_are_those_of_the_face(side: int) -> None:
    drawn = draw_landmarks(_face(side), np.full((68, 2), 100.0), scale=2)
    expected = _enlarged(_face(side), 2)
    near = np.zeros(drawn.shape[:2], bool)
    near[190:214, 190:214] = True
    assert np.array_equal(drawn[~near], expected[~near])
    assert not np.array_equal(drawn[near], expected[near])


def test_landmarks_beyond_the_crop_are_no_error() -> None:
    points = _landmarks()
    points[:17] = [[-1e9, 5.0]] * 8 + [[300.0, -40.0]] * 9
    assert draw_landmarks(_face(), points).shape == (384, 384, 3)


@pytest.mark.parametrize(
    ("face", "landmarks", "message"),
    [
        (_face(), np.zeros((5, 2)), r"expected 68 finite landmarks \(68, 2\), got \(5, 2\)"),
        (_face(), np.full((68, 2), np.nan), "expected 68 finite landmarks"),
        (_face()[:100, :100], _landmarks(), r"whose side divides 128, got \(100, 100, 3\) uint8"),
        (_face() / 255, _landmarks(), r"got .* float64"),
        (_face()[..., 0], _landmarks(), r"got \(128, 128\) uint8"),
    ],
)
def test_bad_input_of_landmarks(face: np.ndarray, landmarks: np.ndarray, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        draw_landmarks(face, landmarks)


def test_a_scale_below_one_is_refused() -> None:
    with pytest.raises(UsageError, match="scale of at least 1, got 0"):
        draw_landmarks(_face(), _landmarks(), 0)


def test_classes_are_mixed_in_by_hand() -> None:
    face = np.full((128, 128, 3), 100, np.uint8)
    labels = np.zeros((128, 128), np.uint8)
    labels[32:64, 32:64] = CLASSES_11.index("nose")
    labels[96:] = UNKNOWN
    drawn = draw_parsing(face, labels, CLASSES_11, scale=2, opacity=0.5)
    nose, background = ((np.array(parsing_colours(CLASSES_11)[name]) + 100) / 2 for name in ("nose", "background"))
    assert np.abs(drawn[96, 96] - nose).max() <= 0.5
    assert np.abs(drawn[10, 10] - background).max() <= 0.5
    assert (drawn[200:] == 100).all()
    # The line between two classes lies on the first pixels of the next one.
    assert (drawn[96, 64].astype(int) < 0.4 * nose).all()
    assert (drawn[64, 96].astype(int) < 0.4 * nose).all()
    assert np.abs(drawn[96, 65] - nose).max() <= 0.5


def test_a_class_has_one_colour_whatever_the_source() -> None:
    few, all_ = parsing_colours(CLASSES_11), parsing_colours(CLASSES_19)
    assert few.items() <= all_.items()
    for first, second in itertools.combinations(all_.values(), 2):
        assert np.linalg.norm(np.subtract(first, second)) > 25
    with pytest.raises(UsageError, match="no colour for the parsing class 'beard'"):
        parsing_colours(["skin", "beard"])


def test_a_map_of_other_classes_is_refused() -> None:
    with pytest.raises(UsageError, match=r"of 11 classes, got .* up to class 18"):
        draw_parsing(_face(), np.full((128, 128), 18, np.uint8), CLASSES_11)
    with pytest.raises(UsageError, match=r"got \(64, 64\) uint8"):
        draw_parsing(_face(), np.zeros((64, 64), np.uint8), CLASSES_11)


def test_heat_glows_where_the_landmark_is() -> None:
    maps = np.zeros((2, 16, 16))
    maps[0, 3, 11] = 1.0
    maps[1, 12, 2] = 0.5
    drawn = draw_heatmaps(np.zeros((32, 32, 3), np.uint8), maps, scale=1).astype(float).sum(axis=2)
    # A pixel of a map of 16 covers 8 pixels of the result; its middle is the brightest.
    assert {tuple(place) for place in np.argwhere(drawn == drawn.max())} == set(itertools.product((27, 28), (91, 92)))
    assert drawn[99:101, 19:21].min() > 100
    assert drawn[60, 60] == 0


def test_where_nothing_glows_the_picture_is_dark_but_seen() -> None:
    picture = _face(64)
    drawn = draw_heatmaps(picture, np.full((68, 8, 8), -1.0), scale=2)
    assert np.abs(drawn - 0.55 * _enlarged(picture, 2)).max() <= 0.5


@pytest.mark.parametrize("maps", [np.zeros((64, 64)), np.zeros((0, 8, 8)), np.zeros((2, 8, 9)), np.full((1, 8, 8), np.nan)])
def test_bad_heatmaps(maps: np.ndarray) -> None:
    with pytest.raises(UsageError, match="expected finite square heatmaps"):
        draw_heatmaps(_face(), maps)


@pytest.mark.parametrize("width", [120, 400, 4000])
def test_the_legend_shows_every_colour_at_any_width(width: int) -> None:
    colours = parsing_colours(CLASSES_19)
    strip = legend_strip(colours, width)
    assert strip.shape[1] == width
    for name, colour in colours.items():
        assert (strip == (*colour, 255)).all(axis=2).sum() >= 12 * 12, name
    if width == 4000:
        assert strip.shape[0] < 30
    assert (strip[..., 3] == 0).any()  # the page shines through


def test_letters_are_read_on_light_and_on_dark_pages() -> None:
    def luminance(colour: tuple[int, ...]) -> float:
        """Return the relative luminance of WCAG 2."""
        parts = [part / 255 for part in colour[:3]]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))

    for page in ((255, 255, 255), (22, 25, 29)):
        low, high = sorted((luminance(INK), luminance(page)))
        assert (high + 0.05) / (low + 0.05) > 4


def test_equal_arrays_give_equal_pictures() -> None:
    face, labels = _face(), np.random.default_rng(0).integers(0, 19, (128, 128)).astype(np.uint8)
    before = face.copy()
    assert np.array_equal(draw_landmarks(face, _landmarks()), draw_landmarks(face, _landmarks()))
    assert np.array_equal(draw_parsing(face, labels, CLASSES_19), draw_parsing(face, labels, CLASSES_19))
    assert np.array_equal(face, before)
