from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from occface.benchmark.claims import NOT_REPRODUCED, NOT_TESTABLE, REPRODUCED, evaluate_claims
from occface.benchmark.statistics import difference_test, mean_interval

ScoresOf = Callable[..., pd.DataFrame]
ClaimIn = Callable[[pd.DataFrame, str], pd.Series]


def test_numbers_are_those_of_the_paired_test(
    as_the_paper: Mapping[str, float], scores_of: ScoresOf, claim_in: ClaimIn
) -> None:
    scores = scores_of(as_the_paper)
    row = claim_in(evaluate_claims(scores), "Pro-UIGAN above FCSR-GAN, square masks")
    wide = scores.query("mask_type == 'square'").pivot(index="image", columns="pipeline", values="psnr")
    gaps = wide["pro-uigan"] - wide["fcsr-gan"]
    assert row["effect"] == pytest.approx(gaps.mean())
    assert row["n"] == 14
    assert (row["low"], row["high"]) == mean_interval(gaps)[1:3]
    assert row["p"] == difference_test(gaps).p
    assert row["p"] == pytest.approx(2 / 2**14, abs=3e-4)  # SciPy enumerates the 2**14 sign flips in as many steps
    assert row["measured"] == f"{wide['pro-uigan'].mean():.2f} dB against {wide['fcsr-gan'].mean():.2f} dB (square)"
    assert row["paper"].startswith("+2.672 dB on CelebA-HQ")
    assert row["datasets"] == "demo"


def test_one_stronger_rival_is_enough_to_contradict_best_of_all(
    as_the_paper: Mapping[str, float], scores_of: ScoresOf, claim_in: ClaimIn
) -> None:
    scores = scores_of({**as_the_paper, "gfc+fhc": 6.5}, masks=("square",))
    row = claim_in(evaluate_claims(scores), "Pro-UIGAN best of all, demo, square: PSNR")
    assert row["verdict"] == NOT_REPRODUCED
    assert row["measured"].startswith("Pro-UIGAN against GFC + FHC")
    assert row["effect"] == pytest.approx(-0.5, abs=0.1)
    assert "8 of 9 go the stated way" in row["why"]
    # Among nine rivals the worst was picked, so its p counts nine times.
    wide = scores.query("mask_type == 'square'").pivot(index="image", columns="pipeline", values="psnr")
    gaps = wide["pro-uigan"] - wide["gfc+fhc"]
    assert row["p"] == 9 * difference_test(gaps, resamples=100_000).p
    assert row["p"] == pytest.approx(9 * 2 / 2**14, rel=0.3)


def test_best_of_all_takes_the_largest_p_of_all_rivals(claim_in: ClaimIn, scores_of: ScoresOf) -> None:
    leads = {"pro-uigan": 1.0, "fcsr-gan": 0.0, "gfc+fhc": 0.7, "fhc+gfc": -1.0, "gfc+bicubic": -2.0, "bicubic+gfc": -2.0}
    scores = scores_of(leads, images=9, noise=0.4, masks=("square",))
    row = claim_in(evaluate_claims(scores), "Pro-UIGAN best of the 6 that are here, demo, square: PSNR")
    wide = scores.query("mask_type == 'square'").pivot(index="image", columns="pipeline", values="psnr")
    rivals = [name for name in leads if name != "pro-uigan"]
    theirs = [
        stats.permutation_test(
            (wide["pro-uigan"] - wide[rival],), np.mean, permutation_type="samples", n_resamples=np.inf, vectorized=False
        ).pvalue
        for rival in rivals
    ]
    assert (wide["pro-uigan"].mean() > wide[rivals].mean()).all()
    assert row["p"] == pytest.approx(max(theirs))
    assert "absent: GFC + PULSE" in row["why"]


def test_too_few_faces_are_no_evidence(as_the_paper: Mapping[str, float], scores_of: ScoresOf, claim_in: ClaimIn) -> None:
    row = claim_in(evaluate_claims(scores_of(as_the_paper, images=5)), "Pro-UIGAN above FCSR-GAN, square masks")
    assert row["verdict"] == NOT_TESTABLE
    assert "only 5 photographs: at least 6" in row["why"]
    # Fourteen images of four people are four people.
    scores = scores_of(as_the_paper)
    scores["identity"] = (scores["index"] % 4).astype(str)
    assert "only 4 people" in claim_in(evaluate_claims(scores), "Pro-UIGAN above FCSR-GAN, square masks")["why"]


def test_a_rival_with_few_faces_is_told_and_not_tested(
    as_the_paper: Mapping[str, float], scores_of: ScoresOf, claim_in: ClaimIn
) -> None:
    scores = scores_of(as_the_paper, masks=("square",))
    scores = scores[~(scores["pipeline"].str.contains("pulse") & (scores["index"] >= 4))]
    row = claim_in(evaluate_claims(scores), "Pro-UIGAN best of the 8 that are here, demo, square: PSNR")
    assert row["verdict"] == REPRODUCED
    assert "absent" not in row["why"]
    assert "not tested for too few faces: Pro-UIGAN against GFC + PULSE +6.4" in row["why"]


def test_less_is_better_where_it_is(as_the_paper: Mapping[str, float], scores_of: ScoresOf, claim_in: ClaimIn) -> None:
    scores = scores_of(as_the_paper)
    scores["nrmse_outer_eyes"] = 50 - scores.pop("psnr")
    frame = evaluate_claims(scores)
    best = claim_in(frame, "Pro-UIGAN best of all, lower is better: NRMSE")
    assert best["verdict"] == REPRODUCED
    assert best["effect"] == pytest.approx(2.0, abs=0.1)
    assert "CelebA-HQ +2.58 points, Multi-PIE +2.49 points, Helen +1.94 points" in best["paper"]
    assert claim_in(frame, "PA+SR better than SR+PA, lower is better: NRMSE")["verdict"] == REPRODUCED


