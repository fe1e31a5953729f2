"""Pictures for reports and papers: results side by side, in the manner of the paper's Fig. 5."""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from occface import files, lettering
from occface.benchmark.annotated import INK, PAPER, Colour, legend_strip
from occface.images import encode_png

__all__ = ["comparison_grid"]

#: A title, and pictures below it.
Column = tuple[str, Sequence[np.ndarray | None]]


class _Noted(NamedTuple):
    """A column, and a text below each of its pictures."""

    title: str
    pictures: Sequence[np.ndarray | None]
    notes: Sequence[str]


_GAP = 4
#: Pixels of the letters beside large cells.
_LARGEST = 18
_MARGIN = 10
#: Where a picture is missing, and what is written there.
_ABSENT, _ON_ABSENT = (226, 226, 226), (34, 34, 34)


def comparison_grid(
    columns: Sequence[Column],
    path: str | os.PathLike[str],
    row_labels: Sequence[str] = (),
    cell: int = 128,
    widest: int = 8,
    notes: Sequence[Sequence[str]] = (),
    legend: Mapping[str, Colour] = MappingProxyType({}),
    repeated: bool = True,
) -> Path:
    """Write a PNG grid of pictures: a column for each method with its title above, a row for each face.

    More columns than fit side by side go into several blocks below each other, each with the first and the last column, which
    all are held against, unless these are to stand there once.

    Pictures are enlarged by whole factors and never resampled, so that every pixel shown is a pixel of the result: an LR face
    of 16x16 fills its cell with squares.

    Parameters
    ----------
    columns : sequence of (str, sequence of numpy.ndarray or None)
        Titles, and uint8 RGB (side, side, 3) pictures. None, where there is no picture, is shown as such: a
        method may have failed on the face, or the file may be gone.
    path : path
        The PNG file, written atomically. Beside the pictures it is transparent, with letters that are read on light and on dark
        pages.
    row_labels : sequence of str, optional
        A label for each row, such as its mask type. Equal labels in a row of rows are written once, beside all of them.
    cell : int
        Height and width of a cell in pixels: a whole multiple of every picture's side.
    widest : int
        The most columns side by side, at least 3.
    notes : sequence of sequence of str, optional
        For each column a text below each of its pictures, such as its score; empty where there is none.
    legend : mapping of str to colour, optional
        What the colours in the pictures stand for, written at the foot.
    repeated : bool
        Whether every block has the first and the last column.

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    ValueError
        If there is nothing to show, columns, labels or notes are not of one length, or a picture is no uint8 RGB square whose
        side divides the cell's.
    """
    _check(columns, row_labels, notes)
    font = lettering.font(min(max(11, round(cell * 0.11)), _LARGEST))
    texts = notes or [[""] * len(pictures) for _, pictures in columns]
    noted = [_Noted(title, pictures, below) for (title, pictures), below in zip(columns, texts, strict=True)]
    blocks = [_block(block, row_labels, cell, font) for block in _blocks(noted, widest, repeated)]
    if legend:
        blocks.append(Image.fromarray(legend_strip(legend, max(block.width for block in blocks))))
    width = max(block.width for block in blocks) + 2 * _MARGIN
    height = sum(block.height + _MARGIN for block in blocks) + _MARGIN
    canvas = Image.new("RGBA", (width, height), PAPER)
    y = _MARGIN
    for block in blocks:
        canvas.paste(block, (_MARGIN, y))
        y += block.height + _MARGIN
    files.write_bytes(path, encode_png(np.asarray(canvas)))  # quickly: figures are drawn anew each time
    return Path(path)


def _blocks(columns: Sequence[_Noted], widest: int, repeated: bool) -> list[Sequence[_Noted]]:
    """Return columns in as few blocks as possible, of nearly equal widths, if asked each with the first and the last column."""
    if len(columns) <= widest:
        return [columns]
    first, middle, last = (columns[:1], columns[1:-1], columns[-1:]) if repeated else ([], columns, [])
    count = math.ceil(len(middle) / (widest - len(first) - len(last)))
    bounds = [round(number * len(middle) / count) for number in range(count + 1)]
    return [[*first, *middle[start:stop], *last] for start, stop in itertools.pairwise(bounds)]


