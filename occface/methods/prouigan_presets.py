"""What can be set of Pro-UIGAN, the presets (how large and how long) and the variants (what is left out or replaced).

Settings
--------
architecture : {"paper", "released"}
    `occface.networks.uinet.UInet`, or the authors' published network.
channels, blocks : three int
    Width and residual blocks of each UI-block.
attention, norm, skips, priors
    See `occface.networks.uinet.UIBlock`.
landmark_sources : three of {"stored", "carry", "fan", "truth"}
    Where the heatmaps that enter each stage come from: drawn at the landmarks stored with the LR face; those of the stage
    before, enlarged; FAN on the picture that enters the stage; drawn at the landmarks of the HR face (P+GT).
landmark_set : {"full68", "released_7_42_68"}
    Which landmarks each stage is given.
fan_reading : {"framed", "released"}
    See `occface.faces.heatmaps.FanHeatmaps`.
fan_weights : str
    The run folder of a network trained by `occface train fan`, to be asked in place of the published FAN; needed in use too.
intensity_weights, feature_weights, style_weights, auxiliary_weights, total_variation_weights : three float
    Weights of the losses at each stage; a loss of weight 0 is not computed. The last two are the released code's extras.
geometry_weight, geometry_target : float, {"landmarks", "fan"}
    Weight of the geometry loss; whether its heatmaps are drawn at the HR face's landmarks or are FAN's of the HR face.
feature_network : {"vgg19", "stlpips-vgg", "none"}
    What feature and style losses look through; ``none`` leaves both out.
feature_normalised : bool
    Whether the pictures it sees are normalised as those that it was trained on.
feature_every : int
    It looks at one of so many faces of a batch: of 1 all, of 4 a quarter. Batches are drawn at random, so the loss expected
    is the same. The batch of each process must be a multiple of it.
gan_loss : {"bce", "lsgan"}
    The paper's log loss, or least squares.
local_weight, global_weight : float
    Weights of the adversarial losses; a discriminator of weight 0 is left out.
steps_1, steps_2, steps_3 : int
    Lengths of the three steps of training.
plain_steps : three int
    How much of each of them comes first with the intensity and geometry losses alone, before the other losses join; a phase
    of its own, ``i plain`` and so on. 0 in the paper; on short trainings it makes better faces (`docs/pro-uigan.md`).
lr_alone, lr_joint, lr_discriminator
    Adam's learning rates: of the one block in steps (i) and (ii) and of all blocks in the plain part of step (iii); of each
    block in the rest of step (iii); of the discriminators.
lr_schedule : {"constant", "cosine"}
    Cosine brings the rates down to a fiftieth in step (iii), in its plain part and in the rest each.
warp, colour : float
    How strongly training varies the faces; see `occface.training.batches.Augmentation`.
"""

from __future__ import annotations

from occface.errors import UsageError
from occface.faces.heatmaps import FAN_READINGS, LANDMARK_SETS
from occface.losses import GAN_LOSSES
from occface.methods.base import Config
from occface.networks.vgg import FEATURE_NETWORKS
from occface.registry import did_you_mean

__all__ = ["PRESETS", "VARIANTS", "check"]

_CHOICES: dict[str, tuple[str, ...]] = {
    "architecture": ("paper", "released"),
    "landmark_sources": ("stored", "carry", "fan", "truth"),
    "landmark_set": tuple(LANDMARK_SETS),
    "fan_reading": FAN_READINGS,
    "geometry_target": ("landmarks", "fan"),
    "feature_network": FEATURE_NETWORKS,
    "gan_loss": GAN_LOSSES,
    "lr_schedule": ("constant", "cosine"),
}
"""What settings choose from; those of the network itself are checked where it is built."""

_RELEASED: Config = {"attention": "dot_softmax", "norm": "batch", "skips": False, "priors": ["cm-am", "cm-am", "cm-am"]}
"""What is so in the published network, and cannot be otherwise."""

_PAPER: Config = {
    "architecture": "paper",
    "channels": [128, 128, 128],
    "blocks": [8, 7, 6],
    "attention": "cosine_softmax",
    "norm": "batch",
    "skips": False,
    "priors": ["cm-am", "cm-am", "cm-am"],
    "landmark_sources": ["stored", "carry", "carry"],
    "landmark_set": "full68",
    "fan_reading": "framed",
    "fan_weights": "",
    "discriminator_width": 64,
    "intensity_weights": [1.0, 1.0, 1.0],
    "geometry_weight": 1.0,
    "geometry_target": "landmarks",
    "feature_network": "vgg19",
    "feature_normalised": True,
    "feature_every": 1,
    "feature_weights": [0.01, 0.01, 0.01],
    "style_weights": [10.0, 10.0, 1.0],
    "gan_loss": "bce",
    "local_weight": 0.01,
    "global_weight": 0.01,
    "auxiliary_weights": [0.0, 0.0, 0.0],
    "total_variation_weights": [0.0, 0.0, 0.0],
    "batch_size": 16,
    "steps_1": 35_540,
    "steps_2": 35_540,
    "steps_3": 106_620,
    "plain_steps": [0, 0, 0],
    "lr_alone": 1e-3,
    "lr_joint": [1e-4, 1e-4, 1e-3],
    "lr_discriminator": 1e-4,
    "lr_schedule": "constant",
    "ema_decay": 0.999,
    "grad_clip": 1.0,
    "warp": 0.0,
    "colour": 0.0,
}

_SMALL: Config = _PAPER | {
    "attention": "cosine_linear",
    "norm": "none",
    "skips": True,
    "discriminator_width": 16,
    "feature_network": "stlpips-vgg",
    "lr_alone": 2e-3,
    "lr_joint": [2e-3, 2e-3, 2e-3],
    "lr_schedule": "cosine",
}

