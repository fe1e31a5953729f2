"""What a source of photographs is: a list of them, and the reading of one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

import numpy as np

__all__ = ["SPLITS", "Photo", "Photograph", "Source"]

#: The splits of a data set, in the order in which they are made.
SPLITS = ("train", "val", "test")


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
        Labels; empty where they are not known. A pose is the yaw in degrees, positive where the face looks to the picture's
        right.
    split : str
        ``"train"``, ``"val"`` or ``"test"`` where the source says so; else empty.
    labels : str
        Whatever else the source knows, as canonical JSON of one object (camera, attributes, what was asked for); or empty.
    turns : int
        Quarter turns, counter-clockwise, that the aligned face is given: augmentation.
    mirrored : bool
        Whether the aligned face is mirrored, after the turns: augmentation.
    group : str
        Photographs of one group that stand together in the list are made in one job; empty where that does not matter.
    """

    id: str
    path: str = ""
    identity: str = ""
    expression: str = ""
    pose: str = ""
    split: str = ""
    labels: str = ""
    turns: int = 0
    mirrored: bool = False
    group: str = ""


@dataclass(frozen=True)
class Photograph:
    """A photograph as read, and what came with it.

    Attributes
    ----------
    image : numpy.ndarray
        (height, width, 3) uint8 RGB, upright.
    sha256 : str
        The hash of its file (of its pixels, if it has none).
    boxes : numpy.ndarray or None
        (n, 4) float32, the given boxes of its faces, (x0, y0, x1, y1) in pixels of `image`, pixel centres at integers.
    landmarks : numpy.ndarray or None
        (n, 68, 2) float32, the given landmarks of its faces, a row for each of `boxes` where these are given too.
    points : numpy.ndarray or None
        (k, 2) float32, the source's own annotation of the face, in pixels of `image`, where it is not of the 68 landmarks.
    parsing : numpy.ndarray or None
        (height, width) uint8 class map of `image`, in the classes of the source.
    file : bytes or None
        The file itself, as stored; None where there is none.
    measured : mapping
        Labels found while reading, which take the place of the photo's own: ``identity``, ``expression``, ``pose``; any
        other key joins `Photo.labels`.
    """

    image: np.ndarray
    sha256: str
    boxes: np.ndarray | None = None
    landmarks: np.ndarray | None = None
    points: np.ndarray | None = None
    parsing: np.ndarray | None = None
    file: bytes | None = None
    measured: Mapping[str, str] = field(default_factory=dict)


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

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes of its parsing maps, 0 first; empty where it has none."""

    @property
    def annotated(self) -> int:
        """How many points its own annotation of a face has; 0 where it has none."""

    def photos(self) -> list[Photo]:
        """Return all photographs, sorted by id, without reading them."""

    def read(self, photo: Photo) -> Photograph:
        """Read one photograph; raise `BadImageError` with the reason if it cannot be used."""

    def describe(self) -> dict[str, Any]:
        """Return plain values that, with the ids and hashes of the photographs, determine what a data set holds."""
