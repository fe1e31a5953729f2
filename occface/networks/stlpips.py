"""ST-LPIPS on AlexNet: how different two pictures look to a network that was taught by people's judgements.

Ghildyal and Liu, "Shift-tolerant Perceptual Similarity Metric", ECCV 2022; the weights are the asset ``stlpips-alex``.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from occface.networks.layers import BlurPool

__all__ = ["PerceptualDistance"]

_WIDTHS = (64, 192, 384, 256, 256)
_CONVOLUTIONS = (0, 5, 9, 11, 13)
"""The numbers that the convolutions have in the published weights."""


class PerceptualDistance(nn.Module):
    """The network: pairs of pictures in, distances out. Holds random numbers until weights are loaded: see `from_file`."""

    def __init__(self) -> None:
        super().__init__()
        self.stages = nn.ModuleList(
            (
                nn.Sequential(nn.Conv2d(3, 64, 11, padding=2), BlurPool(64, window=1), nn.ReLU()),
                nn.Sequential(BlurPool(64, window=3), nn.Conv2d(64, 192, 5, padding=2), nn.ReLU()),
                nn.Sequential(BlurPool(192, window=3), nn.Conv2d(192, 384, 3, padding=1), nn.ReLU()),
                nn.Sequential(nn.Conv2d(384, 256, 3, padding=1), nn.ReLU()),
                nn.Sequential(nn.Conv2d(256, 256, 3, padding=1), nn.ReLU()),
            )
        )
        self.weights = nn.ParameterList(torch.zeros(1, width, 1, 1) for width in _WIDTHS)

        for name, values in {"shift": (-0.030, -0.088, -0.188), "scale": (0.458, 0.448, 0.450)}.items():
            self.register_buffer(name, torch.tensor(values).view(1, 3, 1, 1), persistent=False)

    def _activations(self, images: Tensor, stages: int = len(_WIDTHS)) -> list[Tensor]:
        x = (images - self.get_buffer("shift")) / self.get_buffer("scale")
        activations = []
        for stage in self.stages[:stages]:
            x = stage(x)
            activations.append(x)
        return activations

    def _features(self, images: Tensor) -> list[Tensor]:
        return [x / (x.square().sum(1, keepdim=True).sqrt() + 1e-10) for x in self._activations(images)]

    def forward(self, results: Tensor, truths: Tensor) -> Tensor:
        """Return the distances (B,) of RGB pictures (B,3,H,W) in [-1,1]."""
        pairs = zip(self._features(results), self._features(truths), self.weights, strict=True)
        return torch.stack([F.conv2d((ours - theirs).square(), weight).mean((1, 2, 3)) for ours, theirs, weight in pairs]).sum(
            0
        )

    def pooled(self, images: Tensor, stage: int) -> Tensor:
        """Return the mean over the picture of each channel that a stage, 1 to 5, gives: (B,C) of (B,3,H,W) in [-1,1]."""
        return self._activations(images, stage)[-1].mean((2, 3))

    @classmethod
    def from_file(cls, path: Path) -> PerceptualDistance:
        """Return the network with the published weights, frozen.

        Parameters
        ----------
        path : pathlib.Path
            The file, as ``assets.require("stlpips-alex")`` gives it.
        """
        state = torch.load(path, map_location="cpu", weights_only=True)
        network = cls()
        for number, (stage, place) in enumerate(zip(network.stages, _CONVOLUTIONS, strict=True)):
            convolution = next(layer for layer in stage.children() if isinstance(layer, nn.Conv2d))
            convolution.load_state_dict({kind: state[f"net.slice{number + 1}.{place}.{kind}"] for kind in ("weight", "bias")})
            network.weights[number].data.copy_(state[f"lin{number}.model.1.weight"])
        return network.requires_grad_(False).eval()
