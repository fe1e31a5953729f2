"""What hides a face, and what is left of it: occlusion masks, fills, and the way down to the low-resolution input."""

from __future__ import annotations

from occface.occlusion.degrade import FILLS, LR_KERNELS, PRESETS, downsample, occlude
from occface.occlusion.folder import MaskFolder
from occface.occlusion.masks import KINDS, check_kind, draw_mask, mask_family, needs_folder, needs_landmarks

__all__ = [
    "FILLS",
    "KINDS",
    "LR_KERNELS",
    "PRESETS",
    "MaskFolder",
    "check_kind",
    "downsample",
    "draw_mask",
    "mask_family",
    "needs_folder",
    "needs_landmarks",
    "occlude",
]
