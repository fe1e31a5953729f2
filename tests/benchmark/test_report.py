from __future__ import annotations

import base64
import hashlib
import io
import json
import math
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from occface.benchmark.figures import comparison_grid
from occface.benchmark.report import Section, write_report
from occface.benchmark.tables import format_cell, header
from occface.errors import UsageError
from occface.metrics import CONTRACT

_EVIL = "<script>alert('x')</script>\"><img src=x onerror=alert(1)> & $title {{ title }} ${body}"
_VOID = {"meta", "img", "br"}
_BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


class _Page(HTMLParser):
    """Reads a page: its text, its pictures, its tables row by row, its ids, and whether every tag is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.alternatives: list[str] = []
        self.classes: list[str] = []
        self.text = ""
        self.script = ""
        self.policy = ""
        self.tables: list[list[list[str]]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.tags.append(tag)
        if tag not in _VOID:
            self.open.append(tag)
        self.links += [value for name, value in values.items() if name in ("src", "href", "action") or name.startswith("on")]
        self.ids += [values["id"]] if "id" in values else []
        self.classes += values.get("class", "").split()
        self.alternatives += [values["alt"]] if tag == "img" else []
        if values.get("http-equiv") == "Content-Security-Policy":
            self.policy = values["content"]
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
        if self.open and self.open[-1] == "script":
            self.script += data
            return
        self.text += data
        if "td" in self.open or "th" in self.open:
            self.tables[-1][-1][-1] += data


def _read(path: Path) -> _Page:
    return _Page(path.read_text(encoding="utf-8"))


def _table(name: str = "demo") -> pd.DataFrame:
    """Return a table of scores in the form of `occface.benchmark.tables`; PSNR 20 to 23 in the paper's order of rows."""
    methods = (("SR", "Bicubic"), ("SR+PA", "Bicubic + GFC"), ("PA+SR", "GFC + Bicubic"), ("joint", "Pro-UIGAN"))
    index = [(mask, *method) for mask in ("irregular", "square") for method in methods]
    values = [[20.0 + place, 0.5 + place / 10, 6] for _ in range(2) for place in range(4)]
    columns = pd.MultiIndex.from_product([[name], ["PSNR", "SSIM", "n"]], names=["dataset", "metric"])
    table = pd.DataFrame(
        values, index=pd.MultiIndex.from_tuples(index, names=["mask type", "order", "method"]), columns=columns
    )
    table.attrs["caption"] = "Means over 6 faces."
    return table


def _claims() -> pd.DataFrame:
    frame = pd.DataFrame(
        {
            "claim": ["PA+SR is better than SR+PA", "Pro-UIGAN is best", "P+GT is better than Pro-UIGAN"],
            "effect": [1.23456, -0.5, math.nan],
            "p_holm": [0.00004, 0.25, math.nan],
            "n": [100, 100, 0],
            "verdict": ["reproduced", "not reproduced", "not testable here"],
            "why": ["", "the interval holds zero, and half of the comparisons point the other way", "no rows of P+GT"],
        }
    )
    frame.attrs["caption"] = "Corrected by Holm's method."
    return frame


@pytest.fixture
def grid(tmp_path: Path) -> Path:
    return comparison_grid([("Truth", [np.zeros((128, 128, 3), np.uint8)])], tmp_path / "figures" / "grid.png")


@pytest.fixture
def drawing(tmp_path: Path) -> Path:
    path = tmp_path / "figures" / "curve.svg"
    path.parent.mkdir(exist_ok=True)
    path.write_text('<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 300 150.6"></svg>\n')
    return path


