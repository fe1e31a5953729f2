from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from occface.benchmark.claims import (
    COLUMNS,
    NOT_REPRODUCED,
    NOT_TESTABLE,
    REPRODUCED,
    claims_markdown,
    claims_shown,
    evaluate_claims,
    write_claims,
)
from occface.benchmark.statistics import difference_test, holm, mean_interval

_AS_THE_PAPER = {
    "pulse+gfc": -1.0,
    "gfc+pulse": -0.4,
    "bicubic+gfc": 0.0,
    "gfc+bicubic": 0.6,
    "fhc+gfc": 2.0,
    "gfc+fhc": 2.6,
    "fcsr-gan": 4.0,
    "pro-uigan": 6.0,
}


def _scores(
    leads: Mapping[str, float],
    images: int = 14,
    masks: Sequence[str] = ("irregular", "square"),
    dataset: str = "demo",
    noise: float = 0.05,
    **columns: object,
) -> pd.DataFrame:
    """Return score rows with PSNR 20 + lead, SSIM a twentieth of the lead, square masks 1 dB above, and a little noise."""
    rng = np.random.default_rng(len(leads))
    rows = []
    for mask_type, (pipeline, lead), face in itertools.product(masks, leads.items(), range(images)):
        quality = lead + (mask_type == "square") + noise * rng.standard_normal()
        row = {"dataset": dataset, "mask_type": mask_type, "order": "joint", "pipeline": pipeline, "trained_on": ""}
        row |= {"mask_given": "", "image": f"{face}.png", "index": face, "identity": "", "expression": "", "error": ""}
        rows.append({**row, "psnr": 20 + face / 5 + quality, "ssim": 0.5 + quality / 20, **columns})
    return pd.DataFrame(rows)


def _claim(frame: pd.DataFrame, start: str) -> pd.Series:
    found = frame[frame["claim"].str.startswith(start)]
    assert len(found) == 1, (start, frame["claim"].tolist())
    return found.iloc[0]


@pytest.fixture(scope="module")
def agreeing() -> pd.DataFrame:
    return evaluate_claims(_scores(_AS_THE_PAPER))


def test_what_agrees_with_the_paper_is_reproduced(agreeing: pd.DataFrame) -> None:
    assert tuple(agreeing.columns) == COLUMNS
    for metric, start in itertools.product(
        ("PSNR", "SSIM"),
        (
            "PA+SR above SR+PA, all super-resolvers together: ",
            "PA+SR above SR+PA, FHC: ",
            "Joint methods above SR+PA and PA+SR on average: ",
            "FCSR-GAN above every SR+PA and PA+SR: ",
            "Bicubic with inpainting below trained super-resolvers in the same order: ",
            "PULSE with inpainting below all others in the same order: ",
            "Pro-UIGAN best of all, demo, irregular: ",
            "Pro-UIGAN best of all, demo, square: ",
            "Irregular masks harder than square ones, all methods together: ",
        ),
    ):
        row = _claim(agreeing, start + metric)
        assert row["verdict"] == REPRODUCED, row["claim"]
        assert 0 < row["low"] <= row["effect"] <= row["high"]
        assert row["p_holm"] < 0.05


def test_numbers_are_those_of_the_paired_test() -> None:
    scores = _scores(_AS_THE_PAPER)
    row = _claim(evaluate_claims(scores), "Pro-UIGAN above FCSR-GAN, square masks")
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


def test_p_is_corrected_over_all_claims_that_were_tested(agreeing: pd.DataFrame) -> None:
    assert np.array_equal(agreeing["p_holm"], holm(agreeing["p"]), equal_nan=True)
    tested = agreeing["verdict"] != NOT_TESTABLE
    assert tested.sum() > 15
    assert agreeing.loc[tested, "p"].notna().all()
    assert agreeing.loc[~tested, ["effect", "low", "high", "p", "p_holm"]].isna().all(axis=None)
    assert (agreeing.loc[~tested, "n"] == 0).all()


def test_what_goes_the_other_way_is_contradicted() -> None:
    frame = evaluate_claims(_scores({name: -lead for name, lead in _AS_THE_PAPER.items()}))
    for start in (
        "PA+SR above SR+PA, all super-resolvers together: PSNR",
        "Joint methods above SR+PA and PA+SR on average: PSNR",
        "FCSR-GAN above every SR+PA and PA+SR: SSIM",
        "Pro-UIGAN best of all, demo, square: PSNR",
        "Pro-UIGAN above FCSR-GAN, irregular masks: PSNR",
    ):
        row = _claim(frame, start)
        assert row["verdict"] == NOT_REPRODUCED
        assert row["effect"] < 0
        assert row["why"].startswith("contradicted")


