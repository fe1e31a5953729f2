"""Pro-UIGAN: progressive upsampling and inpainting, led by landmark heatmaps, in three steps of training (the paper's method).

Step (i) trains UI-block 1 with the local discriminator on the 16x16 centre of its result, step (ii) block 2 behind a kept
block 1, step (iii) all blocks with both local discriminators and the global one. A step runs only the blocks it needs. Each
may begin with a plain part, in which the intensity and geometry losses act alone.

A preset says how large and how long, a variant what is left out or replaced: ``cpu+p-fp`` is the preset ``cpu`` without
facial priors. ``docs/pro-uigan.md`` explains every setting, and where paper and released code disagree.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from occface import losses
from occface.errors import UsageError
from occface.faces.heatmaps import LANDMARK_SETS, FanHeatmaps, TrainedFanHeatmaps, gaussian_heatmaps
from occface.faces.trained_fan import TrainedFanLandmarks
from occface.methods.base import Batch, Config, Phase, Progress, Role, TrainableMethod, evaluating
from occface.methods.prouigan_presets import PRESETS, VARIANTS, check
from occface.methods.schedules import cosine_fall
from occface.networks.discriminators import centre_crop, global_discriminator, local_discriminator
from occface.networks.released import ReleasedUInet
from occface.networks.uinet import BeforeStage, Stages, UInet
from occface.networks.vgg import FeatureNetwork, Features, load_feature_network

__all__ = ["ProUIGAN"]

_STEPS, _PLAIN = ("i", "ii", "iii"), " plain"


class ProUIGAN(TrainableMethod):
    """Whole 128x128 faces from occluded 16x16 ones and the landmarks estimated from them; masks are not needed.

    What can be set, the presets and the variants stand in `occface.methods.prouigan_presets`.
    """

    name = "pro-uigan"
    role: ClassVar[Role] = "joint"
    progressive: ClassVar[bool] = True
    needs = frozenset({"landmarks"})
    PRESETS: ClassVar[dict[str, Config]] = PRESETS
    VARIANTS: ClassVar[dict[str, Config]] = VARIANTS
    ADDED: ClassVar[Config] = {"plain_steps": [0, 0, 0], "fan_weights": ""}

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        check(config)
        self.landmarks = LANDMARK_SETS[config["landmark_set"]]
        for number, numbers in enumerate(self.landmarks):  # on the device, for picking there without waiting for the host
            self.register_buffer(f"landmarks_{number}", torch.tensor(numbers), persistent=False)
        self.needs = _needs(config)
        self.generator: nn.Module = _generator(config, tuple(len(numbers) for numbers in self.landmarks))
        width = config["discriminator_width"]
        self.local_16 = local_discriminator(16, width)
        self.local_64 = local_discriminator(64, width)
        self.global_128 = global_discriminator(width)
        # Frozen networks, loaded when first needed. Held where torch does not see them: their weights are no state of the
        # training and no part of what is saved.
        self._frozen: dict[str, nn.Module | None] = {}
        self._shared: tuple[Tensor, _Pass] | None = None

    def assets(self) -> tuple[str, ...]:
        """Return the feature network if a loss looks through it, and FAN if it is asked."""
        looks = any(self.config["feature_weights"] + self.config["style_weights"])
        features = {"none": (), "vgg19": ("vgg16", "vgg19")}.get(
            self.config["feature_network"], (self.config["feature_network"],)
        )
        aimed_at = self.config["geometry_target"] == "fan" and self.config["geometry_weight"]
        asked = "fan" in _sources(self.config) or aimed_at
        return (*(features if looks else ()), *(("fan",) if asked and not self.config["fan_weights"] else ()))

    def fingerprint(self) -> Config:
        """Return the hash of the network that is asked in place of the published FAN, if one is."""
        path = self.config["fan_weights"]
        return {"fan": TrainedFanLandmarks.open(path).sha256} if path else {}

    def phases(self) -> tuple[Phase, ...]:
        """Return the steps (i), (ii) and (iii) of training that have a length, each behind its plain part, if it has one."""
        phases = []
        for number, name in enumerate(_STEPS):
            plain = self.config["plain_steps"][number]
            phases += [Phase(f"{name}{_PLAIN}", plain), Phase(name, self.config[f"steps_{number + 1}"] - plain)]
        return tuple(phase for phase in phases if phase.steps)

    def turns(self, phase: Phase) -> tuple[str, ...]:
        """Return the turns of a step; UI-block 2's loss (Eq. 13) has no discriminator in it."""
        return ("discriminator", "generator") if self._judges(phase) else ("generator",)

    def _judges(self, phase: Phase) -> dict[str, nn.Module]:
        """Return the discriminators that have a say in a phase."""
        judges: dict[str, nn.Module] = {}
        if _is_plain(phase):
            return judges
        if self.config["local_weight"] and _blocks(phase) != 2:
            judges["local_16"] = self.local_16
        if self.config["local_weight"] and _blocks(phase) == 3:
            judges["local_64"] = self.local_64
        if self.config["global_weight"] and _blocks(phase) == 3:
            judges["global_128"] = self.global_128
        return judges

    def optimizer(self, phase: Phase, turn: str) -> torch.optim.Optimizer:
        """Return Adam over the blocks or discriminators of a phase."""
        if turn == "discriminator":
            parameters = [parameter for judge in self._judges(phase).values() for parameter in judge.parameters()]
            return torch.optim.Adam(parameters, lr=self.config["lr_discriminator"], fused=True)
        rates = dict.fromkeys(_trained(phase), self.config["lr_alone"])
        if _blocks(phase) == 3 and not _is_plain(phase):
            rates = dict(enumerate(self.config["lr_joint"]))
        blocks = self._ui_blocks()
        groups: list[dict[str, Any]] = [
            {"params": list(blocks[number].parameters()), "lr": rate} for number, rate in rates.items()
        ]
        return torch.optim.Adam(groups, fused=True)

    def _ui_blocks(self) -> list[nn.Module]:
        return list(self.generator.get_submodule("blocks").children())

    def lr_scale(self, phase: Phase, progress: float) -> float:
        """Return 1, or the cosine from 1 to 0.02 in each phase of step (iii)."""
        if self.config["lr_schedule"] == "constant" or _blocks(phase) != 3:
            return 1.0
        return cosine_fall(progress)

    def forward(self, batch: Batch, phase: Phase, turn: str) -> dict[str, Tensor]:
        """Return the weighted losses of a turn (Eq. 8, 9 and 12-15)."""
        if turn == "discriminator":
            made = self._pass(batch, phase)
            self._shared = batch["lr"], made  # the generator's turn follows on the same weights and batch: no second pass
            return {
                name: losses.discriminator_loss(judge(real), judge(fake.detach()), self.config["gan_loss"])
                for name, judge, fake, real in self._judged(made, phase)
            }
        shared, self._shared = self._shared, None
        made = shared[1] if shared is not None and shared[0] is batch["lr"] else self._pass(batch, phase)
        return self._generator_losses(made, phase)

    def _generator_losses(self, made: _Pass, phase: Phase) -> dict[str, Tensor]:
        config, stages = self.config, made.stages
        terms: dict[str, Tensor] = {}
        for number in _trained(phase):
            stage, image = number + 1, stages.images[number]
            terms[f"intensity_{stage}"] = config["intensity_weights"][number] * losses.intensity(
                image, made.truth(image.shape[-1])
            )
            maps = stages.heatmaps[number]
            if config["geometry_weight"] and maps is not None:
                target = self._target_heatmaps(made, number, maps.shape[-1])
                terms[f"geometry_{stage}"] = config["geometry_weight"] * losses.geometry(maps, target)
            if _is_plain(phase):
                continue
            terms |= self._looked(made, image, stage, config["feature_weights"][number], config["style_weights"][number])
            weight = config["auxiliary_weights"][number]
            if weight:
                small = stages.auxiliary[number]
                terms[f"auxiliary_{stage}"] = weight * losses.intensity(small, made.truth(small.shape[-1]))
                looked = self._looked(made, small, stage, weight * config["feature_weights"][number], 0.0)
                terms |= {f"auxiliary_{name}": value for name, value in looked.items()}
            weight = config["total_variation_weights"][number]
            if weight:
                terms[f"total_variation_{stage}"] = weight * losses.total_variation(image)
        for name, judge, fake, _ in self._judged(made, phase):
            weight = config["global_weight" if name == "global_128" else "local_weight"]
            terms[f"adversarial_{name}"] = weight * losses.generator_loss(judge(fake), config["gan_loss"])
        return terms

    def _looked(self, made: _Pass, image: Tensor, stage: int, feature: float, style: float) -> dict[str, Tensor]:
        """Return the feature and style losses of a picture, those that have a weight."""
        network = self._feature_network(image.device) if feature or style else None
        if network is None:
            return {}
        every = self.config["feature_every"]
        if len(image) % every:
            raise UsageError(
                f"expected a batch (of each process) that is a multiple of feature_every={every}, got {len(image)}"
            )
        ours, theirs = network(image[::every]), made.features(network, image.shape[-1], every)
        terms = {}
        if feature:
            terms[f"feature_{stage}"] = feature * losses.feature(ours.feature, theirs.feature)
        if style:
            terms[f"style_{stage}"] = style * losses.style(ours.styles, theirs.styles)
        return terms

    def _target_heatmaps(self, made: _Pass, number: int, size: int) -> Tensor:
        if self.config["geometry_target"] == "fan":
            return self._picked(self._fan(made.hr.device)(made.hr, size), number)
        return gaussian_heatmaps(self._picked(made.landmarks, number), size)

    def _picked(self, of_all: Tensor, number: int) -> Tensor:
        """Return of values (B, 68, ...) those of a stage's landmarks."""
        if len(self.landmarks[number]) == of_all.shape[1]:
            return of_all
        return of_all.index_select(1, self.get_buffer(f"landmarks_{number}").to(of_all.device))

    def _pass(self, batch: Batch, phase: Phase) -> _Pass:
        """Run the blocks that the phase needs, those it keeps in evaluation mode, with a graph for the generator's turn."""
        for number, block in enumerate(self._ui_blocks()):
            trained = number in _trained(phase)
            block.train(trained and self.training)
            block.requires_grad_(trained)
        return _Pass(self._stages(self.generator, batch, _blocks(phase)), batch["hr"], batch["landmarks"])

    def _stages(self, network: nn.Module, batch: Batch, count: int, before: BeforeStage | None = None) -> Stages:
        """Run the first blocks of a generator, each with heatmaps of its source."""
        heatmaps = [self._source(number, batch) for number in range(count)]
        return network(batch["lr"], heatmaps, stages=count, before=before)

    def _source(self, number: int, batch: Batch) -> Tensor | Callable[[Tensor, int], Tensor] | None:
        """Return what a stage starts from, as the generator takes it: heatmaps, what finds them, or None to carry."""
        source, size = self.config["landmark_sources"][number], 16 << number
        if source == "carry" or not _looked_at(self.config)[number]:
            return None
        if source == "fan":
            fan = self._fan(batch["lr"].device)
            return lambda image, _: self._picked(fan(image, size), number)
        name = "landmarks_lr" if source == "stored" else "landmarks"
        if name not in batch:
            raise UsageError(f"expected '{name}' (B,68,2) in the batch for stage {number + 1}, got {', '.join(sorted(batch))}")
        return gaussian_heatmaps(self._picked(batch[name], number), size)

    def _judged(self, made: _Pass, phase: Phase) -> list[tuple[str, nn.Module, Tensor, Tensor]]:
        """Return name, discriminator, made and real crop of each that has a say in the phase."""
        judged = []
        for name, judge in self._judges(phase).items():
            image = made.stages.images[0 if name == "local_16" else 2]
            crop = {"local_16": 16, "local_64": 64, "global_128": 128}[name]
            judged.append((name, judge, centre_crop(image, crop), centre_crop(made.truth(image.shape[-1]), crop)))
        return judged

    def _feature_network(self, device: torch.device) -> FeatureNetwork | None:
        if "features" not in self._frozen:
            # Where the pass runs in half precision so do the frozen weights: autocast would convert them anew at each pass.
            dtype = torch.get_autocast_dtype(device.type) if torch.is_autocast_enabled(device.type) else torch.float32
            name, normalised = self.config["feature_network"], self.config["feature_normalised"]
            self._frozen["features"] = load_feature_network(name, device, dtype, normalised)
        network = self._frozen["features"]
        assert network is None or isinstance(network, FeatureNetwork)
        return network

    def _fan(self, device: torch.device) -> nn.Module:
        if "fan" not in self._frozen:
            path = self.config["fan_weights"]
            trained = TrainedFanHeatmaps(TrainedFanLandmarks.open(path).network()) if path else None
            self._frozen["fan"] = (trained or FanHeatmaps(self.config["fan_reading"])).to(device)
        fan = self._frozen["fan"]
        assert fan is not None
        return fan

    def load(self, device: torch.device) -> None:
        """Load FAN, where it finds the landmarks."""
        if "fan" in _sources(self.config):
            self._fan(device)

    def asked(self) -> dict[str, nn.Module]:
        """Return FAN, once it was loaded."""
        fan = self._frozen.get("fan")
        return {} if fan is None else {"FAN": fan}

    @torch.no_grad()
    def hallucinate(self, batch: Batch, generator: nn.Module | None = None) -> Tensor:
        """Return whole faces (B,3,128,128) of `batch["lr"]`, and of the landmarks that `needs` names."""
        with evaluating(generator or self.generator) as network:
            return self._stages(network, batch, 3).images[2]

    @torch.no_grad()
    def results(self, batch: Batch, generator: nn.Module | None = None) -> dict[str, Tensor]:
        """Return the pictures of the three stages."""
        with evaluating(generator or self.generator) as network:
            return {f"stage_{number}": image for number, image in enumerate(self._stages(network, batch, 3).images, 1)}

    @torch.no_grad()
    def progress(self, batch: Batch, before: BeforeStage | None = None) -> Progress:
        """Return the pictures of the three stages, and the refined heatmaps of each; None of one without CM-AM."""
        with evaluating(self.generator) as network:
            made = self._stages(network, batch, 3, before)
        return Progress(list(made.images), list(made.heatmaps))

    @torch.no_grad()
    def preview(self, batch: Batch, generator: nn.Module | None = None) -> dict[str, Tensor]:
        """Return each stage's strongest heatmap at every pixel, as a grey picture."""
        with evaluating(generator or self.generator) as network:
            found = self._stages(network, batch, 3).heatmaps
        return {
            f"heatmaps_{number}": (2 * maps.amax(1, keepdim=True) - 1).expand(-1, 3, -1, -1)
            for number, maps in enumerate(found, 1)
            if maps is not None
        }


