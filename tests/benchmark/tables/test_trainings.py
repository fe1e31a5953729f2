from __future__ import annotations

from collections.abc import Callable

import pandas as pd
import pytest

from occface.benchmark.tables import TABLES, Frames, latex, markdown

_Cell = Callable[..., pd.DataFrame]


def _training(
    pipeline: str, trained_on: str, method: str, minutes: float, images: int, as_paper: bool = False
) -> dict[str, object]:
    about = {"pipeline": pipeline, "trained_on": trained_on, "method": method, "minutes": minutes, "images": images}
    return {**about, "device": "Some CPU", "as_paper": as_paper}


@pytest.fixture
def trainings() -> pd.DataFrame:
    return pd.DataFrame(
        [
            _training("gfc+fhc", "demo", "gfc", 1.5, 800),
            _training("gfc+fhc", "demo", "fhc", 2.0, 400, as_paper=True),
            _training("pro-uigan", "demo", "pro-uigan", 3.0, 1000),
            _training("pro-uigan", "other", "pro-uigan", 4.0, 900),
            _training("pro-uigan:l-minus", "demo", "pro-uigan:l-minus", 2.5, 1000),
        ]
    )


def test_rows_say_how_long_all_their_networks_were_trained(cell: _Cell, trainings: pd.DataFrame) -> None:
    scores = pd.concat(
        [
            cell("bicubic", "SR"),
            cell("gfc+fhc", "PA+SR", trained_on="demo", mask_given="true"),
            cell("pro-uigan", trained_on="demo"),
            cell("pro-uigan", dataset="other", trained_on="other"),
        ],
        ignore_index=True,
    )
    table = TABLES["1"].build(Frames(scores, trainings=trainings))
    assert table is not None
    minutes = {row[2]: value for row, value in table[("training", "minutes")].items()}
    assert minutes == {"Bicubic": pytest.approx(float("nan"), nan_ok=True), "GFC + FHC": 3.5, "Pro-UIGAN": 4.0}
    assert table.loc[("square", "PA+SR", "GFC + FHC"), ("training", "images seen")] == 1200
    assert "those of the longest" in table.attrs["caption"]  # Pro-UIGAN learnt from each of the two
    assert "Trained by the paper's whole schedule: FHC." in table.attrs["caption"]
    assert "(Some CPU)" in table.attrs["caption"]
    assert "| training minutes | training images seen |" in markdown(table)
    assert r"\multicolumn{2}{c}{training}" in latex(table, "tab:one")
    without = TABLES["1"].build(Frames(scores))
    assert without is not None
    assert "training" not in without.columns.unique(0)


def test_tables_iii_and_v_say_it_of_each_model(cell: _Cell, trainings: pd.DataFrame) -> None:
    variants = pd.concat([cell("pro-uigan", trained_on="demo"), cell("pro-uigan:l-minus", trained_on="demo")])
    table = TABLES["3"].build(Frames(variants, trainings=trainings))
    assert table is not None
    assert table[("training", "minutes")].to_dict() == {("square", "L-"): 2.5, ("square", "L"): 3.0}
    models = pd.concat([cell("pro-uigan", trained_on="demo"), cell("pro-uigan", trained_on="other")])
    table = TABLES["5"].build(Frames(models, trainings=trainings))
    assert table is not None
    assert table[("training", "minutes")].tolist() == [3.0, 4.0]
    assert "longest" not in table.attrs["caption"]


def test_table_v_leaves_out_what_has_one_model_where_another_has_several(cell: _Cell) -> None:
    models = [cell("pro-uigan", trained_on=name, dataset=data) for name in ("demo", "other") for data in ("demo", "other")]
    away = cell("gfc+fhc", "PA+SR", trained_on="demo", dataset="other", mask_given="true")
    table = TABLES["5"].build(Frames(pd.concat([*models, away])))
    assert table is not None
    assert set(table.index.get_level_values("method")) == {"Pro-UIGAN"}
    alone = TABLES["5"].build(Frames(away))
    assert alone is not None
    assert alone.index.tolist() == [("square", "GFC + FHC", "demo")]


def test_data_sets_and_metrics_of_which_nothing_is_known_have_no_columns(cell: _Cell) -> None:
    scores = pd.concat(
        [
            cell("pro-uigan", nrmse_outer_eyes=[2.0, 4.0], iou=0.5),
            cell("pro-uigan", dataset="other"),
            cell("pro-uigan", dataset="third", iou=[0.25, 0.75]),
        ]
    )
    table = TABLES["6"].build(Frames(scores))
    assert table is not None
    assert table.columns.unique(0).tolist() == ["demo", "third"]
    assert "NRMSE" in table["demo"]
    assert "NRMSE" not in table["third"]
    assert "| *3.00* | *0.5000* | 2 | *0.5000* | 2 |" in markdown(table)  # with the paper's decimals
