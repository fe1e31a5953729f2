"""Networks trained here that judge or read faces, opened from their run folders without the methods that trained them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from occface import assets, files
from occface.errors import UsageError, first_line

if TYPE_CHECKING:
    from torch.nn import Module

__all__ = ["find_weights", "read_network"]

_WEIGHTS = "weights.safetensors"

Network = TypeVar("Network", bound="Module")
Known = TypeVar("Known")


def find_weights(run: str | os.PathLike[str], method: str) -> tuple[str, str]:
    """Return where the weights of a run lie, absolute, and their SHA-256.

    Parameters
    ----------
    run : path
        A run folder, the ``.safetensors`` file in it, or ``shipped:NAME`` for weights that come with the package.
    method : str
        Whose weights they should be; it is named in the error alone, as nothing is opened here.

    Raises
    ------
    UsageError
        If there are none.
    """
    given = assets.run_folder(run).absolute()
    path = given / _WEIGHTS if given.is_dir() else given
    if path.suffix != ".safetensors" or not path.is_file():
        raise UsageError(f"expected a run folder of method '{method}' at {run}: train one by `occface train {method}`")
    return str(path), files.sha256_file(path)


def read_network(
    path: str, sha256: str, method: str, build: Callable[[Mapping[str, Any]], tuple[Network, Known]]
) -> tuple[Network, Known]:
    """Return a network with its weights, frozen and in evaluation mode, on the CPU, and what else its card says of it.

    Parameters
    ----------
    path, sha256 : str
        What `find_weights` returned.
    method : str
        Whose weights they must be.
    build : callable
        Makes the network from the card's ``config``, and what else of it should be known.

    Raises
    ------
    UsageError
        If card or weights are damaged, not each other's, another method's, or were replaced since they were found.
    """
    import safetensors.torch

    weights = Path(path)
    card = files.read_json(weights.with_suffix(".json"))
    if not isinstance(card, dict) or card.get("method") != method:
        got = repr(card.get("method")) if isinstance(card, dict) else "no card"
        raise UsageError(f"expected weights of method '{method}' at {path}, got {got}: name a run of `occface train {method}`")
    content = weights.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if not found == card.get("sha256") == sha256:
        raise UsageError(
            f"{path} is damaged, was replaced, or is not the file of its card: expected SHA-256 {card.get('sha256')}, got "
            f"{found}; fetch both again, or train anew"
        )
    try:
        network, known = build(card["config"])
        network.load_state_dict(safetensors.torch.load(content))
    except Exception as error:  # a card or a header that someone else wrote can be wrong in many ways
        raise UsageError(f"{path} is no network of method '{method}': {first_line(error)}; train one anew") from error
    return network.requires_grad_(False).eval(), known
