"""The command line: parse, call one library function, print. Heavy imports stay inside the commands, so help is instant."""

from __future__ import annotations

import logging
import sys

import click

from occface.cli.asking import assets, info, verify
from occface.cli.base import CONTEXT, Commands
from occface.cli.completing import complete_names
from occface.cli.doctoring import doctor, version_option
from occface.cli.making import benchmark, demo, make_dataset, relabel, train
from occface.cli.page import app
from occface.cli.restoring import edit, export, restore

__all__ = ["main"]


@click.group(cls=Commands, context_settings=CONTEXT)
@version_option
def main() -> None:
    """Progressive face hallucination from occluded thumbnails: data sets, training, restoring, benchmarks."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    if logging.getLogger("occface").level == logging.NOTSET:
        logging.getLogger("occface").setLevel(logging.INFO)


for command in (demo, make_dataset, relabel, train, benchmark, restore, edit, app, export, info, verify, assets, doctor):
    main.add_command(command)
complete_names(main)
