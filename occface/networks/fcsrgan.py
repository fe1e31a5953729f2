"""FCSR-GAN's networks: a U-Net of partial convolutions fills the holes, an FSRNet with larger priors sharpens, a critic judges.

Cai et al., "FCSR-GAN: Joint Face Completion and Super-resolution via Multi-task Learning", 2019. Pictures have values in [0, 1]
here. A picture enters at 128x128, enlarged from 16x16 before.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from occface.networks.hourglass import BottleneckBlock, Hourglass, fresh_gain
from occface.networks.layers import ResidualBlock, conv3x3, initialise, norm_layer, stem
from occface.networks.partial_conv import PartialConv2d

__all__ = ["CoarseNet", "Critic", "FCSRNet", "Faces", "FineNet", "PartialUNet", "PriorNet"]

_KERNELS = (7, 5, 5, 3, 3, 3, 3)
_WIDTHS = (1, 2, 4, 8, 8, 8, 8)
"""Of the U-Net's encoder: the window of each level, and its channels in units of the first one's."""
_DEPTH = 4
"""Of the prior network's hourglasses: 64x64 down to 4x4."""
_QUIET = -4.0
"""Initial bias of the landmarks' head: sigmoid(-4) = 0.018, near the mean of a heatmap, instead of one half everywhere."""

_PLAIN, _FAINT = 0.02, 0.002
"""Initial deviation of the weights that draw a picture, and of those that draw a correction, which begins near nothing."""
_GREY = 0.5
"""Initial bias of what draws a whole picture: it begins in the middle of its range, not black."""


