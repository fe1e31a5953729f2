"""Re-CPGAN (Zhang et al., CVPR 2020 and TPAMI 2021): super-resolution led by the LR face of another, well-lit person.

In training the guides of a batch's faces are other faces of the batch. In use all faces have one guide: a frontal, evenly lit
face of the training split, chosen once, before the first step, and kept with the weights.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from functools import partial
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from occface import losses
from occface.dataset.reader import DatasetFile
from occface.errors import UsageError
from occface.faces.heatmaps import gaussian_heatmaps
from occface.faces.mirror import MIRRORED
from occface.images import to_float
from occface.methods.base import Batch, Config, Phase, Role, TrainableMethod, evaluating
from occface.methods.schedules import cosine_fall
from occface.networks.cpgan import CPGAN, Hallucinated
from occface.networks.discriminators import global_discriminator
from occface.networks.vgg import TRUNKS, Judge, load_trunk
from occface.registry import did_you_mean

__all__ = ["ReCPGAN", "best_guide", "illumination"]

_LOG = logging.getLogger(__name__)

_MAP = 64
_RELU3_1 = 12
_LOOKED_AT = 2000
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)

_CHOICES: dict[str, tuple[str, ...]] = {
    "feature_network": ("none", *TRUNKS),
    "illumination_target": ("guide", "gt"),
    "lr_schedule": ("epochs", "cosine"),
}

_PAPER: Config = {
    "channels": 128,
    "fan_channels": 256,
    "recursions": 2,
    "norm": "batch",
    "attention": "softmax",
    "largest_attention": 64,
    "skip": False,
    "guides": 0,
    "discriminator_width": 64,
    "heatmap_weight": 10 / 68,
    "feature_network": "vgg19",
    "feature_weight": 1e-2,
    "feature_every": 1,
    "adversarial_weight": 0.1,
    "illumination_weight": 1e-2,
    "illumination_target": "guide",
    "batch_size": 4,
    "steps": 710_800,
    "lr": 1e-4,
    "lr_schedule": "epochs",
    "lr_decay": 0.99,
    "steps_per_epoch": 7108,
    "ema_decay": 0.999,
    "grad_clip": 0.0,
}

_SMALL: Config = _PAPER | {
    "channels": 24,
    "fan_channels": 24,
    "norm": "group",
    "attention": "linear",
    "skip": True,
    "guides": 2,
    "discriminator_width": 8,
    "heatmap_weight": 1.0,
    "feature_network": "none",
    "feature_weight": 0.0,
    "adversarial_weight": 0.0,
    "batch_size": 8,
    "lr": 1e-3,
    "lr_schedule": "cosine",
    "grad_clip": 1.0,
}


class ReCPGAN(TrainableMethod):
    """Whole 128x128 faces from 16x16 ones; the guide comes with the weights.

    Settings
    --------
    channels, fan_channels, recursions, norm, attention, largest_attention, skip
        See `occface.networks.cpgan.CPGAN`.
    guides : int
        Of so many faces at the end of each batch only the guide's part is played, in turn for the others. 0: each face is led
        by the next one of the batch, and the last by the first.
    discriminator_width : int
        Channels of the discriminator's first layer.
    heatmap_weight : float
        What the mean squared difference of heatmaps weighs; 10/68 in the original.
    feature_network, feature_weight : {"none", "vgg19", "vgg16", "stlpips-vgg"}, float
        What the feature loss looks through, up to relu3_1, and what it weighs; with 0 it is not computed.
    feature_every : int
        It looks at one of so many faces (and guides) of a batch, so the loss expected is the same.
    adversarial_weight : float
        What the least-squares adversarial loss weighs; with 0 there is no discriminator's turn.
    illumination_weight, illumination_target : float, {"guide", "gt"}
        What `illumination` weighs, and whose light is aimed at: the guide's, or the true face's.
    steps : int
        Length of the training.
    lr, lr_schedule, lr_decay, steps_per_epoch
        Adam's learning rate; with ``epochs`` it is multiplied by `lr_decay` after each `steps_per_epoch` steps, with
        ``cosine`` it falls to a fiftieth.
    """

    name = "re-cpgan"
    role: ClassVar[Role] = "sr"
    PRESETS: ClassVar[dict[str, Config]] = {
        "paper": _PAPER,
        "gpu": _PAPER
        | {
            "channels": 64,
            "fan_channels": 128,
            "discriminator_width": 32,
            "feature_every": 2,
            "batch_size": 16,
            "steps": 30_000,
            "lr": 4e-4,
            "lr_schedule": "cosine",
            "grad_clip": 1.0,
        },
        "cpu": _SMALL | {"steps": 1100},
        "demo": _SMALL
        | {"channels": 16, "fan_channels": 16, "guides": 1, "batch_size": 4, "lr": 2e-3, "steps": 300, "ema_decay": 0.97},
        "test": _SMALL
        | {
            "channels": 8,
            "fan_channels": 8,
            "norm": "batch",
            "guides": 0,
            "discriminator_width": 4,
            "adversarial_weight": 0.1,
            "batch_size": 4,
            "steps": 4,
            "ema_decay": 0.9,
        },
    }

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        _check(config)
        self.generator: CPGAN = CPGAN(
            config["channels"],
            config["fan_channels"],
            config["recursions"],
            config["norm"],
            config["attention"],
            config["largest_attention"],
            config["skip"],
        )
        self.global_128 = global_discriminator(config["discriminator_width"])
        self._judge: Judge[Tensor] = Judge(partial(load_trunk, config["feature_network"], _RELU3_1))
        self._shared: tuple[Tensor, _Pass] | None = None

    def assets(self) -> tuple[str, ...]:
        """Return the network that the feature loss looks through."""
        return (self.config["feature_network"],) if self.config["feature_weight"] else ()

    def prepare(self, data: DatasetFile) -> None:
        """Choose the guide: of up to 2,000 training faces spread over the split, the one that `best_guide` names."""
        count = data.count("train")
        looked_at = np.linspace(0, count - 1, min(count, _LOOKED_AT)).round().astype(int).tolist()
        hr, landmarks = data.field("train", "hr"), data.field("train", "landmarks")
        chosen = looked_at[best_guide((np.array(landmarks[face]), np.array(hr[face])) for face in looked_at)]
        record = data.record("train", chosen, ["lr_clean", "hr"])
        for name, field in (("guide_lr", "lr_clean"), ("guide_hr", "hr")):
            self.generator.get_buffer(name).copy_(to_float(record[field][None]))
        name = data.columns("train")["id"].iloc[chosen]
        _LOG.info("re-cpgan: the guide is training face %d of %d, '%s'", chosen, count, name)

    def phases(self) -> tuple[Phase, ...]:
        """Return the one phase."""
        return (Phase("joint", self.config["steps"]),)

    def turns(self, phase: Phase) -> tuple[str, ...]:
        """Return the turns of a step: no discriminator's where it has no weight."""
        return ("discriminator", "generator") if self.config["adversarial_weight"] else ("generator",)

    def optimizer(self, phase: Phase, turn: str) -> torch.optim.Optimizer:
        """Return Adam over the generator or the discriminator."""
        network = self.global_128 if turn == "discriminator" else self.generator
        return torch.optim.Adam(network.parameters(), lr=self.config["lr"], betas=(0.5, 0.999), fused=True)

    def lr_scale(self, phase: Phase, progress: float) -> float:
        """Return the decay of the epochs done, or the cosine from 1 to 0.02."""
        if self.config["lr_schedule"] == "cosine":
            return cosine_fall(progress)
        epochs = round(progress * phase.steps) // self.config["steps_per_epoch"]
        return float(self.config["lr_decay"] ** epochs)

    def forward(self, batch: Batch, phase: Phase, turn: str) -> dict[str, Tensor]:
        """Return the weighted losses of a turn."""
        if turn == "discriminator":
            self.generator.requires_grad_(True)  # the generator's turn takes this pass over: same weights, same batch
            made = self._pass(batch)
            self._shared = batch["lr_clean"], made
            real, fake = self.global_128(made.faces.hr), self.global_128(made.made.image.detach())
            return {"global_128": losses.discriminator_loss(real, fake, "lsgan")}
        shared, self._shared = self._shared, None
        made = shared[1] if shared is not None and shared[0] is batch["lr_clean"] else self._pass(batch)
        return self._generator_losses(made)

    def _pass(self, batch: Batch) -> _Pass:
        """Share the faces of a batch out as faces and guides, and run the generator."""
        lr, guides = batch["lr_clean"], self.config["guides"]
        if len(lr) <= max(guides, 1):
            raise UsageError(
                f"expected a batch (of each process) with more faces than its {max(guides, 1)} guides, got {len(lr)}: "
                "set a larger batch_size, or fewer guides"
            )
        if guides:
            faces, led_by = (
                _Faces(*(batch[name][part] for name in _FIELDS)) for part in (slice(-guides), slice(-guides, None))
            )
        else:
            faces = _Faces(*(batch[name] for name in _FIELDS))
            led_by = _Faces(*(batch[name].roll(-1, 0) for name in _FIELDS))
        return _Pass(faces, led_by, self.generator(faces.lr, led_by.lr))

    def _generator_losses(self, made: _Pass) -> dict[str, Tensor]:
        config, result = self.config, made.made
        assert result.guide_image is not None
        assert result.guide_heatmaps is not None
        terms: dict[str, Tensor] = {}
        for prefix, truth, image, maps in (
            ("", made.faces, result.image, result.heatmaps),
            ("guide_", made.guides, result.guide_image, result.guide_heatmaps),
        ):
            terms[f"{prefix}intensity"] = losses.intensity(image, truth.hr)
            if config["heatmap_weight"]:
                wanted = gaussian_heatmaps(truth.landmarks, _MAP)
                terms[f"{prefix}geometry"] = config["heatmap_weight"] * losses.geometry(maps, wanted)
            if config["feature_weight"]:
                terms[f"{prefix}feature"] = config["feature_weight"] * self._feature_loss(image, truth.hr)
        if config["illumination_weight"]:
            light = made.faces.hr
            if config["illumination_target"] == "guide":
                light = made.guides.hr[torch.arange(len(light), device=light.device) % len(made.guides.hr)]
            terms["illumination"] = config["illumination_weight"] * illumination(result.image, light)
        if config["adversarial_weight"]:
            verdict = losses.generator_loss(self.global_128(result.image), "lsgan")
            terms["adversarial_global_128"] = config["adversarial_weight"] * verdict
        return terms

    def _feature_loss(self, image: Tensor, truth: Tensor) -> Tensor:
        every = self.config["feature_every"]
        with torch.no_grad():
            wanted = self._judge(truth[::every])
        return nn.functional.l1_loss(self._judge(image[::every]).float(), wanted.float())

    def _run(self, batch: Batch, generator: nn.Module | None) -> Hallucinated:
        with evaluating(generator or self.generator) as network:
            made: Hallucinated = network(batch["lr"], network.get_buffer("guide_lr"), with_guides=False)
            return made

    @torch.no_grad()
    def hallucinate(self, batch: Batch, generator: nn.Module | None = None) -> Tensor:
        """Return whole faces (B,3,128,128) of `batch["lr"]`, led by the guide that the generator holds.

        Weights that were trained hold one. A generator that was neither trained nor loaded is led by a mid-grey picture.
        """
        return self._run(batch, generator).image

    @torch.no_grad()
    def preview(self, batch: Batch, generator: nn.Module | None = None) -> dict[str, Tensor]:
        """Return the guide, and each face's strongest heatmap at every pixel as a grey picture."""
        strongest = self._run(batch, generator).heatmaps.amax(1, keepdim=True).clamp(0, 1)
        guide = (generator or self.generator).get_buffer("guide_hr")
        return {
            "heatmaps": (2 * strongest - 1).expand(-1, 3, -1, -1),
            "guide": guide.expand(len(strongest), -1, -1, -1),
        }


