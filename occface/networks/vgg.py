"""VGG trunks as judges of features and style: frozen, in evaluation mode, and only as deep as the losses look.

The paper's feature loss looks at relu3_2 of VGG-19, its style loss at pool1, pool2 and pool3 of VGG-16, both trained on
ImageNet. Up to there the two have the same layers. Where they cannot be had, the VGG-16 trunk of ST-LPIPS stands in if it is
asked for by name; it was made shift-tolerant: its pools blur before they drop every other pixel.

The stand-in's features are small: of aligned faces, their root mean square is 0.06 to 0.1 at the layers looked at, and squared
they would count for nothing beside the intensity loss. They are multiplied by a constant that brings it near 1. That this is
the order of magnitude of ImageNet's VGG is assumed, not measured.

Other methods look deeper, or at one layer alone: `load_trunk` gives the features after any number of layers of either network.
The stand-in's features grow with the depth, from 0.04 after relu3_1 to 20 after relu5_3, so there each depth has its own
constant.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Generic, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from occface import assets
from occface.errors import UsageError
from occface.networks.layers import BlurPool
from occface.registry import did_you_mean

__all__ = [
    "FEATURE_NETWORKS",
    "TRUNKS",
    "FeatureNetwork",
    "FeatureTrunk",
    "Features",
    "Judge",
    "Trunk",
    "feature_network",
    "load_feature_network",
    "load_trunk",
]

Seen = TypeVar("Seen")

FEATURE_NETWORKS: tuple[str, ...] = ("none", "stlpips-vgg", "vgg16", "vgg19")
TRUNKS: tuple[str, ...] = ("stlpips-vgg", "vgg16", "vgg19")

_VGG16 = (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0)
"""Channels of the convolutions; 0 is a pool. VGG-19 is the same up to relu3_3."""
_VGG19 = (64, 64, 0, 128, 128, 0, 256, 256, 256, 256, 0, 512, 512, 512, 512, 0, 512, 512, 512, 512, 0)
_POOLS = (4, 9, 16)
_RELU3_2 = 13
_STAND_INS_GAIN = 12.0
_STAND_INS_SIZES = {
    **{2: 0.090, 4: 0.071, 5: 0.087, 7: 0.082, 9: 0.053, 10: 0.062, 12: 0.039, 14: 0.086, 16: 0.076, 17: 0.095},
    **{19: 0.13, 21: 0.81, 23: 0.81, 24: 1.0, 26: 1.7, 28: 9.9, 30: 20.0},
}
"""The root mean square of the stand-in's features of aligned 128x128 faces after so many layers, each ReLU and pool that it
holds: of 24 photographs up to pool3, of 8 behind it."""


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
    plan : sequence of int
        Channels of the network's convolutions, 0 for a pool.
    """

    def __init__(self, layers: int, blur: bool = False, normalised: bool = True, plan: Sequence[int] = _VGG16) -> None:
        super().__init__()
        self.normalised = normalised
        parts: list[nn.Module] = []
        inputs = 3
        for outputs in plan:
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
        x = self._entering(images)
        taps: dict[int, Tensor] = {}
        for number, layer in enumerate(self.features):
            x = layer(x)
            if number in (*_POOLS, _RELU3_2):
                taps[number] = x
        return taps

    def last(self, images: Tensor) -> Tensor:
        """Return the output of the last layer, for RGB images (B,3,H,W) in [-1,1]."""
        features: Tensor = self.features(self._entering(images))
        return features

    def _entering(self, images: Tensor) -> Tensor:
        x = images
        if self.normalised:
            x = ((images + 1) / 2 - self.get_buffer("mean")) / self.get_buffer("std")
        return x.to(self.get_buffer("mean").dtype)


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
    if name == "vgg16":
        return FeatureNetwork(Trunk(17, normalised=normalised))
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
    name : {"vgg16", "vgg19", "stlpips-vgg", "none"}
        ``vgg19``: VGG-19 for features and VGG-16 for style, as in the paper (assets ``vgg19`` and ``vgg16``); ``vgg16``: that
        for both; ``stlpips-vgg``: the shift-tolerant VGG-16 for both; ``none``: no such losses, returns None.
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
        _load(network.style, name)
    return network.to(device=device, dtype=dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]


