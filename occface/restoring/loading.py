"""From what a user names to a pipeline with weights, and to how its thumbnails are made."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from occface import assets, faces
from occface.dataset.pairs import Degradation
from occface.errors import UsageError
from occface.faces.landmarks import LrLandmarker
from occface.faces.trained_fan import named
from occface.methods import METHODS
from occface.methods.base import TrainableMethod
from occface.methods.weights import WEIGHTS, LoadedMethod, load_method
from occface.occlusion import FILLS, LR_KERNELS, PRESETS
from occface.pipelines import Pipeline, build_pipeline, method_names, order_of
from occface.registry import did_you_mean

if TYPE_CHECKING:
    import torch

__all__ = ["degradation_of", "landmarker_of", "load_pipeline", "shipped_restorers"]

_RESTORING = ("sr", "inpaint", "joint")


def shipped_restorers() -> dict[str, str]:
    """Return the methods that restore faces and whose weights come with the package, each with where they lie.

    Weights of a method's name are the method's; further ones, ``METHOD-NAME``, are those of ``METHOD:NAME``.

    Examples
    --------
    >>> shipped_restorers()["pro-uigan"]
    'shipped:pro-uigan'
    """
    found = {}
    for name in assets.shipped_names():
        method = max((each for each in METHODS if name == each or name.startswith(f"{each}-")), key=len, default="")
        if method and METHODS.get(method).role in _RESTORING:
            variant = name.removeprefix(method).removeprefix("-")
            found[f"{method}:{variant}" if variant else method] = f"shipped:{name}"
    return found


def load_pipeline(
    name: str | os.PathLike[str],
    weights: Mapping[str, str | os.PathLike[str]] | None = None,
    device: str | torch.device = "cpu",
) -> Pipeline:
    """Load a pipeline by its name, or the method of a run folder as a pipeline of its own.

    Parameters
    ----------
    name : str or path
        A run folder, a ``.safetensors`` file with its card, or ``shipped:NAME``; or methods joined by ``+`` in the order they
        are applied, such as ``"fhc+gfc"``, ``METHOD:NAME`` for further weights of a method. A path that exists comes first.
    weights : mapping of str to path, optional
        For methods of the name, their run folders. A method without one has its shipped weights, or nothing to learn.
    device : str or torch.device
        Where to put the networks.

    Raises
    ------
    UsageError
        If there is no such path and no such method, its weights are absent or damaged, weights are given for another method,
        the methods make no pipeline, or the pipeline needs what no photograph tells.
    """
    text, given = os.fspath(name), dict(weights or {})
    if Path(text).exists() or text.startswith("shipped:"):
        if given:
            raise UsageError(
                f"{text} brings its own weights, and {', '.join(given)} came too: name the methods instead of a path"
            )
        alone = load_method(text, device)
        pipeline = build_pipeline(alone.name, {alone.name: alone})
    else:
        parts = method_names(text)
        if text.endswith(".safetensors") or os.sep in text:
            raise UsageError(f"expected a run folder with {WEIGHTS}, or a .safetensors file, at {text}, but there is none")
        order_of(text)
        strange = [part for part in given if part not in parts]
        if strange:
            raise UsageError(
                f"weights are given for '{strange[0]}', which is not in '{text}': {did_you_mean(strange[0], parts)}"
            )
        pipeline = build_pipeline(text, {part: found for part in parts if (found := _weights(part, given, device))})
    if any("true landmarks" in stage.method.needs for stage in pipeline.stages):
        raise UsageError(
            f"'{text}' must be told the landmarks of the whole HR face, which no photograph of an occluded one shows"
        )
    return pipeline


def _weights(part: str, given: Mapping[str, Any], device: str | torch.device) -> LoadedMethod | None:
    """Return a method with the weights given or shipped; None if it has nothing to learn."""
    if part in given:
        loaded = load_method(given[part], device)
        if loaded.name != part.partition(":")[0]:
            raise UsageError(f"expected weights of method '{part}' at {given[part]}, got those of '{loaded.name}'")
        return loaded
    if not issubclass(METHODS.get(part.partition(":")[0]), TrainableMethod):
        return None
    shipped = shipped_restorers()
    if part in shipped:
        return load_method(shipped[part], device)
    raise UsageError(
        f"no weights of '{part}' come with this version of occface (it has: {', '.join(shipped) or 'none'}): "
        f"train them (`occface train {part.partition(':')[0]} --data D.h5 --out RUN`) "
        f"and give --weights {part}=RUN, or RUN itself as the pipeline"
    )


def _recorded(pipeline: Pipeline) -> list[dict[str, Any]]:
    """Return what the cards of a pipeline say of the data that its methods learnt from."""
    return [data for stage in pipeline.stages if isinstance(data := stage.card.get("data"), dict)]


def degradation_of(pipeline: Pipeline, fill: str | None = None, lr_kernel: str | None = None, seed: int = 0) -> Degradation:
    """Return how thumbnails are made: as asked for, else as the first of its weights says, else the preset ``paper``.

    Raises
    ------
    UsageError
        If a name is unknown, or weights of one pipeline learnt from thumbnails made in different ways.
    """
    chosen = {}
    for key, asked, known, usual in (
        ("fill", fill, FILLS, PRESETS["paper"]["fill"]),
        ("lr_kernel", lr_kernel, LR_KERNELS, PRESETS["paper"]["kernel"]),
    ):
        option = f"--{key.replace('_', '-')}"
        said = list(dict.fromkeys(str(data[key]) for data in _recorded(pipeline) if key in data))
        if asked is None and len(said) > 1:
            raise UsageError(
                f"the methods of '{pipeline.name}' learnt with different {option[2:]}s, {', '.join(said)}: give {option}"
            )
        chosen[key] = asked or (said[0] if said else usual)
        if chosen[key] not in known:
            raise UsageError(f"unknown {option[2:]} '{chosen[key]}': {did_you_mean(chosen[key], known)}")
    return Degradation(chosen["fill"], chosen["lr_kernel"], seed)


def landmarker_of(pipeline: Pipeline, asked: str | None = None) -> LrLandmarker:
    """Return what finds landmarks in thumbnails: what is asked for, else what the weights learnt with, else dlib.

    Raises
    ------
    UsageError
        If the name is unknown, or the weights learnt with a network that is not part of the package.
    """
    if asked is None:
        for data in _recorded(pipeline):
            recorded = data.get("lr_landmarker") or data.get("landmarker")
            if isinstance(recorded, dict):
                recorded = _shipped_fan(recorded.get("sha256"))
                if recorded is None:
                    raise UsageError(
                        f"the weights of '{pipeline.name}' learnt with landmarks of a FAN trained for them: give it by "
                        "--lr-landmarks fan:RUN, or choose another, such as dlib"
                    )
            asked = recorded or asked
    chosen = named(asked or "dlib")
    return faces.LANDMARKERS.get(chosen)() if isinstance(chosen, str) else chosen


def _shipped_fan(sha256: object) -> str | None:
    """Return how to name the FAN that comes with the package and has these weights, if there is one."""
    for name in assets.shipped_names():
        if any(file.name == WEIGHTS and file.sha256 == sha256 for file in assets.ASSETS[name].files):
            return f"fan:shipped:{name}"
    return None
