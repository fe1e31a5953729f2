from __future__ import annotations

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from occface.benchmark.statistics import (
    compare_pipelines,
    difference_test,
    differences,
    holm,
    independent_units,
    mean_interval,
    paired_test,
    smallest_p,
    with_intervals,
)
from occface.errors import UsageError


def _values(n: int, seed: int = 0) -> np.ndarray:
    return 22 + 2 * np.random.default_rng(seed).standard_normal(n)


@pytest.mark.parametrize("n", [8, 100])
def test_interval_agrees_with_scipys(n: int) -> None:
    values = _values(n)
    found = mean_interval(values)
    theirs = stats.bootstrap((values,), np.mean, method="percentile", n_resamples=10_000, rng=1).confidence_interval
    assert found.mean == pytest.approx(values.mean(), abs=1e-12)
    width = theirs.high - theirs.low
    assert found.low == pytest.approx(theirs.low, abs=0.04 * width)
    assert found.high == pytest.approx(theirs.high, abs=0.04 * width)
    assert found.n == n


def test_percentile_and_bca_hardly_differ_for_a_hundred_values() -> None:
    # The reason why the simpler one is enough.
    values = _values(100, seed=3)
    found = mean_interval(values)
    bca = stats.bootstrap((values,), np.mean, method="BCa", n_resamples=10_000, rng=1).confidence_interval
    assert abs(found.low - bca.low) < 0.05 * (bca.high - bca.low)
    assert abs(found.high - bca.high) < 0.05 * (bca.high - bca.low)


def test_ninety_per_cent_is_narrower() -> None:
    wide, narrow = mean_interval(_values(50)), mean_interval(_values(50), level=0.9)
    assert wide.low < narrow.low < narrow.mean < narrow.high < wide.high


def test_interval_covers_as_often_as_it_says() -> None:
    rng = np.random.default_rng(5)
    hits = [
        low <= 0 <= high for _, low, high, _ in (mean_interval(rng.standard_normal(60), resamples=1000) for _ in range(400))
    ]
    assert stats.binomtest(sum(hits), len(hits), 0.94).pvalue > 0.001


def test_interval_is_that_of_explicit_resamples() -> None:
    values = np.array([1.0, 2.0, 4.0])
    # All 27 resamples are equally likely: the 2.5 % and 97.5 % points lie on the two extreme ones (1 of 27 each).
    means = sorted(np.mean(resample) for resample in itertools.product(values, repeat=3))
    assert mean_interval(values)[1:3] == (pytest.approx(means[0]), pytest.approx(means[-1]))


def test_equal_inputs_give_equal_bytes_and_other_seeds_others() -> None:
    values = _values(30)
    assert mean_interval(values) == mean_interval(list(values))
    assert mean_interval(values)[1:3] != mean_interval(values, seed=1)[1:3]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], (math.nan, math.nan, math.nan, 0)),
        ([math.nan], (math.nan, math.nan, math.nan, 0)),
        ([21.5], (21.5, math.nan, math.nan, 1)),
        ([0.1] * 7, (0.1, 0.1, 0.1, 7)),
        ([math.inf] * 3, (math.inf, math.inf, math.inf, 3)),
        ([math.inf, -math.inf, 1.0], (math.nan, math.nan, math.nan, 3)),
    ],
)
def test_few_equal_and_infinite_values(values: list[float], expected: tuple[float, ...]) -> None:
    assert np.array_equal(mean_interval(values), expected, equal_nan=True)


def test_nan_is_dropped_and_not_counted() -> None:
    assert mean_interval([1.0, math.nan, 3.0, 2.0]) == mean_interval([1.0, 3.0, 2.0])


def test_one_perfect_image_among_many() -> None:
    found = mean_interval([*_values(19), math.inf])
    # Resamples without it, more than a third of all, are finite.
    assert found.mean == found.high == math.inf
    assert 15 < found.low < 25
    assert mean_interval([*_values(19), -math.inf]).low == -math.inf


def test_people_are_resampled_not_images() -> None:
    people = np.repeat(np.arange(10), 10)
    values = _values(10)[people]
    alone, together = mean_interval(values), mean_interval(values, groups=people)
    assert alone.n == together.n == 100
    # Ten images of a person that are all alike tell what one of them does.
    one_each = mean_interval(_values(10))
    assert together == pytest.approx((one_each.mean, one_each.low, one_each.high, 100), abs=1e-9)
    assert together.high - together.low > 2 * (alone.high - alone.low)


