"""The paper's tables out of score rows, and onto the disk as CSV, Markdown and LaTeX."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from occface import files
from occface.benchmark.paper import INDEX, order_rows, pipeline_title
from occface.metrics import CONTRACT, METRICS

__all__ = ["best_cells", "format_cell", "header", "latex", "markdown", "table_1", "write_table"]

_COUNTS = ("n", "failed")
_LATEX = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"} | {c: f"\\{c}" for c in "&%$#_{}"}


def table_1(scores: pd.DataFrame) -> pd.DataFrame:
    """Build Table I: face hallucination, PSNR and SSIM, for each mask type, order, method and data set.

    The paper prints the two orders of SR and inpainting side by side, and the joint methods in both halves. Here each
    pipeline is one row, named in the order in which its methods are applied, so that every number stands once.

    Parameters
    ----------
    scores : pandas.DataFrame
        What `occface.benchmark.scores.load_scores` returns.

    Returns
    -------
    pandas.DataFrame
        Rows (mask type, order, method); columns (data set, metric) with the metrics PSNR, SSIM and n: the mean over the n
        images that were scored. A pipeline that was given an estimated mask is a method of its own, and says so. If any image
        failed, a column ``failed`` counts those, which are in no mean. A mean is NaN where n is 0, and infinite where an image
        was restored to the byte. The caption, with n, who was given a mask, and the metric contract, is
        ``frame.attrs["caption"]``.

    Raises
    ------
    ValueError
        If there are no rows at all.
    """
    if scores.empty:
        raise ValueError("expected score rows to build Table I from, got none")
    named = scores.rename(columns={"mask_type": "mask type", "psnr": "PSNR", "ssim": "SSIM"})
    titles = [pipeline_title(*pair) for pair in zip(scores["pipeline"], scores["mask_given"], strict=True)]
    named = named.assign(method=titles, failed=scores["error"] != "")
    groups = named.groupby(["dataset", *INDEX], sort=False)
    means = groups[["PSNR", "SSIM"]].mean()
    means["n"] = groups["PSNR"].count()
    failures = int(named["failed"].sum())
    if failures:
        means["failed"] = groups["failed"].sum()
    wide = means.unstack("dataset").swaplevel(axis=1).rename_axis(columns=["dataset", "metric"])
    datasets = list(dict.fromkeys(scores["dataset"]))
    table = order_rows(wide.reindex(columns=pd.MultiIndex.from_product([datasets, means.columns], names=wide.columns.names)))
    for column in table.columns:
        if column[1] in _COUNTS:
            table[column] = table[column].fillna(0).astype(int)
    table.attrs["caption"] = _caption(table, failures, _masks_given(scores))
    return table


def _masks_given(scores: pd.DataFrame) -> str:
    """Say which pipelines were told where the faces are occluded, and by which mask."""
    said = []
    for given, words in (("true", "the true mask of every face"), ("estimated", "a mask estimated from the LR face")):
        names = dict.fromkeys(scores.loc[scores["mask_given"] == given, "pipeline"])
        if names:
            said.append(f"Given {words}: {', '.join(map(pipeline_title, names))}.")
    if not said:
        return "No method is given a mask."
    return " ".join([*said, *(["All others are given none."] if (scores["mask_given"] == "").any() else [])])


def _caption(table: pd.DataFrame, failures: int, masks: str) -> str:
    counts = []
    for dataset in table.columns.unique(0):
        n = table[(dataset, "n")]
        counts.append(f"{dataset}: n = {n.min()}" + (f" to {n.max()}" if n.min() != n.max() else ""))
    unequal = any(table[(name, "n")].nunique() > 1 for name in table.columns.unique(0))
    few = " Rows of smaller n are means over fewer images, and compare only roughly." if unequal else ""
    failed = f" {failures} image(s) failed; they are counted, and in no mean." if failures else ""
    return (
        f"Face hallucination, 16x16 to 128x128, occluded ({'; '.join(counts)} images a row).{few}{failed} PA is face "
        f"inpainting. {masks} Best of each mask type in bold. "
        f"{CONTRACT}"
    )


def _higher_is_better(metric: str) -> bool | None:
    """Say which way a column's metric points; None for columns that are no metric."""
    return METRICS.get(metric.lower()).higher_is_better if metric.lower() in METRICS else None


def header(column: tuple[str, str]) -> str:
    """Return the text of a column's lower header: the metric, with an arrow the way that is better."""
    better = _higher_is_better(column[1])
    return column[1] if better is None else f"{column[1]} {'↑' if better else '↓'}"


