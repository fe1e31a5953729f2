"""VGG trunks as judges of features and style: frozen, in evaluation mode, and only as deep as the losses look.

The paper's feature loss looks at relu3_2 of VGG-19, its style loss at pool1, pool2 and pool3 of VGG-16, both trained on
ImageNet. Up to there the two have the same layers. Where they cannot be had, the VGG-16 trunk of ST-LPIPS stands in if it is
asked for by name; it was made shift-tolerant: its pools blur before they drop every other pixel.

The stand-in's features are small: of aligned faces, their root mean square is 0.06 to 0.1 at the layers looked at, and squared
they would count for nothing beside the intensity loss. They are multiplied by a constant that brings it near 1. That this is
the order of magnitude of ImageNet's VGG is assumed, not measured.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import torch
from torch import Tensor, nn

from occface import assets
from occface.errors import UsageError
from occface.networks.layers import BlurPool
from occface.registry import did_you_mean

__all__ = ["FEATURE_NETWORKS", "FeatureNetwork", "Features", "Trunk", "feature_network", "load_feature_network"]

FEATURE_NETWORKS: tuple[str, ...] = ("none", "stlpips-vgg", "vgg19")

_PLAN = (64, 64, 0, 128, 128, 0, 256, 256, 256, 0)
"""Channels of the convolutions of VGG-16 up to pool3; 0 is a pool. VGG-19 is the same up to relu3_2."""
_POOLS = (4, 9, 16)
_RELU3_2 = 13
_STAND_INS_GAIN = 12.0


class Features(NamedTuple):
    """What the losses compare."""

    feature: Tensor
    """relu3_2: (B, 256, H/4, W/4), a pixel more where pools blur."""
    styles: tuple[Tensor, Tensor, Tensor]
    """pool1, pool2 and pool3: 64, 128 and 256 channels."""


class Trunk(nn.Module):
    """The first layers of VGG, numbered and named as torchvision's are, so that its weights load.

    Parameters
    ----------
    layers : int
        How many of ``features`` to keep: 14 end with relu3_2, 17 with pool3.
    blur : bool
        Whether the pools blur.
    normalised : bool
        Whether pictures are normalised by ImageNet's mean and deviation first, as those were that it was trained on.
    """

    def __init__(self, layers: int, blur: bool = False, normalised: bool = True) -> None:
        super().__init__()
        self.normalised = normalised
        parts: list[nn.Module] = []
        inputs = 3
        for outputs in _PLAN:
            if outputs:
                parts += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU(inplace=True)]
                inputs = outputs
            else:
                parts.append(BlurPool(inputs) if blur else nn.MaxPool2d(2))
        self.features = nn.Sequential(*parts[:layers])
        for name, values in {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}.items():
            self.register_buffer(name, torch.tensor(values).view(1, 3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> dict[int, Tensor]:
        """Return the outputs of relu3_2 and of the pools by their number, for RGB images (B,3,H,W) in [-1,1]."""
        x = images
        if self.normalised:
            x = ((images + 1) / 2 - self.get_buffer("mean")) / self.get_buffer("std")
        x = x.to(self.get_buffer("mean").dtype)
        taps: dict[int, Tensor] = {}
        for number, layer in enumerate(self.features):
            x = layer(x)
            if number in (*_POOLS, _RELU3_2):
                taps[number] = x
        return taps


class FeatureNetwork(nn.Module):
    """One trunk for style, and one for features unless the first serves both.

    Parameters
    ----------
    style : Trunk
        VGG-16, 17 layers.
    feature : Trunk, optional
        VGG-19, 14 layers.
    gain : float
        What all features are multiplied by.
    """

    def __init__(self, style: Trunk, feature: Trunk | None = None, gain: float = 1.0) -> None:
        super().__init__()
        self.style = style
        self.feature = feature
        self.gain = gain
        self.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> FeatureNetwork:
        """Stay in evaluation mode: a judge does not learn."""
        return super().train(False)

    def forward(self, images: Tensor) -> Features:
        """Return what the losses compare, of RGB images (B,3,H,W) in [-1,1]."""
        taps = self.style(images)
        feature = taps[_RELU3_2] if self.feature is None else self.feature(images)[_RELU3_2]
        tapped = [feature, *(taps[pool] for pool in _POOLS)]
        if self.gain != 1:
            tapped = [features * self.gain for features in tapped]
        return Features(tapped[0], (tapped[1], tapped[2], tapped[3]))


def feature_network(name: str, normalised: bool = True) -> FeatureNetwork | None:
    """Return the network of this name with random weights; see `load_feature_network`.

    Raises
    ------
    UsageError
        If there is no such network.
    """
    if name not in FEATURE_NETWORKS:
        raise UsageError(f"unknown feature network '{name}': {did_you_mean(name, FEATURE_NETWORKS)}")
    if name == "none":
        return None
    if name == "vgg19":
        return FeatureNetwork(Trunk(17, normalised=normalised), Trunk(14, normalised=normalised))
    return FeatureNetwork(Trunk(17, blur=True, normalised=normalised), gain=_STAND_INS_GAIN)


_CONVOLUTION = re.compile(r"(?:features|net\.slice\d)\.(\d+)\.(weight|bias)")


def _load(trunk: Trunk, asset: str) -> None:
    """Fill a trunk with the first convolutions of an asset's file, whatever numbers they carry there."""
    path = next(iter(assets.require(asset).values()))
    state = torch.load(path, map_location="cpu", weights_only=True)
    found = {(int(match[1]), match[2]): value for key, value in state.items() if (match := _CONVOLUTION.fullmatch(key))}
    theirs = sorted({number for number, _ in found})
    ours = [number for number, layer in enumerate(trunk.features) if isinstance(layer, nn.Conv2d)]
    pairs = zip(ours, theirs, strict=False)  # the file goes deeper than the trunk
    trunk.load_state_dict(
        {f"features.{here}.{kind}": found[there, kind] for here, there in pairs for kind in ("weight", "bias")}
    )


def load_feature_network(
    name: str, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32, normalised: bool = True
) -> FeatureNetwork | None:
    """Return the network that feature and style losses look through, frozen.

    Parameters
    ----------
    name : {"vgg19", "stlpips-vgg", "none"}
        ``vgg19``: VGG-19 for features and VGG-16 for style, as in the paper (assets ``vgg19`` and ``vgg16``);
        ``stlpips-vgg``: the shift-tolerant VGG-16 for both; ``none``: no such losses, returns None.
    device : str or torch.device
        Where to put it.
    dtype : torch.dtype
        What it computes in.
    normalised : bool
        Whether pictures are normalised first; the authors' code leaves it out.

    Raises
    ------
    UsageError
        If there is no such network.
    AssetError
        If its weights are not at hand. Nothing stands in for them unasked.
    """
    network = feature_network(name, normalised)
    if network is None:
        return None
    if name == "vgg19":
        _load(network.style, "vgg16")
        assert network.feature is not None
        _load(network.feature, "vgg19")
    else:
        _load(network.style, "stlpips-vgg")
    return network.to(device=device, dtype=dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
