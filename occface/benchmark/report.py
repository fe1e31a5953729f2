"""The report: one HTML page that holds everything, pictures included, and can be mailed."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files as package_files
from pathlib import Path
from string import Template
from typing import Any

import pandas as pd

from occface import __version__, files
from occface.benchmark.tables import best_cells, format_cell, header
from occface.errors import UsageError
from occface.metrics import CONTRACT

__all__ = ["write_report"]

_ORDERING = (
    "SR+PA restores the size first and then inpaints; PA+SR does it the other way round; joint methods do both in one network. "
    "SR alone shows what is left without inpainting."
)


def write_report(
    folder: str | os.PathLike[str],
    title: str,
    tables: Mapping[str, pd.DataFrame],
    comparisons: Mapping[str, pd.DataFrame],
    figures: Mapping[str, str | os.PathLike[str]],
    facts: Mapping[str, Any],
    notes: Sequence[str],
) -> Path:
    """Write ``report.html`` into a folder.

    Everything that is given is escaped: a file name in it can do no harm to a reader. The page loads nothing from elsewhere.

    Parameters
    ----------
    folder : path
        Made if need be.
    title : str
        The heading.
    tables, comparisons : mapping of str to pandas.DataFrame
        Tables by their headings, as `occface.benchmark.tables.table_1` and `occface.benchmark.paper.compare` return them;
        ``frame.attrs["caption"]`` is printed below each.
    figures : mapping of str to path
        PNG files by their captions. They are copied into the page.
    facts : mapping
        What was run: data set, counts, seeds, times, versions. A value may be a mapping itself, and is then listed in it.
    notes : sequence of str
        What the numbers do not say.

    Returns
    -------
    pathlib.Path
        The page.

    Raises
    ------
    UsageError
        If a figure cannot be read.
    OccfaceError
        If the page cannot be written.
    """
    sections = [
        ("What was run", _facts(facts)),
        ("Results", "".join(_table(heading, frame) for heading, frame in tables.items())),
        ("Beside the paper", "".join(_table(heading, frame) for heading, frame in comparisons.items())),
        ("Pictures", "".join(_figure(caption, Path(path)) for caption, path in figures.items())),
        ("How the numbers were computed", f"<p>{escape(CONTRACT)}</p><p>{escape(_ORDERING)}</p>"),
        ("Limits", _notes(notes)),
    ]
    body = "\n".join(f"<section><h2>{heading}</h2>\n{content}\n</section>" for heading, content in sections if content)
    template = Template(package_files("occface.benchmark").joinpath("report.html").read_text(encoding="utf-8"))
    page = template.substitute(title=escape(title), lead=escape(f"Made by occface {__version__}."), body=body)
    path = Path(folder) / "report.html"
    files.write_text(path, page)
    return path


def _notes(notes: Sequence[str]) -> str:
    items = "".join(f"<li>{escape(note)}</li>" for note in notes)
    return f"<ul>{items}</ul>" if items else ""


def _facts(facts: Mapping[str, Any]) -> str:
    if not facts:
        return ""
    rows = "".join(
        f'<tr><th scope="row">{escape(str(name))}</th><td>{_value(value)}</td></tr>' for name, value in facts.items()
    )
    return f'<div class="scroll"><table class="facts"><tbody>{rows}</tbody></table></div>'


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return " ".join(f"<span>{escape(str(name))}: {_value(inner)}</span>" for name, inner in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_value(inner) for inner in value)
    return escape(f"{value:.4g}" if isinstance(value, float) else str(value))


def _table(heading: str, table: pd.DataFrame) -> str:
    caption = table.attrs.get("caption", "")
    below = f'<p class="caption">{escape(caption)}</p>' if caption else ""
    return (
        f'<h3>{escape(heading)}</h3><div class="scroll" tabindex="0"><table>{_head(table)}{_body(table)}</table></div>{below}\n'
    )


def _head(table: pd.DataFrame) -> str:
    corner = f'<th colspan="{table.index.nlevels}"></th>'
    groups = table.columns.get_level_values(0)
    upper = "".join(
        f'<th scope="colgroup" colspan="{int((groups == group).sum())}">{escape(str(group))}</th>' for group in groups.unique()
    )
    names = "".join(f'<th scope="col">{escape(str(name))}</th>' for name in table.index.names)
    lower = "".join(f'<th scope="col" class="number">{escape(header(column))}</th>' for column in table.columns)
    return f"<thead><tr>{corner}{upper}</tr><tr>{names}{lower}</tr></thead>"


def _body(table: pd.DataFrame) -> str:
    """Return the rows, those of one mask type in a group of their own."""
    best = best_cells(table)
    parts = []
    for group in table.index.unique(0):
        rows = table[table.index.get_level_values(0) == group]
        lines = []
        for number, (row, values) in enumerate(rows.iterrows()):
            first = f'<th scope="rowgroup" rowspan="{len(rows)}">{escape(str(group))}</th>' if number == 0 else ""
            others = "".join(f"<td>{escape(str(part))}</td>" for part in row[1:])
            cells = "".join(
                f'<td class="number{" best" if mark else ""}">{escape(format_cell(column, value))}</td>'
                for (column, value), mark in zip(values.items(), best.loc[row], strict=True)
            )
            lines.append(f"<tr>{first}{others}{cells}</tr>")
        parts.append(f'<tbody class="group">{"".join(lines)}</tbody>')
    return "".join(parts)


def _figure(caption: str, path: Path) -> str:
    try:
        data = base64.b64encode(path.read_bytes()).decode()
    except OSError as error:
        raise UsageError(f"expected a figure at {path}, but it cannot be read: {error.strerror or error}") from error
    text = escape(caption)
    image = f'<img src="data:image/png;base64,{data}" alt="{text}">'
    return f'<figure><div class="scroll" tabindex="0">{image}</div><figcaption>{text}</figcaption></figure>'
