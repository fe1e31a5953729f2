"""StyleGAN (Karras et al., CVPR 2019) on the faces of a data set: a generator in whose styles PULSE can search.

It makes faces up and restores none, so it enters no pipeline and there is no PSNR. Its pictures have the framing of the data
set it was trained on. Trained with the non-saturating logistic loss and a penalty on the judge's gradient at real faces (R1).
"""

from __future__ import annotations

import contextlib
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from occface import losses, seeding
from occface.methods.base import Batch, Config, Phase, Role, TrainableMethod, evaluating
from occface.networks.stylegan import STYLE_SIZE, StyleGenerator, StyleJudge

__all__ = ["StyleGAN", "fixed_noise"]

_FACES = 6
"""Faces in a row of the sample strip."""
_TRUNCATION = 0.7

_PAPER: Config = {
    "size": 128,
    "base_channels": 8192,
    "max_channels": 512,
    "mapping_layers": 8,
    "judge_channels": 512,
    "style_mixing": 0.9,
    "r1_gamma": 10.0,
    "r1_every": 1,
    "batch_size": 32,
    "steps": 312_500,
    "lr": 2e-3,
    "ema_decay": 0.999,
    "grad_clip": 0.0,
}


class StyleGAN(TrainableMethod):
    """A generator of faces and its judge.

    Settings
    --------
    size : int
        Side of the pictures it draws, a power of two; smaller ones are enlarged to 128.
    base_channels, max_channels : int
        Channels at a size are `base_channels` over half of it, but at most `max_channels`.
    mapping_layers : int
        Depth of the network that turns latents into styles.
    judge_channels : int
        Most channels of the judge.
    style_mixing : float
        The part of the made faces that take their coarse styles from one latent and their fine ones from another.
    r1_gamma, r1_every : float, int
        Weight of the gradient penalty, and at which steps it is taken: every one, or every so many, then weighing as much more.
    steps, lr
        Steps of training and Adam's rate, of generator and judge; its betas are 0 and 0.99.
    """

    name = "stylegan"
    role: ClassVar[Role] = "generator"
    PRESETS: ClassVar[dict[str, Config]] = {
        "paper": _PAPER,
        "gpu": _PAPER | {"base_channels": 4096, "max_channels": 256, "judge_channels": 256, "r1_every": 16, "steps": 40_000},
        "cpu": _PAPER
        | {
            "size": 64,
            "base_channels": 1024,
            "max_channels": 64,
            "mapping_layers": 4,
            "judge_channels": 64,
            "r1_every": 16,
            "batch_size": 8,
            "steps": 3000,
            "ema_decay": 0.995,
        },
        "demo": _PAPER
        | {
            "size": 32,
            "base_channels": 512,
            "max_channels": 64,
            "mapping_layers": 2,
            "judge_channels": 64,
            "r1_every": 8,
            "batch_size": 8,
            "steps": 500,
            "ema_decay": 0.98,
        },
        "test": _PAPER
        | {
            "size": 16,
            "base_channels": 64,
            "max_channels": 8,
            "mapping_layers": 2,
            "judge_channels": 8,
            "r1_every": 2,
            "batch_size": 4,
            "steps": 4,
            "ema_decay": 0.9,
        },
    }

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        size, base = config["size"], config["base_channels"]
        self.generator: StyleGenerator = StyleGenerator(size, base, config["max_channels"], config["mapping_layers"])
        self.judge = StyleJudge(size, base, config["judge_channels"])
        self._judged = 0  # a plain number: to ask a tensor on the device would be to wait for it at each step

    def get_extra_state(self) -> dict[str, int]:
        """Return, for the checkpoint, how often the judge has had its turn: a resumed training takes the penalty as before."""
        return {"judged": self._judged}

    def set_extra_state(self, state: Any) -> None:
        """Take that number out of a checkpoint."""
        self._judged = int(state["judged"])

    def phases(self) -> tuple[Phase, ...]:
        """Return the one phase of training."""
        return (Phase("adversarial", self.config["steps"]),)

    def turns(self, phase: Phase) -> tuple[str, ...]:
        """Return the judge's turn, then the generator's."""
        return ("discriminator", "generator")

    def optimizer(self, phase: Phase, turn: str) -> torch.optim.Optimizer:
        """Return Adam without momentum."""
        learning = self.judge if turn == "discriminator" else self.generator
        return torch.optim.Adam(learning.parameters(), lr=self.config["lr"], betas=(0.0, 0.99), fused=True)

    def forward(self, batch: Batch, phase: Phase, turn: str) -> dict[str, Tensor]:
        """Return the losses of a turn: of the judge with the gradient penalty when it is due, or of the generator."""
        made = self._made(batch["hr"])
        if turn == "generator":
            return {"adversarial": losses.generator_loss(self.judge(made), "bce")}
        real = self._real(batch["hr"])
        every = self.config["r1_every"]
        due = self._judged % every == 0
        self._judged += 1
        # slopes are small, and differentiated again: half precision is too coarse for them
        with torch.autocast(real.device.type, enabled=False) if due else contextlib.nullcontext():
            logits = self.judge(real.requires_grad_(due))
            terms = {} if not due else {"r1": every * self.config["r1_gamma"] / 2 * _steepness(logits, real)}
        return {"adversarial": losses.discriminator_loss(logits, self.judge(made.detach()), "bce"), **terms}

    def _real(self, hr: Tensor) -> Tensor:
        size = self.config["size"]
        if hr.shape[-1] == size:
            return hr.detach().clone()
        return F.interpolate(hr.detach(), size=(size, size), mode="bilinear", antialias=True)

    def _made(self, hr: Tensor) -> Tensor:
        count = len(hr)
        z, other = hr.new_empty(2, count, STYLE_SIZE).normal_()
        inputs = self.generator.styles
        crossing = torch.randint(1, inputs, (count,), device=hr.device)
        mixed = torch.rand(count, device=hr.device) < self.config["style_mixing"]
        return self.generator(z, other, torch.where(mixed, crossing, inputs))

    def measures(self, batch: Batch, generator: nn.Module | None = None) -> dict[str, float]:
        """Return no scores: made-up faces have no truth to compare with, and a few dozen are too few for a distribution's."""
        return {}

    @torch.no_grad()
    def hallucinate(self, batch: Batch, generator: nn.Module | None = None) -> Tensor:
        """Return made-up faces (B,3,128,128), as many as the batch has, of nobody in it; the same ones at each call."""
        count = len(next(iter(batch.values()))) if batch else 1
        return self._faces(generator or self.generator, range(count))

    @torch.no_grad()
    def results(self, batch: Batch, generator: nn.Module | None = None) -> dict[str, Tensor]:
        """Return the first six faces."""
        return {"faces": self._faces(generator or self.generator, range(_FACES))}

    @torch.no_grad()
    def preview(self, batch: Batch, generator: nn.Module | None = None) -> dict[str, Tensor]:
        """Return six more faces, and the first six moved towards the mean face: less variety, fewer failures."""
        network = generator or self.generator
        more = self._faces(network, range(_FACES, 2 * _FACES))
        return {"more": more, f"psi {_TRUNCATION}": self._faces(network, range(_FACES), _TRUNCATION)}

    def parts(self) -> tuple[nn.Module, ...]:
        """Return the generator: the penalty differentiates the judge twice, which compilers do not."""
        return (self.generator,)

    def _faces(self, network: nn.Module, numbers: range, truncation: float = 1.0) -> Tensor:
        """Return the faces of these numbers: latent and noise hang on the number alone, the same on every device."""
        assert isinstance(network, StyleGenerator)
        place = next(network.parameters())
        z = _latents(numbers, place)
        with evaluating(network):
            styles = network.mapping(z)
            if truncation != 1:
                middle = network.mapping(_latents(range(10_000, 11_000), place)).mean(0)
                styles = torch.lerp(middle.expand_as(styles), styles, truncation)
            pictures = network.synthesis(styles, fixed_noise(network, 0, place)).float()
        return F.interpolate(pictures, size=(128, 128), mode="bicubic", antialias=True).clamp(-1, 1)


def _steepness(logits: Tensor, images: Tensor) -> Tensor:
    """Return the mean over the images of the square of their logits' gradient; it can be differentiated itself."""
    (slope,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return slope.square().sum((1, 2, 3)).mean()


def _latents(numbers: range, place: Tensor) -> Tensor:
    drawn = [seeding.rng(0, "stylegan", number).standard_normal((1, STYLE_SIZE), dtype="float32") for number in numbers]
    return torch.cat([torch.from_numpy(z) for z in drawn]).to(place.device)


def fixed_noise(network: StyleGenerator, seed: int, place: Tensor) -> list[Tensor]:
    """Return a noise map (1,1,N,N) for each style input, that hangs on the seed alone, on the device of `place`."""
    sides = [4 << (number // 2) for number in range(network.styles)]
    drawn = [
        seeding.rng(seed, "stylegan", "noise", number).standard_normal((1, 1, side, side), dtype="float32")
        for number, side in enumerate(sides)
    ]
    return [torch.from_numpy(noise).to(place.device) for noise in drawn]
