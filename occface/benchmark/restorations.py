"""Restored faces on disk: one PNG for each face that a pipeline was given. Scores and pictures are made from them.

They are kept after every batch, so an interrupted benchmark loses one batch, and no face is restored twice. Beside them is kept
where each was restored, which need not be where it is scored.
"""

from __future__ import annotations

import glob
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from occface import files
from occface.benchmark.restoring import BATCH, Restored, restore_pairs
from occface.benchmark.units import PRECISION, Unit
from occface.dataset.reader import FacePairs
from occface.images import decode_image, encode_png, read_bytes
from occface.training.devices import describe
from occface.versions import software_versions

__all__ = ["Restorations", "kept_faces", "untouched"]

_RECORD = "faces.json"


class Restorations:
    """The faces that one unit's pipeline has restored.

    Parameters
    ----------
    folder : path
        Where those of all units are. Each unit has a folder of its own, whose name ends with the hash of what its faces
        depend on.
    unit : Unit
        The pipeline, and what it is given.
    """

    def __init__(self, folder: Path, unit: Unit) -> None:
        self.unit = unit
        self.folder = folder / f"{unit.stem}-{unit.restoration_key[:12]}"
        record = self.folder / _RECORD
        kept = files.read_json(record) if record.exists() else {}
        # Faces of which it is not known where they were restored are restored again.
        self._entries: dict[str, dict[str, Any]] = kept.get("faces", {})
        self._places: list[dict[str, Any]] = kept.get("places", [])

    def missing(self, numbers: Iterable[int]) -> list[int]:
        """Return those of some faces of the split, by number, that are not there as they were written."""
        return [number for number in numbers if self._bytes(number) is None]

    def __getitem__(self, number: int) -> Restored:
        """Return a face that is there.

        Raises
        ------
        KeyError
            If it is not, or was changed since.
        """
        data = self._bytes(number)
        if data is None:
            raise KeyError(number)
        entry = self._entries[str(number)]
        *earlier, face = map(decode_image, data)
        return Restored(face, entry["seconds"], entry["missed"], tuple(earlier))

    def restore(
        self, numbers: Iterable[int], device: torch.device, advance: Callable[[int], object] = lambda _: None
    ) -> dict[int, str]:
        """Restore those that are missing; return for each that failed why it did. `advance` is called after each batch."""
        failed: dict[int, str] = {}
        missing = self.missing(numbers)
        if not missing:
            return failed
        self._remove_other_states()
        pairs = FacePairs(self.unit.data, self.unit.split, [self.unit.mask])
        restore = self._restorer(device)
        place = self._place(device)
        for start in range(0, len(missing), BATCH):
            chosen = missing[start : start + BATCH]
            batch = [pairs[number] for number in chosen]
            outcomes = restore(batch)
            for number, outcome in zip(chosen, outcomes, strict=True):
                if isinstance(outcome, str):
                    failed[number] = outcome
                else:
                    self._keep(number, outcome, place)
            files.write_json(self.folder / _RECORD, {"places": self._places, "faces": self._entries})
            advance(len(chosen))
        return failed

    def _restorer(self, device: torch.device) -> Callable[[list[dict[str, np.ndarray]]], Sequence[Restored | str]]:
        """Return what restores a batch of pairs."""
        if self.unit.is_reference:
            return lambda pairs: [Restored(pair["hr"], 0.0) for pair in pairs]
        pipeline = self.unit.pipeline(device)
        pipeline.load(device)
        return lambda pairs: restore_pairs(pipeline, pairs, device, self.unit.estimate)

    def forget(self) -> None:
        """Remove the faces, so that all are missing."""
        _remove(self.folder)
        self._entries, self._places = {}, []

    def restored_on(self, numbers: Iterable[int]) -> list[dict[str, Any]]:
        """Return where some faces were restored: ``device``, ``precision``, ``versions`` and how many ``faces``."""
        places = [self._entries[str(number)]["place"] for number in numbers if str(number) in self._entries]
        return [{**place, "faces": places.count(which)} for which, place in enumerate(self._places) if which in places]

    def _place(self, device: torch.device) -> int:
        """Return the number, among the places that are kept, of this one."""
        here = {"device": describe(device), "precision": PRECISION, "versions": software_versions()}
        if here not in self._places:
            self._places.append(here)
        return self._places.index(here)

    def _keep(self, number: int, restored: Restored, place: int) -> None:
        pictures = [encode_png(picture) for picture in (*restored.earlier, restored.face)]
        for stage, data in enumerate(pictures[:-1], 1):
            files.write_bytes(self._path(number, stage), data)
        files.write_bytes(self._path(number), pictures[-1])
        self._entries[str(number)] = {
            "id": self.unit.faces.iloc[number]["id"],
            "seconds": restored.seconds,
            "missed": restored.missed,
            "stages": len(restored.earlier) + 1,
            "sha256": files.sha256_bytes(pictures[-1]),
            "sha256_earlier": [files.sha256_bytes(data) for data in pictures[:-1]],
            "place": place,
        }

    @property
    def stages(self) -> int:
        """How many pictures there are of each face: more than one of a progressive method's."""
        return max((entry["stages"] for entry in self._entries.values()), default=1)

    def _bytes(self, number: int) -> list[bytes] | None:
        """Return the files of a face's pictures, the last stage's last; None unless all are as they were written."""
        kept = self._entries.get(str(number), {})
        stages = [*range(1, kept.get("stages", 1)), None]
        pictures = [untouched(self.folder, kept, number, stage) for stage in stages]
        found = [data for data in pictures if data is not None]
        return found if len(found) == len(pictures) else None

    def altered(self, numbers: Iterable[int]) -> bool:
        """Tell whether a picture of some faces is there and not as it was written."""
        return any(
            self._path(number, stage).exists() and untouched(self.folder, entry, number, stage) is None
            for number in numbers
            if (entry := self._entries.get(str(number)))
            for stage in (*range(1, entry["stages"]), None)
        )

    def _path(self, number: int, stage: int | None = None) -> Path:
        return self.folder / picture_name(number, stage)

    def _remove_other_states(self) -> None:
        """Remove what this unit's pipeline made before, with other weights, settings or code."""
        for old in self.folder.parent.glob(f"{glob.escape(self.unit.stem)}-{'[0-9a-f]' * 12}"):
            if old != self.folder:
                _remove(old)


