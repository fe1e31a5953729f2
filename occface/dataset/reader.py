"""Reading data sets: records and columns through `DatasetFile`, training pairs through `FacePairs`.

Fields that lie contiguously in the file, as all do that are made here, are read through a memory map: a record then costs
what copying it costs. Others (in a file that was repacked by another program) are read through HDF5.

An HDF5 handle must not cross into another process. `DatasetFile` therefore opens its file at the first read in each
process, and neither pickles nor forks its handle, so it serves any number of DataLoader workers however these start.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from occface.dataset.schema import ATTRIBUTES, COLUMNS, SCHEMA_VERSION, SPLITS, UNCROPPED, mask_types
from occface.errors import UsageError, first_line
from occface.images import decode_image, to_float
from occface.registry import did_you_mean

if TYPE_CHECKING:
    import pandas as pd
    import torch

__all__ = ["DAMAGE", "DatasetFile", "FacePairs", "collate"]

#: What h5py, numpy and json raise where a file's bytes were changed.
DAMAGE = (OSError, LookupError, ValueError, TypeError, RuntimeError, AttributeError, ArithmeticError, MemoryError)

#: What the recorded configuration must say for the records to be understood, and as what.
_SETTINGS: dict[str, type] = {
    "source": dict,
    "masks": list,
    "detectors": list,
    "fill": str,
    "lr_kernel": str,
    "landmarker": str,
    "seed": int,
    "keep_uncropped": bool,
}
_SOURCE_SETTINGS: dict[str, type] = {"classes": list, "annotated": int}


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
        self._fields: dict[str, np.ndarray | h5py.Dataset] = {}
        self.attributes: dict[str, Any]
        if not self.path.is_file():
            raise UsageError(f"expected a data set at {self.path}, but there is none; make one by `occface make-dataset`")
        if not h5py.is_hdf5(self.path):
            raise UsageError(f"expected a data set (HDF5) at {self.path}, but it is another kind of file, or damaged")
        try:
            self.attributes = self._checked_attributes()
            _check_configuration(self.attributes["configuration"])
        except DAMAGE as error:
            self.close()
            raise UsageError(f"{self.path} is damaged: {first_line(error)}; make it again by `occface make-dataset`") from error

    def _checked_attributes(self) -> dict[str, Any]:
        """Return the root attributes as plain values, after checking that the file is a data set of this schema."""
        attributes = dict(self.file.attrs)
        version = attributes.get("schema_version")
        if version is None:
            held = ", ".join(list(self.file)[:5]) or "nothing"
            raise UsageError(f"{self.path} is HDF5, but no occface data set: it has no schema_version (it holds {held})")
        if str(version) != str(SCHEMA_VERSION):
            raise UsageError(f"{self.path} has schema version {version}; this version of occface reads {SCHEMA_VERSION}")
        foreign = next(_from_elsewhere(self.file), None)
        if foreign is not None:
            raise UsageError(
                f"{self.path} takes {foreign} from another place than itself: it is no data set of occface, beware"
            )
        absent = [name for name in ATTRIBUTES if name not in attributes]
        strangers = [name for name in self.file if name not in SPLITS or not isinstance(self.file[name], h5py.Group)]
        if absent or strangers:
            what = (
                f"it lacks {', '.join(absent)}"
                if absent
                else f"expected groups {', '.join(SPLITS)}, got {', '.join(strangers)}"
            )
            raise UsageError(f"{self.path} is no data set of occface, or a damaged one: {what}")
        return {
            key: value.tolist() if isinstance(value, np.generic | np.ndarray) else value for key, value in attributes.items()
        }

    @property
    def file(self) -> h5py.File:
        """The open file of this process."""
        if self._file is None or self._owner != os.getpid():
            # A handle inherited over fork is the parent's: it is dropped, and nothing is read through it.
            self._fields = {}
            self._file = h5py.File(self.path, "r")
            self._owner = os.getpid()
        return self._file

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_file": None, "_owner": -1, "_fields": {}}

    def close(self) -> None:
        """Close the file; the next read opens it again."""
        if self._file is not None and self._owner == os.getpid():
            self._file.close()
        self._file, self._fields = None, {}

    @property
    def configuration(self) -> dict[str, Any]:
        """The resolved configuration the file was made with."""
        return dict(json.loads(self.attributes["configuration"]))

    @property
    def content_hash(self) -> str:
        """The content hash that the file carries (`occface verify` compares it with the content)."""
        return str(self.attributes["content_hash"])

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes of its parsing maps, 0 first; empty where it has none."""
        return tuple(self.configuration["source"]["classes"])

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

    def field(self, split: str, name: str) -> np.ndarray | h5py.Dataset:
        """Return a field of a split to read from, faces first: mapped into memory where it lies contiguously in the file."""
        file = self.file  # first, since it drops fields that belong to another process
        key = f"{split}/{name}"
        if key not in self._fields:
            data = file[key]
            offset = data.id.get_offset()
            plain = data.dtype.kind in "uif" and data.chunks is None and offset is not None
            self._fields[key] = np.memmap(self.path, data.dtype, "r", offset, data.shape) if plain else data
        return self._fields[key]

    def record(self, split: str, index: int, names: Sequence[str]) -> dict[str, np.ndarray]:
        """Return the named fields of one face, for example ``["hr", "occluded/square/mask"]``."""
        return {name: np.array(self.field(split, name)[index]) for name in names}

    def stack(self, split: str, name: str, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Return a field of a run of faces, as one array."""
        return np.array(self.field(split, name)[start:stop])

    def photograph(self, split: str, index: int) -> np.ndarray:
        """Return the photograph that a face comes from, (height, width, 3) uint8, of a data set that keeps them.

        Raises
        ------
        UsageError
            If the data set was made without its photographs.
        """
        if UNCROPPED not in self.file[split]:
            raise UsageError(f"{self.path} holds no photographs; make it with --keep-uncropped to have them")
        return decode_image(self.record(split, index, [UNCROPPED])[UNCROPPED].tobytes())

    def columns(self, split: str) -> pd.DataFrame:
        """Return the text columns of a split, a row per face."""
        import pandas as pd

        group = self.file[split]
        return pd.DataFrame({name: group[name].asstr()[:] for name in COLUMNS})


def _from_elsewhere(group: h5py.Group) -> Iterator[str]:
    """Give what a file does not hold itself: HDF5 can name other files of the machine, whose bytes would be read as faces."""
    for name in group:
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            yield f"{group.name}/{name}".lstrip("/")
            continue
        member = group[name]
        if isinstance(member, h5py.Group):
            yield from _from_elsewhere(member)
        elif isinstance(member, h5py.Dataset) and (member.is_virtual or member.external):
            yield str(member.name).lstrip("/")


def _check_configuration(text: Any) -> None:
    """Raise ValueError unless a text is a configuration with all that is needed to understand the records."""
    if not isinstance(text, str):
        raise ValueError(f"expected the configuration to be text, got {type(text).__name__}")
    try:
        configuration = json.loads(text)
    except ValueError as error:
        raise ValueError(f"expected the configuration to be JSON, but {first_line(error)}") from error
    _check_settings("configuration", configuration, _SETTINGS)
    _check_settings("configuration's source", configuration["source"], _SOURCE_SETTINGS)
    lists = {name: configuration[name] for name in ("masks", "detectors")} | {"classes": configuration["source"]["classes"]}
    for name, values in lists.items():
        if not all(isinstance(value, str) for value in values):
            raise ValueError(f"expected {name} of the configuration to be names, got {values}")


def _check_settings(what: str, settings: Any, expected: Mapping[str, type]) -> None:
    if not isinstance(settings, dict):
        raise ValueError(f"expected the {what} to be a JSON object, got {type(settings).__name__}")
    absent = [name for name in expected if name not in settings]
    if absent:
        raise ValueError(f"the {what} lacks {', '.join(absent)}")
    for name, type_ in expected.items():
        if type(settings[name]) is not type_:  # a truth value is no number here
            raise ValueError(f"expected {name} of the {what} to be {type_.__name__}, got {settings[name]!r}")


class FacePairs:
    """Occluded LR / non-occluded HR pairs of a split: for a torch DataLoader, safe in workers of every start method.

    Each face counts once per mask type: pair *k* is face ``k // types`` with mask type ``k % types``.

    Parameters
    ----------
    data : DatasetFile or path
        The data set.
    split : str
        ``"train"``, ``"val"`` or ``"test"``.
    masks : sequence of str, optional
        Mask types; all by default.
    parsing : bool
        Whether pairs hold the parsing map too; the data set must have maps.

    Examples
    --------
    A pair holds ``hr`` uint8 (128, 128, 3), ``mask`` uint8 (128, 128), ``lr`` and ``lr_clean`` uint8 (16, 16, 3),
    ``landmarks`` and ``landmarks_lr`` float32 (68, 2) in pixels of the 128x128 crop; where asked for ``parsing`` uint8
    (128, 128), in the classes of the data set.
    """

    def __init__(
        self,
        data: DatasetFile | str | os.PathLike[str],
        split: str,
        masks: Sequence[str] | None = None,
        parsing: bool = False,
    ) -> None:
        self.data = data if isinstance(data, DatasetFile) else DatasetFile(data)
        self.split = split
        self.faces = self.data.count(split)
        known = self.data.mask_types(split)
        self.masks = tuple(masks) if masks else known
        for mask in self.masks:
            if mask not in known:
                raise UsageError(f"{self.data.path} has no mask type '{mask}': {did_you_mean(mask, known)}")
        if parsing and not self.data.classes:
            raise UsageError(f"{self.data.path} has no parsing maps: make it from a source that has them")
        self.parsing = parsing

    def __len__(self) -> int:
        return self.faces * len(self.masks)

    def __getitem__(self, number: int) -> dict[str, np.ndarray]:
        if not 0 <= number < len(self):
            raise IndexError(f"pair {number} of {len(self)}")
        face, kind = divmod(number, len(self.masks))
        names = self._fields(self.masks[kind])
        record = self.data.record(self.split, face, list(names.values()))
        return {name: record[field] for name, field in names.items()}

    def read(self, numbers: Sequence[int] | np.ndarray, into: dict[str, np.ndarray] | None = None) -> dict[str, np.ndarray]:
        """Return the fields of several pairs, each as one array, pairs first; one call costs far less than one by one.

        Parameters
        ----------
        numbers : sequence of int
            The pairs.
        into : dict of ndarray, optional
            Where to put them.

        Raises
        ------
        IndexError
            If there is no such pair.
        """
        chosen = np.asarray(numbers)
        if chosen.size and not 0 <= chosen.min() <= chosen.max() < len(self):
            raise IndexError(f"pairs {chosen.min()} to {chosen.max()} of {len(self)}")
        faces, kinds = np.divmod(chosen, len(self.masks))
        stacked = into if into is not None else {}
        for name in self._fields(self.masks[0]):
            sources = [self.data.field(self.split, self._fields(mask)[name]) for mask in self.masks]
            if name not in stacked:
                stacked[name] = np.empty((len(chosen), *sources[0].shape[1:]), sources[0].dtype)
            if not all(isinstance(source, np.ndarray) for source in sources):
                for place, (face, kind) in enumerate(zip(faces.tolist(), kinds.tolist(), strict=True)):
                    stacked[name][place] = sources[kind][face]
            elif all(source is sources[0] for source in sources):
                np.take(sources[0], faces, axis=0, out=stacked[name], mode="clip")  # in range; another mode copies twice
            else:
                for kind, source in enumerate(sources):
                    stacked[name][kinds == kind] = source[faces[kinds == kind]]
        return stacked

    def _fields(self, mask: str) -> dict[str, str]:
        """Return a pair's fields of a mask type: their names in the pair, and their paths below the split."""
        below = f"occluded/{mask}/"
        own = {name: below + name for name in ("mask", "lr", "landmarks_lr")}
        maps = {"parsing": "parsing"} if self.parsing else {}
        return {"hr": "hr", "lr_clean": "lr_clean", "landmarks": "landmarks", **maps, **own}


def collate(pairs: list[dict[str, np.ndarray]]) -> dict[str, torch.Tensor]:
    """Return pairs of `FacePairs` as one batch of float32 tensors, images in [-1, 1], masks (B, 1, 128, 128).

    Parsing maps, where there are any, stay uint8 (B, 128, 128).
    """
    import torch

    stacked = {name: np.stack([pair[name] for pair in pairs]) for name in pairs[0]}
    images = {name: to_float(stacked[name]) for name in ("hr", "lr", "lr_clean")}
    points = {name: torch.from_numpy(stacked[name]) for name in ("landmarks", "landmarks_lr")}
    maps = {"parsing": torch.from_numpy(stacked["parsing"])} if "parsing" in stacked else {}
    return {**images, **points, **maps, "mask": torch.from_numpy(stacked["mask"])[:, None].float()}