def test_what_differs_by_chance_alone_is_not_reproduced() -> None:
    frame = evaluate_claims(_scores(dict.fromkeys(_AS_THE_PAPER, 0.0), noise=1.0))
    row = _claim(frame, "PA+SR above SR+PA, FHC: PSNR")
    assert row["verdict"] == NOT_REPRODUCED
    assert row["why"].startswith("undecided: no significant difference")
    assert row["p_holm"] > 0.05


def test_one_stronger_rival_is_enough_to_contradict_best_of_all() -> None:
    scores = _scores({**_AS_THE_PAPER, "gfc+fhc": 6.5})
    row = _claim(evaluate_claims(scores), "Pro-UIGAN best of all, demo, square: PSNR")
    assert row["verdict"] == NOT_REPRODUCED
    assert row["measured"].startswith("Pro-UIGAN against GFC + FHC")
    assert row["effect"] == pytest.approx(-0.5, abs=0.1)
    assert "6 of 7 go the stated way" in row["why"]
    # Among seven rivals the worst was picked, so its p counts seven times.
    wide = scores.query("mask_type == 'square'").pivot(index="image", columns="pipeline", values="psnr")
    gaps = wide["pro-uigan"] - wide["gfc+fhc"]
    assert row["p"] == 7 * difference_test(gaps, resamples=100_000).p
    assert row["p"] == pytest.approx(7 * 2 / 2**14, rel=0.3)


def test_best_of_all_takes_the_largest_p_of_all_rivals() -> None:
    scores = _scores({"pro-uigan": 1.0, "fcsr-gan": 0.0, "gfc+fhc": 0.7}, images=9, noise=0.4)
    row = _claim(evaluate_claims(scores), "Pro-UIGAN best of all, demo, square: PSNR")
    wide = scores.query("mask_type == 'square'").pivot(index="image", columns="pipeline", values="psnr")
    theirs = [
        stats.permutation_test(
            (wide["pro-uigan"] - wide[rival],), np.mean, permutation_type="samples", n_resamples=np.inf, vectorized=False
        ).pvalue
        for rival in ("fcsr-gan", "gfc+fhc")
    ]
    assert (wide["pro-uigan"].mean() > wide[["fcsr-gan", "gfc+fhc"]].mean()).all()
    assert row["p"] == pytest.approx(max(theirs))
    assert "no rows of GFC + Bicubic" in row["why"]


def test_missing_rows_are_named_and_nothing_breaks() -> None:
    frame = evaluate_claims(_scores({"pro-uigan": 6.0, "fhc+gfc": 2.0}))
    row = _claim(frame, "P+GT above Pro-UIGAN (true landmarks help): PSNR")
    assert row["verdict"] == NOT_TESTABLE
    assert row["why"].startswith("needs PSNR of ")
    assert _claim(frame, "PA+SR above SR+PA, FHC: PSNR")["why"] == "needs PSNR of GFC + FHC"
    assert "three fixed sizes, has 0" in _claim(frame, "Pro-UIGAN falls least")["why"]
    assert "median running time of Pro-UIGAN" in _claim(frame, "Pro-UIGAN fastest")["why"]
    assert "Frechet" in _claim(frame, "Pro-UIGAN most like true faces")["why"]
    assert _claim(frame, "Pro-UIGAN best of all: IoU")["verdict"] == NOT_TESTABLE


@pytest.mark.parametrize("scores", [None, pd.DataFrame(), _scores(_AS_THE_PAPER)[:0]])
def test_no_rows_at_all(scores: pd.DataFrame | None) -> None:
    frame = evaluate_claims(scores, pd.DataFrame(), pd.DataFrame())
    assert set(frame["verdict"]) == {NOT_TESTABLE}
    assert len(frame) > 50
    assert (frame["why"] != "").all()
    assert frame["claim"].is_unique


def test_columns_that_are_empty_throughout_may_be_numbers(agreeing: pd.DataFrame) -> None:
    scores = _scores(_AS_THE_PAPER).assign(trained_on=math.nan, mask_given=math.nan, identity=math.nan, expression=math.nan)
    pd.testing.assert_frame_equal(evaluate_claims(scores), agreeing)


