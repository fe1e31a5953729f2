"""FAN trained on the faces of a data set: landmark heatmaps of aligned faces, of HR and of LR ones, occluded or not.

Bulat and Tzimiropoulos, "How far are we from solving the 2D & 3D face alignment problem?", ICCV 2017. The published network
knows photographs, framed more widely than the 128x128 crop. This one sees the crop itself, and learns what sixteen pixels and
a hole leave of a face: it is shown the same faces in HR, in LR and in occluded LR, the LR ones enlarged bicubically.
``docs/methods/fan.md`` says what differs from the original.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn

from occface.errors import UsageError
from occface.faces.heatmaps import (
    DECODINGS,
    enlarged,
    expected_places,
    gaussian_heatmaps,
    read_landmarks,
    seen_heatmaps,
)
from occface.faces.landmarks import nrmse
from occface.methods.base import Batch, Config, Phase, Role, TrainableMethod, evaluating
from occface.methods.schedules import cosine_fall
from occface.networks.fan import FAN
from occface.registry import did_you_mean

if TYPE_CHECKING:
    from occface.dataset.reader import DatasetFile

__all__ = ["VIEWS", "FanMethod"]

#: What of a face is shown to the network, by its name in a batch: the order of the setting `shares`.
VIEWS: tuple[str, ...] = ("hr", "lr_clean", "lr")

_MARK = (-1.0, 1.0, -1.0)
_MAP = 64
#: From so many faces the mean heatmaps are made: more would not change them to the eye.
_MEAN_OF = 512

_PAPER: Config = {
    "stacks": 4,
    "width": 256,
    "mean_face": False,
    "shares": [0.3, 0.2, 0.5],
    "emphasis": 0.0,
    "coordinate_weight": 0.0,
    "decoding": "peaks",
    "batch_size": 16,
    "steps": 71_080,
    "lr": 2.5e-4,
    "lr_schedule": "cosine",
    "warp": 1.0,
    "colour": 1.0,
    "ema_decay": 0.999,
    "grad_clip": 0.0,
}

_SMALL: Config = _PAPER | {
    "stacks": 1,
    "width": 64,
    "mean_face": True,
    "emphasis": 4.0,
    "coordinate_weight": 0.5,
    "decoding": "expected",
    "lr": 2e-3,
    "warp": 0.5,
    "ema_decay": 0.99,
    "grad_clip": 5.0,
}


class FanMethod(TrainableMethod):
    """Find 68 landmarks in aligned faces: (B,3,128,128), or LR faces of any size, which are enlarged.

    Settings
    --------
    stacks, width : int
        Hourglasses and their channels; 4 and 256 in the original. See `occface.networks.fan.FAN`.
    mean_face : bool
        Whether the network draws corrections to the mean of the training faces' heatmaps, not heatmaps from nothing. The crops
        are aligned, so that a short training need not learn where faces have their eyes.
    shares : list of float
        Shares of HR, clean LR and occluded LR faces in a batch; only their proportions count.
    emphasis : float
        A pixel's squared difference weighs 1 + emphasis * target, so that the few pixels of a peak are not lost among those
        that are empty; 0 in the original.
    coordinate_weight : float
        Weight of the mean absolute difference, in pixels of the crop, between landmarks and the heatmaps' expected places; 0 in
        the original.
    decoding : {"peaks", "expected"}
        How landmarks are read from heatmaps, see `occface.faces.heatmaps.read_landmarks`.
    steps : int
        Length of the training.
    lr, lr_schedule
        Adam's learning rate; ``cosine`` brings it down to a fiftieth, ``constant`` keeps it.
    """

    name = "fan"
    role: ClassVar[Role] = "landmarks"
    PRESETS: ClassVar[dict[str, Config]] = {
        "paper": _PAPER,
        "gpu": _SMALL | {"stacks": 2, "width": 128, "batch_size": 32, "steps": 20_000, "lr": 1e-3, "ema_decay": 0.999},
        "cpu": _SMALL | {"steps": 1100},
        "demo": _SMALL | {"width": 32, "batch_size": 8, "steps": 400, "ema_decay": 0.95},
        "test": _SMALL | {"width": 16, "batch_size": 4, "steps": 4, "ema_decay": 0.9},
    }

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        _check(config)
        prior = _MAP if config["mean_face"] else 0
        self.generator: FAN = FAN(config["stacks"], width=config["width"], pooled=False, prior=prior)
        if prior:
            for number in range(config["stacks"]):  # so that training starts at the mean face
                nn.init.normal_(self.generator.get_submodule(f"l{number}").get_parameter("weight"), std=1e-3)
                nn.init.zeros_(self.generator.get_submodule(f"l{number}").get_parameter("bias"))
        bounds = torch.tensor(config["shares"]).cumsum(0) / sum(config["shares"])
        self.register_buffer("bounds", bounds[:-1], persistent=False)

    @torch.no_grad()
    def prepare(self, data: DatasetFile) -> None:
        """Draw the mean of the training faces' heatmaps, of up to 512 of them at equal distances, where it is asked for."""
        if self.generator.prior is None:
            return
        landmarks = torch.from_numpy(data.stack("train", "landmarks")).float()
        landmarks = landmarks[:: math.ceil(len(landmarks) / _MEAN_OF)]
        total = torch.zeros_like(self.generator.prior)
        for some in landmarks.to(total.device).split(16):
            total += gaussian_heatmaps(some, _MAP).sum(0)
        self.generator.prior.copy_(total / len(landmarks))

    def phases(self) -> tuple[Phase, ...]:
        """Return the only phase."""
        return (Phase("heatmaps", self.config["steps"]),)

    def turns(self, phase: Phase) -> tuple[str, ...]:
        """Return the only turn."""
        return ("generator",)

    def optimizer(self, phase: Phase, turn: str) -> torch.optim.Optimizer:
        """Return Adam over the network."""
        return torch.optim.Adam(self.generator.parameters(), lr=self.config["lr"], fused=True)

    def lr_scale(self, phase: Phase, progress: float) -> float:
        """Return 1, or the cosine from 1 to 0.02."""
        if self.config["lr_schedule"] == "constant":
            return 1.0
        return cosine_fall(progress)

    def forward(self, batch: Batch, phase: Phase, turn: str) -> dict[str, Tensor]:
        """Return the difference of the heatmaps from Gaussians, after every hourglass, and that of the landmarks."""
        maps = self.generator((self._mixed(batch) + 1) / 2, each=True).float()
        target = gaussian_heatmaps(batch["landmarks"], maps.shape[-1])
        weights = 1 + self.config["emphasis"] * target
        # A sum over a map's pixels, nearly all of which are empty, then means: about 10 for maps of nothing.
        terms = {"heatmaps": (weights * (maps - target) ** 2).sum((-2, -1)).mean((1, 2)).sum()}
        if self.config["coordinate_weight"]:
            away = (expected_places(maps[-1]) - batch["landmarks"]).abs().mean()
            terms["coordinates"] = self.config["coordinate_weight"] * away
        return terms

    def _mixed(self, batch: Batch) -> Tensor:
        """Return each face of a batch in one of the views, as many in each as their shares say; (B,3,128,128)."""
        count, device = len(batch["hr"]), batch["hr"].device
        # Places at equal distances from a random start: a batch has the shares to a face, and small ones have them over time.
        places = (torch.arange(count, device=device) + torch.rand(1, device=device)) / count
        view = torch.bucketize(places, self.get_buffer("bounds"), right=True)[:, None, None, None]
        shown = batch["hr"].float()
        for number, name in enumerate(VIEWS[1:], 1):
            shown = torch.where(view == number, enlarged(batch[name]), shown)
        return shown

    @torch.no_grad()
    def _seen(self, images: Tensor, generator: nn.Module | None) -> Tensor:
        with evaluating(generator or self.generator) as network:
            return seen_heatmaps(network, images).float()

    def landmarks_of(self, images: Tensor, generator: nn.Module | None = None) -> Tensor:
        """Return the landmarks of aligned faces, in pixels of the 128x128 crop.

        Parameters
        ----------
        images : Tensor
            (B,3,N,N) RGB in [-1,1]; LR faces are enlarged.
        generator : Module, optional
            The network to use instead of the method's own, such as its running average.

        Returns
        -------
        Tensor
            (B,68,2) float32 x and y.
        """
        return read_landmarks(self._seen(images, generator), self.config["decoding"])

    def measures(self, batch: Batch, generator: nn.Module | None = None) -> dict[str, float]:
        """Return for each view how far the landmarks lie from the data set's: the mean of NRMSE (%), and in pixels."""
        true = batch["landmarks"].float()
        scores: dict[str, float] = {}
        for name in VIEWS:
            found = self.landmarks_of(batch[name], generator)
            scores[f"nrmse_{name}"] = float(nrmse(found.cpu().numpy(), true.cpu().numpy()).mean())
            scores[f"pixels_{name}"] = float((found - true).norm(dim=-1).mean())
        return scores

    def results(self, batch: Batch, generator: nn.Module | None = None) -> dict[str, Tensor]:
        """Return the picture ``batch["image"]`` with the landmarks found in it."""
        return {"landmarks": _marked(batch["image"], self.landmarks_of(batch["image"], generator))}

    def preview(self, batch: Batch, generator: nn.Module | None = None) -> dict[str, Tensor]:
        """Return LR faces with the landmarks found in them, and the strongest of the heatmaps at every pixel, in grey."""
        pictures = {}
        for name in VIEWS[1:]:
            pictures[f"landmarks_{name}"] = _marked(enlarged(batch[name]), self.landmarks_of(batch[name], generator))
        strongest = self._seen(batch["lr"], generator).amax(1, keepdim=True).clamp(0, 1)
        return {**pictures, "heatmaps_lr": (2 * strongest - 1).expand(-1, 3, -1, -1)}


