"""The errors that users see: one line each, saying what was expected, what came, and what to do."""

from __future__ import annotations


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or its type where there is no message.

    Examples
    --------
    >>> first_line(ValueError("bad")), first_line(KeyError())
    ('bad', 'KeyError')
    """
    return next(iter(str(error).splitlines()), "") or type(error).__name__


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
