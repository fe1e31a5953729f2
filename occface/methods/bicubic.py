"""Bicubic interpolation: the super-resolver that every other one must beat."""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from occface.methods.base import Batch, Config, Method, Role

__all__ = ["Bicubic"]


class Bicubic(Method):
    """Eight times larger by bicubic interpolation with a = -0.5 (Pillow's), clamped to the range. Nothing is trained."""

    name = "bicubic"
    role: ClassVar[Role] = "sr"
    PRESETS: ClassVar[dict[str, Config]] = {name: {} for name in ("test", "demo", "cpu", "gpu", "paper")}

    @torch.no_grad()
    def hallucinate(self, batch: Batch, generator: nn.Module | None = None) -> Tensor:
        """Return `batch["lr"]` (B,3,16,16) enlarged to (B,3,128,128)."""
        lr = batch["lr"].float()
        return F.interpolate(lr, size=(128, 128), mode="bicubic", antialias=True).clamp(-1, 1)  # antialias: a = -0.5, not -0.75
