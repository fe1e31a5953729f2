"""Pairs of a data set through a pipeline, so that one image that fails costs only itself."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from occface.dataset.reader import collate
from occface.errors import OccfaceError, first_line
from occface.images import to_uint8
from occface.pipelines import Pipeline

__all__ = ["BATCH", "Restored", "restore_pairs"]

#: Faces restored at once. Results do not depend on it beyond rounding; memory does.
BATCH = 16


class Restored(NamedTuple):
    """A restored face, and how it came about.

    Attributes
    ----------
    face : numpy.ndarray
        (128, 128, 3) uint8 RGB.
    seconds : float
        How long it took.
    missed : bool or None
        Whether a search missed its aim; None where none was made.
    earlier : tuple of numpy.ndarray
        What earlier stages of a progressive method made, (S, S, 3) uint8 RGB each; empty for other methods.
    """

    face: np.ndarray
    seconds: float
    missed: bool | None = None
    earlier: tuple[np.ndarray, ...] = ()


def restore_pairs(
    pipeline: Pipeline,
    pairs: list[dict[str, np.ndarray]],
    device: torch.device,
    estimate: Callable[[Tensor], Tensor] | None = None,
) -> list[Restored | str]:
    """Return for each pair of `FacePairs` the restored face, or why there is none.

    The pipeline is given the mask that `estimate` makes of the LR faces, or the true one where it is None. When a batch fails
    its pairs are tried one by one. The seconds of a batch are shared evenly among its faces.
    """
    try:
        batch = {name: value.to(device) for name, value in collate(pairs).items()}
        started = time.perf_counter()
        if estimate is not None:
            batch["mask"] = estimate(batch["lr"])
        *earlier, restored = pipeline.pictures(batch)
        finite = torch.isfinite(restored).flatten(1).all(1).tolist()  # also waits for the device
        seconds = (time.perf_counter() - started) / len(pairs)
        faces = to_uint8(restored)
        stages = list(zip(*map(to_uint8, earlier), strict=True)) or [()] * len(pairs)
        missed = _missed(pipeline, len(pairs))
    except OccfaceError:
        raise
    except Exception as error:  # whatever a method of others raises: it costs its own images, not the benchmark
        if len(pairs) > 1:
            return [outcome for pair in pairs for outcome in restore_pairs(pipeline, [pair], device, estimate)]
        return [f"{type(error).__name__}: {first_line(error)}"]
    bad = "the result holds values that are not finite"
    return [
        Restored(face, seconds, miss, tuple(before)) if good else bad
        for face, good, miss, before in zip(faces, finite, missed, stages, strict=True)
    ]


def _missed(pipeline: Pipeline, count: int) -> list[bool | None]:
    """Return for each face whether any of the pipeline's searches missed its aim in the call that has just been made."""
    searched = [stage.method.last_missed for stage in pipeline.stages if stage.method.last_missed is not None]
    return torch.stack(searched).any(0).tolist() if searched else [None] * count
