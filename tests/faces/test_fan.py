"""FAN's path with random weights: loading, framing, flipping, borders. See test_fan_reference.py for the package itself."""

from __future__ import annotations

import dataclasses
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from occface import assets
from occface.errors import AssetError, BadImageError
from occface.faces import align, fan
from occface.files import sha256_file
from occface.images import read_image
from occface.networks.fan import FAN

FACES = sorted((Path(__file__).parents[1] / "data" / "faces").glob("*.jpg"))
BOX = (75.0, 90.0, 250.0, 265.0)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A folder with a network of random weights, and the asset that pins it."""
    folder = tmp_path_factory.mktemp("assets")
    asset = assets.ASSETS["fan"]
    path = folder / asset.files[0].name
    torch.manual_seed(0)
    network = FAN(4)
    torch.save(network.state_dict(), path)
    file = dataclasses.replace(asset.files[0], sha256=sha256_file(path))
    return folder, dataclasses.replace(asset, files=(file,)), network.eval()


@pytest.fixture
def network(weights, monkeypatch):
    """The landmark detector's network, loaded from the file as the pinned one would be."""
    folder, asset, network = weights
    monkeypatch.setitem(assets.ASSETS, "fan", asset)
    monkeypatch.setenv("OCCFACE_ASSETS", str(folder))
    fan._network.cache_clear()
    yield network
    fan._network.cache_clear()


#: Where the package face-alignment 1.5.0 begins and ends what its network sees of a box: its `transform`, called with it.
@pytest.mark.parametrize(
    ("box", "low", "high"),
    [
        (BOX, (-15, -21), (341, 335)),
        ((60.0, 60.0, 200.0, 240.0), (-32, -34), (294, 292)),
        ((120.0, 150.0, 330.0, 350.0), (16, 17), (435, 436)),
    ],
)
def test_the_framing_is_the_packages_to_its_rounding(box, low, high):
    transform = fan.frame(box)
    first, last = align.apply(align.inverse(transform), np.array([[0.0, 0.0], [255.0, 255.0]]))
    assert np.abs(first - low).max() <= 2.5  # whole pixels there, of a picture whose first pixel is 1, rounded towards zero
    assert np.abs(last - high).max() <= 2.5


def test_beyond_the_photograph_it_is_black_and_beyond_the_crop_mirrored(network, monkeypatch):
    shown = []
    monkeypatch.setattr(fan.FanLandmarks, "_heatmaps", lambda self, seen: shown.append(seen) or np.zeros((68, 64, 64)))
    fan.FanLandmarks()(np.full((100, 100, 3), 200, np.uint8), (-10.0, 30.0, 60.0, 100.0))
    fan.FanLandmarks().on_lr(np.full((16, 16, 3), 200, np.uint8))
    photo, lr = shown
    assert photo[:, :60].max() == 0
    assert photo[100:150, 150:].min() == 200
    assert lr.min() == 200


def test_landmarks_of_an_lr_face_lie_in_pixels_of_the_crop(network, monkeypatch):
    # A heatmap that is highest where the middle of the crop's box is seen.
    maps = np.zeros((68, 64, 64))
    x0, y0, x1, y1 = align.CROP_BOX
    middle = np.array([(x0 + x1) / 2, (y0 + y1) / 2])
    column, row = ((align.apply(fan.frame(align.CROP_BOX), middle) + 0.5) / 4 - 0.5).round().astype(int)
    maps[:, row, column] = 1
    monkeypatch.setattr(fan.FanLandmarks, "_heatmaps", lambda self, seen: maps)
    points = fan.FanLandmarks().on_lr(np.zeros((16, 16, 3), np.uint8))
    # A pixel of the heatmap is 172 / 64 = 2.7 pixels of the crop wide.
    assert np.abs(points - middle).max() < 1.4


def test_the_number_of_threads_shows_nowhere(network):
    image = read_image(FACES[3])
    before = torch.get_num_threads()
    found = []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found.append(fan.FanLandmarks()(image, BOX))
    finally:
        torch.set_num_threads(before)
    np.testing.assert_array_equal(*found)


def test_a_box_without_a_face_is_refused_before_anything_is_loaded(monkeypatch):
    monkeypatch.setattr(fan, "_network", None)
    with pytest.raises(BadImageError, match="too small"):
        fan.FanLandmarks()(np.zeros((90, 90, 3), np.uint8), (5, 5, 9, 9))


def test_what_is_missing_is_named(monkeypatch):
    fan._network.cache_clear()
    image = np.zeros((300, 300, 3), np.uint8)
    monkeypatch.setattr("occface.assets.find", lambda name: None)
    with pytest.raises(AssetError, match="occface assets pull fan"):
        fan.FanLandmarks()(image, BOX)
    assert len(pickle.dumps(fan.FanLandmarks())) < 200


def test_weights_that_are_not_the_pinned_ones_are_refused(network, weights, monkeypatch):
    asset = weights[1]
    file = dataclasses.replace(asset.files[0], sha256="11f355bf06")
    monkeypatch.setitem(assets.ASSETS, "fan", dataclasses.replace(asset, files=(file,)))
    with pytest.raises(AssetError, match="is not the pinned file"):
        fan.FanLandmarks()(read_image(FACES[0]), BOX)