def test_too_few_faces_are_no_evidence() -> None:
    row = _claim(evaluate_claims(_scores(_AS_THE_PAPER, images=5)), "Pro-UIGAN above FCSR-GAN, square masks")
    assert row["verdict"] == NOT_TESTABLE
    assert "only 5 independent people or photographs" in row["why"]
    # Fourteen images of four people are four people.
    scores = _scores(_AS_THE_PAPER)
    scores["identity"] = (scores["index"] % 4).astype(str)
    assert "only 4 independent" in _claim(evaluate_claims(scores), "Pro-UIGAN above FCSR-GAN, square masks")["why"]


def test_a_rival_with_few_faces_is_told_and_not_tested() -> None:
    scores = _scores(_AS_THE_PAPER)
    scores = scores[~(scores["pipeline"].str.contains("pulse") & (scores["index"] >= 4))]
    row = _claim(evaluate_claims(scores), "Pro-UIGAN best of all, demo, square: PSNR")
    assert row["verdict"] == REPRODUCED
    assert "not tested for too few faces: Pro-UIGAN against GFC + PULSE +6.4" in row["why"]


def test_less_is_better_where_it_is() -> None:
    scores = _scores(_AS_THE_PAPER)
    scores["nrmse_outer_eyes"] = 50 - scores["psnr"]
    frame = evaluate_claims(scores)
    best = _claim(frame, "Pro-UIGAN best of all, lower is better: NRMSE")
    assert best["verdict"] == REPRODUCED
    assert best["effect"] == pytest.approx(2.0, abs=0.1)
    assert "CelebA-HQ +2.58 points, Multi-PIE +2.49 points, Helen +1.94 points" in best["paper"]
    assert _claim(frame, "PA+SR better than SR+PA, lower is better: NRMSE")["verdict"] == REPRODUCED


def test_priors_and_losses() -> None:
    leads = {f"pro-uigan:{name}": lead for lead, name in enumerate(("l-minus", "l-dagger", "l-ddagger", "l-star"))}
    scores = _scores({**leads, "pro-uigan:p-fp": 3.5, "pro-uigan": 3.4, "pro-uigan:p-gt": 5.0})
    scores["psnr_stage_1"] = scores["psnr"] - 3
    frame = evaluate_claims(scores)
    found = frame[frame["source"].isin(["IV-D, Table II", "IV-D, Table III"]) & frame["claim"].str.endswith("PSNR")]
    assert found["verdict"].tolist() == [REPRODUCED, NOT_REPRODUCED, *[REPRODUCED] * 4]
    assert found["effect"].tolist() == pytest.approx([1.6, -0.1, 1, 1, 1, 0.4], abs=0.05)
    assert "CelebA-HQ +0.77 dB, Multi-PIE +0.73 dB (the text's 4.431 dB" in found["paper"].iloc[0]
    assert _claim(frame, "The feature loss on block 1 helps")["verdict"] == REPRODUCED


def test_mask_sizes() -> None:
    sizes = ("square-16", "square-24", "square-32", "square-48", "square-64")
    scores = _scores({"pro-uigan": 6.0, "gfc+fhc": 2.0}, masks=sizes)
    place = scores["mask_type"].map({size: place for place, size in enumerate(sizes)})
    scores["psnr"] -= place * np.where(scores["pipeline"] == "pro-uigan", 0.5, 0.8)
    frame = evaluate_claims(scores)
    row = _claim(frame, "Pro-UIGAN falls as the square mask grows from m1 to m5, per step: PSNR")
    ours = scores[scores["pipeline"] == "pro-uigan"].assign(place=place)
    slopes = [np.polyfit(face["place"], face["psnr"], 1)[0] for _, face in ours.groupby("image")]
    assert row["effect"] == pytest.approx(-np.mean(slopes))
    assert row["verdict"] == REPRODUCED
    assert "the mean falls at 4 of 4 steps" in row["why"]
    assert row["measured"].startswith(f"square-16 {ours[ours['place'] == 0]['psnr'].mean():.2f} dB, square-24 ")
    least = _claim(frame, "Pro-UIGAN falls least")
    assert least["verdict"] == REPRODUCED
    assert least["effect"] == pytest.approx(0.3, abs=0.05)
    # Their values do not matter for tables of the paper's own masks, but stand in where there are no others.
    assert (
        _claim(evaluate_claims(scores.replace("square-", "square_", regex=True)), "Pro-UIGAN falls least")["effect"]
        == least["effect"]
    )


