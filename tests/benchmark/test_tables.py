from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pandas as pd
import pytest

from occface.benchmark.scores import ScoreRow, load_scores, write_scores
from occface.benchmark.tables import best_cells, format_cell, latex, markdown, table_1, write_table
from occface.metrics import CONTRACT

_PIPELINES = {"bicubic": "SR", "bicubic+gfc": "SR+PA", "gfc+bicubic": "PA+SR", "fcsr-gan": "joint", "pro-uigan": "joint"}


def _rows() -> list[ScoreRow]:
    """Return four faces a cell; with s = 10 x mask + place of the pipeline, PSNR is s + face / 2 and SSIM s / 100."""
    return [
        ScoreRow("demo", mask, order, pipeline, f"{face}", face, psnr=10 * m + p + face / 2, ssim=(10 * m + p) / 100)
        for m, mask in enumerate(("square", "irregular"), start=1)
        for p, (pipeline, order) in enumerate(_PIPELINES.items())
        for face in range(4)
    ]


def _table(rows: list[ScoreRow], folder: Path) -> pd.DataFrame:
    write_scores(folder / "scores" / "a.csv", rows)
    return table_1(load_scores(folder / "scores"))


def test_means_and_n_by_hand(tmp_path: Path) -> None:
    table = _table(_rows(), tmp_path)
    assert table.loc[("square", "SR", "Bicubic"), ("demo", "PSNR")] == 10.75
    assert table.loc[("irregular", "joint", "Pro-UIGAN"), ("demo", "PSNR")] == 24.75
    assert table.loc[("irregular", "PA+SR", "GFC + Bicubic"), ("demo", "SSIM")] == pytest.approx(0.22)
    assert (table[("demo", "n")] == 4).all()


def test_rows_stand_in_the_papers_order(tmp_path: Path) -> None:
    assert _table(_rows(), tmp_path).index.tolist() == [
        (mask, order, method)
        for mask in ("irregular", "square")
        for order, method in (
            ("SR", "Bicubic"),
            ("SR+PA", "Bicubic + GFC"),
            ("PA+SR", "GFC + Bicubic"),
            ("joint", "FCSR-GAN"),
            ("joint", "Pro-UIGAN"),
        )
    ]


def test_failures_are_counted_and_in_no_mean(tmp_path: Path) -> None:
    rows = [
        dataclasses.replace(row, psnr=None, ssim=None, error="broken") if row.pipeline == "pro-uigan" and row.index > 1 else row
        for row in _rows()
    ]
    table = _table(rows, tmp_path)
    cells = table.loc[("square", "joint", "Pro-UIGAN"), "demo"]
    assert (cells["PSNR"], cells["n"], cells["failed"]) == (14.25, 2, 2)
    assert table[("demo", "failed")].sum() == 4
    assert "demo: n = 2 to 4" in table.attrs["caption"]
    assert "4 image(s) failed" in table.attrs["caption"]


def test_a_pipeline_that_never_worked_has_no_number(tmp_path: Path) -> None:
    rows = [ScoreRow("demo", "walk", "joint", "theirs", "a", 0, error="broken")]
    table = _table(rows, tmp_path)
    assert math.isnan(table.iloc[0][("demo", "PSNR")])
    assert table.iloc[0][("demo", "n")] == 0
    assert "| walk | joint | theirs | – | – | 0 | 1 |" in markdown(table)  # noqa: RUF001 - an en dash is meant


def test_what_was_not_run_on_a_data_set_is_a_dash_and_n_0(tmp_path: Path) -> None:
    rows = [*_rows(), ScoreRow("extra", "square", "joint", "pro-uigan", "a", 0, psnr=30.0, ssim=1.0)]
    table = _table(rows, tmp_path)
    assert table.columns.unique(0).tolist() == ["demo", "extra"]
    assert table[("extra", "n")].sum() == 1
    assert table.loc[("square", "joint", "Pro-UIGAN"), ("extra", "PSNR")] == 30
    assert table[("extra", "PSNR")].isna().sum() == 9


def test_identical_images_make_the_mean_infinite(tmp_path: Path) -> None:
    rows = [ScoreRow("d", "square", "joint", "p", str(i), i, psnr=value, ssim=1.0) for i, value in enumerate((20.0, math.inf))]
    table = _table(rows, tmp_path)
    assert table.iloc[0][("d", "PSNR")] == math.inf
    assert "| inf |" in markdown(table)


def test_no_rows_make_no_table() -> None:
    with pytest.raises(ValueError, match="expected score rows"):
        table_1(pd.DataFrame())


def test_best_is_the_largest_of_each_mask_type_ties_and_all(tmp_path: Path) -> None:
    rows = [dataclasses.replace(row, psnr=16.0) if row.pipeline in ("bicubic", "pro-uigan") else row for row in _rows()]
    rows.append(ScoreRow("demo", "square", "reference", "truth", "0", 0, psnr=99.0, ssim=1.0))
    best = best_cells(_table(rows, tmp_path))
    assert best.index[best[("demo", "PSNR")]].tolist() == [
        ("irregular", "joint", "FCSR-GAN"),
        ("square", "SR", "Bicubic"),
        ("square", "joint", "Pro-UIGAN"),
    ]
    assert not best[("demo", "n")].any()


