"""Every command in the documentation exists and parses, and what it names is there."""

from __future__ import annotations

import re
import tomllib
from configparser import ConfigParser

import click
import pytest

from occface.errors import OccfaceError
from occface.methods import METHODS
from occface.methods.base import resolve
from occface.occlusion import check_kind
from occface.pipelines import order_of
from tests.docs.blocks import ROOT, SHELL, Block, blocks_of, pages
from tests.docs.shell import arguments_of_ours, commands, parse

BLOCKS = [block for page in pages() for block in blocks_of(page) if block.language in SHELL]

#: Commands of others that pages use. Of these nothing is checked but what stands below.
OTHERS = {
    "pip", "python", "pytest", "tox", "sphinx-build", "dask", "ray", "torchrun", "srun", "sbatch", ".", "cd", "mkdir", "git",
    "ruff", "mypy", "eval", "source", "curl",
}  # fmt: skip


def settings(given: object) -> dict[str, str]:
    """Return KEY=VALUE pairs as a dict; values stay text, which presets coerce."""
    from occface.cli.base import settings_of

    return settings_of(tuple(given))  # type: ignore[arg-type]


def check_method(name: str, preset: str | None, changed: dict[str, str]) -> None:
    """Refuse a method, preset, variant or setting that does not exist."""
    kind = METHODS.get(name)
    if preset:
        resolve(kind.presets(), preset, changed, name, kind.VARIANTS)


def check_names(command: str, given: dict[str, object]) -> None:
    """Look up what the arguments of a command name: methods, presets, settings, mask types, pipelines."""
    if command == "train":
        check_method(str(given["method"]), str(given["preset"]), settings(given["settings"]))
    if command == "info" and re.fullmatch(r"[a-z-]+(:[\w+-]+)?", str(given["what"])):
        name, _, preset = str(given["what"]).partition(":")
        check_method(name, preset, {})
    if command == "make-dataset":
        for kind in given["masks"]:  # type: ignore[attr-defined]
            check_kind(kind)
    if command in {"restore", "edit"} and re.fullmatch(r"[a-z-]+(\+[a-z-]+)?", str(given["pipeline"])):
        order_of(str(given["pipeline"]))


def check(block: Block) -> None:
    """Check every command of a block."""
    for words in commands(block.text):
        arguments = arguments_of_ours(words)
        said = f"{block.name} (line {block.line} on): {' '.join(words)}"
        try:
            if arguments is not None:
                check_names(*parse(arguments))
                continue
        except (click.UsageError, OccfaceError) as error:
            if isinstance(error, click.MissingParameter) and "..." in words:  # the page leaves out what stands elsewhere on it
                continue
            message = error.format_message() if isinstance(error, click.UsageError) else str(error)
            pytest.fail(f"{said}\n{message}")
        assert words[0] in OTHERS, f"{said}\nno command that is known here"
        if words[0] == "python" and words[1].endswith(".py"):
            script = ROOT / words[1]
            assert script.is_file(), f"{said}\nthere is no {words[1]}"
            source = script.read_text(encoding="utf-8")
            unknown = [word for word in words[2:] if re.match(r"--\w", word) and f'"{word.partition("=")[0]}"' not in source]
            assert not unknown, f"{said}\n{words[1]} has no {unknown}"
        check_installation(words, said)


def check_installation(words: list[str], said: str) -> None:
    """Refuse extras and environments of ours that do not exist."""
    setup = ConfigParser()
    setup.read([ROOT / "setup.cfg", ROOT / "tox.ini"])
    if words[0] == "pip":
        for extra in re.findall(r"(?:occface|\.)\[(\w[\w,-]*)\]", " ".join(words)):
            assert set(extra.split(",")) <= set(setup["options.extras_require"]), f"{said}\nthere is no extra {extra}"
    if words[0] == "tox" and "-e" in words:
        environment = words[words.index("-e") + 1]
        assert setup.has_section(f"testenv:{environment}"), f"{said}\ntox.ini has no environment {environment}"


@pytest.mark.parametrize("page", sorted({block.page for block in BLOCKS}))
def test_commands_parse_and_name_what_is_there(page):
    for block in BLOCKS:
        if block.page == page:
            check(block)


@pytest.mark.parametrize(
    "line",
    [
        "occface trian pro-uigan --data a.h5 --out b",
        "occface train pro-uigan --data a.h5",
        "occface train pro-uigan --data a.h5 --out b --presets cpu",
        "occface train pro-uigan --data a.h5 --out b --preset cpuu",
        "occface train pro-uigan --data a.h5 --out b --set stepz=3",
        "occface make-dataset a b.h5 --mask squre",
        "occface restore a --out b --pipeline gfc+gfc",
        "occface assets pul x",
        "ls && torchrun -m occface train nobody --data a --out b",
        "python benchmarks/none.py",
        "python benchmarks/bench_masks.py --none",
        "pip install 'occface[none]'",
        "tox -e none",
        "unheard-of --option",
    ],
)
def test_a_command_that_is_wrong_is_found(line):
    with pytest.raises((pytest.fail.Exception, AssertionError)):
        check(Block("page#heading", "bash", line.replace("ls", "mkdir a"), 1))


def test_a_command_is_read_as_a_shell_reads_it():
    text = "A=1 occface train x \\\n    --set 'a=[1, 2]'  # why\n$ mkdir b && . c/d; for f in *; do occface info \"$f\"; done"
    assert list(commands(text)) == [
        ["occface", "train", "x", "--set", "a=[1, 2]"],
        ["mkdir", "b"],
        [".", "c/d"],
        ["occface", "info", "$f"],
    ]


def test_the_plugin_example_is_what_pip_reads():
    project = tomllib.loads((ROOT / "docs" / "plugin-example" / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["project"]["entry-points"]["occface.methods"] == {"lanczos": "occface_lanczos:Lanczos"}
