"""The state of one training, and its step.

A step's randomness hangs on the seed and the step's number, and a checkpoint holds all else; so a run that is interrupted
and resumed takes the same steps as one that is not.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch._dynamo import config as dynamo
from torch._dynamo.exc import FailOnRecompileLimitHit, TorchDynamoException

from occface import seeding
from occface.errors import OccfaceError, UsageError, first_line
from occface.methods.base import Batch, Phase, TrainableMethod
from occface.training.average import RunningAverage
from occface.training.processes import Processes
from occface.training.state import restore

__all__ = ["Run"]

_COMPILED_AT_MOST = 64


@dataclass(frozen=True)
class _Turn:
    """A turn of a phase's steps: its optimizer, what it trains, and what only the other turns train."""

    name: str
    optimizer: Any
    trained: list[nn.Parameter]
    kept: list[nn.Parameter]


class Run:
    """One training: the method on its device, its running average, its optimizers, its place in the phases.

    Parameters
    ----------
    method : TrainableMethod
        On the CPU, with its initial weights.
    request : dict
        What was asked for, plain values: what a checkpoint must agree with to go on from it.
    seed : int
        The training's seed.
    checkpoint : Path
        The file of its checkpoints.
    fabric : Fabric
        Launched.
    compiled : bool
        Compile the method's networks.
    """

    def __init__(
        self,
        method: TrainableMethod,
        request: dict[str, Any],
        seed: int,
        checkpoint: Path,
        fabric: Fabric,
        compiled: bool = False,
    ) -> None:
        self.method, self.request, self.seed, self.checkpoint, self.fabric = method, request, seed, checkpoint, fabric
        self.processes = Processes(fabric)
        self.phases = method.phases()
        self.total = sum(phase.steps for phase in self.phases)
        self.step = 0
        self.seconds = 0.0
        self.phase = ""
        self.turns: list[_Turn] = []
        self.pending: dict[str, Any] = {}  # optimizer states out of a checkpoint, for the phase under way
        self.processes.join(method)
        fabric.setup_module(method.to(memory_format=torch.channels_last))  # type: ignore[call-overload]
        decay = float(method.config["ema_decay"])
        self.average = RunningAverage(method.generator, decay) if decay else None
        self._compiling = _compiling if compiled else contextlib.nullcontext
        if compiled:  # the average is copied before: it is used seldom, and on other batches
            for part in method.parts():
                _compile(part)

    @property
    def best_generator(self) -> nn.Module:
        """The generator to use: the running average where there is one."""
        return self.average.network if self.average is not None else self.method.generator

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint holds; the same in all processes."""
        return {
            "request": self.request,
            "step": self.step,
            "seconds": self.seconds,
            "method": self.method.state_dict(),
            "average": self.average.state_dict() if self.average is not None else {},
            "precision": self.fabric.strategy.precision.state_dict(),  # the scale of 16-bit losses
            "optimizers": {"phase": self.phase, "states": {turn.name: turn.optimizer.state_dict() for turn in self.turns}},
        }

    def go_on_from(self, state: dict[str, Any]) -> None:
        """Take up a state, of a checkpoint that agrees with the request.

        Raises
        ------
        UsageError
            If it does not fit the method.
        """
        step, seconds, pending = state["step"], state["seconds"], state["optimizers"]
        good = type(step) is int and 0 <= step <= self.total and isinstance(seconds, int | float) and math.isfinite(seconds)
        if not good or not isinstance(pending, dict) or not isinstance(pending.get("states"), dict):
            raise UsageError(
                f"the checkpoint {self.checkpoint} is not one of this run: it stands at step {step!r} of {self.total}"
            )
        self.step, self.seconds, self.pending = step, float(seconds), pending
        restore(self.checkpoint, "method", self.method, state["method"])
        restore(self.checkpoint, "precision", self.fabric.strategy.precision, state["precision"])
        if self.average is not None:
            restore(self.checkpoint, "average", self.average, state["average"])

    def start(self, phase: Phase) -> None:
        """Begin a phase, or go on within it: its optimizers, and what they train."""
        self.phase = phase.name
        optimizers: dict[str, Any] = {
            turn: self.fabric.setup_optimizers(self.method.optimizer(phase, turn)) for turn in self.method.turns(phase)
        }
        for name, optimizer in optimizers.items():
            for group in optimizer.param_groups:
                group["base_lr"] = group["lr"]
            # A checkpoint written at the very end of a phase holds the states of that phase's optimizers, not this one's.
            if self.pending.get("phase") == phase.name:
                restore(self.checkpoint, f"optimizers/{name}", optimizer, self.pending["states"].get(name))
        self.pending = {}
        trained = {name: [p for group in o.param_groups for p in group["params"]] for name, o in optimizers.items()}
        self.turns = []
        for name, optimizer in optimizers.items():
            own = {id(parameter) for parameter in trained[name]}
            others = {id(p): p for parameters in trained.values() for p in parameters if id(p) not in own}
            self.turns.append(_Turn(name, optimizer, trained[name], list(others.values())))
        self.method.requires_grad_(False)
        self.method.train()

    def take_step(self, phase: Phase, progress: float, batches: Callable[[int], Batch]) -> dict[str, Tensor]:
        """Take one step: for each turn, losses, gradients, clipping, and the optimizer; then the running average.

        Nothing here waits for an accelerator: losses stay there, as scalar tensors, until somebody reads them.

        Parameters
        ----------
        phase : Phase
            The phase begun last.
        progress : float
            How much of its steps is done, 0 to 1.
        batches : callable
            Makes the batch (this process's share of it) of a step.

        Returns
        -------
        dict of str to Tensor
            The loss terms of this process's share, by turn and name.
        """
        self._seed_step()
        batch = {name: self.fabric.to_device(value) for name, value in batches(self.step).items()}
        clip = float(self.method.config["grad_clip"])
        scale = self.method.lr_scale(phase, progress)
        logged: dict[str, Tensor] = {}
        with self._compiling():
            for turn in self.turns:
                for parameter in turn.kept:
                    parameter.requires_grad_(False)
                for parameter in turn.trained:
                    parameter.requires_grad_(True)
                for group in turn.optimizer.param_groups:
                    group["lr"] = group["base_lr"] * scale
                # Not through the wrapper: that would convert the batch too, and half precision moves landmarks and targets.
                with self.fabric.autocast():
                    terms = self.method(batch, phase, turn.name)
                turn.optimizer.zero_grad()
                self.fabric.backward(sum(terms.values()))
                self.processes.average_gradients(turn.trained)
                if clip:
                    self.fabric.clip_gradients(self.method, turn.optimizer, max_norm=clip, error_if_nonfinite=False)
                turn.optimizer.step()
                logged |= {f"{turn.name}/{name}": value.detach() for name, value in terms.items()}
        if self.average is not None:
            self.average.update(self.method.generator)
        self.step += 1
        return logged

    def _seed_step(self) -> None:
        rank = self.processes.rank
        # Noise drawn for other rows of the batch must be other noise; the first process draws as one alone does.
        torch.manual_seed(seeding.integer(self.seed, "step", self.step, *((rank,) if rank else ())))

    def rates(self) -> dict[str, float]:
        """Return the learning rates of the last step, by turn and parameter group."""
        return {
            f"lr/{turn.name}/{number}": float(group["lr"])
            for turn in self.turns
            for number, group in enumerate(turn.optimizer.param_groups)
        }


def _compile(part: nn.Module) -> None:
    """Compile a network in place, when it first runs; its name in the method's state stays."""
    plain = part.forward

    # `part.compile()` would not do: it leaves out, without a word, modules whose class is torch's own, such as Sequential.
    def forward(*given: Any, **named: Any) -> Any:
        return plain(*given, **named)

    part.forward = torch.compile(forward, dynamic=False)


@contextlib.contextmanager
def _compiling() -> Iterator[None]:
    """Say in one line that a network, compiled when it first runs, could not be."""
    try:
        # All parts share the code of one function, and are compiled for each phase and size: more often than dynamo's limit of
        # 8 allows, beyond which it would quietly compile no more.
        with dynamo.patch(recompile_limit=_COMPILED_AT_MOST, fail_on_recompile_limit_hit=True):
            yield
    except (TorchDynamoException, FailOnRecompileLimitHit) as error:
        cause = getattr(error, "inner_exception", error)  # a compiler's own error stands within dynamo's
        raise OccfaceError(f"the networks could not be compiled ({first_line(cause)}): leave --compile out") from error
