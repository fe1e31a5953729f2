"""What a pickle would import, read without importing it: to tell a file that holds code or objects from a damaged one."""

from __future__ import annotations

import io
import pickletools
import re
import zipfile
from pathlib import Path
from typing import IO

__all__ = ["holds_code"]

# Of other names torch's own loader is the judge; these are what its writer names for tensors and mappings.
_NUMBERS = re.compile(
    r"collections OrderedDict|torch\._utils _rebuild_\w+|torch \w+Storage|torch (?:u?int|b?float|complex|bool)\d*"
)
_NAMED = {"GLOBAL", "INST"}
_NAMELESS = {"STACK_GLOBAL", "EXT1", "EXT2", "EXT4"}
"""Opcodes that import what the stack or a table names; torch's writer uses none of them."""
_LARGEST = 1 << 26
_MOST = 2_000_000
"""Opcodes that are looked at, a second or two; a state of thousands of tensors has a hundredth of that."""


def holds_code(path: Path) -> bool:
    """Return whether a file is an intact pickle, or a zip of torch's with one in it, that asks for more than tensors.

    Only whole pickles count: in a damaged file any byte may look like a name. Nothing is imported or run.

    Parameters
    ----------
    path : path
        Any file that exists.

    Examples
    --------
    >>> import pickle, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "a")
    ...     _ = path.write_bytes(pickle.dumps(print)), path.write_bytes(pickle.dumps([1.5]) + pickle.dumps(print))
    ...     two = holds_code(path)
    ...     _ = path.write_bytes(pickle.dumps([1.5]))
    ...     two, holds_code(path)
    (True, False)
    """
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                pickles = [entry for entry in archive.infolist() if entry.filename.endswith(".pkl")]
                small = [entry for entry in pickles if entry.file_size <= _LARGEST]
                return any(_asks_for_code(io.BytesIO(archive.read(entry))) for entry in small)  # reading checks the CRC
    except Exception:  # zipfile raises many kinds on what is damaged
        return False
    with open(path, "rb") as handle:
        return _asks_for_code(io.BytesIO(handle.read(_LARGEST)))


def _asks_for_code(stream: IO[bytes]) -> bool:
    """Look through pickles that stand one after another, up to the first that is not whole, or to where it takes too long."""
    left = _MOST
    while True:
        found = False
        try:
            for opcode, argument, _ in pickletools.genops(stream):
                left -= 1
                if not left:
                    return False
                found |= opcode.name in _NAMELESS
                found |= opcode.name in _NAMED and not _NUMBERS.fullmatch(str(argument))
        except Exception:  # pickletools raises many kinds on what is no pickle
            return False
        if found:
            return True
