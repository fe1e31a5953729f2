"""FCSR-GAN (Cai et al. 2019): the hole of an enlarged LR face is filled by partial convolutions, then the face is sharpened.

It is given the mask. Training has two phases: ``completion``, the U-Net alone, and ``joint``, everything, with a critic of the
Wasserstein kind. In a step of ``joint`` the critic takes ``critic_steps`` turns, each on its own rows of the batch, and the
generator one on the last rows: five iterations of the original, whose generator learns at every fifth, are one step here.
``docs/methods/fcsr-gan.md`` says what is the original's and what is not.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from occface import losses
from occface.errors import UsageError
from occface.faces.heatmaps import gaussian_heatmaps
from occface.faces.parsing import CLASSES_11, UNKNOWN, class_table
from occface.methods.base import Batch, Config, Phase, Role, TrainableMethod, evaluating
from occface.methods.schedules import cosine_fall
from occface.networks.fcsrgan import CoarseNet, Critic, Faces, FCSRNet, FineNet, PartialUNet, PriorNet
from occface.networks.layers import enlarged
from occface.networks.vgg import Features, Judge, load_feature_network
from occface.occlusion.cells import cell_mask
from occface.registry import did_you_mean

if TYPE_CHECKING:
    from occface.dataset.reader import DatasetFile

__all__ = ["FCSRGAN", "gradient_penalty"]

_LOG = logging.getLogger(__name__)
_MAPS, _LANDMARKS = 64, 68
_FEATURE_NETWORKS = ("none", "stlpips-vgg", "vgg16")
_SCHEDULES = ("linear", "cosine")
_KEPT = 50 / 60
"""Of a phase's steps, those at the full learning rate in the schedule ``linear``: 50 epochs, then 10 of decay."""

_PAPER: Config = {
    "width": 64,
    "coarse_width": 64,
    "coarse_blocks": 3,
    "prior_width": 256,
    "prior_blocks": 3,
    "stacks": 2,
    "bottlenecks": 4,
    "fine_width": 64,
    "encoder_blocks": 12,
    "decoder_blocks": 3,
    "norm": "batch",
    "skips": False,
    "discriminator_width": 64,
    "hole_weight": 6.0,
    "valid_weight": 1.0,
    "style_weight": 120.0,
    "perceptual_weight": 0.05,
    "total_variation_weight": 0.1,
    "coarse_weight": 1.0,
    "landmark_weight": 1.0,
    "parsing_weight": 0.1,
    "fine_weight": 1.0,
    "fine_perceptual_weight": 0.05,
    "adversarial_weight": 0.01,
    "penalty_weight": 0.1,
    "penalty_alone": True,
    "critic_steps": 5,
    "feature_network": "vgg16",
    "batch_size": 40,
    "steps_completion": 42_648,
    "steps_joint": 42_648,
    "lr": 1e-4,
    "lr_critic": 1e-4,
    "lr_schedule": "linear",
    "ema_decay": 0.999,
    "grad_clip": 0.0,
}

_SMALL: Config = _PAPER | {
    "width": 20,
    "coarse_width": 16,
    "coarse_blocks": 1,
    "prior_width": 32,
    "prior_blocks": 1,
    "stacks": 1,
    "bottlenecks": 1,
    "fine_width": 20,
    "encoder_blocks": 3,
    "decoder_blocks": 1,
    "skips": True,
    "discriminator_width": 8,
    "style_weight": 0.0,
    "perceptual_weight": 0.0,
    "coarse_weight": 10.0,
    "parsing_weight": 0.01,
    "fine_weight": 10.0,
    "fine_perceptual_weight": 0.0,
    "adversarial_weight": 0.0,
    "penalty_alone": False,
    "critic_steps": 1,
    "feature_network": "none",
    "batch_size": 8,
    "lr": 2e-3,
    "lr_schedule": "cosine",
    "grad_clip": 1.0,
}


