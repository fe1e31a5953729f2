from __future__ import annotations

import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest

from occface.errors import AssetError
from occface.faces import cnn
from occface.images import read_image

FACES = sorted((Path(__file__).parents[1] / "data" / "faces").glob("*.jpg"))


def overlap(a, b):
    """Intersection over union of two boxes."""
    width, height = (min(a[i + 2], b[i + 2]) - max(a[i], b[i]) for i in (0, 1))
    both = max(width, 0) * max(height, 0)
    return both / (sum((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)) - both)


@pytest.mark.parametrize("number", [0, 4])
def test_a_portrait_has_one_face_in_its_middle(number):
    image = read_image(FACES[number])
    (face,) = cnn.DlibCnnDetector().detect(image)
    # Where these pictures have their faces, by eye.
    assert overlap(face.box, (75, 90, 250, 265)) > 0.6
    assert face.detector == "dlib-cnn"


def test_boxes_are_those_of_the_photograph_whatever_its_size_and_a_small_face_takes_a_later_pass():
    photo = np.full((250, 310, 3), 128, np.uint8)
    photo[40:140, 180:280] = cv2.resize(read_image(FACES[1]), (100, 100), interpolation=cv2.INTER_AREA)
    assert cnn._run(photo, 256) == []
    (face,) = cnn._run(photo, 512)
    assert overlap(face.box, np.array([180, 40, 180, 40]) + np.array([75, 90, 250, 265]) * 100 / 320) > 0.5


def test_no_pass_is_made_twice_and_none_is_too_large(monkeypatch):
    made = []
    monkeypatch.setattr(cnn, "_run", lambda image, side: made.append(side) or [])
    for shape in ((3000, 4000), (300, 200), (60, 50)):
        assert cnn.DlibCnnDetector().detect(np.zeros((*shape, 3), np.uint8)) == []
    assert made == [256, 512, 1024, 256, 512, 600, 120]
    assert cnn.DlibCnnDetector().tried(np.zeros((300, 200, 3))) == "tried at 256, 512, 600 px"
    made.clear()
    cnn.DlibCnnDetector().detect(np.zeros((300, 200, 3), np.uint8), thorough=True)
    assert made == [600, 512, 256]


def test_without_its_model_it_says_what_to_do(monkeypatch):
    cnn._model.cache_clear()
    monkeypatch.setattr("occface.assets.find", lambda name: None)
    with pytest.raises(AssetError, match="occface assets pull dlib-cnn"):
        cnn.DlibCnnDetector().detect(np.zeros((60, 60, 3), np.uint8))
    assert len(pickle.dumps(cnn.DlibCnnDetector())) < 200
