"""Names and paths to pipelines, and the one line that says what is wrong with them."""

from __future__ import annotations

import json
import shutil

import pytest

from occface import assets
from occface.assets import Asset, AssetFile
from occface.errors import UsageError
from occface.files import sha256_file
from occface.methods import METHODS
from occface.methods.weights import save_weights
from occface.restoring.loading import degradation_of, landmarker_of, load_pipeline, shipped_restorers


def test_a_run_folder_or_its_file_is_a_pipeline(runs):
    for path in (runs["pro-uigan"], str(runs["pro-uigan"] / "weights.safetensors")):
        pipeline = load_pipeline(path)
        assert (pipeline.name, pipeline.order) == ("pro-uigan", "joint")


def test_names_take_the_weights_given(runs):
    assert load_pipeline("bicubic+gfc", {"gfc": runs["gfc"]}).order == "SR+PA"
    assert load_pipeline("gfc+bicubic", {"gfc": runs["gfc"]}).order == "PA+SR"


@pytest.fixture
def ship(tmp_path, monkeypatch):
    """Return what takes a run folder into the package under a name; nothing else is in it."""
    for name in assets.shipped_names():
        monkeypatch.delitem(assets.ASSETS, name)
    monkeypatch.setenv("OCCFACE_ASSETS", str(tmp_path / "package"))

    def ship(run, name):
        place = shutil.copytree(run, tmp_path / "package" / name)
        paths = (place / "weights.safetensors", place / "weights.json")
        pinned = tuple(AssetFile(path.name, sha256_file(path), path.stat().st_size) for path in paths)
        monkeypatch.setitem(assets.ASSETS, name, Asset(name, "a test", f"distribution:occface/weights/{name}", "CC0", pinned))
        return pinned[0].sha256

    return ship


def test_shipped_weights_are_found_by_their_method(runs, ship):
    with pytest.raises(UsageError, match=r"no weights of 'pro-uigan' come with .* \(it has: none\).*--weights pro-uigan=RUN"):
        load_pipeline("pro-uigan")
    ship(runs["pro-uigan"], "pro-uigan")
    assert load_pipeline("pro-uigan").stages[0].trained
    assert load_pipeline("shipped:pro-uigan").name == "pro-uigan"
    with pytest.raises(UsageError, match=r"no weights of 'gfc' come with .* \(it has: pro-uigan\)"):
        load_pipeline("bicubic+gfc")


def test_further_weights_of_a_method_have_a_name_of_their_own(runs, ship):
    ship(runs["pro-uigan"], "pro-uigan-pixels")
    ship(runs["gfc"], "gfc")
    ship(runs["gfc"], "face-parser")  # of a role that restores nothing
    assert shipped_restorers() == {"pro-uigan:pixels": "shipped:pro-uigan-pixels", "gfc": "shipped:gfc"}
    assert load_pipeline("pro-uigan:pixels").name == "pro-uigan:pixels"
    assert load_pipeline("bicubic+gfc").stages[1].trained


def test_landmarks_that_weights_learnt_with_are_found_in_the_package(runs, ship, tmp_path):
    method = METHODS.get("fan").build("test")
    save_weights(tmp_path / "fan", method.generator, {"method": "fan", "config": method.config})
    hash_ = ship(tmp_path / "fan", "fan-of-it")
    pipeline = load_pipeline(runs["pro-uigan"])
    card = pipeline.stages[0].card
    card["data"] = {**card.get("data", {}), "lr_landmarker": {"method": "fan", "sha256": hash_}}
    assert landmarker_of(pipeline).describe() == {"method": "fan", "sha256": hash_}
    card["data"]["lr_landmarker"]["sha256"] = "0" * 64
    with pytest.raises(UsageError, match="learnt with landmarks of a FAN trained for them"):
        landmarker_of(pipeline)


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
