"""What setup.cfg cannot say: a package built from a checkout remembers the commit that it is of (`occface --version`)."""

import sys
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist

ROOT = Path(__file__).parent.resolve()
sys.path.insert(0, str(ROOT))

from occface.versions import COMMIT_FILE, commit  # noqa: E402  it needs nothing but Python


def remember(folder):
    """Write the commit into the package in a folder, if it is known."""
    if of := commit(ROOT):
        Path(folder, "occface", COMMIT_FILE).write_text(f"{of}\n", encoding="utf-8")


class Build(build_py):
    """Build, and remember the commit; an editable installation reads it from the checkout."""

    def run(self):  # noqa: D102
        super().run()
        if not self.editable_mode:
            remember(self.build_lib)


class Source(sdist):
    """Make a source archive, which has no history, and remember the commit in it."""

    def make_release_tree(self, base_dir, files):  # noqa: D102
        super().make_release_tree(base_dir, files)
        remember(base_dir)


setup(cmdclass={"build_py": Build, "sdist": Source})
