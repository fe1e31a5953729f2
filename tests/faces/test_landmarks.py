from __future__ import annotations

import math
import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from occface.errors import BadImageError
from occface.faces import align, align_found
from occface.faces.detect import DlibDetector
from occface.faces.landmarks import DlibLandmarks, _predictor, nrmse
from occface.images import read_image

FACES = sorted((Path(__file__).parents[1] / "data" / "faces").glob("*.jpg"))


def found(image):
    return DlibLandmarks()(image, DlibDetector().detect(image)[0].box)


def aligned(path):
    image = read_image(path)
    return align_found(image, DlibDetector().detect(image)[0], DlibLandmarks())


# Read off the pictures by eye, under a grid: the middle of the subject's right and left eye, corners of the mouth, chin.
BY_EYE = {
    "face_0": [(119, 151), (200, 151), (122, 228), (199, 231), (160, 291)],
    "face_2": [(118, 151), (199, 151), (122, 230), (195, 229), (155, 295)],
}


@pytest.mark.parametrize("name", BY_EYE)
def test_landmarks_are_where_a_person_sees_them(name):
    (path,) = (path for path in FACES if path.stem == name)
    points = found(read_image(path))
    assert points.shape == (68, 2)
    assert points.dtype == np.float32
    seen = [points[36:42].mean(axis=0), points[42:48].mean(axis=0), points[48], points[54], points[8]]
    assert np.linalg.norm(np.array(seen) - BY_EYE[name], axis=1).max() < 6


def test_a_shift_of_photograph_and_box_shifts_the_landmarks():
    image = read_image(FACES[1])
    for factor in (1, 0.3):
        photo = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        # The whole neighbourhood of the face is in the photograph, so its border has no part in this.
        photo = np.pad(photo, ((100, 100), (100, 100), (0, 0)), mode="edge")
        box = np.array(DlibDetector().detect(photo)[0].box)
        shifted = np.pad(photo, ((31, 0), (17, 0), (0, 0)), mode="edge")
        shift = np.array([17, 31])
        expected = DlibLandmarks()(photo, tuple(box)) + shift
        np.testing.assert_allclose(DlibLandmarks()(shifted, tuple(box + np.tile(shift, 2))), expected, atol=1e-4)


def test_small_faces_are_marked_between_the_pixels_and_on_the_average_in_place():
    differences = []
    for path in FACES:
        image = read_image(path)
        box = np.array(DlibDetector().detect(image)[0].box)
        points = DlibLandmarks()(image, tuple(box))
        small = cv2.resize(image, (80, 80), interpolation=cv2.INTER_AREA)
        found = DlibLandmarks()(small, tuple((box + 0.5) / 4 - 0.5))
        assert np.abs(found - np.round(found)).max() > 0.2
        differences.append(found - ((points + 0.5) / 4 - 0.5))
    assert np.linalg.norm(differences, axis=-1).mean() < 0.7
    assert np.abs(np.mean(differences, axis=(0, 1))).max() < 0.15


@pytest.mark.parametrize(
    ("box", "words"), [((5, 5, 9, 9), "too small"), ((300, 300, 400, 400), "outside"), ((-500, -500, -300, -300), "outside")]
)
def test_a_box_without_a_face_is_refused(box, words):
    with pytest.raises(BadImageError, match=words):
        DlibLandmarks()(np.zeros((100, 100, 3), np.uint8), box)


def test_views_are_taken():
    image = read_image(FACES[1])
    box = (75.5, 90.5, 250.5, 265.5)
    view = np.dstack([image, image])[..., :3]
    np.testing.assert_array_equal(DlibLandmarks()(view, box), DlibLandmarks()(image, box))


@pytest.mark.parametrize("path", FACES, ids=lambda path: path.stem)
def test_landmarks_of_sixteen_pixels_lie_near_those_of_the_photograph(path):
    face = aligned(path)
    lr = np.asarray(Image.fromarray(face.hr).resize((16, 16), Image.Resampling.BILINEAR))
    points = DlibLandmarks().on_lr(lr)
    assert points.shape == (68, 2)
    assert points.dtype == np.float32
    assert np.linalg.norm(points - face.landmarks, axis=1).mean() < 4


def test_the_box_of_the_crop_is_one_that_the_detector_would_draw():
    boxes = [DlibDetector().detect(aligned(path).hr)[0].box for path in FACES]
    assert np.abs(np.median(boxes, axis=0) - align.CROP_BOX).max() < 9


def test_the_landmarker_is_light_and_its_model_loaded_once():
    landmarker = pickle.loads(pickle.dumps(DlibLandmarks()))
    assert len(pickle.dumps(landmarker)) < 200
    for _ in range(2):
        landmarker(np.zeros((50, 50, 3), np.uint8), (5.0, 5.0, 45.0, 45.0))
    assert _predictor.cache_info().misses == 1


def test_nrmse_is_that_of_each_face_by_its_own_eyes():
    rng = np.random.default_rng(0)
    found, true = (rng.uniform(0, 128, (3, 68, 2)).astype(np.float32) for _ in range(2))
    for face, value in enumerate(nrmse(found, true)):
        squares = [math.dist(a, b) ** 2 for a, b in zip(found[face].tolist(), true[face].tolist(), strict=True)]
        eyes = math.dist(true[face, 36].tolist(), true[face, 45].tolist())
        assert value == pytest.approx(100 * math.sqrt(sum(squares) / 68) / eyes, rel=1e-6)
