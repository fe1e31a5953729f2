"""Heatmaps against Gaussians written out, and read back by their centres of mass."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from occface.errors import AssetError, UsageError
from occface.faces.align import CROP_BOX
from occface.faces.fan import frame
from occface.faces.heatmaps import (
    LANDMARK_SETS,
    FanHeatmaps,
    TrainedFanHeatmaps,
    expected_places,
    gaussian_heatmaps,
    read_landmarks,
)
from occface.networks.fan import FAN


@pytest.mark.parametrize(("size", "sigma"), [(16, 0.7), (32, 0.875), (64, 1.75)])
def test_value_at_every_pixel(size, sigma):
    x, y = 40.0, 77.25
    maps = gaussian_heatmaps(torch.tensor([[[x, y], [3.0, 100.0]]]), size)
    assert maps.shape == (1, 2, size, size)
    assert maps.dtype == torch.float32
    for row in range(0, size, 3):
        for column in range(size):
            # centre of the heatmap pixel, measured in crop pixels
            across, down = (column + 0.5) * 128 / size - 0.5 - x, (row + 0.5) * 128 / size - 0.5 - y
            wanted = math.exp(-(across**2 + down**2) * (size / 128) ** 2 / (2 * sigma**2))
            assert float(maps[0, 0, row, column]) == pytest.approx(wanted, abs=1e-6)


def test_centre_of_mass_returns_the_landmark():
    points = torch.rand(2, 68, 2, generator=torch.Generator().manual_seed(0)) * 60 + 34
    maps = gaussian_heatmaps(points, 64)
    pixels = torch.arange(64.0)
    mass = maps.sum((2, 3))
    found = torch.stack([(maps.sum(2) * pixels).sum(-1) / mass, (maps.sum(3) * pixels).sum(-1) / mass], -1)
    torch.testing.assert_close((found + 0.5) * 2 - 0.5, points, atol=2e-3, rtol=0)


def test_landmark_outside_the_crop_gives_an_empty_map():
    assert float(gaussian_heatmaps(torch.tensor([[[-60.0, 300.0]]]), 32).max()) < 1e-6


class Echo(torch.nn.Module):
    """Stands where FAN stands: its heatmaps are the picture it sees, in grey, at a quarter of the size."""

    def forward(self, x, hourglasses=None):
        self.seen, self.hourglasses = x, hourglasses
        return F.avg_pool2d(x.mean(1, keepdim=True), 4).expand(-1, 68, -1, -1)


@pytest.mark.parametrize("size", [16, 32, 64])
def test_fan_sees_the_face_framed_and_its_heatmaps_come_back_to_their_places(size):
    """A Gaussian drawn in the crop is found by FAN's picture where `frame` says, and lies in the maps where it lay."""
    place = torch.tensor([[[40.0, 81.0]]])
    spot = gaussian_heatmaps(place, 128).expand(-1, 3, -1, -1) * 2 - 1
    fan = FanHeatmaps("framed", Echo())
    maps = fan(F.interpolate(spot, size=(size, size), mode="bilinear", antialias=True), size)
    assert maps.shape == (1, 68, size, size)
    assert fan.network.seen.shape == (1, 3, 256, 256)
    assert -1e-6 < float(fan.network.seen.min()) < 0.1 < 0.15 < float(fan.network.seen.max()) < 1 + 1e-6
    transform = frame(CROP_BOX)
    assert centre(fan.network.seen[0, 0]) == pytest.approx(transform[:, :2] @ place[0, 0].numpy() + transform[:, 2], abs=1.5)
    assert centre(maps[0, 7]) == pytest.approx((place[0, 0].numpy() + 0.5) * size / 128 - 0.5, abs=0.5)


def centre(values):
    """Return the centre of mass, (x, y), of the brightest part of a map."""
    bright = (values - 0.5 * values.max()).clamp(min=0)
    y, x = torch.meshgrid(*(torch.arange(n, dtype=torch.float32) for n in bright.shape), indexing="ij")
    return [float((bright * x).sum() / bright.sum()), float((bright * y).sum() / bright.sum())]


def test_the_released_reading_shows_fan_the_bare_crop_and_asks_the_first_hourglass():
    fan, images = FanHeatmaps("released", Echo()), torch.rand(2, 3, 16, 16) * 2 - 1
    maps = fan(images, 16)
    assert fan.network.hourglasses == 1
    torch.testing.assert_close(fan.network.seen, F.interpolate(images, size=(256, 256), mode="bilinear"))
    assert maps.shape == (2, 68, 16, 16)