def _check(config: Config) -> None:
    """Refuse settings that no FAN can have."""
    if config["stacks"] < 1 or config["width"] < 16 or config["width"] % 16:
        raise UsageError(
            "expected at least one hourglass, and a width that is a multiple of 16, "
            f"got stacks={config['stacks']}, width={config['width']}"
        )
    if not sum(config["shares"]) > 0:
        raise UsageError(f"expected shares of {', '.join(VIEWS)} that are not all 0, got {config['shares']}")
    if config["decoding"] not in DECODINGS:
        raise UsageError(f"unknown decoding of heatmaps '{config['decoding']}': {did_you_mean(config['decoding'], DECODINGS)}")


def _marked(images: Tensor, landmarks: Tensor) -> Tensor:
    """Return pictures (B,3,128,128) with a green cross of five pixels at each landmark."""
    marked = images.float().clone()
    faces = torch.arange(len(images), device=images.device)[:, None]
    colour = torch.tensor(_MARK, device=images.device)
    middle = landmarks.round().long()
    for shift in ((0, 0), (-1, 0), (1, 0), (0, -1), (0, 1)):
        x, y = (middle + torch.tensor(shift, device=images.device)).clamp(0, images.shape[-1] - 1).unbind(-1)
        marked[faces, :, y, x] = colour
    return marked
