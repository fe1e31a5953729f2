"""The training loop, for any method that says its phases, turns and losses."""

from __future__ import annotations

import contextlib
import logging
import math
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from occface import __version__, assets, determinism, files, seeding
from occface.dataset.reader import DatasetFile
from occface.errors import UsageError
from occface.locking import working_alone
from occface.methods import METHODS
from occface.methods.base import Batch, TrainableMethod
from occface.methods.weights import CARD, WEIGHTS, save_weights, start_from
from occface.training import devices
from occface.training.batches import own_part
from occface.training.feeding import feeding, place
from occface.training.options import CHECKPOINT, DATA_ON, TrainedRun, TrainingOptions
from occface.training.processes import Processes
from occface.training.records import Records
from occface.training.run import Run
from occface.training.state import check_request, load_state
from occface.training.validation import Validation

__all__ = ["CHECKPOINT", "TrainedRun", "TrainingOptions", "remove_run", "train"]

log = logging.getLogger(__name__)

#: The file that says what a run was asked for.
_REQUEST = "config.yaml"
STATE = ("request", "step", "seconds", "method", "average", "precision", "optimizers")


class _Clock:
    """The clock of a run: it keeps the run's seconds, and says when to stop and when to save."""

    def __init__(self, run: Run, options: TrainingOptions) -> None:
        self.run, self.options = run, options
        self.before = run.seconds
        self.begun = self.saved = time.monotonic()

    def look(self) -> tuple[bool, bool]:
        """Return whether the time is up, and whether a checkpoint is due."""
        now = time.monotonic()
        self.run.seconds = self.before + now - self.begun
        due = now - self.saved >= self.options.checkpoint_seconds
        if due:
            self.saved = now
        return now - self.begun >= 60 * (self.options.max_minutes or math.inf), due


def take_all_steps(run: Run, records: Records, batches: Callable[[int], Batch], options: TrainingOptions) -> bool:
    """Take all steps that are left, or as many as the time allows; return whether all are done.

    All processes decide alike: by the step's number, or by what the first one read on its clock.
    """
    clock = _Clock(run, options)
    first = 0
    for phase in run.phases:
        last = first + phase.steps
        if run.step < last:
            run.start(phase)
        while run.step < last:
            terms = run.take_step(phase, (run.step - first) / phase.steps, batches)
            records.stepped()
            done = run.step == last
            logs = done or run.step % options.log_every == 0
            shows = done or run.step % options.picture_every == 0
            # Asking the first process makes all of them wait for it: several together ask now and then only.
            up, due = run.processes.first_does(clock.look) if logs or run.processes.world == 1 else (False, False)
            if logs or shows or due or up:
                records.keep(terms, logs or up, shows or up, done or due or up)
            if up:
                return run.step >= run.total
        first = last
    return True


def _check_folder(folder: Path, resume: bool, overwrite: bool) -> None:
    """Refuse a run folder that does not hold what was said."""
    checkpoint = folder / CHECKPOINT
    if resume and overwrite:
        raise UsageError("--resume goes on with a run and --overwrite replaces it: give one of them")
    if resume and not (checkpoint.exists() or (folder / _REQUEST).exists()):
        raise UsageError(f"nothing to resume: there is no {checkpoint}; leave --resume out to start anew")
    if (checkpoint.exists() or (folder / WEIGHTS).exists()) and not (resume or overwrite):
        raise UsageError(f"{folder} holds a run already: go on with it by --resume, replace it by --overwrite, or name another")


def remove_run(folder: Path) -> None:
    """Remove what a training leaves in its folder, and nothing else.

    What shows that there is a run goes last, so that no other begins among its remains if this is interrupted.
    """
    for name in ("samples", "tensorboard"):
        shutil.rmtree(folder / name, ignore_errors=True)
    for name in ("metrics.jsonl", CARD, WEIGHTS, CHECKPOINT, _REQUEST):
        (folder / name).unlink(missing_ok=True)


def _recorded_place(state: dict[str, Any] | None) -> str | None:
    """Return where the batches of a run were made so far: it goes on there, however much memory is free by now."""
    request = state["request"] if state is not None else None
    where = request.get("data_on") if isinstance(request, Mapping) else None
    return where if where in DATA_ON[1:] else None


