"""Names and paths to pipelines, and the one line that says what is wrong with them."""

from __future__ import annotations

import json
import shutil

import pytest

from occface.errors import UsageError
from occface.restoring import loading
from occface.restoring.loading import degradation_of, landmarker_of, load_pipeline


def test_a_run_folder_or_its_file_is_a_pipeline(runs):
    for path in (runs["pro-uigan"], str(runs["pro-uigan"] / "weights.safetensors")):
        pipeline = load_pipeline(path)
        assert (pipeline.name, pipeline.order) == ("pro-uigan", "joint")


def test_names_take_the_weights_given(runs):
    assert load_pipeline("bicubic+gfc", {"gfc": runs["gfc"]}).order == "SR+PA"
    assert load_pipeline("gfc+bicubic", {"gfc": runs["gfc"]}).order == "PA+SR"


def test_shipped_weights_are_found_by_their_method(runs, tmp_path, monkeypatch):
    monkeypatch.setattr(loading, "SHIPPED", tmp_path)
    with pytest.raises(UsageError, match=r"no weights of 'pro-uigan' come with this version.*--weights pro-uigan=RUN"):
        load_pipeline("pro-uigan")
    shutil.copytree(runs["pro-uigan"], tmp_path / "pro-uigan")
    assert load_pipeline("pro-uigan").stages[0].trained


@pytest.mark.parametrize(
    ("name", "weights", "said"),
    [
        ("pro-uigam", {}, "did you mean 'pro-uigan'"),
        ("no/such/run", {}, "expected a run folder"),
        ("gfc", {"gfc": "gfc"}, "is no pipeline"),
        ("bicubic", {"gfc": "gfc"}, "weights are given for 'gfc'"),
        ("gfc+bicubic", {"gfc": "pro-uigan"}, "expected weights of method 'gfc'"),
        ("PATH", {"gfc": "gfc"}, "brings its own weights"),
        ("gfc-alone", {}, "is no pipeline"),
    ],
)
def test_what_makes_no_pipeline_is_refused(runs, name, weights, said):
    name = {"PATH": str(runs["pro-uigan"]), "gfc-alone": str(runs["gfc"])}.get(name, name)
    with pytest.raises(UsageError, match=said):
        load_pipeline(name, {method: runs[run] for method, run in weights.items()})


def test_one_that_needs_the_truth_is_refused(runs, tmp_path):
    from occface.methods.prouigan import ProUIGAN
    from occface.methods.weights import save_weights

    method = ProUIGAN.build("test+p-gt")
    save_weights(tmp_path / "gt", method.generator, {"method": "pro-uigan", "config": method.config})
    with pytest.raises(UsageError, match="must be told the landmarks of the whole HR face"):
        load_pipeline(tmp_path / "gt")


def recorded(run, folder, **data):
    """Copy a run, with a card that says more of its data."""
    shutil.copytree(run, folder)
    card = json.loads((folder / "weights.json").read_text())
    (folder / "weights.json").write_text(json.dumps(card | {"data": data}))
    return folder


def test_thumbnails_are_made_as_the_weights_learnt(runs, tmp_path):
    plain = load_pipeline(runs["pro-uigan"])
    assert (degradation_of(plain).fill, degradation_of(plain).lr_kernel) == ("gray", "antialiased")
    other = load_pipeline(recorded(runs["pro-uigan"], tmp_path / "zero", fill="zero", lr_kernel="cv2", landmarker="dlib"))
    assert (degradation_of(other).fill, degradation_of(other).lr_kernel) == ("zero", "cv2")
    assert degradation_of(other, fill="mean").fill == "mean"
    assert landmarker_of(other).name == "dlib"
    with pytest.raises(UsageError, match="did you mean 'zero'"):
        degradation_of(other, fill="zeros")


def test_landmarks_of_a_fan_that_is_elsewhere_must_be_named(runs, tmp_path):
    fan = {"method": "fan", "sha256": "0" * 64}
    other = load_pipeline(recorded(runs["pro-uigan"], tmp_path / "fan", lr_landmarker=fan, landmarker="dlib"))
    with pytest.raises(UsageError, match="--lr-landmarks fan:RUN"):
        landmarker_of(other)
    assert landmarker_of(other, "dlib").name == "dlib"
