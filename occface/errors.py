"""The errors that users see: one line each, saying what was expected, what came, and what to do."""

from __future__ import annotations


class OccfaceError(Exception):
    """Work that could not be done. The command line prints its message as one line and exits with 1."""

    exit_code = 1


class UsageError(OccfaceError):
    """A request that cannot be carried out as it stands: a wrong name, value or file. Exits with 2."""

    exit_code = 2


class BadImageError(OccfaceError):
    """A photograph that cannot be used. Its message is the reason listed in ``rejected.csv``."""


class AssetError(OccfaceError):
    """Weights or data that are needed but not at hand, or not what their hash says."""