def test_the_page_holds_everything_and_needs_nothing(tmp_path: Path, grid: Path, drawing: Path) -> None:
    path = write_report(
        tmp_path / "out",
        "Demo",
        [
            Section("Hallucination", "All pipelines.", {"Table I": _table()}, {"Held-out faces": grid}, "First.\n\nSecond."),
            Section("Curves", figures={"By mask size": drawing}),
        ],
        {"seed": 1, "minutes": 4.25, "versions": {"torch": "2.13.0"}, "masks": ["square", "irregular"]},
        ["Small networks."],
    )
    assert path == tmp_path / "out" / "report.html"
    page = _read(path)
    assert page.open == []
    pictures = [link for link in page.links if not link.startswith("#")]
    assert [link.partition(",")[0] for link in pictures] == ["data:image/webp;base64", "data:image/svg+xml;base64"]
    embedded = [base64.b64decode(link.partition(",")[2]) for link in pictures]
    assert embedded[1] == drawing.read_bytes()
    with Image.open(io.BytesIO(embedded[0])) as small, Image.open(grid) as full:
        assert small.size == full.size
        # Text on a clear ground: compared as seen on white.
        seen, meant = (np.asarray(Image.alpha_composite(Image.new("RGBA", one.size, "white"), one.convert("RGBA")), float)
                       for one in (small, full))  # fmt: skip
        assert np.abs(seen - meant).mean() < 2
    assert page.alternatives == ["Held-out faces", "By mask size"]
    own, facts = page.tables
    assert facts == [["seed", "1"], ["minutes", "4.25"], ["versions", "torch: 2.13.0"], ["masks", "square, irregular"]]
    heads = [header(("demo", name)) for name in ("PSNR", "SSIM", "n")]
    assert own[:4] == [["", "demo"], ["order", "method", *heads], ["irregular"], ["SR", "Bicubic", "20.000", "0.500", "6"]]
    assert own[6:8] == [["joint", "Pro-UIGAN", "23.000", "0.800", "6"], ["square"]]
    for part in (CONTRACT, "Means over 6 faces.", "First.", "Second.", "All pipelines.", "Small networks.", "Held-out faces"):
        assert part in page.text
    assert page.text.index("Small networks.") < page.text.index("2.13.0")  # where it came from stands at the foot


def test_pictures_have_their_size_and_drawings_may_shrink(tmp_path: Path, grid: Path, drawing: Path) -> None:
    text = write_report(tmp_path, "Demo", [Section("Both", figures={"a": grid, "b": drawing})], {}, []).read_text()
    width, height = Image.open(grid).size
    assert f'class="pixels" alt="a" width="{width}" height="{height}" decoding' in text
    assert 'class="drawing" alt="b" width="400" height="201" style="min-width: 300px"' in text


def test_figures_are_folded_away_but_for_those_of_the_first_heading(tmp_path: Path, grid: Path, drawing: Path) -> None:
    folds = {"one": {"a": grid}, "two": {"b": drawing, "c": grid}}
    path = write_report(tmp_path, "Demo", [Section("Pictures", figures={"d": drawing}, folds=folds)], {}, [])
    text = path.read_text()
    assert _read(path).alternatives == ["d", "a", "b", "c"]
    assert re.findall(r'<figure id="(.*?)"', text) == [f"figure-1-{place}" for place in (1, 2, 3, 4)]
    before, first, second = text.split('<details class="fold"')
    assert (before.count("<figure "), first.count("<figure "), second.count("<figure ")) == (1, 1, 2)
    assert first.startswith(" open>\n<summary>one <span>(1 figure)</span></summary>")
    assert second.startswith(">\n<summary>two <span>(2 figures)</span></summary>")
    assert "#figure-1-4" in _read(path).links


def test_every_link_of_the_contents_leads_somewhere(tmp_path: Path, grid: Path) -> None:
    sections = [Section(name, tables={"Table I": _table()}, figures={"Faces": grid}) for name in ("One", "Two")]
    page = _read(write_report(tmp_path, "Demo", sections, {"seed": 1}, ["A note."]))
    targets = {link[1:] for link in page.links if link.startswith("#")}
    assert len(page.ids) == len(set(page.ids))
    assert targets <= set(page.ids)
    assert len(targets) == 2 * 3 + 3 + 1  # parts, tables and figures; computed, limits, provenance; the way back


