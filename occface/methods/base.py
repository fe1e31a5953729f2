"""What a method is: its role, what it needs, its presets; and what one in training gives to the loop that trains it.

The loop knows no method by name. For each phase it asks for the turns of a step (say, the discriminator's, then the
generator's), makes one optimizer for each, and for each batch sums the loss terms that a turn gives, back-propagates, clips
and steps.
"""

from __future__ import annotations

import contextlib
import copy
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, Self

import torch
from torch import Tensor, nn

from occface.errors import UsageError
from occface.registry import did_you_mean

if TYPE_CHECKING:
    from occface.dataset.reader import DatasetFile
    from occface.networks.uinet import BeforeStage

__all__ = ["Batch", "Config", "Method", "Phase", "Progress", "Role", "TrainableMethod", "evaluating", "resolve"]

Batch = dict[str, Tensor]
"""``hr`` (B,3,128,128), ``mask`` (B,1,128,128) in {0,1}, ``lr`` and ``lr_clean`` (B,3,16,16), ``landmarks`` and
``landmarks_lr`` (B,68,2) in pixels of the 128x128 crop; all float32, images RGB in [-1,1]. In training, where the method uses
parsing maps and the data set has them, ``parsing`` (B,128,128) uint8 in the data set's classes, 255 where unknown."""

Config = dict[str, Any]
Role = Literal["sr", "inpaint", "joint", "landmarks", "parser", "generator"]


class Progress(NamedTuple):
    """What a method makes of faces on its way."""

    pictures: list[Tensor]
    """RGB in [-1,1], (B,3,h,w), the last one the whole face."""
    heatmaps: list[Tensor | None]
    """The landmark heatmaps in [0,1], (B,K,h,w), that led each stage; empty for methods without such."""


@dataclass(frozen=True)
class Phase:
    """A stretch of training with its own trained parts and losses: its name and how many steps it lasts."""

    name: str
    steps: int


def _coerce(key: str, value: Any, default: Any) -> Any:
    """Return `value` as the type of `default`, or refuse it. YAML reads ``1e-3`` as text: numbers may come as text."""
    if default is None or value is None:
        return value
    try:
        if isinstance(default, bool):
            if isinstance(value, bool):
                return value
        elif isinstance(default, int):
            if not isinstance(value, bool) and int(value) == float(value):
                return int(value)
        elif isinstance(default, float):
            if not isinstance(value, bool):
                return float(value)
        elif isinstance(default, list):
            if isinstance(value, list | tuple) and len(value) == len(default):
                return [_coerce(key, item, like) for item, like in zip(value, default, strict=True)]
        elif isinstance(value, type(default)):
            return value
    except (TypeError, ValueError):
        pass
    raise UsageError(f"setting '{key}' takes a value like {default!r}, got {value!r}")


def resolve(
    presets: Mapping[str, Config],
    preset: str,
    overrides: Mapping[str, Any],
    method: str,
    variants: Mapping[str, Config] | None = None,
) -> Config:
    """Return a preset with variants and overrides laid over it, as plain values.

    Parameters
    ----------
    presets, variants : mapping of str to Config
        What there is to choose from. A variant changes some settings of any preset.
    preset : str
        A preset's name, or a preset's and variants' with ``+`` between.
    overrides : mapping
        Settings to replace after that.
    method : str
        The method's name, for errors.

    Raises
    ------
    UsageError
        If the preset, a variant or a key is unknown, two variants set the same, or a value is of another type than the
        preset's.

    Examples
    --------
    >>> resolve({"test": {"rate": 0.1}}, "test", {"rate": "1e-3"}, "some-method")
    {'rate': 0.001}
    >>> resolve({"test": {"rate": 0.1}}, "test+slow", {}, "some-method", {"slow": {"rate": 0.01}})
    {'rate': 0.01}
    """
    variants = variants or {}
    base, *laid_over = preset.split("+")
    if base not in presets:
        raise UsageError(f"method '{method}' has no preset '{base}': {did_you_mean(base, presets)}")
    config = copy.deepcopy(dict(presets[base]))
    set_by: dict[str, str] = {}
    for name in laid_over:
        if name not in variants:
            raise UsageError(f"method '{method}' has no variant '{name}': {did_you_mean(name, variants)}")
        for key in variants[name]:
            if set_by.setdefault(key, name) != name:
                raise UsageError(f"variants '{set_by[key]}' and '{name}' of method '{method}' both set {key}: choose one")
        config |= copy.deepcopy(dict(variants[name]))
    for key, value in overrides.items():
        if key not in config:
            raise UsageError(f"method '{method}' has no setting '{key}': {did_you_mean(key, config)}")
        config[key] = _coerce(key, value, config[key])
        least, below = float(key == "batch_size"), 1 if key == "ema_decay" else math.inf
        if not all(math.isfinite(number) and least <= number < below for number in _numbers(config[key])):
            raise UsageError(
                f"setting '{key}' of method '{method}' cannot be {value!r}: "
                f"expected a finite number of at least {least:g}{f' and below {below}' if below == 1 else ''}"
            )
    return config