def test_sizes_do_not_mix_into_the_papers_masks() -> None:
    scores = _scores(_AS_THE_PAPER)
    large = _scores(dict.fromkeys(_AS_THE_PAPER, -9.0), masks=("square-64", "eyes", "irregular@2"))
    alone, mixed = (evaluate_claims(frame) for frame in (scores, pd.concat([scores, large])))
    start = "PA+SR above SR+PA, FHC: PSNR"
    assert _claim(alone, start)["effect"] == _claim(mixed, start)["effect"]


def test_stages() -> None:
    scores = _scores({"pro-uigan": 6.0})
    for stage, less in enumerate((2.0, 3.0, 0.0), start=1):
        scores[f"psnr_stage_{stage}"] = scores["psnr"] - less + 0.01 * scores["index"]
    frame = evaluate_claims(scores)
    assert _claim(frame, "Stage 2 improves")[["verdict", "effect"]].tolist() == [NOT_REPRODUCED, pytest.approx(-1)]
    assert _claim(frame, "Stage 3 improves")[["verdict", "effect"]].tolist() == [REPRODUCED, pytest.approx(3)]


def test_training_on_another_data_set() -> None:
    frames = [
        _scores({"pro-uigan": 6.0 if home == dataset else 4.0}, dataset=dataset, trained_on=home)
        for home, dataset in itertools.product(("demo", "grid"), repeat=2)
    ]
    row = _claim(evaluate_claims(pd.concat(frames)), "Trained on the data set itself above trained on another, Pro-UIGAN: PSNR")
    assert row["verdict"] == REPRODUCED
    assert row["effect"] == pytest.approx(2.0, abs=0.05)
    assert row["datasets"] == "demo, grid"
    assert "on demo, trained there against on grid +2.0" in row["why"]
    assert "+4.16 dB on average over 6 cells" in row["paper"]


def test_weights_from_elsewhere_stand_in_and_are_named() -> None:
    home, away = (_scores({"pro-uigan": lead}, trained_on=name) for lead, name in ((6.0, "demo"), (9.0, "other")))
    rivals = _scores({"fcsr-gan": 4.0}, trained_on="other")
    row = _claim(evaluate_claims(pd.concat([home, away, rivals])), "Pro-UIGAN above FCSR-GAN, square")
    assert row["effect"] == pytest.approx(2.0, abs=0.05)
    assert "on demo with weights trained on other: FCSR-GAN" in row["why"]
    more = pd.concat([home, away, rivals, _scores({"fhc+gfc": 1.0}, trained_on="other")])
    row = _claim(evaluate_claims(more), "Pro-UIGAN above FCSR-GAN, square")
    assert "FHC" not in row["why"]  # it has no part in this claim


def test_estimated_masks_are_another_task() -> None:
    true = _scores({"fcsr-gan": 4.0, "pro-uigan": 6.0})
    estimated = _scores({"fcsr-gan": 9.0}, mask_given="estimated")
    row = _claim(evaluate_claims(pd.concat([true, estimated])), "Pro-UIGAN above FCSR-GAN, square")
    assert row["effect"] == pytest.approx(2.0, abs=0.05)


def test_expressions() -> None:
    leads = {"bicubic": 0, "fcsr-gan": 1, "pro-uigan": 2, "hr": 3}
    scores = _scores(leads, images=40)
    scores["expression"] = np.where(scores["index"] % 2, "smile", "neutral")
    # Judged right: of 40 faces the first 4, 12, 24 and 40; the same under both masks.
    scores["expression_correct"] = (
        scores["index"] < scores["pipeline"].map(dict(zip(leads, (4, 12, 24, 40), strict=True)))
    ) * 1.0
    frame = evaluate_claims(scores)
    best = _claim(frame, "Pro-UIGAN best of all: expression accuracy")
    assert best["measured"] == "Pro-UIGAN against FCSR-GAN: 60.0 % against 30.0 % (irregular, square)"
    assert best["effect"] == pytest.approx(30.0)
    assert best["n"] == 80
    assert "80 differences from 40 independent" in best["why"]
    assert best["paper"] == "56.31 % against 45.93 % (FCSR-GAN)"
    for start in (
        "Pro-UIGAN above occluded LR faces: expr",
        "True HR faces above",
        "Pro-UIGAN above occluded LR faces for every",
    ):
        assert _claim(frame, start)["verdict"] == REPRODUCED
    worse = scores["pipeline"].eq("pro-uigan") & scores["expression"].eq("smile")
    scores.loc[worse, "expression_correct"] = 0.0
    row = _claim(evaluate_claims(scores), "Pro-UIGAN above occluded LR faces for every expression")
    assert row["verdict"] == NOT_REPRODUCED
    assert row["measured"].startswith("smile: 0.0 % against 10.0 %")


