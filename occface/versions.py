"""Versions of what results depend on, and of what runs here: read from metadata, so that nothing is imported for it."""

from __future__ import annotations

import functools
import hashlib
import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from occface import __version__

__all__ = ["COMMIT_FILE", "TWINS", "commit", "installed", "software_versions", "source_hash", "version_text"]

#: Distributions that bring the same module, first the one that setup.cfg asks for. Of each row one is enough; two of a row are
#: at odds, for they write into one folder, and the module is then made of both.
TWINS = (
    ("opencv-python-headless", "opencv-python", "opencv-contrib-python-headless", "opencv-contrib-python"),
    ("dlib-bin", "dlib"),
)

#: Where a build writes down the commit that it was made from, in the package's own folder.
COMMIT_FILE = "commit.txt"

_PACKAGES = ("torch", "numpy", "opencv-python-headless", "Pillow", "scikit-image", "h5py", "dlib-bin", "pandas")


@functools.cache
def source_hash(parts: tuple[str, ...] = ()) -> str:
    """Return the SHA-256 of the package's own source files: what it computes may depend on any of them.

    Parameters
    ----------
    parts : tuple of str, optional
        Files and folders of the package to take alone, such as ``"images.py"`` and ``"networks"``.
    """
    root = Path(__file__).parent
    digest = hashlib.sha256()
    chosen = [path for part in parts for path in ([root / part] if part.endswith(".py") else (root / part).rglob("*.py"))]
    for path in sorted(chosen if parts else root.rglob("*.py")):
        digest.update(f"{path.relative_to(root).as_posix()}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def installed(name: str) -> dict[str, str]:
    """Return the versions, by distribution, of a distribution and of those that stand in for it; empty if none is there.

    Examples
    --------
    >>> installed("click").keys(), installed("no-such-distribution")
    (dict_keys(['click']), {})
    """
    found = {}
    for twin in next((row for row in TWINS if name in row), (name,)):
        try:
            found[twin] = version(twin)
        except PackageNotFoundError:
            continue
    return found


def software_versions() -> dict[str, str]:
    """Return the versions by distribution, with that of Python; of interchangeable distributions, those that are installed."""
    versions = {"occface": __version__, "python": platform.python_version()}
    for name in _PACKAGES:
        versions |= installed(name) or {name: "not installed"}
    return versions


def commit(root: Path | None = None) -> str:
    """Return the commit that the package is of, 12 digits and ``-dirty`` where files were changed since; empty if unknown.

    A checkout is asked through git; a built package says what was written down when it was built.

    Parameters
    ----------
    root : path, optional
        The folder that the package lies in; that of this one by default.

    Notes
    -----
    git is started only where that folder is itself the top of a checkout of this project: a package that was installed into an
    environment within somebody's repository must not tell that one's commit. git refuses checkouts of other users.
    """
    root = root or Path(__file__).parents[1]
    settings = root / "setup.cfg"
    if not ((root / ".git").exists() and settings.is_file() and "name = occface" in settings.read_text(encoding="utf-8")):
        recorded = root / "occface" / COMMIT_FILE
        return recorded.read_text(encoding="utf-8").strip() if recorded.is_file() else ""
    # A monitor that the checkout's own settings name is a program: it is not started. Locks would get in a user's way.
    command = ["git", "-C", str(root), "--no-optional-locks", "-c", "core.fsmonitor=false"]
    command += ["describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    elsewhere = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}  # a hook's repository
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10, env=elsewhere)
    except (OSError, subprocess.TimeoutExpired):  # without git there is nothing to tell
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def version_text() -> str:
    """Return what ``occface --version`` prints: the version and commit of this package, and what it runs on."""
    of = commit()
    lines = [f"occface {__version__}{f' (commit {of})' if of else ''}"]
    lines.append(f"torch {installed('torch').get('torch', 'not installed')}, Python {platform.python_version()}")
    return "\n".join(lines)
