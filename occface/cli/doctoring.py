"""What people ask first: which version this is, and what works on their machine."""

from __future__ import annotations

import sys

import click

from occface.cli.base import OneCommand, common, print_result

__all__ = ["doctor", "version_option"]


def _print_version(context: click.Context, _: click.Parameter, given: bool) -> None:
    if given and not context.resilient_parsing:
        from occface.versions import version_text  # asks git: for this answer alone

        click.echo(version_text())
        context.exit()


version_option = click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version, help="Show versions and exit."
)


@click.command(cls=OneCommand)
@common("json")
def doctor(as_json: bool) -> None:
    """Say what works on this machine, what does not, and what to do about it.

    Libraries are imported, a small file is written and read, and a face is restored; nothing is fetched. The exit code is 0 if
    make-dataset, train, restore and benchmark can work, else 1.
    """
    from occface.doctor import examine

    found = examine()
    print_result(as_json, found.as_dict(), found.text())
    sys.exit(0 if found.works else 1)
