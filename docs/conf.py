"""How the pages of this folder become a site: `tox -e docs`, or `sphinx-build -W docs build/docs`.

Nothing that is generated is kept here: commands come from click, the reference from docstrings, at each build. No page is
fetched from anywhere, and no package is mocked: what is optional is imported inside the functions that need it.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click
from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.util import logging

from occface import __version__
from occface.cli import main

project = "occface"
author = copyright = "the occface developers"
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "numpydoc", "sphinx_click"]
exclude_patterns = ["_build"]
myst_heading_anchors = 3

default_role = "py:obj"  # single backticks of docstrings: a link where there is something to lead to, else code
autosummary_generate = False
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
maximum_signature_line_length = 100
numpydoc_show_class_members = False
smartquotes = False  # they make a dash of --option

html_theme = "furo"
html_title = f"occface {version}"
html_copy_source = False
html_show_sphinx = False

log = logging.getLogger(__name__)

#: How pages name each other, in text that is read in a terminal or on a code host as well.
PAGE = re.compile(r"docs/([\w/.-]+)\.md")


def link_pages(app: Sphinx, tree: nodes.document) -> None:
    """Make links of names of pages in code type, such as ``docs/restore.md``; warn of pages that are not there."""
    for literal in list(tree.findall(nodes.literal)):
        named = PAGE.fullmatch(literal.astext())
        if named is None:
            continue
        if named[1] not in app.env.found_docs:
            log.warning("there is no page %s", literal.astext(), location=literal)
            continue
        target = addnodes.pending_xref(
            "", refdomain="std", reftype="doc", reftarget=f"/{named[1]}", refexplicit=False, refwarn=True,
            refdoc=app.env.docname,
        )  # fmt: skip
        target += nodes.inline("", literal.astext())
        # In docstrings it stands within a reference to an object, which this one takes the place of.
        (literal.parent if isinstance(literal.parent, addnodes.pending_xref) else literal).replace_self(target)


def show_defaults(command: click.Command) -> None:
    """Write the default of each option behind its help, as `--help` does by a setting that sphinx-click does not look at."""
    for option in command.params:
        default = option.get_default(click.Context(command), call=False)
        if isinstance(option, click.Option) and not option.is_flag and isinstance(default, str | int | float | Path):
            option.help = f"{option.help}  [default: {default}]"
    for part in command.commands.values() if isinstance(command, click.Group) else ():
        show_defaults(part)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register what this file adds."""
    show_defaults(main)
    app.connect("doctree-read", link_pages)
    return {"parallel_read_safe": True}