def test_fan_is_frozen_and_stays_in_evaluation_mode():
    fan = FanHeatmaps("framed", FAN(stacks=1)).train()
    assert not any(module.training for module in fan.network.modules())
    images = torch.zeros(1, 3, 16, 16, requires_grad=True)
    assert not fan(images, 16).requires_grad
    assert not any(parameter.requires_grad for parameter in fan.parameters())


def test_there_is_no_other_reading_and_no_stand_in(monkeypatch, tmp_path):
    with pytest.raises(UsageError, match="did you mean 'framed'"):
        FanHeatmaps("frame", Echo())
    monkeypatch.setenv("OCCFACE_ASSETS", str(tmp_path))
    monkeypatch.setenv("OCCFACE_CACHE", str(tmp_path / "cache"))
    with pytest.raises(AssetError, match="fan"):
        FanHeatmaps()


def test_landmark_sets_are_as_released():
    small, middle, whole = LANDMARK_SETS["released_7_42_68"]
    assert (len(set(small)), len(set(middle)), len(set(whole))) == (7, 42, 68)
    assert set(small) <= set(middle)
    assert LANDMARK_SETS["full68"] == (tuple(range(68)),) * 3


def test_the_expected_place_is_the_centre_of_mass_of_the_squares():
    maps = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0)) - 0.3
    found = expected_places(maps)
    for face in range(2):
        for landmark in range(3):
            mass = across = down = 0.0
            for y in range(8):
                for x in range(8):
                    value = max(0.0, float(maps[face, landmark, y, x])) ** 2
                    mass, across, down = mass + value, across + value * x, down + value * y
            wanted = [(across / mass + 0.5) * 16 - 0.5, (down / mass + 0.5) * 16 - 0.5]
            assert found[face, landmark].tolist() == pytest.approx(wanted, abs=1e-3)


def test_an_empty_map_lies_in_the_middle_and_gives_finite_gradients():
    maps = torch.full((1, 1, 8, 8), -1.0, requires_grad=True)
    found = expected_places(maps)
    assert found.tolist() == [[[63.5, 63.5]]]
    found.sum().backward()
    assert bool(torch.isfinite(maps.grad).all())


def test_peaks_are_pixels_and_a_quarter_towards_the_higher_neighbour():
    maps = torch.zeros(2, 1, 64, 64)
    maps[0, 0, 10, 20:22] = torch.tensor([1.0, 0.5])  # middle of pixel (20, 10), a quarter to the right
    maps[1, 0, 40, 30] = 1.0
    assert read_landmarks(maps, "peaks").tolist() == [[[41.0, 20.5]], [[60.5, 80.5]]]


def test_both_decodings_return_what_was_drawn():
    points = torch.rand(2, 68, 2, generator=torch.Generator().manual_seed(1)) * 100 + 14
    maps = gaussian_heatmaps(points, 64)
    torch.testing.assert_close(read_landmarks(maps, "expected"), points, atol=0.01, rtol=0)
    assert float((read_landmarks(maps, "peaks") - points).abs().max()) < 0.51
    with pytest.raises(UsageError, match="did you mean 'peaks'"):
        read_landmarks(maps, "peak")


class HalfEcho(torch.nn.Module):
    """Stands where a FAN for crops stands: its heatmaps are the picture it sees, in grey, at half of the size."""

    def forward(self, x):
        self.seen = x
        return F.avg_pool2d(x.mean(1, keepdim=True), 2).expand(-1, 68, -1, -1)


@pytest.mark.parametrize(("size", "maps_size"), [(16, 16), (128, 64), (128, 32), (64, 16)])
def test_a_fan_for_crops_sees_the_whole_crop_and_its_heatmaps_lie_in_their_places(size, maps_size):
    place = torch.tensor([[[40.0, 81.0]]])
    spot = gaussian_heatmaps(place, 128).expand(-1, 3, -1, -1) * 2 - 1
    fan = TrainedFanHeatmaps(HalfEcho()).train()
    images = spot if size == 128 else F.interpolate(spot, size=(size, size), mode="bilinear", antialias=True)
    maps = fan(images, maps_size)
    assert fan.network.seen.shape == (1, 3, 128, 128)
    assert -1e-6 < float(fan.network.seen.min()) < 0.1 < float(fan.network.seen.max()) < 1 + 1e-6
    assert maps.shape == (1, 68, maps_size, maps_size)
    assert not fan.network.training
    assert centre(maps[0, 7]) == pytest.approx((place[0, 0].numpy() + 0.5) * maps_size / 128 - 0.5, abs=0.25)
