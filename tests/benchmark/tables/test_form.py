from __future__ import annotations

import itertools
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from occface.benchmark.tables import best_cells, format_cell, header, latex, markdown, shown, write_table
from occface.benchmark.tables.form import few_cells

_ROWS = ["mask type", "order", "method"]


def _table(rows: dict[tuple[str, str, str], tuple[float, float, int]], group: str = "demo") -> pd.DataFrame:
    """Return a table of PSNR, ST-LPIPS and n, with an interval of PSNR."""
    table = pd.DataFrame.from_dict(rows, orient="index", columns=["PSNR", "ST-LPIPS", "n"])
    table.insert(1, "PSNR low", table["PSNR"] - 1)
    table.insert(2, "PSNR high", table["PSNR"] + 1)
    table.insert(3, "PSNR n", table["n"])
    table["n"] = table["n"].astype(int)
    table.index = pd.MultiIndex.from_tuples(rows, names=_ROWS)
    table.columns = pd.MultiIndex.from_product([[group], table.columns], names=["dataset", "metric"])
    table.attrs["caption"] = "100 % of it_all."
    return table


@pytest.fixture
def table() -> pd.DataFrame:
    return _table(
        {
            ("irregular", "SR+PA", "FHC + GFC"): (20.25, 8.0, 8),
            ("irregular", "joint", "Pro-UIGAN"): (24.75, 9.0, 8),
            ("square", "SR+PA", "FHC + GFC"): (25.0, 7.0004, 8),
            ("square", "joint", "FCSR-GAN"): (99.0, 1.0, 7),
            ("square", "joint", "Pro-UIGAN"): (25.0004, 7.0, 8),
            ("square", "reference", "Ground-truth HR"): (np.inf, 0.0, 8),
        }
    )


def _marked(best: pd.DataFrame, column: tuple[str, str]) -> list[tuple[str, str]]:
    return [(row[0], row[2]) for row in best.index[best[column]]]


def test_the_best_compete_within_a_mask_type_on_equal_n_as_they_are_printed(table: pd.DataFrame) -> None:
    best = best_cells(table)
    ties = [("square", "FHC + GFC"), ("square", "Pro-UIGAN")]
    assert _marked(best, ("demo", "PSNR")) == [("irregular", "Pro-UIGAN"), *ties]
    assert _marked(best, ("demo", "ST-LPIPS")) == [("irregular", "FHC + GFC"), *ties]
    assert not best[("demo", "n")].any()


def test_a_metrics_own_n_decides_who_competes(table: pd.DataFrame) -> None:
    table[("demo", "PSNR n")] = [8, 7, 7, 8, 8, 8]
    assert _marked(best_cells(table), ("demo", "PSNR")) == [("square", "FCSR-GAN")]


def test_what_is_given_the_truth_and_what_has_no_rival_is_not_marked() -> None:
    rows = {("square", "joint", name): (value, 5.0, 6) for name, value in (("P-FP", 20.0), ("P+GT", 30.0), ("Pro-UIGAN", 25.0))}
    rows[("walk", "joint", "Pro-UIGAN")] = (1.0, 1.0, 2)
    assert _marked(best_cells(_table(rows)), ("demo", "PSNR")) == [("square", "Pro-UIGAN")]


def test_means_of_few_images_are_no_best_and_are_set_apart(table: pd.DataFrame) -> None:
    table[("demo", "n")] = table[("demo", "PSNR n")] = [4, 4, 5, 5, 4, 1]
    best, few = best_cells(table), few_cells(table)
    assert _marked(best, ("demo", "PSNR")) == [("square", "FCSR-GAN")]
    assert few[("demo", "PSNR")].tolist() == [True, True, False, False, True, True]
    assert not few[("demo", "n")].any()
    lines = markdown(table).splitlines()
    assert lines[2:6:3] == [
        "| irregular | SR+PA | FHC + GFC | *20.250* | *8.000* | 4 |",
        "| square | joint | FCSR-GAN | **99.000** | **1.000** | 5 |",
    ]
    text = latex(table, "tab:one")
    assert r"\textit{20.250} & \textit{8.000} & 4" in text
    assert r"\textbf{99.000} & \textbf{1.000} & 5" in text


def test_without_an_n_nothing_is_few(table: pd.DataFrame) -> None:
    bare = table[[("demo", "PSNR")]]
    assert not few_cells(bare).to_numpy().any()
    assert best_cells(bare).to_numpy().any()


