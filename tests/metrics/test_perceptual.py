"""ST-LPIPS against numbers that the package stlpips-pytorch 0.0.2 gave for the same pictures."""

from __future__ import annotations

import numpy as np
import pytest
from skimage import data

from occface import assets
from occface.metrics import METRICS
from occface.metrics.perceptual import stlpips


@pytest.fixture(scope="module", autouse=True)
def weights():
    """Fetch the network's weights."""
    assets.pull("stlpips-alex")


FACE = np.ascontiguousarray(data.astronaut()[:128, 160:288])


@pytest.mark.parametrize(
    ("result", "truth", "wanted"),
    [
        (FACE, FACE[:, ::-1], 0.26083293557167053),
        (FACE, np.clip(FACE.astype(int) + 40, 0, 255).astype(np.uint8), 0.03115031123161316),
        (FACE[:64, :96], np.roll(FACE, 1, axis=1)[:64, :96], 0.003786612767726183),
    ],
)
def test_distances_are_those_of_the_package(result, truth, wanted):
    assert stlpips(result, truth) == pytest.approx(wanted, rel=1e-4)


def test_equal_pictures_have_no_distance_and_blur_has_more_than_a_shift():
    assert stlpips(FACE, FACE) == 0
    blurred = FACE.reshape(32, 4, 32, 4, 3).mean((1, 3)).round().astype(np.uint8).repeat(4, 0).repeat(4, 1)
    assert stlpips(blurred, FACE) > 5 * stlpips(np.roll(FACE, 1, axis=1), FACE)


def test_a_batch_is_its_pairs(make_faces):
    truth = np.stack([np.roll(FACE[:48, 16:64], 2 * number, axis=0) for number in range(9)])  # more than are looked at together
    result = truth[::-1].copy()
    found = METRICS.get("perceptual")().measure(make_faces(truth, result))["stlpips"]
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, [stlpips(*pair) for pair in zip(result, truth, strict=True)], rtol=1e-4, atol=1e-7)
    assert found[4] == 0
    assert (np.delete(found, 4) > 0).all()


def test_pictures_too_small_for_it_are_refused():
    with pytest.raises(ValueError, match="at least 48 pixels"):
        stlpips(FACE[:40], FACE[:40])
