"""Weights that come with the package: taken in by benchmarks/ship_weights.py, named `shipped:NAME`, held against their pins."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pandas as pd
import pytest
import torch

from occface import assets, files
from occface.errors import AssetError, UsageError
from occface.faces.trained_fan import named
from occface.methods import METHODS
from occface.methods.fan import FanMethod
from occface.methods.weights import load_method, save_weights


@pytest.fixture(scope="module")
def shipping():
    path = Path(__file__).parents[1] / "benchmarks" / "ship_weights.py"
    spec = importlib.util.spec_from_file_location("ship_weights", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def run(tmp_path):
    """The run folder of an untrained FAN."""
    torch.manual_seed(2)
    method = FanMethod.build("test")
    card = {"method": "fan", "config": method.config, "data": {"licence": "CC0"}}
    save_weights(files.make_folder(tmp_path / "run"), method.generator, card)
    return tmp_path / "run"


@pytest.fixture
def package(tmp_path, run, shipping, monkeypatch):
    """A folder of shipped weights that holds this FAN as `small-fan`, known to the package."""
    place = tmp_path / "weights"
    shipping.ship(run, "small-fan", "a test", place)
    for name, asset in assets.shipped(place).items():
        monkeypatch.setitem(assets.ASSETS, name, asset)
    monkeypatch.setenv("OCCFACE_ASSETS", str(place))
    monkeypatch.setattr(assets, "_verified", set())
    return place


def test_half_precision_rounds_and_changes_nothing_else(run, package):
    whole, half = load_method(run).method.generator, load_method("shipped:small-fan").method.generator
    for (name, value), other in zip(whole.state_dict().items(), half.state_dict().values(), strict=True):
        expected = value.half().float() if value.is_floating_point() else value
        assert torch.equal(expected, other), name
    sizes = [(folder / "weights.safetensors").stat().st_size for folder in (run, package / "small-fan")]
    assert sizes[1] < 0.6 * sizes[0]


def test_the_card_keeps_what_training_wrote(run, package):
    card, before = load_method("shipped:small-fan").card, load_method(run).card
    assert card["config"] == before["config"]
    assert (card["precision"], card["trained_sha256"], card["purpose"]) == ("float16", before["sha256"], "a test")
    assert assets.ASSETS["small-fan"].licence == "trained on: CC0"


def test_a_landmark_network_is_opened_by_its_name(package):
    assert named("fan:shipped:small-fan") == named(f"fan:{package / 'small-fan'}")


def test_another_name_is_refused_with_those_that_are_there(package):
    with pytest.raises(UsageError, match=r"no weights 'smal-fan' come with this version.*did you mean 'small-fan'"):
        load_method("shipped:smal-fan")


def test_weights_that_were_changed_are_refused(package):
    path = package / "small-fan" / "weights.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(AssetError, match="is not the pinned file of asset 'small-fan'"):
        load_method("shipped:small-fan")


def test_numbers_too_large_for_half_precision_are_refused(run, shipping, tmp_path):
    method = load_method(run).method
    next(method.generator.parameters()).data[...] = 1e6
    save_weights(run, method.generator, {"method": "fan", "config": method.config})
    with pytest.raises(UsageError, match="half precision cannot"):
        shipping.ship(run, "small-fan", "a test", tmp_path / "weights")


def test_together_they_stay_small(run, shipping, tmp_path, monkeypatch):
    monkeypatch.setattr(shipping, "LARGEST", 1000)
    with pytest.raises(UsageError, match="expected at most 1000 bytes"):
        shipping.ship(run, "small-fan", "a test", tmp_path / "weights")


def test_every_pin_of_the_package_holds():
    assert "face-parser" in assets.shipped()
    for name in assets.shipped():
        assert load_method(f"shipped:{name}").trained


def test_what_a_benchmark_measured_stands_in_the_cards(package, shipping, tmp_path, monkeypatch):
    method = METHODS.get("fsrnet").build("test")
    save_weights(files.make_folder(tmp_path / "fsrnet"), method.generator, {"method": "fsrnet", "config": method.config})
    shipping.ship(tmp_path / "fsrnet", "fsrnet", "a test", package)
    for name, asset in assets.shipped(package).items():
        monkeypatch.setitem(assets.ASSETS, name, asset)
    monkeypatch.setattr(shipping, "shipped_restorers", lambda: {"fsrnet": "shipped:fsrnet"})
    rows = [
        {"dataset": "real", "mask_type": "square", "pipeline": pipeline, "identity": "", "image": f"{n}.png"}
        | {"psnr": 20.0 + n + extra, "ssim": 0.5, "stlpips": 0.25}
        for pipeline, extra in (("fsrnet+gfc", 0.0), ("bicubic", -3.0))
        for n in range(5)
    ]
    files.make_folder(tmp_path / "out" / "scores")
    monkeypatch.setattr(shipping, "load_scores", lambda folder: pd.DataFrame(rows))
    before = files.sha256_file(package / "fsrnet" / "weights.safetensors")
    found = shipping.measured(tmp_path / "out")
    assert shipping.write_measured(found, package) == ["fsrnet"]
    card = files.read_json(package / "fsrnet" / "weights.json")
    mine = card["measured"]["real, square, fsrnet+gfc"]
    assert (mine["n"], mine["psnr"][0], mine["ssim"]) == (5, 22.0, [0.5, 0.5, 0.5])
    assert 20 <= mine["psnr"][1] < 22 < mine["psnr"][2] <= 24
    assert not any("bicubic" in key for key in card["measured"])
    pins = files.read_json(package / "pins.json")["fsrnet"]["files"]
    assert pins["weights.safetensors"][0] == before == card["sha256"]
    assert pins["weights.json"][0] == files.sha256_file(package / "fsrnet" / "weights.json")
    lines = shipping.table(found).splitlines()
    assert len(lines) == 4
    assert "22.00 ±" in lines[2]
    assert "19.00 ±" in lines[3]
