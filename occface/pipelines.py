"""From an occluded LR face to a whole HR one: one joint method, or super-resolution and inpainting one after the other.

A pipeline is written as its methods in the order they are applied: ``fhc+gfc`` is SR+PA, ``gfc+fhc`` is PA+SR,
``pro-uigan`` is joint (paper, section IV-A). An SR method alone, such as ``bicubic``, shows what happens without inpainting.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from occface.errors import UsageError
from occface.methods import METHODS
from occface.methods.base import Batch, Method, Progress, TrainableMethod
from occface.methods.weights import LoadedMethod, untrained
from occface.networks.uinet import BeforeStage
from occface.occlusion.cells import cell_mask
from occface.registry import did_you_mean

__all__ = ["Pipeline", "build_pipeline", "method_names", "order_of"]

ORDERS = {
    ("sr", "inpaint"): "SR+PA",
    ("inpaint", "sr"): "PA+SR",
    ("joint",): "joint",
    ("sr",): "SR",
}


def method_names(name: str) -> tuple[str, ...]:
    """Return the names of the methods of a pipeline; one may be a variant, ``method:variant``.

    Examples
    --------
    >>> method_names("bicubic+gfc")
    ('bicubic', 'gfc')
    """
    return tuple(part.strip() for part in name.split("+"))


def order_of(name: str) -> str:
    """Return the order of a pipeline, ``"SR+PA"``, ``"PA+SR"``, ``"joint"`` or ``"SR"`` (no inpainting).

    Raises
    ------
    UsageError
        If a method is unknown, or the methods' roles make no pipeline.

    Examples
    --------
    >>> order_of("gfc+bicubic")
    'PA+SR'
    """
    roles = tuple(METHODS.get(part.partition(":")[0]).role for part in method_names(name))
    if roles not in ORDERS:
        raise UsageError(
            f"'{name}' is no pipeline: its methods are {' then '.join(roles)}; "
            "expected SR+inpainting, inpainting+SR, one joint method, or one SR method"
        )
    return ORDERS[roles]


def _bicubic(images: Tensor, size: int) -> Tensor:
    return F.interpolate(images, size=(size, size), mode="bicubic", align_corners=False, antialias=True).clamp(-1, 1)


@dataclass(frozen=True)
class Pipeline:
    """Methods in the order they are applied, ready to run.

    Attributes
    ----------
    name, order : str
        ``"bicubic+gfc"`` and ``"SR+PA"``, say.
    stages : tuple of LoadedMethod
        The methods with their weights.
    """

    name: str
    order: str
    stages: tuple[LoadedMethod, ...]

    @property
    def identity(self) -> str:
        """What distinguishes the pipeline with these weights and settings from another one."""
        return "+".join(stage.identity for stage in self.stages)

    @property
    def needs_mask(self) -> bool:
        """Whether it must be told where the face is occluded."""
        return any(stage.takes_mask for stage in self.stages)

    def load(self, device: torch.device) -> None:
        """Load what its methods run with, ahead of the first call."""
        for stage in self.stages:
            stage.method.load(device)

    @torch.no_grad()
    def __call__(self, batch: Batch) -> Tensor:
        """Return whole HR faces.

        Parameters
        ----------
        batch : dict of str to Tensor
            ``lr`` (B, 3, 16, 16) in [-1, 1], occluded; ``mask`` (B, 1, 128, 128) for methods that must be given one;
            ``landmarks_lr`` (B, 68, 2) for methods that need landmarks; ``landmarks`` for those that are given the true ones.

        Returns
        -------
        Tensor
            (B, 3, 128, 128) float32 RGB in [-1, 1].
        """
        return self.pictures(batch)[-1]

    @torch.no_grad()
    def pictures(self, batch: Batch) -> list[Tensor]:
        """Return whole HR faces, as the pipeline itself does, behind what earlier stages of a progressive method made of them.

        Those are (B, 3, S, S), S growing to 128.
        """
        return self.progress(batch).pictures

    @torch.no_grad()
    def progress(self, batch: Batch, before: BeforeStage | None = None) -> Progress:
        """Return what `pictures` returns, and the landmark heatmaps that led the stages of a progressive method.

        `before` is called ahead of each stage, see `occface.methods.base.TrainableMethod.progress`.

        Raises
        ------
        UsageError
            If `before` is given, and no method here has stages led by heatmaps.
        """
        first, *rest = [stage.method for stage in self.stages]
        if self.order in {"joint", "SR"} and isinstance(first, TrainableMethod):
            return first.progress(_given(first, batch, lr=batch["lr"]), before)
        if before is not None:
            raise UsageError(
                f"pipeline '{self.name}' has no stages led by landmarks: to edit faces, use one that has: pro-uigan"
            )
        if self.order in {"joint", "SR"}:
            return Progress([first.hallucinate(_given(first, batch, lr=batch["lr"]))], [])
        second, hole = rest[0], cell_mask(batch["mask"])
        if self.order == "SR+PA":
            upsampled = first.hallucinate(_given(first, batch, lr=batch["lr"]))
            return Progress([second.hallucinate(_given(second, batch, image=upsampled, mask=hole))], [])
        whole = first.hallucinate(_given(first, batch, image=_bicubic(batch["lr"], 128), mask=hole))
        return Progress([second.hallucinate(_given(second, batch, lr=_bicubic(whole, 16)))], [])


def _given(method: Method, batch: Batch, **inputs: Tensor) -> Batch:
    """Return the inputs of a method's role, and what else it says that it needs."""
    names = {"landmarks": "landmarks_lr", "true landmarks": "landmarks", "mask": "mask"}
    return {**{names[need]: batch[names[need]] for need in method.needs}, **inputs}


def build_pipeline(name: str, methods: Mapping[str, LoadedMethod]) -> Pipeline:
    """Return a pipeline out of methods at hand.

    Parameters
    ----------
    name : str
        The pipeline, as written above.
    methods : mapping of str to LoadedMethod
        Trained methods by name; methods with nothing to learn need not be in it.

    Raises
    ------
    UsageError
        If a method is unknown or has no weights here, or the methods make no pipeline.
    """
    order = order_of(name)
    stages = []
    for part in method_names(name):
        try:
            stages.append(methods[part] if part in methods else untrained(part))
        except UsageError as error:
            raise UsageError(f"pipeline '{name}': {error}; weights given: {did_you_mean(part, methods)}") from error
    return Pipeline(name, order, tuple(stages))
