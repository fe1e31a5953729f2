"""Faces back in their photographs, against what Pillow and plain loops make of it."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from occface.dataset.pairs import Degradation
from occface.faces import align
from occface.restoring.pasting import FADE, colour_shift, enlargement, paste, seam
from occface.restoring.restorer import Restoration
from occface.restoring.thumbnails import from_crop


def restoration(result, crop=None, mask=None):
    thumbnail = from_crop(result if crop is None else crop, mask, Degradation("gray", "antialiased", 0))
    return Restoration(result, (), thumbnail, None, None, (), float("nan"), None, 0.0)


def smooth(seed, size=128):
    small = np.random.default_rng(seed).integers(60, 200, (6, 6, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(small).resize((size, size), Image.Resampling.BICUBIC))


def test_inside_lies_the_face_and_beyond_the_seam_the_photograph():
    photograph = np.full((200, 300, 3), (80, 90, 99), np.uint8)
    face = smooth(0)
    shifted = np.array([[1, 0, -40.0], [0, 1, -50.0]])  # the crop's first pixel is pixel (40, 50)
    made = paste(photograph, [(shifted, restoration(face))])
    inside = np.s_[50 + FADE : 178 - FADE, 40 + FADE : 168 - FADE]
    np.testing.assert_array_equal(made[inside], face[FADE:-FADE, FADE:-FADE])
    outside = np.ones((200, 300), bool)
    outside[50:178, 40:168] = False
    np.testing.assert_array_equal(made[outside], photograph[outside])
    assert np.abs(made[50, 40:168].astype(int) - photograph[0, 0]).max() <= 1


def test_the_seam_is_soft_and_even():
    weight = seam()
    np.testing.assert_allclose(weight, weight.T)
    np.testing.assert_allclose(weight, weight[::-1, ::-1])
    assert (np.diff(weight[64, :64]) >= 0).all()
    assert np.abs(np.diff(weight[64])).max() < 1.6 / FADE
    assert weight[FADE:-FADE, FADE:-FADE].min() == 1


def test_a_turned_and_shrunk_face_lands_where_its_landmarks_were():
    """A mark in the crop is found again where the inverse transform says, also in the enlarged photograph."""
    angle, scale = np.radians(20), 2.5
    rotation = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    centre = np.array([63.5, 63.5]) - rotation @ np.array([100, 80])
    transform = np.column_stack([rotation, centre])
    face = np.full((128, 128, 3), 90, np.uint8)
    face[38:43, 78:83] = 255  # around (80, 40)
    for times in (1, 3):
        made = paste(np.full((160, 200, 3), 90, np.uint8), [(transform, restoration(face))], times)
        assert made.shape == (160 * times, 200 * times, 3)
        bright = (made[..., 0].astype(float) - 90).clip(10) - 10
        y, x = np.mgrid[: 160 * times, : 200 * times]
        found = np.array([(bright * x).sum(), (bright * y).sum()]) / bright.sum()
        expected = align.apply(align.inverse(transform), np.array([80, 40])) * times + (times - 1) / 2
        assert np.abs(found - expected).max() < 0.35 * times


def test_a_face_that_reaches_beyond_the_border_is_cut():
    photograph = np.full((100, 100, 3), 90, np.uint8)
    made = paste(photograph, [(np.array([[1, 0, 60.0], [0, 1, 60.0]]), restoration(smooth(1)))])
    assert made.shape == photograph.shape
    assert (made[:40, :40] != 90).any()
    assert (made[70:] == 90).all()
    far = paste(photograph, [(np.array([[1, 0, 600.0], [0, 1, 60.0]]), restoration(smooth(1)))])
    np.testing.assert_array_equal(far, photograph)


def test_colours_of_the_photograph_are_kept():
    crop = smooth(2)
    result = np.clip(crop.astype(int) + np.array([12, -7, 3]), 0, 255).astype(np.uint8)
    np.testing.assert_allclose(colour_shift(restoration(result, crop)), (-12, 7, -3))
    hidden = crop.copy()
    hidden[:48] = 0  # an occluder that nobody named: 3 of 8 pixels
    np.testing.assert_allclose(colour_shift(restoration(result, hidden)), (-12, 7, -3), atol=4)
    mask = np.zeros((128, 128), np.uint8)
    mask[:80] = 1
    hidden[:80] = 0  # most of it, but named
    np.testing.assert_allclose(colour_shift(restoration(result, hidden, mask)), (-12, 7, -3))


@pytest.mark.parametrize(
    ("sides", "shape", "times"),
    [([], (10, 10), 1), ([128.0], (10, 10), 1), ([127.0], (10, 10), 2), ([10.0], (10, 10), 8), ([30.0], (2000, 2000), 2)],
)
def test_photographs_are_enlarged_as_their_smallest_face_needs(sides, shape, times):
    assert enlargement(sides, shape) == times


def test_in_a_grey_photograph_faces_are_grey():
    colourful = smooth(3)
    luma = (np.asarray(Image.fromarray(colourful).convert("L"), float))[..., None].repeat(3, 2)
    shifted = np.array([[1, 0, -40.0], [0, 1, -50.0]])
    grey = np.asarray(Image.fromarray(smooth(4)).convert("L"))[..., None].repeat(3, 2)
    photograph = np.full((200, 300, 3), 90, np.uint8)
    for times in (1, 2):
        made = paste(photograph, [(shifted, restoration(colourful, grey))], times)
        assert (np.ptp(made, axis=2) == 0).all()
    inside = paste(photograph, [(shifted, restoration(colourful))])[50:178, 40:168][FADE:-FADE, FADE:-FADE]
    assert np.abs(inside - luma[FADE:-FADE, FADE:-FADE]).max() <= 1
    photograph[0, 0] = (90, 90, 91)  # a photograph with any colour keeps that of the face
    inside = paste(photograph, [(shifted, restoration(colourful))])[50:178, 40:168][FADE:-FADE, FADE:-FADE]
    np.testing.assert_array_equal(inside, colourful[FADE:-FADE, FADE:-FADE])
