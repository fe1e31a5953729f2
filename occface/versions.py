"""Versions of what results depend on, read from the installed packages' metadata: nothing is imported for it."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

from occface import __version__

__all__ = ["software_versions"]

_PACKAGES = ("torch", "numpy", "opencv-python-headless", "Pillow", "scikit-image", "h5py", "dlib-bin", "pandas")


def software_versions() -> dict[str, str]:
    """Return the versions by package name, with that of Python."""
    versions = {"occface": __version__, "python": platform.python_version()}
    for name in _PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "not installed"
    return versions
