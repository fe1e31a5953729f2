"""The Python in the documentation runs, and so do commands that are marked so: each page in a folder of its own, in order."""

from __future__ import annotations

import doctest
import sys
from typing import Any

import pytest
from click.testing import CliRunner

from occface.cli import main
from occface.dataset.reader import DatasetFile
from occface.methods import METHODS
from occface.metrics import METRICS
from tests.docs.blocks import NOT_RUN, SHELL, Block, blocks_of, pages
from tests.docs.given import FILES, names_of
from tests.docs.shell import arguments_of_ours, commands


def runs(block: Block) -> bool:
    """Return whether a block is to be run."""
    return (block.language in {"python", "pycon"} and block.name not in NOT_RUN) or (block.language in SHELL and block.runnable)


PAGES = [found for page in pages() if any(map(runs, found := blocks_of(page)))]


def run(block: Block, names: dict[str, Any]) -> None:
    """Run a block, with names that earlier blocks of its page have bound."""
    if block.language == "python":
        exec(compile("\n" * (block.line - 1) + block.text, block.page, "exec", dont_inherit=True), names)
    elif block.language == "pycon":
        test = doctest.DocTestParser().get_doctest(block.text, names, block.name, block.page, block.line - 1)
        said: list[str] = []
        flags = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
        doctest.DocTestRunner(optionflags=flags, verbose=False).run(test, out=said.append, clear_globs=False)
        names |= test.globs
        assert not said, "".join(said)
    else:
        for words in commands(block.text):
            arguments = arguments_of_ours(words)
            assert arguments is not None, f"{block.name} is marked runnable, but {words[0]} is no command of ours"
            done = CliRunner().invoke(main, arguments)
            assert done.exit_code == 0, f"{block.name}: {' '.join(words)}\n{done.output}"


@pytest.mark.parametrize("blocks", PAGES, ids=lambda blocks: blocks[0].page)
def test_a_page_runs_from_top_to_bottom(blocks, desk, dataset_path, request, monkeypatch):
    page = blocks[0].page
    for name, fixture in FILES.get(page, {}).items():
        (desk / name).symlink_to(request.getfixturevalue(fixture))
    for registry in (METHODS, METRICS):  # a page may add a name of its own; afterwards it is gone
        monkeypatch.setattr(registry, "_entries", dict(registry._entries))
    names: dict[str, Any] = {"__name__": "__main__", **names_of(page, DatasetFile(dataset_path))}
    for block in blocks:
        if block.file:
            (desk / block.file).write_text(block.text + "\n", encoding="utf-8")
        if runs(block):
            run(block, names)


def test_a_block_that_fails_is_found(desk):
    for language, text in (("python", "1 / 0"), ("pycon", ">>> 1 + 1\n3"), ("bash", "occface info none.h5"), ("bash", "ls")):
        with pytest.raises((ZeroDivisionError, AssertionError)):
            run(Block("page#heading", language, text, 1, runnable=True), {})


def test_what_pages_are_given_belongs_to_pages():
    assert set(FILES) <= {blocks[0].page for blocks in PAGES}


def test_an_error_names_the_line_of_the_page(desk):
    with pytest.raises(ZeroDivisionError) as caught:
        run(Block("docs/page.md#heading", "python", "x = 1\nx / 0", 11), {})
    assert caught.traceback[-1].lineno == 11  # counted from 0
    assert sys.exc_info() == (None, None, None)
