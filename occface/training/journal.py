"""What a training writes down while it runs: ``metrics.jsonl``, sample strips, and TensorBoard where it is asked for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from occface import files, images
from occface.errors import OccfaceError, UsageError

__all__ = ["Journal", "strip"]


def strip(pictures: dict[str, torch.Tensor], size: int = 128) -> np.ndarray:
    """Return pictures as one uint8 sheet: a row per face, a column per name, small ones enlarged without smoothing.

    Parameters
    ----------
    pictures : dict of str to Tensor
        (B, 3, h, w) in [-1, 1], h dividing `size`.
    size : int
        The height and width of a cell in pixels.
    """
    columns = []
    for batch in pictures.values():
        cells = images.to_uint8(batch.detach().float().cpu())
        factor = size // cells.shape[1]
        columns.append(np.concatenate(cells.repeat(factor, axis=1).repeat(factor, axis=2), axis=0))
    return np.concatenate(columns, axis=1)


class Journal:
    """Keeps the records of a run in its folder.

    Parameters
    ----------
    folder : Path
        The run folder.
    step : int
        The step of the checkpoint that the run goes on from; records of later steps are dropped.
    tensorboard : bool
        Also write TensorBoard event files, below ``tensorboard/``.
    """

    def __init__(self, folder: Path, step: int, tensorboard: bool = False) -> None:
        self.folder = folder
        self.path = folder / "metrics.jsonl"
        kept = [line for line in self._lines() if json.loads(line)["step"] <= step]
        files.write_text(self.path, "".join(line + "\n" for line in kept))
        self._writer: Any = None
        if tensorboard:
            try:
                from torch.utils.tensorboard import SummaryWriter
            except ImportError as error:
                raise UsageError("--tensorboard needs TensorBoard: run `pip install occface[tensorboard]`") from error
            self._writer = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)

    def _lines(self) -> list[str]:
        if not self.path.exists():
            return []
        lines = self.path.read_text(encoding="utf-8").splitlines()
        return [line for line in lines if line.startswith("{") and line.endswith("}")]

    def write(self, record: dict[str, Any]) -> None:
        """Append a record; it holds ``step`` and plain numbers."""
        try:
            with open(self.path, "a", encoding="utf-8") as handle:
                handle.write(json.dumps(record) + "\n")
        except OSError as error:
            raise OccfaceError(
                f"could not write {self.path}: {error.strerror}; the last checkpoint is kept: free space and go on by --resume"
            ) from error
        if self._writer is not None:
            for name, value in record.items():
                if name != "step" and isinstance(value, int | float):
                    self._writer.add_scalar(name, value, record["step"])

    def picture(self, step: int, sheet: np.ndarray) -> None:
        """Write a sample strip, uint8 (h, w, 3)."""
        images.write_png(self.folder / "samples" / f"step_{step:07d}.png", sheet)
        if self._writer is not None:
            self._writer.add_image("samples", sheet, step, dataformats="HWC")

    def close(self) -> None:
        """Flush what is still in memory."""
        if self._writer is not None:
            self._writer.close()
