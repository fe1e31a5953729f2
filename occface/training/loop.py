"""The training loop, for any method that says its phases, turns and losses.

A step's randomness hangs on the seed and the step's number, and a checkpoint holds all else; so a run that is interrupted
and resumed takes the same steps as one that is not.
"""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from occface import __version__, assets, files, progress, seeding
from occface.dataset.reader import DatasetFile
from occface.errors import OccfaceError, UsageError
from occface.methods import METHODS
from occface.methods.base import Phase, TrainableMethod
from occface.methods.weights import CARD, WEIGHTS, save_weights
from occface.training import devices
from occface.training.batches import Augmentation, TrainingBatches
from occface.training.journal import Journal, strip
from occface.training.state import load_state, save_state
from occface.training.validation import Validation

__all__ = ["CHECKPOINT", "TrainedRun", "TrainingOptions", "train"]


CHECKPOINT = "checkpoint.pt"


@dataclass(frozen=True)
class TrainingOptions:
    """How to train, apart from what the method's own configuration says.

    Attributes
    ----------
    device, precision : str
        See `occface.training.devices`.
    seed : int
        The seed of initial weights, data order, masks and noise.
    augmentation : Augmentation
        Fresh masks, mirroring.
    max_minutes : float or None
        Stop after so long, with a checkpoint to go on from and weights to use.
    checkpoint_seconds : float
        The time between checkpoints.
    log_every, picture_every : int
        Steps between records in ``metrics.jsonl``, and between validations with a sample strip.
    tensorboard : bool
        Also write TensorBoard files.
    """

    device: str = "auto"
    precision: str = "auto"
    seed: int = 0
    augmentation: Augmentation = field(default_factory=Augmentation)
    max_minutes: float | None = None
    checkpoint_seconds: float = 60.0
    log_every: int = 20
    picture_every: int = 250
    tensorboard: bool = False


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
        scores = ", ".join(f"{name} {value:.2f} dB" for name, value in card["validation"].items())
        done = f"{self.folder}: {card['steps']} of {card['steps_planned']} steps in {card['minutes']:.1f} minutes, {scores}"
        return done if self.finished else f"{done}\nstopped before the end: go on by --resume"


