"""The generator that the authors published, which differs from the paper's text (facts: SEU-yang/Pro-UIGAN, models/network.py).

Each block attends by one softmax of raw dot products between projections of a quarter of the width, and adds what it finds
to these projections. From the appearance features it draws an auxiliary picture at the size that came in, and from the
priors the heatmaps; only these two enter the upsampling part, which enlarges bilinearly. Nothing but the picture goes on to
the next block, which looks at more landmarks: 7, 42, then 68.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from occface.errors import UsageError
from occface.networks.attention import one_softmax, to_map, to_places
from occface.networks.layers import ResidualBlock, conv3x3, stem
from occface.networks.uinet import ProgressiveNet, one_each

__all__ = ["ReleasedAttention", "ReleasedBlock", "ReleasedUInet"]

_LAST = 12
"""Channels before the head of the picture, whatever the width."""


class ReleasedAttention(nn.Module):
    """The published CM-AM: `one_softmax` between 1x1 projections, which it is also added to.

    Parameters
    ----------
    channels : int
        Channels of both streams; the projections have a quarter of them.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        width = channels // 4
        self.query = nn.Conv2d(channels, width, 1)
        self.key = nn.Conv2d(channels, width, 1)
        self.face_values = nn.Conv2d(channels, width, 1)
        self.landmark_values = nn.Conv2d(channels, width, 1)
        # Published, and counted in its size, but applied to nothing there: training leaves them as they were drawn.
        self.face_output = nn.Conv2d(width, width, 1)
        self.landmark_output = nn.Conv2d(width, width, 1)

    def forward(self, face: Tensor, landmarks: Tensor) -> tuple[Tensor, Tensor]:
        """Return the priors F_P and the appearance features F_A.

        Parameters
        ----------
        face, landmarks : Tensor
            The streams, (B, C, H, W) each.

        Returns
        -------
        priors, appearance : Tensor
            (B, C/4, H, W) each.
        """
        query, key = self.query(face), self.key(landmarks)
        priors, appearance = one_softmax(
            to_places(query), to_places(key), to_places(self.face_values(face)), to_places(self.landmark_values(landmarks))
        )
        return key + to_map(priors, key), query + to_map(appearance, query)


class ReleasedBlock(nn.Module):
    """One published block: N x N to 2N x 2N.

    Parameters
    ----------
    channels : int
        Width of its stems, a multiple of 4; features get narrower on their way out.
    blocks : int
        Residual blocks.
    landmarks : int
        Heatmaps that come in and are refined.
    kernel : int
        Size of the last two kernels before the picture's head.
    """

    led = True

    def __init__(self, channels: int, blocks: int, landmarks: int, kernel: int) -> None:
        super().__init__()
        if channels % 4:
            raise UsageError(f"the released block's channels must be a multiple of 4, got {channels}")
        half, quarter = channels // 2, channels // 4
        self.face_stem = stem(3, channels, "batch")
        self.landmark_stem = stem(landmarks, channels, "batch")
        self.attention = ReleasedAttention(channels)
        self.auxiliary_head = conv3x3(quarter, 3)
        self.heatmap_head = conv3x3(quarter, landmarks)
        self.join = nn.Sequential(stem(3 + landmarks, channels, "batch"), stem(channels, half, "batch"))
        self.up = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
        self.residual = nn.Sequential(*(ResidualBlock(half, "batch") for _ in range(blocks)))
        self.narrow = nn.Sequential(_narrowing(half, quarter, kernel), _narrowing(quarter, _LAST, kernel))
        self.image_head = conv3x3(_LAST, 3)
        _initialise(self)

    def forward(self, image: Tensor, heatmaps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the picture at twice the size, and the refined heatmaps and the auxiliary picture at the same.

        Parameters
        ----------
        image : Tensor
            (B,3,N,N) in [-1,1].
        heatmaps : Tensor
            (B,K,N,N) in [0,1].

        Returns
        -------
        image, heatmaps, auxiliary : Tensor
            (B,3,2N,2N) in [-1,1], (B,K,N,N) in [0,1] and (B,3,N,N) in [-1,1].
        """
        priors, appearance = self.attention(self.face_stem(image), self.landmark_stem(heatmaps))
        refined = torch.sigmoid(self.heatmap_head(priors))
        auxiliary = torch.tanh(self.auxiliary_head(appearance))
        features = self.residual(self.up(self.join(torch.cat([auxiliary, refined], dim=1))))
        return torch.tanh(self.image_head(self.narrow(features))), refined, auxiliary


class ReleasedUInet(ProgressiveNet):
    """The published generator, 16x16 to 128x128.

    Parameters
    ----------
    channels, blocks : sequence of three int
        Width and number of residual blocks of each stage. Published are 128 and 2: 1,197,343 parameters.
    landmarks : sequence of three int
        Heatmaps of each stage.

    Raises
    ------
    UsageError
        If there are not three values each, or a width is no multiple of 4.

    Examples
    --------
    >>> net = ReleasedUInet((16, 16, 16), (1, 1, 1), landmarks=(68, 68, 68))
    >>> stages = net(torch.zeros(1, 3, 16, 16), [torch.zeros(1, 68, 16, 16), None, None])
    >>> [tuple(image.shape[2:]) for image in stages.auxiliary]
    [(16, 16), (32, 32), (64, 64)]
    """

    def __init__(self, channels: Sequence[int], blocks: Sequence[int], *, landmarks: Sequence[int] = (7, 42, 68)) -> None:
        one_each(channels=channels, blocks=blocks, landmarks=landmarks)
        super().__init__(
            [
                ReleasedBlock(width, count, points, kernel)
                for width, count, points, kernel in zip(channels, blocks, landmarks, (3, 5, 5), strict=True)
            ],
            landmarks,
        )


def _narrowing(inputs: int, outputs: int, kernel: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
    )


def _initialise(network: nn.Module) -> None:
    """Draw all weights as published: convolutions and biases from N(0, 0.02), normalisations' weights from N(1, 0.02)."""
    for part in network.modules():
        if isinstance(part, nn.Conv2d | nn.BatchNorm2d):
            nn.init.normal_(part.weight, 1.0 if isinstance(part, nn.BatchNorm2d) else 0.0, 0.02)
            if part.bias is not None:
                nn.init.normal_(part.bias, 0.0, 0.02)
