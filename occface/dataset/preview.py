"""A sheet of pictures of a data set, to see at a glance whether faces, landmarks and masks are as they should be."""

from __future__ import annotations

import os
from itertools import islice

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from occface import images, lettering
from occface.dataset.pairs import Degradation, Place
from occface.dataset.reader import DatasetFile
from occface.dataset.schema import HR_SIZE, LR_SIZE
from occface.errors import UsageError

__all__ = ["preview_sheet"]

_TITLES = ("HR, landmarks", "mask", "occluded HR", "LR, its landmarks")
_ACROSS = 3
_GAP = 3
_MARGIN = 10
_LINE = 16
_PAPER = (255, 255, 255)
_INK = (34, 34, 34)
_HR_POINTS = (0, 255, 60)
_LR_POINTS = (255, 60, 200)
_TILE = (len(_TITLES) * (HR_SIZE + _GAP) + 2 * _GAP, HR_SIZE + _LINE + 2 * _GAP)


def preview_sheet(data: DatasetFile, path: str | os.PathLike[str], faces: int = 32, split: str | None = None) -> None:
    """Write a PNG sheet of some faces: HR with landmarks, mask, occluded HR, and LR with the landmarks estimated on it.

    The first faces of each split are shown, as many of one as of the other where there are enough, and the mask types take
    turns. Pictures are not resampled: an LR pixel is a square. Equal data give equal bytes.

    Parameters
    ----------
    data : DatasetFile
        The data set.
    path : path
        The PNG file, written atomically.
    faces : int
        How many faces are shown, at most.
    split : str, optional
        Show this split alone.

    Raises
    ------
    UsageError
        If `faces` is less than 1, or there is no such split, or no face.
    """
    if faces < 1:
        raise UsageError(f"expected at least 1 face on the preview sheet, got {faces}")
    chosen = _choose({name: data.count(name) for name in ([split] if split else data.splits)}, faces)
    if not chosen:
        raise UsageError(f"{data.path} holds no faces to show")
    font = lettering.font(11)
    rows = -(-len(chosen) // _ACROSS)
    across = min(_ACROSS, len(chosen))
    top = _MARGIN + 2 * (_LINE + _GAP)
    sheet = Image.new("RGB", (2 * _MARGIN + across * _TILE[0], top + rows * _TILE[1] + _MARGIN), _PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((_MARGIN, _MARGIN), lettering.cut(_headline(data), font, across * _TILE[0]), fill=_INK, font=font)
    for column in range(across):
        for number, title in enumerate(_TITLES):
            x = _MARGIN + column * _TILE[0] + number * (HR_SIZE + _GAP)
            draw.text((x, _MARGIN + _LINE + _GAP), title, fill=_INK, font=font)
    for number, (name, row) in enumerate(chosen):
        kinds = data.mask_types(name)
        tile = _tile(data, name, row, kinds[number % len(kinds)], font)
        sheet.paste(tile, (_MARGIN + number % _ACROSS * _TILE[0], top + number // _ACROSS * _TILE[1]))
    images.write_png(path, np.asarray(sheet))


def _choose(counts: dict[str, int], faces: int) -> list[tuple[str, int]]:
    """Return the (split, row) of the faces to show: the first of each split in turn, then sorted by split.

    Examples
    --------
    >>> _choose({"train": 10, "test": 1}, 4)
    [('train', 0), ('train', 1), ('train', 2), ('test', 0)]
    """
    in_turn = ((split, row) for row in range(max(counts.values(), default=0)) for split in counts if row < counts[split])
    taken = list(islice(in_turn, faces))
    return sorted(taken, key=lambda place: (list(counts).index(place[0]), place[1]))


def _headline(data: DatasetFile) -> str:
    settings = data.configuration
    counts = ", ".join(f"{data.count(split)} {split}" for split in data.splits)
    return (
        f"{data.attributes['source']}: {counts}; fill {settings['fill']}, LR kernel {settings['lr_kernel']}, "
        f"seed {settings['seed']}; content hash {data.content_hash[:16]}"
    )


def _tile(data: DatasetFile, split: str, row: int, kind: str, font: ImageFont.FreeTypeFont) -> Image.Image:
    """Return one face's pictures side by side, with a line below that says which it is."""
    below = f"occluded/{kind}/"
    names = ["hr", "landmarks", "index", "face", f"{below}mask", f"{below}lr", f"{below}landmarks_lr"]
    record = {name.removeprefix(below): value for name, value in data.record(split, row, names).items()}
    place = Place(split, int(record["index"]), int(record["face"]))
    hr, mask, lr = record["hr"], record["mask"], record["lr"]
    enlarged = lr.repeat(HR_SIZE // LR_SIZE, axis=0).repeat(HR_SIZE // LR_SIZE, axis=1)
    pictures = (
        _with_points(hr, record["landmarks"], _HR_POINTS),
        Image.fromarray(mask * np.uint8(255)),
        Image.fromarray(Degradation.of(data.configuration).occluded_hr(hr, mask, kind, place)),
        _with_points(enlarged, record["landmarks_lr"], _LR_POINTS),
    )
    tile = Image.new("RGB", _TILE, _PAPER)
    for number, picture in enumerate(pictures):
        tile.paste(picture, (number * (HR_SIZE + _GAP), 0))
    id_ = data.file[f"{split}/id"].asstr()[row]
    caption = f"{split} {row}, {kind} ({mask.mean():.0%} hidden): {id_}"
    ImageDraw.Draw(tile).text((0, HR_SIZE + 1), lettering.cut(caption, font, _TILE[0] - 2 * _GAP), fill=_INK, font=font)
    return tile


def _with_points(picture: np.ndarray, points: np.ndarray, colour: tuple[int, int, int]) -> Image.Image:
    image = Image.fromarray(picture)
    draw = ImageDraw.Draw(image)
    for x, y in np.rint(points).astype(int).tolist():
        draw.point([(x, y), (x - 1, y), (x + 1, y), (x, y - 1), (x, y + 1)], fill=colour)
    return image