@dataclass
class _Pass:
    """What the two turns of a step share: the stages' results, and of the true faces what losses compare them with."""

    stages: Stages
    hr: Tensor
    landmarks: Tensor
    _truths: dict[int, Tensor] = field(default_factory=dict)
    _features: dict[int, Features] = field(default_factory=dict)

    def truth(self, size: int) -> Tensor:
        """Return clean HR faces at a stage's size, bilinear with antialiasing."""
        if size not in self._truths:
            whole = size == self.hr.shape[-1]
            self._truths[size] = (
                self.hr if whole else F.interpolate(self.hr, size=(size, size), mode="bilinear", antialias=True)
            )
        return self._truths[size]

    def features(self, network: FeatureNetwork, size: int, every: int) -> Features:
        """Return what the feature network sees in one of `every` of them."""
        if size not in self._features:
            with torch.no_grad():
                self._features[size] = network(self.truth(size)[::every])
        return self._features[size]


def _generator(config: Config, landmarks: tuple[int, ...]) -> nn.Module:
    if config["architecture"] == "released":
        return ReleasedUInet(config["channels"], config["blocks"], landmarks=landmarks)
    return UInet(
        config["channels"],
        config["blocks"],
        attention=config["attention"],
        norm=config["norm"],
        skips=config["skips"],
        landmarks=landmarks,
        priors=config["priors"],
        auxiliary=any(config["auxiliary_weights"]),
    )