def test_people_with_unequal_numbers_of_images_by_explicit_loops() -> None:
    groups, values = ["a", "a", "a", "b"], np.array([1.0, 2.0, 3.0, 10.0])
    found = mean_interval(values, groups=groups)
    # Four resamples of two people: aa, ab, ba, bb; the extreme ones are a alone and b alone.
    assert found == (4.0, pytest.approx(2.0), pytest.approx(10.0), 4)


def test_images_of_nobody_are_units_of_their_own() -> None:
    values = _values(20)
    assert mean_interval(values, groups=[""] * 20) == mean_interval(values)
    assert np.isnan(mean_interval(values, groups=["x"] * 20).low)


@pytest.mark.parametrize("n", [4, 9, 13])
def test_exact_test_agrees_with_scipys(n: int) -> None:
    values = np.random.default_rng(n).normal(0.4, 1, n)
    theirs = stats.permutation_test((values,), lambda x: x.mean(), permutation_type="samples", n_resamples=np.inf)
    assert difference_test(values).p == pytest.approx(theirs.pvalue, abs=1e-12)


def test_random_test_agrees_with_scipys() -> None:
    values = np.random.default_rng(1).normal(0.3, 1, 40)
    theirs = stats.permutation_test((values,), lambda x: x.mean(), permutation_type="samples", n_resamples=9999, rng=2)
    assert difference_test(values).p == pytest.approx(theirs.pvalue, abs=0.012)
    assert 0.005 < theirs.pvalue < 0.3


def test_ties_on_paper_are_ties_here() -> None:
    # 0.1 + 0.2 is not 0.3 in floating point. By hand: of 8 sums, 4 reach the 0.0 seen, and the others too.
    assert difference_test([0.1, 0.2, -0.3]).p == 1.0
    # The sum 0.3 + 0.3 - 0.1 - 0.2 = 0.3 is reached by 10 of the 16 sums, counted by hand in tenths below.
    tenths = [
        abs(sum(s * v for s, v in zip(signs, (3, 3, 1, 2), strict=True))) for signs in itertools.product((1, -1), repeat=4)
    ]
    assert difference_test([0.3, 0.3, -0.1, -0.2]).p == sum(t >= 3 for t in tenths) / 16


def test_smallest_p_of_random_flips_is_never_zero() -> None:
    assert difference_test(np.full(50, 2.0)).p == 1 / 10_001
    assert difference_test(np.full(50, 2.0), resamples=999).p == 1 / 1000


@pytest.mark.parametrize("n", [1, 5, 6, 13])
def test_smallest_p_is_that_of_units_that_all_agree(n: int) -> None:
    agreeing = 1 + np.random.default_rng(n).random(n)
    assert smallest_p(n) == difference_test(agreeing).p == 2 / 2**n
    people = np.repeat(np.arange(n), 3)
    assert difference_test(np.repeat(agreeing, 3), people).p == smallest_p(n)


def test_smallest_p_of_random_flips_is_that_of_their_number() -> None:
    assert smallest_p(14) == smallest_p(50) == difference_test(np.full(50, 2.0)).p
    assert smallest_p(50, 999) == difference_test(np.full(50, 2.0), resamples=999).p
    assert smallest_p(0) == 1.0


def test_effect_of_a_pair_has_the_interval_of_its_differences() -> None:
    a, b = _values(30, 1), _values(30, 2)
    found = paired_test(a, b)
    assert (found.effect, found.low, found.high, found.n) == mean_interval(a - b)
    assert paired_test(b, a).p == found.p


def test_signs_of_a_persons_images_flip_together() -> None:
    people = np.repeat(np.arange(6), 5)
    values = np.abs(_values(30))
    found = difference_test(values, people)
    assert found.p == 2 / 2**6  # and not 2 / 2**30
    assert found[4:] == (30, 6)