def test_all_of_the_papers_rivals_are_needed_to_be_best_of_all(
    claim_in: ClaimIn, scores_of: ScoresOf, as_the_paper: Mapping[str, float]
) -> None:
    scores = scores_of(as_the_paper, masks=("square",))

    def without(*names: str) -> pd.Series:
        frame = evaluate_claims(scores[~scores["pipeline"].isin(names)])
        return frame[frame["claim"].str.contains("Pro-UIGAN best of .*demo, square: PSNR")].iloc[0]

    whole = without()
    assert whole[["claim", "verdict", "compared"]].tolist() == [
        "Pro-UIGAN best of all, demo, square: PSNR",
        REPRODUCED,
        "9 of 9",
    ]
    assert "absent" not in whole["why"]
    some = without("gfc+fhc", "fhc+gfc", "gfc+re-cpgan", "re-cpgan+gfc")
    assert some[["claim", "verdict", "compared"]].tolist() == [
        "Pro-UIGAN best of the 6 that are here, demo, square: PSNR",
        REPRODUCED,
        "5 of 9",
    ]
    assert "absent: GFC + FHC, FHC + GFC, GFC + Re-CPGAN, Re-CPGAN + GFC" in some["why"]
    few = without("gfc+fhc", "fhc+gfc", "gfc+re-cpgan", "re-cpgan+gfc", "fcsr-gan")
    assert few[["claim", "verdict"]].tolist() == ["Pro-UIGAN best of all, demo, square: PSNR", NOT_TESTABLE]
    assert few["why"].startswith("only 4 of the 9 comparisons that the paper makes can be made; absent: GFC + FHC, ")
    assert "FCSR-GAN; here: 4 of 4 go the stated way: Pro-UIGAN against GFC + Bicubic +5.3" in few["why"]


def test_rivals_that_the_papers_tables_do_not_have_are_no_condition_and_take_part(
    claim_in: ClaimIn, scores_of: ScoresOf, as_the_paper: Mapping[str, float]
) -> None:
    frame = evaluate_claims(scores_of({**as_the_paper, "gfc+fsrnet": 6.5, "my-own": 9.0}, masks=("square",)))
    row = claim_in(frame, "Pro-UIGAN best of all, demo, square: PSNR")
    assert row[["verdict", "compared"]].tolist() == [NOT_REPRODUCED, "9 of 9"]
    assert row["measured"].startswith("Pro-UIGAN against GFC + FSRNet")
    assert "beside those of the paper's tables: GFC + FSRNet" in row["why"]
    together = claim_in(frame, "PA+SR above SR+PA, all super-resolvers together: PSNR")
    assert together["compared"] == "4 of 4"


def test_what_is_said_of_all_together_says_who_they_are(
    claim_in: ClaimIn, scores_of: ScoresOf, as_the_paper: Mapping[str, float]
) -> None:
    scores = scores_of({name: lead for name, lead in as_the_paper.items() if "pulse" not in name}, masks=("square",))
    start = "PA+SR above SR+PA, all super-resolvers together: PSNR"
    row = claim_in(evaluate_claims(scores), start)
    assert row["claim"] == f"{start} (3 of the paper's 4 comparisons)"
    assert row["verdict"] == REPRODUCED
    two = scores[~scores["pipeline"].str.contains("fhc|re-cpgan")]
    assert claim_in(evaluate_claims(two), start)["verdict"] == NOT_TESTABLE


def test_effect_and_p_are_of_the_same_rival(scores_of: ScoresOf, as_the_paper: Mapping[str, float]) -> None:
    # FCSR-GAN is the nearest, by the same on every face; GFC + FHC lies further behind, and not on every face.
    scores = scores_of(as_the_paper, images=10, masks=("square",))
    wide = scores.pivot(index="index", columns="pipeline", values="psnr")
    ours = wide["pro-uigan"]
    gaps = {"fcsr-gan": np.full(10, 0.2), "gfc+fhc": np.array([2.0, -1.0, 2.5, 1.5, -0.8, 2.0, 1.8, -0.5, 1.0, 1.2])}
    for pipeline, gap in gaps.items():
        scores.loc[scores["pipeline"] == pipeline, "psnr"] = (ours - gap).to_numpy()
    frame = evaluate_claims(scores)
    row = frame[frame["claim"] == "Pro-UIGAN best of all, demo, square: PSNR"].iloc[0]
    theirs = stats.permutation_test(
        (gaps["gfc+fhc"],), np.mean, permutation_type="samples", n_resamples=np.inf, vectorized=False
    ).pvalue
    assert row["p"] == pytest.approx(theirs)
    assert row["effect"] == pytest.approx(gaps["gfc+fhc"].mean())
    assert row["measured"].startswith("Pro-UIGAN against GFC + FHC: ")
    assert row["why"].find("decided by Pro-UIGAN against GFC + FHC (the largest p)") >= 0


def test_among_equal_p_the_smallest_effect_decides(
    claim_in: ClaimIn, scores_of: ScoresOf, as_the_paper: Mapping[str, float]
) -> None:
    row = claim_in(
        evaluate_claims(scores_of(as_the_paper, images=10, masks=("square",))), "Pro-UIGAN best of all, demo, square: PSNR"
    )
    assert row["p"] == 2 / 2**10
    assert row["measured"].startswith("Pro-UIGAN against FCSR-GAN")
    assert "decided by Pro-UIGAN against FCSR-GAN (the smallest effect)" in row["why"]