class FeatureTrunk(nn.Module):
    """A frozen trunk whose last layer alone is looked at.

    Parameters
    ----------
    trunk : Trunk
        The network, as deep as the loss looks.
    gain : float
        What its features are multiplied by.
    """

    def __init__(self, trunk: Trunk, gain: float = 1.0) -> None:
        super().__init__()
        self.trunk = trunk
        self.gain = gain
        self.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> FeatureTrunk:
        """Stay in evaluation mode: a judge does not learn."""
        return super().train(False)

    def forward(self, images: Tensor) -> Tensor:
        """Return the features (B,C,h,w) of RGB images (B,3,H,W) in [-1,1]; gradients go through to the images."""
        features = self.trunk.last(images)
        return features if self.gain == 1 else features * self.gain


def load_trunk(
    name: str,
    layers: int,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    normalised: bool = True,
) -> FeatureTrunk:
    """Return the first layers of a VGG network, frozen, as a judge of features.

    Parameters
    ----------
    name : {"vgg16", "vgg19", "stlpips-vgg"}
        The published networks (assets of the same names), or the shift-tolerant VGG-16 that stands in for either: its pools
        blur and give a pixel more, and its features are brought to a root mean square near 1.
    layers : int
        How many of torchvision's ``features`` to keep: 12 end with relu3_1, 14 with relu3_2; 30 with VGG-16's relu5_3. Of
        the stand-in, as many as end with a ReLU or a pool before the fifth.
    device, dtype, normalised
        See `load_feature_network`.

    Raises
    ------
    UsageError
        If there is no such network, or it does not have such a layer.
    AssetError
        If its weights are not at hand. Nothing stands in for them unasked.
    """
    if name not in TRUNKS:
        raise UsageError(f"unknown VGG trunk '{name}': {did_you_mean(name, TRUNKS)}")
    plan = _VGG19 if name == "vgg19" else _VGG16
    whole = sum(2 if channels else 1 for channels in plan)
    if name == "stlpips-vgg":
        if layers not in _STAND_INS_SIZES:
            ends = ", ".join(map(str, _STAND_INS_SIZES))
            raise UsageError(
                f"expected so many layers of 'stlpips-vgg' that a ReLU or a pool is the last ({ends}), got {layers}"
            )
    elif not 1 <= layers <= whole:
        raise UsageError(f"expected 1 to {whole} layers of '{name}', got {layers}")
    trunk = Trunk(layers, name == "stlpips-vgg", normalised, plan)
    _load(trunk, name)
    judge = FeatureTrunk(trunk, 1 / _STAND_INS_SIZES[layers] if name == "stlpips-vgg" else 1.0)
    return judge.to(device=device, dtype=dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]


class Judge(Generic[Seen]):
    """A frozen network that a method's losses look through, loaded when they first do.

    It is no module: its weights are no state of the training and no part of what is saved.

    Parameters
    ----------
    load : callable
        Gives the network for a device and a dtype: ``partial(load_trunk, name, layers)``, whose judge sees a Tensor, or
        ``partial(load_feature_network, name)``, whose judge sees `Features`.
    """

    def __init__(self, load: Callable[[torch.device, torch.dtype], nn.Module | None]) -> None:
        self._load = load
        self._network: nn.Module | None = None

    def __call__(self, images: Tensor) -> Seen:
        """Return what the network sees in RGB images (B,3,H,W) in [-1,1]."""
        if self._network is None:
            device = images.device
            # Where the pass runs in half precision so do the frozen weights: autocast would convert them anew at each pass.
            dtype = torch.get_autocast_dtype(device.type) if torch.is_autocast_enabled(device.type) else torch.float32
            self._network = self._load(device, dtype)
        if self._network is None:
            raise UsageError("a loss has a weight, but its feature network is 'none': name another, or set a weight of 0")
        seen: Seen = self._network(images)
        return seen
