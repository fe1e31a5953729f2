"""PSNR and pictures on a fixed slice of held-out faces while a training runs."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from occface.dataset.reader import DatasetFile, FacePairs, collate
from occface.images import to_uint8
from occface.methods.base import Batch, Role, TrainableMethod, evaluating
from occface.metrics.image import psnr

__all__ = ["Validation", "role_inputs"]

PAIRS = 32
PICTURED = 6


def role_inputs(role: Role, batch: Batch) -> Batch:
    """Return what a method of a role is validated on: what it was trained on, clean LR for SR, else clean HR as ``image``."""
    if role == "sr":
        return {**batch, "lr": batch["lr_clean"]}
    if role in {"inpaint", "landmarks", "parser"}:
        return {**batch, "image": batch["hr"]}
    return batch


class Validation:
    """Scores a method on up to 32 pairs, of the split ``val``, else ``test``, else ``train``, and pictures six of them.

    The pairs hold parsing maps where the method uses them and the data set has them.

    No choice in training rests on it: neither the number of steps nor the weights that are kept.
    """

    def __init__(self, method: TrainableMethod, data: DatasetFile, device: torch.device) -> None:
        self.method = method
        self.split = next(split for split in ("val", "test", "train") if split in data.splits)
        pairs = FacePairs(data, self.split, parsing="parsing" in method.uses and bool(data.classes))
        chosen = np.linspace(0, len(pairs) - 1, min(PAIRS, len(pairs))).round().astype(int).tolist()
        batch = role_inputs(method.role, collate([pairs[number] for number in chosen]))
        self.batch = {name: value.to(device) for name, value in batch.items()}
        self.last: dict[str, float] | None = None

    def _given(self, batch: Batch) -> dict[str, Tensor]:
        """Return what the method sees, as a picture: the LR face, or the HR face, with a grey hole if that is to be filled."""
        seen = {
            "inpaint": lambda: batch["image"] * (1 - batch["mask"]),
            "landmarks": lambda: batch["image"],
            "parser": lambda: batch["image"],
            "sr": lambda: batch["lr"],
            "joint": lambda: batch["lr"],
        }.get(self.method.role)
        return {"given": seen()} if seen else {}

    @torch.no_grad()
    def __call__(self, generator: torch.nn.Module) -> tuple[dict[str, float], dict[str, Tensor]]:
        """Return the scores by name, and the pictures of the sample strip by name.

        A method that measures itself gives its own scores, ``<name>_<split>``. Of all others ``psnr_<split>`` is the mean
        PSNR in dB of the whole face. Below it stands each of the method's results against HR at its size, and the smaller
        ones once more, as ``_enlarged``, by bicubic interpolation to HR's size.
        """
        with evaluating(generator):
            own = self.method.measures(self.batch, generator)
            results = {name: value.float() for name, value in self.method.results(self.batch, generator).items()}
            shown = {name: value[:PICTURED] for name, value in self.batch.items()}
            preview = self.method.preview(shown, generator)
            scores = self._compared(results, generator) if own is None else {f"{k}_{self.split}": v for k, v in own.items()}
        self.last = scores
        pictured = {name: value[:PICTURED] for name, value in results.items()}
        truth = {} if self.method.role == "generator" else {"truth": shown["hr"]}
        return scores, {**self._given(shown), **pictured, **preview, **truth}

    def _compared(self, results: dict[str, Tensor], generator: torch.nn.Module) -> dict[str, float]:
        """Return the PSNR of the whole faces and of each of the results."""
        hr = self.batch["hr"].float()
        size = hr.shape[-1]
        scores = {f"psnr_{self.split}": _score(self.method.hallucinate(self.batch, generator).float(), hr)}
        for name, result in results.items():
            scores[f"psnr_{self.split}/{name}"] = _score(result, _resized(hr, result.shape[-1]))
            if result.shape[-1] < size:
                scores[f"psnr_{self.split}/{name}_enlarged"] = _score(_enlarged(result, size), hr)
        return scores


def _score(results: Tensor, truth: Tensor) -> float:
    pairs = zip(to_uint8(results), to_uint8(truth), strict=True)
    return float(np.mean([psnr(result, whole) for result, whole in pairs]))


def _resized(hr: Tensor, size: int) -> Tensor:
    """Return clean HR faces as a stage of this size is to make them, bilinear with antialiasing."""
    if size == hr.shape[-1]:
        return hr
    return F.interpolate(hr, size=(size, size), mode="bilinear", antialias=True)


def _enlarged(images: Tensor, size: int) -> Tensor:
    return F.interpolate(images, size=(size, size), mode="bicubic", antialias=True).clamp(-1, 1)  # a = -0.5, as Pillow's
