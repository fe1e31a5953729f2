"""A face parser that was trained here (method ``face-parser``), as a judge of faces.

Its run folder, or the ``.safetensors`` file in it with the card beside, is all that is needed.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from occface.errors import UsageError
from occface.faces.trained import find_weights, read_network
from occface.images import to_float
from occface.networks.inference import one_thread

if TYPE_CHECKING:
    from occface.networks.faceparser import BiSeNet

__all__ = ["TrainedParser"]

_BATCH = 8
"""Faces looked at together: more of them are no faster on one thread."""


@dataclass(frozen=True)
class TrainedParser:
    """A trained face parser, on one thread; it pickles as a path and a hash.

    Attributes
    ----------
    path : str
        The weights' file, absolute.
    sha256 : str
        Its hash; what it finds depends on that, not on where the file lies.
    """

    path: str
    sha256: str

    @classmethod
    def open(cls, run: str | os.PathLike[str]) -> TrainedParser:
        """Take that of a run folder, or of a ``.safetensors`` file with its card beside.

        Raises
        ------
        UsageError
            If there are no weights there.
        """
        return cls(*find_weights(run, "face-parser"))

    def parse(self, pictures: np.ndarray, names: Sequence[str]) -> np.ndarray:
        """Return the likeliest class of each pixel.

        Parameters
        ----------
        pictures : numpy.ndarray
            (N, 128, 128, 3) uint8 RGB.
        names : sequence of str
            The classes wanted; where they tell less apart than the parser does, the probabilities of merged ones are added.

        Returns
        -------
        numpy.ndarray
            (N, 128, 128) uint8, places in `names`.

        Raises
        ------
        UsageError
            If the weights are damaged or another method's, or the parser does not tell the classes wanted apart.
        """
        import torch

        from occface.faces.parsing import class_table

        network, own = _network(self)
        absent = [name for name in names if name not in own]
        if absent:
            raise UsageError(
                f"the face parser at {self.path} tells {len(own)} classes apart, and {', '.join(absent)} is none of them: "
                "ask for 11 classes, or train one with --set classes=19"
            )
        belongs = torch.nn.functional.one_hot(class_table(own, names)[: len(own)].long(), len(names)).float()
        maps = []
        with one_thread():
            for start in range(0, len(pictures), _BATCH):
                probabilities = network(to_float(pictures[start : start + _BATCH]))[0].softmax(1)
                merged = torch.einsum("kw,bkyx->bwyx", belongs, probabilities)
                maps.append(merged.argmax(1).to(torch.uint8).numpy())
        return np.concatenate(maps)


@functools.lru_cache(maxsize=1)
def _network(trained: TrainedParser) -> tuple[BiSeNet, tuple[str, ...]]:
    """Return the network and its classes, loaded once per process."""
    return read_network(trained.path, trained.sha256, "face-parser", _built)


def _built(config: Mapping[str, Any]) -> tuple[BiSeNet, tuple[str, ...]]:
    from occface.faces.parsing import CLASSES_11, CLASSES_19
    from occface.networks.faceparser import BiSeNet

    names = {len(classes): classes for classes in (CLASSES_11, CLASSES_19)}[config["classes"]]
    return BiSeNet(config["classes"], config["width"], config["size"]), names
