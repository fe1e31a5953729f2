"""A FAN that was trained here on aligned faces (method ``fan``): landmarks and heatmaps of 128 crops and of LR faces.

Its run folder, or the ``.safetensors`` file in it with the card beside, is all that is needed. The network sees the crop as
it is; the published one wants a wider frame (`occface.faces.fan`).
"""

from __future__ import annotations

import copy
import functools
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from occface.faces.trained import find_weights, read_network
from occface.images import to_float
from occface.networks.inference import one_thread

if TYPE_CHECKING:
    from occface.networks.fan import FAN

__all__ = ["TrainedFanLandmarks", "named"]

_PREFIX = "fan:"


@dataclass(frozen=True)
class TrainedFanLandmarks:
    """The landmarks of LR faces by a FAN that was trained here, on one thread; it pickles as a path and a hash.

    It finds no landmarks in photographs: it knows aligned crops only, and a crop is aligned by its landmarks.

    Attributes
    ----------
    path : str
        The weights' file, absolute.
    sha256 : str
        Its hash; what it finds depends on that, not on where the file lies.
    """

    path: str
    sha256: str
    name: ClassVar[str] = "fan"
    assets: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def open(cls, run: str | os.PathLike[str]) -> TrainedFanLandmarks:
        """Take those of a run folder, or of a ``.safetensors`` file with its card beside.

        Raises
        ------
        UsageError
            If there are no weights of method ``fan``, or they are damaged or another card's.
        """
        trained = cls(*find_weights(run, "fan"))
        _network(trained)
        return trained

    def describe(self) -> dict[str, Any]:
        """Return what determines the landmarks that it finds."""
        return {"method": "fan", "sha256": self.sha256}

    def on_lr(self, lr: np.ndarray) -> np.ndarray:
        """Return (68, 2) float32 landmarks, in pixels of the 128 crop, of an aligned LR face, uint8 (16, 16, 3)."""
        from occface.faces.heatmaps import read_landmarks, seen_heatmaps

        network, decoding = _network(self)
        with one_thread():
            maps = seen_heatmaps(network, to_float(lr[None]))
            return np.asarray(read_landmarks(maps, decoding)[0].numpy())

    def network(self) -> FAN:
        """Return a copy of the network, frozen, which may be moved to a device."""
        return copy.deepcopy(_network(self)[0])


@functools.lru_cache(maxsize=1)
def _network(trained: TrainedFanLandmarks) -> tuple[FAN, str]:
    """Return the network and how its heatmaps are read, loaded once per process."""
    return read_network(trained.path, trained.sha256, "fan", _built)


def _built(config: Mapping[str, Any]) -> tuple[FAN, str]:
    from occface.networks.fan import FAN

    prior = 64 if config["mean_face"] else 0
    return FAN(config["stacks"], width=config["width"], pooled=False, prior=prior), str(config["decoding"])


def named(text: str) -> str | TrainedFanLandmarks:
    """Return the LR landmark detector that a user names: ``fan:RUN`` is a FAN trained here, all else is a registered name.

    Examples
    --------
    >>> named("dlib")
    'dlib'
    """
    return TrainedFanLandmarks.open(text.removeprefix(_PREFIX)) if text.startswith(_PREFIX) else text
