"""Commands that say what is there: data sets, weights, presets, assets."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from occface.cli.base import OneCommand, common, print_result

__all__ = ["assets", "info", "verify"]


@click.command(cls=OneCommand)
@click.argument("what")
@common("json")
def info(what: str, as_json: bool) -> None:
    """Say what WHAT is: a data set, weights, a run folder; or METHOD[:PRESET[+VARIANT]], its size and cost."""
    from occface.info import inspect

    said = inspect(what)
    print_result(as_json, said.as_dict(), said.text())


@click.command(cls=OneCommand)
@click.argument("file", type=click.Path(path_type=Path))
@common("json")
def verify(file: Path, as_json: bool) -> None:
    """Check that FILE, a data set, weights or a run folder, is whole; exit with 1 and name what is wrong if it is not."""
    from occface.info import verify as check

    wrong = check(file)
    text = f"{file} is whole" if not wrong else "\n".join(f"{file}: {line}" for line in wrong)
    print_result(as_json, {"file": str(file), "whole": not wrong, "wrong": wrong}, text)
    sys.exit(1 if wrong else 0)


@click.group()
def assets() -> None:
    """Pinned weights: list them, fetch them."""


@assets.command("list", cls=OneCommand)
@common("json")
def assets_list(as_json: bool) -> None:
    """List the pinned weights: what for, from where, under which licence, present or not."""
    from occface import assets as table

    rows = [{"name": a.name, "present": table.find(a.name) is not None, "purpose": a.purpose, "origin": a.origin,
             "licence": a.licence} for a in table.ASSETS.values()]  # fmt: skip
    text = "\n".join(
        f"{row['name']:<15} {'present' if row['present'] else 'absent ':<8} {row['purpose']}\n"
        f"{'':24} from {row['origin']}\n{'':24} {row['licence']}" for row in rows)  # fmt: skip
    print_result(as_json, {"assets": rows, "cache": str(table.cache_folder())}, f"{text}\ncache: {table.cache_folder()}")


@assets.command("pull", cls=OneCommand)
@click.argument("names", nargs=-1, required=True)
def assets_pull(names: tuple[str, ...]) -> None:
    """Fetch the pinned weights NAMES into the cache."""
    from occface import assets as table

    for name in names:
        for path in table.pull(name).values():
            click.echo(str(path))
