"""Masks from a folder of the user's own, such as the test set of PConv (white is the hole)."""

from __future__ import annotations

import functools
import hashlib
import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from occface import images, progress
from occface.errors import BadImageError, OccfaceError, UsageError

__all__ = ["MaskFolder", "white"]

#: The brightest grey that still counts as black.
_HALF = 127
#: The size at which masks must hide something and not everything: that of HR faces.
_CHECKED_SIZE = 128


class MaskFolder:
    """The masks below a folder: pictures in which white is occluded, unless inverted.

    A mask is a picture of any size and format that photographs may have, told by its suffix; names that begin with a dot are
    passed over. It becomes grey, is cut at half of white, and is brought to the crop's size by its nearest pixels; one that
    is no square is stretched. What is transparent counts as white. Masks are not turned or mirrored.

    All are read once when the folder is opened: one that cannot be read, or that hides nothing or everything at 128 pixels,
    is refused, so that no draw can fail later. Instances are light to pickle; worker processes list the folder again, and
    read a mask when it is drawn.

    Parameters
    ----------
    path : path
        The folder.
    inverted : bool
        Whether black is occluded, not white.

    Raises
    ------
    UsageError
        If there is no such folder, no mask in it, or one that cannot be used; the message names it.

    Examples
    --------
    >>> MaskFolder("no/such/folder")
    Traceback (most recent call last):
    ...
    occface.errors.UsageError: expected a folder of masks at no/such/folder, but there is none
    """

    def __init__(self, path: str | os.PathLike[str], inverted: bool = False) -> None:
        self.path = str(Path(path).absolute())  # workers may stand elsewhere
        self.inverted = inverted
        if not Path(path).is_dir():
            what = "it is a file" if Path(path).exists() else "there is none"
            raise UsageError(f"expected a folder of masks at {path}, but {what}")
        names, self._listing = _list(self.path)
        if not names:
            kinds = ", ".join(suffix[1:] for suffix in images.SUFFIXES)
            raise UsageError(f"no masks ({kinds}) in {path}: name a folder of masks")
        digest = hashlib.sha256()
        with progress.bar(len(names), "reading masks", "mask") as bar:
            for name in names:
                digest.update(f"{name}\0{_hash_of_usable(Path(path, name), inverted)}\n".encode())
                bar.update()
        self._count = len(names)
        self._sha256 = digest.hexdigest()

    def __len__(self) -> int:
        return self._count

    def describe(self) -> dict[str, Any]:
        """Return what determines the masks: the hash of all names and contents, their number, and whether they are inverted."""
        return {"sha256": self._sha256, "count": self._count, "inverted": self.inverted}

    def draw(self, rng: np.random.Generator, size: int = 128) -> np.ndarray:
        """Take one of the masks, each with equal chance.

        Parameters
        ----------
        rng : numpy.random.Generator
            The only source of randomness.
        size : int
            Side of the result in pixels.

        Returns
        -------
        numpy.ndarray
            uint8 {0, 1} of shape (size, size); 1 is occluded.

        Raises
        ------
        OccfaceError
            If names or sizes of the files are no longer those that were found when the folder was opened, or the mask drawn
            cannot be read any more.
        """
        names, listing = _listed(self.path, self._sha256)
        if listing != self._listing:
            raise OccfaceError(f"the masks in {self.path} are not those found at first: leave them alone while they are used")
        name = names[int(rng.integers(len(names)))]
        try:
            return _load(self.path, name, size, self.inverted, self._sha256).copy()
        except BadImageError as error:  # the folder's fault, not that of the photograph for which it is drawn
            place = Path(self.path, name)
            raise OccfaceError(f"the mask {place} is {error}: leave the masks alone while they are used") from error


def white(picture: np.ndarray) -> np.ndarray:
    """Return where a picture, uint8 RGB, is white rather than black: (height, width) uint8 {0, 1}, cut at half of white.

    Examples
    --------
    >>> white(np.array([[[128] * 3, [127] * 3]], np.uint8))
    array([[1, 0]], dtype=uint8)
    """
    return (cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) > _HALF).astype(np.uint8)


def _list(path: str) -> tuple[tuple[str, ...], str]:
    """Return the names of the masks below a folder, ``/`` between the parts, sorted, and a hash of names and file sizes."""
    sizes: dict[str, int] = {}
    for folder, subfolders, names in os.walk(path):
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        for name in names:
            file = Path(folder, name)
            if not name.startswith(".") and name.lower().endswith(images.SUFFIXES) and file.is_file():
                sizes[file.relative_to(path).as_posix()] = file.stat().st_size
    listed = tuple(sorted(sizes))
    return listed, hashlib.sha256(repr([(name, sizes[name]) for name in listed]).encode()).hexdigest()


@functools.lru_cache(maxsize=8)
def _listed(path: str, opened: str) -> tuple[tuple[str, ...], str]:
    """List a folder once per process; `opened` is its content's hash, so that a changed folder, opened again, is another."""
    return _list(path)


@functools.lru_cache(maxsize=512)
def _load(path: str, name: str, size: int, inverted: bool, opened: str) -> np.ndarray:
    """Read a mask; the last few hundred are kept, 16 kB each, since most users' folders hold no more."""
    return _decode(images.read_bytes(Path(path, name)), size, inverted)


def _decode(data: bytes, size: int, inverted: bool) -> np.ndarray:
    # Nearest pixels may be taken before they are judged: far fewer are left.
    nearest = cv2.resize(images.decode_image(data), (size, size), interpolation=cv2.INTER_NEAREST_EXACT)
    return 1 - white(nearest) if inverted else white(nearest)


def _hash_of_usable(file: Path, inverted: bool) -> str:
    """Return the SHA-256 of a mask's file; raise `UsageError` if it cannot be used."""
    try:
        data = images.read_bytes(file)
        mask = _decode(data, _CHECKED_SIZE, inverted)
    except BadImageError as error:
        raise UsageError(f"the mask {file} cannot be used: {error}; mend or remove it") from error
    if mask.all() or not mask.any():
        raise UsageError(
            f"the mask {file} cannot be used: it hides {'everything' if mask.any() else 'nothing'} "
            "(expected white, 255, on black where it hides, or the reverse if inverted); mend or remove it"
        )
    return hashlib.sha256(data).hexdigest()
