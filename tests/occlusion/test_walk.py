from __future__ import annotations

import cv2
import numpy as np
import pytest

from occface.occlusion import downsample, draw_mask
from occface.occlusion.walk import draw_walk


def test_area_is_that_of_the_released_masks() -> None:
    rng = np.random.default_rng(0)
    masks = np.stack([draw_walk(rng) for _ in range(500)])
    areas = masks.mean(axis=(1, 2))
    assert areas.mean() == pytest.approx(0.038, abs=0.0015)
    assert np.percentile(areas, [5, 95]) == pytest.approx([0.026, 0.049], abs=0.004)
    touched = masks.reshape(500, 16, 8, 16, 8).any(axis=(2, 4)).mean()
    assert touched == pytest.approx(0.095, abs=0.01)


def test_trace_is_one_piece_inside_a_box_of_64() -> None:
    for seed in range(50):
        mask = draw_mask("walk", np.random.default_rng(seed))
        pieces, _ = cv2.connectedComponents(mask, connectivity=4)
        assert pieces == 2  # background and trace
        _, _, width, height = cv2.boundingRect(mask)
        assert max(width, height) <= 64


def test_walk_equals_the_same_steps_clipped_one_by_one() -> None:
    mask = draw_walk(np.random.default_rng(5))
    rng = np.random.default_rng(5)
    corner, place, steps = rng.integers(0, 65, 2), rng.integers(0, 64, 2), rng.integers(0, 4, 2304)
    expected = np.zeros((128, 128), np.uint8)
    expected[corner[1] + place[1], corner[0] + place[0]] = 1
    for step in np.array([[1, 0], [-1, 0], [0, 1], [0, -1]])[steps]:
        place = np.clip(place + step, 0, 63)
        expected[corner[1] + place[1], corner[0] + place[0]] = 1
    assert (mask == expected).all()


def test_walk_leaves_most_of_the_thumbnail_alone() -> None:
    mask = draw_walk(np.random.default_rng(1))
    small = downsample(np.repeat(mask[..., None] * np.uint8(255), 3, axis=2), 16, "antialiased")
    assert (small == 0).mean() > 0.7
