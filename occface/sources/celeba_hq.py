"""CelebA-HQ with the parsing maps of CelebAMask-HQ, as it was published or as flat folders of images and class maps."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from occface import files, images
from occface.errors import BadImageError, UsageError
from occface.registry import did_you_mean
from occface.sources import celeba_tables as tables
from occface.sources.base import Photo, Photograph
from occface.sources.label_maps import read_labels, stretch
from occface.sources.tree import printable, require_folder, sizes_digest

__all__ = ["CLASSES", "PROTOCOLS", "CelebAHQSource", "looks_like"]

#: The classes of a parsing map, 0 first, by the names of CelebAMask-HQ's files. The parts are painted in this order, a later
#: one over an earlier one: glasses over skin, hair over ears. Left and right are the subject's.
CLASSES = (
    "background",
    "skin",
    "nose",
    "eye_g",
    "l_eye",
    "r_eye",
    "l_brow",
    "r_brow",
    "l_ear",
    "r_ear",
    "mouth",
    "u_lip",
    "l_lip",
    "hair",
    "hat",
    "ear_r",
    "neck_l",
    "neck",
    "cloth",
)

#: ``paper``: photographs from `FIRST_TEST` on are test. ``celeba``: CelebA's own splits. ``free``: by the configuration.
PROTOCOLS = ("paper", "celeba", "free")

#: The paper tests on 1,568 of 30,000 photographs and does not say which: here, the last by number.
FIRST_TEST = 30_000 - 1_568

_PHOTOS, _PARTS = "CelebA-HQ-img", "CelebAMask-HQ-mask-anno"
_FLAT_PHOTOS, _FLAT_MAPS = "images", "masks"
_NUMBERED = re.compile(r"(\d+)\.(jpg|jpeg|png)", re.IGNORECASE)
#: So many photographs' parts lie in one folder.
_PER_FOLDER = 2000


def looks_like(path: Path) -> bool:
    """Return whether a folder is this data set: by its folders' names, and in the flat layout by one class map's values."""
    if (path / _PHOTOS).is_dir():
        return True
    if not (path / _FLAT_PHOTOS).is_dir() or not (path / _FLAT_MAPS).is_dir():
        return False
    first = next((name for name in _listing(path / _FLAT_PHOTOS) if name.lower().endswith(images.SUFFIXES)), "")
    try:
        values = np.unique(read_labels(path / _FLAT_MAPS / f"{Path(first).stem}.png"))
    except BadImageError:
        return False
    # Folders named images and masks are many; maps with a skin and a nose, and nothing beyond these classes, are few.
    return {CLASSES.index("skin"), CLASSES.index("nose")} <= set(values.tolist()) and int(values[-1]) < len(CLASSES)


def _listing(folder: Path) -> list[str]:
    return sorted(printable(path.name) for path in folder.iterdir() if not path.name.startswith("."))


@dataclass(frozen=True)
class CelebAHQSource:
    """CelebA-HQ in one of two layouts.

    As CelebAMask-HQ publishes it: ``CelebA-HQ-img/<n>.jpg``, the parts' masks in ``CelebAMask-HQ-mask-anno/<n // 2000>/``, and
    beside them its tables, each used where it is there. Or flat: ``images/`` and, of the same stems, class maps in ``masks/``.

    Parameters
    ----------
    path : str
        The folder.
    protocol : str
        One of `PROTOCOLS`; by default ``paper`` for the published layout and ``free`` for the flat one.
    max_pixels : int
        Photographs and maps with more pixels are refused.

    Raises
    ------
    UsageError
        If the folder is not of this data set, or the protocol is unknown.
    """

    path: str
    protocol: str = ""
    max_pixels: int = images.MAX_PIXELS

    name: ClassVar[str] = "celeba-hq"
    licence: ClassVar[str] = "CelebA and CelebAMask-HQ: non-commercial research and education only"
    assets: ClassVar[tuple[str, ...]] = ()
    annotated: ClassVar[int] = 0

    def __post_init__(self) -> None:
        folder = require_folder(self.path, "CelebA-HQ")
        if not (folder / self._photos_folder).is_dir():
            raise UsageError(f"expected a folder {_PHOTOS}, or {_FLAT_PHOTOS} and {_FLAT_MAPS}, in {self.path}: it has neither")
        if self.protocol and self.protocol not in PROTOCOLS:
            raise UsageError(f"unknown protocol of {self.name} '{self.protocol}': {did_you_mean(self.protocol, PROTOCOLS)}")

    @property
    def _flat(self) -> bool:
        return not (Path(self.path) / _PHOTOS).is_dir()

    @property
    def _photos_folder(self) -> str:
        return _FLAT_PHOTOS if self._flat else _PHOTOS

    @property
    def _maps_folder(self) -> Path:
        return Path(self.path) / (_FLAT_MAPS if self._flat else _PARTS)

    @property
    def _protocol(self) -> str:
        return self.protocol or ("free" if self._flat else "paper")

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes of its parsing maps, 0 first; empty where the maps' folder is missing."""
        return CLASSES if self._maps_folder.is_dir() else ()

    def photos(self) -> list[Photo]:
        """Return the photographs, sorted by id: five digits in the published layout, the path in the flat one.

        Raises
        ------
        UsageError
            If there are none, a table does not fit, or the protocol needs numbers or a table that are not there.
        """
        names = _listing(Path(self.path) / self._photos_folder)
        if self._flat:
            found = {f"{_FLAT_PHOTOS}/{name}": name for name in names if name.lower().endswith(images.SUFFIXES)}
        else:
            found = {}
            for name in names:
                if match := _NUMBERED.fullmatch(name):
                    if (id_ := f"{int(match[1]):05d}") in found:
                        raise UsageError(f"photograph {id_} is there twice, as {found[id_]} and {name}: keep one of them")
                    found[id_] = name
        if not found:
            raise UsageError(f"no photographs in {Path(self.path) / self._photos_folder}: name the folder that holds them all")
        numbers = {id_: int(Path(name).stem) if Path(name).stem.isdecimal() else None for id_, name in found.items()}
        unnumbered = next((found[id_] for id_ in sorted(found) if numbers[id_] is None), None)
        if self._protocol != "free" and unnumbered:
            raise UsageError(
                f"the protocol {self._protocol} goes by the photographs' numbers in CelebA-HQ, and {unnumbered} is none: "
                "use the protocol free"
            )
        known = self._tables()
        return [self._photo(id_, found[id_], numbers[id_], known) for id_ in sorted(found)]

    def _tables(self) -> dict[str, dict[Any, Any]]:
        """Return the tables that are there, by name; raise if one is missing that another, or the protocol, needs."""
        readers: dict[str, Any] = {
            tables.ATTRIBUTES: tables.read_values,
            tables.POSES: tables.read_values,
            tables.MAPPING: tables.read_mapping,
            tables.IDENTITIES: tables.read_identities,
        }
        if self._protocol == "celeba":
            readers[tables.PARTITION] = tables.read_partition
        known = {name: read(Path(self.path) / name) for name, read in readers.items() if (Path(self.path) / name).is_file()}
        wanted = {tables.MAPPING, tables.PARTITION} if self._protocol == "celeba" else set()
        wanted |= {tables.MAPPING} if tables.IDENTITIES in known else set()
        if missing := sorted(wanted - set(known)):
            why = "the protocol celeba" if self._protocol == "celeba" else tables.IDENTITIES
            raise UsageError(f"expected {' and '.join(missing)} in {self.path}, which {why} needs: put a copy there")
        return known

    def _photo(self, id_: str, file: str, number: int | None, known: dict[str, dict[Any, Any]]) -> Photo:
        labels: dict[str, Any] = {}
        original = known.get(tables.MAPPING, {}).get(number, "")
        if attributes := known.get(tables.ATTRIBUTES, {}).get(number):
            labels["attributes"] = sorted(name for name, value in attributes.items() if value > 0)
        if angles := known.get(tables.POSES, {}).get(number):
            labels["angles"] = angles
        if original:
            labels["celeba"] = original
        split = ""
        if self._protocol == "paper":
            split = "test" if number is not None and number >= FIRST_TEST else "train"
        elif self._protocol == "celeba":
            split = known[tables.PARTITION].get(original, "")
            if not split:
                raise UsageError(f"the tables in {self.path} name no split of {file}: expected whole copies of them")
        return Photo(
            id=id_,
            path=f"{self._photos_folder}/{file}",
            identity=known.get(tables.IDENTITIES, {}).get(original, ""),
            split=split,
            labels=files.canonical_json(labels) if labels else "",
        )

    def read(self, photo: Photo) -> Photograph:
        """Read a photograph and its parsing map, which is None where there is none.

        Raises
        ------
        BadImageError
            If either cannot be read or decoded, or the map is of another picture.
        """
        data = images.read_bytes(Path(self.path) / photo.path)
        image = images.decode_image(data, self.max_pixels)
        stem = Path(photo.path).stem
        labels = self._class_map(stem) if self._flat else self._merged_parts(int(stem))
        parsing = None if labels is None else stretch(labels, *image.shape[:2])
        return Photograph(image=image, sha256=hashlib.sha256(data).hexdigest(), parsing=parsing, file=data)

    def _class_map(self, stem: str) -> np.ndarray | None:
        path = self._maps_folder / f"{stem}.png"
        if not path.exists():
            return None
        labels = read_labels(path, self.max_pixels)
        if labels.max() >= len(CLASSES):
            raise BadImageError(f"the label map {path.name} holds {labels.max()}: expected classes 0 to {len(CLASSES) - 1}")
        return labels

    def _merged_parts(self, number: int) -> np.ndarray | None:
        """Return the class map that the parts' masks make, each painted over those before it; None where there are none."""
        merged: np.ndarray | None = None
        for label, part in enumerate(CLASSES[1:], 1):
            path = self._maps_folder / str(number // _PER_FOLDER) / f"{number:05d}_{part}.png"
            if not path.exists():
                continue
            mask = read_labels(path, self.max_pixels)
            if merged is None:
                merged = np.zeros_like(mask)
            if mask.shape != merged.shape:
                raise BadImageError(f"the label map {path.name} has another size than the photograph's other parts")
            merged[mask > 0] = label
        return merged

    def describe(self) -> dict[str, Any]:
        """Return what determines the data besides the photographs: layout, protocol, tables' hashes, the maps' names and sizes.

        The maps' contents are not hashed: there are 370,000 files of them.
        """
        folder = Path(self.path)
        used = [name for name in tables.TABLES if name != tables.PARTITION or self._protocol == "celeba"]
        return {
            "name": self.name,
            "layout": "flat" if self._flat else "published",
            "protocol": self._protocol,
            "tables": {name: files.sha256_file(folder / name) for name in used if (folder / name).is_file()},
            "maps": sizes_digest(self._maps_folder) if self._maps_folder.is_dir() else "",
            "max_pixels": self.max_pixels,
        }
