"""A run folder belongs to one training at a time."""

from __future__ import annotations

import contextlib
import fcntl
import logging
from collections.abc import Iterator
from pathlib import Path

from occface import files
from occface.errors import UsageError

__all__ = ["LOCK", "locked"]

LOCK = ".lock"
log = logging.getLogger(__name__)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Make a folder, if it is not there, and keep it for the length of a block.

    The kernel holds the lock and lets go of it when the process ends, however it ends; the file that it hangs on stays.

    Raises
    ------
    UsageError
        If another process has it.
    """
    with open(files.make_folder(folder) / LOCK, "a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UsageError(
                f"another training is at work in {folder}: wait for it, stop it, or name another folder"
            ) from error
        except OSError as error:
            log.warning("the file system of %s has no locks (%s): see that only one training uses it", folder, error.strerror)
        yield
