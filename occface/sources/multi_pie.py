"""Multi-PIE: people photographed by 15 cameras under 20 illuminations, over four sessions, in six expressions."""

from __future__ import annotations

import hashlib
import logging
import os
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from occface import files, images
from occface.errors import UsageError
from occface.registry import did_you_mean
from occface.sources.base import Photo, Photograph
from occface.sources.tree import require_folder, some, walk

__all__ = ["EXPRESSIONS", "FRONTAL_FLASH", "PROTOCOLS", "YAW", "MultiPIESource", "looks_like"]

log = logging.getLogger("occface")

#: ``paper``: the 13 poses, six expressions and frontal illumination of section IV-A. ``all``: every photograph.
PROTOCOLS = ("paper", "all")

#: The yaw that each camera at head height sees, in degrees, positive where the face looks to the picture's right. The cameras
#: 08_1 and 19_1 hang above the others and are of no pose here.
YAW = {
    "11_0": -90,
    "12_0": -75,
    "09_0": -60,
    "08_0": -45,
    "13_0": -30,
    "14_0": -15,
    "05_1": 0,
    "05_0": 15,
    "04_1": 30,
    "19_0": 45,
    "20_0": 60,
    "01_0": 75,
    "24_0": 90,
}

#: What was shown in each recording of each session.
EXPRESSIONS = {
    ("01", "01"): "neutral",
    ("01", "02"): "smile",
    ("02", "01"): "neutral",
    ("02", "02"): "surprise",
    ("02", "03"): "squint",
    ("03", "01"): "neutral",
    ("03", "02"): "smile",
    ("03", "03"): "disgust",
    ("04", "01"): "neutral",
    ("04", "02"): "neutral",
    ("04", "03"): "scream",
}

#: The picture with the flash beside the frontal camera. In 00 and 19 there is no flash; the other flashes are aside or above.
FRONTAL_FLASH = "07"

#: The 250th of the 337 people by number, since no one has the number 213. A rule by number splits a part of the data set
#: as it does the whole.
LAST_TRAIN = 251

#: The numbers of people and of photographs in the paper's training and test sets.
PAPER = {"train": (250, 12_000), "test": (87, 912)}

_NAME = re.compile(r"(?P<person>\d{3})_(?P<session>\d{2})_(?P<recording>\d{2})_(?P<camera>\d{3})_(?P<flash>\d{2})\.png")
_SESSIONS = ("session0?/multiview", "data/session0?/multiview", "*/data/session0?/multiview")


def looks_like(path: Path) -> bool:
    """Return whether a folder is this data set: by its session folders, or by the photographs' names right in it."""
    if any(next(path.glob(pattern), None) for pattern in _SESSIONS):
        return True
    with os.scandir(path) as entries:
        return any(_NAME.fullmatch(entry.name) for entry in entries)


@dataclass(frozen=True)
class MultiPIESource:
    """Multi-PIE's photographs ``SSS_SS_RR_CCC_II.png``, wherever they lie below a folder; other files are passed over.

    Parameters
    ----------
    path : str
        The folder; that of all sessions, or of a part.
    protocol : str
        One of `PROTOCOLS`; by default ``paper``.
    max_pixels : int
        Photographs with more pixels are refused.

    Raises
    ------
    UsageError
        If there is no such folder, or the protocol is unknown.
    """

    path: str
    protocol: str = "paper"
    max_pixels: int = images.MAX_PIXELS

    name: ClassVar[str] = "multi-pie"
    licence: ClassVar[str] = "CMU Multi-PIE: by licence agreement, for internal research only"
    assets: ClassVar[tuple[str, ...]] = ()
    classes: ClassVar[tuple[str, ...]] = ()
    annotated: ClassVar[int] = 0

    def __post_init__(self) -> None:
        require_folder(self.path, "Multi-PIE")
        if self.protocol not in PROTOCOLS:
            raise UsageError(f"unknown protocol of {self.name} '{self.protocol}': {did_you_mean(self.protocol, PROTOCOLS)}")

    def photos(self) -> list[Photo]:
        """Return the photographs of the protocol, sorted by id (the file's stem); log their number beside the paper's.

        Raises
        ------
        UsageError
            If there are none, or one is there twice.
        """
        found: dict[str, Photo] = {}
        others: list[str] = []
        passed = 0
        for name in walk(Path(self.path)):
            file = name.rpartition("/")[2]
            match = _NAME.fullmatch(file)
            if not match:
                others.append(name)
                continue
            photo = self._photo(name, match)
            if photo is None:
                passed += 1
            elif photo.id in found:
                raise UsageError(f"{file} is there twice, as {found[photo.id].path} and {name}: keep one of them")
            else:
                found[photo.id] = photo
        if not found:
            what = f"{passed} photographs of other cameras, recordings or flashes" if passed else some(others)
            raise UsageError(f"no photographs of Multi-PIE's protocol {self.protocol} in {self.path}: it holds {what}")
        photos = [found[key] for key in sorted(found)]
        if self.protocol == "paper":
            log.info("%s", _comparison(photos))
        return photos

    def _photo(self, path: str, match: re.Match[str]) -> Photo | None:
        """Return what a file's name says, or None if the protocol leaves the photograph out."""
        camera = f"{match['camera'][:2]}_{match['camera'][2]}"
        session, recording, flash = match["session"], match["recording"], match["flash"]
        yaw = YAW.get(camera)
        expression = EXPRESSIONS.get((session, recording), "")
        split = ""
        if self.protocol == "paper":
            if yaw is None or not expression or flash != FRONTAL_FLASH:
                return None
            split = "train" if int(match["person"]) <= LAST_TRAIN else "test"
        return Photo(
            id=match.string[: -len(".png")],
            path=path,
            identity=match["person"],
            expression=expression,
            pose="" if yaw is None else str(yaw),
            split=split,
            labels=files.canonical_json({"session": session, "recording": recording, "camera": camera, "illumination": flash}),
        )

    def read(self, photo: Photo) -> Photograph:
        """Read a photograph.

        Raises
        ------
        BadImageError
            If it cannot be read or decoded.
        """
        data = images.read_bytes(Path(self.path) / photo.path)
        return Photograph(image=images.decode_image(data, self.max_pixels), sha256=hashlib.sha256(data).hexdigest(), file=data)

    def describe(self) -> dict[str, Any]:
        """Return what determines the data besides the photographs: the protocol and the limit."""
        return {"name": self.name, "protocol": self.protocol, "max_pixels": self.max_pixels}


def _comparison(photos: list[Photo]) -> str:
    """Return a line that sets the numbers of people and photographs beside the paper's."""
    counts = Counter(photo.split for photo in photos)
    people = Counter(split for _, split in {(photo.identity, photo.split) for photo in photos})
    parts = [
        f"{split} {counts[split]:,} of {people[split]} people (the paper: {pictures:,} of {persons})"
        for split, (persons, pictures) in PAPER.items()
    ]
    return (
        f"Multi-PIE: {', '.join(parts)}; the paper took {sum(number for _, number in PAPER.values()):,} photographs "
        "from those of its poses and expressions and does not say which, so all of them are here"
    )
