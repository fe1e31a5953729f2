"""Several processes that train one method together: what they average, and how one of them speaks for all."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import torch
from lightning_fabric import Fabric
from torch import Tensor, distributed

from occface.networks.synchronised import synchronise

__all__ = ["Processes", "is_first"]

Outcome = TypeVar("Outcome")


def is_first() -> bool:
    """Return whether this process is the first of those that train together, or alone: the one that prints and writes."""
    return not distributed.is_initialized() or distributed.get_rank() == 0


class Processes:
    """The processes of a run, each with a device and an equal share of every batch; often there is one alone.

    All of them take the same steps in the same order. What only one may do (files, bars, clocks) goes through `first_does`,
    so that all go on, or stop, together.

    Parameters
    ----------
    fabric : Fabric
        Launched: there is a process for each device.
    """

    def __init__(self, fabric: Fabric) -> None:
        self.fabric = fabric
        self.rank = fabric.global_rank
        self.world = fabric.world_size
        self._told = False

    @property
    def share(self) -> tuple[int, int]:
        """Return which share of a batch is this process's, and of how many."""
        return self.rank, self.world

    def first_does(self, work: Callable[[], Outcome]) -> Outcome:
        """Do something in the first process and return what came of it in all of them.

        If it fails there, it raises its error there and the others end at once, in silence and with exit code 0: the first
        one has the word, and whoever started them kills it unheard where another fails before.
        """
        if self.world == 1:
            return work()
        outcome: Any = None
        error: Exception | None = None
        if self.rank == 0:
            try:
                outcome = work()
            except Exception as caught:
                error = caught
        failed, outcome = self.fabric.broadcast((error is not None, outcome))
        self._told = failed
        if error is not None:
            raise error
        if failed:
            raise SystemExit(0)
        return outcome

    def first_does_before_others(self, work: Callable[[], None]) -> None:
        """Do something in every process, in the first before the others: it fails but once, and they find what it left."""
        self.first_does(work)
        if self.rank:
            work()

    def join(self, module: torch.nn.Module) -> None:
        """Make a module, the same in all processes, normalise over the batch of all of them."""
        if self.world > 1:
            synchronise(module)

    def average_gradients(self, parameters: Iterable[Tensor]) -> None:
        """Replace each gradient by its mean over the processes, in one reduction.

        Losses are means over equal shares of the batch, so this is the gradient of the mean over the whole batch. Every
        process has gradients for the same parameters, because all run the same graph.
        """
        if self.world == 1:
            return
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
        distributed.all_reduce(flat)
        flat /= self.world
        pieces = flat.split([gradient.numel() for gradient in gradients])
        torch._foreach_copy_(gradients, [piece.view(g.shape) for piece, g in zip(pieces, gradients, strict=True)])

    def mean(self, values: dict[str, Tensor]) -> dict[str, float]:
        """Return scalars as numbers, each the mean over the processes. Waits for the device."""
        stacked = torch.stack([value.float() for value in values.values()])
        if self.world > 1:
            distributed.all_reduce(stacked)
            stacked /= self.world
        return dict(zip(values, stacked.tolist(), strict=True))

    @contextlib.contextmanager
    def ending_together(self) -> Iterator[None]:
        """End the processes that this one started if a block fails here in a way that the others cannot know of.

        They would wait for an answer that nobody gives. (torchrun and SLURM see to the processes that they started.)
        """
        try:
            yield
        except BaseException:
            if not self._told:
                for process in getattr(self.fabric.strategy.launcher, "procs", ()):
                    process.kill()
            raise
