"""The commands in a block of shell, and whether ours exist and parse: click itself parses them."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
from collections.abc import Iterator

import click

from occface.cli import main

__all__ = ["arguments_of_ours", "commands", "parse"]

#: Words of the shell that stand before a command.
_WORDS = ("do", "done", "if", "then", "fi", "while", "export", "time", "!")
_SEPARATORS = re.compile(r"[;&|()<>]+")


def commands(text: str) -> Iterator[list[str]]:
    """Yield the commands of a block as lists of words, without comments, prompts and variables set for one command."""
    for line in text.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line.removeprefix("$ "), posix=True, punctuation_chars=";&|()<>")
        lexer.whitespace_split, lexer.commenters = True, "#"
        words: list[str] = []
        for word in [*lexer, ";"]:
            if not _SEPARATORS.fullmatch(word):
                words.append(word)
                continue
            while words and (words[0] in _WORDS or re.match(r"\w+=", words[0])):
                words.pop(0)
            if words and words[0] != "for":
                yield words
            words = []


def arguments_of_ours(words: list[str]) -> list[str] | None:
    """Return the arguments of occface in a command that starts it, itself or through another one (torchrun); else None."""
    if words[0] == "occface":
        return words[1:]
    if words[0] in {"torchrun", "srun", "python"} and "occface" in words:
        return words[words.index("occface") + 1 :]
    return None


def parse(arguments: list[str]) -> tuple[str, dict[str, object]]:
    """Have click parse a command; return its name (with that of a group before it) and the values of its parameters.

    Raises
    ------
    click.UsageError
        If the command or an option does not exist, or something is missing or too much.
    """
    path: list[str] = []
    command: click.Command = main
    context = click.Context(main, info_name="occface")
    rest = list(arguments)
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        name, found, rest = command.resolve_command(context, rest)
        assert name is not None
        assert found is not None
        path.append(name)
        command, context = found, click.Context(found, parent=context, info_name=name)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            return " ".join(path), command.make_context(path[-1] if path else "occface", rest, parent=context.parent).params
    except click.exceptions.Exit:  # --help, --version
        return " ".join(path), {}