def test_what_prints_alike_is_marked_alike(tmp_path: Path) -> None:
    values = {"bicubic": 20.00011, "pro-uigan": 20.00019, "fcsr-gan": 19.9989}
    rows = [ScoreRow("d", "square", _PIPELINES[name], name, "a", 0, psnr=value, ssim=0.5) for name, value in values.items()]
    assert best_cells(_table(rows, tmp_path))[("d", "PSNR")].tolist() == [True, False, True]


def test_rows_of_fewer_images_do_not_compete(tmp_path: Path) -> None:
    scored = {"bicubic": [20.0, 21.0], "pro-uigan": [22.0, 23.0], "fcsr-gan": [40.0]}
    rows = [
        ScoreRow("d", "square", _PIPELINES[name], name, str(image), image, psnr=value, ssim=0.5)
        for name, values in scored.items()
        for image, value in enumerate(values)
    ]
    best = best_cells(_table(rows, tmp_path))[("d", "PSNR")]
    assert best.index[best].tolist() == [("square", "joint", "Pro-UIGAN")]


def test_the_table_is_written_three_times(tmp_path: Path) -> None:
    table = _table(_rows(), tmp_path)
    paths = write_table(table, tmp_path / "tables" / "table_1")
    assert [path.name for path in paths] == ["table_1.csv", "table_1.md", "table_1.tex"]
    back = pd.read_csv(paths[0], header=[0, 1], index_col=[0, 1, 2])
    pd.testing.assert_frame_equal(back, table, check_exact=True)
    for path in paths[1:]:
        text = path.read_text()
        assert "n = 4" in text
        assert CONTRACT in text


def test_markdown_is_a_rectangle_with_the_best_in_bold(tmp_path: Path) -> None:
    lines = markdown(_table(_rows(), tmp_path)).splitlines()
    assert lines[0] == "| mask type | order | method | PSNR ↑ | SSIM ↑ | n |"
    assert lines[1] == "| --- | --- | --- | ---: | ---: | ---: |"
    assert "| irregular | joint | Pro-UIGAN | **24.750** | **0.240** | 4 |" in lines
    assert {line.count("|") for line in lines} == {7}


def test_markdown_escapes_bars(tmp_path: Path) -> None:
    rows = [ScoreRow("d", "square", "joint", "a|b", "x", 0, psnr=1.0, ssim=0.0)]
    assert r"| a\|b |" in markdown(_table(rows, tmp_path))


def test_latex_is_a_booktabs_table_with_everything_escaped(tmp_path: Path) -> None:
    rows = [dataclasses.replace(row, dataset="my_set 100%") for row in _rows()]
    rows.append(ScoreRow("my_set 100%", "square", "joint", "a_b&c", "x", 0, psnr=1.0, ssim=0.0))
    text = latex(_table(rows, tmp_path), "tab:one")
    for part in (r"\toprule", r"\midrule", r"\bottomrule", r"\multicolumn{3}{c}{my\_set 100\%}", r"\label{tab:one}"):
        assert part in text
    assert r"\multirow[t]{5}{*}{irregular} & SR & Bicubic & 20.750 & 0.200 & 4 \\" in text
    assert r"& Pro-UIGAN & \textbf{24.750} & \textbf{0.240} & 4 \\" in text
    assert r"a\_b\&c" in text
    assert text.count("{") == text.count("}")
    body = text[text.index(r"\toprule") : text.index(r"\bottomrule")].replace("\\\\", "").replace(r"\&", "")
    assert {line.count("&") for line in body.splitlines() if "&" in line and "multicolumn" not in line} == {5}


def test_a_mask_that_is_estimated_makes_a_row_of_its_own_and_the_caption_says_who_was_given_one(tmp_path: Path) -> None:
    rows = _rows()
    assert "No method is given a mask." in _table(rows, tmp_path / "none").attrs["caption"]
    needs = [dataclasses.replace(row, mask_given="true") if "gfc" in row.pipeline else row for row in rows]
    caption = _table(needs, tmp_path / "one").attrs["caption"]
    assert "Given the true mask of every face: Bicubic + GFC, GFC + Bicubic. All others are given none." in caption
    both = needs + [
        dataclasses.replace(row, mask_given="estimated", psnr=1.0)
        for row in needs
        if row.pipeline == "gfc+bicubic" and row.index < 2
    ]
    table = _table(both, tmp_path / "both")
    own = table.loc[("square", "PA+SR", "GFC + Bicubic (mask estimated)"), "demo"]
    assert (own["PSNR"], own["n"]) == (1.0, 2)
    assert table.loc[("square", "PA+SR", "GFC + Bicubic"), ("demo", "n")] == 4
    methods = [row[2] for row in table.index if row[0] == "square"]
    assert methods.index("GFC + Bicubic (mask estimated)") == methods.index("GFC + Bicubic") + 1
    assert "Given a mask estimated from the LR face: GFC + Bicubic." in table.attrs["caption"]
    assert "Rows of smaller n are means over fewer images" in table.attrs["caption"]
    assert "smaller n" not in caption


def test_cells() -> None:
    assert [format_cell(("d", name), value) for name, value in (("PSNR", 1.23456), ("n", 1568), ("SSIM", 0.5))] == [
        "1.235",
        "1568",
        "0.500",
    ]