class _Training:
    """One run: the method on its device, its running average, its place in the phases, its records."""

    def __init__(
        self, method: TrainableMethod, data: DatasetFile, folder: Path, options: TrainingOptions, request: dict[str, Any]
    ) -> None:
        self.method, self.data, self.folder, self.options = method, data, folder, options
        self.request = request
        self.checkpoint = folder / CHECKPOINT
        self.phases = method.phases()
        self.total = sum(phase.steps for phase in self.phases)
        self.step = 0
        self.seconds = 0.0
        self.fabric = devices.fabric(options.device, request["precision"])
        self.module = self.fabric.setup_module(method.to(memory_format=torch.channels_last))  # type: ignore[call-overload]
        decay = float(method.config["ema_decay"])
        self.average = (
            AveragedModel(method.generator, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True) if decay else None
        )
        self.batches = TrainingBatches(data, "train", int(method.config["batch_size"]), options.seed, options.augmentation)
        self.validation = Validation(method, data, self.fabric.device)
        self.phase = ""
        self.optimizers: dict[str, Any] = {}
        self.pending: dict[str, Any] = {}  # optimizer states out of a checkpoint, for the phase under way

    @property
    def best_generator(self) -> torch.nn.Module:
        """The generator to use: the running average where there is one."""
        return self.average.module if self.average is not None else self.method.generator

    def resume(self) -> None:
        state = load_state(self.checkpoint)
        if state["request"] != self.request:
            changed = [key for key in self.request if state["request"].get(key) != self.request[key]]
            raise UsageError(
                f"the run in {self.folder} was started with another {', '.join(changed)}: give the same to go on, "
                "or start anew by --overwrite"
            )
        self.step, self.seconds, self.pending = state["step"], state["seconds"], state["optimizers"]
        self.method.load_state_dict(state["method"])
        self.fabric.strategy.precision.load_state_dict(state["precision"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])

    def save(self) -> None:
        save_state(
            self.checkpoint,
            {
                "request": self.request,
                "step": self.step,
                "seconds": self.seconds,
                "method": self.method.state_dict(),
                "average": self.average.state_dict() if self.average is not None else {},
                "precision": self.fabric.strategy.precision.state_dict(),  # the scale of 16-bit losses
                "optimizers": {
                    "phase": self.phase,
                    "states": {turn: optimizer.state_dict() for turn, optimizer in self.optimizers.items()},
                },
            },
        )

    def run(self, journal: Journal) -> bool:
        """Take all steps that are left, or as many as the time allows; return whether all are done."""
        begun = saved = time.monotonic()
        before = self.seconds
        first = 0
        with progress.bar(self.total, self.request["method"], "step", self.step) as bar:
            for phase in self.phases:
                last = first + phase.steps
                if self.step < last:
                    self._start_phase(phase)
                while self.step < last:
                    terms = self._take_step(phase, (self.step - first) / phase.steps)
                    self.step += 1
                    self.seconds = before + time.monotonic() - begun
                    bar.update()
                    out_of_time = self.seconds - before >= 60 * (self.options.max_minutes or math.inf)
                    pause = self.step == last or out_of_time
                    if pause or self.step % self.options.log_every == 0:
                        self._record(journal, phase, terms, bar)
                    if pause or self.step % self.options.picture_every == 0:
                        self._validate(journal)
                    if pause or time.monotonic() - saved >= self.options.checkpoint_seconds:
                        self._check_finite(terms)
                        self.save()
                        saved = time.monotonic()
                    if out_of_time:
                        return self.step >= self.total
                first = last
        return True

    def _start_phase(self, phase: Phase) -> None:
        self.phase = phase.name
        self.optimizers = {
            turn: self.fabric.setup_optimizers(self.method.optimizer(phase, turn)) for turn in self.method.turns(phase)
        }
        for turn, optimizer in self.optimizers.items():
            for group in optimizer.param_groups:
                group["base_lr"] = group["lr"]
            # A checkpoint written at the very end of a phase holds the states of that phase's optimizers, not this one's.
            if self.pending.get("phase") == phase.name:
                optimizer.load_state_dict(self.pending["states"][turn])
        self.pending = {}

    def _take_step(self, phase: Phase, progress: float) -> dict[str, torch.Tensor]:
        """Take one step: for each turn, losses, gradients, clipping, and the optimizer; then the running average."""
        torch.manual_seed(seeding.integer(self.options.seed, "step", self.step))
        batch = {name: self.fabric.to_device(value) for name, value in self.batches(self.step).items()}
        clip = float(self.method.config["grad_clip"])
        logged: dict[str, torch.Tensor] = {}
        self.method.train()
        for turn, optimizer in self.optimizers.items():
            trained = {id(p) for group in optimizer.param_groups for p in group["params"]}
            for parameter in self.method.parameters():
                parameter.requires_grad_(id(parameter) in trained)
            for group in optimizer.param_groups:
                group["lr"] = group["base_lr"] * self.method.lr_scale(phase, progress)
            terms = self.module(batch, phase, turn)
            optimizer.zero_grad()
            self.fabric.backward(sum(terms.values()))
            if clip:
                self.fabric.clip_gradients(self.method, optimizer, max_norm=clip, error_if_nonfinite=False)
            optimizer.step()
            logged |= {f"{turn}/{name}": value.detach() for name, value in terms.items()}
        if self.average is not None:
            self.average.update_parameters(self.method.generator)
        return logged

    def _check_finite(self, terms: dict[str, torch.Tensor]) -> None:
        losses = [name for name, value in terms.items() if not math.isfinite(float(value))]
        weights = [name for name, value in self.method.named_parameters() if not value.isfinite().all()]
        if losses or weights:
            bad = f"the loss {', '.join(losses)}" if losses else f"the weight {weights[0]}"
            raise OccfaceError(
                f"{bad} is no longer a finite number at step {self.step}; the last good checkpoint is kept "
                f"in {self.folder}: start anew with a lower learning rate or a gradient clip (--set), or another --seed"
            )

    def _record(self, journal: Journal, phase: Phase, terms: dict[str, torch.Tensor], bar: Any) -> None:
        self._check_finite(terms)
        speed = self.step * int(self.method.config["batch_size"]) / max(self.seconds, 1e-9)
        journal.write(
            {
                "step": self.step,
                "phase": phase.name,
                "seconds": round(self.seconds, 3),
                "images_per_second": round(speed, 3),
                **{f"lr/{turn}": optimizer.param_groups[-1]["lr"] for turn, optimizer in self.optimizers.items()},
                **{name: float(value) for name, value in terms.items()},
            }
        )
        bar.set_postfix_str(f"{phase.name}, {speed:.0f} images/s")

    def _validate(self, journal: Journal) -> None:
        scores, pictures = self.validation(self.best_generator)
        journal.write({"step": self.step, **scores})
        journal.picture(self.step, strip(pictures))

    def card(self, finished: bool) -> dict[str, Any]:
        """Return what the weights' card says."""
        if not self.validation.last:
            self.validation(self.best_generator)
        return {
            "method": self.request["method"],
            "preset": self.request["preset"],
            "config": self.method.config,
            "data": {
                "content_hash": self.data.content_hash,
                "source": self.data.attributes["source"],
                "licence": self.data.attributes["licence"],
                "faces": self.data.count("train"),
            },
            "training": self.request,
            "steps": self.step,
            "steps_planned": self.total,
            "finished": finished,
            "minutes": round(self.seconds / 60, 2),
            "device": devices.describe(self.fabric.device),
            "versions": {"occface": __version__, "torch": torch.__version__},
            "validation": self.validation.last,
        }


