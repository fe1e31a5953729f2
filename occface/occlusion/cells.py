"""From a mask of HR pixels to the LR pixels that it touches."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

__all__ = ["cell_mask"]


def cell_mask(mask: Tensor, cells: int = 16) -> Tensor:
    """Return the mask of all HR pixels whose LR pixel an occlusion touches.

    An LR pixel that averages over any occluded pixel is contaminated, and with it its whole cell of HR pixels.

    Parameters
    ----------
    mask : Tensor
        (B, 1, 128, 128) float, 1 where occluded.
    cells : int
        The LR face's height and width.

    Returns
    -------
    Tensor
        The shape of `mask`, 1 in every touched cell.
    """
    factor = mask.shape[-1] // cells
    return F.interpolate(F.max_pool2d(mask, factor), scale_factor=factor, mode="nearest")
