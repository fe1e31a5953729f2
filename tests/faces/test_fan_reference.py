"""FAN held against the package face-alignment, where it is installed; it is no dependency, see docs/decisions.md."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from scipy.ndimage import shift

from occface.faces import align, fan
from occface.images import read_image
from occface.networks.fan import FAN

# To compile the few lines that are called here takes longer than to run them.
os.environ.setdefault("NUMBA_DISABLE_JIT", "1")
models = pytest.importorskip("face_alignment.models")
theirs = pytest.importorskip("face_alignment.utils")

FACES = sorted((Path(__file__).parents[1] / "data" / "faces").glob("*.jpg"))
BOX = (75.0, 90.0, 250.0, 265.0)


def test_the_network_is_the_packages():
    torch.manual_seed(0)
    reference = models.FAN(4).eval()
    own = FAN(4).eval()
    own.load_state_dict(reference.state_dict())
    x = torch.rand(1, 3, 256, 256)
    with torch.inference_mode():
        torch.testing.assert_close(own(x), reference(x)[-1])


def package_centre_and_scale(box):
    """The package's framing of a box, from its description: see its function for landmarks from an image."""
    x0, y0, x1, y1 = box
    return torch.tensor([(x0 + x1) / 2, (y0 + y1) / 2 - (y1 - y0) * theirs.CENTER_Y_OFFSET]), (
        x1 - x0 + y1 - y0
    ) / theirs.REFERENCE_SCALE


@pytest.mark.parametrize("box", [BOX, (60.0, 60.0, 200.0, 240.0), (120.0, 150.0, 330.0, 350.0)])
def test_the_framing_is_the_packages_to_a_pixel_of_what_the_network_sees(box):
    image = cv2.GaussianBlur(read_image(FACES[0]), (0, 0), 2)
    expected = theirs.crop(image, *package_centre_and_scale(box))
    transform = fan.frame(box)
    seen = align.warp(image, transform, 256)
    inside = align.warp_labels(np.ones(image.shape[:2], np.uint8), transform, 256) & (expected.sum(2) > 0)
    inside[[0, -1]] = inside[:, [0, -1]] = 0
    inside = cv2.erode(inside, np.ones((9, 9), np.uint8)).astype(bool)
    assert inside.mean() > 0.2
    # The package rounds its corners towards zero; so a shift by less than a pixel remains.
    errors = {}
    for step in (-2, -1, 0, 1, 2):
        moved = shift(seen.astype(float), (step, step, 0), order=1)
        errors[step] = np.abs(moved - expected)[inside].mean()
    assert min(errors, key=errors.get) in (-1, 0)
    assert errors[0] < 3
    assert errors[0] < 0.5 * errors[2]


@pytest.mark.parametrize("smooth", [False, True])
def test_decoding_is_the_packages(smooth):
    maps = np.random.default_rng(0).normal(size=(68, 64, 64)).astype(np.float32)
    if smooth:
        maps = np.stack([cv2.GaussianBlur(each, (0, 0), 3) for each in maps])
    maps[0, 0, 5] = maps[1, 63, 63] = maps[2, 30, 0] = 9
    expected, _, _ = theirs.get_preds_fromhm(maps[None].copy())
    np.testing.assert_array_equal(fan.peaks(maps), expected[0])
