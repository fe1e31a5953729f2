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
from occface.benchmark.scores import COLUMNS, ScoreRow, load_scores, software_versions, write_scores
from occface.errors import OccfaceError, UsageError
from occface.metrics import CONTRACT


def _row(image: str = "a.png", index: int = 0, **changes: object) -> ScoreRow:
    row = ScoreRow("demo", "square", "SR+PA", "bicubic+gfc", image, index, hole_area=0.25, psnr=21.5, ssim=0.5, seconds=0.1)
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
    row = _row(image, psnr=psnr, ssim=ssim, seconds=seconds, identity=identity)
    write_scores(folder / "a.csv", [row])
    read = load_scores(folder).iloc[0]
    for name, value in dataclasses.asdict(row).items():
        assert math.isnan(read[name]) if value is None else read[name] == value, name


def test_texts_that_look_like_something_else_stay_texts(tmp_path: Path) -> None:
    names = ["NA", "nan", "", "007", "1e5", "True", 'a,"b"', "Ünïcode 脸", "two\nlines"]
    write_scores(tmp_path / "a.csv", [_row(str(i), i, identity=name) for i, name in enumerate(names)])
    assert load_scores(tmp_path)["identity"].tolist() == names


def test_a_failed_image_is_a_row_with_an_error_and_no_scores(tmp_path: Path) -> None:
    write_scores(tmp_path / "a.csv", [_row("a", 0), _row("b", 1, psnr=None, ssim=None, seconds=None, error="out of memory")])
    scores = load_scores(tmp_path)
    assert scores["error"].tolist() == ["", "out of memory"]
    assert scores.loc[1, ["psnr", "ssim", "seconds"]].isna().all()
    assert scores["psnr"].count() == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"error": "broken"}, "expected no scores for the failed image 'a.png'"),
        ({"psnr": None}, "expected two scores or an error"),
        ({"ssim": math.nan}, "expected two scores or an error"),
        ({"psnr": None, "ssim": None}, "expected two scores or an error"),
        ({"mask_given": "guessed"}, "true, estimated or empty, got 'guessed'"),
        ({"order": "PA"}, r"expected an order out of SR, SR\+PA, .* got 'PA'"),
    ],
)
def test_rows_that_would_deceive_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        _row(**changes)  # type: ignore[arg-type]


def test_bytes_do_not_depend_on_the_order_of_the_rows(tmp_path: Path) -> None:
    rows = [
        _row(f"{index}.png", index, pipeline=pipeline, order=order, mask_type=mask, psnr=20 + index / 7)
        for index in range(12)
        for pipeline, order in (("bicubic+gfc", "SR+PA"), ("gfc+bicubic", "PA+SR"), ("pro-uigan", "joint"))
        for mask in ("square", "irregular")
    ]
    write_scores(tmp_path / "a.csv", rows)
    before = (tmp_path / "a.csv").read_bytes()
    random.Random(0).shuffle(rows)
    write_scores(tmp_path / "a.csv", rows)
    assert (tmp_path / "a.csv").read_bytes() == before
    assert load_scores(tmp_path)["index"].tolist()[:12] == list(range(12))  # 10 comes after 9, not after 1


def test_numpy_scores_are_written_as_numbers(tmp_path: Path) -> None:
    write_scores(tmp_path / "a.csv", [_row(psnr=np.float64(0.1) + np.float64(0.2), ssim=np.float32(0.5))])
    text = (tmp_path / "a.csv").read_text()
    assert "0.30000000000000004,0.5,0.1" in text
    assert "np" not in text.splitlines()[1].replace("a.png", "")


def test_the_file_is_plain_csv(tmp_path: Path) -> None:
    write_scores(tmp_path / "a.csv", [_row()])
    plain = pd.read_csv(tmp_path / "a.csv")
    assert tuple(plain.columns) == COLUMNS
    assert plain.loc[0, "psnr"] == 21.5


def test_result_json_says_what_made_each_file(tmp_path: Path) -> None:
    failed = _row("b", 1, psnr=None, ssim=None, error="broken")
    write_scores(tmp_path / "a.csv", [_row(), failed], {"seed": 7, "device": "cpu"})
    write_scores(tmp_path / "b.csv", [_row("c", 2)])
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["metric_contract"] == CONTRACT
    assert set(result["files"]) == {"a.csv", "b.csv"}
    entry = result["files"]["a.csv"]
    assert (entry["rows"], entry["failed"], entry["seed"], entry["device"]) == (2, 1, 7, "cpu")
    assert entry["sha256"] == files.sha256_file(tmp_path / "a.csv")
    assert entry["versions"] == software_versions()
    assert entry["versions"]["numpy"] == np.__version__


def test_several_files_are_read_as_one(tmp_path: Path) -> None:
    write_scores(tmp_path / "2.csv", [_row("a", 0)])
    write_scores(tmp_path / "1.csv", [_row("a", 0, pipeline="pro-uigan", order="joint")])
    assert load_scores(tmp_path)["pipeline"].tolist() == ["bicubic+gfc", "pro-uigan"]


def test_one_pipeline_with_both_masks_is_two(tmp_path: Path) -> None:
    write_scores(tmp_path / "a.csv", [_row(mask_given="true", psnr=22.0), _row(mask_given="estimated", psnr=20.0)])
    scores = load_scores(tmp_path)
    assert dict(zip(scores["mask_given"], scores["psnr"], strict=True)) == {"true": 22.0, "estimated": 20.0}


def test_the_same_image_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"got two for \('demo', 'square', 'bicubic\+gfc', '', 'a.png'\)"):
        write_scores(tmp_path / "a.csv", [_row(), _row(psnr=3.0)])
    assert not list(tmp_path.iterdir())
    write_scores(tmp_path / "a.csv", [_row()])
    write_scores(tmp_path / "b.csv", [_row(psnr=3.0)])
    with pytest.raises(UsageError, match=r"found two of image 'a.png' for bicubic\+gfc \(demo, square\)"):
        load_scores(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n", "found no column dataset"),
        ("", "cannot be read"),
        (",".join(COLUMNS) + ",more\n", "found the columns"),
        (",".join(COLUMNS[:-1]) + "\n", "found no column missed"),
        (",".join(COLUMNS) + "\nd,square,joint,p,a,0,,,,.1,much,.5,.1,,,\n", "cannot be read"),
        (",".join(COLUMNS) + "\nd,square,both,p,a,0,,,,.1,20,.5,.1,,,\n", "expected order out of .* found both"),
        (
            ",".join(COLUMNS) + "\nd,square,joint,p,a,0,,,,.1,20,.5,.1,,mine,\n",
            "expected mask_given out of .* found mine",
        ),
    ],
)
def test_somebody_elses_csv_is_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "other.csv").write_text(text)
    with pytest.raises(UsageError, match=message) as caught:
        load_scores(tmp_path)
    assert "other.csv" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_empty_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"expected score files .* found none; run the benchmark"):
        load_scores(tmp_path)


def test_a_place_that_cannot_be_written_leaves_the_old_scores(tmp_path: Path) -> None:
    (tmp_path / "a.csv").mkdir()
    with pytest.raises(OccfaceError, match="could not write"):
        write_scores(tmp_path / "a.csv", [_row()])
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]
