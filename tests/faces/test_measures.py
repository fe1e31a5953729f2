from __future__ import annotations

import cv2
import numpy as np
import pytest

from occface.errors import BadImageError
from occface.faces.detect import DlibDetector
from occface.faces.landmarks import DlibLandmarks
from occface.faces.measures import HEAD, HEAD_POINTS, NAMES, head_pose, measure
from occface.faces.mirror import mirror_landmarks
from occface.images import read_image


def photographed(yaw: float, pitch: float = 0.0, roll: float = 0.0, distance: float = 400.0) -> np.ndarray:
    """The head as OpenCV's camera sees it, turned about the axes one after the other; other points are zero."""
    turns = [cv2.Rodrigues(np.radians(axis))[0] for axis in ((0, yaw, 0), (pitch, 0, 0), (0, 0, roll))]
    # The head's z points at the camera, the camera's away from itself; so yaw and pitch turn the other way round there.
    rotation = turns[2] @ turns[1] @ turns[0]
    seen = (HEAD - HEAD.mean(0)) @ rotation.T * (1, 1, -1)
    camera = np.array([[4000.0, 0, 256], [0, 4000.0, 256], [0, 0, 1]])
    points, _ = cv2.projectPoints(seen, np.zeros(3), np.array([0, 0, distance]), camera, None)
    landmarks = np.zeros((68, 2))
    landmarks[list(HEAD_POINTS)] = points[:, 0]
    return landmarks


@pytest.fixture(scope="module")
def landmarks(faces_folder):
    """Landmarks of the six fixture faces."""
    images = [read_image(path) for path in sorted(faces_folder.glob("*.jpg"))]
    return [DlibLandmarks()(image, DlibDetector().detect(image)[0].box) for image in images]


@pytest.mark.parametrize("yaw", [-60, -30, -5, 0, 12, 30, 45])
@pytest.mark.parametrize(("pitch", "roll"), [(0, 0), (15, 0), (0, -20), (-10, 8)])
def test_the_angles_of_a_turned_head_are_found(yaw, pitch, roll):
    pose = head_pose(photographed(yaw, pitch, roll))
    assert pose.yaw == pytest.approx(yaw, abs=1.5)
    assert abs(pose.pitch) == pytest.approx(abs(pitch), abs=1.5)
    assert pose.roll == pytest.approx(roll, abs=1.5)


def test_a_positive_yaw_moves_the_nose_to_the_pictures_right():
    turned = photographed(25)
    eyes = turned[[36, 45]].mean(0)
    assert turned[30, 0] > eyes[0] + 10
    assert head_pose(turned).yaw > 0


def test_a_positive_pitch_moves_the_nose_down():
    assert head_pose(photographed(0, 10)).pitch * (photographed(0, 10)[30, 1] - photographed(0)[30, 1]) > 0
    lowered = photographed(0)
    lowered[[30, 31, 33, 35], 1] += 6
    assert head_pose(lowered).pitch > head_pose(photographed(0)).pitch


def test_a_mirrored_face_looks_the_other_way(landmarks):
    for points in landmarks:
        here, there = head_pose(points), head_pose(mirror_landmarks(points, 512))
        assert there.yaw == pytest.approx(-here.yaw, abs=1e-6)
        assert there.roll == pytest.approx(-here.roll, abs=1e-6)
        assert there.pitch == pytest.approx(here.pitch, abs=1e-6)


def test_real_landmarks_give_the_yaw_of_opencvs_solver(landmarks):
    camera = np.array([[1e4, 0, 256], [0, 1e4, 256], [0, 0, 1]])
    for points in landmarks:
        chosen = np.ascontiguousarray(points[list(HEAD_POINTS)], dtype=np.float64)
        start = np.zeros(3), np.array([0.0, 0.0, 400.0])
        _, turn, _ = cv2.solvePnP(HEAD * (1, 1, -1), chosen, camera, None, *start, useExtrinsicGuess=True)
        rotation = cv2.Rodrigues(turn)[0]
        yaw = -np.degrees(np.arctan2(rotation[0, 2], rotation[2, 2]))
        assert head_pose(points).yaw == pytest.approx(yaw, abs=4)


def test_points_on_a_line_are_no_face():
    line = np.stack([np.arange(68.0), np.arange(68.0)], axis=1)
    with pytest.raises(BadImageError, match="no face"):
        head_pose(line)
    with pytest.raises(BadImageError, match="no face"):
        measure(np.zeros((68, 2)))


def test_measures_are_those_of_a_ruler(landmarks):
    points = landmarks[0].astype(np.float64).copy()
    # An upright face seen from the front: eyes 100 apart at height 0, so a hundredth is a pixel.
    points[36:48] = np.repeat([[0, 0], [100, 0]], 6, axis=0)
    points[[37, 38, 43, 44], 1] = -7
    points[[41, 40, 47, 46], 1] = 7
    points[17:27, 1] = -30
    points[27], points[30], points[31], points[33], points[35] = (50, 5), (50, 60), (35, 70), (50, 75), (65, 70)
    points[48], points[54] = (10, 100), (90, 100)
    points[[51, 57, 62, 66]] = [(50, 95), (50, 125), (50, 105), (50, 115)]
    points[[61, 62, 63], 1], points[[65, 66, 67], 1] = 105, 115
    found = measure(points)
    assert abs(found.pose.yaw) < 1e-6
    expected = {"mouth_width": 0.8, "mouth_opening": 0.1, "mouth_lift": 0.1, "eye_opening": 0.14, "brow_height": 0.3}
    for name, value in expected.items():
        assert getattr(found, name) == pytest.approx(value, abs=1e-9), name
    moved = [found.mouth_lift, found.mouth_opening, found.eye_opening, found.brow_height]
    np.testing.assert_allclose(found.values, [found.pose.yaw, found.pose.pitch, *moved])
    assert len(NAMES) == len(found.values)


def test_size_place_and_lean_of_a_face_do_not_matter(landmarks):
    turn = np.radians(17)
    matrix = 0.4 * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    for points in landmarks:
        here, there = measure(points), measure(points @ matrix.T + (31, -8))
        np.testing.assert_allclose(there.values, here.values, atol=1e-4)
        assert there.mouth_width == pytest.approx(here.mouth_width, abs=1e-5)
        assert there.pose.roll == pytest.approx(here.pose.roll + 17, abs=1e-3)