def test_recognition_looks_at_its_own_masks() -> None:
    scores = _scores({"fcsr-gan": 0.0, "pro-uigan": 1.0}, masks=("square", "eyes", "half"))
    scores["identity_cosine"] = scores["psnr"] / 100 * np.where(scores["mask_type"] == "square", -1, 1)
    row = _claim(evaluate_claims(scores), "Pro-UIGAN best of all with parts of the face masked: cosine")
    assert row["verdict"] == REPRODUCED
    assert row["n"] == 28
    assert "(eyes, half)" in row["measured"]


def test_margin_of_iou() -> None:
    scores = _scores({"fcsr-gan": 0.0, "pro-uigan": 1.0})
    scores["iou"] = 0.5 + (scores["psnr"] - scores["index"] / 5) / 25
    start = "Pro-UIGAN more than 0.05 above every other: IoU"
    row = _claim(evaluate_claims(scores), start)
    assert row["verdict"] == NOT_REPRODUCED
    assert row["effect"] == pytest.approx(0.04 - 0.05, abs=0.002)
    assert _claim(evaluate_claims(scores.assign(iou=2 * scores["iou"])), start)["verdict"] == REPRODUCED


def _costs(times: Mapping[str, float], **columns: object) -> pd.DataFrame:
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
    frame["median_ms"] = frame["pipeline"].map(times)
    return frame.assign(p90_ms=1.1 * frame["median_ms"], device="cpu", precision="float32", runs=50, **columns)


def test_sizes_and_times_are_compared_like_with_like() -> None:
    costs = _costs({"pro-uigan": 30.0, "fcsr-gan": 150.0, "gfc+fhc": 90.0, "gfc+bicubic": 2.0})
    frame = evaluate_claims(None, None, costs)
    small = _claim(frame, "Pro-UIGAN smallest: model size, without GFC and FAN")
    # Bicubic interpolation has no weights, and is not in the paper's Table IV.
    assert small[["verdict", "effect"]].tolist() == [REPRODUCED, 30_000]
    assert small["measured"] == "41,000 KB against 71,000 KB (GFC + FHC)"
    assert "compared, not tested" in small["why"]
    assert math.isnan(small["p"])
    # FCSR-GAN needs no helper: all that it is made of is its own.
    large = _claim(frame, "Pro-UIGAN smallest: model size, with GFC and FAN")
    assert large[["verdict", "effect", "measured"]].tolist() == [
        NOT_REPRODUCED,
        -22_000,
        "134,000 KB against 112,000 KB (FCSR-GAN)",
    ]
    assert large["why"].startswith("contradicted")
    fast = _claim(frame, "Pro-UIGAN fastest: median running time, cpu, float32")
    assert fast[["verdict", "effect", "n"]].tolist() == [REPRODUCED, 60, 50]
    assert "34.21 ms against 145.69 ms (FCSR-GAN)" in fast["paper"]
    elsewhere = costs.assign(device=np.where(costs["pipeline"] == "pro-uigan", "cpu", "cuda"))
    assert _claim(evaluate_claims(None, None, elsewhere), "Pro-UIGAN fastest")["verdict"] == NOT_TESTABLE


@pytest.mark.parametrize(("ours", "said"), [(85.0, "undecided"), (95.0, "undecided"), (110.0, "contradicted")])
def test_times_that_vary_more_than_they_differ_decide_nothing(ours: float, said: str) -> None:
    costs = _costs({"pro-uigan": ours, "fcsr-gan": 150.0, "gfc+fhc": 90.0})
    row = _claim(evaluate_claims(None, None, costs), "Pro-UIGAN fastest")
    assert row["verdict"] == NOT_REPRODUCED
    assert row["why"].startswith(said)


def test_frechet_distance_of_the_least_favourable_cell() -> None:
    names = ["dataset", "mask_type", "pipeline", "trained_on", "mask_given", "metric", "value", "n"]
    sets = pd.DataFrame(
        [
            ("demo", mask, pipeline, "", "", "frechet", value, 60)
            for mask, values in {"square": (5.0, 7.0), "irregular": (6.5, 6.0), "eyes": (9.0, 1.0)}.items()
            for pipeline, value in zip(("pro-uigan", "fcsr-gan"), values, strict=True)
        ],
        columns=names,
    )
    row = _claim(evaluate_claims(_scores({"pro-uigan": 1.0}), sets), "Pro-UIGAN most like true faces")
    assert row[["verdict", "effect", "n"]].tolist() == [NOT_REPRODUCED, -0.5, 60]
    assert "irregular masks; 1 of 2 data sets and mask types go the stated way" in row["why"]


