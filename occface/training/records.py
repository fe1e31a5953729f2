"""What a run says while it trains, and the check before it does: losses, rates, speed, scores, pictures, checkpoints."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from occface import progress
from occface.errors import OccfaceError
from occface.training.journal import Journal, strip
from occface.training.run import Run
from occface.training.state import save_state
from occface.training.validation import Validation

__all__ = ["Records"]


class Records:
    """Keeps the records of a run and shows its bar, for the length of a ``with`` block; only the first process does any of it.

    Parameters
    ----------
    run : Run
        The run, as far as it is.
    folder : Path
        Its folder.
    validation : Validation
        What scores it.
    tensorboard : bool
        Also write TensorBoard files.
    """

    def __init__(self, run: Run, folder: Path, validation: Validation, tensorboard: bool = False) -> None:
        self.run, self.folder, self.validation, self.tensorboard = run, folder, validation, tensorboard
        self._journal: Journal | None = None
        self._bar: Any = None
        self._last = run.step, run.seconds

    def __enter__(self) -> Self:
        self.run.processes.first_does(self._open)
        return self

    def _open(self) -> None:
        self._journal = Journal(self.folder, self.run.step, self.tensorboard)
        self._bar = progress.bar(self.run.total, self.run.request["method"], "step", self.run.step)

    def __exit__(self, *_: object) -> None:
        if self._journal is not None:
            self._bar.close()
            self._journal.close()

    def stepped(self) -> None:
        """Move the bar by a step."""
        if self._bar is not None:
            self._bar.update()

    def keep(self, terms: dict[str, Tensor], logs: bool, shows: bool, saves: bool) -> None:
        """Write what is due: losses, learning rates and speed; scores and samples; a checkpoint. Waits for the device.

        Parameters
        ----------
        terms : dict of str to Tensor
            The loss terms of the last step; records hold their means over the processes.
        logs, shows, saves : bool
            What is due; the same in all processes.

        Raises
        ------
        OccfaceError
            If a loss or a weight is no finite number any more: what followed would be worth nothing, so nothing is written.
        """
        losses = self.run.processes.mean(terms)
        self.run.processes.first_does(lambda: self._keep(losses, logs, shows, saves))

    def _keep(self, losses: dict[str, float], logs: bool, shows: bool, saves: bool) -> None:
        assert self._journal is not None  # opened in the first process, and nobody else comes here
        if logs or saves:
            self._check_finite(losses)
        if logs:
            self._journal.write(self._progress() | losses)
        if shows:
            scores, pictures = self.validation(self.run.best_generator)
            self._journal.write({"step": self.run.step, **scores})
            self._journal.picture(self.run.step, strip(pictures))
        if saves:
            save_state(self.run.checkpoint, self.run.state())

    def _progress(self) -> dict[str, Any]:
        run = self.run
        images = (run.step - self._last[0]) * int(run.method.config["batch_size"])
        speed = images / max(run.seconds - self._last[1], 1e-9)
        self._last = run.step, run.seconds
        self._bar.set_postfix_str(f"{run.phase}, {speed:.0f} images/s")
        return {
            "step": run.step,
            "phase": run.phase,
            "seconds": round(run.seconds, 3),
            "images_per_second": round(speed, 3),
            **run.rates(),
        }

    def _check_finite(self, losses: dict[str, float]) -> None:
        weights = dict(self.run.method.named_parameters())
        whole = torch.stack(
            [value.isfinite().all() for value in weights.values()]
        ).tolist()  # one wait for the device, not many
        losses_gone = [name for name, value in losses.items() if not math.isfinite(value)]
        weights_gone = [name for name, good in zip(weights, whole, strict=True) if not good]
        if losses_gone or weights_gone:
            bad = f"the loss {', '.join(losses_gone)}" if losses_gone else f"the weight {weights_gone[0]}"
            raise OccfaceError(
                f"{bad} is no longer a finite number at step {self.run.step}; the last good checkpoint is kept "
                f"in {self.folder}: start anew with a lower learning rate or a gradient clip (--set), or another --seed"
            )
