"""Holes that nobody named."""

from __future__ import annotations

import numpy as np

from occface.occlusion import downsample
from occface.restoring.holes import flat_mask, unexplained_mask


def cells(mask):
    """Return which LR pixels a mask covers, having checked that it is made of whole ones."""
    blocks = mask.reshape(16, 8, 16, 8)
    assert (blocks.min((1, 3)) == blocks.max((1, 3))).all()
    return blocks[:, 0, :, 0]


def test_what_the_model_took_away_is_found_with_its_neighbours():
    whole = np.random.default_rng(0).integers(90, 160, (16, 16, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
    lr = downsample(whole).copy()
    lr[4:7, 5:8] = 0
    expected = np.zeros((16, 16), np.uint8)
    expected[3:8, 4:9] = 1
    np.testing.assert_array_equal(cells(unexplained_mask(lr, whole, "antialiased")), expected)


def test_a_pixel_alone_is_chance_and_three_are_none():
    whole = np.full((128, 128, 3), 120, np.uint8)
    lr = downsample(whole).copy()
    lr[2, 2] = 0
    assert not unexplained_mask(lr, whole, "antialiased").any()
    lr[2, 3], lr[3, 4] = 0, 0  # diagonal counts
    assert cells(unexplained_mask(lr, whole, "antialiased")).sum() == 12 + 9 - 4


def test_differences_just_below_the_limit_are_explained():
    whole = np.full((128, 128, 3), 120, np.uint8)
    lr = downsample(whole).copy()
    lr[4:8, 4:8] = 131  # sqrt(3) * 11 = 19.05
    assert not unexplained_mask(lr, whole, "antialiased").any()
    lr[4:8, 4:8] = 132  # 20.8
    assert unexplained_mask(lr, whole, "antialiased").any()


def test_a_flat_fill_is_found_by_its_colour():
    lr = np.random.default_rng(0).integers(0, 90, (16, 16, 3), dtype=np.uint8)
    lr[6:8, 6:8] = 128
    found = cells(flat_mask(lr, "gray"))
    assert found[5:9, 5:9].all()
    assert found.sum() == 16
