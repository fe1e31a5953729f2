"""Helen: photographs of faces in the wild with 194 points each, and the parsing labels of Smith et al. where they are there."""

from __future__ import annotations

import functools
import hashlib
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

import numpy as np

from occface import files, images
from occface.errors import BadImageError, UsageError
from occface.registry import did_you_mean
from occface.sources.base import Photo, Photograph
from occface.sources.label_maps import read_labels, stretch
from occface.sources.tree import contents_digest, require_folder, sizes_digest, some, walk

__all__ = ["CLASSES", "POINTS", "PROTOCOLS", "HelenSource", "looks_like"]

#: ``paper``: the last `TEST` photographs are test, and each training photograph is there eight times, turned and mirrored.
#: ``plain``: the same without the seven additional ones. ``free``: splits by the configuration.
PROTOCOLS = ("paper", "plain", "free")

#: The classes of a parsing map, 0 first: the label masks 00 to 10, by CelebAMask-HQ's names of the same parts.
CLASSES = ("background", "skin", "l_brow", "r_brow", "l_eye", "r_eye", "nose", "u_lip", "mouth", "l_lip", "hair")

#: The number of annotated points.
POINTS = 194

#: The paper tests on 50 of 2,330 photographs and does not say which.
TEST = 50

_ANNOTATION = "annotation"
_TEST_LIST = "testing.txt"


def looks_like(path: Path) -> bool:
    """Return whether a folder is this data set: by the folder of annotations, or that of Smith et al."""
    if _labels_folder(path) is not None:
        return True
    folder = _annotation_folder(path)
    first = next(folder.glob("[0-9]*.txt"), None) if folder else None
    return first is not None and len(first.read_bytes().splitlines()) > POINTS


def _inside(path: Path) -> list[Path]:
    """Return a folder and the folders in it: data sets are unpacked with and without a folder of their own."""
    return [path, *sorted(entry for entry in path.iterdir() if entry.is_dir() and os.access(entry, os.R_OK | os.X_OK))]


def _labels_folder(path: Path) -> Path | None:
    """Return the folder that holds ``images``, ``labels`` and the lists of Smith et al., if there is one."""
    return next((at for at in _inside(path) if (at / "labels").is_dir() and (at / _TEST_LIST).is_file()), None)


def _annotation_folder(path: Path) -> Path | None:
    return next((at / _ANNOTATION for at in _inside(path) if (at / _ANNOTATION).is_dir()), None)


@functools.lru_cache(maxsize=2)
def _annotation_files(folder: Path) -> dict[str, Path]:
    """Return the file of each photograph's points by the photograph's stem, which is its first line; once per process."""
    found: dict[str, Path] = {}
    for path in sorted(folder.glob("*.txt")):
        with open(path, encoding="utf-8", errors="replace") as handle:
            found.setdefault(Path(handle.readline().strip()).stem, path)
    return found