def test_the_best_are_marked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = _table()
    marks = pd.DataFrame(False, index=table.index, columns=table.columns)
    marks.iloc[3, 0] = True
    monkeypatch.setattr("occface.benchmark.report.best_cells", lambda frame: marks)
    text = write_report(tmp_path, "Demo", [Section("All", tables={"Table I": table})], {}, []).read_text(encoding="utf-8")
    assert text.count('class="number best"') == 1
    assert '<td role="cell" class="number best">23.000</td>' in text


def test_what_only_the_csv_file_holds_is_left_out_and_texts_are_no_numbers(tmp_path: Path) -> None:
    table = _table()
    table[("demo", "PSNR low")] = 19.0
    table[("demo", "device")] = "CPU"
    table.index = table.index.set_names("pose", level=1)
    page = _read(write_report(tmp_path, "Demo", [Section("All", tables={"T": table})], {}, []))
    heads = [header(("demo", name)) for name in ("PSNR", "SSIM", "n")]
    assert page.tables[0][:4] == [
        ["", "demo"],
        ["method", *heads, "device"],
        ["irregular, SR"],  # rows of one mask type and one pose compete
        ["Bicubic", "20.000", "0.500", "6", "CPU"],
    ]
    assert page.classes.count("number") == 3 + 8 * 3


def test_claims_differ_by_word_and_by_mark(tmp_path: Path) -> None:
    page = _read(write_report(tmp_path, "Demo", [Section("Claims", tables={"Claims": _claims()})], {}, []))
    (table,) = page.tables
    why = "the interval holds zero, and half of the comparisons point the other way"
    assert table == [
        ["claim", "verdict", "effect", "p holm", "n", "why"],
        ["PA+SR is better than SR+PA", "reproduced", "1.235", "< 0.001", "100", "–"],  # noqa: RUF001
        ["Pro-UIGAN is best", "not reproduced", "-0.5", "0.250", "100", why],
        ["P+GT is better than Pro-UIGAN", "not testable here", "–", "–", "0", "no rows of P+GT"],  # noqa: RUF001
    ]
    assert [name for name in page.classes if name in ("good", "bad", "open")] == ["good", "bad", "open"]
    assert "Corrected by Holm's method." in page.text


def test_verdicts_are_marked_by_the_words_they_begin_with(tmp_path: Path) -> None:
    verdicts = {
        "reproduced": "good",
        "reproduced: best of the 5 that are here": "good",
        "not reproduced": "bad",
        "not reproduced: contradicted": "bad",
        "not reproduced: undecided": "open",
        "not testable here: undecidable with 6 people": "open",
    }
    frame = pd.DataFrame({"claim": "One", "verdict": list(verdicts)})
    page = _read(write_report(tmp_path, "Demo", [Section("Claims", tables={"Claims": frame})], {}, []))
    assert [name for name in page.classes if name in ("good", "bad", "open")] == list(verdicts.values())


def test_means_of_few_images_are_faint(tmp_path: Path) -> None:
    table = _table()
    table[("demo", "n")] = [3, 3, 3, 3, 5, 5, 5, 4]
    text = write_report(tmp_path, "Demo", [Section("All", tables={"Table I": table})], {}, []).read_text(encoding="utf-8")
    assert '<td role="cell" class="number few">23.000</td><td' in text.replace("</td>\n<td", "</td><td")
    assert text.count('class="number few"') == 5 * 2
    assert '<td role="cell" class="number best">22.000</td>' in text


def test_how_numbers_were_computed_is_folded_away(tmp_path: Path) -> None:
    table = _table()
    table.attrs |= {"caption": "Means. PSNR of bytes. A note.", "details": "PSNR of bytes."}
    page = _read(write_report(tmp_path, "Demo", [Section("All", tables={"Table I": table, "Claims": _claims()})], {}, []))
    assert page.tags.count("details") == 1
    assert "Means. A note." in page.text
    assert page.text.count("PSNR of bytes.") == 1


