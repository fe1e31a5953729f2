from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
import pytest

from occface.benchmark.claims import NOT_REPRODUCED, NOT_TESTABLE, REPRODUCED, evaluate_claims

ScoresOf = Callable[..., pd.DataFrame]
ClaimIn = Callable[[pd.DataFrame, str], pd.Series]


def test_expressions(as_the_paper: Mapping[str, float], scores_of: ScoresOf, claim_in: ClaimIn) -> None:
    rivals = [name for name in as_the_paper if name != "pro-uigan"]
    right = {"bicubic": 4, **dict.fromkeys(rivals, 8), "fcsr-gan": 12, "pro-uigan": 24, "hr": 40}
    scores = scores_of(dict.fromkeys(right, 0.0), images=40).drop(columns="psnr")
    scores["expression"] = np.where(scores["index"] % 2, "smile", "neutral")
    # Judged right: of 40 faces the first 4, 12, 24 and 40; the same under both masks.
    scores["expression_correct"] = (scores["index"] < scores["pipeline"].map(right)) * 1.0
    frame = evaluate_claims(scores)
    best = claim_in(frame, "Pro-UIGAN best of all: expression accuracy")
    assert best["measured"] == "Pro-UIGAN against FCSR-GAN: 60.0 % against 30.0 % (irregular, square)"
    assert best["effect"] == pytest.approx(30.0)
    assert best["n"] == 80
    assert "80 differences from 40 photographs" in best["why"]
    assert best["paper"] == "56.31 % against 45.93 % (FCSR-GAN)"
    for start in (
        "Pro-UIGAN above occluded LR faces: expr",
        "True HR faces above",
        "Pro-UIGAN above occluded LR faces for every",
    ):
        assert claim_in(frame, start)["verdict"] == REPRODUCED
    worse = scores["pipeline"].eq("pro-uigan") & scores["expression"].eq("smile")
    scores.loc[worse, "expression_correct"] = 0.0
    row = claim_in(evaluate_claims(scores), "Pro-UIGAN above occluded LR faces for every expression")
    assert row["verdict"] == NOT_REPRODUCED
    assert row["measured"].startswith("smile: 0.0 % against 10.0 %")


def test_recognition_looks_at_its_own_masks(as_the_paper: Mapping[str, float], scores_of: ScoresOf, claim_in: ClaimIn) -> None:
    scores = scores_of(as_the_paper, masks=("square", "eyes", "half"))
    scores["identity_cosine"] = scores.pop("psnr") / 100 * np.where(scores["mask_type"] == "square", -1, 1)
    row = claim_in(evaluate_claims(scores), "Pro-UIGAN best of all with parts of the face masked: cosine")
    assert row["verdict"] == REPRODUCED
    assert row["n"] == 28
    assert "(eyes, half)" in row["measured"]


def test_margin_of_iou(as_the_paper: Mapping[str, float], scores_of: ScoresOf, claim_in: ClaimIn) -> None:
    scores = scores_of({**dict.fromkeys(as_the_paper, -2.0), "fcsr-gan": 0.0, "pro-uigan": 1.0})
    scores["iou"] = 0.5 + (scores.pop("psnr") - scores["index"] / 5) / 25
    start = "Pro-UIGAN more than 0.05 above every other: IoU"
    row = claim_in(evaluate_claims(scores), start)
    assert row["verdict"] == NOT_REPRODUCED
    assert row["effect"] == pytest.approx(0.04 - 0.05, abs=0.002)
    assert claim_in(evaluate_claims(scores.assign(iou=2 * scores["iou"])), start)["verdict"] == REPRODUCED


def _costs(times: Mapping[str, float] | None = None, **columns: object) -> pd.DataFrame:
    rows = [
        ("pro-uigan", "own network", 10, 41_000.0),
        ("pro-uigan", "with FAN", 30, 134_000.0),
        ("fcsr-gan", "own network", 28, 112_000.0),
        ("gfc+fhc", "own network", 17, 71_000.0),
        ("gfc+fhc", "with GFC", 150, 606_000.0),
        ("gfc+bicubic", "own network", 0, 0.0),
        ("gfc+bicubic", "with GFC", 133, 535_000.0),
    ]
    frame = pd.DataFrame(rows, columns=["pipeline", "counted", "parameters", "size_kb"])
    known = {"pro-uigan": 30.0, "fcsr-gan": 150.0, "gfc+fhc": 90.0, "gfc+bicubic": 2.0}
    frame["median_ms"] = frame["pipeline"].map(times or known)
    frame = frame.assign(p90_ms=1.1 * frame["median_ms"], device="cpu", precision="float32", runs=50, preset="paper")
    return frame.assign(**columns)