@dataclass(frozen=True)
class HelenSource:
    """Helen's photographs, wherever they lie below a folder, with what is there of annotations and labels.

    The points are those in ``annotation/<n>.txt``, in pixels of the original photographs. The labels are those of
    ``SmithCVPR2013_dataset_resized``. Where there are no photographs but its shrunk ones, these are taken, and no points.

    Parameters
    ----------
    path : str
        The folder.
    protocol : str
        One of `PROTOCOLS`; by default ``paper``.
    max_pixels : int
        Photographs and label masks with more pixels are refused.

    Raises
    ------
    UsageError
        If there is no such folder, or the protocol is unknown.
    """

    path: str
    protocol: str = "paper"
    max_pixels: int = images.MAX_PIXELS

    name: ClassVar[str] = "helen"
    licence: ClassVar[str] = "Helen: photographs from Flickr under their own terms; annotations for research only"
    assets: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        require_folder(self.path, "Helen")
        if self.protocol not in PROTOCOLS:
            raise UsageError(f"unknown protocol of {self.name} '{self.protocol}': {did_you_mean(self.protocol, PROTOCOLS)}")

    @functools.cached_property
    def _places(self) -> tuple[Path | None, Path | None]:
        """The folders of the labels and of the annotations, each where there is one."""
        return _labels_folder(Path(self.path)), _annotation_folder(Path(self.path))

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes of its parsing maps, 0 first; empty where there are no labels."""
        return CLASSES if self._places[0] else ()

    @property
    def annotated(self) -> int:
        """How many points its annotation of a face has: 194, or 0 where there are none."""
        return POINTS if self._places[1] else 0

    def photos(self) -> list[Photo]:
        """Return the photographs, sorted by id: the path below the folder, and ``@90m`` and so on for the additional ones.

        Raises
        ------
        UsageError
            If there are none, one is there twice, or there are too few for the protocol.
        """
        names = list(walk(Path(self.path)))
        pictures = [name for name in names if name.lower().endswith((".jpg", ".jpeg"))]
        originals = [name for name in pictures if not self._shrunk(name)]
        found = sorted(originals or pictures)
        if not found:
            raise UsageError(f"no photographs (jpg) of Helen in {self.path}: it holds {some(names)}")
        stems = {name: PurePosixPath(name).stem for name in found}
        twice = next((stem for stem, count in Counter(stems.values()).items() if count > 1), None)
        if twice:
            places = " and ".join(name for name in found if stems[name] == twice)
            raise UsageError(f"the photograph {twice} is there twice, as {places}: keep one of them")
        test = set() if self.protocol == "free" else self._test(found, stems)
        photos = []
        for name in found:
            split = "" if self.protocol == "free" else "test" if name in test else "train"
            photos += (
                _eight(name) if self.protocol == "paper" and split == "train" else [Photo(id=name, path=name, split=split)]
            )
        return sorted(photos, key=lambda photo: photo.id)

    def _shrunk(self, name: str) -> bool:
        """Return whether a photograph is one of those that Smith et al. shrunk, in whose pixels the points are not."""
        labels, _ = self._places
        return labels is not None and (Path(self.path) / name).is_relative_to(labels / "images")

    def _test(self, found: list[str], stems: dict[str, str]) -> set[str]:
        """Return the test photographs: the last by name of the published test list, of a folder ``test``, or of all."""
        if len(found) <= TEST:
            raise UsageError(
                f"the protocol {self.protocol} tests on {TEST} photographs, and {self.path} holds {len(found)} in all: "
                "use the protocol free"
            )
        labels, _ = self._places
        listed = _listed(labels / _TEST_LIST) if labels else set()
        candidates = [name for name in found if stems[name] in listed]
        candidates = candidates or [name for name in found if "test" in PurePosixPath(name).parts[:-1]] or found
        return set(sorted(candidates, key=stems.__getitem__)[-TEST:])

    def read(self, photo: Photo) -> Photograph:
        """Read a photograph, its points with the box that they span, and its parsing map; None where one is not there.

        Raises
        ------
        BadImageError
            If one of them cannot be read, or does not fit the photograph.
        """
        from occface.faces.align import box_of_points

        data = images.read_bytes(Path(self.path) / photo.path)
        image = images.decode_image(data, self.max_pixels)
        labels, annotation = self._places
        stem = PurePosixPath(photo.path).stem
        points = parsing = None
        if annotation and not self._shrunk(photo.path) and (file := _annotation_files(annotation).get(stem)):
            points = _read_points(file)
            (x, y), (height, width) = points.mean(axis=0), image.shape[:2]
            if not (0 <= x < width and 0 <= y < height):
                raise BadImageError(f"the points in {file.name} lie outside the photograph: they are of another one")
        if labels and (labels / "labels" / stem).is_dir():
            parsing = stretch(self._merged_masks(labels / "labels" / stem), *image.shape[:2])
        return Photograph(
            image=image,
            sha256=hashlib.sha256(data).hexdigest(),
            boxes=None if points is None else np.array([box_of_points(points)], dtype=np.float32),
            points=points,
            parsing=parsing,
            file=data,
        )

    def _merged_masks(self, folder: Path) -> np.ndarray:
        """Return the class of the highest of the eleven grey masks at each pixel; the lower number where two are equal."""
        masks = [read_labels(folder / f"{folder.name}_lbl{label:02d}.png", self.max_pixels) for label in range(len(CLASSES))]
        if len({mask.shape for mask in masks}) > 1:
            raise BadImageError(f"the label masks in {folder.name} differ in size")
        return np.argmax(masks, axis=0).astype(np.uint8)

    def describe(self) -> dict[str, Any]:
        """Return what determines the data besides the photographs: protocol, annotations, lists, names and sizes of labels."""
        labels, annotation = self._places
        return {
            "name": self.name,
            "protocol": self.protocol,
            "annotation": contents_digest(annotation) if annotation else "",
            "test list": files.sha256_file(labels / _TEST_LIST) if labels else "",
            "labels": sizes_digest(labels / "labels") if labels else "",
            "max_pixels": self.max_pixels,
        }


def _eight(name: str) -> list[Photo]:
    """Return a photograph as it is and its seven additional forms: turned by 90, 180 and 270 degrees, and all mirrored."""
    return [
        Photo(
            id=f"{name}@{90 * turns}{'m' if mirrored else ''}" if turns or mirrored else name,
            path=name,
            split="train",
            turns=turns,
            mirrored=mirrored,
            group=name,
        )
        for turns in range(4)
        for mirrored in (False, True)
    ]


def _listed(path: Path) -> set[str]:
    """Return the names in a list of Smith et al., whose lines are a number, a comma and a name."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"expected a list of photographs at {path}, but it cannot be read: {error}") from error
    return {line.rpartition(",")[2].strip() for line in lines if line.strip()}


def _read_points(path: Path) -> np.ndarray:
    """Return the 194 points of an annotation: a line with the photograph's name, then lines ``x , y``; float32 (194, 2)."""
    lines = images.read_bytes(path).decode("utf-8", "replace").splitlines()[1:]
    try:
        points = np.array([[float(word) for word in line.split(",")] for line in lines if line.strip()], dtype=np.float32)
    except ValueError as error:
        raise BadImageError(f"the annotation {path.name} is damaged: expected lines x , y ({error})") from error
    if points.shape != (POINTS, 2) or not np.isfinite(points).all():
        raise BadImageError(f"the annotation {path.name} is damaged: expected {POINTS} points, got {len(points)}")
    return points
