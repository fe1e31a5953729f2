"""Re-CPGAN's network: an occluded or dim LR face copies what it lacks from the LR face of a guide, and grows to HR.

Zhang et al., "Copy and Paste GAN: Face Hallucination from Shaded Thumbnails", CVPR 2020, and its recursive form, TPAMI 2021,
fitted to 16x16 -> 128x128. The face's features pass an internal unit (what of the face serves elsewhere in it), then the
external copy-and-paste unit looks up features of the guide, several times at 16x16, 32x32 and 64x64 with one set of weights.
Landmark heatmaps are found at 64x64 and joined in. The guide's features run along and become its own HR face, which teaches
them what a whole face is.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from occface.errors import UsageError
from occface.networks.attention import to_map, to_places
from occface.networks.fan import FanHourglass, HierarchicalBlock
from occface.networks.layers import QuietStart, ResidualBlock, conv3x3, enlarged, initialise, norm_layer
from occface.registry import did_you_mean

__all__ = ["ATTENTIONS", "CPGAN", "CopyAndPaste", "Hallucinated", "standardised"]

ATTENTIONS: tuple[str, ...] = ("linear", "softmax")
_SIZES = (16, 32, 64)


class Hallucinated(NamedTuple):
    """What the network makes of B faces and G guides; of the guides only if they were asked for."""

    image: Tensor
    """(B,3,128,128) in [-1,1]."""
    heatmaps: Tensor
    """(B,K,64,64), not bounded."""
    guide_image: Tensor | None
    guide_heatmaps: Tensor | None


class CPGAN(nn.Module):
    """Faces (B,3,128,128) from LR faces and LR faces of guides.

    Parameters
    ----------
    channels : int
        Width at 16x16 to 128x128; 128 in the original. The first layers have twice as many.
    fan_channels : int
        Width of the hourglass that finds landmarks, a multiple of 4; 256 in the original.
    recursions : int
        How many times the external unit is passed at each size.
    norm : {"batch", "group", "none"}
        Normalisation; the hourglass has batch normalisation in any case.
    attention : {"softmax", "linear"}
        How the guide is looked up; see `CopyAndPaste`.
    largest_attention : int
        The largest of the sizes 16, 32 and 64 at which it is; at larger ones the unit only refines.
    skip : bool
        Draw a correction to the enlarged LR face instead of the whole face.
    landmarks : int
        Heatmaps.

    Attributes
    ----------
    guide_lr, guide_hr : Tensor
        Buffers (1,3,16,16) and (1,3,128,128) in [-1,1]: the guide of those who bring none, saved with the weights. Mid-grey
        until one is chosen.
    """

    guide_lr: Tensor
    guide_hr: Tensor

    def __init__(
        self,
        channels: int = 128,
        fan_channels: int = 256,
        recursions: int = 2,
        norm: str = "batch",
        attention: str = "softmax",
        largest_attention: int = 64,
        skip: bool = False,
        landmarks: int = 68,
    ) -> None:
        super().__init__()
        self.recursions = recursions
        self.largest_attention = largest_attention
        self.skip = skip
        wide = 2 * channels
        self.entry = nn.Sequential(nn.Conv2d(3, wide, 5, padding=2), norm_layer(norm, wide), nn.ReLU(inplace=True))
        self.inside = nn.Sequential(
            ResidualBlock(wide, norm), ResidualBlock(wide, norm), _ChannelAttention(wide), _SelfAttention(wide)
        )
        self.narrow = conv3x3(wide, channels)
        self.copy_and_paste = CopyAndPaste(channels, norm, len(_SIZES) * recursions, attention)
        self.up = nn.Sequential(conv3x3(channels, 4 * channels), nn.PixelShuffle(2))
        self.landmarks = _LandmarkHourglass(channels, fan_channels, landmarks)
        self.joined = conv3x3(channels + landmarks, channels)
        drawing = max(channels // 4, 16)  # in narrow networks too: the picture passes a ReLU here
        self.head = nn.Sequential(
            ResidualBlock(channels, norm),
            nn.Conv2d(channels, drawing, 5, padding=2),
            nn.ReLU(inplace=True),
            conv3x3(drawing, 3),
        )
        self.register_buffer("guide_lr", torch.zeros(1, 3, 16, 16))
        self.register_buffer("guide_hr", torch.zeros(1, 3, 128, 128))
        initialise(self)
        with torch.no_grad():
            for linear in (self.narrow, self.up.get_submodule("0"), self.joined):
                linear.get_parameter("weight").mul_(0.5**0.5)  # no ReLU before them: He's scale would double what passes
        for last in (self.head.get_submodule("3"), self.landmarks.layers.get_submodule("7")):
            nn.init.normal_(last.get_parameter("weight"), std=0.02)  # both draw nearly nothing at first

    def forward(self, lr: Tensor, guide: Tensor, with_guides: bool = True) -> Hallucinated:
        """Return whole faces, and the guides' own on request.

        Parameters
        ----------
        lr : Tensor
            (B,3,16,16) in [-1,1].
        guide : Tensor
            (G,3,16,16) in [-1,1], G at most B; face i is led by guide i modulo G.
        with_guides : bool
            Make the guides' own HR faces and heatmaps, too.
        """
        count = len(lr)
        given = torch.cat([lr, guide])
        # All layers that faces and guides share see them as one batch, faces first.
        entered = self.entry(given)
        both = self.narrow(torch.cat([self.inside(entered[:count]), entered[count:]]))
        maps = both
        for step, size in enumerate(_SIZES):
            if step:
                both = self.up(both)
            if size == _SIZES[-1]:
                maps = self.landmarks(both)
                both = self.joined(torch.cat([both, maps], dim=1))
            for recursion in range(self.recursions):
                both = self.copy_and_paste(both, count, step * self.recursions + recursion, size <= self.largest_attention)
        if not with_guides:
            given, both = given[:count], both[:count]
        drawn = self.head(self.up(both))
        if self.skip:
            drawn = drawn + torch.atanh(enlarged(given).clamp(-0.99, 0.99))
        images = torch.tanh(drawn)
        if not with_guides:
            return Hallucinated(images, maps[:count], None, None)
        return Hallucinated(images[:count], maps[:count], images[count:], maps[count:])


class CopyAndPaste(QuietStart):
    """The external unit: refine both, look up the guide's features by those of the face, add what is found to the face.

    Its convolutions serve all passes. Each pass has normalisations of its own: one set of running statistics over sizes and
    recursions would fit none of them when the network is used.

    Parameters
    ----------
    channels : int
        Width of both streams.
    norm : {"batch", "group", "none"}
        Normalisation in the residual blocks.
    passes : int
        How often it is used in one forward pass of the network.
    attention : {"softmax", "linear"}
        ``softmax``: scaled dot products and one softmax over the guide's places, by torch's
        `scaled_dot_product_attention`, whose fused kernels never store the 4096 x 4096 matrix of 64x64. ``linear``: queries
        are softmaxed over channels and keys over places, so what is found still is a weighted mean of the guide's values,
        yet the matrix need not be formed.

    Raises
    ------
    UsageError
        If there is no such attention.
    """

    def __init__(self, channels: int, norm: str, passes: int, attention: str) -> None:
        super().__init__()
        if attention not in ATTENTIONS:
            raise UsageError(f"unknown attention '{attention}': {did_you_mean(attention, ATTENTIONS)}")
        self.attention = attention
        self.first = _SharedResidual(channels, norm, passes)
        self.second = _SharedResidual(channels, norm, passes)
        self.query = nn.Conv2d(channels, channels, 1)
        self.key = nn.Conv2d(channels, channels, 1, bias=False)  # a softmax over places does not see what all have in common
        self.value = nn.Conv2d(channels, channels, 1)
        self.paste = nn.Conv2d(channels, channels, 1)

    @torch.no_grad()
    def settle(self) -> None:
        """Let what is pasted start at a tenth of its size; the residual blocks see to their own."""
        self.paste.weight.mul_(0.1)

    def forward(self, both: Tensor, count: int, number: int, copies: bool = True) -> Tensor:
        """Return the features of faces and guides (B+G,C,H,W) after one more pass.

        Parameters
        ----------
        both : Tensor
            (B+G,C,H,W): of `count` = B faces first, then of their guides.
        count : int
            How many faces there are.
        number : int
            Which pass this is, counted from 0.
        copies : bool
            Whether the guides are looked up.
        """
        both = self.second(self.first(both, number), number)
        if not copies:
            return both
        faces, guides = both[:count], both[count:]
        query = to_places(self.query(standardised(faces)))
        key, value = to_places(self.key(standardised(guides))), to_places(self.value(guides))
        if len(guides) != count:
            served = torch.arange(count, device=both.device) % len(guides)
            key, value = key[served], value[served]
        found = self._looked_up(query, key, value)
        return torch.cat([faces + self.paste(to_map(found, faces)), guides])

    def _looked_up(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        if self.attention == "linear":
            return query.softmax(-1) @ (key.softmax(1).transpose(1, 2) @ value)
        # the fused kernels take only rows that lie together in memory
        query, key, value = (rows.contiguous().unsqueeze(1) for rows in (query, key, value))
        return F.scaled_dot_product_attention(query, key, value).squeeze(1)


def standardised(features: Tensor) -> Tensor:
    """Return features (B,C,H,W), each map with mean 0 and variance 1: what is where, whatever the light and contrast.

    Examples
    --------
    >>> standardised(torch.tensor([[[[1.0, 3.0]]]])).round(decimals=3)
    tensor([[[[-1.,  1.]]]])
    """
    return F.instance_norm(features)


class _SharedResidual(QuietStart):
    """A residual block whose convolutions serve all passes, and whose normalisations each serve one."""

    def __init__(self, channels: int, norm: str, passes: int) -> None:
        super().__init__()
        self.first = conv3x3(channels, channels)
        self.second = conv3x3(channels, channels)
        self.first_norms = nn.ModuleList(norm_layer(norm, channels) for _ in range(passes))
        self.second_norms = nn.ModuleList(norm_layer(norm, channels) for _ in range(passes))

    @torch.no_grad()
    def settle(self) -> None:
        last = [self.second.weight] if not list(self.second_norms.parameters()) else []
        last += [weight for name, weight in self.second_norms.named_parameters() if name.endswith("weight")]
        for weight in last:
            weight.mul_(0.1)

    def forward(self, x: Tensor, number: int) -> Tensor:
        inner = torch.relu(self.first_norms[number](self.first(x)))
        return x + self.second_norms[number](self.second(inner))


class _ChannelAttention(nn.Module):
    """Weigh each map by what the means of all maps say of it, and add the result to the maps."""

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        inner = max(channels // reduction, 4)  # narrow networks too: one unit behind a ReLU may never answer
        self.weigh = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(channels, inner, 1), nn.ReLU(), nn.Conv2d(inner, channels, 1), nn.Sigmoid()
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + x * self.weigh(x)


class _SelfAttention(nn.Module):
    """Add to each place what places like it hold, as much as is learnt; nothing at first."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = max(channels // 8, 1)
        self.query = nn.Conv2d(channels, inner, 1)
        self.key = nn.Conv2d(channels, inner, 1, bias=False)
        self.value = nn.Conv2d(channels, channels, 1)
        self.amount = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        # A single head: the same numbers as without it, but ONNX knows attention with heads alone.
        query, key, value = (to_places(layer(x)).unsqueeze(1) for layer in (self.query, self.key, self.value))
        found = F.scaled_dot_product_attention(query, key, value).squeeze(1)
        return x + self.amount * to_map(found, x)


class _LandmarkHourglass(nn.Module):
    """FAN with one hourglass, behind features instead of a picture: the heatmaps keep their size."""

    def __init__(self, inputs: int, channels: int, landmarks: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            HierarchicalBlock(inputs, channels // 2),
            HierarchicalBlock(channels // 2, channels),
            FanHourglass(4, channels),
            HierarchicalBlock(channels, channels),
            nn.Conv2d(channels, channels, 1),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, landmarks, 1),
        )

    def forward(self, features: Tensor) -> Tensor:
        maps: Tensor = self.layers(features)
        return maps
