from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from occface.benchmark.claims import (
    COLUMNS,
    NOT_REPRODUCED,
    NOT_TESTABLE,
    REPRODUCED,
    UNDECIDABLE,
    claims_counted,
    claims_markdown,
    claims_shown,
    evaluate_claims,
    write_claims,
)
from occface.benchmark.statistics import holm

ScoresOf = Callable[..., pd.DataFrame]
ClaimIn = Callable[[pd.DataFrame, str], pd.Series]


def test_what_agrees_with_the_paper_is_reproduced(claim_in: ClaimIn, agreeing: pd.DataFrame) -> None:
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
        row = claim_in(agreeing, start + metric)
        assert row["verdict"] == REPRODUCED, row["claim"]
        assert 0 < row["low"] <= row["effect"] <= row["high"]
        assert row["p_holm"] < 0.05


def test_p_is_corrected_over_all_claims_that_were_tested(agreeing: pd.DataFrame) -> None:
    assert np.array_equal(agreeing["p_holm"], holm(agreeing["p"]), equal_nan=True)
    tested = agreeing["verdict"] != NOT_TESTABLE
    assert tested.sum() > 15
    assert agreeing.loc[tested, "p"].notna().all()
    assert agreeing.loc[~tested, ["effect", "low", "high", "p", "p_holm"]].isna().all(axis=None)
    assert (agreeing.loc[~tested, "n"] == 0).all()


def test_what_goes_the_other_way_is_contradicted(
    as_the_paper: Mapping[str, float], scores_of: ScoresOf, claim_in: ClaimIn
) -> None:
    frame = evaluate_claims(scores_of({name: -lead for name, lead in as_the_paper.items()}, ssim=True))
    for start in (
        "PA+SR above SR+PA, all super-resolvers together: PSNR",
        "Joint methods above SR+PA and PA+SR on average: PSNR",
        "FCSR-GAN above every SR+PA and PA+SR: SSIM",
        "Pro-UIGAN best of all, demo, square: PSNR",
        "Pro-UIGAN above FCSR-GAN, irregular masks: PSNR",
    ):
        row = claim_in(frame, start)
        assert row["verdict"] == NOT_REPRODUCED
        assert row["effect"] < 0
        assert row["why"].startswith("contradicted")


def test_what_differs_by_chance_alone_is_not_reproduced(
    as_the_paper: Mapping[str, float], scores_of: ScoresOf, claim_in: ClaimIn
) -> None:
    frame = evaluate_claims(scores_of(dict.fromkeys(as_the_paper, 0.0), noise=1.0))
    row = claim_in(frame, "PA+SR above SR+PA, FHC: PSNR")
    assert row["verdict"] == NOT_REPRODUCED
    assert row["why"].startswith("undecided: no significant difference")
    assert row["p_holm"] > 0.05


def test_missing_rows_are_named_and_nothing_breaks(scores_of: ScoresOf, claim_in: ClaimIn) -> None:
    frame = evaluate_claims(scores_of({"pro-uigan": 6.0, "fhc+gfc": 2.0}))
    row = claim_in(frame, "P+GT above Pro-UIGAN (true landmarks help): PSNR")
    assert row["verdict"] == NOT_TESTABLE
    assert row["why"].startswith("needs PSNR of ")
    assert claim_in(frame, "PA+SR above SR+PA, FHC: PSNR")["why"] == "needs PSNR of GFC + FHC"
    assert "three fixed sizes, has 0" in claim_in(frame, "Pro-UIGAN falls least")["why"]
    assert "median running time of Pro-UIGAN" in claim_in(frame, "Pro-UIGAN fastest")["why"]
    assert "Frechet" in claim_in(frame, "Pro-UIGAN most like true faces")["why"]
    assert claim_in(frame, "Pro-UIGAN best of all: IoU")["verdict"] == NOT_TESTABLE


@pytest.mark.parametrize("scores", [None, pd.DataFrame(), pd.DataFrame(columns=["dataset", "pipeline", "psnr", "missed"])])
def test_no_rows_at_all(scores: pd.DataFrame | None) -> None:
    frame = evaluate_claims(scores, pd.DataFrame(), pd.DataFrame())
    assert set(frame["verdict"]) == {NOT_TESTABLE}
    assert len(frame) > 50
    assert (frame["why"] != "").all()
    assert frame["claim"].is_unique


def test_claims_come_back_from_the_disk_and_are_equal_each_time(
    as_the_paper: Mapping[str, float], scores_of: ScoresOf, agreeing: pd.DataFrame, tmp_path: Path
) -> None:
    write_claims(agreeing, tmp_path / "a.csv")
    read = pd.read_csv(
        tmp_path / "a.csv", keep_default_na=False, na_values={name: [""] for name in COLUMNS[4:9]}, dtype={"compared": str}
    )
    pd.testing.assert_frame_equal(read, agreeing, check_dtype=False, check_exact=True)
    write_claims(evaluate_claims(scores_of(as_the_paper, ssim=True)), tmp_path / "b.csv")
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "b.csv"]


def test_readers_are_told_what_was_contradicted_and_what_is_undecided(scores_of: ScoresOf) -> None:
    scores = pd.concat([scores_of({"pro-uigan": 0.0, "fcsr-gan": 4.0}), scores_of({"pro-uigan:p-fp": 0.0}, noise=1.0)])
    frame = evaluate_claims(scores)
    shown = claims_shown(frame)
    assert len(shown) == len(frame)
    verdicts = dict(zip(frame["claim"], shown["verdict"], strict=True))
    assert verdicts["Pro-UIGAN above FCSR-GAN, square masks: PSNR"] == "not reproduced: contradicted"
    assert verdicts["Pro-UIGAN above P-FP (CM-AM helps): PSNR"] == "not reproduced: undecided"
    assert shown["claim"].str.contains("(IV-C, Table I)", regex=False).any()
    only = claims_shown(frame[frame["verdict"] == NOT_TESTABLE])
    assert list(only) == ["claim", "verdict", "paper", "why"]


