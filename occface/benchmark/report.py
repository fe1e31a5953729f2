"""The report: one HTML page that holds everything, tables and figures included, and can be mailed."""

from __future__ import annotations

import base64
import hashlib
import io
import itertools
import numbers
import os
import re
import struct
import textwrap
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from importlib.resources import files as package_files
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
from PIL import Image

from occface import __version__, files
from occface.benchmark.claims import NOT_REPRODUCED, REPRODUCED, UNDECIDED
from occface.benchmark.tables import best_cells, format_cell, header, shown
from occface.benchmark.tables.form import competitors, few_cells
from occface.benchmark.tables.quantities import N_SUFFIX
from occface.errors import UsageError
from occface.metrics import CONTRACT

__all__ = ["Section", "write_report"]

_NONE = "–"  # noqa: RUF001 - an en dash is meant, as `format_cell` prints it
#: Text columns with longer cells than these are given several lines, and wider ones.
_LONG, _PROSE = 32, 120
_PARENTHESES = re.compile(r"\([^()]*\)")
_LINK = 72
_PNG = b"\x89PNG\r\n\x1a\n"
#: Width and height that WebP can hold.
_WEBP_LARGEST = 16383
#: Of an SVG file: matplotlib gives it in points.
_VIEW_BOX = re.compile(rb'viewBox="0 0 ([\d.]+) ([\d.]+)"')
_PIXELS_PER_POINT = 4 / 3
_LIKE = re.compile(r"in the manner of (Fig\. \d+)")
#: Tables of more columns than these are set smaller.
_WIDE = 11
_P_VALUES = ("p", "p_holm")
#: How verdicts on claims are marked besides by their words, by those that they begin with; others are open. The first holds.
_VERDICTS = {REPRODUCED: "good", f"{NOT_REPRODUCED}: {UNDECIDED}": "open", NOT_REPRODUCED: "bad"}


@dataclass(frozen=True)
class Section:
    """A part of the report, with a line in its table of contents.

    Attributes
    ----------
    heading : str
        Its heading.
    lead : str
        A paragraph below the heading.
    tables : mapping of str to pandas.DataFrame
        Tables by their headings. Frames with several levels of rows or columns are tables of scores, in the form that
        `occface.benchmark.tables` gives them: their columns and cells are printed as there, the best ones marked, and rows
        that compete stand in one group. Any other frame is printed as it is; a column ``verdict`` stands second, and is
        marked by its words. ``frame.attrs["caption"]`` is printed below each; what of it is ``frame.attrs["details"]`` too is
        folded away.
    figures : mapping of str to path
        PNG or SVG files by their captions. They are copied into the page.
    text : str
        Paragraphs, parted by empty lines, below all else.
    folds : mapping of str to mapping
        More figures, by the headings under which they are folded away; the first ones are unfolded.
    """

    heading: str
    lead: str = ""
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    figures: Mapping[str, str | os.PathLike[str]] = field(default_factory=dict)
    text: str = ""
    folds: Mapping[str, Mapping[str, str | os.PathLike[str]]] = field(default_factory=dict)


def write_report(
    folder: str | os.PathLike[str], title: str, sections: Sequence[Section], facts: Mapping[str, Any], notes: Sequence[str]
) -> Path:
    """Write ``report.html`` into a folder.

    Everything that is given is escaped: a file name in it can do no harm to a reader. The page loads nothing from elsewhere,
    and no script runs in it but its own, which sorts tables. Equal inputs give equal bytes.

    Parameters
    ----------
    folder : path
        Made if need be.
    title : str
        The heading.
    sections : sequence of Section
        The parts of the page, in their order.
    facts : mapping
        Where the numbers came from, for the foot of the page: data sets, hashes, seeds, device, recipe, times, versions. A
        value may be a mapping or a list itself, and is then listed in it.
    notes : sequence of str
        What the numbers do not say.

    Returns
    -------
    pathlib.Path
        The page.

    Raises
    ------
    UsageError
        If a figure cannot be read, or is neither PNG nor SVG.
    OccfaceError
        If the page cannot be written.
    """
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        loader=jinja2.FunctionLoader(_template),
    )
    # The browser runs the script with this hash, and no other.
    environment.filters["digest"] = lambda text: base64.b64encode(hashlib.sha256(str(text).encode()).digest()).decode()
    page = environment.get_template("report.html").render(
        title=title,
        lead=f"Made by occface {__version__}.",
        sections=[_section(number, section) for number, section in enumerate(sections, start=1)],
        contract=CONTRACT,
        notes=notes,
        facts=[(str(name), _value(value)) for name, value in facts.items()],
        mark=_mark,
        folded=_folded,
    )
    path = Path(folder) / "report.html"
    files.write_text(path, page)
    return path


