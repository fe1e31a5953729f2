"""Where a face is hidden, when nobody says so: pixels that the model cannot explain, or those of the fill's colour."""

from __future__ import annotations

import numpy as np
import torch
from scipy import ndimage

from occface.dataset.schema import HR_SIZE, LR_SIZE
from occface.images import to_float
from occface.occlusion import downsample
from occface.occlusion.estimate import estimate_mask, flat_fill

__all__ = ["UNEXPLAINED", "flat_mask", "unexplained_mask"]

#: How far, in RGB with channels from 0 to 255, an LR pixel must lie from what the restored face would give there to count as
#: not explained. On 60 held-out faces of CelebA-HQ and a Pro-UIGAN trained with grey holes, 97 % of the pixels wholly inside
#: grey holes lie further away than that, and 0.7 % of those that no hole touches (0.5 % where there is no hole). Of holes in
#: other colours it is at most 5 %: what the model has not learnt to take away is not found.
UNEXPLAINED = 20.0
#: Fewer pixels than that beside each other are taken for chance.
_LEAST = 3


def unexplained_mask(lr: np.ndarray, restored: np.ndarray, lr_kernel: str) -> np.ndarray:
    """Return where a thumbnail holds what the model took away: what it did not take for a part of the face.

    The restored face is made small again and compared with the thumbnail. A model that inpaints paints over what it has learnt
    to know as a hole, so these pixels differ. What it has not learnt to know, it explains away as part of the face: such an
    occluder is not found.

    Parameters
    ----------
    lr : numpy.ndarray
        (16, 16, 3) uint8 RGB, the thumbnail.
    restored : numpy.ndarray
        (128, 128, 3) uint8 RGB, what a joint method made of it.
    lr_kernel : str
        How thumbnails are made, see `occface.occlusion.LR_KERNELS`.

    Returns
    -------
    numpy.ndarray
        (128, 128) uint8 {0, 1}, of whole LR pixels: those that differ by more than `UNEXPLAINED`, three or more beside each
        other, and their neighbours, into which a hole reaches too.
    """
    again = downsample(restored, LR_SIZE, lr_kernel)
    far = np.linalg.norm(again.astype(np.float64) - lr, axis=-1) > UNEXPLAINED
    around = np.ones((3, 3), bool)
    parts, _ = ndimage.label(far, structure=around)
    counts = np.bincount(parts.ravel())
    counts[0] = 0
    kept = ndimage.binary_dilation(counts[parts] >= _LEAST, structure=around)
    return kept.astype(np.uint8).repeat(HR_SIZE // LR_SIZE, axis=0).repeat(HR_SIZE // LR_SIZE, axis=1)


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