def _looked_at(config: Config) -> list[bool]:
    """Return for each stage whether the heatmaps that enter it are looked at, there or where they are carried to."""
    led = [config["architecture"] == "released" or prior != "none" for prior in config["priors"]]
    looked = list(led)
    for number in (1, 0):
        looked[number] |= looked[number + 1] and config["landmark_sources"][number + 1] == "carry"
    return looked


def _sources(config: Config) -> set[str]:
    """Return the sources of heatmaps that a stage looks at."""
    return {source for source, looked in zip(config["landmark_sources"], _looked_at(config), strict=True) if looked}


def _needs(config: Config) -> frozenset[str]:
    """Return which landmarks must be given: none where no block looks at any, or where FAN finds them all."""
    names = {"stored": "landmarks", "truth": "true landmarks"}
    return frozenset(names[source] for source in _sources(config) & names.keys())


def _blocks(phase: Phase) -> int:
    """Return how many UI-blocks a phase runs."""
    return _STEPS.index(phase.name.removesuffix(_PLAIN)) + 1


def _trained(phase: Phase) -> range:
    """Return the numbers of the UI-blocks that a phase trains, from 0: all in step (iii), the last one that runs before it."""
    return range(0 if _blocks(phase) == 3 else _blocks(phase) - 1, _blocks(phase))


def _is_plain(phase: Phase) -> bool:
    return phase.name.endswith(_PLAIN)
