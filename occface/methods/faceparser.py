"""The face parser: which part of a face each pixel of an HR picture belongs to, by BiSeNet, learnt from parsing maps.

It makes no faces. Losses and priors of other methods ask it, and so does the score that compares the parts of two faces.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from occface.errors import UsageError
from occface.faces.parsing import CLASSES_11, CLASSES_19, UNKNOWN, class_table
from occface.methods.base import Batch, Config, Phase, Role, TrainableMethod, evaluating
from occface.methods.schedules import cosine_fall
from occface.networks.faceparser import HEADS, BiSeNet
from occface.registry import did_you_mean

if TYPE_CHECKING:
    from occface.dataset.reader import DatasetFile

__all__ = ["COLOURS", "FaceParser", "coloured", "hard_cross_entropy", "mean_iou"]

_PAPER: Config = {
    "classes": 19,
    "width": 64,
    "size": 512,
    "hard_below": 0.7,
    "auxiliary_weight": 1.0,
    "optimizer": "sgd",
    "lr": 1e-2,
    "head_rate": 10.0,
    "momentum": 0.9,
    "weight_decay": 5e-4,
    "lr_schedule": "poly",
    "warmup_steps": 1000,
    "steps": 80_000,
    "batch_size": 16,
    "warp": 1.0,
    "colour": 1.0,
    "ema_decay": 0.0,
    "grad_clip": 0.0,
}

_SMALL: Config = _PAPER | {
    "width": 16,
    "size": 256,
    "auxiliary_weight": 0.4,
    "optimizer": "adamw",
    "lr": 3e-3,
    "head_rate": 1.0,
    "weight_decay": 1e-2,
    "lr_schedule": "cosine",
    "warmup_steps": 50,
    "ema_decay": 0.99,
    "grad_clip": 1.0,
}

_CLASSES = {11: CLASSES_11, 19: CLASSES_19}
_CHOICES = {"optimizer": ("adamw", "sgd"), "lr_schedule": ("constant", "cosine", "poly")}

_FIRST_RATE = 1e-3
"""What the learning rate is multiplied by in the very first step of a warm-up: 1e-5 of 1e-2, as published."""

_LEAST = 1e-30
"""Added to probabilities before their logarithm, which has none at 0."""

_FEWEST_HARD = 16
"""At least one pixel in so many is learnt from, as published."""

#: What a class looks like in a picture, RGB; the subject's right is a shade of its left.
COLOURS: dict[str, tuple[int, int, int]] = {
    "background": (40, 40, 48),
    "skin": (238, 190, 150),
    "nose": (240, 130, 90),
    "eye_g": (110, 110, 220),
    "l_eye": (30, 170, 230),
    "r_eye": (20, 110, 180),
    "l_brow": (150, 90, 40),
    "r_brow": (110, 60, 20),
    "l_ear": (200, 140, 200),
    "r_ear": (150, 90, 150),
    "mouth": (250, 250, 250),
    "u_lip": (220, 40, 70),
    "l_lip": (160, 20, 60),
    "hair": (100, 140, 60),
    "hat": (250, 210, 40),
    "ear_r": (255, 240, 140),
    "neck_l": (140, 230, 210),
    "neck": (200, 160, 120),
    "cloth": (70, 120, 120),
}


class FaceParser(TrainableMethod):
    """Tell the parts of a face apart in a 128x128 HR picture.

    Settings
    --------
    classes : int
        11, those of Helen, or 19, those of CelebAMask-HQ. Maps with more classes are merged, see
        `occface.faces.parsing.class_table`.
    width, size
        See `occface.networks.faceparser.BiSeNet`.
    hard_below : float
        Only pixels whose true class has a smaller probability are learnt from (online hard example mining), but no fewer
        than one in sixteen of all pixels, known or not; 1 takes all of them.
    auxiliary_weight : float
        Weight of each of the two heads on coarser features; 1 in the original.
    optimizer, lr, momentum, weight_decay
        ``sgd`` with `momentum`, or ``adamw`` without. Neither biases nor normalisations decay.
    head_rate : float
        What the learning rate of the fusion and of the heads is multiplied by; 10 in the original, whose trunk comes
        trained on ImageNet.
    lr_schedule, warmup_steps, steps
        After an exponential warm-up from a thousandth of the rate: ``poly``, to 0 with power 0.9; ``cosine``, to a
        fiftieth; or ``constant``.
    """

    name = "face-parser"
    role: ClassVar[Role] = "parser"
    uses: ClassVar[frozenset[str]] = frozenset({"parsing"})
    PRESETS: ClassVar[dict[str, Config]] = {
        "paper": _PAPER,
        "gpu": _PAPER
        | {
            "size": 256,
            "optimizer": "adamw",
            "lr": 1e-3,
            "head_rate": 1.0,
            "weight_decay": 1e-2,
            "lr_schedule": "cosine",
            "warmup_steps": 200,
            "steps": 10_000,
            "batch_size": 32,
            "ema_decay": 0.999,
            "grad_clip": 1.0,
        },
        "cpu": _SMALL | {"steps": 1250},
        "demo": _SMALL | {"classes": 11, "size": 128, "batch_size": 8, "steps": 150, "warmup_steps": 10, "ema_decay": 0.95},
        "test": _SMALL
        | {"classes": 11, "width": 4, "size": 64, "batch_size": 4, "steps": 4, "warmup_steps": 1, "ema_decay": 0.9},
    }

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        if config["classes"] not in _CLASSES:
            raise UsageError(f"the face parser tells 11 or 19 classes apart, got classes = {config['classes']}")
        for key, choices in _CHOICES.items():
            if config[key] not in choices:
                raise UsageError(f"unknown {key} '{config[key]}' of the face parser: {did_you_mean(config[key], choices)}")
        if config["batch_size"] < 2:
            raise UsageError("the face parser normalises over a batch: expected a batch_size of at least 2, got 1")
        self.class_names: tuple[str, ...] = _CLASSES[config["classes"]]
        self.generator: BiSeNet = BiSeNet(config["classes"], config["width"], config["size"])
        self._merged: tuple[tuple[str, ...], Tensor] | None = None
        # Until a data set says otherwise, maps are in the parser's own classes.
        self.register_buffer("table", class_table(self.class_names, self.class_names), persistent=False)

    def prepare(self, data: DatasetFile) -> None:
        """Look up the classes of the data set's parsing maps.

        Raises
        ------
        UsageError
            If it has no maps.
        """
        if not data.classes:
            raise UsageError(
                f"the face parser learns from parsing maps, and {data.path} has none: make a data set from a source that has "
                "them (CelebAMask-HQ, Helen with its labels)"
            )
        self.get_buffer("table").copy_(class_table(data.classes, self.class_names))

    def phases(self) -> tuple[Phase, ...]:
        """Return the one phase there is."""
        return (Phase("parsing", self.config["steps"]),)

    def turns(self, phase: Phase) -> tuple[str, ...]:
        """Return the one turn of a step."""
        return ("parser",)

    def optimizer(self, phase: Phase, turn: str) -> torch.optim.Optimizer:
        """Return the optimizer: trunk and heads, what decays of each and what does not."""
        rate, decay = self.config["lr"], self.config["weight_decay"]
        groups = [
            {
                "params": [p for name, p in self.generator.named_parameters() if _kind(name, p) == (heads, kernels)],
                "lr": rate * (self.config["head_rate"] if heads else 1),
                "weight_decay": decay if kernels else 0.0,
            }
            for heads in (False, True)
            for kernels in (True, False)
        ]
        if self.config["optimizer"] == "sgd":
            return torch.optim.SGD(groups, lr=rate, momentum=self.config["momentum"], fused=True)
        return torch.optim.AdamW(groups, lr=rate, fused=True)

    def lr_scale(self, phase: Phase, progress: float) -> float:
        """Return the warm-up's rise, then the fall that the schedule wants."""
        warmup = min(self.config["warmup_steps"] / phase.steps, 1.0)
        if progress < warmup:
            return _FIRST_RATE ** (1 - progress / warmup)
        if self.config["lr_schedule"] == "constant" or warmup == 1:
            return 1.0
        done = (progress - warmup) / (1 - warmup)
        if self.config["lr_schedule"] == "poly":
            return (1 - done) ** 0.9
        return cosine_fall(done)

    def forward(self, batch: Batch, phase: Phase, turn: str) -> dict[str, Tensor]:
        """Return the losses of the heads against the map of each face."""
        weight = self.config["auxiliary_weight"]
        heads = self.generator(batch["hr"], heads=HEADS if weight else 1)
        truth = self._truth(batch)
        terms = {"parsing": hard_cross_entropy(heads[0], truth, self.config["hard_below"])}
        for name, logits in zip(("sixteenth", "thirty-second"), heads[1:], strict=False):
            terms[name] = weight * hard_cross_entropy(logits, truth, self.config["hard_below"])
        return terms

    def _truth(self, batch: Batch) -> Tensor:
        return self.get_buffer("table")[batch["parsing"].long()].long()

    def logits(self, images: Tensor, names: Sequence[str] | None = None, generator: nn.Module | None = None) -> Tensor:
        """Return the logits of each pixel's class, differentiable in the pictures.

        Parameters
        ----------
        images : Tensor
            (B,3,128,128) RGB in [-1,1].
        names : sequence of str, optional
            The classes wanted; the parser's own by default. Where they tell less apart, the probabilities of merged classes
            are added.
        generator : Module, optional
            The network to use instead of the method's own.

        Returns
        -------
        Tensor
            (B,len(names),128,128) float32.

        Raises
        ------
        UsageError
            If the parser does not tell the classes wanted apart.
        """
        with evaluating(generator or self.generator) as network:
            logits = network(images)[0]
        if names is None or tuple(names) == self.class_names:
            return logits
        missing = [name for name in names if name not in self.class_names]
        if missing:
            raise UsageError(
                f"this face parser tells {len(self.class_names)} classes apart, and {', '.join(missing)} is none of them: "
                "train one with --set classes=19"
            )
        belongs = self._merging(tuple(names)).to(logits.device)
        # One matrix, moved to the device once: lists of indices would be copied there at each step.
        highest = logits.amax(1, keepdim=True).detach()
        added = torch.einsum("wk,bkyx->bwyx", belongs, (logits - highest).exp())
        return (added + _LEAST).log() + highest

    def _merging(self, names: tuple[str, ...]) -> Tensor:
        """Return (classes wanted, own classes): 1 where an own class belongs to a wanted one, else 0."""
        if self._merged is None or self._merged[0] != names:
            places = class_table(self.class_names, names)[: len(self.class_names)].long()
            belongs = torch.zeros(len(names), len(self.class_names))
            belongs[places, torch.arange(len(self.class_names))] = 1.0
            self._merged = names, belongs.to(self.get_buffer("table").device)
        return self._merged[1]

    @torch.no_grad()
    def parse(self, images: Tensor, names: Sequence[str] | None = None, generator: nn.Module | None = None) -> Tensor:
        """Return the likeliest class of each pixel, (B,128,128) uint8; see `logits`."""
        return self.logits(images, names, generator).argmax(1).to(torch.uint8)

    def hallucinate(self, batch: Batch, generator: nn.Module | None = None) -> Tensor:
        """Return `batch["image"]` (B,3,128,128) parsed, as a picture of coloured parts: a parser makes no faces."""
        return coloured(self.parse(batch["image"], generator=generator), self.class_names)

    def preview(self, batch: Batch, generator: nn.Module | None = None) -> dict[str, Tensor]:
        """Return the true maps, coloured alike."""
        return {"true_parts": coloured(self._truth(batch), self.class_names)}

    def measures(self, batch: Batch, generator: nn.Module | None = None) -> dict[str, float]:
        """Return the mean IoU (`mean_iou`) and the share of pixels told rightly, of the pixels whose class is known."""
        truth = self._truth(batch).cpu()  # not every device counts in float64
        found = self.parse(batch["image"], generator=generator).long().cpu()
        known = truth != UNKNOWN
        if not known.any():
            return {}
        ious = mean_iou(found, truth, len(self.class_names))
        return {"iou": float(ious.nanmean()), "accuracy": float((found == truth)[known].float().mean())}


