"""What metrics are given, the names and directions of their columns, their settings and fingerprints."""

from __future__ import annotations

import json
import subprocess
import sys

import h5py
import numpy as np
import pytest

from occface.errors import UsageError
from occface.metrics import CONTRACT, METRICS, Metric, RestoredFaces, SetMetric, column
from occface.metrics.base import Remembered

#: Written by hand: what score files hold, and which way is better.
_BETTER = {
    "psnr": True,
    "ssim": True,
    "psnr_y": True,
    "psnr_masked": True,
    "psnr_visible": True,
    "psnr_stage_1": True,
    "psnr_stage_2": True,
    "psnr_stage_3": True,
    "stlpips": False,
    "nrmse_outer_eyes": False,
    "nrmse_eye_centres": False,
    "nrmse_face_width": False,
    "iou": True,
    "iou_skin": True,
    "iou_l_lip": True,
    "identity_cosine": True,
    "identified": True,
    "expression_seen": None,
    "expression_correct": True,
    "frechet": False,
}


@pytest.mark.parametrize("name", _BETTER)
def test_columns_say_which_way_is_better_and_what_they_are(name: str) -> None:
    found = column(name)
    assert found is not None
    assert (found.name, found.higher_is_better) == (name, _BETTER[name])
    assert len(found.contract) > 20
    assert "\n" not in found.contract


def test_what_no_metric_gives_has_no_column() -> None:
    assert [column(name) for name in ("n", "failed", "seconds", "iou_", "PSNR")] == [None] * 5
    assert column("psnr").unit == "dB"
    assert column("nrmse_outer_eyes").unit == "%"


def test_columns_are_found_without_torch_or_dlib() -> None:
    program = (
        "import sys; from occface.metrics import column; assert column('frechet') and column('iou') and not column('n');"
        "loaded = {'torch', 'dlib', 'pooch', 'openvino'} & set(sys.modules); assert not loaded, loaded"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", list(METRICS))
def test_every_metric_gives_what_it_says_under_names_of_its_own(name: str) -> None:
    metric = METRICS.get(name)()
    assert isinstance(metric, Metric | SetMetric)
    assert metric.name == name
    others = [other for other in METRICS if other != name]
    assert not {each.name for each in metric.columns} & {each.name for other in others for each in METRICS.get(other)().columns}


@pytest.mark.parametrize("name", [name for name in METRICS if name != "parsing"])
def test_fingerprints_are_plain_and_need_no_weights(name, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("OCCFACE_CACHE", str(tmp_path))
    monkeypatch.setenv("OCCFACE_ASSETS", str(tmp_path))
    metric = METRICS.get(name)()
    written = metric.fingerprint()
    assert json.loads(json.dumps(written)) == written
    assert written["metric"] == name
    assert set(written["assets"]) == set(metric.assets)
    for hashes in written["assets"].values():
        assert all(int(digits, 16) for digits in hashes)


def test_settings_are_checked() -> None:
    with pytest.raises(UsageError, match="'landmarks' has no setting 'landmark': did you mean 'landmarker'"):
        METRICS.get("landmarks")(landmark="dlib")
    with pytest.raises(UsageError, match="'folds' of metric 'expression' takes a value like 10, got '5'"):
        METRICS.get("expression")(folds="5")
    with pytest.raises(UsageError, match="unknown reference 'sen' of metric 'landmarks': did you mean 'seen'"):
        METRICS.get("landmarks")(reference="sen")
    with pytest.raises(UsageError, match="unknown features 'inception' of metric 'frechet'"):
        METRICS.get("frechet")(features="inception")
    with pytest.raises(UsageError, match="metric 'image' has no setting 'peak'"):
        METRICS.get("image")(peak=1)
    with pytest.raises(UsageError, match="unknown metric 'imgae': did you mean 'image'"):
        METRICS.get("imgae")


def test_the_contract_says_what_matters() -> None:
    for word in ("uint8 RGB", "float64", "11x11", "1.5", "valid", "0.03", "channels", "mean over images"):
        assert word in CONTRACT


def test_faces_are_read_from_a_data_set(parsed, parsed_path, make_pictures) -> None:
    result = make_pictures(2)
    faces = RestoredFaces.read(parsed, "test", "square", [1, 0], result)
    with h5py.File(parsed_path) as file:
        group = file["test"]
        for place, number in enumerate((1, 0)):
            np.testing.assert_array_equal(faces.truth[place], group["hr"][number])
            np.testing.assert_array_equal(faces.mask[place], group["occluded/square/mask"][number])
            np.testing.assert_array_equal(faces.landmarks[place], group["landmarks"][number])
            np.testing.assert_array_equal(faces.parsing[place], group["parsing"][number])
            assert faces.columns.loc[place, "id"] == group["id"].asstr()[number]
    assert len(faces) == 2
    assert faces.classes == parsed.classes


def test_faces_of_other_shapes_are_refused(make_faces, make_pictures, make_labels) -> None:
    truth = make_pictures(3)
    with pytest.raises(ValueError, match=r"expected the result as uint8 \(3, 128, 128, 3\), got uint8 \(2, 128, 128, 3\)"):
        make_faces(truth, truth[:2])
    with pytest.raises(ValueError, match=r"expected the result as uint8 .* got float64"):
        make_faces(truth, truth / 255)
    with pytest.raises(ValueError, match=r"expected the mask as uint8 \(3, 128, 128\), got bool"):
        make_faces(truth, truth, mask=np.zeros((3, 128, 128), bool))
    with pytest.raises(ValueError, match="at least one face"):
        make_faces(truth[:0], truth[:0])
    with pytest.raises(ValueError, match=r"expected 3 rows .* got 2 rows"):
        make_faces(truth, truth, columns=make_labels(2))
    with pytest.raises(ValueError, match="got 3 rows without identity"):
        make_faces(truth, truth, columns=make_labels(3).drop(columns="identity"))
    with pytest.raises(ValueError, match="names of their classes, or neither"):
        make_faces(truth, truth, parsing=truth[..., 0].copy())


def test_what_a_data_set_does_not_know_is_named(known_faces, make_pictures, make_labels) -> None:
    hr = make_pictures(2)
    points = np.zeros((2, 68, 2), np.float32)
    unknown = known_faces(hr, points, make_labels(2))
    assert METRICS.get("image")().missing(unknown, "test") == ()
    assert METRICS.get("parsing")(reference="data").missing(unknown, "test") == ("parsing",)
    assert METRICS.get("expression")().missing(unknown, "test") == ("expression",)
    alone = known_faces(hr, points, make_labels(2, identity=["a", "a"], expression=["smile", "smile"]))
    assert METRICS.get("expression")().missing(alone, "test") == ("a second person", "a second expression")
    assert METRICS.get("expression")(judge="mini-xception").missing(alone, "test") == ()


def test_a_judge_is_asked_once_about_each_face(make_pictures) -> None:
    asked = []

    def judge(pictures: np.ndarray, weights: np.ndarray) -> np.ndarray:
        asked.append(len(pictures))
        return pictures.mean((1, 2, 3)) * weights

    remembered = Remembered(judge)
    faces, weights = make_pictures(4), np.arange(4.0)
    for order in ([0, 1], [1, 2, 0, 3], [3, 2]):
        np.testing.assert_array_equal(remembered(faces[order], weights[order]), faces[order].mean((1, 2, 3)) * weights[order])
    assert asked == [2, 2]
    remembered(faces[:1], weights[1:2])  # the same picture with another weight is another question
    assert asked == [2, 2, 1]
