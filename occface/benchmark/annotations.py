"""What figures draw on faces, kept beside the scores: what judges saw in results, and the heatmaps of stages.

It is kept for the faces that figures show, in one ``.npz`` file for each score file, so that figures need no model.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from occface import files
from occface.dataset.reader import collate
from occface.errors import UsageError, first_line
from occface.methods.base import TrainableMethod
from occface.metrics.base import Metric, RestoredFaces
from occface.pipelines import Pipeline

__all__ = ["Seen", "judged", "stage_heatmaps"]

_HEATMAPS = "heatmaps_"


def judged(metrics: Sequence[Metric], faces: RestoredFaces) -> dict[str, np.ndarray]:
    """Return what those metrics' judges saw that say it, and what they measured, (N, ...) arrays by name."""
    found: dict[str, np.ndarray] = {}
    for metric in metrics:
        seen = metric.seen(faces)
        if seen:
            found |= {**seen, **metric.measure(faces)}
    return found


def stage_heatmaps(pipeline: Pipeline, pairs: Sequence[dict[str, np.ndarray]], device: torch.device) -> dict[str, np.ndarray]:
    """Return the heatmaps of each stage of a progressive method: the strongest of all landmarks at every place.

    Parameters
    ----------
    pipeline : Pipeline
        Any; one whose method is not progressive, or looks at no landmarks, has none.
    pairs : sequence of dict
        Those of `occface.dataset.reader.FacePairs`.
    device : torch.device
        Where the pipeline is.

    Returns
    -------
    dict of str to numpy.ndarray
        ``heatmaps_1``, ``heatmaps_2``...: (N, h, h) uint8, 255 the strongest.
    """
    method = pipeline.stages[0].method
    if not (isinstance(method, TrainableMethod) and method.progressive):
        return {}
    batch = {name: value.to(device) for name, value in collate(list(pairs)).items()}
    shown = {name: maps for name, maps in method.preview(batch).items() if name.startswith(_HEATMAPS)}
    return {
        name: ((maps[:, 0].float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).cpu().numpy()
        for name, maps in shown.items()
    }


class Seen:
    """What is drawn on some faces of a split, and what was measured by it.

    Parameters
    ----------
    numbers : sequence of int
        The faces.
    arrays : mapping of str to numpy.ndarray
        (N, ...) each, N faces: ``landmarks`` (N, 68, 2), ``parsing`` (N, 128, 128) uint8, ``heatmaps_1`` (N, h, h) uint8, ...
        and (N,) values by the columns of scores. Any may be absent.
    """

    def __init__(self, numbers: Sequence[int], arrays: Mapping[str, np.ndarray]) -> None:
        self._places = {number: place for place, number in enumerate(numbers)}
        self._arrays = dict(arrays)

    @classmethod
    def read(cls, path: Path) -> Seen:
        """Read what `write` has written.

        Raises
        ------
        UsageError
            If the file is not there, or is no such file.
        """
        try:
            with np.load(path, allow_pickle=False) as held:
                arrays = {name: held[name] for name in held.files}
            return cls(arrays.pop("numbers").tolist(), arrays)
        except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise UsageError(
                f"expected in {path} what figures draw on faces, but it cannot be read: {first_line(error)}; run the benchmark "
                "again with its data and weights, which makes it anew"
            ) from error

    def write(self, path: Path) -> None:
        """Write all, atomically; equal arrays give equal bytes."""
        written = io.BytesIO()
        arrays: dict[str, Any] = {"numbers": np.array(list(self._places), np.int64), **self._arrays}
        np.savez_compressed(written, allow_pickle=False, **arrays)
        files.write_bytes(path, written.getvalue())

    def __bool__(self) -> bool:
        return bool(self._arrays)

    def __contains__(self, name: str) -> bool:
        return name in self._arrays

    def of(self, number: int, name: str) -> np.ndarray | None:
        """Return one array of one face; None where it is not known."""
        if name not in self._arrays or number not in self._places:
            return None
        return np.asarray(self._arrays[name][self._places[number]])

    def value(self, number: int, name: str) -> float:
        """Return one number that was measured of one face; NaN where it is not known."""
        found = self.of(number, name)
        return float("nan") if found is None else float(found)