def test_frechet_distances_of_fewer_faces_are_not_compared() -> None:
    names = ["pipeline", "value", "n"]
    rows = [("pro-uigan", 5.0, 60), ("fcsr-gan", 7.0, 60), ("pulse+gfc", 1.0, 24)]
    sets = pd.DataFrame(rows, columns=names).assign(dataset="demo", mask_type="square", metric="frechet", trained_on="")
    row = _claim(evaluate_claims(_scores({"pro-uigan": 1.0}), sets), "Pro-UIGAN most like true faces")
    assert row[["verdict", "effect"]].tolist() == [REPRODUCED, 2.0]
    assert "of other numbers of faces, and not compared: PULSE + GFC" in row["why"]


def test_perfect_images_do_not_break_it() -> None:
    scores = _scores(_AS_THE_PAPER)
    scores.loc[(scores["pipeline"] == "pro-uigan") & (scores["index"] == 0), "psnr"] = math.inf
    row = _claim(evaluate_claims(scores), "Pro-UIGAN above FCSR-GAN, square")
    assert row["effect"] == math.inf
    assert row["verdict"] == REPRODUCED


def test_failed_images_are_in_no_difference() -> None:
    scores = _scores(_AS_THE_PAPER)
    failed = (scores["pipeline"] == "fcsr-gan") & (scores["index"] < 3)
    scores.loc[failed, ["psnr", "ssim"]] = math.nan
    assert _claim(evaluate_claims(scores), "Pro-UIGAN above FCSR-GAN, square")["n"] == 11


def test_claims_come_back_from_the_disk_and_are_equal_each_time(agreeing: pd.DataFrame, tmp_path: Path) -> None:
    write_claims(agreeing, tmp_path / "a.csv")
    read = pd.read_csv(tmp_path / "a.csv", keep_default_na=False, na_values={name: [""] for name in COLUMNS[4:9]})
    pd.testing.assert_frame_equal(read, agreeing, check_dtype=False, check_exact=True)
    write_claims(evaluate_claims(_scores(_AS_THE_PAPER)), tmp_path / "b.csv")
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "b.csv"]


def test_readers_are_told_what_was_contradicted_and_what_is_undecided() -> None:
    scores = pd.concat([_scores({"pro-uigan": 0.0, "fcsr-gan": 4.0}), _scores({"pro-uigan:p-fp": 0.0}, noise=1.0)])
    frame = evaluate_claims(scores)
    shown = claims_shown(frame)
    assert len(shown) == len(frame)
    verdicts = dict(zip(frame["claim"], shown["verdict"], strict=True))
    assert verdicts["Pro-UIGAN above FCSR-GAN, square masks: PSNR"] == "not reproduced: contradicted"
    assert verdicts["Pro-UIGAN above P-FP (CM-AM helps): PSNR"] == "not reproduced: undecided"
    assert shown["claim"].str.contains("(IV-C, Table I)", regex=False).any()
    only = claims_shown(frame[frame["verdict"] == NOT_TESTABLE])
    assert list(only) == ["claim", "verdict", "paper", "why"]


def test_the_share_that_is_hidden_is_told_where_masks_are_compared() -> None:
    scores = _scores(_AS_THE_PAPER)
    scores["hole_area"] = np.where(scores["mask_type"] == "square", 0.125, 0.25)
    why = _claim(evaluate_claims(scores), "Irregular masks harder than square ones, all methods together: PSNR")["why"]
    assert "irregular ones 25.0 % and square ones 12.5 %" in why


def test_markdown_counts_verdicts_and_keeps_its_columns(agreeing: pd.DataFrame) -> None:
    text = claims_markdown(agreeing.replace({"datasets": {"demo": "de|mo"}}))
    counts = agreeing["verdict"].value_counts()
    first, _, *lines = text.splitlines()
    assert first == (
        f"{len(agreeing)} claims: {counts[REPRODUCED]} reproduced, {counts.get(NOT_REPRODUCED, 0)} not reproduced (0 "
        f"contradicted, 0 undecided), {counts[NOT_TESTABLE]} not testable here."
    )
    assert len(lines) == len(agreeing) + 2
    assert {line.replace("\\|", "").count("|") for line in lines} == {10}
    assert "de\\|mo" in text
    assert "nan" not in text
