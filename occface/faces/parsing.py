"""The parts of a face in parsing maps: the two sets of classes, and the ways from a data set's classes to those of a method."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from occface.errors import UsageError

__all__ = ["CLASSES_11", "CLASSES_19", "FSRNET_PARTS", "UNKNOWN", "class_table", "part_maps"]

#: The classes of CelebAMask-HQ, 0 first. Left and right are the subject's; ``l_lip`` is the lower lip, ``mouth`` its inside.
CLASSES_19 = (
    *("background", "skin", "nose", "eye_g", "l_eye", "r_eye", "l_brow", "r_brow", "l_ear", "r_ear", "mouth", "u_lip"),
    *("l_lip", "hair", "hat", "ear_r", "neck_l", "neck", "cloth"),
)

#: The classes of Helen's label masks, 0 first, by the same names.
CLASSES_11 = ("background", "skin", "l_brow", "r_brow", "l_eye", "r_eye", "nose", "u_lip", "mouth", "l_lip", "hair")

#: The eleven parts whose maps are priors of FSRNet.
FSRNET_PARTS = ("skin", "l_brow", "r_brow", "l_eye", "r_eye", "l_ear", "r_ear", "nose", "mouth", "u_lip", "l_lip")

#: The value of a parsing map where the source has no map of the photograph.
UNKNOWN = 255

#: What a class is called where it is not told apart: what lies on the face is face, what hangs or is worn beside it is not.
_MERGED = dict.fromkeys(("l_ear", "r_ear", "eye_g"), "skin") | dict.fromkeys(
    ("hat", "ear_r", "neck_l", "neck", "cloth"), "background"
)


def class_table(names: Sequence[str], wanted: Sequence[str]) -> Tensor:
    """Return the table that leads from a data set's classes to others: ``table[parsing.long()]``.

    Ears and eye glasses become skin, and what is worn or below the chin background, where `wanted` does not tell them apart.
    Values that stand for no class become `UNKNOWN`.

    Parameters
    ----------
    names, wanted : sequence of str
        The classes of the maps, and those to have, 0 first.

    Returns
    -------
    Tensor
        (256,) uint8.

    Raises
    ------
    UsageError
        If a class has no place among those wanted.

    Examples
    --------
    >>> class_table(["background", "skin", "l_ear"], CLASSES_11)[:4].tolist()
    [0, 1, 1, 255]
    """
    table = torch.full((256,), UNKNOWN, dtype=torch.uint8)
    for number, name in enumerate(names):
        place = name if name in wanted else _MERGED.get(name, "")
        if place not in wanted:
            raise UsageError(f"the class '{name}' of the parsing maps has no place among {', '.join(wanted)}")
        table[number] = list(wanted).index(place)
    return table


def part_maps(parsing: Tensor, names: Sequence[str], parts: Sequence[str], size: int) -> Tensor:
    """Return one map for each part: how much of each pixel the part covers.

    Parameters
    ----------
    parsing : Tensor
        (B, H, W) uint8 in the classes `names`; nothing is covered where it is unknown.
    names, parts : sequence of str
        The classes of the maps, 0 first, and the parts wanted; a part that is no class covers nothing.
    size : int
        Height and width of the maps, of which H and W are multiples.

    Returns
    -------
    Tensor
        (B, len(parts), size, size) float32 in [0, 1].

    Examples
    --------
    >>> parsing = torch.tensor([[[0, 1], [1, 1]]], dtype=torch.uint8)
    >>> part_maps(parsing, ["background", "nose"], ["nose", "skin"], 1).flatten().tolist()
    [0.75, 0.0]
    """
    classes = parsing.int()  # -1, of a part that is no class, would be 255 in eight bits
    # each compared with a plain number: a table of them would have to be carried to the device each time
    covered = [classes == (list(names).index(part) if part in names else -1) for part in parts]
    return F.avg_pool2d(torch.stack(covered, 1).float(), parsing.shape[-1] // size)