class _Level(nn.Module):
    """A partial convolution, normalisation and an activation; what is invalid stays so."""

    def __init__(self, convolution: PartialConv2d, norm: nn.Module, slope: float) -> None:
        super().__init__()
        self.convolution, self.norm, self.slope = convolution, norm, slope

    def forward(self, *parts: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        features, valid = self.convolution(*parts)
        return F.leaky_relu(self.norm(features), self.slope), valid


class PartialUNet(nn.Module):
    """Seven partial convolutions down to a single place, and seven up again with what each level saw on the way down.

    Parameters
    ----------
    width : int
        Channels of the first level; 64 in the original, which makes 25.78 M parameters.
    norm : {"batch", "group", "none"}
        Normalisation of all levels but the first and the last.
    """

    def __init__(self, width: int, norm: str) -> None:
        super().__init__()
        widths = [width * factor for factor in _WIDTHS]
        bias = norm == "none"  # a normalisation has its own

        def level(inputs: int, outputs: int, kernel: int, stride: int, slope: float) -> _Level:
            return _Level(PartialConv2d(inputs, outputs, kernel, stride, bias), norm_layer(norm, outputs), slope)

        first = _Level(PartialConv2d(3, width, _KERNELS[0], 2), nn.Identity(), 0.0)
        inner = zip(widths, widths[1:], _KERNELS[1:], strict=False)
        self.encoder = nn.ModuleList([first, *(level(inputs, outputs, kernel, 2, 0.0) for inputs, outputs, kernel in inner)])
        back = zip(widths[:0:-1], widths[-2::-1], strict=True)
        self.decoder = nn.ModuleList(level(below + beside, beside, 3, 1, 0.2) for below, beside in back)
        self.image_head = PartialConv2d(width + 3, 3)
        initialise(self)
        nn.init.normal_(self.image_head.convolution.weight, std=_PLAIN)
        nn.init.constant_(self.image_head.get_parameter("bias"), _GREY)

    def forward(self, image: Tensor, valid: Tensor) -> Tensor:
        """Return a whole picture (B,3,128,128), not clamped, of one (B,3,128,128) and its valid places (B,1,128,128)."""
        seen = [(image, valid)]
        for level in self.encoder:
            seen.append(level(seen[-1]))
        x = seen.pop()
        for level in self.decoder:
            x = level(_enlarged(*x), seen.pop())
        return self.image_head(_enlarged(*x), seen.pop())[0]


def _enlarged(features: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    return F.interpolate(features, scale_factor=2, mode="nearest"), F.interpolate(valid, scale_factor=2, mode="nearest")


class CoarseNet(nn.Module):
    """A convolution, residual blocks and a picture, at 128x128.

    Parameters
    ----------
    width, blocks, norm
        Channels, residual blocks (64 and 3 in the original, 0.23 M parameters) and normalisation.
    skips : bool
        Whether it draws a correction to what came in.
    """

    def __init__(self, width: int, blocks: int, norm: str, skips: bool) -> None:
        super().__init__()
        self.skips = skips
        self.layers = nn.Sequential(stem(3, width, norm), *_residual(blocks, width, norm))
        self.image_head = conv3x3(width, 3)
        initialise(self)
        _begin_faint(self.image_head, skips)

    def forward(self, image: Tensor) -> Tensor:
        """Return a sharper picture, (B,3,128,128)."""
        drawn = self.image_head(self.layers(image))
        return image + drawn if self.skips else drawn


class PriorNet(nn.Module):
    """Landmark heatmaps and parsing logits at 64x64: convolutions, residual blocks and hourglasses one behind the other.

    Parameters
    ----------
    width : int
        Channels of the hourglasses, a multiple of 4; 256 in the original, 26.05 M parameters.
    blocks, stacks, bottlenecks : int
        Residual blocks, hourglasses, and bottlenecks at each of their nodes; 3, 2 and 4 in the original.
    landmarks, classes : int
        Maps of each kind.
    norm : {"batch", "group", "none"}
        Normalisation before the hourglasses, whose own is batch normalisation.
    """

    def __init__(self, width: int, blocks: int, stacks: int, bottlenecks: int, landmarks: int, classes: int, norm: str) -> None:
        super().__init__()
        entry = nn.Conv2d(3, width // 4, 7, stride=2, padding=3)
        self.layers = nn.Sequential(
            nn.Sequential(entry, norm_layer(norm, width // 4), nn.ReLU(inplace=True)),
            stem(width // 4, width, norm),
            *_residual(blocks, width, norm),
            *(Hourglass(_DEPTH, width, BottleneckBlock, bottlenecks) for _ in range(stacks)),
            nn.Conv2d(width, width // 2, 1),
        )
        self.landmark_head = nn.Conv2d(width // 2, landmarks, 1)
        self.parsing_head = nn.Conv2d(width // 2, classes, 1)
        initialise(self)
        with torch.no_grad():
            self.layers[-1].get_parameter("weight").div_(fresh_gain(_DEPTH, stacks))  # back to the size of what went in
        for head in (self.landmark_head, self.parsing_head):
            nn.init.normal_(head.weight, std=0.01)
        nn.init.constant_(self.landmark_head.get_parameter("bias"), _QUIET)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return heatmaps (B,landmarks,64,64) in [0,1] and logits (B,classes,64,64) of a picture (B,3,128,128)."""
        features = self.layers(image)
        return self.landmark_head(features).sigmoid(), self.parsing_head(features)


class FineNet(nn.Module):
    """An encoder at 64x64 and a decoder that is given its features and the priors' maps, and enlarges to 128x128.

    Parameters
    ----------
    width, encoder_blocks, decoder_blocks, norm
        Channels, residual blocks at 64x64 and at 128x128 (64, 12 and 3 in the original, 1.24 M parameters), normalisation.
    maps : int
        Maps of the priors.
    skips : bool
        Whether it draws a correction to what came in.
    """

    def __init__(self, width: int, encoder_blocks: int, decoder_blocks: int, maps: int, norm: str, skips: bool) -> None:
        super().__init__()
        self.skips = skips
        self.encoder = nn.Sequential(
            conv3x3(3, width, stride=2),
            norm_layer(norm, width),
            nn.ReLU(inplace=True),
            *_residual(encoder_blocks, width, norm),
            conv3x3(width, width),
        )
        self.decoder = nn.Sequential(
            stem(width + maps, width, norm),
            nn.Upsample(scale_factor=2, mode="nearest"),
            norm_layer(norm, width),
            nn.ReLU(inplace=True),
            *_residual(decoder_blocks, width, norm),
        )
        self.image_head = conv3x3(width, 3)
        initialise(self)
        _begin_faint(self.image_head, skips)

    def forward(self, image: Tensor, maps: Tensor) -> Tensor:
        """Return a sharp picture, (B,3,128,128), not clamped, of a coarse one and maps (B,maps,64,64)."""
        drawn = self.image_head(self.decoder(torch.cat([self.encoder(image), maps], dim=1)))
        return image + drawn if self.skips else drawn


def _begin_faint(head: nn.Conv2d, corrects: bool) -> None:
    """Let a picture begin near mid-grey, and a correction near none."""
    nn.init.normal_(head.weight, std=_FAINT if corrects else _PLAIN)
    nn.init.constant_(head.get_parameter("bias"), 0.0 if corrects else _GREY)


def _residual(blocks: int, width: int, norm: str) -> list[nn.Module]:
    return [ResidualBlock(width, norm) for _ in range(blocks)]


class Faces(NamedTuple):
    """What the network makes of a face, first to last; pictures (B,3,128,128), about [0,1] and not clamped."""

    drawn: Tensor
    """The U-Net's picture."""
    completed: Tensor
    """The same in the hole, and outside of it what came in."""
    coarse: Tensor
    landmarks: Tensor
    """Heatmaps (B,68,64,64) in [0,1]."""
    parsing: Tensor
    """Logits (B,11,64,64)."""
    fine: Tensor


class FCSRNet(nn.Module):
    """The whole generator: completion, coarse picture, priors, fine picture; 53.3 M parameters in the original's size.

    Parameters
    ----------
    completion, coarse, prior, fine : Module
        The four networks.
    """

    def __init__(self, completion: PartialUNet, coarse: CoarseNet, prior: PriorNet, fine: FineNet) -> None:
        super().__init__()
        self.completion, self.coarse, self.prior, self.fine = completion, coarse, prior, fine

    def complete(self, image: Tensor, hole: Tensor) -> tuple[Tensor, Tensor]:
        """Return the U-Net's picture of an enlarged LR face (B,3,128,128), and with it only in the hole (B,1,128,128)."""
        drawn = self.completion(image, 1 - hole)
        return drawn, torch.where(hole > 0.5, drawn.to(image.dtype), image)

    def forward(self, image: Tensor, hole: Tensor) -> Faces:
        """Return all stages of an enlarged LR face (B,3,128,128) in [0,1] with a hole (B,1,128,128), 1 inside."""
        drawn, completed = self.complete(image, hole)
        coarse = self.coarse(completed)
        landmarks, parsing = self.prior(coarse)
        return Faces(drawn, completed, coarse, landmarks, parsing, self.fine(coarse, torch.cat([landmarks, parsing], dim=1)))


class Critic(nn.Module):
    """Six 4x4 convolutions, each halving the size and doubling the width, then a verdict for each of 2x2 places.

    Parameters
    ----------
    width : int
        Channels of the first convolution; 64 in the original, 44.7 M parameters.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = 3
        for number in range(6):
            outputs = width << number
            layers += [nn.Conv2d(inputs, outputs, 4, stride=2, padding=1), nn.LeakyReLU(0.01)]
            inputs = outputs
        self.layers = nn.Sequential(*layers, conv3x3(inputs, 1))
        initialise(self)

    def forward(self, images: Tensor) -> Tensor:
        """Return verdicts (B,1,2,2), unbounded, larger for real pictures (B,3,128,128)."""
        return self.layers(images)