def test_times_have_three_digits() -> None:
    """Against what Python's own rounding to three significant digits gives."""
    values = [mantissa * 10.0**power for mantissa, power in itertools.product((1.0, 1.2345, 9.996, 5.555), range(-3, 6))]
    for value in values:
        text = format_cell(("time", "median ms"), value)
        assert float(text) == float(f"{value:.3g}")
        assert "e" not in text
    shown_values = [format_cell(("time", "p90 ms"), value) for value in (1212.32, 356.91, 34.21, 4.2, 0.0, np.inf)]
    assert shown_values == ["1210", "357", "34.2", "4.20", "0.000", "inf"]
    assert format_cell(("time: difference", "median ms"), 0.3456) == "+0.346"


def test_rows_compete_within_every_level_that_does_not_name_the_method() -> None:
    index = pd.MultiIndex.from_tuples(
        [(counted, "joint", name) for counted in ("with GFC", "without") for name in ("a", "b")],
        names=["counted", "order", "method"],
    )
    columns = pd.MultiIndex.from_tuples([("size", "KB")])
    sizes = pd.DataFrame([[40.0], [30.0], [2.0], [3.0]], index, columns)
    assert best_cells(sizes)[("size", "KB")].tolist() == [False, True, True, False]


def test_bounds_are_hidden_and_an_n_of_its_own_is_shown(table: pd.DataFrame) -> None:
    assert shown(table).columns.tolist() == [("demo", "PSNR"), ("demo", "ST-LPIPS"), ("demo", "n")]
    assert shown(table).attrs == table.attrs
    table.loc[("square", "joint", "FCSR-GAN"), ("demo", "PSNR n")] = 0  # no mean: a dash says so
    assert ("demo", "PSNR n") not in shown(table).columns
    table.loc[("square", "joint", "FCSR-GAN"), ("demo", "PSNR n")] = 2
    assert shown(table).columns.tolist()[1] == ("demo", "PSNR n")


def test_headers_and_cells() -> None:
    assert [header(("d", name)) for name in ("PSNR", "ST-LPIPS", "rank-1 (%)", "n", "own_metric")] == [
        "PSNR ↑",
        "ST-LPIPS ↓",
        "rank-1 (%) ↑",
        "n",
        "own_metric",
    ]
    assert header(("d: difference", "PSNR")) == "PSNR"
    assert header("verdict") == "verdict"
    cells = [("PSNR", 1.23456), ("accuracy (%)", 56.314), ("n", 1568), ("KB", 41529.0)]
    assert [format_cell(("d", name), value) for name, value in cells] == ["1.235", "56.31", "1568", "41529"]
    assert format_cell(("d: difference", "PSNR"), -0.5) == "-0.500"
    assert format_cell(("d", "device"), "cpu") == "cpu"
    assert format_cell(("d", "PSNR"), float("inf")) == "inf"


def test_markdown_is_a_rectangle_with_the_best_in_bold(table: pd.DataFrame) -> None:
    lines = markdown(table).splitlines()
    assert lines[0] == "| mask type | order | method | PSNR ↑ | ST-LPIPS ↓ | n |"
    assert lines[1] == "| --- | --- | --- | ---: | ---: | ---: |"
    assert lines[3] == "| irregular | joint | Pro-UIGAN | **24.750** | 9.000 | 8 |"
    assert {line.count("|") for line in lines} == {7}


def test_markdown_names_the_data_set_where_there_are_several(table: pd.DataFrame) -> None:
    both = table.join(table.rename(columns={"demo": "other"}, level=0))
    assert "| demo PSNR ↑ | demo ST-LPIPS ↓ | demo n | other PSNR ↑ |" in markdown(both)


def test_markdown_escapes_what_would_end_a_cell_or_begin_emphasis() -> None:
    text = markdown(_table({("a|b", "joint", "L*"): (1.0, 1.0, 1)}, "d<b>"))
    assert text.splitlines()[2].startswith(r"| a\|b | joint | L\* |")


