"""What a source of photographs is: a list of them, and the reading of one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np

__all__ = ["Photo", "Photograph", "Source"]


@dataclass(frozen=True)
class Photo:
    """A photograph in a source's list: what is known of it before it is read.

    Attributes
    ----------
    id : str
        Unique in its source; the order of ids is the order of the list.
    path : str
        Where it lies below the source's folder, with ``/`` between the parts; empty where there is no file.
    identity, expression, pose : str
        Labels; empty where they are not known.
    split : str
        ``"train"``, ``"val"`` or ``"test"`` where the source says so; else empty.
    """

    id: str
    path: str = ""
    identity: str = ""
    expression: str = ""
    pose: str = ""
    split: str = ""


@dataclass(frozen=True)
class Photograph:
    """A photograph as read: (height, width, 3) uint8 RGB, and the SHA-256 of its file (of its pixels, if it has none)."""

    image: np.ndarray
    sha256: str


class Source(Protocol):
    """Where photographs come from. Instances are light and picklable; what is heavy is loaded on first use, once per process.

    Attributes
    ----------
    name : str
        The name under which the source is registered.
    licence : str
        The terms of its photographs, as data sets record them.
    assets : tuple of str
        Names of the assets that it needs.
    """

    name: ClassVar[str]
    licence: ClassVar[str]
    assets: ClassVar[tuple[str, ...]]

    def photos(self) -> list[Photo]:
        """Return all photographs, sorted by id, without reading them."""

    def read(self, photo: Photo) -> Photograph:
        """Read one photograph; raise `BadImageError` with the reason if it cannot be used."""

    def describe(self) -> dict[str, Any]:
        """Return plain values that, with the ids and hashes of the photographs, determine what a data set holds."""
