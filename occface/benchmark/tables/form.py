"""The form of tables: headers with arrows, numbers with their decimals, the best in bold; CSV, Markdown and LaTeX."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from occface import files
from occface.benchmark.tables.quantities import FEWEST, HIDDEN, N_SUFFIX, NOISY, Quantity, of_column

__all__ = [
    "best_cells",
    "cell_format",
    "competitors",
    "few_cells",
    "format_cell",
    "header",
    "latex",
    "markdown",
    "shown",
    "write_table",
]

#: Levels of the rows in which rivals may differ; they are held against each other where all other levels agree.
_RIVALS = ("order", "method", "trained on")
#: Given the truth: an upper bound, and no competitor.
_BOUNDS = ("P+GT",)
#: The last word of a column group that holds differences, whose sign is printed.
_DIFFERENCE = "difference"

_LATEX = (
    {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    | {character: f"\\{character}" for character in "&%$#_{}"}
    | {"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}"}
    | {"↑": r"$\uparrow$", "↓": r"$\downarrow$", "†": r"\dag{}", "‡": r"\ddag{}", "±": r"$\pm$"}
    | {"–": "--"}  # noqa: RUF001 - an en dash is meant
)
#: The end of a sentence: abbreviations such as ``Fig. 5`` are followed by numbers.
_SENTENCE = re.compile(r"(?<=\.)\s+(?=[A-Z])")
#: So many characters fill the width of a page of LaTeX in small print; so many are as wide as the space between two cells.
_PAGE, _BETWEEN = 105, 2
_MARKDOWN = str.maketrans({"|": r"\|", "*": r"\*", "<": r"\<", "\n": " "})


def shown(table: pd.DataFrame) -> pd.DataFrame:
    """Return the columns of a table that are printed; the others, such as the bounds of intervals, are for its CSV file.

    A column that says of how many images a metric's mean is (``PSNR n``) is printed where that differs from n.
    """
    return table[[column for column in table.columns if _is_shown(table, column)]]


def _is_shown(table: pd.DataFrame, column: Hashable) -> bool:
    name = _parts(column)[1]
    if name.endswith(HIDDEN):
        return False
    images = _sibling(table, column, "n")
    if not name.endswith(N_SUFFIX) or images is None:
        return True
    scored = table[column] > 0  # where there is no mean its dash says so
    return bool((table[column] != table[images])[scored].any())


def _parts(column: Hashable) -> tuple[str, str]:
    """Return the group and the name of a column; frames of one level have no groups."""
    return (str(column[0]), str(column[-1])) if isinstance(column, tuple) else ("", str(column))


def _sibling(table: pd.DataFrame, column: Hashable, name: str) -> Hashable | None:
    """Return the column of this name in the group of another one."""
    other = (*column[:-1], name) if isinstance(column, tuple) else name
    return other if other in table.columns else None


def _is_difference(column: Hashable) -> bool:
    return _parts(column)[0].endswith(_DIFFERENCE)


def header(column: Hashable) -> str:
    """Return the text of a column's lower header: the metric, with an arrow the way that is better.

    Examples
    --------
    >>> header(("demo", "PSNR")), header(("demo", "n"))
    ('PSNR ↑', 'n')
    """
    quantity = of_column(column)
    if quantity is None or quantity.higher_is_better is None or _is_difference(column):
        return _parts(column)[1]
    return f"{_parts(column)[1]} {'↑' if quantity.higher_is_better else '↓'}"


def format_cell(column: Hashable, value: Any) -> str:
    """Return a cell as text: numbers with the decimals of their metric, a dash where there is none, other things as they are.

    Differences are printed with their sign.

    Examples
    --------
    >>> format_cell(("demo", "PSNR"), 21.23456), format_cell(("demo", "n"), 24), format_cell(("demo", "SSIM"), None)
    ('21.235', '24', '–')
    >>> format_cell(("demo: difference", "PSNR"), 0.5)
    '+0.500'
    """
    return cell_format(column)(value)


def cell_format(column: Hashable) -> Callable[[Any], str]:
    """Return the function that prints the cells of a column, see `format_cell`."""
    quantity = of_column(column) or Quantity("")
    sign = "+" if _is_difference(column) else ""

    def text(value: Any) -> str:
        if isinstance(value, str):
            return value
        if pd.isna(value):
            return "–"  # noqa: RUF001 - an en dash is meant
        if not quantity.digits or not value or math.isinf(value):
            return format(value, f"{sign}.{quantity.decimals}f")
        rounded = float(f"{value:.{quantity.digits - 1}e}")
        return format(rounded, f"{sign}.{max(0, quantity.digits - 1 - math.floor(math.log10(abs(rounded))))}f")

    return text


def competitors(table: pd.DataFrame) -> list[str]:
    """Return the levels of the rows within which rows compete: those in which rivals agree."""
    return [name for name in table.index.names if name not in _RIVALS]


def best_cells(table: pd.DataFrame) -> pd.DataFrame:
    """Mark the best value of each column among rows of one mask type (data set, pose, ...): a frame of booleans.

    References and what is given the truth do not compete, nor do rows that were scored on fewer images than others, or on fewer
    than `FEWEST`, nor noisy ones (see `NOISY`). Values are compared as they are printed, so what looks equal is marked alike. A
    value with no rival is not marked.
    """
    competing = np.ones(len(table), bool)
    if "order" in table.index.names:
        competing &= table.index.get_level_values("order") != "reference"
    if "method" in table.index.names:
        competing &= ~table.index.get_level_values("method").isin(_BOUNDS)
    within = [table.index.get_level_values(name) for name in competitors(table)]
    # Numbered, so that no label (a missing one, say) can drop out of the grouping.
    codes = pd.MultiIndex.from_arrays(within or [["all"] * len(table)]).to_flat_index().factorize()[0]
    groups = [np.flatnonzero(competing & (codes == code)) for code in range(codes.max(initial=-1) + 1)]
    best = np.zeros(table.shape, bool)
    for place, column in enumerate(table.columns):
        quantity = of_column(column)
        if quantity is None or quantity.higher_is_better is None or _is_difference(column):
            continue
        text = cell_format(column)
        printed = np.array([np.nan if pd.isna(value) else float(text(value)) for value in table.iloc[:, place]])
        images, noisy = _images(table, column), _sibling(table, column, NOISY)
        steady = np.ones(len(table), bool) if noisy is None else (table[noisy] != NOISY).to_numpy()
        for group in groups:
            rows = group[~np.isnan(printed[group]) & steady[group]]
            if images is not None:
                rows = rows[images[rows] == images[rows].max(initial=FEWEST)]
            if len(rows) > 1:
                best[rows, place] = printed[rows] == (printed[rows].max() if quantity.higher_is_better else printed[rows].min())
    return pd.DataFrame(best, table.index, table.columns)


def few_cells(table: pd.DataFrame) -> pd.DataFrame:
    """Mark the means of fewer than `FEWEST` images: a frame of booleans."""
    few = np.zeros(table.shape, bool)
    for place, column in enumerate(table.columns):
        quantity, images = of_column(column), _images(table, column)
        if quantity is not None and quantity.metric and images is not None:
            few[:, place] = (images < FEWEST) & table.iloc[:, place].notna().to_numpy()
    return pd.DataFrame(few, table.index, table.columns)


def _images(table: pd.DataFrame, column: Hashable) -> np.ndarray | None:
    """Return of how many images each value of a column is the mean; None where the table does not say."""
    counts = _sibling(table, column, f"{_parts(column)[1]}{N_SUFFIX}") or _sibling(table, column, "n")
    return None if counts is None else table[counts].to_numpy()


def markdown(table: pd.DataFrame) -> str:
    """Return what is shown of a table as Markdown, the best values in bold, means of few images in italics."""
    kept = shown(table)
    best, few = (marks(table)[kept.columns].to_numpy() for marks in (best_cells, few_cells))
    table = kept
    several = table.columns.nlevels > 1 and table.columns.unique(0).size > 1
    heads = [f"{_parts(column)[0]} {header(column)}" if several else header(column) for column in table.columns]
    lines = [[*map(_escape_markdown, [*table.index.names, *heads])]]
    lines.append(["---"] * table.index.nlevels + ["---:"] * len(table.columns))
    columns = []
    for place, column in enumerate(table.columns):
        cells = map(_escape_markdown, map(cell_format(column), table.iloc[:, place]))
        stars = np.where(best[:, place], "**", np.where(few[:, place], "*", ""))
        columns.append([f"{star}{cell}{star}" for cell, star in zip(cells, stars, strict=True)])
    for row, values in zip(table.index, zip(*columns, strict=True), strict=True):
        lines.append([*map(_escape_markdown, row if isinstance(row, tuple) else (row,)), *values])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _escape_markdown(text: Any) -> str:
    return str(text).translate(_MARKDOWN)


def _latex(text: Any) -> str:
    return "".join(_LATEX.get(character, character) for character in str(text))


def latex(table: pd.DataFrame, label: str) -> str:
    """Return what is shown of a table as LaTeX for booktabs and multirow, the best values in bold, means of few in italics.

    Each group of columns, such as a data set, has a heading over its metrics with a rule below it. The table spans both columns
    of a page; one that is wider still is made smaller, by graphicx. The first sentence of its caption stands above it, the
    others below it as a note.
    """
    best, few = best_cells(table).to_numpy(), few_cells(table).to_numpy()
    marks = pd.DataFrame(np.where(best, "textbf:--rwrap;", np.where(few, "textit:--rwrap;", "")), table.index, table.columns)
    caption, *note = _SENTENCE.split(table.attrs.get("caption", ""), maxsplit=1)
    table = shown(table)
    cells: list[Any] = [
        lambda value, text=text: _latex(text(value)) for text in (cell_format(column) for column in table.columns)
    ]
    plain = table.rename_axis(
        index=[_latex(name) for name in table.index.names], columns=[None] * table.columns.nlevels
    ).set_axis(_with_arrows(table.columns), axis=1)
    style = plain.style.format(dict(zip(plain.columns, cells, strict=True))).format_index(_latex, axis=0)
    for level in range(table.columns.nlevels):
        style = style.format_index(_latex, axis=1, level=level)
    shown_marks = marks[list(table.columns)].set_axis(plain.columns, axis=1)
    text = style.apply(lambda _: shown_marks, axis=None).to_latex(
        hrules=True,
        multicol_align="c",
        multirow_align="t",
        column_format="l" * table.index.nlevels + "r" * len(table.columns),
    )
    if table.columns.nlevels > 1:
        text = _with_rules(text, table)
    if _characters(table) > _PAGE:
        text = f"\\resizebox{{\\textwidth}}{{!}}{{%\n{text.rstrip()}%\n}}\n"
    lines = [
        "\\begin{table*}",
        "\\centering",
        f"\\caption{{{_latex(caption)}}}",
        f"\\label{{{label}}}",
        "\\small",
        text.rstrip(),
    ]
    lines += [f"\\par\\smallskip\n\\parbox{{\\textwidth}}{{\\footnotesize {_latex(part)}}}" for part in note]
    return "\n".join([*lines, "\\end{table*}", ""])


def _characters(table: pd.DataFrame) -> int:
    """Return how many characters wide a table is when it is printed, with what stands between its columns."""
    leading = [[name, *table.index.get_level_values(name)] for name in table.index.names]
    cells = [[header(column), *map(cell_format(column), table.iloc[:, place])] for place, column in enumerate(table.columns)]
    return sum(max(len(str(cell)) for cell in column) + _BETWEEN for column in (*leading, *cells))


def _with_arrows(columns: pd.Index) -> pd.Index:
    if columns.nlevels == 1:
        return pd.Index([header(column) for column in columns])
    return pd.MultiIndex.from_tuples([(*column[:-1], header(column)) for column in columns])


def _with_rules(text: str, table: pd.DataFrame) -> str:
    """Put a rule under each heading of a group of columns, which pandas leaves out."""
    groups = list(table.columns.get_level_values(0))
    place, rules = table.index.nlevels + 1, []
    while groups:
        width = next((number for number, group in enumerate(groups) if group != groups[0]), len(groups))
        rules.append(rf"\cmidrule(lr){{{place}-{place + width - 1}}}")
        place, groups = place + width, groups[width:]
    above, rule, below = text.partition("\\toprule\n")
    heading, end, rest = below.partition("\\\\\n")
    return "".join([above, rule, heading, end, " ".join(rules), "\n", rest])


def write_table(table: pd.DataFrame, stem: str | os.PathLike[str]) -> tuple[Path, Path, Path]:
    """Write a table as ``<stem>.csv``, ``<stem>.md`` and ``<stem>.tex``, each atomically.

    The CSV file holds everything in full precision: each mean with the bounds of its interval and its n. With i levels of
    rows and c of columns, ``pandas.read_csv(path, header=list(range(c)), index_col=list(range(i)))`` reads it back; the
    paper's tables have two of columns. The others are rounded, and carry the caption. The LaTeX file needs the packages
    booktabs, multirow and graphicx.

    Returns
    -------
    tuple of pathlib.Path
        The three files.
    """
    stem = Path(stem)
    texts = {
        ".csv": table.to_csv(lineterminator="\n"),
        ".md": f"{markdown(table)}\n{table.attrs.get('caption', '')}\n",
        ".tex": latex(table, f"tab:{stem.name}"),
    }
    csv, md, tex = (stem.with_name(stem.name + suffix) for suffix in texts)
    for path, text in zip((csv, md, tex), texts.values(), strict=True):
        files.write_text(path, text)
    return csv, md, tex
