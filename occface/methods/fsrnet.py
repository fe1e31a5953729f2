"""FSRNet and FSRGAN (Chen et al., CVPR 2018): super-resolution with facial priors, without and with a discriminator.

What is the authors', what had to be read or chosen, and what the smaller presets change stands in ``docs/methods/fsrnet.md``.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor, nn

from occface import losses
from occface.dataset.reader import DatasetFile
from occface.errors import UsageError
from occface.faces.heatmaps import gaussian_heatmaps
from occface.faces.parsing import FSRNET_PARTS, UNKNOWN, part_maps
from occface.methods.base import Batch, Config, Phase, Role, TrainableMethod, evaluating
from occface.methods.schedules import cosine_fall
from occface.networks.discriminators import global_discriminator
from occface.networks.fsrnet import FSRNetwork, FSRResult
from occface.networks.vgg import Judge, load_trunk
from occface.registry import did_you_mean

__all__ = ["FSRGAN", "FSRNet"]

_LOG = logging.getLogger(__name__)
_LANDMARKS, _MAP = 68, 64
_FEATURE_ASSETS: dict[str, tuple[str, ...]] = {"none": (), "vgg16": ("vgg16",), "stlpips-vgg": ("stlpips-vgg",)}
_RELU5_3 = 30

_PAPER: Config = {
    "width": 64,
    "prior_width": 128,
    "coarse_blocks": 3,
    "encoder_blocks": 12,
    "decoder_blocks": 3,
    "hourglasses": 2,
    "decoder_reads": "features",
    "skip": False,
    "coarse_weight": 1.0,
    "prior_weight": 1.0,
    "batch_size": 14,
    "steps": 203_100,
    "optimizer": "rmsprop",
    "lr": 2.5e-4,
    "lr_schedule": "constant",
    "ema_decay": 0.999,
    "grad_clip": 0.0,
}

_SMALL: Config = _PAPER | {
    "width": 16,
    "prior_width": 32,
    "coarse_blocks": 1,
    "encoder_blocks": 4,
    "decoder_blocks": 2,
    "hourglasses": 1,
    "skip": True,
    "batch_size": 16,
    "optimizer": "adam",
    "lr": 2e-3,
    "lr_schedule": "cosine",
    "grad_clip": 1.0,
}

_PRESETS: dict[str, Config] = {
    "paper": _PAPER,
    "gpu": _PAPER | {"batch_size": 32, "steps": 12_000, "lr": 5e-4, "lr_schedule": "cosine", "grad_clip": 1.0},
    "cpu": _SMALL | {"steps": 1050, "ema_decay": 0.995},
    "demo": _SMALL | {"encoder_blocks": 2, "decoder_blocks": 1, "batch_size": 8, "steps": 200, "ema_decay": 0.95},
    "test": _SMALL
    | {
        "width": 8,
        "prior_width": 8,
        "encoder_blocks": 1,
        "decoder_blocks": 1,
        "batch_size": 4,
        "steps": 4,
        "ema_decay": 0.9,
    },
}

_ADVERSARIAL: Config = {
    "discriminator_width": 64,
    "adversarial_weight": 1e-3,
    "feature_network": "vgg16",
    "feature_weight": 0.1,
}
_SMALL_ADVERSARIAL: Config = _ADVERSARIAL | {"discriminator_width": 8, "feature_network": "none", "feature_weight": 0.0}


class FSRNet(TrainableMethod):
    """Whole 128x128 faces from clean 16x16 ones, by way of a coarse picture and maps of landmarks and parts of the face.

    Parts are learnt from the data set's parsing maps; where it has none, their loss has weight 0 and the log says so.

    Settings
    --------
    width, prior_width, coarse_blocks, encoder_blocks, decoder_blocks, hourglasses, decoder_reads, skip
        See `occface.networks.fsrnet.FSRNetwork`.
    coarse_weight, prior_weight : float
        Weights of the coarse picture's and of the priors' squared differences; the fine picture's is 1.
    steps : int
        Length of the training.
    optimizer, lr, lr_schedule
        ``rmsprop``, the original's, or ``adam``; its rate, ``constant`` or by ``cosine`` down to a fiftieth.
    """

    name = "fsrnet"
    role: ClassVar[Role] = "sr"
    uses: ClassVar[frozenset[str]] = frozenset({"parsing"})
    PRESETS: ClassVar[dict[str, Config]] = _PRESETS

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        _check(config)
        self.generator: FSRNetwork = FSRNetwork(
            width=config["width"],
            prior_width=config["prior_width"],
            coarse_blocks=config["coarse_blocks"],
            encoder_blocks=config["encoder_blocks"],
            decoder_blocks=config["decoder_blocks"],
            hourglasses=config["hourglasses"],
            landmarks=_LANDMARKS,
            parts=len(FSRNET_PARTS),
            decoder_reads=config["decoder_reads"],
            skip=config["skip"],
        )
        self._classes: tuple[str, ...] = ()

    def prepare(self, data: DatasetFile) -> None:
        """Look up the classes of the data set's parsing maps."""
        self._classes = tuple(data.classes)
        if not self._classes:
            _LOG.info("%s: the data set has no parsing maps, so the loss of its parts is left out (weight 0)", self.name)

    def phases(self) -> tuple[Phase, ...]:
        """Return the one phase of training."""
        return (Phase("all", self.config["steps"]),)

    def turns(self, phase: Phase) -> tuple[str, ...]:
        """Return the generator's turn: there is no other."""
        return ("generator",)

    def optimizer(self, phase: Phase, turn: str) -> torch.optim.Optimizer:
        """Return RMSprop or Adam over a turn's network."""
        parameters = self._trained(turn).parameters()
        if self.config["optimizer"] == "adam":
            return torch.optim.Adam(parameters, lr=self.config["lr"], fused=True)
        return torch.optim.RMSprop(parameters, lr=self.config["lr"])

    def _trained(self, turn: str) -> nn.Module:
        return self.generator

    def lr_scale(self, phase: Phase, progress: float) -> float:
        """Return 1, or the cosine from 1 to 0.02."""
        return 1.0 if self.config["lr_schedule"] == "constant" else cosine_fall(progress)

    def forward(self, batch: Batch, phase: Phase, turn: str) -> dict[str, Tensor]:
        """Return the weighted losses of a turn, of clean pairs."""
        return self._content(self.generator(batch["lr_clean"]), batch)

    def _content(self, made: FSRResult, batch: Batch) -> dict[str, Tensor]:
        """Return the losses of both pictures and of the priors."""
        terms = {
            "coarse": self.config["coarse_weight"] * losses.intensity(made.coarse, batch["hr"]),
            "fine": losses.intensity(made.image, batch["hr"]),
        }
        # The priors' loss is one mean over all maps that are known: each kind counts by how many it has.
        known = [number for number, part in enumerate(FSRNET_PARTS) if part in self._classes] if "parsing" in batch else []
        each = self.config["prior_weight"] / (_LANDMARKS + len(known))
        wanted = gaussian_heatmaps(batch["landmarks"], _MAP)
        terms["landmarks"] = _LANDMARKS * each * losses.geometry(made.landmarks, wanted)
        if known:
            terms["parsing"] = len(known) * each * self._parsing_loss(made.parsing, batch["parsing"], known)
        return terms

    def _parsing_loss(self, maps: Tensor, parsing: Tensor, known: list[int]) -> Tensor:
        """Return the mean squared difference of the maps of some parts, where the parsing map knows what is there."""
        wanted = part_maps(parsing, self._classes, [FSRNET_PARTS[number] for number in known], _MAP)
        here = nn.functional.avg_pool2d((parsing != UNKNOWN)[:, None].float(), parsing.shape[-1] // _MAP)
        read = torch.stack([maps[:, number] for number in known], 1)  # a list as index would be carried to the device each time
        squared = (here * (read.float() - wanted) ** 2).sum()
        return squared / (len(known) * here.sum()).clamp(min=1)

    @torch.no_grad()
    def hallucinate(self, batch: Batch, generator: nn.Module | None = None) -> Tensor:
        """Return the fine pictures (B,3,128,128) of `batch["lr"]`."""
        return self._made_of(batch, generator).image.clamp(-1, 1)

    @torch.no_grad()
    def results(self, batch: Batch, generator: nn.Module | None = None) -> dict[str, Tensor]:
        """Return the coarse and the fine picture."""
        made = self._made_of(batch, generator)
        return {"coarse": made.coarse.clamp(-1, 1), "fine": made.image.clamp(-1, 1)}

    @torch.no_grad()
    def preview(self, batch: Batch, generator: nn.Module | None = None) -> dict[str, Tensor]:
        """Return the strongest map of landmarks, and where maps were learnt from that of parts, as grey pictures."""
        made = self._made_of(batch, generator)
        shown = {"landmarks": made.landmarks, **({"parsing": made.parsing[:, 1:]} if self._classes else {})}  # skin hides all
        return {name: (2 * maps.amax(1, keepdim=True) - 1).clamp(-1, 1).expand(-1, 3, -1, -1) for name, maps in shown.items()}

    def _made_of(self, batch: Batch, generator: nn.Module | None) -> FSRResult:
        with evaluating(generator or self.generator) as network:
            made: FSRResult = network(batch["lr"])
        return made


class FSRGAN(FSRNet):
    """FSRNet with a discriminator and a feature loss.

    Settings
    --------
    discriminator_width : int
        Channels of the discriminator's first layers, 64 in the original.
    adversarial_weight : float
        Weight of the adversarial loss; at 0 there is no discriminator.
    feature_network, feature_weight
        ``vgg16``, ``stlpips-vgg`` or ``none``: through what, up to relu5_3, fine picture and truth are compared; the weight.

    All others are those of `FSRNet`.
    """

    name = "fsrgan"
    PRESETS: ClassVar[dict[str, Config]] = {
        name: config | (_ADVERSARIAL if name in ("paper", "gpu") else _SMALL_ADVERSARIAL) for name, config in _PRESETS.items()
    }

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.discriminator = global_discriminator(config["discriminator_width"])
        self._judge: Judge[Tensor] = Judge(partial(load_trunk, config["feature_network"], _RELU5_3))
        self._made: tuple[Tensor, FSRResult] | None = None

    def assets(self) -> tuple[str, ...]:
        """Return the feature network's, where a loss looks through it."""
        return _FEATURE_ASSETS[self.config["feature_network"]] if self.config["feature_weight"] else ()

    def turns(self, phase: Phase) -> tuple[str, ...]:
        """Return the turns of a step: no discriminator's where it has no say."""
        return ("discriminator", "generator") if self.config["adversarial_weight"] else ("generator",)

    def _trained(self, turn: str) -> nn.Module:
        return self.generator if turn == "generator" else self.discriminator

    def forward(self, batch: Batch, phase: Phase, turn: str) -> dict[str, Tensor]:
        """Return the weighted losses of a turn, of clean pairs."""
        config, hr = self.config, batch["hr"]
        if turn == "discriminator":
            self.generator.requires_grad_(True)  # the generator's turn takes this pass over: same weights, same batch
            made = self.generator(batch["lr_clean"])
            self._made = hr, made
            real, fake = self.discriminator(hr), self.discriminator(made.image.detach())
            return {"whole": losses.discriminator_loss(real, fake, "bce")}
        shared, self._made = self._made, None
        made = shared[1] if shared is not None and shared[0] is hr else self.generator(batch["lr_clean"])
        terms = self._content(made, batch)
        if config["adversarial_weight"]:
            judged = losses.generator_loss(self.discriminator(made.image), "bce")
            terms["adversarial"] = config["adversarial_weight"] * judged
        if config["feature_weight"]:
            with torch.no_grad():
                wanted = self._judge(hr)
            terms["feature"] = config["feature_weight"] * losses.feature(self._judge(made.image), wanted)
        return terms


def _check(config: Config) -> None:
    """Refuse values that no network or schedule can be made of."""
    choices = {
        "feature_network": tuple(_FEATURE_ASSETS),
        "lr_schedule": ("constant", "cosine"),
        "optimizer": ("adam", "rmsprop"),
    }
    for key, known in choices.items():
        if key in config and config[key] not in known:
            raise UsageError(f"unknown {key} '{config[key]}': {did_you_mean(config[key], known)}")
    if config["prior_width"] < 4 or config["prior_width"] % 4:
        raise UsageError(f"prior_width: expected a multiple of 4, got {config['prior_width']}")
    for key in ("width", "coarse_blocks", "encoder_blocks", "decoder_blocks", "hourglasses", "steps", "discriminator_width"):
        if config.get(key, 1) < 1:
            raise UsageError(f"{key}: expected at least 1, got {config[key]}")
    if config.get("feature_weight") and config["feature_network"] == "none":
        raise UsageError(
            f"feature_weight is {config['feature_weight']}, but there is no feature network to look through: "
            "--set feature_network=vgg16 or stlpips-vgg, or a weight of 0"
        )
