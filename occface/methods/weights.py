"""Weights on disk: safetensors beside a JSON card that says what they are and where they come from.

Nothing is unpickled: a card is plain JSON, and safetensors holds numbers alone.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import nn

from occface import assets, files
from occface.errors import UsageError, first_line
from occface.methods import METHODS
from occface.methods.base import Method, TrainableMethod, resolve
from occface.pickles import holds_code

__all__ = [
    "CARD",
    "SCHEMA",
    "WEIGHTS",
    "LoadedMethod",
    "load_method",
    "misfit",
    "save_weights",
    "start_from",
    "untrained",
    "write_weights",
]

WEIGHTS = "weights.safetensors"
CARD = "weights.json"

SCHEMA = 1
"""The form of a card. It grows when a card of before can no longer be read."""

_LARGEST_CARD = 1 << 20


@dataclass(frozen=True)
class LoadedMethod:
    """A method ready to use, and the card of its weights.

    The card of a method that has none to learn holds its preset and config alone.
    """

    name: str
    method: Method
    card: dict[str, Any]

    @property
    def trained(self) -> bool:
        """Whether it has weights of its own."""
        return "sha256" in self.card

    @property
    def takes_mask(self) -> bool:
        """Whether it must be told where the face is occluded."""
        return self.method.role == "inpaint" or "mask" in self.method.needs

    @cached_property
    def identity(self) -> str:
        """What distinguishes its results from another's.

        It is the hash of its weights, or its name where it has none; behind it, where there are such, the hash of settings that
        no weights imply and of what else its results depend on, such as the weights of another method (`Method.fingerprint`).
        """
        else_ = {} if self.trained else {"config": self.method.config}
        depends = {name: value for name, value in (else_ | {"fingerprint": self.method.fingerprint()}).items() if value}
        base = str(self.card.get("sha256", self.name))
        return f"{base}-{files.sha256_json(depends)[:16]}" if depends else base


def save_weights(folder: str | os.PathLike[str], generator: nn.Module, card: dict[str, Any]) -> dict[str, Any]:
    """Write a generator's weights and card into a folder, and return the card with the weights' hash and size.

    The card must say at least ``method`` and ``config``, from which `load_method` builds the network.
    """
    return write_weights(folder, generator.state_dict(), card)


def write_weights(folder: str | os.PathLike[str], state: Mapping[str, torch.Tensor], card: dict[str, Any]) -> dict[str, Any]:
    """Do what `save_weights` does for a network's state, whose numbers may be of half precision."""
    path = Path(folder) / WEIGHTS
    files.write_bytes(path, safetensors.torch.save({name: value.detach().cpu().contiguous() for name, value in state.items()}))
    card = {"schema": SCHEMA, **card, "sha256": files.sha256_file(path), "bytes": path.stat().st_size}
    files.write_json(path.with_suffix(".json"), card)
    return card


def load_method(path: str | os.PathLike[str], device: str | torch.device = "cpu") -> LoadedMethod:
    """Load a trained method.

    Parameters
    ----------
    path : path
        A run folder, a ``.safetensors`` file with its card (``.json``) beside it, or ``shipped:NAME`` for weights that come
        with the package.
    device : str or torch.device
        Where to put it.

    Raises
    ------
    UsageError
        If weights or card are absent, damaged, not each other's, of a newer form, hold something else than numbers, are of a
        method that is not installed or has other settings, or learnt with other weights of another method than those that
        now lie where their settings say.
    """
    given = assets.run_folder(path)
    weights = given / WEIGHTS if given.is_dir() else given
    if weights.suffix != ".safetensors" or not weights.is_file():
        raise UsageError(f"expected a run folder with {WEIGHTS}, or a .safetensors file, at {given}: train one")
    if not weights.stat().st_size:
        raise UsageError(f"{weights} is empty: fetch it again, or train anew")
    if holds_code(weights):
        raise UsageError(
            f"{weights} holds code or objects, not numbers alone: nothing of it was run; delete it if it is not yours"
        )
    card = _read_card(weights.with_suffix(".json"))
    found = files.sha256_file(weights)
    if found != card["sha256"]:
        raise UsageError(
            f"{weights} is damaged, or not the file of its card: expected SHA-256 {card['sha256']}, got {found}; "
            "fetch both again, or train anew"
        )
    method = _build(card, weights)
    _fill(method.generator, weights, card["method"])
    _check_company(method, card, weights)
    return LoadedMethod(card["method"], method.to(device).eval(), card)


