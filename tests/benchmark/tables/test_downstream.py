from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from occface.benchmark.tables import TABLES, Frames, best_cells
from occface.benchmark.tables.downstream import guessing

_Cell = Callable[..., pd.DataFrame]


def _build(key: str, *cells: pd.DataFrame) -> pd.DataFrame | None:
    return TABLES[key].build(Frames(pd.concat(cells, ignore_index=True)))


def test_table_6_has_the_ground_truth_as_a_reference(cell: _Cell) -> None:
    table = _build(
        "6",
        cell("hr", "reference", psnr=[1.0] * 6, nrmse_outer_eyes=0.0, iou=1.0),
        cell("fcsr-gan", psnr=[1.0] * 6, nrmse_outer_eyes=[9.0, 11.0] * 3, iou=[0.5, 0.7] * 3),
        cell("pro-uigan", psnr=[1.0] * 6, nrmse_outer_eyes=[7.0, 8.0] * 3, iou=[0.4] * 5 + [np.nan]),
    )
    assert table is not None
    assert table.index.tolist() == [
        ("square", "joint", "FCSR-GAN"),
        ("square", "joint", "Pro-UIGAN"),
        ("square", "reference", "Ground-truth HR"),
    ]
    assert table[("demo", "NRMSE")].tolist() == [10, 7.5, 0]
    assert table[("demo", "IoU n")].tolist() == [6, 5, 6]
    assert best_cells(table)[("demo", "NRMSE")].tolist() == [False, True, False]
    # The IoU of fewer images has no rival of its n.
    assert not best_cells(table)[("demo", "IoU")].any()


def test_other_normalisers_and_single_classes_have_tables_of_their_own(cell: _Cell) -> None:
    outer = cell("pro-uigan", nrmse_outer_eyes=[7.0, 8.0])
    assert _build("6-normalisers", outer) is None
    assert _build("parsing", outer) is None
    more = outer.assign(nrmse_face_width=[3.0, 5.0], iou_nose=[0.5, 0.25], iou=0.4)
    normalisers, parsing = _build("6-normalisers", more), _build("parsing", more)
    assert normalisers is not None
    assert parsing is not None
    assert normalisers[[("demo", "NRMSE"), ("demo", "NRMSE (face width)")]].iloc[0].tolist() == [7.5, 4]
    assert parsing[("demo", "IoU nose")].tolist() == [0.375]


def test_table_7_counts_right_expressions_between_two_references(cell: _Cell) -> None:
    table = _build(
        "7",
        cell("hr", "reference", psnr=[1.0] * 4, expression_correct=[1.0, 1.0, 1.0, 0.0]),
        cell("bicubic", "SR", psnr=[1.0] * 4, expression_correct=[0.0, 0.0, 0.0, 1.0]),
        cell("bicubic+gfc", "SR+PA", psnr=[1.0] * 4, expression_correct=[0.0, 0.0, 1.0, 1.0]),
    )
    assert table is not None
    assert table[("demo", "accuracy (%)")].to_dict() == {
        ("square", "SR+PA", "Bicubic + GFC"): 50,
        ("square", "reference", "Occluded LR"): 25,
        ("square", "reference", "Ground-truth HR"): 75,
    }
    assert "mean over images, not over folds" in table.attrs["caption"]


def test_table_7_names_the_classes_and_chance(cell: _Cell) -> None:
    labels = ["neutral", "smile", "smile", "smile", "scream", "smile"]
    judged = cell("pro-uigan", psnr=[1.0] * 6, expression=labels, expression_correct=1.0)
    several = cell("fcsr-gan", psnr=[1.0] * 6, expression=labels, expression_correct=[0.0, 1.0, 0.0, 1.0, np.nan, 0.0])
    table = _build("7", judged, several, judged.assign(mask_type="irregular"))
    assert table is not None
    assert (
        "demo has 3 classes (neutral, scream, smile); guessing the commonest is right on 66.67 % of 6 faces."
        in table.attrs["caption"]
    )
    nine = cell("pro-uigan", psnr=[1.0] * 9, expression=list("abcdefghi"), expression_correct=1.0)
    assert guessing(nine) == "demo has 9 classes; guessing the commonest is right on 11.11 % of 9 faces."


def test_recognition_is_by_region(cell: _Cell) -> None:
    seen = {"eyes": [1.0, 1.0], "half": [0.0, 1.0], "square": [0.0, 0.0]}
    cells = [cell("pro-uigan", mask_type=mask, identified=values, identity_cosine=0.75) for mask, values in seen.items()]
    table = _build("recognition", *cells)
    assert table is not None
    assert table.columns.unique(0).tolist() == ["eyes", "half"]
    row = table.loc[("demo", "joint", "Pro-UIGAN")]
    assert row[[("eyes", "rank-1 (%)"), ("half", "rank-1 (%)"), ("half", "identity cosine")]].tolist() == [100, 50, 0.75]
    assert _build("recognition", cells[-1]) is None


def test_nothing_scored_makes_no_table(cell: _Cell) -> None:
    assert [_build(key, cell("pro-uigan")) for key in ("6", "6-normalisers", "7", "recognition", "parsing")] == [None] * 5
