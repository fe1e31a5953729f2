"""A folder, or a file, that one program makes at a time."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
from collections.abc import Iterator
from pathlib import Path

from occface import files
from occface.errors import UsageError

__all__ = ["working_alone"]

log = logging.getLogger("occface")


@contextlib.contextmanager
def working_alone(folder: str | os.PathLike[str], name: str = "") -> Iterator[None]:
    """Keep a folder, or one file in it that is to be made, for the length of a block; another program is refused meanwhile.

    The folder is made if it is not there, and removed again if it is empty in the end. What a killed process left half written
    in it (or of that file) is removed. The kernel holds the lock and lets go of it when the process ends, however it ends; the
    hidden file that it hangs on goes with the block. Of a killed process it stays, and is in nobody's way. (The package
    filelock leaves that file, and where locks are missing takes to one that outlives a killed process.)

    Parameters
    ----------
    folder : path
        The folder; its lock is ``.lock``.
    name : str
        The file; its lock is ``.NAME.lock`` beside it, and others may work on other files of the folder.

    Raises
    ------
    UsageError
        If another program has it.
    OccfaceError
        If the folder cannot be made or written. Where its file system has no locks, a warning says so, and the block is run.
    """
    place = Path(folder)
    new = not place.exists()
    lock = place / (f".{name}.lock" if name else ".lock")
    handle = _locked(lock, f"on {place / name}" if name else f"in {place}")
    try:
        files.remove_leftovers(place, *([name] if name else []))
        yield
    finally:
        with contextlib.suppress(OSError):  # before it is let go of: who has opened it by now finds it gone, once it is locked
            lock.unlink()
        os.close(handle)
        if new:
            with contextlib.suppress(OSError):  # it is not empty, or another program has begun there
                place.rmdir()


def _locked(lock: Path, where: str) -> int:
    """Return the file of a lock, open and locked."""
    while True:
        files.make_folder(lock.parent)
        try:
            handle = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)  # network file systems lock only what may be written
        except FileNotFoundError:  # another program has just ended, and removed the folder
            continue
        except OSError as error:
            raise files.unwritable(lock, error) from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError) as error:  # the latter from some network file systems
            os.close(handle)
            raise UsageError(f"another occface is at work {where}: wait for it, stop it, or name another place") from error
        except OSError as error:
            log.warning("there are no locks where this works %s (%s): see that nothing else does", where, error.strerror)
            return handle
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(handle), lock.stat()):
                return handle
        os.close(handle)  # who had it has ended, and removed it, since it was opened here
