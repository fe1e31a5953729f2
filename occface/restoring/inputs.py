"""The photographs that a user names, one after another, and what keeps a file from being one."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from occface import images
from occface.errors import BadImageError, UsageError
from occface.sources.tree import printable, some, walk

__all__ = ["Listed", "Photo", "decode_photo", "find_photos", "list_photos", "read_photo"]

#: Files that are listed with the reason why they are none, for somebody who puts them beside photographs expects something.
_REFUSED = (".avi", ".avif", ".gif", ".heic", ".heif", ".m4v", ".mkv", ".mov", ".mp4", ".mpg", ".webm", ".wmv")
_HEAD = 1 << 16
_STILL = (b"heic", b"heix", b"hevc", b"mif1", b"msf1", b"avif", b"avis")
_VIDEO = "a video: take the pictures out of it first, for example by ffmpeg"
_ANIMATED = "an animated picture: save the one of its pictures that you mean as a PNG file"
_CMYK = "CMYK, converted without its colour profile: colours may be off"
_PAGES = "of several pages, the first was taken"


@dataclass(frozen=True)
class Photo:
    """A photograph to be restored.

    Attributes
    ----------
    name : str
        Its name in results, ``/`` between the parts: below the folder that was named, or the file's own.
    path : Path
        Where it lies.
    """

    name: str
    path: Path

    def state(self) -> list[int]:
        """Return the file's size and time of change: whether it is still the one that was restored before."""
        try:
            status = self.path.stat()
        except OSError:
            return []
        return [status.st_size, status.st_mtime_ns]


@dataclass(frozen=True)
class Listed:
    """The photographs that were named, and the other files of the folders.

    Attributes
    ----------
    photos : list of Photo
        In the order given, those of a folder by name.
    passed_over : dict of str to int
        How many files of folders were taken for no photographs, by their suffix in lower case; empty for those without one.
    """

    photos: list[Photo]
    passed_over: dict[str, int]

    def note(self) -> str:
        """Say how many files were passed over, and of what kinds; empty where there were none.

        Examples
        --------
        >>> Listed([], {".txt": 2, "": 1}).note()
        'passed over: 2 files .txt, 1 file without a suffix'
        """
        kinds = sorted(self.passed_over.items(), key=lambda each: (-each[1], each[0]))
        said = [f"{number} file{'s' * (number > 1)} {suffix or 'without a suffix'}" for suffix, number in kinds]
        return f"passed over: {', '.join(said)}" if said else ""


def list_photos(paths: Iterable[str | os.PathLike[str]], limit: int | None = None, without: Path | None = None) -> list[Photo]:
    """Return the photographs that `find_photos` finds."""
    return find_photos(paths, limit, without).photos


def find_photos(paths: Iterable[str | os.PathLike[str]], limit: int | None = None, without: Path | None = None) -> Listed:
    """Find the photographs that files and folders hold.

    Of folders those files are taken that have a photograph's suffix, or that of a moving picture or of a format that is not
    read, which is then refused by name; dotted names are passed over, and what lies in the folder `without`. A file that is
    named itself is taken whatever its suffix, and one that cannot be looked at too: reading it says why. With several paths,
    a folder's photographs stand under its name.

    Parameters
    ----------
    paths : iterable of path
        Files and folders.
    limit : int, optional
        Take the first so many photographs only.
    without : Path, optional
        A folder that is left out: that of the results.

    Raises
    ------
    UsageError
        If a path does not exist, a folder holds no photograph, or two photographs would have the same name.
    """
    given = [Path(path) for path in paths]
    found: list[Photo] = []
    others: Counter[str] = Counter()
    for path in given:
        try:
            there, folder = path.exists(), path.is_dir()
        except PermissionError:  # its folder may not be entered
            there, folder = True, False
        if not there:
            raise UsageError(f"expected a photograph or a folder of them at {path}, but there is nothing of that name")
        if not folder:
            found.append(Photo(printable(path.name), path))
            continue
        inside = [] if without is None else [f"{place}/" for place in _below(path, without)]
        names = sorted(name for name in walk(path) if not name.startswith(tuple(inside)))
        wanted = [name for name in names if name.lower().endswith((*images.SUFFIXES, *_REFUSED))]
        others.update(PurePosixPath(name).suffix.lower() for name in set(names) - set(wanted))
        if not wanted:
            raise UsageError(f"no photographs in {path}: it holds {some(names)}; name a folder of photographs")
        above = f"{path.resolve().name}/" if len(given) > 1 else ""
        found += [Photo(above + name, path / name) for name in wanted]
    names = [photo.name for photo in found]
    if len(set(names)) < len(names):
        twice = next(name for number, name in enumerate(names) if name in names[:number])
        raise UsageError(f"two photographs would both be written as '{twice}': restore them in two calls, into two folders")
    return Listed(found[:limit], dict(others))


def _below(folder: Path, other: Path) -> list[str]:
    """Return where a folder lies below another, if it does."""
    try:
        return [other.resolve().relative_to(folder.resolve()).as_posix()]
    except ValueError:
        return []


def read_photo(photo: Photo, max_pixels: int = images.MAX_PIXELS) -> tuple[np.ndarray, str]:
    """Read a photograph.

    Parameters
    ----------
    photo : Photo
        The photograph.
    max_pixels : int
        One with more pixels is refused by its header.

    Returns
    -------
    image : numpy.ndarray
        (height, width, 3) uint8 RGB, upright.
    note : str
        What its user should know of how it was read; else empty.

    Raises
    ------
    BadImageError
        If it cannot be read, is a video or animated, or has too many pixels; the message is a reason of one line.
    OccfaceError
        If the disk fails.
    """
    try:
        with open(photo.path, "rb") as handle:
            head = handle.read(_HEAD)
    except OSError:
        head = b""  # reading the whole file says why
    if reason := _moving(head):  # before a film of many GB is read
        raise BadImageError(reason)
    return decode_photo(images.read_bytes(photo.path), max_pixels)


def decode_photo(data: bytes, max_pixels: int = images.MAX_PIXELS) -> tuple[np.ndarray, str]:
    """Decode a photograph that is in memory already: `read_photo` for its bytes."""
    if reason := _moving(data[:_HEAD]):
        raise BadImageError(reason)
    decoded = images.decode(data, max_pixels)
    notes = [note for note, holds in ((_CMYK, decoded.mode == "CMYK"), (_PAGES, decoded.several)) if holds]
    return decoded.pixels, "; ".join(notes)


def _moving(head: bytes) -> str:
    """Return why a file that begins so is no photograph, if it is one of those that people often take for one."""
    if head[4:8] == b"ftyp":
        return "a HEIC or AVIF picture: save it as JPEG or PNG" if head[8:12] in _STILL else _VIDEO
    if head[:4] == b"\x1a\x45\xdf\xa3" or (head[:4] == b"RIFF" and head[8:12] == b"AVI ") or head[:4] == b"\0\0\1\xba":
        return _VIDEO
    if head[:4] == b"GIF8":
        return "a GIF, which may be animated: save the one of its pictures that you mean as a PNG file"
    if head[:8] == b"\x89PNG\r\n\x1a\n" and b"acTL" in head[: max(0, head.find(b"IDAT"))]:
        return _ANIMATED
    if head[:4] == b"RIFF" and head[8:16] == b"WEBPVP8X" and len(head) > 20 and head[20] & 2:
        return _ANIMATED
    return ""
