"""Weights on disk: safetensors beside a JSON card that says what they are and where they come from.

Nothing is unpickled: a card is plain JSON, and safetensors holds numbers alone.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import nn

from occface import files
from occface.errors import UsageError, first_line
from occface.methods import METHODS
from occface.methods.base import Method, TrainableMethod

__all__ = ["LoadedMethod", "load_method", "save_weights", "untrained"]

WEIGHTS = "weights.safetensors"
CARD = "weights.json"


@dataclass(frozen=True)
class LoadedMethod:
    """A method ready to use, and the card of its weights (empty for a method that has none to learn)."""

    name: str
    method: Method
    card: dict[str, Any]

    @property
    def identity(self) -> str:
        """What distinguishes these weights from others: their hash, or the method's name where there are none."""
        return str(self.card.get("sha256", self.name))


def save_weights(folder: str | os.PathLike[str], generator: nn.Module, card: dict[str, Any]) -> dict[str, Any]:
    """Write a generator's weights and card into a folder, and return the card with the weights' hash and size.

    The card must say at least ``method`` and ``config``, from which `load_method` builds the network.
    """
    state = {name: value.detach().cpu().contiguous() for name, value in generator.state_dict().items()}
    path = Path(folder) / WEIGHTS
    files.write_bytes(path, safetensors.torch.save(state))
    card = {**card, "sha256": files.sha256_file(path), "bytes": path.stat().st_size}
    files.write_json(path.with_suffix(".json"), card)
    return card


def load_method(path: str | os.PathLike[str], device: str | torch.device = "cpu") -> LoadedMethod:
    """Load a trained method.

    Parameters
    ----------
    path : path
        A run folder, or a ``.safetensors`` file with its card (``.json``) beside it.
    device : str or torch.device
        Where to put it.

    Raises
    ------
    UsageError
        If weights or card are absent, damaged, not each other's, or of a method that is not installed.
    """
    given = Path(path)
    weights = given / WEIGHTS if given.is_dir() else given
    if weights.suffix != ".safetensors" or not weights.is_file():
        raise UsageError(f"expected a run folder with {WEIGHTS}, or a .safetensors file, at {given}: train one")
    card = files.read_json(weights.with_suffix(".json"))
    if not isinstance(card, dict) or not {"method", "config", "sha256"} <= card.keys():
        raise UsageError(f"expected method, config and sha256 in the card {weights.with_suffix('.json')}: it is no card")
    found = files.sha256_file(weights)
    if found != card["sha256"]:
        raise UsageError(f"{weights} is damaged, or not the file of its card: expected SHA-256 {card['sha256']}, got {found}")
    try:
        method = METHODS.get(card["method"])(card["config"])
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(
            f"the card of {weights} has no configuration of method '{card['method']}': {first_line(error)}"
        ) from error
    if not isinstance(method, TrainableMethod):
        raise UsageError(f"method '{card['method']}' has no weights to load, yet {weights} says it is one")
    try:
        method.generator.load_state_dict(safetensors.torch.load_file(weights))
    except (SafetensorError, RuntimeError) as error:
        raise UsageError(f"{weights} does not fit method '{card['method']}': {first_line(error)}") from error
    return LoadedMethod(card["method"], method.to(device).eval(), card)


def untrained(name: str) -> LoadedMethod:
    """Return a method that has nothing to learn, such as bicubic.

    Raises
    ------
    UsageError
        If the method is unknown, or must be trained first.
    """
    kind = METHODS.get(name)
    if issubclass(kind, TrainableMethod):
        raise UsageError(f"method '{name}' needs trained weights: train it by `occface train {name}` and name its run folder")
    return LoadedMethod(name, kind.build(next(iter(kind.presets()))), {})
