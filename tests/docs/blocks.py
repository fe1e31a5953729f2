"""The fenced code blocks of the documentation, by name, and what is to be done with each."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

__all__ = ["NOT_RUN", "ROOT", "SHELL", "Block", "blocks_of", "pages"]

ROOT = Path(__file__).parents[2]

#: Languages of blocks whose lines are commands of a shell.
SHELL = ("bash", "sh", "console")

#: Blocks of Python that are not run, by their names, each with its reason. A name that stands for no block is an error.
NOT_RUN: dict[str, str] = {}

_FENCE = re.compile(r"^(?P<indent> *)(?P<ticks>`{3,})(?P<language>[^`\s]*).*$")
_HEADING = re.compile(r"^#+ (.+)$")
_MARK = re.compile(r"^<!-- (?P<word>runnable|file: (?P<file>[\w./-]+)) -->$")


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes
    ----------
    name : str
        ``page#heading``, the heading in lower case with - for all but letters and digits; ``page#heading:2`` for the second
        below the same heading, and so on.
    language : str
        What stands behind the fence; ``bash`` where nothing does and a line begins with a command of ours.
    text : str
        The lines within.
    line : int
        The number of its first line in the page.
    runnable : bool
        Whether the line before it is ``<!-- runnable -->``: its commands are run.
    file : str
        The file that a reader is to make of it, as ``<!-- file: NAME -->`` before it says; else empty.
    """

    name: str
    language: str
    text: str
    line: int
    runnable: bool = False
    file: str = ""

    @property
    def page(self) -> str:
        """The page's place below the root."""
        return self.name.partition("#")[0]


def pages() -> list[Path]:
    """Return all pages: the README and every Markdown file of the documentation."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks_of(page: Path) -> list[Block]:
    """Return the blocks of a page, in order; directives of the site (``{toctree}``) are none."""
    place = page.relative_to(ROOT).as_posix() if page.is_relative_to(ROOT) else page.name
    lines = page.read_text(encoding="utf-8").splitlines()
    found: list[Block] = []
    counts: Counter[str] = Counter()
    heading, number = "", 0
    while number < len(lines):
        line = lines[number]
        opened = _FENCE.match(line)
        if not opened:
            titled = _HEADING.match(line)
            heading = re.sub(r"[^a-z0-9]+", "-", titled[1].lower()).strip("-") if titled else heading
            number += 1
            continue
        ends = [n for n in range(number + 1, len(lines)) if lines[n].strip() == opened["ticks"]]
        if not ends:
            raise ValueError(f"{place}:{number + 1}: the block is not closed")
        body = "\n".join(text.removeprefix(opened["indent"]) for text in lines[number + 1 : ends[0]])
        language = opened["language"] or ("bash" if re.search(r"^(\$ )?occface ", body, re.M) else "")
        if not language.startswith("{"):
            counts[heading] += 1
            name = f"{place}#{heading}" + (f":{counts[heading]}" if counts[heading] > 1 else "")
            mark = _MARK.match(lines[number - 1].strip()) if number else None
            runnable = mark is not None and mark["word"] == "runnable"
            found.append(Block(name, language, body, number + 2, runnable, (mark["file"] or "") if mark else ""))
        number = ends[0] + 1
    return found
