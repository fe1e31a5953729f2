"""Heatmaps against Gaussians written out, and read back by their centres of mass."""

from __future__ import annotations

import math

import pytest
import torch

from occface.faces.heatmaps import gaussian_heatmaps


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
