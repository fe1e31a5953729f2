from __future__ import annotations

import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest
from skimage import data

from occface.faces import detect
from occface.images import read_image

FACES = sorted((Path(__file__).parents[1] / "data" / "faces").glob("*.jpg"))


def overlap(a, b):
    """Intersection over union of two boxes."""
    width, height = (min(a[i + 2], b[i + 2]) - max(a[i], b[i]) for i in (0, 1))
    both = max(width, 0) * max(height, 0)
    return both / (sum((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)) - both)


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
        assert overlap((np.array(face.box) + 0.5) / factor - 0.5, expected.box) > 0.8


@pytest.mark.parametrize(("side", "last"), [(300, 1), (150, 2), (100, 3)])
def test_a_small_face_is_found_by_a_later_pass(side, last):
    photo = on_canvas((1400, 1000), (1, side, 650, 300))
    passes = detect.DlibDetector.passes
    assert passes == ((256, 0), (512, 0), (512, 1), (1600, 0))
    for earlier in passes[:last]:
        assert detect._run(photo, *earlier) == []
    (face,) = detect.DlibDetector().detect(photo)
    assert overlap(face.box, np.array([650, 300, 650, 300]) + np.array([75, 90, 250, 265]) * side / 320) > 0.5


def test_a_tiny_photograph_is_enlarged_for_the_search():
    tiny = cv2.resize(read_image(FACES[2]), (60, 60), interpolation=cv2.INTER_AREA)
    assert detect._run(tiny, 60, 0) == []
    (face,) = detect.DlibDetector().detect(tiny)
    assert overlap(face.box, np.array([75, 90, 250, 265]) * 60 / 320) > 0.6


def test_several_faces_come_largest_first():
    photo = on_canvas((700, 700), (0, 300, 0, 0), (1, 360, 320, 0), (2, 280, 20, 380))
    found = detect.DlibDetector().detect(photo)
    assert len(found) == 3
    assert [face.area for face in found] == sorted((face.area for face in found), reverse=True)
    assert detect.largest(found[::-1]) == found[0]
    assert overlap(found[0].box, (320 + 84, 101, 320 + 281, 298)) > 0.6


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
        ((3000, 2000), "tried at 256, 512, 512 upsampled, 1600 px"),
        ((200, 300), "tried at 256, 300, 300 upsampled px"),
        ((90, 80), "tried at 90, 90 upsampled px"),
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
