"""The restored faces that a report shows, kept on disk: a method that takes minutes for a face is not asked twice."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from occface import files
from occface.benchmark.restoring import BATCH, restore_pairs
from occface.benchmark.units import Unit
from occface.images import read_image, write_png

__all__ = ["restored_faces"]

SIDE = 128


def restored_faces(
    unit: Unit, pairs: Sequence[dict[str, np.ndarray]], numbers: Sequence[int], folder: Path, device: torch.device
) -> list[np.ndarray | None]:
    """Return what a unit's pipeline makes of some pairs: faces uint8 (128, 128, 3), or None where it failed.

    They are kept in a folder, as one PNG file with all of them below each other, whose name holds the hash of what they depend
    on. Faces of another state are removed. Where one failed nothing is kept.

    Parameters
    ----------
    unit : Unit
        The pipeline and what it is given.
    pairs : sequence of dict
        Pairs of the unit's data set, split and mask type.
    numbers : sequence of int
        Their places in the split.
    folder : Path
        Where they are kept.
    device : torch.device
        Where the pipeline runs.
    """
    stem = Path(unit.path).stem
    path = folder / f"{stem}-{files.sha256_json([unit.key, list(numbers)])[:12]}.png"
    if path.exists():
        return list(read_image(path).reshape(-1, SIDE, SIDE, 3))
    outcomes = [
        outcome
        for start in range(0, len(pairs), BATCH)
        for outcome in restore_pairs(unit.pipeline, list(pairs[start : start + BATCH]), device, unit.estimate)
    ]
    faces = [None if isinstance(outcome, str) else outcome.face for outcome in outcomes]
    whole = [face for face in faces if face is not None]
    for old in folder.glob(f"{stem}-????????????.png"):
        old.unlink()
    if len(whole) == len(faces):
        write_png(path, np.concatenate(whole))
    return faces
