from __future__ import annotations

import base64
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from occface.benchmark.figures import comparison_grid
from occface.benchmark.paper import compare
from occface.benchmark.report import write_report
from occface.benchmark.scores import ScoreRow, load_scores, write_scores
from occface.benchmark.tables import table_1
from occface.errors import UsageError
from occface.metrics import CONTRACT

_EVIL = "<script>alert('x')</script>\"><img src=x onerror=alert(1)> & $title ${body}"
_VOID = {"meta", "img", "br"}


class _Page(HTMLParser):
    """Reads a page: its text, its pictures, its tables row by row, and whether every tag is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.links: list[str] = []
        self.text = ""
        self.tables: list[list[list[str]]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in _VOID:
            self.open.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href", "action") or name.startswith("on")]
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append([])
        if tag in ("td", "th"):
            self.tables[-1][-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "style":
            return
        self.text += data
        if "td" in self.open or "th" in self.open:
            self.tables[-1][-1][-1] += data


@pytest.fixture
def table(tmp_path: Path) -> pd.DataFrame:
    pipelines = {"bicubic": "SR", "bicubic+gfc": "SR+PA", "gfc+bicubic": "PA+SR", "pro-uigan": "joint"}
    rows = [
        ScoreRow("demo", mask, order, pipeline, str(face), face, psnr=20.0 + place, ssim=0.5 + place / 10)
        for mask in ("square", "irregular")
        for place, (pipeline, order) in enumerate(pipelines.items())
        for face in range(3)
    ]
    write_scores(tmp_path / "scores" / "a.csv", rows)
    return table_1(load_scores(tmp_path / "scores"))


@pytest.fixture
def grid(tmp_path: Path) -> Path:
    return comparison_grid([("Truth", [np.zeros((128, 128, 3), np.uint8)])], tmp_path / "figures" / "grid.png")


def test_the_page_holds_everything_and_needs_nothing(tmp_path: Path, table: pd.DataFrame, grid: Path) -> None:
    path = write_report(
        tmp_path / "out",
        "Demo",
        {"Table I": table},
        {"Ours and the paper's": compare(table)},
        {"Held-out faces": grid},
        {"seed": 1, "minutes": 4.25, "versions": {"torch": "2.13.0"}, "masks": ["square", "irregular"]},
        ["Small networks."],
    )
    assert path == tmp_path / "out" / "report.html"
    page = _Page(path.read_text(encoding="utf-8"))
    assert page.open == []
    assert [link[:22] for link in page.links] == ["data:image/png;base64,"]
    assert base64.b64decode(page.links[0][22:]) == grid.read_bytes()
    facts, own, both = page.tables
    assert facts == [["seed", "1"], ["minutes", "4.25"], ["versions", "torch: 2.13.0"], ["masks", "square, irregular"]]
    assert own[1] == ["mask type", "order", "method", "PSNR ↑", "SSIM ↑", "n"]
    assert own[2] == ["irregular", "SR", "Bicubic", "20.000", "0.500", "3"]
    assert own[5] == ["joint", "Pro-UIGAN", "23.000", "0.800", "3"]
    assert both[-1] == ["joint", "Pro-UIGAN", "23.000", "0.800", "3", "25.682", "0.770"]
    for part in (CONTRACT, table.attrs["caption"], "only the order of the methods", "Small networks.", "Held-out faces"):
        assert part in page.text


def test_the_best_are_marked(tmp_path: Path, table: pd.DataFrame) -> None:
    text = write_report(tmp_path, "Demo", {"Table I": table}, {}, {}, {}, []).read_text(encoding="utf-8")
    assert text.count('class="number best"') == 4
    assert '<td class="number best">23.000</td>' in text


def test_everything_is_escaped(tmp_path: Path, grid: Path) -> None:
    rows = [ScoreRow(_EVIL, _EVIL, "joint", _EVIL, _EVIL, 0, psnr=1.0, ssim=0.0)]
    write_scores(tmp_path / "scores" / "a.csv", rows)
    frame = table_1(load_scores(tmp_path / "scores"))
    path = write_report(tmp_path, _EVIL, {_EVIL: frame}, {_EVIL: frame}, {_EVIL: grid}, {_EVIL: {_EVIL: [_EVIL]}}, [_EVIL])
    page = _Page(path.read_text(encoding="utf-8"))
    assert page.open == []
    assert "script" not in page.tags
    assert page.tags.count("img") == 1
    assert len(page.links) == 1
    assert page.text.count("<script>alert('x')</script>") >= 12
    assert "$title ${body}" in page.text


def test_sections_with_nothing_in_them_are_left_out(tmp_path: Path, table: pd.DataFrame) -> None:
    text = write_report(tmp_path, "Demo", {"Table I": table}, {}, {}, {}, []).read_text(encoding="utf-8")
    for heading in ("What was run", "Beside the paper", "Pictures", "Limits"):
        assert f"<h2>{heading}</h2>" not in text
    assert "<h2>Results</h2>" in text


def test_a_missing_figure_is_named_and_the_old_page_stays(tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text("old")
    with pytest.raises(UsageError, match=r"expected a figure at .*absent\.png"):
        write_report(tmp_path, "Demo", {}, {}, {"Faces": tmp_path / "absent.png"}, {}, [])
    assert (tmp_path / "report.html").read_text() == "old"
