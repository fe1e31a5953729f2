"""Lanczos interpolation as a method for occface: once this package is installed, ``lanczos`` may stand in any pipeline."""

import numpy as np
import torch
from PIL import Image

from occface.images import to_float, to_uint8
from occface.methods.base import Method

FILTERS = {"lanczos": Image.Resampling.LANCZOS, "hamming": Image.Resampling.HAMMING}


class Lanczos(Method):
    """Eight times larger by Pillow's Lanczos filter, or by another one of its filters: a setting."""

    name = "lanczos"
    role = "sr"
    PRESETS = {preset: {"filter": "lanczos"} for preset in ("test", "demo", "cpu", "gpu", "paper")}  # noqa: RUF012

    @torch.no_grad()
    def hallucinate(self, batch, generator=None):
        """Return `batch["lr"]` (B,3,16,16) in [-1,1] enlarged to (B,3,128,128)."""
        lr, kind = batch["lr"], FILTERS[self.config["filter"]]
        faces = [Image.fromarray(face).resize((128, 128), kind) for face in to_uint8(lr)]
        return to_float(np.stack(faces)).to(lr.device)