def test_long_texts_are_folded_after_a_whole_clause(tmp_path: Path) -> None:
    more = "and so on " * 15
    texts = {
        f"no difference; {more}": "no difference",
        f"{more}; much": "",  # its first clause is as long as all of it
        f"needs a pipeline (left out: it missed; twice) {more}": "needs a pipeline",
        f"1 or 0: {more}": "1 or 0",
        f"one (a; b), two; {more}": "one (a; b), two",
        "a; b": "",
    }
    frame = pd.DataFrame({"claim": "One", "why": list(texts)})
    text = write_report(tmp_path, "Demo", [Section("Claims", tables={"Claims": frame})], {"f": texts}, []).read_text()
    cells = re.findall(r'<td role="cell" class="long prose"[^>]*>(.*?)</td>', text)
    assert [(re.findall("<summary>(.*?)</summary>", cell) or [""])[0] for cell in cells] == list(texts.values())
    assert [re.sub("<.*?>", "", cell).split()[-1] for cell in cells] == [words.split()[-1] for words in texts]


def test_any_other_frame_is_printed(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {"ms": [1234.5678, math.inf, None], "ok": [True, False, None]}, index=pd.Index(["a", "b", "c"], name="m")
    )
    page = _read(write_report(tmp_path, "Demo", [Section("Other", tables={"T": frame, "none": frame.iloc[:0]})], {}, []))
    table, empty = page.tables
    dash = format_cell(("", "n"), None)
    assert table == [["m", "ms", "ok"], ["a", "1235", "True"], ["b", "inf", "False"], ["c", dash, dash]]
    assert empty == [["m", "ms", "ok"]]


def test_everything_is_escaped(tmp_path: Path, grid: Path) -> None:
    frame = _table(_EVIL).rename(index={"Bicubic": _EVIL, "irregular": _EVIL})
    frame.attrs["caption"] = _EVIL
    plain = pd.DataFrame({_EVIL: [_EVIL], "verdict": [_EVIL]})
    section = Section(_EVIL, _EVIL, {_EVIL: frame, f"{_EVIL} 2": plain}, {_EVIL: grid}, _EVIL)
    page = _read(write_report(tmp_path, _EVIL, [section], {_EVIL: {_EVIL: [_EVIL]}}, [_EVIL]))
    assert page.open == []
    assert page.tags.count("script") == 1
    assert "alert" not in page.script
    assert page.tags.count("img") == 1
    assert [link[:11] for link in page.links if not link.startswith("#")] == ["data:image/"]
    assert page.text.count("<script>alert('x')</script>") >= 16
    assert "$title {{ title }} ${body}" in page.text


