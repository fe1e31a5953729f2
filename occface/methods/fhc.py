"""FHC (Yu et al., ECCV 2018): super-resolution led by heatmaps of facial components, with a discriminator.

What is the authors', what had to be read or chosen, and what the smaller presets change stands in ``docs/methods/fhc.md``.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor, nn

from occface import losses
from occface.errors import UsageError
from occface.faces.heatmaps import gaussian_heatmaps
from occface.methods.base import Batch, Config, Phase, Role, TrainableMethod, evaluating
from occface.methods.schedules import cosine_fall
from occface.networks.fhc import FHCDiscriminator, FHCNet, FHCResult
from occface.networks.vgg import Judge, load_trunk
from occface.registry import did_you_mean

__all__ = ["COMPONENTS", "FHC", "component_heatmaps"]

_JAW, _BROWS, _NOSE, _EYES, _MOUTH = (slice(*ends) for ends in ((0, 17), (17, 27), (27, 36), (36, 48), (48, 68)))

#: Sets of components by name: each component is the landmarks (iBUG's numbers) whose Gaussians make its map.
COMPONENTS: dict[str, tuple[slice, ...]] = {
    "eyes-nose-mouth-chin": (_EYES, _NOSE, _MOUTH, _JAW),
    "with-brows": (_EYES, _NOSE, _MOUTH, _JAW, _BROWS),
    "landmarks": tuple(slice(number, number + 1) for number in range(68)),
}

_FEATURE_ASSETS: dict[str, tuple[str, ...]] = {"none": (), "vgg19": ("vgg19",), "stlpips-vgg": ("stlpips-vgg",)}
_RELU3_2 = 14
_MAP = 64

_PAPER: Config = {
    "width": 32,
    "stacks": 4,
    "components": "eyes-nose-mouth-chin",
    "skip": False,
    "discriminator_width": 32,
    "heatmap_weight": 1.0,
    "adversarial_weight": 0.01,
    "adversarial_decay": 0.995,
    "adversarial_floor": 0.005,
    "feature_network": "vgg19",
    "feature_weight": 2e-3,
    "batch_size": 8,
    "steps": 355_400,
    "steps_per_epoch": 3554,
    "optimizer": "rmsprop",
    "lr": 1e-3,
    "lr_schedule": "epochs",
    "lr_decay": 0.99,
    "lr_floor": 1e-6,
    "warmup_steps": 100,
    "ema_decay": 0.999,
    "grad_clip": 0.0,
}

_SMALL: Config = _PAPER | {
    "width": 8,
    "stacks": 2,
    "skip": True,
    "discriminator_width": 8,
    "heatmap_weight": 0.3,
    "adversarial_weight": 0.0,
    "adversarial_floor": 0.0,
    "feature_network": "none",
    "feature_weight": 0.0,
    "batch_size": 16,
    "steps_per_epoch": 100,
    "optimizer": "adam",
    "lr": 2e-3,
    "lr_schedule": "cosine",
    "warmup_steps": 20,
    "ema_decay": 0.99,
    "grad_clip": 1.0,
}


def component_heatmaps(landmarks: Tensor, groups: Sequence[slice], size: int = _MAP) -> Tensor:
    """Draw a map for each component: at each pixel the highest of the Gaussians of the component's landmarks.

    Parameters
    ----------
    landmarks : Tensor
        (B, 68, 2) in pixels of the 128x128 crop.
    groups : sequence of slice
        The landmarks of each component, such as a value of `COMPONENTS`.
    size : int
        Height and width of the maps.

    Returns
    -------
    Tensor
        (B, len(groups), size, size) float32 in [0, 1].

    Examples
    --------
    >>> component_heatmaps(torch.full((1, 68, 2), 63.5), COMPONENTS["with-brows"]).shape
    torch.Size([1, 5, 64, 64])
    """
    maps = gaussian_heatmaps(landmarks, size)
    return torch.stack([maps[:, group].amax(1) for group in groups], 1)


class FHC(TrainableMethod):
    """Whole 128x128 faces from clean 16x16 ones, by way of heatmaps of facial components.

    Settings
    --------
    width, stacks, skip
        See `occface.networks.fhc.FHCNet`.
    components : str
        One of `COMPONENTS`: what the heatmaps show.
    discriminator_width : int
        Channels of the discriminator's first layer, 32 in the original.
    heatmap_weight : float
        Weight of the squared differences of each hourglass's heatmaps.
    adversarial_weight, adversarial_decay, adversarial_floor : float
        Weight of the adversarial loss in the first epoch, what it is multiplied by at each further one, and the least it
        comes to. A first weight of 0 leaves the discriminator out.
    feature_network, feature_weight
        ``vgg19``, ``stlpips-vgg`` or ``none``: through what, up to relu3_2, results and truth are compared; and its weight.
    steps, steps_per_epoch : int
        Length of the training, and after how many steps an epoch's factors change.
    optimizer : {"rmsprop", "adam"}
        RMSprop with alpha 0.9, the original's; or Adam.
    lr, lr_schedule, lr_decay, lr_floor
        Rate of both turns. ``epochs``: times `lr_decay` at each epoch, at least `lr_floor`; ``cosine``: down to a fiftieth
        over the training.
    warmup_steps : int
        The first half of them is taken at a fiftieth of the rate, the second at a fifth.
    """

    name = "fhc"
    role: ClassVar[Role] = "sr"
    PRESETS: ClassVar[dict[str, Config]] = {
        "paper": _PAPER,
        "gpu": _PAPER | {"batch_size": 32, "steps": 20_000, "steps_per_epoch": 200, "grad_clip": 1.0},
        "cpu": _SMALL | {"steps": 1100, "ema_decay": 0.995},
        "demo": _SMALL | {"stacks": 1, "steps": 200, "warmup_steps": 0, "batch_size": 8, "ema_decay": 0.95},
        "test": _SMALL
        | {
            "width": 4,
            "stacks": 2,
            "discriminator_width": 2,
            "adversarial_weight": 0.01,
            "batch_size": 4,
            "steps": 4,
            "warmup_steps": 0,
            "ema_decay": 0.9,
        },
    }

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        _check(config)
        self.groups = COMPONENTS[config["components"]]
        self.generator: FHCNet = FHCNet(config["width"], config["stacks"], len(self.groups), config["skip"])
        self.discriminator = FHCDiscriminator(config["discriminator_width"])
        # The adversarial weight hangs on it. It is part of the state, so a run that is resumed goes on with the same weight.
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64))
        self._judge: Judge[Tensor] = Judge(partial(load_trunk, config["feature_network"], _RELU3_2))
        self._made: tuple[Tensor, FHCResult] | None = None

    def assets(self) -> tuple[str, ...]:
        """Return the feature network's, where a loss looks through it."""
        return _FEATURE_ASSETS[self.config["feature_network"]] if self.config["feature_weight"] else ()

    def phases(self) -> tuple[Phase, ...]:
        """Return the one phase of training."""
        return (Phase("all", self.config["steps"]),)

    def turns(self, phase: Phase) -> tuple[str, ...]:
        """Return the turns of a step: no discriminator's where it has no say."""
        return ("discriminator", "generator") if self.config["adversarial_weight"] else ("generator",)

    def optimizer(self, phase: Phase, turn: str) -> torch.optim.Optimizer:
        """Return RMSprop or Adam over the generator or the discriminator."""
        network = self.generator if turn == "generator" else self.discriminator
        if self.config["optimizer"] == "adam":
            return torch.optim.Adam(network.parameters(), lr=self.config["lr"], fused=True)
        return torch.optim.RMSprop(network.parameters(), lr=self.config["lr"], alpha=0.9)

    def lr_scale(self, phase: Phase, progress: float) -> float:
        """Return the factor of warm-up and schedule."""
        config, done = self.config, round(progress * phase.steps)
        warming = done < config["warmup_steps"]
        warm = (1 / 50 if 2 * done < config["warmup_steps"] else 1 / 5) if warming else 1.0
        if config["lr_schedule"] == "cosine":
            return warm * cosine_fall(progress)
        return warm * max(config["lr_decay"] ** (done // config["steps_per_epoch"]), config["lr_floor"] / config["lr"])

    def adversarial_weight(self) -> Tensor:
        """Return the weight of the adversarial loss at the step under way, a scalar on the method's device."""
        config = self.config
        epoch = self.get_buffer("updates") // config["steps_per_epoch"]
        return (config["adversarial_weight"] * config["adversarial_decay"] ** epoch).clamp(min=config["adversarial_floor"])

    def forward(self, batch: Batch, phase: Phase, turn: str) -> dict[str, Tensor]:
        """Return the weighted losses of a turn, of clean pairs."""
        config, hr = self.config, batch["hr"]
        if turn == "discriminator":
            self.generator.requires_grad_(True)  # the generator's turn takes this pass over: same weights, same batch
            made = self.generator(batch["lr_clean"])
            self._made = hr, made
            half = (len(hr) + 1) // 2  # as many made as real ones, as many together as the batch has
            real, fake = self.discriminator(hr[:half]), self.discriminator(made.image[:half].detach())
            return {"whole": losses.discriminator_loss(real, fake, "bce") / 2}
        shared, self._made = self._made, None
        made = shared[1] if shared is not None and shared[0] is hr else self.generator(batch["lr_clean"])
        target = component_heatmaps(batch["landmarks"], self.groups)
        geometry = torch.stack([losses.geometry(maps, target) for maps in made.heatmaps]).sum()
        terms = {"intensity": losses.intensity(made.image, hr), "geometry": config["heatmap_weight"] * geometry}
        if config["adversarial_weight"]:
            judged = losses.generator_loss(self.discriminator(made.image), "bce")
            terms["adversarial"] = self.adversarial_weight() * judged
        if config["feature_weight"]:
            with torch.no_grad():
                wanted = self._judge(hr)
            terms["feature"] = config["feature_weight"] * losses.feature(self._judge(made.image), wanted)
        self.get_buffer("updates").add_(1)
        return terms

    @torch.no_grad()
    def hallucinate(self, batch: Batch, generator: nn.Module | None = None) -> Tensor:
        """Return faces (B,3,128,128) of `batch["lr"]`, clamped to the range as the original does when tested."""
        with evaluating(generator or self.generator) as network:
            result: FHCResult = network(batch["lr"])
        return result.image.clamp(-1, 1)

    @torch.no_grad()
    def preview(self, batch: Batch, generator: nn.Module | None = None) -> dict[str, Tensor]:
        """Return the last hourglass's strongest heatmap at every pixel, as a grey picture."""
        with evaluating(generator or self.generator) as network:
            maps = network(batch["lr"]).heatmaps[-1]
        return {"heatmaps": (2 * maps.amax(1, keepdim=True) - 1).clamp(-1, 1).expand(-1, 3, -1, -1)}


def _check(config: Config) -> None:
    """Refuse values that no network or schedule can be made of."""
    choices = {
        "components": tuple(COMPONENTS),
        "feature_network": tuple(_FEATURE_ASSETS),
        "lr_schedule": ("cosine", "epochs"),
        "optimizer": ("adam", "rmsprop"),
    }
    for key, known in choices.items():
        if config[key] not in known:
            raise UsageError(f"unknown {key} '{config[key]}': {did_you_mean(config[key], known)}")
    if config["width"] < 2 or config["width"] % 2:
        raise UsageError(f"width: expected an even number of at least 2, got {config['width']}")
    for key in ("stacks", "discriminator_width", "steps", "steps_per_epoch"):
        if config[key] < 1:
            raise UsageError(f"{key}: expected at least 1, got {config[key]}")
    if config["batch_size"] < 2:
        raise UsageError(
            f"batch_size: expected at least 2, got {config['batch_size']}: "
            "where a face comes down to a single place, features are normalised over the faces of a batch"
        )
    if config["feature_weight"] and config["feature_network"] == "none":
        raise UsageError(
            f"feature_weight is {config['feature_weight']}, but there is no feature network to look through: "
            "--set feature_network=vgg19 or stlpips-vgg, or a weight of 0"
        )
