from __future__ import annotations

import numpy as np
import pytest

from occface.errors import BadImageError, UsageError
from occface.faces.align import box_of_points
from occface.faces.given import GivenDetector, given_faces

BOXES = np.array([[10, 20, 60, 70], [5, 5, 25, 30]])
POINTS = np.random.default_rng(0).uniform(0, 90, (2, 68, 2))


def test_boxes_are_taken_as_they_are():
    faces = given_faces(BOXES, None)
    assert [face.box for face in faces] == [(10, 20, 60, 70), (5, 5, 25, 30)]
    assert {face.detector for face in faces} == {"given"}
    assert all(face.landmarks is None for face in faces)


def test_landmarks_stay_with_their_boxes_and_without_boxes_get_dlibs():
    for boxes in (BOXES, None):
        faces = given_faces(boxes, POINTS)
        for number, face in enumerate(faces):
            np.testing.assert_array_equal(face.landmarks, POINTS[number].astype(np.float32))
            expected = BOXES[number] if boxes is not None else box_of_points(POINTS[number].astype(np.float32))
            np.testing.assert_allclose(face.box, expected, rtol=1e-6)


def test_nothing_given_is_nothing_found():
    assert given_faces(None, None) == []
    assert given_faces(np.zeros((0, 4)), np.zeros((0, 68, 2))) == []
    assert given_faces(None, np.zeros((0, 68, 2))) == []
    assert GivenDetector().detect(np.zeros((50, 50, 3), np.uint8)) == []


@pytest.mark.parametrize(
    ("boxes", "landmarks", "error", "words"),
    [
        (BOXES[:, :3], None, UsageError, r"given boxes of the shape \(n, 4\), got \(2, 3\)"),
        (None, POINTS[0], UsageError, r"given landmarks of the shape \(n, 68, 2\), got \(68, 2\)"),
        (BOXES, POINTS[:1], UsageError, "for each of 2 given boxes, got 1"),
        (np.array([[0, 0, np.nan, 9]]), None, BadImageError, "boxes hold a number that is not finite"),
        (None, np.full((1, 68, 2), np.inf), BadImageError, "landmarks hold a number that is not finite"),
        (np.array([[9, 0, 2, 9]]), None, BadImageError, r"\(9, 0, 2, 9\) has no area: expected x0 < x1"),
    ],
)
def test_what_is_given_wrongly_is_named(boxes, landmarks, error, words):
    with pytest.raises(error, match=words):
        given_faces(boxes, landmarks)
