"""What hides a face, and what is left of it: occlusion masks, fills, and the way down to the low-resolution input."""

from __future__ import annotations

from occface.occlusion.degrade import FILLS, LR_KERNELS, PRESETS, downsample, occlude
from occface.occlusion.masks import KINDS, draw_mask, mask_family

__all__ = ["FILLS", "KINDS", "LR_KERNELS", "PRESETS", "downsample", "draw_mask", "mask_family", "occlude"]
