"""How to train, and what a training leaves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from occface.errors import UsageError
from occface.registry import did_you_mean
from occface.training.batches import Augmentation

__all__ = ["CHECKPOINT", "DATA_ON", "TrainedRun", "TrainingOptions"]

CHECKPOINT = "checkpoint.pt"
DATA_ON = ("auto", "device", "host")


@dataclass(frozen=True)
class TrainingOptions:
    """How to train, apart from what the method's own configuration says.

    Attributes
    ----------
    device, precision : str
        See `occface.training.devices`.
    devices, nodes : int
        Devices (with ``cpu``: processes) on each machine, and machines. Where torchrun or SLURM started the processes, what
        they started counts and these may be left out. The method's ``batch_size`` is that of all together.
    compile : bool
        Compile the networks before the first step; that takes minutes, and pays on accelerators and long trainings.
    data_on : {"auto", "device", "host"}
        Where batches are made: on the device, from a data set that lies there whole, or on the host. ``auto`` is the device if
        it is an accelerator, the data set fits easily, and all that is asked for can be done there. The two draw other masks.
    seed : int
        The seed of initial weights, data order, masks and noise.
    fresh_masks, mirror : bool
        See `occface.training.batches.Augmentation`.
    warp, colour : float or None
        Strengths of the same; None is what the method's configuration says under these names, 0 if it says nothing.
    max_minutes : float or None
        Stop after so long, with a checkpoint to go on from and weights to use.
    checkpoint_seconds : float
        The time between checkpoints.
    log_every, picture_every : int
        Steps between records in ``metrics.jsonl``, and between validations with a sample strip. Several processes look at the
        clock every `log_every` steps too, one alone at each.
    tensorboard : bool
        Also write TensorBoard files.
    """

    device: str = "auto"
    precision: str = "auto"
    devices: int = 1
    nodes: int = 1
    compile: bool = False
    data_on: str = "auto"
    seed: int = 0
    fresh_masks: bool = True
    mirror: bool = True
    warp: float | None = None
    colour: float | None = None
    max_minutes: float | None = None
    checkpoint_seconds: float = 60.0
    log_every: int = 20
    picture_every: int = 250
    tensorboard: bool = False

    def __post_init__(self) -> None:
        if self.data_on not in DATA_ON:
            raise UsageError(f"unknown place for the data '{self.data_on}': {did_you_mean(self.data_on, DATA_ON)}")

    def augmentation(self, config: Mapping[str, Any]) -> Augmentation:
        """Return what is varied, for a method of this configuration."""
        warp = config.get("warp", 0.0) if self.warp is None else self.warp
        colour = config.get("colour", 0.0) if self.colour is None else self.colour
        return Augmentation(self.fresh_masks, self.mirror, float(warp), float(colour))


@dataclass(frozen=True)
class TrainedRun:
    """Where a training's weights lie, what their card says, and whether all its steps are done."""

    folder: Path
    card: dict[str, Any]
    finished: bool

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return {"folder": str(self.folder), "finished": self.finished, "card": self.card}

    def text(self) -> str:
        """Return what was done in a line or two for people."""
        card = self.card
        whole = {name: value for name, value in card["validation"].items() if "/" not in name}
        scores = "".join(f", {name} {value:.4g}{' dB' * name.startswith('psnr')}" for name, value in whole.items())
        done = f"{self.folder}: {card['steps']} of {card['steps_planned']} steps in {card['minutes']:.1f} minutes{scores}"
        return done if self.finished else f"{done}\nstopped before the end: go on by --resume"
