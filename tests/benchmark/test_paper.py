from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest

from occface.benchmark.paper import (
    INDEX,
    PAPER_DATASETS,
    compare,
    mask_order,
    order_rows,
    paper_notes,
    paper_scores,
    paper_table,
    pipeline_title,
)
from occface.benchmark.tables import best_cells, header, latex, markdown
from occface.errors import UsageError

#: The paper's tables, typed from its pages line by line.
_TABLE_1 = """
Bicubic irregular 12.926 0.371 11.702 0.338 12.587 0.364 14.078 0.419 13.109 0.375 12.630 0.368
Bicubic square 14.038 0.411 12.761 0.370 13.665 0.389 15.322 0.457 14.215 0.416 13.763 0.392
FHC irregular 16.575 0.490 15.727 0.464 15.288 0.458 17.953 0.549 16.704 0.491 16.241 0.480
FHC square 16.950 0.503 16.448 0.482 16.003 0.476 19.224 0.609 18.198 0.573 17.715 0.546
PULSE irregular 12.219 0.365 7.938 0.169 9.794 0.235 13.992 0.411 8.008 0.173 9.976 0.238
PULSE square 13.106 0.375 8.451 0.182 10.516 0.273 15.270 0.456 9.237 0.206 11.128 0.294
Re-CPGAN irregular 17.962 0.548 15.973 0.467 16.689 0.490 18.754 0.598 16.974 0.497 17.075 0.508
Re-CPGAN square 18.276 0.575 16.918 0.501 17.231 0.536 19.979 0.611 18.122 0.568 18.893 0.602
FCSR-GAN irregular 20.088 0.617 19.963 0.610 18.872 0.601 20.088 0.617 19.963 0.610 18.872 0.601
FCSR-GAN square 23.010 0.698 21.327 0.649 20.745 0.627 23.010 0.698 21.327 0.649 20.745 0.627
Pro-UIGAN irregular 24.534 0.706 22.119 0.668 21.522 0.652 24.534 0.706 22.119 0.668 21.522 0.652
Pro-UIGAN square 25.682 0.770 23.505 0.724 22.459 0.681 25.682 0.770 23.505 0.724 22.459 0.681
"""
_TABLE_2 = """
P-FP 22.866 0.683 20.341 0.647
P+GT 26.448 0.797 24.236 0.743
Pro-UIGAN 25.682 0.770 23.505 0.724
"""
_TABLE_3 = """
L- 19.136 0.605 18.473 0.579
L† 20.069 0.614 18.990 0.593
L‡ 20.872 0.628 19.281 0.610
L* 24.960 0.756 22.755 0.674
L 25.682 0.770 23.505 0.724
"""
#: Size, time, PSNR of PA+SR, of SR+PA.
_TABLE_4 = """
FHC 71705 289.12 19.224 16.950
PULSE 118522 5128.36 15.270 13.106
Re-CPGAN 98946 372.14 19.979 18.276
FCSR-GAN 112248 145.69 23.010 23.010
Pro-UIGAN 41529 34.21 25.682 25.682
"""
_TABLE_5 = """
CelebA-HQ 25.562 0.770 20.336 0.620 21.009 0.631
Multi-PIE 19.238 0.610 23.505 0.724 18.840 0.598
Helen 20.723 0.624 17.947 0.572 22.459 0.681
"""
_TABLE_6 = """
Bicubic 30.67 0.0071 33.21 0.0074 35.64 0.0076 27.31 0.0076 29.56 0.0083 32.33 0.0082
FHC 18.35 0.4153 20.11 0.4049 20.87 0.3990 16.57 0.4318 17.32 0.4229 18.26 0.4166
PULSE 40.07 0.1740 52.08 0.0646 44.35 0.1069 38.79 0.1834 49.22 0.0718 40.13 0.1261
Re-CPGAN 16.24 0.4572 17.80 0.4290 19.08 0.4105 15.31 0.4580 17.05 0.4373 18.29 0.4152
FCSR-GAN 9.74 0.5445 10.57 0.5231 11.69 0.4870 9.74 0.5445 10.57 0.5231 11.69 0.4870
Pro-UIGAN 7.16 0.6236 8.08 0.6004 9.75 0.5803 7.16 0.6236 8.08 0.6004 9.75 0.5803
Ground-truth_HR 4.27 0.6501 2.58 nan 3.84 0.6056 4.27 0.6501 2.58 nan 3.84 0.6056
"""
#: PA+SR, SR+PA.
_TABLE_7 = """
Bicubic 22.34 20.59
PULSE 27.40 24.16
FHC 30.66 28.31
Re-CPGAN 35.07 33.92
FCSR-GAN 45.93 45.93
Occluded_LR 22.14 22.14
Ground-truth_HR 94.62 94.62
Pro-UIGAN 56.31 56.31
"""


