"""Pro-UInet: three UI-blocks that inpaint and enlarge a face from 16x16 to 128x128, led by landmark heatmaps (paper III-B).

Each UI-block is a cross-modal attention module (CM-AM) on the features of the picture and of the landmark heatmaps at its
resolution, and a transformative upsampling module (TUM): a transposed convolution on the refined heatmaps and appearance
features, then residual blocks. A picture leaves each block; it and the block's heatmaps, enlarged twice, enter the next.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from occface.networks.attention import CrossModalAttention
from occface.networks.layers import ResidualBlock, conv3x3, initialise, norm_layer, stem

__all__ = ["Stages", "UIBlock", "UInet"]

LANDMARKS = 68
_QUIET = -4.0
"""Initial bias of the heatmap head: sigmoid(-4) = 0.018, near the mean of a heatmap, instead of one half everywhere."""
_FAINTEST = 0.01
"""What heatmaps are clamped to, from 0 and 1, before their logits are taken: -4.6 to 4.6."""


class Stages(NamedTuple):
    """What the UI-blocks that were run gave, first block first."""

    images: tuple[Tensor, ...]
    """RGB in [-1,1], (B,3,32,32), (B,3,64,64) and (B,3,128,128)."""
    heatmaps: tuple[Tensor, ...]
    """The refined landmark heatmaps in [0,1], (B,68,16,16), (B,68,32,32) and (B,68,64,64)."""


class UIBlock(nn.Module):
    """One upsampling and inpainting block: N x N to 2N x 2N.

    Parameters
    ----------
    channels : int
        Width of all its features.
    blocks : int
        Residual blocks of its TUM.
    attention : str
        The reading of the CM-AM; see `occface.networks.attention`.
    norm : {"batch", "group", "none"}
        Normalisation after the stems and in the TUM.
    skips : bool
        Whether the heads draw corrections to the enlarged input picture and to the heatmaps that came in (before tanh and
        sigmoid) rather than all anew. The paper draws all anew; corrections are learnt in fewer steps, and a stage of 16
        channels has no room for 68 landmarks.
    """

    def __init__(self, channels: int, blocks: int, attention: str, norm: str, skips: bool) -> None:
        super().__init__()
        self.skips = skips
        self.face_stem = stem(3, channels, norm)
        self.landmark_stem = stem(LANDMARKS, channels, norm)
        self.attention = CrossModalAttention(channels, attention)
        self.heatmap_head = conv3x3(channels, LANDMARKS)
        self.up = nn.Sequential(
            nn.ConvTranspose2d(LANDMARKS + channels, channels, 4, stride=2, padding=1),
            norm_layer(norm, channels),
            nn.ReLU(inplace=True),
        )
        self.residual = nn.Sequential(*(ResidualBlock(channels, norm) for _ in range(blocks)))
        self.image_head = conv3x3(channels, 3)
        initialise(self)
        for head in (self.heatmap_head, self.image_head):
            nn.init.normal_(head.weight, std=0.02)
        assert self.heatmap_head.bias is not None
        nn.init.constant_(self.heatmap_head.bias, 0.0 if skips else _QUIET)

    def forward(self, image: Tensor, heatmaps: Tensor) -> tuple[Tensor, Tensor]:
        """Return the picture at twice the size and the refined heatmaps at the same.

        Parameters
        ----------
        image : Tensor
            (B,3,N,N) in [-1,1].
        heatmaps : Tensor
            (B,68,N,N) in [0,1].

        Returns
        -------
        image, heatmaps : Tensor
            (B,3,2N,2N) in [-1,1] and (B,68,N,N) in [0,1].
        """
        priors, appearance = self.attention(self.face_stem(image), self.landmark_stem(heatmaps))
        refined = self.heatmap_head(priors)
        if self.skips:
            refined = refined + torch.logit(heatmaps, eps=_FAINTEST)
        refined = torch.sigmoid(refined)
        features = self.residual(self.up(torch.cat([refined, appearance], dim=1)))
        drawn = self.image_head(features)
        if self.skips:
            enlarged = F.interpolate(image, scale_factor=2, mode="bilinear", align_corners=False)
            drawn = drawn + torch.atanh(enlarged.clamp(-0.99, 0.99))
        return torch.tanh(drawn), refined


class UInet(nn.Module):
    """Three UI-blocks in a row, the landmarks of each carried to the next.

    Parameters
    ----------
    channels, blocks : sequence of three int
        Width and number of residual blocks of each stage. The paper's size is 128 and (8, 7, 6): 10,564,440 parameters.
    attention, norm, skips
        See `UIBlock`.

    Examples
    --------
    >>> net = UInet((16, 16, 16), (1, 1, 1), attention="cosine_linear", norm="batch", skips=False)
    >>> stages = net(torch.zeros(1, 3, 16, 16), torch.zeros(1, 68, 16, 16))
    >>> [tuple(image.shape[2:]) for image in stages.images]
    [(32, 32), (64, 64), (128, 128)]
    """

    def __init__(
        self, channels: Sequence[int], blocks: Sequence[int], *, attention: str, norm: str, skips: bool = False
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            UIBlock(width, count, attention, norm, skips) for width, count in zip(channels, blocks, strict=True)
        )

    def forward(self, lr: Tensor, heatmaps: Tensor, stages: int = 3) -> Stages:
        """Return the pictures and heatmaps of the first `stages` blocks.

        Parameters
        ----------
        lr : Tensor
            Occluded LR faces, (B,3,16,16) in [-1,1].
        heatmaps : Tensor
            (B,68,16,16) in [0,1], of landmarks estimated from them.
        stages : int
            How many blocks to run, 1 to 3.

        Returns
        -------
        Stages
        """
        images: list[Tensor] = []
        refined: list[Tensor] = []
        image = lr
        for number in range(stages):
            if number:  # the landmarks of a stage are those the stage before found: the source "carry"
                heatmaps = F.interpolate(heatmaps, scale_factor=2, mode="bilinear", align_corners=False)
            image, heatmaps = self.blocks[number](image, heatmaps)
            images.append(image)
            refined.append(heatmaps)
        return Stages(tuple(images), tuple(refined))
