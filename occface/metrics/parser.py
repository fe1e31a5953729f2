"""A face parser that was trained here (method ``face-parser``), as a judge of faces.

Its run folder, or the ``.safetensors`` file in it with the card beside, is all that is needed.
"""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from occface import files
from occface.errors import UsageError, first_line
from occface.images import to_float
from occface.networks.inference import one_thread

if TYPE_CHECKING:
    from occface.networks.faceparser import BiSeNet

__all__ = ["TrainedParser"]

_WEIGHTS = "weights.safetensors"

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
        given = Path(run).absolute()
        path = given / _WEIGHTS if given.is_dir() else given
        if path.suffix != ".safetensors" or not path.is_file():
            raise UsageError(
                f"expected a run folder of method 'face-parser' at {run}: train one by `occface train face-parser`"
            )
        return cls(str(path), files.sha256_file(path))

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
    import safetensors.torch

    from occface.faces.parsing import CLASSES_11, CLASSES_19
    from occface.networks.faceparser import BiSeNet

    path = Path(trained.path)
    card = files.read_json(path.with_suffix(".json"))
    if not isinstance(card, dict) or card.get("method") != "face-parser":
        got = repr(card.get("method")) if isinstance(card, dict) else "no card"
        raise UsageError(
            f"expected weights of method 'face-parser' at {path}, got {got}: name a run of `occface train face-parser`"
        )
    content = path.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if not found == card.get("sha256") == trained.sha256:
        raise UsageError(
            f"{path} is damaged, was replaced, or is not the file of its card: expected SHA-256 {card.get('sha256')}, got "
            f"{found}; fetch both again, or train anew"
        )
    try:
        config = card["config"]
        network = BiSeNet(config["classes"], config["width"], config["size"])
        network.load_state_dict(safetensors.torch.load(content))
        names = {len(classes): classes for classes in (CLASSES_11, CLASSES_19)}[config["classes"]]
        return network.requires_grad_(False).eval(), names
    except Exception as error:  # a card or a header that someone else wrote can be wrong in many ways
        raise UsageError(f"{path} is no network of method 'face-parser': {first_line(error)}; train one anew") from error