_FIELDS = ("lr_clean", "hr", "landmarks")


class _Faces(NamedTuple):
    lr: Tensor
    hr: Tensor
    landmarks: Tensor


class _Pass(NamedTuple):
    """What the two turns of a step share."""

    faces: _Faces
    guides: _Faces
    made: Hallucinated


def _check(config: Config) -> None:
    """Raise a UsageError if a setting has no such value, or settings contradict each other."""
    for key, known in _CHOICES.items():
        if config[key] not in known:
            raise UsageError(f"unknown {key.replace('_', ' ')} '{config[key]}': {did_you_mean(config[key], known)}")
    for key in ("channels", "fan_channels", "recursions", "discriminator_width", "feature_every", "steps_per_epoch"):
        least = 4 if "channels" in key else 1
        if config[key] < least or (least == 4 and config[key] % 4):
            raise UsageError(
                f"{key}: expected {'a multiple of 4' if least == 4 else 'at least 1'}, got {config[key]}: set another"
            )
    if config["feature_weight"] and config["feature_network"] == "none":
        raise UsageError(
            f"feature_weight is {config['feature_weight']}, but there is no feature network to look through: "
            "--set feature_network=vgg19 or stlpips-vgg, or a weight of 0"
        )
    if config["batch_size"] <= max(config["guides"], 1):
        raise UsageError(
            f"expected batch_size to be more than guides={config['guides']}, and at least 2, got {config['batch_size']}: "
            "a face is led by another of its batch"
        )


