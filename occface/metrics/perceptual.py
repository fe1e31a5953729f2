"""ST-LPIPS: how different two faces look to a network that was taught by people's judgements, and not to mind small shifts.

Ghildyal and Liu, "Shift-tolerant Perceptual Similarity Metric", ECCV 2022, on AlexNet; the weights are the asset
``stlpips-alex``. The losses look through the VGG trunk of the same work, never through this one: a judge that training did not
please.
"""

from __future__ import annotations

import functools

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from occface import assets
from occface.metrics.base import Metric
from occface.metrics.image import check_pair
from occface.networks.inference import one_thread
from occface.networks.layers import BlurPool

__all__ = ["STLPIPS", "PerceptualDistance", "stlpips"]

_WIDTHS = (64, 192, 384, 256, 256)
_CONVOLUTIONS = (0, 5, 9, 11, 13)
"""The numbers that the convolutions have in the published weights."""
_SMALLEST = 48


class PerceptualDistance(nn.Module):
    """The network: pairs of pictures in, distances out."""

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

    def _features(self, images: Tensor) -> list[Tensor]:
        x = (images - self.get_buffer("shift")) / self.get_buffer("scale")
        features = []
        for stage in self.stages:
            x = stage(x)
            features.append(x / (x.square().sum(1, keepdim=True).sqrt() + 1e-10))
        return features

    def forward(self, results: Tensor, truths: Tensor) -> Tensor:
        """Return the distances (B,) of RGB pictures (B,3,H,W) in [-1,1]."""
        pairs = zip(self._features(results), self._features(truths), self.weights, strict=True)
        return torch.stack([F.conv2d((ours - theirs).square(), weight).mean((1, 2, 3)) for ours, theirs, weight in pairs]).sum(
            0
        )


@functools.lru_cache(maxsize=1)
def _network() -> PerceptualDistance:
    """Return the published network, loaded once per process."""
    (path,) = assets.require("stlpips-alex").values()
    state = torch.load(path, map_location="cpu", weights_only=True)
    network = PerceptualDistance()
    for number, (stage, place) in enumerate(zip(network.stages, _CONVOLUTIONS, strict=True)):
        convolution = next(layer for layer in stage.children() if isinstance(layer, nn.Conv2d))
        convolution.load_state_dict({kind: state[f"net.slice{number + 1}.{place}.{kind}"] for kind in ("weight", "bias")})
        network.weights[number].data.copy_(state[f"lin{number}.model.1.weight"])
    return network.requires_grad_(False).eval()


def stlpips(result: np.ndarray, truth: np.ndarray) -> float:
    """Return the ST-LPIPS distance of two pictures: 0 for equal ones, about 1 for unlike ones; lower is better.

    Parameters
    ----------
    result, truth : numpy.ndarray
        uint8 RGB (H, W, 3), at least 48 pixels each way.

    Raises
    ------
    ValueError
        If they are no uint8 RGB pictures of one size.
    AssetError
        If the weights are not at hand.
    """
    check_pair(result, truth, _SMALLEST)
    with one_thread():
        pair = [torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None] / 127.5 - 1 for picture in (result, truth)]
        return float(_network()(*pair))


STLPIPS = Metric(
    "stlpips",
    False,
    "ST-LPIPS (AlexNet, version ST0.0) on RGB in [-1, 1]: distance, lower is better",
    stlpips,
)
