"""Pro-UIGAN: progressive upsampling and inpainting, led by landmark heatmaps, in three steps of training (the paper's method).

Step (i) trains UI-block 1 with the local discriminator on the 16x16 centre of its result, step (ii) block 2 behind a kept
block 1, step (iii) all blocks with both local discriminators and the global one. A step runs only the blocks it needs.

Presets. ``paper`` is the paper's size and schedule. ``cpu`` and ``demo`` spend little on 128x128, where an image costs most:
narrow last stages, no normalisation, small batches, most images in the cheap steps (i) and (ii), and a rate that falls to
the end. On two cores without vector bfloat16, ``demo`` trained at 82, 59 and 12 images a second in steps (i) to (iii). It
leaves the feature and style losses out: through the VGG trunk an image costs about five times as much as through all else.
``cpu`` keeps them.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from occface import losses
from occface.faces.heatmaps import gaussian_heatmaps
from occface.methods.base import Batch, Config, Phase, Role, TrainableMethod, evaluating
from occface.networks.discriminators import centre_crop, global_discriminator, local_discriminator
from occface.networks.uinet import Stages, UInet
from occface.networks.vgg import FeatureNetwork, Features, load_feature_network

__all__ = ["ProUIGAN"]

_PAPER: Config = {
    "channels": [128, 128, 128],
    "blocks": [8, 7, 6],
    "attention": "cosine_softmax",
    "norm": "batch",
    "skips": False,
    "discriminator_width": 64,
    "geometry_weight": 1.0,
    "feature_network": "vgg19",
    "feature_weight": 0.01,
    "style_weights": [10.0, 10.0, 1.0],
    "gan_loss": "bce",
    "gan_weight": 0.01,
    "batch_size": 16,
    "steps_1": 35_540,
    "steps_2": 35_540,
    "steps_3": 106_620,
    "lr_alone": 1e-3,
    "lr_joint": [1e-4, 1e-4, 1e-3],
    "lr_discriminator": 1e-4,
    "lr_schedule": "constant",
    "ema_decay": 0.999,
    "grad_clip": 1.0,
}

_SMALL: Config = _PAPER | {
    "attention": "cosine_linear",
    "skips": True,
    "discriminator_width": 16,
    "lr_alone": 2e-3,
    "lr_joint": [2e-3, 2e-3, 2e-3],
    "lr_schedule": "cosine",
}


class ProUIGAN(TrainableMethod):
    """Whole 128x128 faces from occluded 16x16 ones and the landmarks estimated from them; masks are not needed.

    Settings
    --------
    channels, blocks : three int
        Width and residual blocks of each UI-block.
    attention, norm, skips
        See `occface.networks.uinet.UIBlock`.
    feature_network : {"vgg19", "stlpips-vgg", "none"}
        What feature and style losses look through; ``none`` leaves both out.
    geometry_weight, feature_weight, style_weights, gan_weight
        Weights of the losses beside the intensity loss; the style loss has one for each stage.
    gan_loss : {"bce", "lsgan"}
        The paper's log loss, or the released code's least squares. A `gan_weight` of 0 leaves the discriminators out.
    steps_1, steps_2, steps_3 : int
        Lengths of the three steps of training.
    lr_alone, lr_joint, lr_discriminator
        Adam's learning rates: of the one block in steps (i) and (ii), of each block in step (iii), of the discriminators.
    lr_schedule : {"constant", "cosine"}
        Cosine brings the rates of step (iii) down to a fiftieth.
    """

    name = "pro-uigan"
    role: ClassVar[Role] = "joint"
    needs = frozenset({"landmarks"})
    PRESETS: ClassVar[dict[str, Config]] = {
        "paper": _PAPER,
        "gpu": _PAPER
        | {
            "channels": [64, 64, 64],
            "blocks": [3, 3, 3],
            "discriminator_width": 32,
            "batch_size": 32,
            "steps_1": 4000,
            "steps_2": 4000,
            "steps_3": 40_000,
            "lr_schedule": "cosine",
        },
        "cpu": _SMALL
        | {
            "channels": [64, 48, 24],
            "blocks": [3, 2, 1],
            "norm": "none",
            "feature_network": "stlpips-vgg",
            "batch_size": 8,
            "steps_1": 1500,
            "steps_2": 1000,
            "steps_3": 3000,
        },
        "demo": _SMALL
        | {
            "channels": [32, 24, 16],
            "blocks": [2, 2, 1],
            "norm": "none",
            "discriminator_width": 8,
            "feature_network": "none",
            "batch_size": 4,
            "steps_1": 600,
            "steps_2": 360,
            "steps_3": 300,
            "ema_decay": 0.99,
        },
        "test": _SMALL
        | {
            "channels": [16, 16, 16],
            "blocks": [1, 1, 1],
            "discriminator_width": 8,
            "feature_network": "none",
            "batch_size": 4,
            "steps_1": 2,
            "steps_2": 2,
            "steps_3": 4,
            "ema_decay": 0.9,
        },
    }

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.generator: UInet = UInet(
            config["channels"],
            config["blocks"],
            attention=config["attention"],
            norm=config["norm"],
            skips=config["skips"],
        )
        width = config["discriminator_width"]
        self.local_16 = local_discriminator(16, width)
        self.local_64 = local_discriminator(64, width)
        self.global_128 = global_discriminator(width)
        # Not a part of this module: its weights are no state of the training. Loaded when a loss first needs it.
        self._feature_network: list[FeatureNetwork | None] = []
        self._made: tuple[Tensor, Stages] | None = None

    def assets(self) -> tuple[str, ...]:
        """Return the feature network, if there is one."""
        name = self.config["feature_network"]
        return () if name == "none" else (name,)

    def phases(self) -> tuple[Phase, ...]:
        """Return the steps (i), (ii) and (iii) of training that have a length."""
        steps = {name: self.config[key] for name, key in (("i", "steps_1"), ("ii", "steps_2"), ("iii", "steps_3"))}
        return tuple(Phase(name, count) for name, count in steps.items() if count)

    def turns(self, phase: Phase) -> tuple[str, ...]:
        """Return the turns of a step; only UI-block 2's loss (Eq. 13) has no discriminator in it."""
        alone = phase.name == "ii" or not self.config["gan_weight"]
        return ("generator",) if alone else ("discriminator", "generator")

    def optimizer(self, phase: Phase, turn: str) -> torch.optim.Optimizer:
        """Return Adam over the blocks or discriminators of a phase."""
        if turn == "discriminator":
            judges = [self.local_16] if phase.name == "i" else [self.local_16, self.local_64, self.global_128]
            parameters = [parameter for judge in judges for parameter in judge.parameters()]
            return torch.optim.Adam(parameters, lr=self.config["lr_discriminator"], fused=True)
        if phase.name == "iii":
            rates = dict(enumerate(self.config["lr_joint"]))
        else:
            rates = {_blocks(phase) - 1: self.config["lr_alone"]}
        groups: list[dict[str, Any]] = [
            {"params": list(self.generator.blocks[number].parameters()), "lr": rate} for number, rate in rates.items()
        ]
        return torch.optim.Adam(groups, fused=True)

    def lr_scale(self, phase: Phase, progress: float) -> float:
        """Return 1, or the cosine from 1 to 0.02 in the phase that ends the training."""
        if self.config["lr_schedule"] == "constant" or phase.name != "iii":
            return 1.0
        return 0.02 + 0.98 * (1 + math.cos(math.pi * progress)) / 2

    def forward(self, batch: Batch, phase: Phase, turn: str) -> dict[str, Tensor]:
        """Return the weighted losses of a turn (Eq. 8, 9 and 12-15)."""
        if turn == "discriminator":
            return self._discriminator_losses(batch, phase)
        return self._generator_losses(batch, phase)

    def _discriminator_losses(self, batch: Batch, phase: Phase) -> dict[str, Tensor]:
        kind = self.config["gan_loss"]
        stages = self._stages(batch, phase)
        judged = {
            name: losses.discriminator_loss(judge(truth), judge(made.detach()), kind)
            for name, judge, made, truth in self._judged(stages, batch["hr"], phase)
        }
        self._made = batch["lr"], stages  # the generator's turn follows on the same weights and batch: no second pass for it
        return judged

    def _generator_losses(self, batch: Batch, phase: Phase) -> dict[str, Tensor]:
        stages = self._made[1] if self._made is not None and self._made[0] is batch["lr"] else self._stages(batch, phase)
        self._made = None
        config = self.config
        numbers = range(3) if phase.name == "iii" else [_blocks(phase) - 1]
        terms: dict[str, Tensor] = {}
        for number in numbers:
            made, maps = stages.images[number], stages.heatmaps[number]
            truth = _resized(batch["hr"], made.shape[-1])
            terms[f"intensity_{number + 1}"] = losses.intensity(made, truth)
            drawn = gaussian_heatmaps(batch["landmarks"], maps.shape[-1])
            terms[f"geometry_{number + 1}"] = config["geometry_weight"] * losses.geometry(maps, drawn)
            looked = self._look(made, truth)
            if looked is not None:
                ours, theirs = looked
                terms[f"feature_{number + 1}"] = config["feature_weight"] * losses.feature(ours.feature, theirs.feature)
                terms[f"style_{number + 1}"] = config["style_weights"][number] * losses.style(ours.styles, theirs.styles)
        if "discriminator" in self.turns(phase):
            for name, judge, made, _ in self._judged(stages, batch["hr"], phase):
                terms[f"adversarial_{name}"] = config["gan_weight"] * losses.generator_loss(judge(made), config["gan_loss"])
        return terms

    def _stages(self, batch: Batch, phase: Phase) -> Stages:
        """Run the blocks that the phase needs, those it keeps in evaluation mode, with a graph for the generator's turn."""
        for number, block in enumerate(self.generator.blocks):
            trained = phase.name == "iii" or number == _blocks(phase) - 1
            block.train(trained and self.training)
            block.requires_grad_(trained)
        return _hallucinated(self.generator, batch, _blocks(phase))

    def _judged(self, stages: Stages, hr: Tensor, phase: Phase) -> list[tuple[str, nn.Module, Tensor, Tensor]]:
        """Return name, discriminator, made and real crop of each that has a say in the phase."""
        small = stages.images[0]
        judged: list[tuple[str, nn.Module, Tensor, Tensor]] = [
            ("local_16", self.local_16, centre_crop(small, 16), centre_crop(_resized(hr, small.shape[-1]), 16))
        ]
        if phase.name == "iii":
            judged.append(("local_64", self.local_64, centre_crop(stages.images[2], 64), centre_crop(hr, 64)))
            judged.append(("global_128", self.global_128, stages.images[2], hr))
        return judged

    def _look(self, made: Tensor, truth: Tensor) -> tuple[Features, Features] | None:
        """Return both images through the feature network, or None where there is none."""
        if not self._feature_network:
            self._feature_network.append(load_feature_network(self.config["feature_network"], made.device))
        network = self._feature_network[0]
        if network is None:
            return None
        with torch.no_grad():
            theirs = network(truth)
        return network(made), theirs

    @torch.no_grad()
    def hallucinate(self, batch: Batch, generator: nn.Module | None = None) -> Tensor:
        """Return whole faces (B,3,128,128) of `batch["lr"]` and `batch["landmarks_lr"]`."""
        with evaluating(generator or self.generator) as network:
            return _hallucinated(network, batch, 3).images[2]

    @torch.no_grad()
    def preview(self, batch: Batch, generator: nn.Module | None = None) -> dict[str, Tensor]:
        """Return the three stages' pictures and each stage's strongest heatmap at every pixel, as grey pictures."""
        with evaluating(generator or self.generator) as network:
            stages = _hallucinated(network, batch, 3)
        pictures = {f"stage {number}": image for number, image in enumerate(stages.images, 1)}
        for number, maps in enumerate(stages.heatmaps, 1):
            pictures[f"heatmaps {number}"] = (2 * maps.amax(1, keepdim=True) - 1).expand(-1, 3, -1, -1)
        return pictures


def _blocks(phase: Phase) -> int:
    """Return how many UI-blocks a phase runs."""
    return {"i": 1, "ii": 2, "iii": 3}[phase.name]


def _resized(hr: Tensor, size: int) -> Tensor:
    """Return clean HR faces at a stage's size, bilinear with antialiasing."""
    if size == hr.shape[-1]:
        return hr
    return F.interpolate(hr, size=(size, size), mode="bilinear", antialias=True)


def _hallucinated(network: nn.Module, batch: Batch, stages: int) -> Stages:
    lr = batch["lr"]
    return network(lr, gaussian_heatmaps(batch["landmarks_lr"], lr.shape[-1]), stages=stages)