_WITHOUT_FEATURES: Config = {
    "feature_network": "none",
    "feature_weights": [0.0, 0.0, 0.0],
    "style_weights": [0.0, 0.0, 0.0],
}

_WITHOUT_ADVERSARIES: Config = {"local_weight": 0.0, "global_weight": 0.0}

PRESETS: dict[str, Config] = {
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
        "channels": [48, 24, 16],
        "blocks": [4, 2, 1],
        "feature_every": 4,
        "lr_discriminator": 1e-3,
        "batch_size": 8,
        "steps_1": 5000,
        "steps_2": 1500,
        "steps_3": 3600,
        "plain_steps": [5000, 1500, 3000],
        "lr_joint": [4e-4, 4e-4, 4e-4],
        "ema_decay": 0.995,
    },
    "demo": _SMALL
    | _WITHOUT_FEATURES
    | {
        "channels": [32, 24, 16],
        "blocks": [2, 2, 1],
        "discriminator_width": 8,
        "batch_size": 4,
        "steps_1": 600,
        "steps_2": 360,
        "steps_3": 300,
        "ema_decay": 0.99,
    },
    "test": _SMALL
    | _WITHOUT_FEATURES
    | {
        "channels": [16, 16, 16],
        "blocks": [1, 1, 1],
        "norm": "batch",
        "discriminator_width": 8,
        "batch_size": 4,
        "steps_1": 2,
        "steps_2": 2,
        "steps_3": 4,
        "ema_decay": 0.9,
    },
    "released": _PAPER
    | {
        "architecture": "released",
        "blocks": [2, 2, 2],
        "attention": "dot_softmax",
        "landmark_sources": ["fan", "fan", "fan"],
        "landmark_set": "released_7_42_68",
        "batch_size": 4,
        "steps_1": 0,
        "steps_2": 0,
        "steps_3": 710_800,
        "lr_joint": [5e-4, 5e-4, 5e-4],
    },
}
VARIANTS: dict[str, Config] = {
    # Table II and Fig. 4(h): other priors
    "p-fp": {"priors": ["none", "none", "none"], "geometry_weight": 0.0},
    "p-gt": {"priors": ["given", "given", "given"], "landmark_sources": ["truth", "truth", "truth"]},
    "no-cm-am-1": {"priors": ["none", "cm-am", "cm-am"]},
    # Table III: fewer losses
    "l-minus": _WITHOUT_FEATURES | _WITHOUT_ADVERSARIES,
    "l-dagger": {"feature_weights": [0.0, 0.01, 0.01], "style_weights": [0.0, 0.0, 0.0]} | _WITHOUT_ADVERSARIES,
    "l-ddagger": {"style_weights": [0.0, 0.0, 0.0]} | _WITHOUT_ADVERSARIES,
    "l-star": {"global_weight": 0.0},
    # The released code: FAN again at each stage, and the losses that the paper does not have
    "fan": {"landmark_sources": ["fan", "fan", "fan"]},
    "released-losses": {
        "intensity_weights": [10.0, 1.0, 1.0],
        "feature_weights": [0.1, 0.01, 0.01],
        "feature_normalised": False,
        "auxiliary_weights": [1.0, 1.0, 1.0],
        "total_variation_weights": [0.1, 0.1, 0.01],
        "gan_loss": "lsgan",
        "local_weight": 0.0,
        "global_weight": 0.001,
        "fan_reading": "released",
    },
}


def check(config: Config) -> None:
    """Raise a UsageError if a setting has no such value, or settings contradict each other."""
    for key, known in _CHOICES.items():
        for value in config[key] if isinstance(config[key], list) else [config[key]]:
            if value not in known:
                raise UsageError(f"unknown {key.replace('_', ' ').removesuffix('s')} '{value}': {did_you_mean(value, known)}")
    sources, network = config["landmark_sources"], config["feature_network"]
    if sources[0] == "carry":
        raise UsageError("landmark_sources: expected stored, fan or truth for stage 1, got 'carry': no stage comes before it")
    if "carry" in sources and config["landmark_set"] != "full68":
        raise UsageError(
            f"landmark_sources: stages of landmark_set '{config['landmark_set']}' have different landmarks, none to carry: "
            "set stored, fan or truth, or landmark_set=full68"
        )
    looks = {key: config[key] for key in ("feature_weights", "style_weights") if any(config[key])}
    if network == "none" and looks:
        raise UsageError(
            f"{next(iter(looks))} is {next(iter(looks.values()))}, but there is no feature network to look through: "
            "--set feature_network=vgg19 or stlpips-vgg, or weights of 0"
        )
    if config["architecture"] == "released":
        others = [key for key, value in _RELEASED.items() if config[key] != value]
        if others:
            raise UsageError(
                f"the released architecture has {others[0]} {_RELEASED[others[0]]}, got {config[others[0]]}: leave it"
            )
    for key in ("channels", "discriminator_width", "feature_every"):
        if min(config[key] if isinstance(config[key], list) else [config[key]]) < 1:
            raise UsageError(f"{key}: expected at least 1, got {config[key]}")
    if not any(config[f"steps_{number}"] for number in (1, 2, 3)):
        raise UsageError("steps_1, steps_2 and steps_3 are all 0: nothing would be trained")
    for number, plain in enumerate(config["plain_steps"], 1):
        if plain > config[f"steps_{number}"]:
            raise UsageError(
                f"plain_steps: expected at most the {config[f'steps_{number}']} of steps_{number}, got {plain}: set both"
            )