def _card(run: Run, data: DatasetFile, validation: Validation, finished: bool) -> dict[str, Any]:
    """Return what the weights' card says."""
    scores = validation(run.best_generator)[0] if validation.last is None else validation.last
    return {
        "method": run.request["method"],
        "preset": run.request["preset"],
        "config": run.method.config,
        "data": {
            "content_hash": data.content_hash,
            "source": data.attributes["source"],
            "licence": data.attributes["licence"],
            "faces": data.count("train"),
            **{name: data.configuration[name] for name in ("fill", "lr_kernel", "landmarker")},
            "lr_landmarker": data.configuration.get("lr_landmarker"),
        },
        "training": run.request,
        "steps": run.step,
        "steps_planned": run.total,
        "finished": finished,
        "minutes": round(run.seconds / 60, 2),
        "device": devices.describe(run.fabric.device),
        "devices": run.processes.world,
        "deterministic": determinism.is_required(),
        "versions": {"occface": __version__, "torch": torch.__version__},
        "validation": scores,
    }


def train(
    name: str,
    data: DatasetFile,
    folder: str | Path,
    preset: str = "cpu",
    settings: Mapping[str, Any] | None = None,
    options: TrainingOptions | None = None,
    *,
    start: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
) -> TrainedRun:
    """Train a method on a data set.

    With several devices, the program that calls this is started again for each further one, unless torchrun or SLURM did so.

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
        Devices, precision, seed, augmentation, time limit.
    start : path, optional
        Weights of the same method and size to start from, as `occface.methods.weights.load_method` takes them: to go on with
        other data or losses. Steps, learning rates and discriminators begin anew.
    resume, overwrite : bool
        Go on from the last checkpoint; replace the run that the folder holds.

    Returns
    -------
    TrainedRun
        The same in all processes.

    Raises
    ------
    UsageError
        If the method, preset or a setting is unknown, the weights to start from do not fit, the folder holds another run or
        one at work, or the device cannot be had.
    OccfaceError
        If a loss stops being finite (the last checkpoint is kept), or the networks cannot be compiled.
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
    method.prepare(data)
    parsing = "parsing" in method.uses and bool(data.classes)
    precision = devices.precision(options.precision, options.device)
    fabric = devices.fabric(options.device, precision, options.devices, options.nodes)
    augmentation = options.augmentation(method.config)
    request = {
        "method": name,
        "preset": preset,
        "config": method.config,
        "data": data.content_hash,
        "seed": options.seed,
        "precision": precision,
        "augmentation": asdict(augmentation),
        "fingerprint": method.fingerprint(),
    }
    if start is not None:
        request["starting_weights"] = start_from(start, name, method)
    size = int(method.config["batch_size"])
    own_part(size, (0, math.prod(devices.processes_asked_for(options.devices, options.nodes))))
    _check_folder(folder, resume, overwrite)  # before processes are started, or can have written there
    fabric.launch()
    processes = Processes(fabric)
    device = fabric.device

    def claim() -> tuple[str, dict[str, Any] | None]:
        """Take the folder for this run; return where batches are made, and the state to go on from."""
        held.enter_context(working_alone(folder))
        files.remove_leftovers(folder, below=True)
        _check_folder(folder, resume, overwrite)  # once more: another training may have ended there meanwhile
        state = load_state(folder / CHECKPOINT, STATE) if resume and (folder / CHECKPOINT).exists() else None
        where = _recorded_place(state) if options.data_on == "auto" else None
        where = where or place(options.data_on, data, augmentation, device, parsing)
        if state is not None:
            check_request(folder / CHECKPOINT, state["request"], request | {"data_on": where})
        elif resume:  # it ended before its first checkpoint
            check_request(folder / _REQUEST, files.read_yaml(folder / _REQUEST), request | {"data_on": where})
            log.info("%s ended before its first checkpoint: it starts from the beginning", folder)
        if overwrite:
            remove_run(folder)
        return where, state

    with processes.ending_together(), contextlib.ExitStack() as held:
        processes.first_does_before_others(lambda: assets.obtain(method.assets()))
        where, state = processes.first_does(claim)
        request["data_on"] = where
        run = Run(method, request, options.seed, folder / CHECKPOINT, fabric, options.compile)
        if state is not None:
            processes.first_does_before_others(lambda: run.go_on_from(state))
        processes.first_does(lambda: files.write_yaml(folder / _REQUEST, request))
        batches = held.enter_context(feeding(where, data, size, options.seed, augmentation, device, processes.share, parsing))
        validation = Validation(method, data, device)
        with Records(run, folder, validation, options.tensorboard) as records:
            finished = take_all_steps(run, records, batches, options)
        card = processes.first_does(lambda: save_weights(folder, run.best_generator, _card(run, data, validation, finished)))
    return TrainedRun(folder, card, finished)
