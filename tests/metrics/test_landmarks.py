"""NRMSE against hand-computed cases and explicit loops, by a planted landmarker, dlib's, and a FAN trained here."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from occface.errors import UsageError
from occface.faces import LANDMARKERS
from occface.faces.align import CROP_BOX
from occface.faces.landmarks import DlibLandmarks
from occface.methods.fan import FanMethod
from occface.methods.weights import save_weights
from occface.metrics import METRICS
from occface.metrics.landmarks import lengths


class Planted:
    """Finds the landmarks that a picture's first pixels are: 68 pixels of x and y."""

    name = "planted"
    assets = ()
    seen = 0

    def __call__(self, image, box):
        assert box == CROP_BOX
        Planted.seen += 1
        return image.reshape(-1, 3)[:68, :2].astype(np.float32)


def planted(points: np.ndarray) -> np.ndarray:
    pictures = np.zeros((len(points), 128, 128, 3), np.uint8)
    pictures.reshape(len(points), -1, 3)[:, :68, :2] = points
    return pictures


@pytest.fixture
def landmarker(monkeypatch):
    monkeypatch.setitem(LANDMARKERS._entries, "planted", Planted)
    monkeypatch.setattr(Planted, "seen", 0)
    return "planted"


def test_by_hand(landmarker, make_faces) -> None:
    true = np.full((1, 68, 2), 60)
    true[0, 36], true[0, 45] = (40, 50), (80, 50)  # 40 px apart; all other points of the eyes lie at (60, 60)
    true[0, 0], true[0, 16] = (20, 60), (100, 60)
    found = true.copy()
    found[0, :17] += (3, 4)  # 17 of 68 points off by 5 px: the root of the mean square is 2.5 px
    centres = abs((40 + 5 * 60) / 6 - (80 + 5 * 60) / 6)
    errors = METRICS.get("landmarks")(landmarker=landmarker).measure(make_faces(planted(true), planted(found)))
    assert errors["nrmse_outer_eyes"].tolist() == [pytest.approx(100 * 2.5 / 40)]
    assert errors["nrmse_eye_centres"].tolist() == [pytest.approx(100 * 2.5 / centres)]
    assert errors["nrmse_face_width"].tolist() == [pytest.approx(100 * 2.5 / 80)]


def test_random_points_agree_with_explicit_loops(landmarker, make_faces) -> None:
    rng = np.random.default_rng(0)
    true, found = rng.integers(0, 128, (2, 3, 68, 2))
    errors = METRICS.get("landmarks")(landmarker=landmarker).measure(make_faces(planted(true), planted(found)))
    for face in range(3):
        squares = [math.dist(true[face, point], found[face, point]) ** 2 for point in range(68)]
        eyes = [[sum(float(true[face, p, axis]) for p in eye) / 6 for axis in (0, 1)] for eye in (range(36, 42), range(42, 48))]
        for name, length in (
            ("outer_eyes", math.dist(true[face, 36], true[face, 45])),
            ("eye_centres", math.dist(*eyes)),
            ("face_width", math.dist(true[face, 0], true[face, 16])),
        ):
            assert errors[f"nrmse_{name}"][face] == pytest.approx(100 * math.sqrt(sum(squares) / 68) / length, rel=1e-6)


def test_the_reference_may_be_the_data_sets_and_truths_are_looked_at_once(landmarker, make_faces) -> None:
    rng = np.random.default_rng(1)
    true, found = rng.integers(0, 128, (2, 2, 68, 2))
    faces = make_faces(planted(true), planted(found), landmarks=found.astype(np.float32))
    given = METRICS.get("landmarks")(landmarker=landmarker, reference="data")
    assert given.measure(faces)["nrmse_outer_eyes"].tolist() == [0, 0]
    assert Planted.seen == 2
    seen = METRICS.get("landmarks")(landmarker=landmarker)
    seen.measure(faces)
    seen.measure(faces)
    assert Planted.seen == 2 + 2 * 2 + 2
    for metric, words in ((given, "of the data set"), (seen, "in the true face")):
        assert all(words in column.contract and "by planted" in column.contract for column in metric.columns)


def test_dlib_sees_a_shift(parsed, make_faces) -> None:
    truth = parsed.stack("test", "hr")
    shifted = np.roll(truth, 3, axis=2)
    metric = METRICS.get("landmarks")(landmarker="dlib")
    assert metric.measure(make_faces(truth, truth))["nrmse_face_width"].tolist() == [0] * len(truth)
    errors = metric.measure(make_faces(truth, shifted))["nrmse_outer_eyes"]
    eyes = lengths(np.stack([DlibLandmarks()(face, CROP_BOX) for face in truth]))["outer_eyes"]
    np.testing.assert_allclose(errors, 100 * 3 / eyes, rtol=0.35)  # the face moves, the box stays
    assert metric.fingerprint()["assets"]["dlib-68"][0].startswith("fbdc2cb8")
    assert "dlib" in metric.columns[0].contract


def test_a_fan_trained_here_is_asked_about_the_crop_itself(tmp_path, make_faces, make_pictures) -> None:
    torch.manual_seed(1)
    method = FanMethod.build("test")
    card = save_weights(tmp_path / "run", method.generator, {"method": "fan", "config": method.config})
    truth, result = make_pictures(2), make_pictures(2, seed=1)
    metric = METRICS.get("landmarks")(landmarker=f"fan:{tmp_path / 'run'}")
    wanted, reference = (
        method.landmarks_of(torch.from_numpy(faces).permute(0, 3, 1, 2) / 127.5 - 1).double().numpy()
        for faces in (result, truth)
    )
    errors = np.sqrt(((wanted - reference) ** 2).sum(-1).mean(-1)) / np.linalg.norm(
        reference[:, 45] - reference[:, 36], axis=-1
    )
    np.testing.assert_allclose(metric.measure(make_faces(truth, result))["nrmse_outer_eyes"], 100 * errors, rtol=1e-3)
    assert metric.fingerprint()["settings"]["landmarker"] == {"method": "fan", "sha256": card["sha256"]}
    assert str(tmp_path) not in str(metric.fingerprint()) + str(metric.columns)


def test_landmarkers_that_are_none_are_refused(tmp_path) -> None:
    with pytest.raises(UsageError, match="unknown landmark detector 'dlbi'"):
        METRICS.get("landmarks")(landmarker="dlbi")
    with pytest.raises(UsageError, match="expected a run folder of method 'fan'"):
        METRICS.get("landmarks")(landmarker=f"fan:{tmp_path}").fingerprint()