def _remove_run(folder: Path) -> None:
    """Remove what a training leaves in its folder, and nothing else."""
    for name in (CHECKPOINT, WEIGHTS, CARD, "config.yaml", "metrics.jsonl"):
        (folder / name).unlink(missing_ok=True)
    for name in ("samples", "tensorboard"):
        shutil.rmtree(folder / name, ignore_errors=True)


def train(
    name: str,
    data: DatasetFile,
    folder: str | Path,
    preset: str = "cpu",
    settings: Mapping[str, Any] | None = None,
    options: TrainingOptions | None = None,
    *,
    resume: bool = False,
    overwrite: bool = False,
) -> TrainedRun:
    """Train a method on a data set.

    Parameters
    ----------
    name, preset : str
        The names under which the method and its preset are registered.
    data : DatasetFile
        The data set; its ``train`` split is learnt from.
    folder : path
        The run folder: ``config.yaml``, ``metrics.jsonl``, ``samples/``, ``checkpoint.pt``, and at the end
        ``weights.safetensors`` with its card ``weights.json``.
    settings : mapping, optional
        Values of the preset to replace.
    options : TrainingOptions, optional
        Device, precision, seed, augmentation, time limit.
    resume, overwrite : bool
        Go on from the last checkpoint; replace the run that the folder holds.

    Returns
    -------
    TrainedRun

    Raises
    ------
    UsageError
        If the method, preset or a setting is unknown, the folder holds another run, or the device cannot be had.
    OccfaceError
        If a loss stops being finite; the last checkpoint is kept.
    """
    options = options or TrainingOptions()
    folder = Path(folder)
    kind = METHODS.get(name)
    if not issubclass(kind, TrainableMethod):
        raise UsageError(f"method '{name}' has nothing to learn: use it in a pipeline as it is")
    if "train" not in data.splits:
        raise UsageError(f"{data.path} holds no faces to train on (it has: {', '.join(data.splits)})")
    torch.manual_seed(seeding.integer(options.seed, "initial weights"))
    method = kind.build(preset, settings)
    checkpoint = folder / CHECKPOINT
    if resume and not checkpoint.exists():
        raise UsageError(f"nothing to resume: there is no {checkpoint}; leave --resume out to start anew")
    if (checkpoint.exists() or (folder / WEIGHTS).exists()) and not (resume or overwrite):
        raise UsageError(f"{folder} holds a run already: go on with it by --resume, replace it by --overwrite, or name another")
    request = {
        "method": name,
        "preset": preset,
        "config": method.config,
        "data": data.content_hash,
        "seed": options.seed,
        "precision": devices.precision(options.precision, options.device),
        "augmentation": asdict(options.augmentation),
    }
    assets.obtain(method.assets())
    if overwrite:
        _remove_run(folder)
    run = _Training(method, data, files.make_folder(folder), options, request)
    if resume:
        run.resume()
    files.write_yaml(folder / "config.yaml", request)
    journal = Journal(folder, run.step, options.tensorboard)
    try:
        finished = run.run(journal)
    finally:
        journal.close()
    card = save_weights(folder, run.best_generator, run.card(finished))
    return TrainedRun(folder, card, finished)
