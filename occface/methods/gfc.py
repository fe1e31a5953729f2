"""GFC, generative face completion (Li et al., CVPR 2017): an encoder-decoder that fills a hole, and two discriminators.

Training is a curriculum: reconstruction alone, then with the local discriminator on a window about the hole, then with the
global one on the whole composite as well. To its last step belongs a face-parsing loss too: a trained face parser must see the
same parts in the filled hole as in the true face. Without a parser it is left out, and training says so.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from occface import losses
from occface.errors import UsageError
from occface.faces.parsing import CLASSES_11
from occface.methods.base import Batch, Config, Phase, Role, TrainableMethod, evaluating
from occface.methods.faceparser import FaceParser
from occface.methods.schedules import cosine_fall
from occface.methods.weights import load_method
from occface.networks.layers import conv3x3, initialise, stem, unpooled

if TYPE_CHECKING:
    from occface.dataset.reader import DatasetFile

__all__ = ["GFC", "CompletionNet", "hole_windows"]

_LOG = logging.getLogger(__name__)
_WINDOW = 64

_PAPER: Config = {
    "width": 32,
    "fc_dim": 4096,
    "norm": "none",
    "discriminator_width": 32,
    "hole_weight": 1.0,
    "local_weight": 6.1e-3,
    "global_weight": 6.1e-3,
    "parser": "",
    "parsing_weight": 1.67e-2,
    "batch_size": 16,
    "steps_reconstruction": 35_540,
    "steps_local": 35_540,
    "steps_global": 35_540,
    "lr": 1e-4,
    "lr_discriminator": 2e-4,
    "lr_schedule": "constant",
    "ema_decay": 0.999,
    "grad_clip": 0.0,
    "warp": 1.0,
}

_SMALL: Config = _PAPER | {
    "width": 16,
    "fc_dim": 256,
    "norm": "batch",
    "discriminator_width": 8,
    "hole_weight": 4.0,
    "lr": 1e-3,
    "lr_schedule": "cosine",
    "grad_clip": 1.0,
    "warp": 0.0,
}


class CompletionNet(nn.Module):
    """Encoder, two fully connected layers, and a decoder that puts values back where the encoder's maxima were.

    Parameters
    ----------
    width : int
        Channels of the first convolution; 32 in the original.
    fc_dim : int
        Width of the bottleneck; 4096 in the original, which makes 98 % of its 137.07 M parameters.
    norm : {"none", "batch", "group"}
        Normalisation after each convolution; the original has none, and takes very many steps to train.
    """

    def __init__(self, width: int, fc_dim: int, norm: str) -> None:
        super().__init__()
        w = width
        plans = ((3, w, w), (w, 2 * w, 2 * w), (2 * w, 4 * w, 4 * w), (4 * w, 8 * w, 8 * w, 8 * w, 8 * w))
        self.encoder = nn.ModuleList(_convolutions(norm, *plan) for plan in plans)
        self.bottleneck = nn.Sequential(
            nn.Linear(8 * w * 64, fc_dim), nn.ReLU(inplace=True), nn.Linear(fc_dim, 8 * w * 64), nn.ReLU(inplace=True)
        )
        back = ((8 * w, 2 * w, 2 * w, 2 * w, 4 * w), (4 * w, 2 * w, 2 * w), (2 * w, 2 * w, w), (w, w, w))
        self.decoder = nn.ModuleList(_convolutions(norm, *plan) for plan in back)
        self.image_head = conv3x3(w, 3)
        initialise(self)
        nn.init.normal_(self.image_head.weight, std=0.02)

    def forward(self, image: Tensor) -> Tensor:
        """Return a picture (B,3,128,128), not clamped, of one whose hole is filled with noise (B,3,128,128)."""
        places: list[Tensor] = []
        x = image
        for convolutions in self.encoder:
            x, indices = F.max_pool2d_with_indices(convolutions(x), [2, 2])
            places.append(indices)
        x = self.bottleneck(x.flatten(1)).view_as(x)
        for convolutions in self.decoder:
            x = convolutions(unpooled(x, places.pop()))
        return self.image_head(x)


def _convolutions(norm: str, *widths: int) -> nn.Sequential:
    return nn.Sequential(*(stem(inputs, outputs, norm) for inputs, outputs in itertools.pairwise(widths)))


class _Discriminator(nn.Module):
    """Pairs of a 3x3 and a 4x4 convolution, each pair halving the size, down to 4x4, then one logit for the image."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = 3
        for outputs in widths:
            layers += [conv3x3(inputs, outputs), nn.LeakyReLU(0.2)]
            layers += [nn.Conv2d(outputs, outputs, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
            inputs = outputs
        self.layers = nn.Sequential(*layers, nn.Conv2d(inputs, 1, 4))
        initialise(self)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (B,1,1,1)."""
        return self.layers(images)


def hole_windows(images: Tensor, mask: Tensor, size: int = _WINDOW) -> Tensor:
    """Cut out the window about the hole of each image.

    The window is centred on the hole's bounding box and pushed inside the image. A hole wider than `size` gets a window as
    wide as itself, shrunk to `size`; an image without a hole gives all of itself, shrunk.

    Parameters
    ----------
    images : Tensor
        (B,C,N,N).
    mask : Tensor
        (B,1,N,N), 1 in the hole.
    size : int
        Height and width of what is returned.

    Returns
    -------
    Tensor
        (B,C,size,size), differentiable in `images`.
    """
    length = mask.shape[-1]
    bounds = []
    for axis in (3, 2):  # the rows that the hole touches, then the columns
        touched = (mask[:, 0].amax(axis - 1) > 0).to(torch.int8)
        bounds.append((touched.argmax(1), length - 1 - touched.flip(1).argmax(1)))
    extent = torch.stack([last - first + 1 for first, last in bounds]).amax(0)
    side = extent.clamp(min=size)
    pixels = (torch.arange(size, device=images.device) + 0.5) / size
    lines = []
    for first, last in bounds:
        start = (first + last + 1 - side).div(2, rounding_mode="floor").clamp(min=0)
        start = torch.minimum(start, length - side)
        lines.append((start[:, None] + pixels * side[:, None]) * (2 / length) - 1)
    rows, columns = lines
    grid = torch.stack([columns[:, None, :].expand(-1, size, -1), rows[:, :, None].expand(-1, -1, size)], dim=-1)
    return F.grid_sample(images.float(), grid, mode="bilinear", align_corners=False)


class GFC(TrainableMethod):
    """Fill the hole of a 128x128 face; the rest of the picture is passed on as it came.

    Settings
    --------
    width, fc_dim, norm
        See `CompletionNet`.
    discriminator_width : int
        Channels of the global discriminator's first layer (32 in the original); the local one has twice as many.
    hole_weight : float
        What the absolute differences inside the hole weigh in the mean; 1 in the original. Only the hole is ever shown, and
        on short trainings a larger weight makes it better.
    local_weight, global_weight : float
        Weights of the adversarial losses; the original's 300 on sums is 0.0061 on means.
    parser : str
        The run folder of a trained face parser, or its ``.safetensors`` file, for the parsing loss of the last phase; none:
        no such loss. Only training opens it.
    parsing_weight : float
        Weight of the parsing loss; the original's 0.05 on sums is 0.0167 on means.
    steps_reconstruction, steps_local, steps_global : int
        Lengths of the three phases.
    lr, lr_discriminator, lr_schedule
        Adam's learning rates; ``cosine`` brings them down to a fiftieth over the whole training, ``constant`` keeps them.
    warp : float
        How far training faces are turned and moved by chance: 1 is near the original's 5 degrees and 5 %, see
        `occface.training.batches`. Short trainings have none.
    """

    name = "gfc"
    role: ClassVar[Role] = "inpaint"
    needs = frozenset({"mask"})
    ADDED: ClassVar[Config] = {"parser": "", "parsing_weight": 0.0, "warp": 0.0}
    PRESETS: ClassVar[dict[str, Config]] = {
        "paper": _PAPER,
        "gpu": _PAPER
        | {
            "fc_dim": 1024,
            "norm": "batch",
            "lr": 3e-4,
            "steps_reconstruction": 10_000,
            "steps_local": 5000,
            "steps_global": 10_000,
            "lr_schedule": "cosine",
            "grad_clip": 1.0,
        },
        "cpu": _SMALL
        | {"fc_dim": 512, "discriminator_width": 16, "steps_reconstruction": 550, "steps_local": 100, "steps_global": 400},
        "demo": _SMALL
        | {"lr": 2e-3, "batch_size": 8, "steps_reconstruction": 150, "steps_local": 20, "steps_global": 30, "ema_decay": 0.95},
        "test": _SMALL
        | {
            "width": 4,
            "fc_dim": 32,
            "discriminator_width": 4,
            "batch_size": 4,
            "steps_reconstruction": 2,
            "steps_local": 2,
            "steps_global": 2,
            "ema_decay": 0.9,
        },
    }

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.generator: CompletionNet = CompletionNet(config["width"], config["fc_dim"], config["norm"])
        w = config["discriminator_width"]
        self.global_128 = _Discriminator([w, 2 * w, 4 * w, 8 * w, 16 * w])
        self.local_64 = _Discriminator([2 * w, 4 * w, 8 * w, 16 * w])
        self._made: tuple[Tensor, Tensor] | None = None
        # The parser and its hash, where torch does not see it: its weights are no state of the training, nor are they saved.
        self._parser: tuple[FaceParser, str] | None = None

    def prepare(self, data: DatasetFile) -> None:
        """Load the face parser that the parsing loss asks, or say that there is none.

        Raises
        ------
        UsageError
            If the setting `parser` names no trained face parser.
        """
        without = [key for key in ("parser", "parsing_weight", "steps_global") if not self.config[key]]
        if without:
            what = {"parser": "names no face parser", "parsing_weight": "is 0", "steps_global": "is 0"}[without[0]]
            _LOG.info("gfc: the setting %s %s, so the parsing loss is left out", without[0], what)
            return
        loaded = load_method(self.config["parser"])
        if not isinstance(loaded.method, FaceParser):
            raise UsageError(
                f"the setting 'parser' of gfc takes a trained face parser, got {self.config['parser']}, which is of method "
                f"'{loaded.name}': train one by `occface train face-parser`"
            )
        self._parser = loaded.method.requires_grad_(False), loaded.identity

    def fingerprint(self) -> Config:
        """Return the hash of the face parser that this training asks; nothing once trained, as the parser is not used then."""
        return {} if self._parser is None else {"parser": self._parser[1]}

    def phases(self) -> tuple[Phase, ...]:
        """Return the steps of the curriculum that have a length."""
        names = ("reconstruction", "local", "global")
        return tuple(Phase(name, self.config[f"steps_{name}"]) for name in names if self.config[f"steps_{name}"])

    def turns(self, phase: Phase) -> tuple[str, ...]:
        """Return the turns of a step: no discriminator yet in the first phase."""
        return ("generator",) if phase.name == "reconstruction" else ("discriminator", "generator")

    def optimizer(self, phase: Phase, turn: str) -> torch.optim.Optimizer:
        """Return Adam over the generator, or over the discriminators of a phase."""
        if turn == "discriminator":
            judges = [judge for _, judge in self._judges(phase)]
            parameters = [parameter for judge in judges for parameter in judge.parameters()]
            return torch.optim.Adam(parameters, lr=self.config["lr_discriminator"], betas=(0.5, 0.999), fused=True)
        return torch.optim.Adam(self.generator.parameters(), lr=self.config["lr"], fused=True)

    def lr_scale(self, phase: Phase, progress: float) -> float:
        """Return 1, or the cosine from 1 to 0.02 over all phases together."""
        if self.config["lr_schedule"] == "constant":
            return 1.0
        phases = self.phases()
        before = sum(other.steps for other in phases[: phases.index(phase)])
        done = (before + progress * phase.steps) / sum(other.steps for other in phases)
        return cosine_fall(done)

    def forward(self, batch: Batch, phase: Phase, turn: str) -> dict[str, Tensor]:
        """Return the weighted losses of a turn; real images are the clean ones, made ones the composites."""
        hr, mask = batch["hr"], batch["mask"]
        if turn == "discriminator":
            self.generator.requires_grad_(True)  # the generator's turn takes this pass over: same weights, same batch
            made = self._complete(hr, mask)
            composite = _composite(made, hr, mask).detach()
            judged = {
                name: losses.discriminator_loss(judge(_seen(name, hr, mask)), judge(_seen(name, composite, mask)), "bce")
                for name, judge in self._judges(phase)
            }
            self._made = hr, made
            return judged
        made = self._made[1] if self._made is not None and self._made[0] is hr else self._complete(hr, mask)
        self._made = None
        emphasis = 1 + (self.config["hole_weight"] - 1) * mask
        terms = {"reconstruction": (emphasis * (made.float() - hr).abs()).mean()}
        for name, judge in self._judges(phase):
            logits = judge(_seen(name, _composite(made, hr, mask), mask))
            terms[f"adversarial_{name}"] = self.config[f"{name}_weight"] * losses.generator_loss(logits, "bce")
        if self._parser is not None and phase.name == "global":
            parser = self._parser[0].to(hr.device)
            terms["parsing"] = self.config["parsing_weight"] * _parsing_loss(parser, _composite(made, hr, mask), hr, mask)
        return terms

    def _complete(self, hr: Tensor, mask: Tensor) -> Tensor:
        noise = 2 * torch.rand_like(hr) - 1
        return self.generator(_composite(noise, hr, mask))

    def _judges(self, phase: Phase) -> list[tuple[str, nn.Module]]:
        judges: list[tuple[str, nn.Module]] = [("local", self.local_64), ("global", self.global_128)]
        return judges[: {"reconstruction": 0, "local": 1, "global": 2}[phase.name]]

    @torch.no_grad()
    def hallucinate(self, batch: Batch, generator: nn.Module | None = None) -> Tensor:
        """Return `batch["image"]` (B,3,128,128) with the hole of `batch["mask"]` (B,1,128,128) filled.

        Whatever the hole holds is replaced by noise first, the same for every image and every call, so a face's result does
        not depend on the faces beside it.
        """
        image, mask = batch["image"], batch["mask"]
        noise = torch.rand(1, *image.shape[1:], generator=torch.Generator().manual_seed(0)).to(image) * 2 - 1
        with evaluating(generator or self.generator) as network:
            made = network(_composite(noise, image, mask)).clamp(-1, 1)
        return _composite(made, image, mask)


def _composite(made: Tensor, image: Tensor, mask: Tensor) -> Tensor:
    """Return `made` inside the hole and `image` outside of it."""
    return torch.where(mask > 0.5, made.to(image.dtype), image)


def _parsing_loss(parser: FaceParser, composite: Tensor, hr: Tensor, mask: Tensor) -> Tensor:
    """Return the cross-entropy against what the parser sees in the true face: 0 outside the hole, mean over all pixels."""
    truth = parser.parse(hr, CLASSES_11).long()
    each = F.cross_entropy(parser.logits(composite, CLASSES_11), truth, reduction="none")
    return (each * mask[:, 0]).mean()


def _seen(name: str, images: Tensor, mask: Tensor) -> Tensor:
    """Return what a discriminator looks at."""
    return hole_windows(images, mask) if name == "local" else images