def picture_name(number: int, stage: int | None = None) -> str:
    """Return the name of the file of a restored face, or of what an earlier stage made of it."""
    return f"{number:05d}.png" if stage is None else f"{number:05d}.stage-{stage}.png"


def kept_faces(folder: Path) -> dict[str, dict[str, Any]]:
    """Return what is recorded of the restored faces of a folder, by their numbers; nothing where there is no record."""
    record = folder / _RECORD
    found: dict[str, dict[str, Any]] = files.read_json(record).get("faces", {}) if record.exists() else {}
    return found


def untouched(folder: Path, entry: Mapping[str, Any], number: int, stage: int | None = None) -> bytes | None:
    """Return the file of a restored face, or of an earlier stage of it.

    Parameters
    ----------
    folder : Path
        Where the faces of one unit are.
    entry : mapping
        What is recorded of the face, see `kept_faces`.
    number : int
        The face.
    stage : int, optional
        An earlier stage, from 1 on.

    Returns
    -------
    bytes or None
        None if it is not there, or not as it was written. Of earlier stages the records of earlier versions hold no hash: these
        are taken as they are.
    """
    path = folder / picture_name(number, stage)
    if not entry or not path.exists():
        return None
    data = read_bytes(path)
    if stage is None:
        expected = entry["sha256"]
    elif "sha256_earlier" in entry:
        expected = entry["sha256_earlier"][stage - 1]
    else:
        return data
    return data if files.sha256_bytes(data) == expected else None


def _remove(folder: Path) -> None:
    """Remove restored faces, and nothing else that may lie beside them."""
    record = folder / _RECORD
    if not record.exists():
        return
    for path in (*folder.glob("[0-9][0-9][0-9][0-9][0-9]*.png"), record):
        path.unlink()
    if not any(folder.iterdir()):
        folder.rmdir()