def test_only_the_pages_own_script_may_run(tmp_path: Path) -> None:
    page = _read(write_report(tmp_path, "Demo", [Section("All", tables={"Table I": _table()})], {}, []))
    digest = base64.b64encode(hashlib.sha256(page.script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in page.policy
    assert page.policy.startswith("default-src 'none'")
    assert "unsafe-eval" not in page.policy
    assert "aria-sort" in page.script


def test_parts_with_nothing_in_them_are_left_out(tmp_path: Path) -> None:
    page = _read(write_report(tmp_path, "Demo", [Section("Results", tables={"Table I": _table()})], {}, []))
    assert not {"limits", "provenance"} & set(page.ids)
    assert {"part-1", "computed"} <= set(page.ids)
    assert _read(write_report(tmp_path, "Demo", [], {}, [])).tables == []


def test_equal_inputs_give_equal_bytes(tmp_path: Path, grid: Path) -> None:
    sections = [Section("All", tables={"Table I": _table(), "Claims": _claims()}, figures={"Faces": grid})]
    pages = [write_report(tmp_path / name, "Demo", sections, {"seed": 1}, ["A note."]).read_bytes() for name in "ab"]
    assert pages[0] == pages[1]


def test_a_missing_figure_is_named_and_the_old_page_stays(tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text("old")
    with pytest.raises(UsageError, match=r"expected a figure at .*absent\.png"):
        write_report(tmp_path, "Demo", [Section("Faces", figures={"Faces": tmp_path / "absent.png"})], {}, [])
    (tmp_path / "notes.txt").write_text("no picture")
    with pytest.raises(UsageError, match=r"expected a PNG or SVG file as figure, but .*notes\.txt is neither"):
        write_report(tmp_path, "Demo", [Section("Faces", figures={"Faces": tmp_path / "notes.txt"})], {}, [])
    assert (tmp_path / "report.html").read_text() == "old"


#: Clicks headers, and notes the rows of a table after each click. What it finds stands in the page's title.
_CLICKS = """
const rows = (table) => [...table.tBodies].map((body) => [...body.rows].map((row) => row.cells[0].textContent));
const after = (place, column, clicks) => {
  const table = document.querySelectorAll("table.sortable")[place];
  const head = table.tHead.rows[table.tHead.rows.length - 1].cells[column];
  const found = [];
  for (let click = 0; click < clicks; click++) {
    head.firstChild.click();
    found.push([head.getAttribute("aria-sort"), rows(table)]);
  }
  return found;
};
const buttons = [...document.querySelectorAll("th button")];
document.title = JSON.stringify({
  numbers: after(0, 1, 3), lower: after(0, 2, 1), texts: after(0, 0, 2),
  other: document.querySelectorAll("th[aria-sort=none]").length, groups: after(1, 2, 1),
  reached: buttons.every((button) => button.type === "button" && button.tabIndex === 0),
  open: [...document.querySelectorAll("details")].map((part) => part.open),
  wide: document.documentElement.scrollWidth > document.documentElement.clientWidth,
});
"""


@pytest.mark.skipif(_BROWSER is None, reason="needs Chromium or Chrome in the PATH")
def test_headers_sort_and_links_unfold_in_a_browser(tmp_path: Path, drawing: Path) -> None:
    values = [("m2", 9.5, 9.5), ("m10", math.nan, math.nan), ("m1", 10.25, 10.25), ("m3", math.inf, 1.0), ("m4", -3.0, -3.0)]
    frame = pd.DataFrame(values, columns=["mask", "PSNR ↑", "NRMSE ↓"])
    folds = {name: {f"{name} of it": drawing} for name in ("one", "two", "three")}
    path = write_report(tmp_path, "Demo", [Section("Both", tables={"a": frame, "b": _table()}, folds=folds)], {}, [])
    # The page's policy lets no other script run: the clicks need a leave of their own.
    digest = base64.b64encode(hashlib.sha256(_CLICKS.encode()).digest()).decode()
    text = path.read_text(encoding="utf-8").replace("script-src ", f"script-src 'sha256-{digest}' ")
    path.write_text(text.replace("</body>", f"<script>{_CLICKS}</script><script>document.title = 'leak'</script></body>"))
    command = [_BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom", f"--user-data-dir={tmp_path / 'profile'}"]
    page = subprocess.run(
        [*command, f"{path.as_uri()}#figure-1-3"], capture_output=True, text=True, timeout=240, check=True
    ).stdout
    found = re.search(r"<title>(.*?)</title>", page, re.DOTALL)
    assert found, page[:500]
    seen = json.loads(found[1].replace("&gt;", ">").replace("&amp;", "&"))
    down, up, plain = (groups[0] for _, groups in seen["numbers"])
    assert [state for state, _ in seen["numbers"]] == ["descending", "ascending", "none"]
    assert down == ["m3", "m1", "m2", "m4", "m10"]  # numbers as numbers, and the dash last
    assert up == ["m4", "m2", "m1", "m3", "m10"]
    assert plain == ["m2", "m10", "m1", "m3", "m4"]
    assert seen["lower"] == [["ascending", [["m4", "m3", "m2", "m1", "m10"]]]]
    assert [rows[0] for _, rows in seen["texts"]] == [["m1", "m2", "m3", "m4", "m10"], ["m10", "m4", "m3", "m2", "m1"]]
    # Rows stay in their group, below its name.
    assert seen["groups"] == [["descending", [[name, "joint", "PA+SR", "SR+PA", "SR"] for name in ("irregular", "square")]]]
    assert seen["reached"]
    assert seen["open"] == [True, False, True]
    assert not seen["wide"]
    assert seen["other"] == 3 + 5 - 1
