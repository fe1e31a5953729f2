"""Pages lead to each other, list what there is, and the reference needs nothing that is optional."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from occface.cli import main
from occface.methods import METHODS
from tests.docs.blocks import ROOT, pages

DOCS = ROOT / "docs"
PAGES = {page.relative_to(DOCS).with_suffix("").as_posix(): page for page in pages() if page.is_relative_to(DOCS)}
OPTIONAL = ("gradio", "openvino", "onnx", "onnxscript", "onnxruntime", "dask", "distributed", "ray", "tensorboard", "dlib",
            "face_alignment", "playwright", "pytest")  # fmt: skip


def toctree(page: str) -> set[str]:
    """Return the pages that a page's tables of contents name."""
    text = PAGES[page].read_text(encoding="utf-8")
    folder = page.rpartition("/")[0]
    named = [
        line
        for body in re.findall(r"^```\{toctree\}\n(.*?)^```", text, re.M | re.S)
        for line in body.split()
        if re.fullmatch(r"[\w/-]+", line)
    ]
    return {f"{folder}/{name}" if folder else name for name in named} & PAGES.keys()


def test_every_page_is_in_the_contents():
    found, new = {"index"}, {"index"}
    while new:
        new = {each for page in new for each in toctree(page)} - found
        found |= new
    assert found == set(PAGES)


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.relative_to(ROOT).as_posix())
def test_pages_and_files_that_a_page_names_are_there(page):
    text = page.read_text(encoding="utf-8")
    named = set(re.findall(r"(?<![\w/])((?:docs|benchmarks|occface)/[\w/.-]+\.(?:md|py|yaml|npz|html|png|jpg))", text))
    absent = sorted(name for name in named if not (ROOT / name).is_file())
    linked = re.findall(r"\]\((?!https?:)([^)#]+)\)", text)
    absent += [name for name in linked if not (page.parent / name).is_file()]
    assert absent == []


def test_the_front_page_names_every_page_of_its_own_folder():
    front = PAGES["index"].read_text(encoding="utf-8")
    assert [name for name in PAGES if "/" not in name and name != "index" and f"`docs/{name}.md`" not in front] == []


def test_the_table_of_methods_has_all_of_them():
    own = [name for name in METHODS if METHODS.get(name).__module__.startswith("occface.")]
    table = PAGES["methods/index"].read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `([\w-]+)` \| ([\w-]+)", table, re.M))
    assert sorted(rows) == own
    words = {"sr": "super-resolution", "inpaint": "inpainting", "joint": "joint"}
    assert all(rows[name] == words[role] for name in own if (role := METHODS.get(name).role) in words)


def test_every_command_is_on_the_page_of_commands():
    text = PAGES["commands"].read_text(encoding="utf-8")
    assert ".. click:: occface.cli:main\n   :prog: occface\n   :nested: full" in text
    assert len(main.commands) > 10  # so that the page, which is made from them, has something to say


def test_the_reference_imports_without_what_is_optional():
    modules = {
        name
        for page in PAGES.values()
        for name in re.findall(r"^\.\. automodule:: ([\w.]+)$", page.read_text(encoding="utf-8"), re.M)
    }
    assert len(modules) > 20
    code = (
        f"import sys, importlib; sys.modules.update(dict.fromkeys({OPTIONAL!r}));"
        f"[importlib.import_module(name) for name in {sorted(modules)!r}]"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
