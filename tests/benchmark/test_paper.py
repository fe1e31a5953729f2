from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from occface.benchmark.paper import PAPER_DATASETS, compare, paper_scores, paper_table, pipeline_title
from occface.benchmark.scores import ScoreRow, load_scores, write_scores
from occface.benchmark.tables import table_1
from occface.errors import UsageError


def test_all_tables_are_there() -> None:
    scores = paper_scores()
    assert scores["table"].value_counts().to_dict() == {
        "I": 120,
        "II": 12,
        "III": 20,
        "IV": 18,
        "V": 18,
        "VI": 66,
        "VI-alt": 12,
        "VII": 12,
    }
    # One number is not printed: the paper says "None".
    assert scores["value"].isna().sum() == 1


def test_table_1_holds_the_printed_numbers() -> None:
    table = paper_table("I")
    assert table.shape == (20, 6)
    assert not table.isna().any(axis=None)
    # Read off the page, one from each corner of the table.
    assert table.loc[("irregular", "SR+PA", "Bicubic + GFC"), ("CelebA-HQ", "PSNR")] == 12.926
    assert table.loc[("irregular", "PA+SR", "GFC + Bicubic"), ("Helen", "SSIM")] == 0.368
    assert table.loc[("square", "SR+PA", "PULSE + GFC"), ("Multi-PIE", "PSNR")] == 8.451
    assert table.loc[("square", "PA+SR", "GFC + Re-CPGAN"), ("Helen", "PSNR")] == 18.893
    assert table.loc[("square", "joint", "Pro-UIGAN"), ("Helen", "SSIM")] == 0.681


def test_table_1_has_the_orderings_that_the_paper_claims() -> None:
    table = paper_table("I")
    for method in ("Bicubic", "FHC", "PULSE", "Re-CPGAN"):
        for mask in ("irregular", "square"):
            first = table.loc[(mask, "SR+PA", f"{method} + GFC")]
            second = table.loc[(mask, "PA+SR", f"GFC + {method}")]
            assert (second > first).all()
    irregular, square = table.loc["irregular"], table.loc["square"]
    assert (irregular < square).all(axis=None)
    assert (square.drop(("joint", "Pro-UIGAN")).max() < square.loc[("joint", "Pro-UIGAN")]).all()


def test_unknown_table_is_named() -> None:
    with pytest.raises(UsageError, match="unknown table '1' of the paper"):
        paper_table("1")


@pytest.fixture
def table(tmp_path: Path) -> pd.DataFrame:
    pipelines = [
        ("bicubic", "SR"),
        ("bicubic+gfc", "SR+PA"),
        ("gfc+bicubic", "PA+SR"),
        ("pro-uigan", "joint"),
        ("own", "joint"),
    ]
    masks = ("square", "irregular", "irregular-0.1-0.2", "walk")
    rows = [
        ScoreRow("demo", mask, order, pipeline, "a", 0, psnr=20.0 + m + p, ssim=0.5)
        for (m, mask), (p, (pipeline, order)) in itertools.product(enumerate(masks), enumerate(pipelines))
    ]
    write_scores(tmp_path / "a.csv", rows)
    return table_1(load_scores(tmp_path))


def test_comparison_holds_the_common_rows_alone(table: pd.DataFrame) -> None:
    both = compare(table)
    assert both.index.tolist() == [
        (mask, order, method)
        for mask in ("irregular", "square")
        for order, method in (("SR+PA", "Bicubic + GFC"), ("PA+SR", "GFC + Bicubic"), ("joint", "Pro-UIGAN"))
    ]
    row = both.loc[("square", "joint", "Pro-UIGAN")]
    assert row[("ours: demo", "PSNR")] == 23
    assert row[("ours: demo", "n")] == 1
    assert row[("paper: CelebA-HQ", "PSNR")] == 25.682
    assert "only the order of the methods" in both.attrs["caption"]


@pytest.mark.parametrize("dataset", PAPER_DATASETS)
def test_comparison_with_each_data_set_of_the_paper(table: pd.DataFrame, dataset: str) -> None:
    theirs = compare(table, dataset)[f"paper: {dataset}"]
    expected = paper_table("I")[dataset].loc[theirs.index]
    assert np.array_equal(theirs, expected)


def test_comparison_without_a_common_row_says_so(table: pd.DataFrame) -> None:
    both = compare(table.loc[["walk"]])
    assert both.empty
    assert both.attrs["caption"].startswith("No row")


def test_comparison_with_an_unknown_data_set(table: pd.DataFrame) -> None:
    with pytest.raises(UsageError, match="did you mean 'CelebA-HQ'"):
        compare(table, "CelebA")


def test_titles() -> None:
    assert pipeline_title("pro-uigan") == "Pro-UIGAN"
    assert pipeline_title("their-sr+gfc") == "their-sr + GFC"
