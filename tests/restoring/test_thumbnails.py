"""Thumbnails are made as those of a data set, at every size that a face may come in."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from occface.dataset.pairs import Degradation
from occface.errors import BadImageError
from occface.restoring.thumbnails import from_aligned, from_crop, with_mask

PAPER = Degradation("gray", "antialiased", 7)


@pytest.mark.parametrize("kind", ["square", "irregular"])
def test_a_data_sets_lr_face_comes_out_of_its_hr_face_and_mask(dataset, kind):
    record = dataset.record("train", 0, ["hr", f"occluded/{kind}/mask", f"occluded/{kind}/lr"])
    made = from_aligned(record["hr"], record[f"occluded/{kind}/mask"], PAPER)
    np.testing.assert_array_equal(made.lr, record[f"occluded/{kind}/lr"])
    assert made.hidden == pytest.approx(record[f"occluded/{kind}/mask"].mean())


def test_without_a_mask_it_is_the_clean_one(dataset):
    record = dataset.record("train", 1, ["hr", "lr_clean"])
    np.testing.assert_array_equal(from_aligned(record["hr"], None, PAPER).lr, record["lr_clean"])


def test_a_face_of_16_px_is_the_thumbnail():
    lr = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    np.testing.assert_array_equal(from_aligned(lr, None, PAPER).lr, lr)
    mask = np.zeros((16, 16), np.uint8)
    mask[4:8, 4:8] = 1
    made = from_aligned(lr, mask, PAPER)
    assert (made.lr[5:7, 5:7] == 128).all()  # wholly inside, so the fill, however the kernel reaches out
    changed = (made.lr != lr).any(-1)
    assert not changed[:3].any()
    assert not changed[:, 9:].any()


def test_a_mask_that_is_found_later_gives_the_same(dataset):
    record = dataset.record("train", 0, ["hr", "occluded/square/mask"])
    hr, mask = record.values()
    later = with_mask(from_aligned(hr, None, PAPER), mask, PAPER)
    np.testing.assert_array_equal(later.lr, from_crop(hr, mask, PAPER).lr)


@pytest.mark.parametrize("size", [24, 48, 300])
def test_other_sizes_come_close_to_pillows_way(dataset, size):
    hr = dataset.record("train", 0, ["hr"])["hr"]
    whole = Image.fromarray(hr).resize((size, size), Image.Resampling.BICUBIC)
    made = from_aligned(np.asarray(whole), None, PAPER)
    assert made.crop.shape == (128, 128, 3)
    expected = np.asarray(whole.resize((16, 16), Image.Resampling.BILINEAR)).astype(float)
    assert np.abs(made.lr - expected).mean() < 6


@pytest.mark.parametrize(
    ("image", "mask", "said"),
    [
        (np.zeros((20, 30, 3), np.uint8), None, "a square of at least 16 px, got 30x20"),
        (np.zeros((12, 12, 3), np.uint8), None, "got 12x12"),
        (np.zeros((20, 20), np.uint8), None, "expected a face as uint8 RGB"),
        (np.zeros((20, 20, 3), np.uint8), np.zeros((30, 20)), "expected a mask of the face's size, 20x20, .*got 20x30"),
        (np.zeros((20, 20, 3), np.uint8), np.ones((20, 20)), "the mask hides 100% of the face's crop"),
    ],
)
def test_what_is_no_face_is_refused(image, mask, said):
    with pytest.raises(BadImageError, match=said):
        from_aligned(image, mask, PAPER)