def _check_company(method: Method, card: dict[str, Any], weights: Path) -> None:
    """Refuse a method that asks another's weights, if these are not the ones that it learnt with."""
    training = card.get("training")
    recorded = training.get("fingerprint") if isinstance(training, dict) else None
    if not isinstance(recorded, dict):
        return
    for name, found in method.fingerprint().items():
        if name in recorded and recorded[name] != found:
            raise UsageError(
                f"{weights} learnt with the {name} of SHA-256 {str(recorded[name])[:12]}, and where its settings say lies that "
                f"of {str(found)[:12]}: put the first one back, or train anew"
            )


def _read_card(path: Path) -> dict[str, Any]:
    if path.is_file() and path.stat().st_size > _LARGEST_CARD:
        raise UsageError(
            f"expected a card of at most {_LARGEST_CARD} bytes at {path}, got {path.stat().st_size}: it is no card"
        )
    try:
        card = files.read_json(path)
    except RecursionError as error:
        raise UsageError(
            f"expected method, config and sha256 in the card {path}, got lists without end: it is no card"
        ) from error
    if not isinstance(card, dict) or not {"method", "config", "sha256"} <= card.keys():
        raise UsageError(f"expected method, config and sha256 in the card {path}: it is no card")
    schema = card.get("schema", SCHEMA)  # cards of the first form carry no number
    if type(schema) is not int or schema < 1:
        raise UsageError(f"expected a card of schema {SCHEMA} at {path}, got schema {str(schema)[:40]!r}: it is no card")
    if schema > SCHEMA:
        raise UsageError(
            f"the card {path} is of schema {schema}, written by a newer occface; this one reads schema {SCHEMA}: update occface"
        )
    if not isinstance(card["method"], str) or not isinstance(card["config"], dict):
        raise UsageError(f"expected a method's name and a mapping of its settings in the card {path}: it is no card")
    return card


def _build(card: dict[str, Any], weights: Path) -> TrainableMethod:
    """Return the method that a card describes, with settings of the names and types that the method knows."""
    name = card["method"]
    kind = METHODS.get(name)
    config = {**kind.ADDED, **card["config"]}
    if not issubclass(kind, TrainableMethod):
        raise UsageError(f"method '{name}' has no weights to load, yet {weights} says it is one")
    known = {key: value for preset in kind.presets().values() for key, value in preset.items()}
    missing = [key for key in known if key not in config]
    try:
        if missing:  # a value taken from a preset instead could build another network than the one that was trained
            raise UsageError(f"it lacks {', '.join(missing[:3])}{' and more' if len(missing) > 3 else ''}")
        return kind(resolve({"": known}, "", config, name))
    except Exception as error:  # a network refuses numbers that make no sense in many ways, want of memory among them
        raise UsageError(
            f"the card of {weights} has no configuration of method '{name}': {first_line(error)}; "
            "use the occface that wrote it, or train anew"
        ) from error