def _lines(text: str) -> list[list[str]]:
    return [line.replace("_", " ").split(" ") for line in text.strip().splitlines()]


def _row(name: str, order: str) -> tuple[str, str]:
    """Return the order and the name of a row of ours that stands in a half of the paper's table."""
    if name in ("FCSR-GAN", "Pro-UIGAN"):
        return ("joint", name)
    if name in ("Ground-truth HR", "Occluded LR"):
        return ("reference", name)
    return (order, f"{name} + GFC" if order == "SR+PA" else f"GFC + {name}")


def _halves(text: str) -> list[tuple[str, list[str]]]:
    """Return the lines of a table as (name, numbers); a name may be of two words."""
    lines = []
    for parts in _lines(text):
        cut = next(place for place, part in enumerate(parts) if part.replace(".", "").isdigit() or part == "nan")
        lines.append((" ".join(parts[:cut]), parts[cut:]))
    return lines


def _expected(number: str) -> dict[tuple[object, ...], float]:
    """Return every typed number by its row and column in our form."""
    numbers: dict[tuple[object, ...], str] = {}

    def put(row: tuple[str, ...], groups: tuple[str, ...], metrics: tuple[str, ...], values: list[str]) -> None:
        numbers.update(zip([(row, pair) for pair in itertools.product(groups, metrics)], values, strict=True))

    quality = ("PSNR", "SSIM")
    if number == "I":
        for name, values in _halves(_TABLE_1):
            method, mask = name.rsplit(" ", 1)
            for order, half in (("SR+PA", values[:6]), ("PA+SR", values[6:])):
                put((mask, *_row(method, order)), PAPER_DATASETS, quality, half)
    if number in ("II", "III"):
        for name, values in _halves(_TABLE_2 if number == "II" else _TABLE_3):
            put(("square", name), PAPER_DATASETS[:2], quality, values)
    if number == "IV":
        for name, (size, time, pa_sr, sr_pa) in _halves(_TABLE_4):
            for order, psnr in (("PA+SR", pa_sr), ("SR+PA", sr_pa)):
                put(_row(name, order), ("size",), ("KB",), [size])
                put(_row(name, order), ("time",), ("median ms",), [time])
                put(_row(name, order), ("CelebA-HQ",), ("PSNR",), [psnr])
    if number == "V":
        for name, values in _halves(_TABLE_5):
            put(("square", "Pro-UIGAN", name), PAPER_DATASETS, quality, values)
    if number == "VI":
        for name, values in _halves(_TABLE_6):
            for order, half in (("SR+PA", values[:6]), ("PA+SR", values[6:])):
                put(("unspecified", *_row(name, order)), PAPER_DATASETS, ("NRMSE", "IoU"), half)
    if number == "VII":
        for name, values in _halves(_TABLE_7):
            for order, value in zip(("PA+SR", "SR+PA"), values, strict=True):
                put(("unspecified", *_row(name, order)), ("Multi-PIE",), ("accuracy (%)",), [value])
    return {key: float(value) for key, value in numbers.items()}


@pytest.mark.parametrize("number", ["I", "II", "III", "IV", "V", "VI", "VII"])
def test_the_papers_tables_hold_the_printed_numbers_in_our_form(number: str) -> None:
    table, expected = paper_table(number), _expected(number)
    assert table.size == len(expected)
    for (row, column), value in expected.items():
        assert table.loc[row, column] == pytest.approx(value, abs=0, nan_ok=True), (row, column)


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


def test_tables_have_two_names() -> None:
    pd.testing.assert_frame_equal(paper_table("4"), paper_table("IV"))
    with pytest.raises(UsageError, match="unknown table 'VIII' of the paper: did you mean 'VII'"):
        paper_table("VIII")


