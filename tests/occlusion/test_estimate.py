"""Masks estimated from the LR face: cells that are known to be filled are found, and where there is none none is."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from occface.dataset.reader import FacePairs, collate
from occface.images import to_float
from occface.occlusion.cells import cell_mask
from occface.occlusion.degrade import downsample, occlude
from occface.occlusion.estimate import estimate_mask, fill_colour, flat_fill

GRAY = flat_fill("gray")


def thumbnail(fill: str, mask: np.ndarray, seed: int = 0) -> torch.Tensor:
    """An LR picture, as data sets make it, of a picture in random colours that are far from every flat fill."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 2, (16, 16, 3)).astype(np.uint8)
    coarse[..., 0] = 1  # never black; red is always high
    hr = (60 + 180 * coarse + rng.integers(-10, 10, coarse.shape)).astype(np.uint8).repeat(8, 0).repeat(8, 1)
    return to_float(downsample(occlude(hr, mask, fill, rng))[None])


def square(top: int, left: int, side: int) -> np.ndarray:
    mask = np.zeros((128, 128), np.uint8)
    mask[top : top + side, left : left + side] = 1
    return mask


def iou(one: torch.Tensor, other: torch.Tensor) -> float:
    return float(((one > 0) & (other > 0)).sum() / ((one > 0) | (other > 0)).sum())


@pytest.mark.parametrize("fill", ["gray", "zero", "mean"])
@pytest.mark.parametrize(("top", "left"), [(29, 43), (52, 5), (64, 64)])
def test_a_square_is_found_whether_or_not_its_fill_is_told(fill, top, left):
    mask = square(top, left, 56)
    lr = thumbnail(fill, mask)
    true = cell_mask(torch.from_numpy(mask)[None, None].float())
    # The mean colour lies amidst the picture's own, which thumbnails mix: some cells outside have it by chance.
    for told, least in ((flat_fill(fill), 0.75), (None, 0.75)) if fill != "mean" else ((None, 0.6),):
        assert iou(estimate_mask(lr, told), true) > least
    middle = lr[0, :, (top + 28) // 8, (left + 28) // 8]
    assert torch.allclose(fill_colour(lr)[0, :, 0, 0], middle)


def test_each_face_has_a_fill_of_its_own():
    lr = torch.cat([thumbnail("gray", square(40, 40, 48)), thumbnail("zero", square(24, 48, 48), 1)])
    colours = fill_colour(lr)[:, :, 0, 0]
    assert torch.allclose(colours[0], torch.tensor(GRAY), atol=1e-6)
    assert torch.allclose(colours[1], torch.tensor([-1.0, -1.0, -1.0]))


def test_a_flat_border_is_not_taken_for_a_hole():
    """A frame of 112 white pixels, two wide, against a hole of 25: the frame counts a fifth."""
    lr = torch.from_numpy(np.random.default_rng(0).uniform(-1, 1, (1, 3, 16, 16)).astype(np.float32))
    lr[..., :2, :] = lr[..., -2:, :] = 1
    lr[..., :, :2] = lr[..., :, -2:] = 1
    lr[..., 5:10, 5:10] = 0.25
    assert torch.allclose(fill_colour(lr), torch.tensor(0.25))


def test_cells_by_hand():
    lr = torch.ones(1, 3, 16, 16)
    lr[..., 3, 7] = torch.tensor([0.05, -0.05, 0.05])[None] + GRAY[0]  # at a distance of 0.087
    lr[..., 12, 12] = torch.tensor([0.08, -0.08, 0.08])[None] + GRAY[0]  # at 0.139
    expected = torch.zeros(1, 1, 16, 16)
    expected[..., 2:5, 6:9] = 1
    found = estimate_mask(lr, GRAY)
    assert found.shape == (1, 1, 128, 128)
    assert torch.equal(found, expected.repeat_interleave(8, 2).repeat_interleave(8, 3))


def test_nothing_filled_nothing_found():
    assert estimate_mask(thumbnail("gray", square(0, 0, 0)), GRAY).sum() == 0


def test_it_overlaps_the_masks_of_a_data_set(dataset):
    for kind, least in (("square", 0.6), ("irregular", 0.2)):
        pairs = FacePairs(dataset, "train", [kind])
        batch = collate([pairs[face] for face in range(4)])
        estimated, true = estimate_mask(batch["lr"], GRAY), cell_mask(batch["mask"])
        assert iou(estimated, true) > least
        assert torch.equal(estimated, cell_mask(estimated))  # whole cells


def test_fills_that_are_one_colour():
    assert flat_fill("gray") == pytest.approx((128 / 127.5 - 1,) * 3)
    assert [flat_fill(fill) for fill in ("mean", "noise", "noise01")] == [None, None, None]


def test_a_face_of_another_shape_is_refused():
    with pytest.raises(ValueError, match="whose side divides 128, got"):
        estimate_mask(torch.zeros(1, 3, 16, 12))
