"""Versions of what results depend on, read from the installed packages' metadata: nothing is imported for it."""

from __future__ import annotations

import functools
import hashlib
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from occface import __version__

__all__ = ["software_versions", "source_hash"]

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


def software_versions() -> dict[str, str]:
    """Return the versions by package name, with that of Python."""
    versions = {"occface": __version__, "python": platform.python_version()}
    for name in _PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "not installed"
    return versions
