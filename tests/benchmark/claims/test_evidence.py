from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
import pytest

from occface.benchmark.claims import NOT_TESTABLE, REPRODUCED, evaluate_claims

ScoresOf = Callable[..., pd.DataFrame]
ClaimIn = Callable[[pd.DataFrame, str], pd.Series]


def test_columns_that_are_empty_throughout_may_be_numbers(
    as_the_paper: Mapping[str, float], scores_of: ScoresOf, agreeing: pd.DataFrame
) -> None:
    scores = scores_of(as_the_paper, ssim=True).assign(
        trained_on=math.nan, mask_given=math.nan, identity=math.nan, expression=math.nan
    )
    pd.testing.assert_frame_equal(evaluate_claims(scores), agreeing)


def test_sizes_do_not_mix_into_the_papers_masks(
    as_the_paper: Mapping[str, float], scores_of: ScoresOf, claim_in: ClaimIn
) -> None:
    scores = scores_of(as_the_paper)
    large = scores_of(dict.fromkeys(as_the_paper, -9.0), masks=("square-64", "eyes", "irregular@2"))
    alone, mixed = (evaluate_claims(frame) for frame in (scores, pd.concat([scores, large])))
    start = "PA+SR above SR+PA, FHC: PSNR"
    assert claim_in(alone, start)["effect"] == claim_in(mixed, start)["effect"]


def test_weights_from_elsewhere_stand_in_and_are_named(scores_of: ScoresOf, claim_in: ClaimIn) -> None:
    home, away = (scores_of({"pro-uigan": lead}, trained_on=name) for lead, name in ((6.0, "demo"), (9.0, "other")))
    rivals = scores_of({"fcsr-gan": 4.0}, trained_on="other")
    row = claim_in(evaluate_claims(pd.concat([home, away, rivals])), "Pro-UIGAN above FCSR-GAN, square")
    assert row["effect"] == pytest.approx(5.0, abs=0.05)  # both learnt from the other data set: like against like
    assert "on demo with weights trained on other: Pro-UIGAN, FCSR-GAN" in row["why"]
    more = pd.concat([home, away, rivals, scores_of({"fhc+gfc": 1.0}, trained_on="other")])
    row = claim_in(evaluate_claims(more), "Pro-UIGAN above FCSR-GAN, square")
    assert "FHC" not in row["why"]  # it has no part in this claim


def test_estimated_masks_are_another_task(scores_of: ScoresOf, claim_in: ClaimIn) -> None:
    true = scores_of({"fcsr-gan": 4.0, "pro-uigan": 6.0})
    estimated = scores_of({"fcsr-gan": 9.0}, mask_given="estimated")
    row = claim_in(evaluate_claims(pd.concat([true, estimated])), "Pro-UIGAN above FCSR-GAN, square")
    assert row["effect"] == pytest.approx(2.0, abs=0.05)


def test_perfect_images_do_not_break_it(as_the_paper: Mapping[str, float], scores_of: ScoresOf, claim_in: ClaimIn) -> None:
    scores = scores_of(as_the_paper)
    scores.loc[(scores["pipeline"] == "pro-uigan") & (scores["index"] == 0), "psnr"] = math.inf
    row = claim_in(evaluate_claims(scores), "Pro-UIGAN above FCSR-GAN, square")
    assert row["effect"] == math.inf
    assert row["verdict"] == REPRODUCED


def test_failed_images_are_in_no_difference(as_the_paper: Mapping[str, float], scores_of: ScoresOf, claim_in: ClaimIn) -> None:
    scores = scores_of(as_the_paper)
    failed = (scores["pipeline"] == "fcsr-gan") & (scores["index"] < 3)
    scores.loc[failed, ["psnr", "ssim"]] = math.nan
    assert claim_in(evaluate_claims(scores), "Pro-UIGAN above FCSR-GAN, square")["n"] == 11


def test_a_search_that_missed_its_aim_is_no_rival(
    claim_in: ClaimIn, scores_of: ScoresOf, as_the_paper: Mapping[str, float]
) -> None:
    scores = scores_of(as_the_paper)
    searched = scores["pipeline"].str.contains("pulse")
    scores["missed"] = np.where(searched, 1.0 * (scores["index"] < 8), math.nan)
    frame = evaluate_claims(scores)
    best = claim_in(frame, "Pro-UIGAN best of the 8 that are here, demo, square: PSNR")
    assert best[["verdict", "compared"]].tolist() == [REPRODUCED, "7 of 9"]
    for name in ("GFC + PULSE", "PULSE + GFC"):
        assert f"{name} (left out: its search missed its aim on 8 of 14 images)" in best["why"]
    below = claim_in(frame, "PULSE with inpainting below all others in the same order: PSNR")
    assert below["verdict"] == NOT_TESTABLE
    assert "its search missed its aim on 16 of 28 images" in below["why"]
    # Half of the images are not more than half.
    scores.loc[searched, "missed"] = 1.0 * (scores["index"] < 7)
    assert claim_in(evaluate_claims(scores), "Pro-UIGAN best of all, demo, square: PSNR")["compared"] == "9 of 9"


def test_a_search_that_missed_under_some_masks_is_left_out_there(
    claim_in: ClaimIn, scores_of: ScoresOf, as_the_paper: Mapping[str, float]
) -> None:
    scores = scores_of(as_the_paper)
    searched = scores["pipeline"].str.contains("pulse")
    scores["missed"] = np.where(searched, 1.0 * (scores["mask_type"] == "square"), math.nan)
    row = claim_in(evaluate_claims(scores), "PA+SR above SR+PA, PULSE: PSNR")
    assert row["n"] == 14
    assert row["measured"].endswith("(irregular)")
    assert "without images of GFC + PULSE where its search missed its aim (14 of 14)" in row["why"]