def _template(name: str) -> str:
    return package_files("occface.benchmark").joinpath(name).read_text(encoding="utf-8")


def _section(number: int, section: Section) -> dict[str, Any]:
    """Return what the template prints of a section; every part of it has an id to link to."""
    tables = [
        {
            "id": f"table-{number}-{place}",
            "heading": heading,
            **_caption(frame),
            **(_scores(frame) if frame.index.nlevels > 1 or frame.columns.nlevels > 1 else _plain(frame)),
        }
        for place, (heading, frame) in enumerate(section.tables.items(), start=1)
    ]
    captions: list[str] = []
    paths: list[Path] = []
    for found in (section.figures, *section.folds.values()):
        captions += list(found)
        paths += list(map(Path, found.values()))
    with ThreadPoolExecutor() as pool:  # encoding pictures holds no lock
        drawn = list(pool.map(_figure, paths))
    figures = [
        {"id": f"figure-{number}-{place}", "caption": caption, **figure}
        for place, (caption, figure) in enumerate(zip(captions, drawn, strict=True), start=1)
    ]
    rest = iter(figures)
    plain = list(itertools.islice(rest, len(section.figures)))
    folds = [
        {"heading": heading, "open": not place, "figures": list(itertools.islice(rest, len(found)))}
        for place, (heading, found) in enumerate(section.folds.items())
    ]
    links = [(table["id"], table["heading"]) for table in tables]
    links += [(figure["id"], _short(figure["caption"])) for figure in figures]
    return {
        "id": f"part-{number}",
        "heading": section.heading,
        "lead": section.lead,
        "links": [(name, textwrap.shorten(text, _LINK, placeholder=" …")) for name, text in links],
        "tables": tables,
        "figures": plain,
        "folds": folds,
        "paragraphs": [part.strip() for part in section.text.split("\n\n") if part.strip()],
    }


def _caption(frame: pd.DataFrame) -> dict[str, str]:
    """Return the caption of a table in two parts, the second to be unfolded."""
    caption, details = frame.attrs.get("caption", ""), frame.attrs.get("details", "")
    if details:
        caption = " ".join(part for part in map(str.strip, caption.split(details)) if part)
    return {"caption": caption, "details": details}


def _short(caption: str) -> str:
    """Return what the contents call a figure: what it is of, and the paper's figure that it is like."""
    like = _LIKE.search(caption)
    first = re.split(r": |, in the manner|\. ", caption, maxsplit=1)[0].rstrip(".")
    return f"{like[1]}: {first}" if like else first


def _scores(table: pd.DataFrame) -> dict[str, Any]:
    """Return a table of scores: columns and cells as in `occface.benchmark.tables`, rows that compete in one group."""
    best, few = best_cells(table), few_cells(table)
    table = shown(table)
    best, few = (marks[list(table.columns)].to_numpy() for marks in (best, few))
    names = [str(name or "") for name in table.index.names]
    rivals = competitors(table)
    leading = min(len(list(itertools.takewhile(lambda name: name in rivals, table.index.names))), len(names) - 1)
    groups = [str(column[0]) if isinstance(column, tuple) else "" for column in table.columns]
    upper = [(text, len(list(run))) for text, run in itertools.groupby(groups)]
    kinds = ["number" if pd.api.types.is_numeric_dtype(dtype) else "" for dtype in table.dtypes]
    rows = []
    for place, row in enumerate(table.index):
        keys = [str(part) for part in (row if isinstance(row, tuple) else (row,))]
        cells = [(key, "") for key in keys[leading:]]
        for number, (column, kind) in enumerate(zip(table.columns, kinds, strict=True)):
            text = format_cell(column, table.iat[place, number])
            mark = " best" if best[place, number] else " few" if few[place, number] else ""
            cells.append((text, f"{kind}{mark}"))
        rows.append((", ".join(keys[:leading]), cells))
    return {
        "upper": [("", len(names) - leading), *upper] if any(groups) else [],
        "head": [(name, "") for name in names[leading:]]
        # The n of one metric stands behind it.
        + [
            ("n" if str(column[-1]).endswith(N_SUFFIX) else header(column), kind)
            for column, kind in zip(table.columns, kinds, strict=True)
        ],
        "groups": _groups(rows),
        "row_header": len(names) - leading - 1,
        "form": "scores wide" if len(names) - leading + len(table.columns) > _WIDE else "scores",
        "stacked": False,
    }


