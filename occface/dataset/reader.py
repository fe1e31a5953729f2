"""Reading data sets: records and columns through `DatasetFile`, training pairs through `FacePairs`.

An HDF5 handle must not cross into another process. `DatasetFile` therefore opens its file at the first read in each
process, and neither pickles nor forks its handle, so it serves any number of DataLoader workers however these start.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import torch

from occface.dataset.schema import ATTRIBUTES, COLUMNS, SCHEMA_VERSION, SPLITS, mask_types
from occface.errors import UsageError
from occface.images import to_float
from occface.registry import did_you_mean

__all__ = ["DatasetFile", "FacePairs", "collate"]


class DatasetFile:
    """A data set made by `occface make-dataset`, open for reading.

    Parameters
    ----------
    path : path
        The HDF5 file.

    Raises
    ------
    UsageError
        If the file is absent, is no HDF5 file, or is not a data set of this schema; the message says which.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._file: h5py.File | None = None
        self._owner = -1
        self._handles: dict[str, h5py.Dataset] = {}
        if not self.path.is_file():
            raise UsageError(f"expected a data set at {self.path}, but there is none; make one by `occface make-dataset`")
        if not h5py.is_hdf5(self.path):
            raise UsageError(f"expected a data set (HDF5) at {self.path}, but it is another kind of file, or damaged")
        try:
            attributes = dict(self.file.attrs)
        except OSError as error:
            raise UsageError(f"{self.path} is damaged and cannot be opened; make it again by `occface make-dataset`") from error
        version = attributes.get("schema_version")
        if version is None:
            held = ", ".join(list(self.file)[:5]) or "nothing"
            raise UsageError(f"{self.path} is HDF5, but no occface data set: it has no schema_version (it holds {held})")
        if str(version) != str(SCHEMA_VERSION):
            raise UsageError(f"{self.path} has schema version {version}; this version of occface reads {SCHEMA_VERSION}")
        absent = [name for name in ATTRIBUTES if name not in attributes]
        if absent or not set(self.file) <= set(SPLITS):
            what = f"it lacks {', '.join(absent)}" if absent else f"it holds {', '.join(self.file)}"
            raise UsageError(f"{self.path} is no data set of occface, or a damaged one: {what}")
        self.attributes: dict[str, Any] = {
            key: value.item() if isinstance(value, np.generic) else value for key, value in attributes.items()
        }

    @property
    def file(self) -> h5py.File:
        """The open file of this process."""
        if self._file is None or self._owner != os.getpid():
            # A handle inherited over fork is the parent's: it is dropped, and nothing is read through it.
            self._handles = {}
            self._file = h5py.File(self.path, "r")
            self._owner = os.getpid()
        return self._file

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_file": None, "_owner": -1, "_handles": {}}

    def close(self) -> None:
        """Close the file; the next read opens it again."""
        if self._file is not None and self._owner == os.getpid():
            self._file.close()
        self._file, self._handles = None, {}

    @property
    def configuration(self) -> dict[str, Any]:
        """The resolved configuration the file was made with."""
        return dict(json.loads(self.attributes["configuration"]))

    @property
    def content_hash(self) -> str:
        """The content hash that the file carries (`occface verify` compares it with the content)."""
        return str(self.attributes["content_hash"])

    @property
    def splits(self) -> tuple[str, ...]:
        """The groups of the file that hold faces."""
        return tuple(split for split in SPLITS if split in self.file)

    def count(self, split: str) -> int:
        """Return the number of faces of a split.

        Raises
        ------
        UsageError
            If the file has no such split.
        """
        if split not in self.file:
            raise UsageError(f"{self.path} has no split '{split}': {did_you_mean(split, self.file)}")
        return len(self.file[split]["hr"])

    def mask_types(self, split: str) -> tuple[str, ...]:
        """Return the mask types of a split, sorted."""
        return mask_types(self.file[split])

    def record(self, split: str, index: int, names: Sequence[str]) -> dict[str, np.ndarray]:
        """Return the named fields of one face, for example ``["hr", "occluded/square/mask"]``."""
        file = self.file  # first, since it drops handles that belong to another process
        record = {}
        for name in names:
            key = f"{split}/{name}"
            if key not in self._handles:
                self._handles[key] = file[key]
            record[name] = self._handles[key][index]
        return record

    def stack(self, split: str, name: str, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Return a field of a run of faces, as one array."""
        return np.asarray(self.file[f"{split}/{name}"][start:stop])

    def columns(self, split: str) -> pd.DataFrame:
        """Return the text columns of a split, a row per face."""
        group = self.file[split]
        return pd.DataFrame({name: group[name].asstr()[:] for name in COLUMNS})


class FacePairs(torch.utils.data.Dataset[dict[str, np.ndarray]]):
    """Occluded LR / non-occluded HR pairs of a split: a torch data set, safe in workers of every start method.

    Each face counts once per mask type: pair *k* is face ``k // types`` with mask type ``k % types``.

    Parameters
    ----------
    data : DatasetFile or path
        The data set.
    split : str
        ``"train"``, ``"val"`` or ``"test"``.
    masks : sequence of str, optional
        Mask types; all by default.

    Examples
    --------
    A pair holds ``hr`` uint8 (128, 128, 3), ``mask`` uint8 (128, 128), ``lr`` and ``lr_clean`` uint8 (16, 16, 3),
    ``landmarks`` and ``landmarks_lr`` float32 (68, 2) in pixels of the 128x128 crop.
    """

    def __init__(self, data: DatasetFile | str | os.PathLike[str], split: str, masks: Sequence[str] | None = None) -> None:
        self.data = data if isinstance(data, DatasetFile) else DatasetFile(data)
        self.split = split
        self.faces = self.data.count(split)
        known = self.data.mask_types(split)
        self.masks = tuple(masks) if masks else known
        for mask in self.masks:
            if mask not in known:
                raise UsageError(f"{self.data.path} has no mask type '{mask}': {did_you_mean(mask, known)}")

    def __len__(self) -> int:
        return self.faces * len(self.masks)

    def __getitem__(self, number: int) -> dict[str, np.ndarray]:
        if not 0 <= number < len(self):
            raise IndexError(f"pair {number} of {len(self)}")
        face, kind = divmod(number, len(self.masks))
        below = f"occluded/{self.masks[kind]}/"
        names = ("hr", "lr_clean", "landmarks", below + "mask", below + "lr", below + "landmarks_lr")
        return {name.removeprefix(below): value for name, value in self.data.record(self.split, face, names).items()}


def collate(pairs: list[dict[str, np.ndarray]]) -> dict[str, torch.Tensor]:
    """Return pairs of `FacePairs` as one batch of float32 tensors, images in [-1, 1], masks (B, 1, 128, 128)."""
    stacked = {name: np.stack([pair[name] for pair in pairs]) for name in pairs[0]}
    images = {name: to_float(stacked[name]) for name in ("hr", "lr", "lr_clean")}
    points = {name: torch.from_numpy(stacked[name]) for name in ("landmarks", "landmarks_lr")}
    return {**images, **points, "mask": torch.from_numpy(stacked["mask"])[:, None].float()}