def test_the_arithmetic_of_the_notes_is_right() -> None:
    table_1, priors, parsing = paper_table("I"), paper_table("II"), paper_table("VI")["CelebA-HQ"]["IoU"]
    ours = table_1.loc[(slice(None), "joint", "Pro-UIGAN"), ("CelebA-HQ", "PSNR")].to_numpy()
    theirs = table_1.loc[(slice(None), "joint", "FCSR-GAN"), ("CelebA-HQ", "PSNR")].to_numpy()
    assert (ours - theirs).round(3).tolist() == [4.446, 2.672]
    assert round(100 * (ours / theirs)[1] - 100, 1) == 11.6
    psnr = priors[("CelebA-HQ", "PSNR")].droplevel("mask type")
    assert round(psnr["P+GT"] - psnr["Pro-UIGAN"], 3) == 0.766
    assert round(psnr["P+GT"] - psnr["P-FP"], 3) == 3.582
    printed = paper_scores().query("metric == 'PSNR'")["value"].to_numpy()
    assert (abs(psnr["P+GT"] - printed - 4.431) > 1e-6).all()
    points = parsing[("unspecified", "joint", "Pro-UIGAN")] - parsing[("unspecified", "joint", "FCSR-GAN")]
    assert round(100 * points, 1) == 7.9
    diagonal = paper_table("V").loc[("square", "Pro-UIGAN", "CelebA-HQ"), ("CelebA-HQ", "PSNR")]
    assert (diagonal, psnr["Pro-UIGAN"]) == (25.562, 25.682)


def test_notes_are_about_what_there_is() -> None:
    scores = paper_scores()
    for number in ("I", "II", "III", "IV", "V", "VI", "VII"):
        notes, table = paper_notes(number), paper_table(number)
        assert len(notes)
        assert all(note in table.attrs["caption"] for note in notes["note"])
        known = scores[scores["table"] == number]
        for name in ("dataset", "method"):
            assert set(notes[name]) <= {"", *known[name]}
        assert set(notes["metric"]) <= {"", *table.columns.unique(1)}


def _ours(rows: list[tuple[str, ...]], names: tuple[str, ...], metrics: dict[tuple[str, str], float]) -> pd.DataFrame:
    """Return a table of ours whose columns hold one number each."""
    index = pd.MultiIndex.from_tuples(rows, names=names)
    columns = pd.MultiIndex.from_tuples(metrics, names=["dataset", "metric"])
    return pd.DataFrame([list(metrics.values())] * len(rows), index, columns)


@pytest.fixture
def table() -> pd.DataFrame:
    methods = (
        ("SR", "Bicubic"),
        ("SR+PA", "Bicubic + GFC"),
        ("PA+SR", "GFC + Bicubic"),
        ("joint", "Pro-UIGAN"),
        ("joint", "own"),
    )
    rows = [(mask, *method) for mask in ("irregular", "square", "irregular-0.1-0.2", "walk") for method in methods]
    numbers = {("PSNR", 20.0), ("PSNR low", 19.0), ("SSIM", 0.5), ("n", 7)}
    return _ours(rows, INDEX, {(name, metric): value for name in ("Helen", "demo") for metric, value in sorted(numbers)})


_COMMON = [
    (mask, order, method)
    for mask in ("irregular", "square")
    for order, method in (("SR+PA", "Bicubic + GFC"), ("PA+SR", "GFC + Bicubic"), ("joint", "Pro-UIGAN"))
]


def test_a_comparison_holds_the_common_rows_and_data_sets_alone(table: pd.DataFrame) -> None:
    both = compare("I", table)
    assert both.index.tolist() == _COMMON
    assert both.columns.tolist() == [
        ("Helen: ours", "PSNR"),
        ("Helen: ours", "SSIM"),
        ("Helen: ours", "n"),
        ("Helen: paper", "PSNR"),
        ("Helen: paper", "SSIM"),
        ("Helen: difference", "PSNR"),
        ("Helen: difference", "SSIM"),
    ]
    assert both.loc[("square", "joint", "Pro-UIGAN")].tolist() == pytest.approx(
        [20, 0.5, 7, 22.459, 0.681, 20 - 22.459, 0.5 - 0.681]
    )
    assert "only the order of the methods" in both.attrs["caption"]
    assert "a ratio of decibels" in both.attrs["caption"]


@pytest.mark.parametrize("beside", PAPER_DATASETS)
def test_other_data_stand_beside_on_request_and_are_marked(table: pd.DataFrame, beside: str) -> None:
    both = compare("1", table, beside=beside)
    theirs = both[f"demo: paper's {beside} (other data)"]
    assert np.array_equal(theirs, paper_table("I")[beside].loc[theirs.index])
    assert np.array_equal(both["Helen: paper"], paper_table("I")["Helen"].loc[theirs.index])