def _plain(frame: pd.DataFrame) -> dict[str, Any]:
    """Return any other frame: numbers in four digits, long texts in several lines; a counted index is left out."""
    whole = frame if isinstance(frame.index, pd.RangeIndex) else frame.reset_index()
    names = list(whole.columns)
    if "verdict" in names[1:]:  # what readers look for stands beside what it is about
        names.remove("verdict")
        whole = whole[[names[0], "verdict", *names[1:]]]
    head, columns = [], []
    for place, name in enumerate(whole.columns):
        values = whole.iloc[:, place].tolist()
        known = [value for value in values if not _absent(value)]
        number = bool(known) and all(isinstance(value, numbers.Real) and not isinstance(value, bool) for value in known)
        texts = [_plain_text(str(name), value) for value in values]
        longest = 0 if number else max(map(len, texts), default=0)
        long = "long prose" if longest > _PROSE else "long" if longest > _LONG else ""
        kind = "verdict" if name == "verdict" else "number" if number else long
        head.append((str(name).replace("_", " "), kind))
        columns.append([(text, kind) for text in texts])
    return {
        "upper": [],
        "head": head,
        "groups": _groups([("", list(cells)) for cells in zip(*columns, strict=True)]),
        "row_header": 0,
        "form": "stacked" if any("long" in kind for _, kind in head) else "scores",
        "stacked": any("long" in kind for _, kind in head),
    }


def _mark(verdict: str) -> str:
    """Return how a verdict is marked: good, bad or open."""
    return next((mark for words, mark in _VERDICTS.items() if verdict.startswith(words)), "open")


def _folded(text: str) -> tuple[str, str]:
    """Return the beginning of a long text, its first clause, and the rest, which readers unfold.

    The clause ends before a semicolon, else a colon, neither in parentheses, else before parentheses; it is not long itself.
    """
    if len(text) <= _PROSE:
        return text, ""
    hidden = _PARENTHESES.sub(lambda found: "(" + "x" * (len(found[0]) - 1), text)
    for end, skipped in (("; ", 2), (": ", 2), (" (", 1)):
        place = hidden.find(end)
        if 0 < place <= _PROSE:
            return text[:place], text[place + skipped :]
    return text, ""


def _groups(rows: Sequence[tuple[str, list[tuple[str, str]]]]) -> list[tuple[str, list[list[tuple[str, str]]]]]:
    return [(group, [cells for _, cells in run]) for group, run in itertools.groupby(rows, key=lambda row: row[0])]


def _absent(value: Any) -> bool:
    return value is None or value == "" or (pd.api.types.is_scalar(value) and bool(pd.isna(value)))


def _plain_text(column: str, value: Any) -> str:
    if _absent(value):
        return _NONE
    if column in _P_VALUES and isinstance(value, numbers.Real):
        return "< 0.001" if float(value) < 0.001 else f"{float(value):.3f}"
    return _text(value)


def _text(value: Any) -> str:
    """Return a plain value as text, floats in four digits, lists with commas."""
    if isinstance(value, list | tuple):
        return ", ".join(map(_text, value))
    if isinstance(value, numbers.Real) and not isinstance(value, numbers.Integral):
        number = float(value)
        return f"{number:.0f}" if 1e3 <= abs(number) < 1e15 else f"{number:.4g}"
    return str(value)


def _value(value: Any) -> str | list[tuple[str, Any]]:
    """Return a fact for the template: a text, or the pairs of a mapping."""
    if isinstance(value, Mapping):
        return [(str(name), _value(inner)) for name, inner in value.items()]
    return _text(value)


def _figure(path: Path) -> dict[str, Any]:
    """Return a figure as a data URI, with its size where it is known, so that the page does not jump when it is decoded."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"expected a figure at {path}, but it cannot be read: {error.strerror or error}") from error
    if data.startswith(_PNG) and len(data) >= 24:
        kind, size = "png", struct.unpack(">II", data[16:24])
        if max(size) <= _WEBP_LARGEST:
            kind, data = "webp", _webp(data)
    elif b"<svg" in data[:2048]:
        found = _VIEW_BOX.search(data[:2048])
        kind, size = "svg+xml", tuple(round(float(side) * _PIXELS_PER_POINT) for side in found.groups()) if found else ()
    else:
        raise UsageError(f"expected a PNG or SVG file as figure, but {path} is neither; save it as one of these")
    return {"source": f"data:image/{kind};base64,{base64.b64encode(data).decode()}", "drawing": kind == "svg+xml", "size": size}


def _webp(png: bytes) -> bytes:
    """Return a picture as WebP of high quality: an eighth of the bytes, which a telephone has to load."""
    encoded = io.BytesIO()
    with Image.open(io.BytesIO(png)) as picture:
        picture.save(encoded, "WEBP", quality=90, method=2)
    return encoded.getvalue()
