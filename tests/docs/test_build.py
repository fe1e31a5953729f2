"""The site builds without a warning, and holds what is made at build time. Skipped without the extra ``docs``."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from occface.cli import main
from tests.docs.blocks import ROOT

NEEDED = ("sphinx", "myst_parser", "numpydoc", "sphinx_click", "furo")
ABSENT = [name for name in NEEDED if find_spec(name) is None]
pytestmark = pytest.mark.skipif(bool(ABSENT), reason=f"without {', '.join(ABSENT)}: pip install -e '.[docs]'")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, as ``tox -e docs`` builds it."""
    folder = tmp_path_factory.mktemp("site")
    before = {path for path in (ROOT / "docs").rglob("*") if "__pycache__" not in path.parts}
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "docs", str(folder)],
        capture_output=True, text=True, check=False, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert {path for path in (ROOT / "docs").rglob("*") if "__pycache__" not in path.parts} == before
    return folder


def test_every_option_of_every_command_is_there(site):
    page = (site / "commands.html").read_text(encoding="utf-8")
    options = {
        option
        for command in [*main.commands.values(), *main.commands["assets"].commands.values()]  # type: ignore[attr-defined]
        for parameter in command.params
        for option in parameter.opts
        if option.startswith("--")
    }
    assert len(options) > 50
    assert [option for option in sorted(options) if option not in page] == []
    assert "[default: mtcnn+dlib]" in page
    assert "UNSET" not in page


def test_names_of_pages_are_links(site):
    front = (site / "index.html").read_text(encoding="utf-8")
    assert re.search(r'<a class="reference internal" href="restore.html">', front)
    assert "docs/restore.md" not in front


def test_docstrings_are_read_as_numpydoc(site):
    page = (site / "api" / "restoring.html").read_text(encoding="utf-8")
    assert "occface.restoring.restorer.Restorer.from_pretrained" in page
    assert re.search(r'<dt class="field-odd">Parameters', page)


def test_nothing_is_loaded_from_elsewhere(site):
    loaded = {
        address
        for page in site.rglob("*.html")
        for address in re.findall(
            r'<(?:script|img|link rel="stylesheet")[^>]+(?:src|href)="(https?:[^"]+)"', page.read_text(encoding="utf-8")
        )
    }
    assert loaded == set()
