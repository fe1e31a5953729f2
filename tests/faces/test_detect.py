from __future__ import annotations

import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest
from skimage import data

from occface.errors import BadImageError
from occface.faces import detect, pyramid
from occface.images import read_image

FACES = sorted((Path(__file__).parents[1] / "data" / "faces").glob("*.jpg"))


def overlap(a, b):
    """Intersection over union of two boxes."""
    width, height = (min(a[i + 2], b[i + 2]) - max(a[i], b[i]) for i in (0, 1))
    both = max(width, 0) * max(height, 0)
    return both / (sum((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)) - both)


def found_from(image, side):
    """What one pass of the detector finds: that which begins with a level of this long side."""
    sizes = pyramid.level_sizes(*image.shape[1::-1])
    return detect._run(image, pyramid.level_below(sizes, side))[0]


def on_canvas(size, *placed):
    """Grey, with pictures of faces in it: (number, side, x, y)."""
    canvas = np.full((*size, 3), 128, np.uint8)
    for number, side, x, y in placed:
        face = cv2.resize(read_image(FACES[number]), (side, side), interpolation=cv2.INTER_AREA)
        canvas[y : y + side, x : x + side] = face
    return canvas


@pytest.mark.parametrize("path", FACES, ids=lambda path: path.stem)
def test_a_portrait_has_one_face_in_its_middle(path):
    (face,) = detect.DlibDetector().detect(read_image(path))
    assert face.score > 0
    # Where these pictures have their faces, by eye.
    assert overlap(face.box, (75, 90, 250, 265)) > 0.6


def test_the_box_is_that_of_the_photograph_whatever_its_size():
    image = read_image(FACES[0])
    (expected,) = detect.DlibDetector().detect(image)
    for factor in (0.6, 2, 3.3):
        size = round(320 * factor)
        kernel = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
        (face,) = detect.DlibDetector().detect(cv2.resize(image, (size, size), interpolation=kernel))
        # Windows come in sizes 20 % apart and in steps of 8 of their 73 px.
        assert overlap((np.array(face.box) + 0.5) / factor - 0.5, expected.box) > 0.7


@pytest.mark.parametrize(("side", "last"), [(300, 1), (150, 2), (80, 3)])
def test_a_small_face_is_found_by_a_later_pass(side, last):
    photo = on_canvas((1400, 1000), (1, side, 650, 300))
    levels = [side for kind, side in detect.DlibDetector.passes if kind == "level"]
    for earlier in levels[:last]:
        assert found_from(photo, earlier) == []
    (face,) = detect.DlibDetector().detect(photo)
    assert overlap(face.box, np.array([650, 300, 650, 300]) + np.array([75, 90, 250, 265]) * side / 320) > 0.5


def test_a_tiny_photograph_is_enlarged_for_the_search():
    tiny = cv2.resize(read_image(FACES[2]), (60, 60), interpolation=cv2.INTER_AREA)
    assert found_from(tiny, 60) == []
    (face,) = detect.DlibDetector().detect(tiny)
    assert overlap(face.box, np.array([75, 90, 250, 265]) * 60 / 320) > 0.6


def test_a_face_in_the_smallest_window_is_looked_at_more_closely():
    photo = on_canvas((512, 512), (0, 150, 150, 150))
    coarse, further = detect._run(photo, pyramid.level_below(pyramid.level_sizes(512, 512), 345))
    assert (len(coarse), further) == (1, 0)
    (fine,) = detect.DlibDetector().detect(photo)
    assert fine.score > coarse[0].score + 1


def test_thoroughly_small_faces_are_found_beside_a_large_one_once_each():
    photo = on_canvas((900, 900), (1, 600, 0, 0), (0, 120, 650, 50), (2, 90, 700, 600))
    (large,) = detect.DlibDetector().detect(photo)
    found = detect.DlibDetector().detect(photo, thorough=True)
    assert len(found) == 3
    assert sum(overlap(face.box, large.box) > 0.5 for face in found) == 1
    for side, x, y in ((120, 650, 50), (90, 700, 600)):
        place = np.array([x, y, x, y]) + np.array([75, 90, 250, 265]) * side / 320
        assert max(overlap(face.box, place) for face in found) > 0.5


def test_what_all_windows_miss_is_looked_for_between_their_sizes(monkeypatch):
    image = read_image(FACES[0])
    monkeypatch.setattr(detect, "_run", lambda image, level: ([], 0))
    (face,) = detect.DlibDetector().detect(image)
    assert overlap(face.box, (75, 90, 250, 265)) > 0.6


@pytest.mark.parametrize(("choose", "expected"), [("largest", [2]), ("central", [1]), ("all", [2, 3, 1, 0])])
def test_the_faces_that_are_wanted_are_chosen(choose, expected):
    boxes = [(0, 0, 9, 9), (45, 45, 55, 55), (60, 60, 95, 95), (0, 70, 30, 90)]
    faces = [detect.Detection(box, 1.0) for box in boxes]
    chosen = detect.chosen(faces, choose, np.zeros((100, 100, 3), np.uint8))
    assert [faces.index(face) for face in chosen] == expected


def test_of_equally_large_faces_the_surer_one_comes_first_and_then_the_left_one():
    faces = [detect.Detection((x, 0, x + 10, 10), score) for x, score in ((40, 1.0), (20, 1.0), (60, 2.0))]
    chosen = detect.chosen(faces, "all", np.zeros((90, 90, 3), np.uint8))
    assert [face.box[0] for face in chosen] == [60, 20, 40]


@pytest.mark.parametrize(
    ("box", "words"),
    [
        ((10, 10, 15, 40), "too small: 5 x 30 px"),
        ((10, 10, float("nan"), 40), "too small"),
        ((95, 20, 175, 100), "mostly outside the photograph"),
        ((-200, -200, 300, 300), "mostly outside"),
    ],
)
def test_boxes_that_hold_no_face_are_refused(box, words):
    with pytest.raises(BadImageError, match=words):
        detect.check_box(box, np.zeros((100, 100, 3), np.uint8))
    detect.check_box((-30, 20, 50, 100), np.zeros((100, 100, 3), np.uint8))


@pytest.mark.parametrize("name", ["coffee", "chelsea", "rocket", "page", "brick"])
def test_no_face_is_seen_where_none_is(name):
    image = getattr(data, name)()
    image = image if image.ndim == 3 else np.dstack([image] * 3)
    assert detect.DlibDetector().detect(image) == []


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (3, 3000), (40, 40)])
def test_odd_sizes_are_searched_without_trouble(size):
    assert detect.DlibDetector().detect(np.zeros((*size, 3), np.uint8)) == []


@pytest.mark.parametrize(
    ("size", "words"),
    [
        ((3000, 2000), "tried at 154, 322, 256, 558, 1673, 512 px"),
        ((200, 300), "tried at 166, 289, 256, 501, 602, 300 px"),
        ((90, 80), "tried at 150, 181, 90 px"),
    ],
)
def test_what_was_tried_is_said_and_no_pass_is_made_twice(size, words):
    assert detect.DlibDetector().tried(np.zeros((*size, 3), np.uint8)) == words


def test_the_detector_is_light_and_its_model_loaded_once():
    detector = pickle.loads(pickle.dumps(detect.DlibDetector()))
    assert len(pickle.dumps(detector)) < 200
    detector.detect(np.zeros((50, 50, 3), np.uint8))
    detect.DlibDetector().detect(np.zeros((50, 50, 3), np.uint8))
    assert detect._detector.cache_info().misses == 1
