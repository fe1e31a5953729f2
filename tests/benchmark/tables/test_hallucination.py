from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from occface.benchmark.scores import ScoreRow, load_scores, write_scores
from occface.benchmark.tables import TABLES, Frames, best_cells, table_1

_Cell = Callable[..., pd.DataFrame]
_PIPELINES = {"pro-uigan": "joint", "gfc+bicubic": "PA+SR", "bicubic": "SR", "fcsr-gan": "joint", "bicubic+gfc": "SR+PA"}


def _build(key: str, *cells: pd.DataFrame) -> pd.DataFrame | None:
    return TABLES[key].build(Frames(pd.concat(cells, ignore_index=True)))


def test_table_1_of_score_files_has_the_papers_order(tmp_path: Path) -> None:
    rows = [
        ScoreRow(
            "demo", mask, order, pipeline, f"{face}", face, scores={"psnr": 10 * m + p + face / 2, "ssim": m / 10 + p / 100}
        )
        for m, mask in enumerate(("walk", "square", "irregular"))
        for p, (pipeline, order) in enumerate(_PIPELINES.items())
        for face in range(4)
    ]
    write_scores(tmp_path / "scores" / "a.csv", rows)
    table = table_1(load_scores(tmp_path / "scores"))
    assert table.index.tolist() == [
        (mask, order, method)
        for mask in ("irregular", "square", "walk")
        for order, method in (
            ("SR", "Bicubic"),
            ("SR+PA", "Bicubic + GFC"),
            ("PA+SR", "GFC + Bicubic"),
            ("joint", "FCSR-GAN"),
            ("joint", "Pro-UIGAN"),
        )
    ]
    assert table.loc[("square", "SR", "Bicubic"), ("demo", "PSNR")] == 12.75
    assert table.loc[("irregular", "PA+SR", "GFC + Bicubic"), ("demo", "SSIM")] == pytest.approx(0.21)


def test_no_rows_make_no_table() -> None:
    with pytest.raises(ValueError, match="expected score rows"):
        table_1(pd.DataFrame())


def test_table_1_has_no_references_no_retrained_variants_and_no_studies_of_masks(cell: _Cell) -> None:
    cells = [cell("pro-uigan"), cell("pro-uigan:released"), cell("pro-uigan:p-gt"), cell("pro-uigan:l-star")]
    cells += [cell("hr", "reference"), *(cell("pro-uigan", mask_type=mask) for mask in ("square_16", "square_64"))]
    cells += [cell("pro-uigan", mask_type=mask) for mask in ("eyes", "half")]
    table = _build("1", *cells)
    assert table is not None
    assert table.index.tolist() == [("square", "joint", "Pro-UIGAN"), ("square", "joint", "Pro-UIGAN (released)")]


def test_table_1_holds_models_against_each_other_that_learnt_from_the_same(cell: _Cell) -> None:
    both = [cell("pro-uigan", trained_on="demo", psnr=[30.0]), cell("pro-uigan", trained_on="Helen", psnr=[10.0])]
    table = _build("1", *both, cell("fcsr-gan", trained_on="Helen", psnr=[20.0]))
    assert table is not None
    assert table[("demo", "PSNR")].tolist() == [20, 10]
    assert "On demo, all that learn had learnt from Helen." in table.attrs["caption"]
    # Most learnt from another one, and none from the data set itself.
    table = _build("1", both[1], both[1].assign(trained_on="wild"), cell("fcsr-gan", trained_on="Helen"))
    assert table is not None
    assert [row[2] for row in table.index] == ["FCSR-GAN", "Pro-UIGAN"]
    # As many learnt from the data set itself; the one that did not keeps what it has.
    table = _build("1", *both, cell("fcsr-gan", trained_on="demo", psnr=[20.0]), cell("gfc+fhc", "PA+SR", trained_on="Helen"))
    assert table is not None
    assert table[("demo", "PSNR")].tolist() == [20.5, 20, 30]
    assert "On demo, GFC + FHC had learnt from Helen." in table.attrs["caption"]


def test_table_2_holds_three_rows_and_the_one_that_is_given_the_truth_does_not_compete(cell: _Cell) -> None:
    values = {"pro-uigan": 25.0, "pro-uigan:p-gt": 26.0, "pro-uigan:p-fp": 22.0, "fcsr-gan": 23.0}
    table = _build("2", *(cell(name, psnr=[value] * 5) for name, value in values.items()), cell("pro-uigan", mask_type="walk"))
    assert table is not None
    assert table.index.tolist() == [("square", "P-FP"), ("square", "P+GT"), ("square", "Pro-UIGAN")]
    assert table[("demo", "PSNR")].tolist() == [22, 26, 25]
    assert best_cells(table)[("demo", "PSNR")].tolist() == [False, False, True]
    assert "upper bound" in table.attrs["caption"]


def test_table_3_holds_the_losses_in_the_papers_order(cell: _Cell) -> None:
    names = ("pro-uigan", "pro-uigan:l-star", "pro-uigan:l-minus", "pro-uigan:l-ddagger", "pro-uigan:l-dagger")
    table = _build("3", *(cell(name, mask_type=mask) for name in names for mask in ("square", "irregular")))
    assert table is not None
    assert table.index.tolist() == [(mask, loss) for mask in ("irregular", "square") for loss in ("L-", "L†", "L‡", "L*", "L")]


def test_table_5_says_what_was_learnt_from_and_what_is_scored(cell: _Cell) -> None:
    sets = ("Helen", "CelebA-HQ")
    cells = [
        cell("pro-uigan", dataset=test, trained_on=train, psnr=[10.0 * t + u] * 5)
        for t, train in enumerate(sets)
        for u, test in enumerate(sets)
    ]
    table = _build("5", *cells, cell("fcsr-gan", dataset="Helen", trained_on="Helen"), cell("bicubic", "SR", "Helen"))
    assert table is not None
    assert table.index.tolist() == [("square", "Pro-UIGAN", "CelebA-HQ"), ("square", "Pro-UIGAN", "Helen")]
    assert table[("Helen", "PSNR")].tolist() == [10, 0]
    assert table[("CelebA-HQ", "PSNR")].tolist() == [11, 1]
    assert best_cells(table)[("Helen", "PSNR")].tolist() == [True, False]


def test_tables_without_their_rows_are_not_there(cell: _Cell) -> None:
    rows = cell("pro-uigan", trained_on="demo")
    assert [_build(key, rows) for key in ("2", "3", "5")] == [None] * 3
    assert _build("5", rows.drop(columns="trained_on")) is None
    assert _build("1", cell("hr", "reference")) is None
    others = rows.drop(columns=["psnr", "ssim"]).assign(trained_on="Helen", pose="0", iou=0.5)
    variants = others.assign(pipeline="pro-uigan:p-gt")
    assert [_build(key, others, variants) for key in ("1", "2", "5", "by-pose", "by-hole-area")] == [None] * 5
