"""FSRNet: a coarse picture, what can be known of the face in it, and a fine picture made of both.

Chen et al., "FSRNet: End-to-End Learning Face Super-Resolution with Facial Priors", CVPR 2018. Sizes are given for `width`
64 and `prior_width` 128, theirs; each block has weights of its own.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from occface.errors import UsageError
from occface.networks.hourglass import BottleneckBlock, Hourglass, fresh_gain
from occface.networks.layers import ResidualBlock, conv3x3, enlarged, initialise, stem
from occface.registry import did_you_mean

__all__ = ["DECODER_READS", "FSRNetwork", "FSRResult"]

_DEPTH = 3
_FAINT = 0.005
"""Initial deviation of the weights that draw maps, which begin near nothing, as most of a map is."""

#: What the decoder is given of the priors: the features that they are read from, or the maps themselves.
DECODER_READS: tuple[str, ...] = ("features", "maps")


class FSRResult(NamedTuple):
    """What the generator gives."""

    coarse: Tensor
    """(B,3,128,128), the first picture; in [-1,1], or about that where the network has skips."""
    landmarks: Tensor
    """(B,L,64,64), a map for each landmark, not clamped."""
    parsing: Tensor
    """(B,P,64,64), a map for each part of the face, not clamped."""
    image: Tensor
    """(B,3,128,128), the fine picture, ranged as the coarse one."""


class _Coarse(nn.Sequential):
    """A picture like the one that comes in, sharper."""

    def __init__(self, width: int, blocks: int) -> None:
        super().__init__(stem(3, width, "batch"), *_residual(width, blocks), conv3x3(width, 3))


class _Encoder(nn.Sequential):
    """The coarse picture's features at half its size, in [-1,1]."""

    def __init__(self, width: int, blocks: int) -> None:
        halved = (conv3x3(3, width, stride=2), nn.BatchNorm2d(width), nn.ReLU(inplace=True))
        super().__init__(*halved, *_residual(width, blocks), conv3x3(width, width), nn.Tanh())


class _Priors(nn.Sequential):
    """Features at half the coarse picture's size, of which maps of landmarks and parts can be read."""

    def __init__(self, width: int, hourglasses: int) -> None:
        half = width // 2
        super().__init__(
            nn.Conv2d(3, half, 7, stride=2, padding=3),
            nn.BatchNorm2d(half),
            nn.ReLU(inplace=True),
            BottleneckBlock(half, width),
            *_residual(width, 2),
            *(Hourglass(_DEPTH, width, BottleneckBlock) for _ in range(hourglasses)),
        )
        self.hourglasses = hourglasses

    @torch.no_grad()
    def begin_small(self) -> None:
        """Let what enters the hourglasses start as much smaller as they make it larger.

        Nothing behind them brings their features back to the size of the encoder's, beside which the decoder reads them.
        """
        adding = ((3, "across.weight"), (3, "branch.8.weight"), (4, "branch.4.weight"), (5, "branch.4.weight"))
        for place, name in adding:
            self[place].get_parameter(name).div_(fresh_gain(_DEPTH, self.hourglasses))


class _Decoder(nn.Sequential):
    """The fine picture from features at half its size."""

    def __init__(self, inputs: int, width: int, blocks: int) -> None:
        enlarged = nn.ConvTranspose2d(width, width, 4, stride=2, padding=1)
        super().__init__(
            stem(inputs, width, "batch"),
            nn.Sequential(enlarged, nn.BatchNorm2d(width), nn.ReLU(inplace=True)),
            *_residual(width, blocks),
            conv3x3(width, 3),
        )


def _residual(width: int, count: int) -> list[ResidualBlock]:
    return [ResidualBlock(width, "batch") for _ in range(count)]


class FSRNetwork(nn.Module):
    """The generator.

    Parameters
    ----------
    width, prior_width : int
        Channels of the two pictures' parts, and of the prior network.
    coarse_blocks, encoder_blocks, decoder_blocks : int
        Residual blocks of the three parts; 3, 12 and 3 in the original.
    hourglasses : int
        Of the prior network; 2 in the original.
    landmarks, parts : int
        Maps of each kind.
    decoder_reads : {"features", "maps"}
        One of `DECODER_READS`.
    skip : bool
        Whether the coarse picture is what is added to the enlarged LR face, and the fine one what is added to the coarse one;
        not so in the original, whose pictures pass a tanh.

    Raises
    ------
    UsageError
        If the decoder is to read something else.
    """

    def __init__(
        self,
        width: int,
        prior_width: int,
        coarse_blocks: int,
        encoder_blocks: int,
        decoder_blocks: int,
        hourglasses: int,
        landmarks: int,
        parts: int,
        decoder_reads: str,
        skip: bool,
    ) -> None:
        super().__init__()
        if decoder_reads not in DECODER_READS:
            raise UsageError(f"unknown decoder_reads '{decoder_reads}': {did_you_mean(decoder_reads, DECODER_READS)}")
        self.reads_maps = decoder_reads == "maps"
        self.skip = skip
        self.coarse = _Coarse(width, coarse_blocks)
        self.encoder = _Encoder(width, encoder_blocks)
        self.priors = _Priors(prior_width, hourglasses)
        self.landmarks_head = nn.Conv2d(prior_width, landmarks, 1)
        self.parsing_head = nn.Conv2d(prior_width, parts, 1)
        self.decoder = _Decoder(width + (landmarks + parts if self.reads_maps else prior_width), width, decoder_blocks)
        initialise(self)
        self.priors.begin_small()
        for head in (self.coarse[-1], self.decoder[-1]):
            assert isinstance(head, nn.Conv2d)
            nn.init.normal_(head.weight, std=0.0 if skip else 0.02)  # corrections begin as none
        for of_maps in (self.landmarks_head, self.parsing_head):
            nn.init.normal_(of_maps.weight, std=_FAINT)

    def forward(self, lr: Tensor) -> FSRResult:
        """Return pictures and priors of LR faces (B,3,16,16)."""
        entering = enlarged(lr)
        coarse = self._picture(self.coarse(entering), entering)
        features = self.priors(coarse)
        landmarks, parsing = self.landmarks_head(features), self.parsing_head(features)
        priors = torch.cat([landmarks, parsing], 1) if self.reads_maps else features
        image = self._picture(self.decoder(torch.cat([self.encoder(coarse), priors], 1)), coarse)
        return FSRResult(coarse, landmarks, parsing, image)

    def _picture(self, drawn: Tensor, upon: Tensor) -> Tensor:
        return upon + drawn if self.skip else torch.tanh(drawn)