def format_cell(column: tuple[str, str], value: Any) -> str:
    """Return a cell as text: counts whole, numbers with three decimals as the paper prints them, a dash where there is none.

    Examples
    --------
    >>> format_cell(("demo", "PSNR"), 21.23456), format_cell(("demo", "n"), 24), format_cell(("demo", "SSIM"), None)
    ('21.235', '24', '–')
    """
    if pd.isna(value):
        return "–"  # noqa: RUF001 - an en dash is meant
    return f"{value:.0f}" if column[1] in _COUNTS else f"{value:.3f}"


def best_cells(table: pd.DataFrame) -> pd.DataFrame:
    """Mark the best value of each mask type in each column: a frame of booleans.

    References do not compete, nor do rows that were scored on fewer images than others. Values are compared as they are
    printed, so what looks equal is marked alike. A value with no rival is not marked.
    """
    best = pd.DataFrame(False, index=table.index, columns=table.columns)
    competing = table.index.get_level_values("order") != "reference"
    for column in table.columns:
        better = _higher_is_better(column[1])
        if better is None:
            continue
        for mask_type in table.index.unique("mask type"):
            rows = competing & (table.index.get_level_values("mask type") == mask_type) & table[column].notna().to_numpy()
            counts = (column[0], "n")
            if counts in table.columns and rows.any():
                rows &= (table[counts] == table.loc[rows, counts].max()).to_numpy()
            if rows.sum() > 1:
                values = table.loc[rows, column].map(lambda value: float(f"{value:.3f}"))
                best.loc[rows, column] = values == (values.max() if better else values.min())
    return best


def markdown(table: pd.DataFrame) -> str:
    """Return a table as Markdown, the best values in bold."""
    best = best_cells(table)
    several = table.columns.nlevels > 1 and table.columns.unique(0).size > 1
    heads = [*table.index.names, *(f"{column[0]} {header(column)}" if several else header(column) for column in table.columns)]
    lines = [heads, ["---"] * table.index.nlevels + ["---:"] * len(table.columns)]
    for row, values in table.iterrows():
        cells = [format_cell(column, value) for column, value in values.items()]
        bold = [f"**{cell}**" if mark else cell for cell, mark in zip(cells, best.loc[row], strict=True)]
        lines.append([*row, *bold])
    return "".join(f"| {' | '.join(str(cell).replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


def _latex(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in text)


def latex(table: pd.DataFrame, label: str) -> str:
    """Return a table as LaTeX for booktabs and multirow, the best values in bold."""
    marks = best_cells(table).map(lambda mark: "textbf:--rwrap;" if mark else "")
    cells: dict[Any, Any] = {column: (lambda value, column=column: format_cell(column, value)) for column in table.columns}
    plain = table.rename_axis(index=[_latex(name) for name in table.index.names], columns=[None] * table.columns.nlevels)
    style = plain.style.format(cells).format_index(_latex, axis=0).format_index(_latex, axis=1)
    return style.apply(lambda _: marks, axis=None).to_latex(
        hrules=True,
        multicol_align="c",
        multirow_align="t",
        column_format="l" * table.index.nlevels + "r" * len(table.columns),
        position_float="centering",
        caption=_latex(table.attrs.get("caption", "")),
        label=label,
    )


def write_table(table: pd.DataFrame, stem: str | os.PathLike[str]) -> tuple[Path, Path, Path]:
    """Write a table as ``<stem>.csv``, ``<stem>.md`` and ``<stem>.tex``, each atomically.

    The CSV file holds full precision and two lines of column names:
    ``pandas.read_csv(path, header=[0, 1], index_col=[0, 1, 2])`` reads it back. The others are rounded, and carry the
    caption. The LaTeX file needs the packages booktabs and multirow.

    Returns
    -------
    tuple of pathlib.Path
        The three files.
    """
    stem = Path(stem)
    caption = table.attrs.get("caption", "")
    texts: Sequence[tuple[str, str]] = (
        (".csv", table.to_csv(lineterminator="\n")),
        (".md", f"{markdown(table)}\n{caption}\n"),
        (".tex", latex(table, f"tab:{stem.name}")),
    )
    paths = [stem.with_name(stem.name + suffix) for suffix, _ in texts]
    for path, (_, text) in zip(paths, texts, strict=True):
        files.write_text(path, text)
    return paths[0], paths[1], paths[2]