def illumination(images: Tensor, like: Tensor) -> Tensor:
    """Return how far the light of images is from that of others, each image beside its own.

    Light is the mean and the standard deviation of the pixels of each colour channel: their mean squared differences, added.

    Parameters
    ----------
    images, like : Tensor
        (B,3,H,W) each.

    Examples
    --------
    >>> bright, dim = torch.ones(1, 3, 2, 2), torch.zeros(1, 3, 2, 2)
    >>> round(illumination(bright, dim).item(), 4)
    1.0
    """
    means, deviations = [], []
    for pictures in (images.float(), like.float()):
        variance, mean = torch.var_mean(pictures, dim=(2, 3), correction=0)
        means.append(mean)
        deviations.append((variance + 1e-8).sqrt())  # the root's slope at 0 is infinite
    return losses.intensity(*means) + losses.intensity(*deviations)


def best_guide(faces: Iterable[tuple[np.ndarray, np.ndarray]]) -> int:
    """Return the place of the most frontal and evenly lit of several faces.

    Faces are ranked by their asymmetry, how far the landmarks are from their mirror image about the face's own axis, in face
    widths; and by their unevenness, how much the luminance of the left half differs from that of the right and of the upper
    from that of the lower, within the landmarks' bounding box. The smallest sum of ranks wins, the first face among equals.

    Parameters
    ----------
    faces : iterable of (ndarray, ndarray)
        Landmarks (68,2) in pixels, and the picture (N,N,3), uint8 RGB. One is held at a time.
    """
    measured = np.array([_measured(points, face) for points, face in faces])
    ranks = [np.searchsorted(np.sort(column), column) for column in measured.T]  # equal values have equal ranks
    return int(np.sum(ranks, axis=0).argmin())