def test_sizes_and_times_are_compared_like_with_like(claim_in: ClaimIn) -> None:
    costs = _costs()
    frame = evaluate_claims(None, None, costs)
    small = claim_in(frame, "Pro-UIGAN smallest: model size, without GFC and FAN")
    # Bicubic interpolation has no weights, and is not in the paper's Table IV.
    assert small[["verdict", "effect"]].tolist() == [REPRODUCED, 30_000]
    assert small["measured"] == "41,000 KB against 71,000 KB (GFC + FHC)"
    assert small["compared"] == "2 of 4"
    assert small["claim"].endswith("(2 of the paper's 4 comparisons)")
    assert "compared, not tested" in small["why"]
    assert "absent: PULSE, Re-CPGAN" in small["why"]
    assert math.isnan(small["p"])
    # FCSR-GAN needs no helper: all that it is made of is its own.
    large = claim_in(frame, "Pro-UIGAN smallest: model size, with GFC and FAN")
    assert large[["verdict", "effect", "measured"]].tolist() == [
        NOT_REPRODUCED,
        -22_000,
        "134,000 KB against 112,000 KB (FCSR-GAN)",
    ]
    assert large["why"].startswith("contradicted")
    fast = claim_in(frame, "Pro-UIGAN fastest: median running time, cpu, float32")
    assert fast[["verdict", "effect", "n"]].tolist() == [REPRODUCED, 60, 50]
    assert "34.21 ms against 145.69 ms (FCSR-GAN)" in fast["paper"]
    elsewhere = costs.assign(device=np.where(costs["pipeline"] == "pro-uigan", "cpu", "cuda"))
    assert claim_in(evaluate_claims(None, None, elsewhere), "Pro-UIGAN fastest")["verdict"] == NOT_TESTABLE


@pytest.mark.parametrize(
    ("presets", "said"),
    [
        ({"preset": "cpu"}, "widths of preset `cpu` are ours, not the paper's"),
        ({"preset": "paper, changed"}, "widths of preset `paper, changed` are ours, not the paper's"),
        ({"preset": ""}, "which presets the networks were built from is not known"),
        ({"preset": math.nan}, "which presets the networks were built from is not known"),
    ],
)
def test_widths_of_our_own_show_numbers_and_decide_nothing(claim_in: ClaimIn, presets: Mapping[str, object], said: str) -> None:
    frame = evaluate_claims(None, None, _costs(**presets))
    for start, effect in (
        ("Pro-UIGAN smallest: model size, without GFC and FAN", 30_000),
        ("Pro-UIGAN smallest: model size, with GFC and FAN", -22_000),
        ("Pro-UIGAN fastest", 60),
    ):
        row = claim_in(frame, start)
        assert row[["verdict", "effect"]].tolist() == [NOT_TESTABLE, effect]
        assert row["why"].startswith(said)


def test_only_rivals_as_wide_as_the_papers_decide(claim_in: ClaimIn) -> None:
    costs = _costs({"pro-uigan": 30.0, "fcsr-gan": 10.0, "gfc+fhc": 90.0})
    added = [costs[costs["pipeline"] == "gfc+fhc"].assign(pipeline=name) for name in ("gfc+pulse", "gfc+re-cpgan")]
    costs = pd.concat([costs, *added])
    costs.loc[costs["pipeline"] == "fcsr-gan", "preset"] = "cpu"  # a narrow one, and so a fast one
    row = claim_in(evaluate_claims(None, None, costs), "Pro-UIGAN fastest")
    assert row[["verdict", "effect", "compared"]].tolist() == [REPRODUCED, 60, "3 of 4"]
    assert "absent: FCSR-GAN" in row["why"]
    costs.loc[costs["pipeline"] != "pro-uigan", "preset"] = "cpu"
    assert claim_in(evaluate_claims(None, None, costs), "Pro-UIGAN fastest")["verdict"] == NOT_TESTABLE
    few = _costs().query("pipeline in ['pro-uigan', 'gfc+fhc']")
    row = claim_in(evaluate_claims(None, None, few), "Pro-UIGAN fastest")
    assert row["why"].startswith("too few of the paper's rivals were measured; absent: PULSE, Re-CPGAN, FCSR-GAN")


def test_a_landmarker_that_is_not_counted_leaves_size_and_time_open(claim_in: ClaimIn) -> None:
    frame = evaluate_claims(None, None, _costs().query("counted != 'with FAN'"))
    for start, what in (("Pro-UIGAN smallest: model size, with GFC and FAN", "size"), ("Pro-UIGAN fastest", "time")):
        row = claim_in(frame, start)
        assert row["verdict"] == NOT_TESTABLE
        assert row["why"].startswith(f"the landmarker that Pro-UIGAN needs is not in its {what}")
        assert row["effect"] > 0
    own = claim_in(frame, "Pro-UIGAN smallest: model size, without GFC and FAN")
    assert own["verdict"] == REPRODUCED
    assert "neither the landmarker that Pro-UIGAN needs is counted, nor the inpainter of the others" in own["why"]