def test_markdown_counts_verdicts_and_keeps_its_columns(agreeing: pd.DataFrame) -> None:
    text = claims_markdown(agreeing.replace({"datasets": {"demo": "de|mo"}}))
    counts = agreeing["verdict"].value_counts()
    first, _, *lines = text.splitlines()
    assert first == (
        f"{len(agreeing)} claims: {counts[REPRODUCED]} reproduced, {counts.get(NOT_REPRODUCED, 0)} not reproduced (0 "
        f"contradicted, 0 undecided), {counts[NOT_TESTABLE]} not testable here."
    )
    assert len(lines) == len(agreeing) + 2
    assert {line.replace("\\|", "").count("|") for line in lines} == {11}
    assert "de\\|mo" in text
    assert "nan" not in text


def test_who_has_the_old_columns_finds_them_where_they_were(agreeing: pd.DataFrame) -> None:
    old = ["claim", "source", "paper", "measured", "effect", "low", "high", "p", "p_holm", "n", "datasets", "verdict", "why"]
    assert list(agreeing.columns) == [*old, "units", "compared"]


def test_units_are_people_where_they_are_known(
    claim_in: ClaimIn, scores_of: ScoresOf, as_the_paper: Mapping[str, float]
) -> None:
    scores = scores_of(as_the_paper)
    start = "PA+SR above SR+PA, FHC: PSNR"
    assert claim_in(evaluate_claims(scores), start)[["n", "units"]].tolist() == [28, 14]
    scores["identity"] = (scores["index"] % 7).astype(str)
    row = claim_in(evaluate_claims(scores), start)
    assert row[["n", "units"]].tolist() == [28, 7]
    assert row["p"] == 2 / 2**7
    assert "28 differences from 7 people" in row["why"]


def test_too_few_people_to_be_significant_at_all_are_no_disagreement(
    claim_in: ClaimIn, scores_of: ScoresOf, as_the_paper: Mapping[str, float]
) -> None:
    # Six people that all agree get p = 2 / 2**6 each, and more than two such tests no p below 0.05.
    scores = scores_of(as_the_paper, images=24)
    scores["identity"] = (scores["index"] % 6).astype(str)
    frame = evaluate_claims(scores)
    row = claim_in(frame, "PA+SR above SR+PA, FHC: PSNR")
    assert row["effect"] > 0.5
    assert row["verdict"] == "undecidable with 6 people"
    assert row["p"] == 2 / 2**6
    tests = frame["p"].notna().sum()
    assert row["why"].startswith(
        f"undecidable: had all 6 people agreed, p would still be {min(1, tests / 32):.2g} (as stated in"
    )
    assert not (frame["verdict"] == NOT_REPRODUCED).any()
    assert f"{frame['verdict'].str.startswith(UNDECIDABLE).sum()} undecidable with so few people" in claims_counted(frame)
    without = scores.assign(identity="")
    assert claim_in(evaluate_claims(without), "PA+SR above SR+PA, FHC: PSNR")["verdict"] == REPRODUCED


def test_what_few_people_could_have_shown_depends_on_the_other_tests(claim_in: ClaimIn, scores_of: ScoresOf) -> None:
    # One test of PSNR and one of SSIM: the smaller p of 1 / 32 counts twice, more than 0.05; the larger once.
    scores = scores_of({"gfc+fhc": 1.0, "fhc+gfc": 0.0}, images=6, masks=("square",))
    for pipeline, worse in (("gfc+fhc", 1.0), ("fhc+gfc", 0.0)):
        chosen = (scores["pipeline"] == pipeline) & (scores["index"] < 3)
        scores.loc[chosen, "ssim"] = worse - 0.5  # the first three as stated, the others the other way
        scores.loc[(scores["pipeline"] == pipeline) & (scores["index"] >= 3), "ssim"] = 0.5 - worse
    starts = [
        f"PA+SR above SR+PA, {which}: {title}"
        for title in ("PSNR", "SSIM")
        for which in ("FHC", "all super-resolvers together")
    ]
    frame = evaluate_claims(scores)
    found = frame[frame["p"].notna()]
    assert len(found) == 2
    assert found["p"].tolist() == [1 / 32, 1.0]
    assert set(found["verdict"]) == {"undecidable with 6 photographs"}
    assert all(claim_in(frame, start)["verdict"] == NOT_TESTABLE for start in starts[1::2])


def test_readers_are_told_what_was_compared_alone(scores_of: ScoresOf, as_the_paper: Mapping[str, float]) -> None:
    some = {name: lead for name, lead in as_the_paper.items() if "pulse" not in name}
    frame = evaluate_claims(scores_of(some))
    chosen = frame["claim"].str.startswith("Pro-UIGAN best of the 8 that are here, demo, square: PSNR")
    shown = claims_shown(frame[chosen])
    assert shown["verdict"].tolist() == ["reproduced, 7 of 9 compared"]
    assert shown["units"].tolist() == [14]
    alone = (frame["verdict"] == REPRODUCED) & frame["compared"].isin(["7 of 9", "3 of 4", "12 of 16", "6 of 8", "8 of 10"])
    assert f"({alone.sum()} of them with some of the paper's comparisons alone)" in claims_counted(frame)