def test_wilcoxon_by_name_is_scipys() -> None:
    a, b = _values(25, 1), _values(25, 2) + 0.5
    assert paired_test(a, b, method="wilcoxon").p == pytest.approx(stats.wilcoxon(a, b).pvalue)
    people = np.repeat(np.arange(5), 5)
    means = (a - b).reshape(5, 5).mean(axis=1)
    assert paired_test(a, b, method="wilcoxon", groups=people).p == pytest.approx(stats.wilcoxon(means).pvalue)


@pytest.mark.parametrize("method", ["permutation", "wilcoxon"])
def test_nothing_differs_and_nothing_there(method: str) -> None:
    same = paired_test([1.0, 2.0, math.inf], [1.0, 2.0, math.inf], method=method)
    assert (same.effect, same.p, same.n) == (0.0, 1.0, 3)
    none = paired_test([1.0, math.nan], [math.nan, 2.0], method=method)
    assert none.n == none.units == 0
    assert math.isnan(none.effect)
    assert math.isnan(none.p)


def test_an_infinite_difference_tests_as_the_largest() -> None:
    found = difference_test([1.0, 2.0, 3.0, math.inf, 2.5])
    assert found.effect == math.inf
    assert found.p == difference_test([1.0, 2.0, 3.0, 3.0, 2.5]).p


def test_without_an_interval() -> None:
    values = _values(20)
    quick, whole = difference_test(values, level=None), difference_test(values)
    assert math.isnan(quick.low)
    assert math.isnan(quick.high)
    assert quick == whole._replace(low=quick.low, high=quick.high)


def test_differences() -> None:
    assert np.array_equal(
        differences([math.inf, math.inf, 1, math.nan], [math.inf, 1, 3, 1]), [0, math.inf, -2, math.nan], equal_nan=True
    )
    with pytest.raises(UsageError, match=r"got shapes \(1,\) and \(2,\)"):
        differences([1.0], [1.0, 2.0])


def test_holm_by_hand() -> None:
    # Sorted .005 .01 .03 .04, times 4 3 2 1: .02 .03 .06 .04, made to rise: .02 .03 .06 .06.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]).tolist() == [1.0, 1.0]
    assert holm([]).tolist() == []
    assert np.array_equal(holm([math.nan, 0.02]), [math.nan, 0.02], equal_nan=True)


def test_bad_requests_are_named() -> None:
    with pytest.raises(UsageError, match="did you mean 'wilcoxon'"):
        difference_test([1.0], method="wilcoxen")
    with pytest.raises(UsageError, match="a group for each of the 2 values, got 1"):
        mean_interval([1.0, 2.0], groups=["a"])
    with pytest.raises(UsageError, match="between 0 and 1, got 95"):
        mean_interval([1.0, 2.0], level=95)
    with pytest.raises(UsageError, match="at least one resample"):
        mean_interval([1.0, 2.0], resamples=0)


def _scores(images: int = 12) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    rows = []
    for dataset, mask_type, (pipeline, lead) in itertools.product(
        ("demo", "other"), ("square", "irregular"), {"bicubic": 0.0, "fhc+gfc": 0.01, "pro-uigan": 2.0}.items()
    ):
        for index in range(images):
            row = {"dataset": dataset, "mask_type": mask_type, "pipeline": pipeline, "mask_given": "", "trained_on": ""}
            row |= {"image": f"{index}.png", "identity": ""}
            rows.append({**row, "psnr": 20 + lead + 0.5 * rng.standard_normal(), "ssim": rng.random()})
    return pd.DataFrame(rows)


def test_table_of_intervals_holds_those_of_each_group() -> None:
    scores = _scores()
    scores.loc[0, "psnr"] = math.nan
    scores.loc[scores["mask_type"] == "square", "identity"] = (scores.index % 5).astype(str)[scores["mask_type"] == "square"]
    by = ["dataset", "mask_type", "pipeline"]
    table = with_intervals(scores.sample(frac=1, random_state=1).sort_index(), by, ["ssim", "psnr"])
    assert table.columns.tolist() == [*by, "metric", "mean", "low", "high", "n"]
    assert len(table) == 24
    for _, row in table.iterrows():
        group = scores[(scores[by] == row[by]).all(axis=1)]
        expected = mean_interval(group[row["metric"]], groups=independent_units(group))
        assert np.array_equal(row[["mean", "low", "high", "n"]].tolist(), expected)
    assert table["n"].tolist()[:2] == [12, 11]
    narrow = with_intervals(scores, by, ["psnr"], level=0.5).merge(table.query("metric == 'psnr'"), on=[*by, "mean"])
    assert (narrow["low_x"] > narrow["low_y"]).all()