def _fill(generator: nn.Module, weights: Path, name: str) -> None:
    """Load a file's numbers into a network, once their names, shapes and kinds are known to be the network's."""
    try:
        with safetensors.safe_open(weights, framework="pt") as file:
            names = file.keys()
            shapes = {key: tuple(file.get_slice(key).get_shape()) for key in names}
        expected = generator.state_dict()
        wrong = misfit(shapes, _shapes(expected))
        if wrong is None:
            state = safetensors.torch.load_file(weights)
            wrong = next((
                f"{key} is of {value.dtype}, expected {expected[key].dtype}"
                for key, value in state.items()
                if value.is_floating_point() != expected[key].is_floating_point() or value.is_complex()
            ), None)  # fmt: skip
        if wrong is None:
            generator.load_state_dict(state)
    except Exception as error:  # of a hostile header or an unknown kind of number
        wrong = f"{first_line(error)} ({type(error).__name__})"
    if wrong is not None:
        raise UsageError(f"{weights} does not fit method '{name}' as its card describes it: {wrong}; fetch or train it anew")


def misfit(found: Mapping[str, tuple[int, ...]], expected: Mapping[str, tuple[int, ...]]) -> str | None:
    """Return in a few words how the names and shapes of tensors differ from those expected, or None if they do not.

    Examples
    --------
    >>> misfit({"a": (2, 3), "b": (1,)}, {"a": (2, 4), "b": (1,)})
    'a has the shape (2, 3), expected (2, 4)'
    >>> misfit({"b": (1,)}, {"a": (2, 4), "b": (1,)})
    'a is missing'
    """
    wrong = [f"{name} is missing" for name in expected if name not in found]
    wrong += [
        f"{name} has the shape {found[name]}, expected {shape}"
        for name, shape in expected.items()
        if name in found and found[name] != shape
    ]
    wrong += [f"{name[:80]} is not expected" for name in found if name not in expected]
    return f"{wrong[0]}{f', and {len(wrong) - 1} more' if len(wrong) > 1 else ''}" if wrong else None


def start_from(path: str | os.PathLike[str], name: str, method: TrainableMethod) -> str:
    """Give a method that is to be trained the weights of an earlier training, and return their SHA-256.

    Discriminators and other networks that serve training alone are no part of weights: they begin anew.

    Parameters
    ----------
    path : path
        What `load_method` takes.
    name : str
        The method's name.
    method : TrainableMethod
        On the CPU; its generator is filled.

    Raises
    ------
    UsageError
        If the weights cannot be loaded, or are another method's or another size's.
    """
    given = load_method(path)
    if given.name != name or not isinstance(given.method, TrainableMethod):
        raise UsageError(f"expected weights of '{name}' to start from, got those of '{given.name}' at {path}")
    state = given.method.generator.state_dict()
    wrong = misfit(_shapes(state), _shapes(method.generator.state_dict()))
    if wrong is not None:
        raise UsageError(
            f"the weights at {path} are of preset '{given.card.get('preset')}' and do not fit this training: {wrong}; "
            "give the --preset and sizes (--set) that they have"
        )
    method.generator.load_state_dict(state)
    return str(given.card["sha256"])


def _shapes(state: Mapping[str, torch.Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in state.items()}


def untrained(name: str, preset: str | None = None, settings: Mapping[str, Any] | None = None) -> LoadedMethod:
    """Return a method that has nothing to learn, such as bicubic.

    Parameters
    ----------
    name : str
        The method.
    preset : str, optional
        One of its presets: ``"paper"`` where it is left out, or the method's first if it has no such preset.
    settings : mapping, optional
        Settings to replace in it.

    Raises
    ------
    UsageError
        If the method is unknown or must be trained first, or it has no such preset or setting.

    Examples
    --------
    >>> untrained("bicubic").identity
    'bicubic'
    """
    kind = METHODS.get(name)
    if issubclass(kind, TrainableMethod):
        raise UsageError(f"method '{name}' needs trained weights: train it by `occface train {name}` and name its run folder")
    presets = kind.presets()
    chosen = preset or ("paper" if "paper" in presets else next(iter(presets)))
    method = kind.build(chosen, settings)
    return LoadedMethod(name, method, {"method": name, "preset": chosen, "config": method.config})