def _block(columns: Sequence[_Noted], row_labels: Sequence[str], cell: int, font: ImageFont.FreeTypeFont) -> Image.Image:
    rows = len(columns[0].pictures)
    titles = [_wrap(column.title, font, cell) for column in columns]
    line = sum(font.getmetrics()) + 1
    top = line * max(len(lines) for lines in titles) + _GAP
    left = line + 2 * _GAP if row_labels else 0
    noted = any(text for column in columns for text in column.notes)
    across, down = cell + _GAP, cell + _GAP + (line + _GAP if noted else 0)
    block = Image.new("RGBA", (left + across * len(columns) - _GAP, top + down * rows - _GAP), PAPER)
    draw = ImageDraw.Draw(block)
    for place, (column, lines) in enumerate(zip(columns, titles, strict=True)):
        x = left + across * place
        for number, text in enumerate(lines):
            draw.text((x + cell / 2, top - _GAP - line * (len(lines) - number)), text, fill=INK, font=font, anchor="ma")
        for row, (picture, text) in enumerate(zip(column.pictures, column.notes, strict=True)):
            block.paste(_cell(picture, cell, font), (x, top + down * row))
            draw.text((x + cell / 2, top + down * row + cell + 2), text, fill=INK, font=font, anchor="ma")
    for label, first, count in _runs(row_labels):
        height = down * (count - 1) + cell
        block.paste(_sideways(label, font, line, height), (0, top + down * first))
    return block


def _check(columns: Sequence[Column], row_labels: Sequence[str], notes: Sequence[Sequence[str]]) -> None:
    if not columns or not columns[0][1]:
        raise ValueError("expected columns of pictures, got nothing to show")
    rows = len(columns[0][1])
    for title, pictures in columns:
        if len(pictures) != rows:
            raise ValueError(f"expected {rows} pictures in column '{title}' as in the first, got {len(pictures)}")
    if row_labels and len(row_labels) != rows:
        raise ValueError(f"expected {rows} row labels, got {len(row_labels)}")
    if notes and [len(below) for below in notes] != [rows] * len(columns):
        raise ValueError(f"expected {rows} notes for each of {len(columns)} columns, got {[len(below) for below in notes]}")


def _wrap(title: str, font: ImageFont.FreeTypeFont, width: int) -> list[str]:
    """Break a title between words so that it fits a width; a word wider than that is cut."""
    lines: list[str] = []
    for word in title.split():
        if lines and font.getlength(f"{lines[-1]} {word}") <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(lettering.cut(word, font, width))
    return lines or [""]


def _cell(picture: np.ndarray | None, cell: int, font: ImageFont.FreeTypeFont) -> Image.Image:
    if picture is None:
        absent = Image.new("RGB", (cell, cell), _ABSENT)
        ImageDraw.Draw(absent).text((cell / 2, cell / 2), "no picture", fill=_ON_ABSENT, font=font, anchor="mm")
        return absent
    side = picture.shape[0]
    if picture.dtype != np.uint8 or picture.shape != (side, side, 3) or not side or cell % side:
        raise ValueError(
            f"expected a uint8 RGB square whose side divides {cell}, got {picture.dtype} of shape {picture.shape}; "
            "give another cell size"
        )
    return Image.fromarray(picture.repeat(cell // side, axis=0).repeat(cell // side, axis=1))


def _runs(labels: Sequence[str]) -> list[tuple[str, int, int]]:
    """Return (label, first row, number of rows) for each stretch of equal labels."""
    runs: list[tuple[str, int, int]] = []
    for row, label in enumerate(labels):
        if runs and runs[-1][0] == label:
            runs[-1] = (label, runs[-1][1], runs[-1][2] + 1)
        else:
            runs.append((label, row, 1))
    return runs


def _sideways(text: str, font: ImageFont.FreeTypeFont, line: int, length: int) -> Image.Image:
    strip = Image.new("RGBA", (length, line), PAPER)
    ImageDraw.Draw(strip).text((length / 2, 0), lettering.cut(text, font, length), fill=INK, font=font, anchor="ma")
    return strip.transpose(Image.Transpose.ROTATE_90)
