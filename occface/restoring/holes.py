"""Where a face is hidden, when nobody says so: what cannot be explained as a part of it, or has the fill's colour."""

from __future__ import annotations

import numpy as np
import torch
from scipy import ndimage

from occface.dataset.schema import HR_SIZE, LR_SIZE
from occface.images import to_float
from occface.occlusion import downsample
from occface.occlusion.estimate import estimate_mask, flat_fill
from occface.restoring.lr_faces import lr_faces

__all__ = ["NOT_FOUND", "auto_mask", "flat_mask", "flat_patches", "of_no_face", "taken_away"]

#: What `auto_mask` is known to miss; said wherever it is used.
NOT_FOUND = "what looks like skin or hair and is not of one colour, and anything narrower than about 16 px of the 128 px crop"

#: How far, in RGB with channels from 0 to 255, an LR pixel must lie from what the restored face would give there to have been
#: taken away. On 60 held-out faces of CelebA-HQ and a Pro-UIGAN trained with grey holes, 97 % of the pixels wholly inside
#: grey holes lie further away than that, and 0.7 % of those that no hole touches (0.5 % where there is no hole).
_TAKEN = 20.0
#: By how much pixels of one colour may differ in a channel; two by two such pixels are flat, and four in all are a patch.
_ALIKE, _LEAST_FLAT = 2, 4
#: Flat patches lie to this part at least away from the two outermost rows and columns: walls behind faces are flat too.
_INSIDE = 0.6
#: How strange pixels are, on the average over three by three, that belong to no face; one pixel counts at most so much.
_STRANGE, _STRANGEST = 2.3, 8.0
#: Fewer pixels than that beside each other are taken for chance.
_LEAST = 3

_AROUND = np.ones((3, 3), bool)


def auto_mask(lr: np.ndarray, restored: np.ndarray | None, lr_kernel: str) -> np.ndarray:
    """Return where a thumbnail shows what cannot be explained as a part of the face.

    That is what at least one of three says: `flat_patches`, `of_no_face`, and, where a model that is told no mask restored
    the face, `taken_away`. `docs/restore.md` has how much of which fill they find. It misses `NOT_FOUND`.

    Parameters
    ----------
    lr : numpy.ndarray
        (16, 16, 3) uint8 RGB, the thumbnail.
    restored : numpy.ndarray or None
        (128, 128, 3) uint8 RGB, what a joint method made of it; None for methods that must be told a mask.
    lr_kernel : str
        How thumbnails are made, see `occface.occlusion.LR_KERNELS`.

    Returns
    -------
    numpy.ndarray
        (128, 128) uint8 {0, 1}, of whole LR pixels.
    """
    found = flat_patches(lr)
    if restored is not None:
        found |= taken_away(lr, restored, lr_kernel)
    return _enlarged(found | of_no_face(lr, found))


def taken_away(lr: np.ndarray, restored: np.ndarray, lr_kernel: str) -> np.ndarray:
    """Return where a model painted over what it was shown, (16, 16) bool: it has learnt to know that as a hole.

    The restored face is made small again and compared with the thumbnail. What the model has not learnt to know as a hole, it
    explains away as a part of the face.

    Parameters
    ----------
    lr, restored, lr_kernel
        As for `auto_mask`.

    Returns
    -------
    numpy.ndarray
        Pixels that differ by more than 20, three or more beside each other, and their neighbours, into which a hole reaches.
    """
    again = downsample(restored, LR_SIZE, lr_kernel)
    far = np.linalg.norm(again.astype(np.float64) - lr, axis=-1) > _TAKEN
    return ndimage.binary_dilation(_large(far, _LEAST), structure=_AROUND)


def flat_patches(lr: np.ndarray) -> np.ndarray:
    """Return where a thumbnail has patches of one colour, whichever it is, (16, 16) bool.

    Skin and hair hardly ever give two by two LR pixels of one colour; what was blotted out with a colour does.

    Parameters
    ----------
    lr : numpy.ndarray
        (16, 16, 3) uint8 RGB.

    Returns
    -------
    numpy.ndarray
        The patches and their neighbours: an LR pixel is made of twice its width, so one of pure colour has neighbours that
        are partly covered.
    """
    quads = np.lib.stride_tricks.sliding_window_view(lr.astype(np.int16), (2, 2), axis=(0, 1))
    alike = (np.ptp(quads, axis=(3, 4)) <= _ALIKE).all(axis=2)
    flat = np.zeros((LR_SIZE, LR_SIZE), bool)
    for down in (0, 1):
        for across in (0, 1):
            flat[down : LR_SIZE - 1 + down, across : LR_SIZE - 1 + across] |= alike
    parts, count = ndimage.label(flat)
    inner = np.zeros_like(flat)
    inner[2:-2, 2:-2] = True
    kept = np.zeros_like(flat)
    for number in range(1, count + 1):
        part = parts == number
        if part.sum() >= _LEAST_FLAT and (part & inner).sum() >= _INSIDE * part.sum():
            kept |= part
    return ndimage.binary_dilation(kept, structure=_AROUND)


def of_no_face(lr: np.ndarray, hidden: np.ndarray | None = None) -> np.ndarray:
    """Return where a thumbnail looks like no face, (16, 16) bool, by the model of `occface.restoring.lr_faces`.

    Parameters
    ----------
    lr : numpy.ndarray
        (16, 16, 3) uint8 RGB, aligned.
    hidden : numpy.ndarray, optional
        (16, 16) bool, what is known to be hidden, which the face is not fitted to.
    """
    strange = np.minimum(lr_faces().strangeness(lr, hidden), _STRANGEST)
    return _large(ndimage.uniform_filter(strange, 3, mode="nearest") > _STRANGE, _LEAST)


def _large(found: np.ndarray, least: int) -> np.ndarray:
    """Return what of a map stands together with enough others; neighbours across corners count."""
    parts, _ = ndimage.label(found, structure=_AROUND)
    counts = np.bincount(parts.ravel())
    counts[0] = 0
    return counts[parts] >= least


def _enlarged(cells: np.ndarray) -> np.ndarray:
    return cells.astype(np.uint8).repeat(HR_SIZE // LR_SIZE, axis=0).repeat(HR_SIZE // LR_SIZE, axis=1)


def flat_mask(lr: np.ndarray, fill: str) -> np.ndarray:
    """Return where a thumbnail has the colour of a flat fill, see `occface.occlusion.estimate`.

    Parameters
    ----------
    lr : numpy.ndarray
        (16, 16, 3) uint8 RGB.
    fill : str
        The fill whose colour is looked for; of one that is not flat, the colour that most pixels share.

    Returns
    -------
    numpy.ndarray
        (128, 128) uint8 {0, 1}, of whole LR pixels.
    """
    with torch.inference_mode():
        found = estimate_mask(to_float(lr[None]), flat_fill(fill), HR_SIZE)
    return found[0, 0].to(torch.uint8).numpy()