@pytest.mark.parametrize(("ours", "said"), [(85.0, "undecided"), (95.0, "undecided"), (110.0, "contradicted")])
def test_times_that_vary_more_than_they_differ_decide_nothing(claim_in: ClaimIn, ours: float, said: str) -> None:
    costs = _costs({"pro-uigan": ours, "fcsr-gan": 150.0, "gfc+fhc": 90.0})
    row = claim_in(evaluate_claims(None, None, costs), "Pro-UIGAN fastest")
    assert row["verdict"] == NOT_REPRODUCED
    assert row["why"].startswith(said)


def _distances(values: Mapping[str, float], mask_type: str = "square", n: int = 60) -> pd.DataFrame:
    rows = pd.DataFrame({"pipeline": list(values), "value": list(values.values())})
    return rows.assign(dataset="demo", mask_type=mask_type, metric="frechet", trained_on="", mask_given="", n=n)


def _far(as_the_paper: Mapping[str, float], **near: float) -> dict[str, float]:
    return {**dict.fromkeys(as_the_paper, 9.0), **{name.replace("_", "-"): value for name, value in near.items()}}


def test_frechet_distance_of_the_least_favourable_cell(
    claim_in: ClaimIn, scores_of: ScoresOf, as_the_paper: Mapping[str, float]
) -> None:
    sets = pd.concat(
        [
            _distances(_far(as_the_paper, pro_uigan=5.0, fcsr_gan=7.0)),
            _distances(_far(as_the_paper, pro_uigan=6.5, fcsr_gan=6.0), "irregular"),
            _distances(_far(as_the_paper, pro_uigan=9.0, fcsr_gan=1.0), "eyes"),
        ]
    )
    row = claim_in(evaluate_claims(scores_of({"pro-uigan": 6.0}), sets), "Pro-UIGAN most like true faces")
    assert row[["verdict", "effect", "n", "units"]].tolist() == [NOT_TESTABLE, -0.5, 60, 14]
    assert row["why"].startswith("a set of images has one such number")
    assert "irregular masks; 1 of 2 data sets and mask types go the stated way" in row["why"]


def test_frechet_distances_of_fewer_faces_are_not_compared(
    claim_in: ClaimIn, scores_of: ScoresOf, as_the_paper: Mapping[str, float]
) -> None:
    sets = _distances(_far(as_the_paper, pro_uigan=5.0, fcsr_gan=7.0) | {"pulse+gfc": 1.0})
    sets.loc[sets["pipeline"] == "pulse+gfc", "n"] = 24
    start = "Pro-UIGAN most like true faces"
    row = claim_in(evaluate_claims(scores_of({"pro-uigan": 6.0}), sets), start)
    assert row[["verdict", "effect", "compared"]].tolist() == [NOT_TESTABLE, 2.0, "8 of 9"]
    assert "of other numbers of faces, and not compared: PULSE + GFC" in row["why"]
    few = sets[sets["pipeline"].isin(["pro-uigan", "fcsr-gan", "gfc+fhc"])]
    assert math.isnan(claim_in(evaluate_claims(scores_of({"pro-uigan": 6.0}), few), start)["effect"])


def test_frechet_distances_of_a_handful_of_people_have_no_winner(
    claim_in: ClaimIn, scores_of: ScoresOf, as_the_paper: Mapping[str, float]
) -> None:
    sets = _distances(_far(as_the_paper, pro_uigan=5.0), n=14)
    scores = scores_of({"pro-uigan": 6.0})
    start = "Pro-UIGAN most like true faces"
    assert claim_in(evaluate_claims(scores, sets), start)["effect"] == 4.0
    scores["identity"] = (scores["index"] % 4).astype(str)
    assert math.isnan(claim_in(evaluate_claims(scores, sets), start)["effect"])
    assert math.isnan(claim_in(evaluate_claims(None, sets.assign(n=4)), start)["effect"])


def test_a_search_that_missed_has_no_frechet_distance_either(
    claim_in: ClaimIn, scores_of: ScoresOf, as_the_paper: Mapping[str, float]
) -> None:
    scores = scores_of({"pro-uigan": 6.0, "gfc+pulse": 0.0, "pulse+gfc": 0.0})
    scores["missed"] = np.where(scores["pipeline"].str.contains("pulse"), 1.0, math.nan)
    sets = _distances({**_far(as_the_paper, pro_uigan=5.0), "gfc+pulse": 1.0})
    row = claim_in(evaluate_claims(scores, sets), "Pro-UIGAN most like true faces")
    assert row[["effect", "compared"]].tolist() == [4.0, "7 of 9"]
