from __future__ import annotations

import itertools
import pickle
from pathlib import Path

import cv2
import dlib
import numpy as np
import pytest
import torch
from skimage import data

from occface import assets
from occface.faces import mtcnn
from occface.faces.detect import DlibDetector
from occface.images import read_image

FACES = sorted((Path(__file__).parents[1] / "data" / "faces").glob("*.jpg"))


@pytest.fixture(scope="module", autouse=True)
def weights():
    return assets.pull("mtcnn")


def overlap(a, b):
    """Intersection over union of two boxes."""
    width, height = (min(a[i + 2], b[i + 2]) - max(a[i], b[i]) for i in (0, 1))
    both = max(width, 0) * max(height, 0)
    return both / (sum((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)) - both)


@pytest.mark.parametrize("path", FACES, ids=lambda path: path.stem)
def test_a_portrait_has_one_face_in_a_box_as_dlib_draws_it(path):
    image = read_image(path)
    (face,) = mtcnn.MtcnnDetector().detect(image)
    (expected,) = DlibDetector().detect(image)
    assert overlap(face.box, expected.box) > 0.65
    assert 0.99 < face.score <= 1
    assert face.detector == "mtcnn"


def test_the_known_face_of_a_photograph_is_where_it_is():
    faces = mtcnn.MtcnnDetector().detect(data.astronaut())
    # By eye: from above the brows to the chin.
    assert max(overlap(face.box, (177, 72, 273, 168)) for face in faces) > 0.7


def test_faces_of_22_pixels_are_found_where_dlib_finds_none():
    side = 40  # of the picture; the face in it has 22 px
    photo = np.full((120, 320, 3), 128, np.uint8)
    for number, path in enumerate(FACES):
        small = cv2.resize(read_image(path), (side, side), interpolation=cv2.INTER_AREA)
        photo[30 : 30 + side, 50 * number + 10 : 50 * number + 10 + side] = small
    found = mtcnn.MtcnnDetector().detect(photo)
    places = [
        np.array([50 * n + 10, 30, 50 * n + 10, 30]) + np.array([75, 90, 250, 265]) * side / 320 for n in range(len(FACES))
    ]
    assert [any(overlap(face.box, place) > 0.4 for face in found) for place in places] == [True] * len(FACES)
    assert len(dlib.get_frontal_face_detector()(photo, 1)) == 0


@pytest.mark.parametrize("name", ["coffee", "brick", "grass", "page"])
def test_no_face_is_seen_where_none_is(name):
    image = getattr(data, name)()
    assert mtcnn.MtcnnDetector().detect(image if image.ndim == 3 else np.dstack([image] * 3)) == []


@pytest.mark.parametrize("shape", [(1, 1), (5, 400), (12, 13), (40, 40), (1, 5000)])
def test_odd_sizes_are_searched_without_trouble(shape):
    assert mtcnn.MtcnnDetector().detect(np.zeros((*shape, 3), np.uint8)) == []


def test_a_large_photograph_is_shrunk_and_its_boxes_are_brought_back():
    photo = np.full((2400, 3200, 3), 128, np.uint8)
    photo[800:1600, 1600:2400] = cv2.resize(read_image(FACES[3]), (800, 800), interpolation=cv2.INTER_CUBIC)
    (face,) = mtcnn.MtcnnDetector().detect(photo)
    assert overlap(face.box, np.array([1600, 800, 1600, 800]) + np.array([75, 90, 250, 265]) * 2.5) > 0.6
    assert mtcnn.MtcnnDetector().tried(photo) == "faces from 40 px on, or from 20 where all are wanted"


def test_a_view_at_the_border_is_searched_and_the_number_of_threads_shows_nowhere():
    image = read_image(FACES[2])[70:, :230][:, ::-1]
    before = torch.get_num_threads()
    try:
        boxes = []
        for threads in (1, 3):
            torch.set_num_threads(threads)
            boxes.append([(face.box, face.score) for face in mtcnn.MtcnnDetector().detect(image)])
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert boxes[0] == boxes[1]
    assert len(boxes[0]) == 1


