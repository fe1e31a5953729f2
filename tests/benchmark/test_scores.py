from __future__ import annotations

import dataclasses
import json
import math
import random
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from occface import files
from occface.benchmark.scores import COLUMNS, ScoreRow, load_scores, read_facts, write_scores
from occface.errors import OccfaceError, UsageError
from occface.versions import software_versions


def _row(image: str = "a.png", index: int = 0, psnr: float = 21.5, ssim: float = 0.5, **changes: object) -> ScoreRow:
    row = ScoreRow(
        "demo", "square", "SR+PA", "bicubic+gfc", image, index, hole_area=0.25, seconds=0.1, scores={"psnr": psnr, "ssim": ssim}
    )
    return dataclasses.replace(row, **changes)  # type: ignore[arg-type]


_finite = st.floats(allow_nan=False, allow_infinity=False)
_text = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=12)


@settings(max_examples=60, deadline=None)
@given(
    psnr=st.one_of(_finite, st.just(math.inf)), ssim=_finite, seconds=st.one_of(st.none(), _finite), image=_text, identity=_text
)
def test_rows_come_back_exactly(
    tmp_path_factory: pytest.TempPathFactory, psnr: float, ssim: float, seconds: float | None, image: str, identity: str
) -> None:
    folder = tmp_path_factory.mktemp("scores")
    row = _row(image, psnr=psnr, ssim=ssim, seconds=seconds, identity=identity, trained_on=identity)
    write_scores(folder / "a.csv", [row])
    read = load_scores(folder).iloc[0]
    values = {name: value for name, value in dataclasses.asdict(row).items() if name != "scores"} | dict(row.scores)
    for name, value in values.items():
        assert math.isnan(read[name]) if value is None else read[name] == value, name


def test_texts_that_look_like_something_else_stay_texts(tmp_path: Path) -> None:
    names = ["NA", "nan", "", "007", "1e5", "True", 'a,"b"', "Ünïcode 脸", "two\nlines"]
    write_scores(tmp_path / "a.csv", [_row(str(i), i, identity=name) for i, name in enumerate(names)])
    assert load_scores(tmp_path)["identity"].tolist() == names


def test_a_failed_image_is_a_row_with_an_error_and_no_scores(tmp_path: Path) -> None:
    write_scores(tmp_path / "a.csv", [_row("a", 0), _row("b", 1, scores={}, seconds=None, error="out of memory")])
    scores = load_scores(tmp_path)
    assert scores["error"].tolist() == ["", "out of memory"]
    assert scores.loc[1, ["psnr", "ssim", "seconds"]].isna().all()
    assert scores["psnr"].count() == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"error": "broken"}, "expected no scores for the failed image 'a.png'"),
        ({"scores": {}}, "expected scores or an error for image 'a.png', got neither"),
        ({"mask_given": "guessed"}, "true, estimated or empty, got 'guessed'"),
        ({"order": "PA"}, r"expected an order out of SR, SR\+PA, .* got 'PA'"),
    ],
)
def test_rows_that_would_deceive_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        _row(**changes)  # type: ignore[arg-type]


def test_all_rows_of_a_file_have_the_same_scores(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"expected the scores psnr, ssim of image 'b', got psnr"):
        write_scores(tmp_path / "a.csv", [_row("a", 0), _row("b", 1, scores={"psnr": 3.0})])
    assert not list(tmp_path.iterdir())


def test_metrics_may_answer_in_words_or_not_at_all(tmp_path: Path) -> None:
    names = ["psnr", "expression_seen"]
    rows = [
        _row("a", 0, scores={"psnr": 20.0, "expression_seen": "smile"}),
        _row("b", 1, scores={"psnr": math.nan, "expression_seen": ""}),
    ]
    write_scores(tmp_path / "a.csv", rows, names)
    write_scores(tmp_path / "b.csv", [_row("c", 2, pipeline="hr", order="reference", scores={"iou": 0.5})], ["iou"])
    scores = load_scores(tmp_path)
    assert list(scores.columns) == [*COLUMNS, "psnr", "expression_seen", "iou"]
    assert scores["expression_seen"].tolist() == ["smile", "", ""]
    assert scores["psnr"].tolist() == pytest.approx([20.0, math.nan, math.nan], nan_ok=True)
    assert scores["iou"].tolist() == pytest.approx([math.nan, math.nan, 0.5], nan_ok=True)


def test_bytes_do_not_depend_on_the_order_of_the_rows(tmp_path: Path) -> None:
    rows = [
        _row(f"{index}.png", index, pipeline=pipeline, order=order, mask_type=mask, trained_on=learnt, psnr=20 + index / 7)
        for index in range(12)
        for pipeline, order in (("bicubic+gfc", "SR+PA"), ("gfc+bicubic", "PA+SR"), ("pro-uigan", "joint"), ("hr", "reference"))
        for mask in ("square", "irregular")
        for learnt in ("", "other")
    ]
    write_scores(tmp_path / "a.csv", rows)
    before = (tmp_path / "a.csv").read_bytes()
    random.Random(0).shuffle(rows)
    write_scores(tmp_path / "a.csv", rows)
    assert (tmp_path / "a.csv").read_bytes() == before
    assert load_scores(tmp_path)["index"].tolist()[:12] == list(range(12))  # 10 comes after 9, not after 1