class FCSRGAN(TrainableMethod):
    """Whole 128x128 faces from occluded 16x16 ones and their masks.

    Settings
    --------
    width : int
        Channels of the U-Net's first level.
    coarse_width, coarse_blocks, prior_width, prior_blocks, stacks, bottlenecks, fine_width, encoder_blocks, decoder_blocks
        See `CoarseNet`, `PriorNet` and `FineNet`.
    norm : {"batch", "group", "none"}
        Normalisation of all but the hourglasses and the critic.
    skips : bool
        Whether coarse and fine picture are drawn as corrections to what comes in; not so in the original.
    discriminator_width : int
        Channels of the critic's first layer.
    hole_weight, valid_weight, style_weight, perceptual_weight, total_variation_weight : float
        Weights of the completion's losses, against the clean LR face enlarged.
    coarse_weight, landmark_weight, parsing_weight, fine_weight, fine_perceptual_weight : float
        Weights of the losses of coarse picture, priors and fine picture. Without parsing maps in the data set the parsing
        loss is left out.
    adversarial_weight, penalty_weight : float
        Weights of the critic's verdicts and of its gradient penalty; with an adversarial weight of 0 there is no critic.
    penalty_alone : bool
        Whether the critic takes a turn for the penalty by itself, as released, or one for both.
    critic_steps : int
        How many parts a batch is divided into. The critic learns on each in turn, the generator on the last.
    feature_network : {"vgg16", "stlpips-vgg", "none"}
        What style and perceptual losses look through.
    steps_completion, steps_joint : int
        Lengths of the two phases.
    lr, lr_critic, lr_schedule
        Adam's learning rates. In each phase ``linear`` keeps them for five sixths of the steps, then brings them down to 0;
        ``cosine`` brings them down to a fiftieth.
    """

    name = "fcsr-gan"
    role: ClassVar[Role] = "joint"
    needs = frozenset({"mask"})
    uses: ClassVar[frozenset[str]] = frozenset({"parsing"})
    PRESETS: ClassVar[dict[str, Config]] = {
        "paper": _PAPER,
        "gpu": _PAPER
        | {
            "width": 48,
            "prior_width": 128,
            "stacks": 1,
            "bottlenecks": 1,
            "encoder_blocks": 6,
            "discriminator_width": 32,
            "batch_size": 32,
            "critic_steps": 2,
            "penalty_alone": False,
            "steps_completion": 4000,
            "steps_joint": 16_000,
            "lr": 5e-4,
            "lr_critic": 2e-4,
            "lr_schedule": "cosine",
            "grad_clip": 1.0,
        },
        "cpu": _SMALL | {"steps_completion": 300, "steps_joint": 900},
        "demo": _SMALL
        | {
            "width": 16,
            "prior_width": 24,
            "fine_width": 16,
            "encoder_blocks": 2,
            "batch_size": 4,
            "steps_completion": 60,
            "steps_joint": 240,
            "ema_decay": 0.98,
        },
        "test": _SMALL
        | {
            "width": 4,
            "coarse_width": 8,
            "prior_width": 16,
            "fine_width": 8,
            "encoder_blocks": 1,
            "discriminator_width": 4,
            "adversarial_weight": 0.01,
            "critic_steps": 2,
            "batch_size": 4,
            "steps_completion": 2,
            "steps_joint": 2,
            "ema_decay": 0.9,
        },
    }

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        _check(config)
        norm, maps = config["norm"], _LANDMARKS + len(CLASSES_11)
        self.generator: FCSRNet = FCSRNet(
            PartialUNet(config["width"], norm),
            CoarseNet(config["coarse_width"], config["coarse_blocks"], norm, config["skips"]),
            PriorNet(
                config["prior_width"],
                config["prior_blocks"],
                config["stacks"],
                config["bottlenecks"],
                _LANDMARKS,
                len(CLASSES_11),
                norm,
            ),
            FineNet(config["fine_width"], config["encoder_blocks"], config["decoder_blocks"], maps, norm, config["skips"]),
        )
        self.critic = Critic(config["discriminator_width"])
        self._judge: Judge[Features] = Judge(partial(load_feature_network, config["feature_network"]))
        self._classes: Tensor | None = None  # from the data set's classes to the eleven; None without maps
        self._critics_optimizer: torch.optim.Optimizer | None = None
        self._made: _Made | None = None

    def assets(self) -> tuple[str, ...]:
        """Return the feature network if a loss looks through it."""
        return (self.config["feature_network"],) if _looks(self.config) else ()

    def prepare(self, data: DatasetFile) -> None:
        """Look up the classes of the data set's parsing maps, or say that there are none."""
        self._classes = class_table(data.classes, CLASSES_11) if data.classes else None
        if self._classes is None and self.config["parsing_weight"]:
            _LOG.info("fcsr-gan: the data set has no parsing maps, so the parsing loss is left out (weight 0)")

    def phases(self) -> tuple[Phase, ...]:
        """Return the phases that have a length."""
        names = ("completion", "joint")
        return tuple(Phase(name, self.config[f"steps_{name}"]) for name in names if self.config[f"steps_{name}"])

    def turns(self, phase: Phase) -> tuple[str, ...]:
        """Return the turns of a step: those of the critic on each part of the batch, then the generator's."""
        if phase.name == "completion" or not self.config["adversarial_weight"]:
            return ("generator",)
        kinds = ("critic", "penalty") if self.config["penalty_alone"] else ("critic",)
        parts = range(1, self.config["critic_steps"] + 1)
        return (*(f"{kind}_{part}" for part in parts for kind in kinds), "generator")

    def optimizer(self, phase: Phase, turn: str) -> torch.optim.Optimizer:
        """Return Adam over the U-Net, over all of the generator, or over the critic, whose turns share one optimizer."""
        if turn == "generator":
            trained: nn.Module = self.generator.completion if phase.name == "completion" else self.generator
            return torch.optim.Adam(trained.parameters(), lr=self.config["lr"], betas=(0.5, 0.999), fused=True)
        first = self.turns(phase)[0]
        if turn == first or self._critics_optimizer is None:
            self._critics_optimizer = torch.optim.Adam(
                self.critic.parameters(), lr=self.config["lr_critic"], betas=(0.5, 0.999), fused=True
            )
        return self._critics_optimizer

    def lr_scale(self, phase: Phase, progress: float) -> float:
        """Return what the schedule says of this phase: 1 and then a line towards 0, or the cosine from 1 to 0.02."""
        if self.config["lr_schedule"] == "linear":
            return min(1.0, (1 - progress) / (1 - _KEPT))
        return cosine_fall(progress)

    def forward(self, batch: Batch, phase: Phase, turn: str) -> dict[str, Tensor]:
        """Return the weighted losses of a turn."""
        self._rows_of_a_part(batch)  # refused at the first step of the first phase, not when its cost has been paid
        if phase.name == "completion":
            return self._completion_losses(*self.generator.complete(*_entering(batch)), batch)
        kind, _, part = turn.partition("_")
        made = self._pass(batch, int(part) if part else self._parts)
        if kind == "generator":
            self._made = None
            return self._joint_losses(made.rows, made.faces)
        real, fake = _unit(made.rows["hr"]), made.faces.fine.detach()
        terms = {}
        if kind == "critic":
            verdict = self.critic(fake).float().mean() - self.critic(real).float().mean()
            terms["wasserstein"] = self.config["adversarial_weight"] * verdict
        if kind == "penalty" or not self.config["penalty_alone"]:
            terms["penalty"] = self.config["penalty_weight"] * gradient_penalty(self.critic, real, fake)
        return terms

    @property
    def _parts(self) -> int:
        """How many parts a batch is divided into."""
        return self.config["critic_steps"] if self.config["adversarial_weight"] else 1

    def _rows_of_a_part(self, batch: Batch) -> int:
        parts = self._parts if self.config["steps_joint"] else 1
        size, left = divmod(len(batch["lr"]), parts)
        if left:
            raise UsageError(
                f"expected a batch (of each process) that is a multiple of critic_steps={parts}, got {len(batch['lr'])}"
            )
        return size

    def _pass(self, batch: Batch, part: int) -> _Made:
        """Return a part of the batch, counted from 1, with what the generator makes of it.

        Turns on the same part follow each other while the generator's weights stay, so one pass serves them. That of the last
        part is the generator's as well, and has a graph.
        """
        size = self._rows_of_a_part(batch)
        if self._made is None or self._made.batch is not batch["lr"] or self._made.part != part:
            rows = {name: value[(part - 1) * size : part * size] for name, value in batch.items()}
            learns = part == self._parts
            self.generator.requires_grad_(learns)
            with torch.set_grad_enabled(learns and torch.is_grad_enabled()):
                self._made = _Made(batch["lr"], part, rows, self.generator(*_entering(rows)))
        return self._made

    def _completion_losses(self, drawn: Tensor, completed: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Return the losses of filled holes, against the clean LR face enlarged."""
        config = self.config
        hole = cell_mask(batch["mask"])
        target = _unit(enlarged(batch["lr_clean"]))
        difference = (drawn.float() - target).abs()
        terms = {
            "hole": config["hole_weight"] * (difference * hole).mean(),
            "valid": config["valid_weight"] * (difference * (1 - hole)).mean(),
        }
        if config["total_variation_weight"]:
            terms["total_variation"] = config["total_variation_weight"] * losses.total_variation(completed)
        if config["style_weight"] or config["perceptual_weight"]:
            theirs = self._styles(target)
            ours = [self._styles(drawn), self._styles(completed)]
            if config["style_weight"]:
                terms["style"] = config["style_weight"] * torch.stack([losses.style(x, theirs) for x in ours]).sum()
            if config["perceptual_weight"]:
                terms["perceptual"] = config["perceptual_weight"] * torch.stack([_perceptual(x, theirs) for x in ours]).sum()
        return terms

    def _joint_losses(self, rows: Batch, faces: Faces) -> dict[str, Tensor]:
        """Return the losses of all that the generator makes."""
        config = self.config
        hr = _unit(rows["hr"])
        terms = self._completion_losses(faces.drawn, faces.completed, rows)
        terms["coarse"] = config["coarse_weight"] * losses.intensity(faces.coarse, hr)
        terms["fine"] = config["fine_weight"] * losses.intensity(faces.fine, hr)
        drawn = gaussian_heatmaps(rows["landmarks"], _MAPS)
        terms["landmarks"] = config["landmark_weight"] * losses.geometry(faces.landmarks, drawn)
        if self._classes is not None and config["parsing_weight"]:
            terms["parsing"] = config["parsing_weight"] * self._parsing_loss(faces.parsing, rows["parsing"])
        if config["fine_perceptual_weight"]:
            looked = _perceptual(self._styles(faces.fine), self._styles(hr))
            terms["fine_perceptual"] = config["fine_perceptual_weight"] * looked
        if config["adversarial_weight"]:
            terms["adversarial"] = -config["adversarial_weight"] * self.critic(faces.fine).float().mean()
        return terms

    def _parsing_loss(self, logits: Tensor, parsing: Tensor) -> Tensor:
        """Return the cross-entropy of logits (B,11,64,64), mean over the pixels whose class is known."""
        assert self._classes is not None
        self._classes = self._classes.to(parsing.device)
        every = parsing.shape[-1] // logits.shape[-1]
        wanted = self._classes[parsing[:, ::every, ::every].long()].long()
        total = F.cross_entropy(logits.float(), wanted, ignore_index=UNKNOWN, reduction="sum")
        return total / (wanted != UNKNOWN).sum().clamp(min=1)

    def _styles(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return what the feature network sees at its three pools in pictures with values in [0,1]."""
        return self._judge(2 * images - 1).styles

    def parts(self) -> tuple[nn.Module, ...]:
        """Return the generator's networks; not the critic: a compiled one has no second derivatives for its penalty."""
        return tuple(self.generator.children())

    @torch.no_grad()
    def _faces(self, batch: Batch, generator: nn.Module | None) -> Faces:
        if "mask" not in batch:
            raise UsageError(f"expected 'mask' (B,1,128,128) in the batch, got {', '.join(sorted(batch))}")
        with evaluating(generator or self.generator) as network:
            return network(*_entering(batch))

    def hallucinate(self, batch: Batch, generator: nn.Module | None = None) -> Tensor:
        """Return whole faces (B,3,128,128) of `batch["lr"]` and `batch["mask"]`, the true mask or an estimated one."""
        return _shown(self._faces(batch, generator).fine)

    def results(self, batch: Batch, generator: nn.Module | None = None) -> dict[str, Tensor]:
        """Return the completed, the coarse and the fine picture."""
        faces = self._faces(batch, generator)
        return {name: _shown(getattr(faces, name)) for name in ("completed", "coarse", "fine")}

    def preview(self, batch: Batch, generator: nn.Module | None = None) -> dict[str, Tensor]:
        """Return the enlarged LR face with a grey hole, and the strongest heatmap at every pixel."""
        image, hole = _entering(batch)
        maps = self._faces(batch, generator).landmarks.amax(1, keepdim=True)
        return {"masked": _shown(torch.where(hole > 0.5, 0.5, image)), "landmarks": _shown(maps).expand(-1, 3, -1, -1)}


@dataclass(frozen=True)
class _Made:
    """What turns on the same part of a batch share: its rows, and what the generator made of them."""

    batch: Tensor
    part: int
    rows: Batch
    faces: Faces


def gradient_penalty(critic: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
    """Return by how much the slope of a critic between real and made pictures differs from 1, squared, mean over pictures.

    Gulrajani et al., "Improved Training of Wasserstein GANs", 2017. One place is drawn on the way from each made picture to
    the real one beside it.

    Parameters
    ----------
    critic : Module
        From pictures to verdicts, whose sum is differentiated.
    real, fake : Tensor
        (B, C, H, W).

    Returns
    -------
    Tensor
        Scalar, differentiable in the critic's parameters.
    """
    with torch.autocast(real.device.type, enabled=False):  # slopes of slopes need float32
        real, fake = real.float(), fake.float()
        between = torch.lerp(fake, real, torch.rand(len(real), 1, 1, 1, device=real.device)).requires_grad_(True)
        (slope,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
        return (slope.flatten(1).norm(dim=1) - 1).square().mean()


def _perceptual(ours: tuple[Tensor, ...], theirs: tuple[Tensor, ...]) -> Tensor:
    """Return the mean absolute difference of features, summed over the layers."""
    return torch.stack([F.l1_loss(one.float(), other.float()) for one, other in zip(ours, theirs, strict=True)]).sum()


def _entering(batch: Batch) -> tuple[Tensor, Tensor]:
    """Return what enters the network: the LR face enlarged, in [0,1], and the cells of the mask."""
    return _unit(enlarged(batch["lr"])), cell_mask(batch["mask"])


def _unit(images: Tensor) -> Tensor:
    return (images + 1) / 2


def _shown(images: Tensor) -> Tensor:
    return 2 * images.float().clamp(0, 1) - 1


def _looks(config: Config) -> bool:
    return any(config[key] for key in ("style_weight", "perceptual_weight", "fine_perceptual_weight"))


def _check(config: Config) -> None:
    """Raise a UsageError if a setting has no such value, or settings contradict each other."""
    for key, known in (("feature_network", _FEATURE_NETWORKS), ("lr_schedule", _SCHEDULES)):
        if config[key] not in known:
            raise UsageError(f"unknown {key.replace('_', ' ')} '{config[key]}': {did_you_mean(config[key], known)}")
    if config["feature_network"] == "none" and _looks(config):
        raise UsageError(
            "style and perceptual losses have weights, but there is no feature network to look through: "
            "--set feature_network=vgg16 or stlpips-vgg, or weights of 0"
        )
    widths = ("width", "coarse_width", "prior_width", "fine_width", "discriminator_width", "bottlenecks", "critic_steps")
    for key in widths:
        if config[key] < 1:
            raise UsageError(f"{key}: expected at least 1, got {config[key]}")
    if config["prior_width"] % 4:
        raise UsageError(f"prior_width: expected a multiple of 4, got {config['prior_width']}")
    parts = config["critic_steps"] if config["adversarial_weight"] and config["steps_joint"] else 1
    if config["batch_size"] % parts:
        raise UsageError(f"batch_size: expected a multiple of critic_steps={parts}, got {config['batch_size']}")
    if config["norm"] == "batch" and config["batch_size"] < 2 * parts:
        raise UsageError(
            f"batch_size: expected at least 2 faces for each of critic_steps={parts}, got {config['batch_size']}: "
            "where the U-Net comes down to a single place, norm=batch goes by the faces alone; or set norm=group"
        )
    if not (config["steps_completion"] or config["steps_joint"]):
        raise UsageError("steps_completion and steps_joint are both 0: nothing would be trained")