def test_suppression_agrees_with_opencvs():
    rng = np.random.default_rng(0)
    low = rng.integers(0, 80, (300, 2))
    boxes = np.concatenate([low, low + rng.integers(5, 50, (300, 2))], axis=1)
    scores = rng.permutation(300) / 300
    as_opencv = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1).tolist()
    for threshold, limit in ((0.1, 0.5), (0.6, 0.3)):
        expected = cv2.dnn.NMSBoxes(as_opencv, scores.tolist(), threshold, limit)
        assert mtcnn._suppressed(boxes.astype(float), scores, threshold, limit).tolist() == list(expected)


def test_a_box_within_another_is_suppressed_by_what_it_shares_with_it():
    boxes, scores = np.array([[0, 0, 100, 100], [10, 10, 40, 40], [90, 90, 140, 140.0]]), np.array([0.9, 0.95, 0.8])
    assert mtcnn._suppressed(boxes, scores, 0.5, 0.7).tolist() == [1, 0, 2]
    assert mtcnn._suppressed(boxes, scores, 0.5, 0.7, of_smaller=True).tolist() == [1, 2]


def test_what_lies_beyond_the_border_is_black():
    image = np.full((30, 40, 3), 200, np.uint8)
    np.testing.assert_array_equal(mtcnn._cut(image, np.array([10.0, 5.0, 34.0, 29.0]), 24), 200)
    cut = mtcnn._cut(image, np.array([-12.0, -6.0, 12.0, 18.0]), 24)
    assert (cut[6:, 12:] == 200).all()
    assert cut[:6].max() == cut[:, :12].max() == 0
    assert mtcnn._cut(image, np.array([300.0, 300.0, 310.0, 310.0]), 24).max() == 0


def test_the_detector_is_light():
    assert len(pickle.dumps(mtcnn.MtcnnDetector())) < 200


def test_small_faces_of_a_large_photograph_are_found_where_all_are_wanted():
    """Six faces of 22 px across the borders of tiles, and a large one: the latter alone is seen in the whole."""
    side, scale = 40, 40 / 320
    photo = np.full((700, 4800, 3), 128, np.uint8)
    starts = np.linspace(960, 1240, len(FACES)).astype(int)  # two tiles share x = 1,160 to 1,320
    for left, path in zip(starts, FACES, strict=True):
        photo[60 : 60 + side, left : left + side] = cv2.resize(read_image(path), (side, side), interpolation=cv2.INTER_AREA)
    photo[200:680, 900:1380] = cv2.resize(read_image(FACES[3]), (480, 480), interpolation=cv2.INTER_CUBIC)
    places = [np.array([left, 60, left, 60]) + np.array([75, 90, 250, 265]) * scale for left in starts]
    places.append(np.array([900, 200, 900, 200]) + np.array([75, 90, 250, 265]) * 1.5)
    found = {}
    for thorough in (False, True):
        faces = mtcnn.MtcnnDetector().detect(photo, thorough=thorough)
        found[thorough] = [sum(overlap(face.box, place) > 0.4 for face in faces) for place in places]
        assert len(faces) == sum(found[thorough])
    assert found[True] == [1] * 7
    assert found[False][-1] == 1
    assert sum(found[False]) < 4


@pytest.mark.parametrize("length", [1, 100, 1600, 1601, 3000, 4000, 12345])
def test_spans_cover_a_length_and_share_enough(length):
    spans = mtcnn._spans(length)
    assert (spans[0][0], spans[-1][1]) == (0, length)
    assert all(stop - start <= 1600 for start, stop in spans)
    # Rounding may take a pixel.
    assert all(one[1] - other[0] >= 159 for one, other in itertools.pairwise(spans))


def test_a_photograph_of_ordinary_size_is_searched_once(monkeypatch):
    image = np.zeros((400, 1600, 3), np.uint8)
    calls = []
    monkeypatch.setattr(mtcnn, "_cascade", lambda *given: calls.append(given) or (np.zeros((0, 4)), np.zeros(0)))
    mtcnn.MtcnnDetector().detect(image, thorough=True)
    assert len(calls) == 1
    mtcnn.MtcnnDetector().detect(np.zeros((400, 7000, 3), np.uint8), thorough=True)
    # One in the whole, five at its size, and two at a quarter of it.
    assert len(calls) == 1 + 1 + 5 + 2
    assert max(given[0].shape[1] for given in calls) <= 1600
