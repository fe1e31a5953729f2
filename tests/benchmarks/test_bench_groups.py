"""Quality by groups of people: who is counted where, and how far groups lie apart."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from benchmarks.bench_groups import class_of, compare, cut, skin_of


def test_people_count_once_however_many_photographs_they_have():
    scores = pd.DataFrame(
        {
            "identity": ["a", "a", "a", "b", "c", "d"],
            "group": ["x", "x", "x", "x", "y", "y"],
            "psnr": [10.0, 20.0, np.nan, 25.0, 30.0, 40.0],
        }
    )
    table = compare(scores, "group", "psnr").set_index("group")
    assert table.loc["x", ["people", "photographs", "mean", "difference"]].tolist() == [2, 3, 20.0, -15.0]
    assert table.loc["y", ["people", "photographs", "mean", "difference"]].tolist() == [2, 2, 35.0, 15.0]
    assert table[["low", "high", "difference_low", "difference_high"]].isna().all(axis=None)  # of two people


def test_intervals_are_those_of_normal_theory_where_that_holds():
    """Many people, numbers near normal: the bootstrap gives what Welch's formula gives."""
    rng = np.random.default_rng(0)
    values = {"x": rng.normal(24, 2, 300), "y": rng.normal(25, 1, 200)}
    scores = pd.concat([pd.DataFrame({"group": name, "psnr": row}) for name, row in values.items()], ignore_index=True)
    scores["identity"] = scores.index.astype(str)
    table = compare(scores, "group", "psnr").set_index("group")
    expected = stats.ttest_ind(values["x"], values["y"], equal_var=False).confidence_interval()
    assert table.loc["x", "difference_low"] == pytest.approx(expected.low, abs=0.03)
    assert table.loc["x", "difference_high"] == pytest.approx(expected.high, abs=0.03)
    half = stats.norm.ppf(0.975) * values["y"].std(ddof=1) / np.sqrt(200)
    assert table.loc["y", "high"] - table.loc["y", "mean"] == pytest.approx(half, rel=0.1)
    pd.testing.assert_frame_equal(compare(scores, "group", "psnr"), compare(scores, "group", "psnr"))


def test_numbers_are_cut_and_texts_are_not():
    assert cut(pd.Series(["24", "25", "34.9", "35", ""]), [25, 35]).tolist() == [
        "below 25", "25 to 35", "25 to 35", "35 on", "unknown",
    ]  # fmt: skip
    assert cut(pd.Series(["white", "black", None]), [25]).tolist() == ["white", "black", ""]


@pytest.mark.parametrize(
    ("colour", "name"), [((235, 210, 195), "very light"), ((141, 85, 54), "brown"), ((60, 40, 30), "dark")]
)
def test_skin_is_told_by_both_cheeks(colour, name):
    """Angles by sRGB's published matrix and CIELAB's formula, written out."""
    landmarks = np.zeros((68, 2), np.float32)
    landmarks[[2, 31, 14, 35]] = [(30, 70), (54, 70), (98, 70), (74, 70)]
    hr = np.full((128, 128, 3), 255, np.uint8)
    hr[60:80, 36:48], hr[60:80, 80:92] = colour, colour
    linear = [c / 255 / 12.92 if c / 255 <= 0.04045 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in colour]
    y = np.dot([0.2126, 0.7152, 0.0722], linear)
    z = np.dot([0.0193, 0.1192, 0.9505], linear) / 1.0888
    lightness, yellow = 116 * np.cbrt(y) - 16, 200 * (np.cbrt(y) - np.cbrt(z))
    by_hand = np.degrees(np.arctan2(lightness - 50, yellow))
    assert skin_of(hr, landmarks) == pytest.approx(by_hand, abs=0.5)
    assert class_of(skin_of(hr, landmarks)) == name