def test_groups_keep_their_order_and_empty_ones_are_shown() -> None:
    scores = _scores().assign(iou=math.nan)
    table = with_intervals(scores, ["pipeline"], ["iou"])
    assert table["pipeline"].tolist() == ["bicubic", "fhc+gfc", "pro-uigan"]
    assert table["n"].tolist() == [0, 0, 0]
    assert with_intervals(scores[:0], ["pipeline"], ["psnr"]).columns.tolist() == [
        "pipeline",
        "metric",
        "mean",
        "low",
        "high",
        "n",
    ]


def test_an_image_under_two_masks_is_one_unit() -> None:
    scores = _scores(2).query("dataset == 'demo' and pipeline == 'bicubic'")
    assert independent_units(scores).nunique() == 2
    assert independent_units(_scores(2)).nunique() == 4  # in another data set it is another
    assert independent_units(_scores(2).assign(identity=math.nan)).equals(independent_units(_scores(2)))


def test_missing_columns_are_named() -> None:
    with pytest.raises(UsageError, match="column 'pnsr': did you mean 'psnr'"):
        with_intervals(_scores(), ["pipeline"], ["pnsr"])
    with pytest.raises(UsageError, match="at least one column"):
        with_intervals(_scores(), [], ["psnr"])


def test_comparisons_against_one() -> None:
    scores = _scores()
    table = compare_pipelines(scores, "psnr", "pro-uigan")
    assert len(table) == 8
    cell = scores.query("dataset == 'demo' and mask_type == 'irregular'").pivot(
        index="image", columns="pipeline", values="psnr"
    )
    row = table.query("dataset == 'demo' and mask_type == 'irregular' and pipeline == 'fhc+gfc'").iloc[0]
    expected = paired_test(cell["fhc+gfc"], cell["pro-uigan"])
    assert tuple(row[list(expected._fields)]) == expected
    assert row["effect"] < -1.5
    for _, family in table.groupby(["dataset", "mask_type"]):
        assert np.array_equal(family["p_holm"], holm(family["p"]))


def test_all_pairs_and_their_holm_family() -> None:
    table = compare_pipelines(_scores(), "psnr")
    assert table.groupby(["dataset", "mask_type"]).size().tolist() == [3] * 4
    lead = table.query("pipeline == 'bicubic' and against == 'pro-uigan'")
    level = table.query("pipeline == 'bicubic' and against == 'fhc+gfc'")
    assert (lead["p_holm"] < 0.05).all()
    assert (level["p_holm"] > 0.05).all()


def test_estimated_masks_and_weights_from_elsewhere_compete_under_names_of_their_own() -> None:
    scores = _scores().query("dataset == 'demo' and mask_type == 'square'")
    estimated = scores.query("pipeline == 'fhc+gfc'").assign(mask_given="estimated")
    away = scores.query("pipeline == 'pro-uigan'").assign(trained_on="other")
    home = scores.assign(trained_on="demo")
    table = compare_pipelines(pd.concat([home, estimated, away]), "psnr", "fhc+gfc")
    assert table["pipeline"].tolist() == ["bicubic", "pro-uigan", "fhc+gfc (mask estimated)", "pro-uigan (trained on other)"]
    with pytest.raises(UsageError, match=r"two of image '0.png' for fhc\+gfc \(demo, square\)"):
        compare_pipelines(pd.concat([home, scores.query("pipeline == 'fhc+gfc'")]), "psnr")
    with pytest.raises(UsageError, match="did you mean 'pro-uigan'"):
        compare_pipelines(home, "psnr", "pro-uigam")


def test_only_common_images_are_compared() -> None:
    scores = _scores().query("dataset == 'demo' and mask_type == 'square'")
    fewer = scores[~((scores["pipeline"] == "fhc+gfc") & (scores.groupby("pipeline").cumcount() >= 7))]
    table = compare_pipelines(fewer, "psnr", "pro-uigan")
    assert table.set_index("pipeline")["n"].to_dict() == {"bicubic": 12, "fhc+gfc": 7}