def test_latex_is_a_booktabs_table_with_everything_escaped(table: pd.DataFrame) -> None:
    first = table.rename(columns={"demo": "my_set 100%"}, level=0).rename(index={"FCSR-GAN": "a_b&c", "FHC + GFC": "L† <$^~>"})
    text = latex(first.join(first.rename(columns={"my_set 100%": "other"}, level=0)), "tab:one")
    for part in (r"\toprule", r"\midrule", r"\bottomrule", r"\multicolumn{3}{c}{my\_set 100\%}", r"\label{tab:one}"):
        assert part in text
    assert r"\caption{100 \% of it\_all.}" in text
    assert r"\cmidrule(lr){4-6} \cmidrule(lr){7-9}" in text
    assert r"PSNR $\uparrow$ & ST-LPIPS $\downarrow$ & n" in text
    assert r"\multirow[t]{4}{*}{square}" in text
    assert r"Pro-UIGAN & \textbf{24.750} & 9.000 & 8 & \textbf{24.750}" in text
    assert r"a\_b\&c" in text
    assert r"L\dag{} \textless{}\$\textasciicircum{}\textasciitilde{}\textgreater{}" in text
    assert text.isascii()
    assert text.count("{") == text.count("}")
    assert len(re.findall(r"(?<!\\)\$", text)) % 2 == 0
    body = text[text.index(r"\toprule") : text.index(r"\bottomrule")].replace(r"\&", "")
    assert {line.count("&") for line in body.splitlines() if "&" in line and "multicolumn" not in line} == {8}


def _environments(text: str) -> list[tuple[str, str]]:
    """Return each environment of a LaTeX text with those it stands in, outermost first; ends must meet their beginnings."""
    inside: list[str] = []
    found = []
    for kind, name in re.findall(r"\\(begin|end)\{(.*?)\}", text):
        if kind == "begin":
            inside.append(name)
            found.append((name, "/".join(inside)))
        else:
            assert inside.pop() == name
    assert not inside
    return found


def _spans(line: str) -> int:
    """Return how many columns a row of a tabular takes."""
    cells = re.split(r"(?<!\\)&", line)
    return sum(int((re.match(r"\s*\\multicolumn\{(\d+)\}", cell) or [0, 1])[1]) for cell in cells)


@pytest.mark.parametrize("sets", [1, 6])
def test_latex_fits_the_page_and_long_captions_become_notes(table: pd.DataFrame, sets: int) -> None:
    wide = pd.concat([table.rename(columns={"demo": f"set {number}"}, level=0) for number in range(sets)], axis=1)
    wide.attrs["caption"] = "Means (demo: n = 8 images, as in Fig. 5). PA is inpainting, 100 % of it. None is given a mask."
    text = latex(wide, "tab:one")
    assert [path for _, path in _environments(text)] == ["table*", "table*/tabular"]
    parts = [
        r"\begin{table*}",
        r"\centering",
        r"\caption{Means (demo: n = 8 images, as in Fig. 5).}",
        r"\label{tab:one}",
        r"\small",
    ]
    parts += [r"\begin{tabular}", r"\end{tabular}"]
    note = r"\parbox{\textwidth}{\footnotesize PA is inpainting, 100 \% of it. None is given a mask.}"
    places = [text.index(part) for part in (*parts, note, r"\end{table*}")]
    assert places == sorted(places)
    assert text.count("{") == text.count("}")
    resized = "\\resizebox{\\textwidth}{!}{%\n\\begin{tabular}"
    assert (resized in text, "\\end{tabular}%\n}\n" in text) == (sets == 6, sets == 6)
    (form,) = re.findall(r"\\begin\{tabular\}\{(\w+)\}", text)
    assert form == "lll" + "rrr" * sets
    rows = text[text.index(r"\toprule") : text.index(r"\bottomrule")].splitlines()
    assert {_spans(line) for line in rows if line.endswith(r"\\")} == {len(form)}


def test_the_table_is_written_three_times_and_the_csv_holds_everything(table: pd.DataFrame, tmp_path: Path) -> None:
    table[("demo", "PSNR")] += 1 / 3
    paths = write_table(table, tmp_path / "tables" / "table_1")
    assert [path.name for path in paths] == ["table_1.csv", "table_1.md", "table_1.tex"]
    back = pd.read_csv(paths[0], header=[0, 1], index_col=[0, 1, 2])
    pd.testing.assert_frame_equal(back, table, check_exact=True)
    assert paths[1].read_text(encoding="utf-8") == f"{markdown(table)}\n100 % of it_all.\n"
    assert paths[2].read_text(encoding="utf-8") == latex(table, "tab:table_1")