def _numbers(value: Any) -> list[float]:
    if isinstance(value, list | tuple):
        return [number for item in value for number in _numbers(item)]
    return [value] if isinstance(value, int | float) else []


@contextlib.contextmanager
def evaluating(module: nn.Module) -> Iterator[nn.Module]:
    """Put a module into evaluation mode for the length of a block, then every part of it back into the mode it had."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield module
    finally:
        for part, mode in modes:
            part.training = mode


class Method:
    """A way from a degraded face to a whole one.

    Attributes
    ----------
    name : str
        The name under which it is registered.
    role : {"sr", "inpaint", "joint", "landmarks", "parser", "generator"}
        What it maps to what: an LR face to HR, an HR face with a hole to one without, or an occluded LR face to a whole HR one.
        The others make no pipelines: they find landmarks or face parts, or make faces up, for methods that build on that.
    needs : frozenset of str
        What else than the image it must be given: ``"mask"``, ``"landmarks"``, ``"true landmarks"`` (of the HR face).
    PRESETS : dict
        Its presets by name, each a flat dict of plain values.
    VARIANTS : dict
        Changes to any preset by name, such as a part left out for an ablation: ``preset+variant`` applies them.
    ADDED : dict
        Settings that came after weights had been trained without them, and the values that mean what was done before.
    countable : bool
        Whether one face through it has a cost that can be counted; a search has none.
    last_missed : Tensor or None
        Of a method that searches: for each face of the last call, bool (B,) on the CPU, whether it missed its own aim.
    """

    name: ClassVar[str]
    role: ClassVar[Role]
    needs: frozenset[str] = frozenset()
    PRESETS: ClassVar[dict[str, Config]] = {}
    VARIANTS: ClassVar[dict[str, Config]] = {}
    ADDED: ClassVar[Config] = {}
    countable: ClassVar[bool] = True
    last_missed: Tensor | None = None

    def __init__(self, config: Config) -> None:
        self.config = config

    @classmethod
    def presets(cls) -> dict[str, Config]:
        """Return the presets by name; the dicts may be changed freely."""
        return copy.deepcopy(cls.PRESETS)

    @classmethod
    def build(cls, preset: str, overrides: Mapping[str, Any] | None = None) -> Self:
        """Make the method in one of its presets (``preset`` or ``preset+variant``), with some values replaced.

        Raises
        ------
        UsageError
            If the preset or a key is unknown, or a value is of another type than the preset's.
        """
        return cls(resolve(cls.PRESETS, preset, overrides or {}, cls.name, cls.VARIANTS))

    def fingerprint(self) -> Config:
        """Return what its results depend on beside its name, settings and own weights: hashes of other weights, say."""
        return {}

    def load(self, device: torch.device) -> None:
        """Load onto a device what it runs with beside its own weights, ahead of the first call, whose time it would cost."""

    def asked(self) -> dict[str, nn.Module]:
        """Return the networks beside its own that a face passes through, by name, once `load` was called."""
        return {}

    def hallucinate(self, batch: Batch, generator: nn.Module | None = None) -> Tensor:
        """Return whole HR faces.

        Parameters
        ----------
        batch : dict of str to Tensor
            The role's inputs: ``lr`` for "sr"; ``image`` (B,3,128,128) and ``mask`` (B,1,128,128), 1 in the hole, for
            "inpaint"; ``lr`` and what `needs` names (``landmarks_lr``, ``mask``) for "joint".
        generator : Module, optional
            The network to use instead of the method's own, such as its running average.

        Returns
        -------
        Tensor
            (B,3,128,128) float32 RGB in [-1,1].
        """
        raise NotImplementedError


class TrainableMethod(Method, nn.Module):
    """One method in training: its networks and, for each turn of a step, its loss terms.

    `config` holds at least ``batch_size``, ``ema_decay`` (0: no running average) and ``grad_clip`` (largest norm of the
    gradient of a turn's parameters; 0: none), which the training loop reads.

    Attributes
    ----------
    generator : Module
        What is saved as the method's weights, averaged over the steps, and used by pipelines.
    uses : frozenset of str
        What training looks at in a data set beside images and landmarks, where it is there: ``"parsing"``.
    progressive : bool
        Whether `results` are the pictures of stages that follow each other, the last one what it hallucinates.
    """

    generator: nn.Module
    uses: ClassVar[frozenset[str]] = frozenset()
    progressive: ClassVar[bool] = False

    def __init__(self, config: Config) -> None:
        nn.Module.__init__(self)
        Method.__init__(self, config)

    def assets(self) -> tuple[str, ...]:
        """Return the names of the assets that its training needs; see `occface.assets`."""
        return ()

    def prepare(self, data: DatasetFile) -> None:
        """Take from the data set what training needs of it as a whole, before its first step.

        It is called before a checkpoint is restored too, and must leave the same each time.

        Raises
        ------
        UsageError
            If the method cannot learn from this data set.
        """

    def phases(self) -> tuple[Phase, ...]:
        """Return the phases of training, in order."""
        raise NotImplementedError

    def turns(self, phase: Phase) -> tuple[str, ...]:
        """Return the turns of one step, in order, for example ``("discriminator", "generator")``."""
        raise NotImplementedError

    def optimizer(self, phase: Phase, turn: str) -> torch.optim.Optimizer:
        """Return a new optimizer over what this turn trains; called once at the start of a phase."""
        raise NotImplementedError

    def lr_scale(self, phase: Phase, progress: float) -> float:
        """Return what every learning rate of the phase is multiplied by when `progress` (0 to 1) of its steps are done."""
        return 1.0

    def forward(self, batch: Batch, phase: Phase, turn: str) -> dict[str, Tensor]:
        """Return the weighted loss terms of a turn by name; their sum is what the turn minimises."""
        raise NotImplementedError

    def measures(self, batch: Batch, generator: nn.Module | None = None) -> dict[str, float] | None:
        """Return by name what it is scored by on held-out faces, or None if that is the PSNR of its faces."""
        return None

    def results(self, batch: Batch, generator: nn.Module | None = None) -> dict[str, Tensor]:
        """Return by name the pictures (B,3,h,w), in [-1,1], that are scored against HR at their size; the last one is whole."""
        return {"result": self.hallucinate(batch, generator)}

    def progress(self, batch: Batch, before: BeforeStage | None = None) -> Progress:
        """Return the pictures of its stages, if it is progressive, and what led them; else the face that it hallucinates.

        Parameters
        ----------
        batch : dict of str to Tensor
            As `hallucinate` takes it.
        before : BeforeStage, optional
            Called ahead of each stage; what it returns takes the place of the picture and the heatmaps that enter it.

        Raises
        ------
        UsageError
            If `before` is given, and there are no stages led by heatmaps.
        """
        if before is not None:
            raise UsageError(f"method '{self.name}' has no stages led by landmarks: to edit faces, use one that has: pro-uigan")
        return Progress(list(self.results(batch).values()) if self.progressive else [self.hallucinate(batch)], [])

    def preview(self, batch: Batch, generator: nn.Module | None = None) -> dict[str, Tensor]:
        """Return what else the strip of samples shows beside the results: pictures (B,3,h,w) in [-1,1] by name."""
        return {}

    def parts(self) -> tuple[nn.Module, ...]:
        """Return the networks that a compiler may compile each for itself."""
        return tuple(self.children())
