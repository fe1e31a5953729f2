from __future__ import annotations

import math

import numpy as np
import pytest

from occface.metrics import METRICS


def test_both_regions_agree_with_explicit_loops(make_faces, make_pictures) -> None:
    truth, result = make_pictures(3, size=16), make_pictures(3, seed=1, size=16)
    mask = (np.random.default_rng(2).random((3, 16, 16)) < 0.3).astype(np.uint8)
    found = METRICS.get("regions")().measure(make_faces(truth, result, mask=mask))
    for name, wanted in (("psnr_masked", 1), ("psnr_visible", 0)):
        for number in range(3):
            squares = [
                (int(result[number, y, x, c]) - int(truth[number, y, x, c])) ** 2
                for y in range(16)
                for x in range(16)
                for c in range(3)
                if mask[number, y, x] == wanted
            ]
            assert found[name][number] == pytest.approx(10 * math.log10(255**2 / (sum(squares) / len(squares))), abs=1e-9)


def test_no_pixels_have_no_value_and_equal_ones_an_infinite_one(make_faces, make_pictures) -> None:
    truth = make_pictures(3, size=16)
    result = truth.copy()
    mask = np.zeros((3, 16, 16), np.uint8)
    mask[1] = 1
    mask[2, :4] = 1
    result[2, :4] += 1
    found = METRICS.get("regions")().measure(make_faces(truth, result, mask=mask))
    np.testing.assert_array_equal(found["psnr_masked"][:2], [math.nan, math.inf])
    np.testing.assert_array_equal(found["psnr_visible"], [math.inf, math.nan, math.inf])
    assert found["psnr_masked"][2] < 60
