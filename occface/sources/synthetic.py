"""Faces of nobody: MobileStyleGAN's, one for each number, the same on every run."""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch

from occface import assets, seeding
from occface.errors import BadImageError, UsageError
from occface.images import to_uint8
from occface.networks.inference import one_thread
from occface.networks.mobilestylegan import STYLE_SIZE, MobileStyleGAN
from occface.sources.base import Photo, Photograph

__all__ = ["ASSET", "SyntheticSource", "draw", "generator", "style_of"]

ASSET = "mobilestylegan"


@functools.lru_cache(maxsize=1)
def generator() -> MobileStyleGAN:
    """Return the generator, loaded once per process."""
    with one_thread(gradients=True):  # others search its styles
        return MobileStyleGAN.from_openvino(assets.require(ASSET))


def style_of(z: np.ndarray, truncation: float) -> np.ndarray:
    """Return the style, (1, 512) float32, of a latent, (1, 512) float32 and standard normal, moved towards the mean face."""
    network = generator()
    with one_thread():
        return network.truncate(network.mapping(torch.from_numpy(z)), truncation).numpy()


def draw(styles: np.ndarray, size: int) -> np.ndarray:
    """Draw one face, (size, size, 3) uint8 RGB, of a style, (1, 512) float32, or of one style per level, (1, 16, 512)."""
    network = generator()
    with one_thread():
        return np.ascontiguousarray(to_uint8(network.synthesis(torch.from_numpy(styles), size)[0]))


@dataclass(frozen=True)
class SyntheticSource:
    """Generated faces, as many as wanted.

    Face *i* depends on `seed`, *i*, `truncation` and `size` alone: not on `count`, on what was drawn before, or on how many
    threads and processes draw. The pictures are the same to the byte on one machine; another kind of processor may round
    a few pixels differently.

    Parameters
    ----------
    count : int
        How many faces there are.
    seed : int
        Another seed gives other faces.
    truncation : float
        In (0, 1.5]: how far faces are from the mean face. 0.7 gives clean and varied ones.
    size : int
        512 or 1024 pixels.

    Raises
    ------
    UsageError
        If a value is out of its range.

    Examples
    --------
    >>> [photo.id for photo in SyntheticSource(2).photos()]
    ['synthetic/000000', 'synthetic/000001']
    """

    count: int = 1000
    seed: int = 0
    truncation: float = 0.7
    size: int = 512

    name: ClassVar[str] = "synthetic"
    licence: ClassVar[str] = assets.ASSETS[ASSET].licence
    assets: ClassVar[tuple[str, ...]] = (ASSET,)
    classes: ClassVar[tuple[str, ...]] = ()
    annotated: ClassVar[int] = 0

    def __post_init__(self) -> None:
        if self.count < 1:
            raise UsageError(f"expected at least 1 synthetic face, got {self.count}; raise the count")
        if not 0 < self.truncation <= 1.5:
            raise UsageError(f"expected a truncation in (0, 1.5], got {self.truncation}; 0.7 is usual")
        if self.size not in (512, 1024):
            raise UsageError(f"expected a size of synthetic faces of 512 or 1024, got {self.size}")

    def photos(self) -> list[Photo]:
        """Return the faces in order. Each is an identity of its own."""
        return [Photo(id=key, identity=key) for key in map(self._id, range(self.count))]

    def _id(self, number: int) -> str:
        return f"{self.name}/{number:06d}"

    def read(self, photo: Photo) -> Photograph:
        """Draw a face.

        Raises
        ------
        BadImageError
            If the photo is not one of this source's.
        """
        digits = photo.id.rpartition("/")[2]
        number = int(digits) if digits.isdecimal() else -1
        if not 0 <= number < self.count or photo.id != self._id(number):
            raise BadImageError(f"expected {self._id(0)} to {self._id(self.count - 1)}, got '{photo.id}'")
        z = seeding.rng(self.seed, self.name, number, "latent").standard_normal((1, STYLE_SIZE), dtype=np.float32)
        image = draw(style_of(z, self.truncation), self.size)
        return Photograph(image=image, sha256=hashlib.sha256(image.tobytes()).hexdigest())

    def describe(self) -> dict[str, Any]:
        """Return what determines the faces: the settings and the hashes of the generator's files."""
        hashes = {file.name: file.sha256 for file in assets.ASSETS[ASSET].files}
        settings = {"count": self.count, "seed": self.seed, "truncation": self.truncation, "size": self.size}
        return {"name": self.name, **settings, "generator": hashes}