def test_a_comparison_can_be_printed_and_its_differences_do_not_compete(table: pd.DataFrame) -> None:
    both = compare("I", table)
    lines = markdown(both).splitlines()
    heads = "Helen: ours n | Helen: paper PSNR ↑ | Helen: paper SSIM ↑ | Helen: difference PSNR | Helen: difference SSIM |"
    assert lines[0].endswith(heads)
    assert lines[-1].endswith("| 7 | **22.459** | **0.681** | -2.459 | -0.181 |")
    assert {line.count("|") for line in lines} == {11}
    assert not best_cells(both)["Helen: difference"].any(axis=None)
    assert header(("Helen: difference", "PSNR")) == "PSNR"
    assert latex(both, "tab:x").count("{") == latex(both, "tab:x").count("}")


def test_what_the_paper_names_no_mask_for_stands_beside_every_mask() -> None:
    rows = [("walk", "joint", "Pro-UIGAN"), ("square", "reference", "Ground-truth HR"), ("square", "joint", "P-FP")]
    ours = _ours(rows, INDEX, {("Multi-PIE", "NRMSE"): 5.0, ("Multi-PIE", "IoU"): 0.5})
    both = compare("VI", ours)
    assert both.index.tolist() == rows[:2]
    assert both[("Multi-PIE: paper", "NRMSE")].tolist() == [8.08, 2.58]
    assert np.isnan(both.iloc[1][("Multi-PIE: paper", "IoU")])


def test_sizes_stand_beside_whatever_is_counted() -> None:
    rows = [(counted, "PA+SR", "GFC + FHC") for counted in ("with GFC", "without FAN and GFC")]
    values = {("size", "KB"): 70000.0, ("time", "median ms"): 50, ("demo", "PSNR"): 20.0}
    ours = _ours(rows, ("counted", "order", "method"), values)
    both = compare("IV", ours, beside="CelebA-HQ")
    assert both[("size: paper", "KB")].tolist() == [71705, 71705]
    assert both[("size: difference", "KB")].isna().all()  # of networks whose widths are not known
    assert "time: difference" not in both.columns.unique(0)  # another machine's
    ours[("networks", "preset")] = ["paper", "cpu"]
    assert compare("IV", ours)[("size: difference", "KB")].fillna(0).tolist() == [-1705, 0]
    assert both[("demo: paper's CelebA-HQ (other data)", "PSNR")].tolist() == [19.224] * 2


def test_a_model_of_the_data_set_itself_stands_beside_such_a_one() -> None:
    rows = [("square", "Pro-UIGAN", source) for source in ("demo", "Multi-PIE", "else")]
    both = compare("V", _ours(rows, ("mask type", "method", "trained on"), {("demo", "PSNR"): 20.0}), beside="Helen")
    assert both.index.get_level_values("trained on").tolist() == ["demo", "Multi-PIE"]
    assert both.iloc[:, 1].tolist() == [22.459, 18.840]


def test_a_comparison_without_a_common_row_says_so(table: pd.DataFrame) -> None:
    for both in (compare("I", table.loc[["walk"]], "Helen"), compare("I", table[["demo"]]), compare("VII", table, "Helen")):
        assert both.empty
        assert both.attrs["caption"].startswith("No row")


def test_a_comparison_with_an_unknown_data_set(table: pd.DataFrame) -> None:
    with pytest.raises(UsageError, match="did you mean 'CelebA-HQ'"):
        compare("I", table, "CelebA")


def test_titles() -> None:
    assert pipeline_title("pro-uigan") == "Pro-UIGAN"
    assert pipeline_title("their-sr+gfc") == "their-sr + GFC"
    assert [pipeline_title(f"pro-uigan:{name}") for name in ("p-gt", "l-ddagger", "mine")] == ["P+GT", "L‡", "Pro-UIGAN (mine)"]
    assert pipeline_title("hr") == "Ground-truth HR"


def test_masks_stand_by_family_and_size() -> None:
    names = ["eyes", "walk", "square_16", "square-8", "square", "irregular-0.2-0.3", "irregular", "irregular-0.1-0.2"]
    assert sorted(names, key=mask_order) == [
        "irregular",
        "irregular-0.1-0.2",
        "irregular-0.2-0.3",
        "square",
        "square-8",
        "square_16",
        "walk",
        "eyes",
    ]


def test_rows_stand_by_what_the_paper_orders_and_others_as_they_came() -> None:
    names = ("device", "method", "trained on")
    rows = [("b", "Pro-UIGAN", "own"), ("b", "Pro-UIGAN", "Helen"), ("a", "theirs", "x"), ("a", "P-FP", "x")]
    table = _ours(rows, names, {("d", "PSNR"): 1.0})
    assert order_rows(table).index.tolist() == [rows[1], rows[0], rows[3], rows[2]]