def test_numpy_scores_are_written_as_numbers(tmp_path: Path) -> None:
    write_scores(tmp_path / "a.csv", [_row(scores={"psnr": np.float64(0.1) + np.float64(0.2), "ssim": np.float32(0.5)})])
    text = (tmp_path / "a.csv").read_text()
    assert "0.30000000000000004,0.5\n" in text
    assert "np" not in text.splitlines()[1].replace("a.png", "")


def test_the_file_is_plain_csv(tmp_path: Path) -> None:
    write_scores(tmp_path / "a.csv", [_row(missed=True)])
    plain = pd.read_csv(tmp_path / "a.csv")
    assert tuple(plain.columns) == (*COLUMNS, "psnr", "ssim")
    assert (plain.loc[0, "psnr"], plain.loc[0, "missed"]) == (21.5, 1)


def test_a_json_file_beside_says_what_made_it(tmp_path: Path) -> None:
    failed = _row("b", 1, scores={}, error="broken")
    write_scores(tmp_path / "a.csv", [_row(missed=True), failed], facts={"seed": 7, "device": "cpu"})
    facts = json.loads((tmp_path / "a.json").read_text())
    assert (facts["rows"], facts["failed"], facts["missed"], facts["seed"], facts["device"]) == (2, 1, 1, 7, "cpu")
    assert facts["sha256"] == files.sha256_file(tmp_path / "a.csv")
    assert facts["versions"] == software_versions()
    assert facts["versions"]["numpy"] == np.__version__
    assert read_facts(tmp_path / "a.csv") == facts


def test_facts_of_changed_or_other_files_are_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    assert read_facts(path) == {}
    write_scores(path, [_row()])
    facts = json.loads((tmp_path / "a.json").read_text())
    for wrong in ("{", "[]", json.dumps(facts | {"schema_version": 3}), json.dumps(facts | {"sha256": "0"})):
        (tmp_path / "a.json").write_text(wrong)
        assert read_facts(path) == {}
    (tmp_path / "a.json").write_text(json.dumps(facts))
    assert read_facts(path) == facts
    path.write_text(path.read_text() + "\n")
    assert read_facts(path) == {}
    (tmp_path / "a.json").unlink()
    assert read_facts(path) == {}


def test_several_files_are_read_as_one(tmp_path: Path) -> None:
    write_scores(tmp_path / "2.csv", [_row("a", 0)])
    write_scores(tmp_path / "1.csv", [_row("a", 0, pipeline="pro-uigan", order="joint")])
    assert load_scores(tmp_path)["pipeline"].tolist() == ["bicubic+gfc", "pro-uigan"]
    assert load_scores(tmp_path, ["1.csv"])["pipeline"].tolist() == ["pro-uigan"]


def test_one_pipeline_with_both_masks_or_trained_on_two_data_sets_is_two(tmp_path: Path) -> None:
    rows = [_row(mask_given="true", psnr=22.0), _row(mask_given="estimated", psnr=20.0), _row(trained_on="other", psnr=18.0)]
    write_scores(tmp_path / "a.csv", rows)
    scores = load_scores(tmp_path)
    found = dict(zip(zip(scores["trained_on"], scores["mask_given"], strict=True), scores["psnr"], strict=True))
    assert found == {("", "true"): 22.0, ("", "estimated"): 20.0, ("other", ""): 18.0}


def test_the_same_image_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"got two for \('demo', 'square', 'bicubic\+gfc', '', '', 'a.png'\)"):
        write_scores(tmp_path / "a.csv", [_row(), _row(psnr=3.0)])
    assert not list(tmp_path.iterdir())
    write_scores(tmp_path / "a.csv", [_row()])
    write_scores(tmp_path / "b.csv", [_row(psnr=3.0)])
    with pytest.raises(UsageError, match=r"found two of image 'a.png' for bicubic\+gfc \(demo, square\)"):
        load_scores(tmp_path)


_HEAD = ",".join([*COLUMNS, "psnr"]) + "\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n", "found no column dataset"),
        ("", "cannot be read"),
        (",".join(["psnr", *COLUMNS]) + "\n", "found the columns psnr"),
        (",".join(COLUMNS[:-1]) + "\n", "found no column missed"),
        (_HEAD + "d,square,joint,p,,,a,0,,,,much,.1,,,20\n", "cannot be read"),
        (_HEAD + "d,square,joint,p,,,a,first,,,,.1,.1,,,20\n", "cannot be read"),
        (_HEAD + "d,square,both,p,,,a,0,,,,.1,.1,,,20\n", "expected order out of .* found both"),
        (_HEAD + "d,square,joint,p,,mine,a,0,,,,.1,.1,,,20\n", "expected mask_given out of .* found mine"),
    ],
)
def test_somebody_elses_csv_is_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "other.csv").write_text(text)
    with pytest.raises(UsageError, match=message) as caught:
        load_scores(tmp_path)
    assert "other.csv" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_plain_file_of_somebody_else_in_our_form_can_be_read(tmp_path: Path) -> None:
    (tmp_path / "theirs.csv").write_text(_HEAD + "d,square,joint,theirs,,,a,0,,,,.1,.1,,,20\n")
    assert load_scores(tmp_path)["psnr"].tolist() == [20.0]


def test_an_empty_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"expected score files .* found none; run the benchmark"):
        load_scores(tmp_path)


def test_a_place_that_cannot_be_written_leaves_the_old_scores(tmp_path: Path) -> None:
    (tmp_path / "a.csv").mkdir()
    with pytest.raises(OccfaceError, match="could not write"):
        write_scores(tmp_path / "a.csv", [_row()])
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]
