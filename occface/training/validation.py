"""PSNR and pictures on a fixed slice of held-out faces while a training runs."""

from __future__ import annotations

import numpy as np
import torch

from occface.dataset.reader import DatasetFile, FacePairs, collate
from occface.images import to_uint8
from occface.methods.base import Batch, Role, TrainableMethod, evaluating
from occface.metrics.image import psnr

__all__ = ["Validation", "role_inputs"]

PAIRS = 32
PICTURED = 6


def role_inputs(role: Role, batch: Batch) -> Batch:
    """Return what a method of a role is validated on: what it was trained on, clean LR for SR, clean HR for inpainting."""
    if role == "sr":
        return {**batch, "lr": batch["lr_clean"]}
    if role == "inpaint":
        return {**batch, "image": batch["hr"]}
    return batch


class Validation:
    """Scores a method on up to 32 pairs, of the split ``val``, else ``test``, else ``train``, and pictures six of them.

    No choice in training rests on it: neither the number of steps nor the weights that are kept.
    """

    def __init__(self, method: TrainableMethod, data: DatasetFile, device: torch.device) -> None:
        self.method = method
        self.split = next(split for split in ("val", "test", "train") if split in data.splits)
        pairs = FacePairs(data, self.split)
        chosen = np.linspace(0, len(pairs) - 1, min(PAIRS, len(pairs))).round().astype(int).tolist()
        batch = role_inputs(method.role, collate([pairs[number] for number in chosen]))
        self.batch = {name: value.to(device) for name, value in batch.items()}
        self.last: dict[str, float] = {}

    def _given(self, batch: Batch) -> torch.Tensor:
        """Return what the method sees, as a picture: the LR face, or the HR face with its hole grey."""
        return batch["image"] * (1 - batch["mask"]) if self.method.role == "inpaint" else batch["lr"]

    @torch.no_grad()
    def __call__(self, generator: torch.nn.Module) -> tuple[dict[str, float], dict[str, torch.Tensor]]:
        """Return the mean PSNR in dB by name, and the pictures of the sample strip by name."""
        with evaluating(generator):
            results = to_uint8(self.method.hallucinate(self.batch, generator))
            shown = {name: value[:PICTURED] for name, value in self.batch.items()}
            pictures = {"given": self._given(shown), **self.method.preview(shown, generator), "truth": shown["hr"]}
        truth = to_uint8(self.batch["hr"])
        score = float(np.mean([psnr(result, whole) for result, whole in zip(results, truth, strict=True)]))
        self.last = {f"psnr_{self.split}": score}
        return self.last, pictures