def _kind(name: str, parameter: Tensor) -> tuple[bool, bool]:
    """Return whether a parameter of the network belongs to the fusion or a head, and whether it is a kernel."""
    return not name.startswith("cp."), parameter.dim() > 1


def hard_cross_entropy(logits: Tensor, truth: Tensor, hard_below: float) -> Tensor:
    """Return the mean cross-entropy of the hard pixels (online hard example mining).

    Parameters
    ----------
    logits : Tensor
        (B,K,H,W).
    truth : Tensor
        (B,H,W) int64, `UNKNOWN` where there is nothing to learn.
    hard_below : float
        A pixel is hard if its true class has a smaller probability. If that is less than one pixel in sixteen, the hardest
        sixteenth of all pixels is taken.

    Returns
    -------
    Tensor
        A scalar; 0 where nothing is known.
    """
    each = F.cross_entropy(logits.float(), truth, ignore_index=UNKNOWN, reduction="none").flatten()
    measured = each.detach()
    hardest = measured.topk(max(measured.numel() // _FEWEST_HARD, 1)).values[-1]
    chosen = ((torch.exp(-measured) < hard_below) | (measured >= hardest)) & (truth.flatten() != UNKNOWN)
    return (each * chosen).sum() / chosen.sum().clamp(min=1)


def mean_iou(found: Tensor, truth: Tensor, classes: int) -> Tensor:
    """Return for each face the mean, over the classes that are in its true map, of intersection over union.

    Parameters
    ----------
    found, truth : Tensor
        (B,H,W) int64; pixels whose true class is `UNKNOWN` count nowhere.
    classes : int
        How many classes there are; the background is one of them.

    Returns
    -------
    Tensor
        (B,) float64; NaN where nothing is known.

    Examples
    --------
    >>> mean_iou(torch.tensor([[[0, 1, 1, 1]]]), torch.tensor([[[0, 0, 1, 1]]]), 3)
    tensor([0.5833], dtype=torch.float64)
    """
    scores = []
    for ours, theirs in zip(found, truth, strict=True):
        known = theirs != UNKNOWN
        pairs = torch.bincount(theirs[known] * classes + ours[known], minlength=classes**2).view(classes, classes).double()
        both, true, made = pairs.diagonal(), pairs.sum(1), pairs.sum(0)
        scores.append((both / (true + made - both))[true > 0].mean())
    return torch.stack(scores)


def coloured(parsing: Tensor, names: Sequence[str]) -> Tensor:
    """Return parsing maps (B,H,W) in the classes `names` as pictures (B,3,H,W) in [-1,1]; what is unknown is black."""
    palette = torch.zeros(256, 3, device=parsing.device)
    palette[: len(names)] = torch.tensor([COLOURS[name] for name in names], dtype=torch.float32, device=parsing.device)
    return palette[parsing.long()].permute(0, 3, 1, 2) / 127.5 - 1
