"""What all commands share: their options, their flags, and errors in one line."""

from __future__ import annotations

import json
import logging
import sys
import traceback
from collections.abc import Callable
from typing import Any, TypeVar

import click

from occface import determinism
from occface.errors import OccfaceError, UsageError, first_line

__all__ = ["CONTEXT", "Commands", "OneCommand", "common", "list_of", "places_of", "print_result", "settings_of"]

Command = TypeVar("Command", bound=Callable[..., Any])

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 110, "show_default": True}


def _say_more(context: click.Context, _: click.Parameter, given: bool) -> None:
    if given:
        logging.getLogger("occface").setLevel(logging.DEBUG)


def _say_less(context: click.Context, _: click.Parameter, given: bool) -> None:
    if given:
        logging.getLogger("occface").setLevel(logging.ERROR)


def _show_traceback(context: click.Context, _: click.Parameter, given: bool) -> None:
    context.find_root().meta["occface.debug"] = context.find_root().meta.get("occface.debug") or given


def _compute_repeatably(context: click.Context, _: click.Parameter, given: bool) -> None:
    if given:  # while the line is read: ahead of the libraries, which read the environment when they are imported
        determinism.require()


def _flags(hidden: bool = False) -> list[click.Parameter]:
    """Return the options that every command takes."""
    flags: tuple[tuple[list[str], Any, str], ...] = (
        (["-v", "--verbose"], _say_more, "Say more."),
        (["-q", "--quiet"], _say_less, "Say errors only, and show no progress bars."),
        (["--debug"], _show_traceback, "Show the traceback of an error."),
    )
    return [
        click.Option(names, is_flag=True, expose_value=False, callback=callback, help=text, hidden=hidden)
        for names, callback, text in flags
    ]


class OneCommand(click.Command):
    """A command that takes -v, -q and --debug, like all of them."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.params += _flags()


def _said(error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt | click.Abort):
        return "interrupted; what was made is kept: the same command, with --resume where it has it, goes on"
    if isinstance(error, click.UsageError):
        place = error.ctx.command_path if error.ctx else "occface"
        return f"{error.format_message()} See `{place} --help`."
    if isinstance(error, OccfaceError | OSError | click.ClickException):
        return str(error)
    if (refused := determinism.refusal(error)) is not None:
        return refused
    return f"unexpected {type(error).__name__}: {first_line(error)}; --debug shows where, please report it"


class Commands(click.Group):
    """The commands; errors become one line on stderr, with exit code 2 for a wrong request and 1 for failed work."""

    command_class = OneCommand

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.params += _flags(hidden=True)  # before the command they mean the same as behind it, where help shows them

    def make_context(self, *args: Any, **settings: Any) -> click.Context:
        """Read the line up to the command; what is wrong with it becomes a line and an exit code."""
        try:
            return super().make_context(*args, **settings)
        except (click.exceptions.Exit, click.exceptions.NoArgsIsHelpError):
            raise
        except click.UsageError as error:
            click.echo(f"occface: {' '.join(_said(error).split())}", err=True)
            sys.exit(error.exit_code)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; an error becomes a line and an exit code."""
        try:
            return super().invoke(ctx)
        except (click.exceptions.Exit, click.exceptions.NoArgsIsHelpError):
            raise
        except (Exception, KeyboardInterrupt) as error:
            if ctx.meta.get("occface.debug"):
                traceback.print_exc()
            click.echo(f"occface: {' '.join(_said(error).split())}", err=True)
            sys.exit(getattr(error, "exit_code", 1))


def common(*names: str) -> Callable[[Command], Command]:
    """Add options that several commands share, the same everywhere."""
    shared: dict[str, Callable[[Any], Any]] = {
        "seed": click.option("--seed", type=int, default=0, help="Seed of all that is random."),
        "workers": click.option("--workers", type=click.IntRange(min=1), help="Processes.  [default: all processors]"),
        "device": click.option("--device", default="auto", help="auto, cpu, cuda, cuda:1 or mps."),
        "deterministic": click.option(
            "--deterministic",
            is_flag=True,
            expose_value=False,
            callback=_compute_repeatably,
            help="Compute so that every run gives the same bits, or fail: one thread a process (docs/training.md).",
        ),
        "resume": click.option("--resume", is_flag=True, help="Go on with unfinished work."),
        "overwrite": click.option("--overwrite", is_flag=True, help="Replace what is there."),
        "limit": click.option("--limit", type=click.IntRange(min=1), help="Take the first so many photographs only."),
        "json": click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout."),
    }

    def decorate(command: Command) -> Command:
        for name in reversed(names):
            command = shared[name](command)
        return command

    return decorate


def settings_of(given: tuple[str, ...]) -> dict[str, Any]:
    """Return the values of --set KEY=VALUE, each read as YAML."""
    import yaml

    settings = {}
    for text in given:
        key, equals, value = text.partition("=")
        if not equals:
            raise UsageError(f"expected --set KEY=VALUE, got --set {text}")
        try:
            settings[key.strip()] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise UsageError(f"expected a YAML value in --set {text}: {first_line(error)}") from error
    return settings


def places_of(given: tuple[str, ...], option: str = "--data", form: str = "NAME=PATH") -> dict[str, str]:
    """Return the places of an option that is given as NAME=PATH, by name."""
    places: dict[str, str] = {}
    for text in given:
        name, equals, place = text.partition("=")
        if not equals or not name:
            raise UsageError(f"expected {option} {form}, got {option} {text}")
        if name in places:
            raise UsageError(f"{option} gives '{name}' twice: leave one out")
        places[name] = place
    return places


def list_of(text: str | None, kind: Callable[[str], Any]) -> tuple[Any, ...] | None:
    """Return the values of a comma-separated list, or None where it was not given."""
    try:
        return None if text is None else tuple(kind(item.strip()) for item in text.split(","))
    except ValueError as error:
        raise UsageError(f"expected numbers with commas between, got '{text}'") from error


def print_result(as_json: bool, value: dict[str, Any], text: str) -> None:
    """Print what a command found: one JSON object, or text for people."""
    click.echo(json.dumps(value, ensure_ascii=False) if as_json else text)
