"""A data set with the landmarks of its LR faces found anew, by another network; all else stays as it is."""

from __future__ import annotations

import functools
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from occface import assets, faces, files, parallel, progress
from occface.dataset.reader import DatasetFile
from occface.dataset.schema import content_hash
from occface.errors import OccfaceError, UsageError
from occface.faces.landmarks import LrLandmarker
from occface.faces.trained_fan import TrainedFanLandmarks
from occface.faces.turning import Turning
from occface.locking import working_alone
from occface.versions import software_versions

__all__ = ["RelabelledDataset", "relabel"]

#: LR faces whose landmarks one job finds.
_BLOCK = 256


@dataclass(frozen=True)
class RelabelledDataset:
    """What `relabel` did: the file, its content hash, how many LR faces, and how far their landmarks moved.

    `moved` is the mean distance between old and new landmarks, in pixels of the 128 crop.
    """

    path: Path
    content_hash: str
    faces: int
    moved: float

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return {"file": str(self.path), "content_hash": self.content_hash, "lr_faces": self.faces, "moved_pixels": self.moved}

    def text(self) -> str:
        """Return what was done in a line for people."""
        return (
            f"{self.path}: landmarks of {self.faces} LR faces found anew, {self.moved:.2f} px from the old ones in the mean, "
            f"content hash {self.content_hash[:16]}"
        )


def relabel(
    data: DatasetFile, output: Path, landmarker: str | TrainedFanLandmarks, *, workers: int = 1, overwrite: bool = False
) -> RelabelledDataset:
    """Copy a data set, with the landmarks of its occluded LR faces found by `landmarker`.

    Faces, masks, LR faces and the landmarks of HR stay the same to the bit. It is for networks that can be trained only once
    there is a data set, such as `occface train fan`: with it, nothing else need be made twice.

    Parameters
    ----------
    data : DatasetFile
        The data set.
    output : Path
        The HDF5 file to make, atomically.
    landmarker : str or TrainedFanLandmarks
        A name in `occface.faces.LANDMARKERS`, or a FAN that was trained here.
    workers : int
        Processes; the file is the same for any number.
    overwrite : bool
        Replace an existing file.

    Raises
    ------
    UsageError
        If the output exists or is the data set itself, another program is at work on it, or the landmarker is unknown.
    OccfaceError
        If the disk is full; then nothing is left behind.
    """
    output = Path(output)
    with working_alone(output.parent, output.name):
        return _relabel(data, output, landmarker, workers, overwrite)


def _relabel(
    data: DatasetFile, output: Path, landmarker: str | TrainedFanLandmarks, workers: int, overwrite: bool
) -> RelabelledDataset:
    if output.exists() and (not overwrite or output.resolve() == data.path.resolve()):
        same = output.resolve() == data.path.resolve()
        raise UsageError(
            f"{output} is the data set itself: name another file"
            if same
            else f"{output} exists already: name another file, or replace it by --overwrite"
        )
    finder: LrLandmarker = faces.LANDMARKERS.get(landmarker)() if isinstance(landmarker, str) else landmarker
    said = landmarker if isinstance(landmarker, str) else landmarker.describe()
    assets.obtain(finder.assets)
    configuration = {**data.configuration, "lr_landmarker": said}
    free, needed = shutil.disk_usage(output.absolute().parent).free, data.path.stat().st_size
    if free < needed:
        raise OccfaceError(f"the data set needs {needed / 1e6:.0f} MB beside {output}, where {free / 1e6:.0f} MB are free")
    jobs = [
        (split, mask, start)
        for split in data.splits
        for mask in data.mask_types(split)
        for start in range(0, data.count(split), _BLOCK)
    ]
    distances = []
    with files.atomic_path(output) as temporary:
        shutil.copyfile(data.path, temporary)
        with h5py.File(temporary, "r+") as file:
            find = functools.partial(_found, data=data, finder=finder)
            with progress.bar(len(jobs), "finding", "block") as bar:
                for (split, mask, start), points in zip(jobs, parallel.ordered_map(find, jobs, workers=workers), strict=True):
                    place = file[f"{split}/occluded/{mask}/landmarks_lr"]
                    distances.append(np.linalg.norm(place[start : start + len(points)] - points, axis=2).mean(1))
                    place[start : start + len(points)] = points
                    bar.update()
            hash_ = content_hash(file, configuration)
            file.attrs["configuration"] = files.canonical_json(configuration)
            file.attrs["versions"] = files.canonical_json(software_versions())
            file.attrs["content_hash"] = hash_
    moved = np.concatenate(distances)
    return RelabelledDataset(output, hash_, len(moved), float(moved.mean()))


def _found(job: tuple[str, str, int], data: DatasetFile, finder: LrLandmarker) -> np.ndarray:
    """Return the landmarks, (n, 68, 2) float32, of a block of LR faces; of turned ones as they were before."""
    split, mask, start = job
    lr = data.stack(split, f"occluded/{mask}/lr", start, start + _BLOCK)
    labels = data.columns(split)["labels"][start : start + _BLOCK]
    points = []
    for face, text in zip(lr, labels, strict=True):
        known = files.parse_json_object(text)
        turning = Turning(int(known.get("turns", 0)), bool(known.get("mirrored", False)))
        points.append(np.asarray(turning.landmarks(finder.on_lr(turning.undone(face))), np.float32))
    return np.stack(points)
