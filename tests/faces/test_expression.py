from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from occface import assets
from occface.faces.detect import DlibDetector
from occface.faces.expression import EXPRESSIONS, TOLD, expression_scores, is_neutral, told_expression
from occface.faces.measures import Measures, Pose
from occface.images import read_image
from occface.networks.xception import MiniXception

NEUTRAL = Measures(Pose(0, 0, 0), 0.8, 0.01, 0.0, 0.14, 0.30)


@pytest.fixture(scope="module", autouse=True)
def weights():
    return assets.pull("expression")["emotion_model.hdf5"]


@pytest.fixture(scope="module")
def faces(faces_folder):
    images = [read_image(path) for path in sorted(faces_folder.glob("*.jpg"))]
    return [(image, DlibDetector().detect(image)[0].box) for image in images]


def test_those_who_laugh_are_happy_and_the_one_who_does_not_is_least(faces):
    happy = [expression_scores(*face)[EXPRESSIONS.index("happy")] for face in faces]
    assert min(happy[4], happy[5]) > 0.9, "the two who show their teeth"
    assert np.argmin(happy) == 3
    assert happy[3] < 0.5


def test_scores_are_the_networks_of_the_face_and_a_tenth_around_it(faces, weights):
    image, _ = faces[0]
    box = (100.0, 120.0, 299.0, 319.0)
    cut = cv2.cvtColor(image[100:340, 80:320], cv2.COLOR_RGB2GRAY)
    cut = cv2.resize(cut, (64, 64), interpolation=cv2.INTER_AREA)
    x = torch.from_numpy((cut / 255.0 - 0.5) * 2).float()[None, None]
    with torch.no_grad():
        expected = MiniXception.from_keras(weights)(x).softmax(1)[0].numpy()
    np.testing.assert_allclose(expression_scores(image, box), expected, atol=0.02)


def test_a_box_may_reach_beyond_the_picture(faces):
    image, _ = faces[0]
    scores = expression_scores(image, (-60.0, -10.0, 500.0, 550.0))
    assert scores.shape == (7,)
    assert scores.sum() == pytest.approx(1, abs=1e-5)
    assert (scores >= 0).all()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, "neutral"),
        ({"mouth_opening": 0.05}, "neutral"),
        ({"mouth_lift": 0.08, "mouth_width": 0.92}, "smile"),
        ({"mouth_lift": 0.08, "mouth_width": 0.92, "mouth_opening": 0.4}, "smile"),
        ({"mouth_lift": 0.08}, ""),
        ({"mouth_opening": 0.16, "brow_height": 0.33, "eye_opening": 0.16}, "surprise"),
        ({"mouth_opening": 0.16}, ""),
        ({"mouth_opening": 0.35}, "scream"),
        ({"eye_opening": 0.09}, "squint"),
        ({"eye_opening": 0.09, "mouth_opening": 0.12}, ""),
        ({"eye_opening": 0.19}, ""),
    ],
)
def test_expressions_are_told_by_what_has_moved(changes, told):
    assert told_expression(replace(NEUTRAL, **changes), NEUTRAL) == told
    assert not told or told in TOLD


def test_neutral_is_closed_level_awake_and_not_happy():
    calm, happy = np.eye(7)[EXPRESSIONS.index("neutral")], np.eye(7)[EXPRESSIONS.index("happy")]
    assert is_neutral(NEUTRAL, calm)
    assert not is_neutral(NEUTRAL, happy)
    for changes in ({"mouth_opening": 0.1}, {"mouth_lift": 0.12}, {"mouth_lift": -0.12}, {"eye_opening": 0.04}):
        assert not is_neutral(replace(NEUTRAL, **changes), calm)