def _measured(points: np.ndarray, face: np.ndarray) -> tuple[float, float]:
    """Return a face's asymmetry and unevenness."""
    points = points.astype(np.float64)
    centre = points[:, 0].mean()
    mirrored = points[MIRRORED]
    mirrored[:, 0] = 2 * centre - mirrored[:, 0]
    (left, top), (right, bottom) = points.min(0), points.max(0)
    asymmetry = np.linalg.norm(points - mirrored, axis=1).mean() / max(right - left, 1.0)
    rows, columns = _covered(top, bottom, face.shape[0]), _covered(left, right, face.shape[1])
    luminance = face[rows, columns].astype(np.float32) @ _LUMA
    return float(asymmetry), sum(_halves_differ(luminance.mean(axis)) for axis in (0, 1))


def _covered(low: float, high: float, size: int) -> slice:
    """Return the pixels from `low` to `high`, two of them at least, for there must be halves, and within the picture."""
    first = round(min(max(low, 0), size - 2))
    return slice(first, max(round(min(high, size - 1)), first + 1) + 1)


def _halves_differ(profile: np.ndarray) -> float:
    """Return the difference of the two halves' means over their sum."""
    first, second = (float(part.mean()) for part in np.array_split(profile, 2))
    return abs(first - second) / max(first + second, 1.0)
