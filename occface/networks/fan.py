"""FAN, the face alignment network: stacked hourglasses of residual blocks that give a heatmap for each landmark.

Bulat and Tzimiropoulos, "How far are we from solving the 2D & 3D face alignment problem?", ICCV 2017. The names of the
parameters are those of the published weights.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, relu

__all__ = ["FAN"]


class HierarchicalBlock(nn.Module):
    """Three 3x3 convolutions in a row, their results side by side (half, a quarter and a quarter of the channels), added."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        widths = (channels, out // 2, out // 4, out // 4)
        for number in (1, 2, 3):
            self.add_module(f"bn{number}", nn.BatchNorm2d(widths[number - 1]))
            self.add_module(f"conv{number}", nn.Conv2d(widths[number - 1], widths[number], 3, padding=1, bias=False))
        self.downsample = (
            nn.Identity()
            if channels == out
            else nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU(), nn.Conv2d(channels, out, 1, bias=False))
        )

    def forward(self, x: Tensor) -> Tensor:
        parts = [x]
        for number in (1, 2, 3):
            norm, convolution = self.get_submodule(f"bn{number}"), self.get_submodule(f"conv{number}")
            parts.append(convolution(relu(norm(parts[-1]))))
        return torch.cat(parts[1:], dim=1) + self.downsample(x)


class FanHourglass(nn.Module):
    """Down to a sixteenth and up again, a block beside each level."""

    def __init__(self, depth: int, channels: int) -> None:
        super().__init__()
        self.depth = depth
        for level in range(1, depth + 1):
            for role in ("b1", "b2", "b3", *(["b2_plus"] if level == 1 else [])):
                self.add_module(f"{role}_{level}", HierarchicalBlock(channels, channels))

    def forward(self, x: Tensor) -> Tensor:
        return self._level(x, self.depth)

    def _level(self, x: Tensor, level: int) -> Tensor:
        beside = self.get_submodule(f"b1_{level}")(x)
        low = self.get_submodule(f"b2_{level}")(avg_pool2d(x, 2))
        low = self._level(low, level - 1) if level > 1 else self.get_submodule("b2_plus_1")(low)
        low = self.get_submodule(f"b3_{level}")(low)
        return beside + interpolate(low, scale_factor=2, mode="nearest")


class FAN(nn.Module):
    """The network: (B, 3, 256, 256) in [0, 1] to heatmaps (B, landmarks, 64, 64) of the last hourglass.

    Parameters
    ----------
    stacks : int
        Hourglasses; 4 in the published weights (2DFAN-4).
    landmarks : int
        Heatmaps.
    width : int
        Channels of the hourglasses, a multiple of 16; 256 in the published weights.
    pooled : bool
        Whether the stem shrinks to a quarter, as published. Otherwise to a half, so that pictures of 128 px give heatmaps of
        64; the parameters are the same.
    prior : int
        Side of the buffer ``prior`` (landmarks, prior, prior), to which every hourglass's heatmaps are added: what is known
        of aligned faces before one is looked at. It is zero until someone fills it; 0 for none, as published.
    """

    def __init__(self, stacks: int = 4, landmarks: int = 68, width: int = 256, pooled: bool = True, prior: int = 0) -> None:
        super().__init__()
        self.stacks = stacks
        self.pooled = pooled
        self.prior: Tensor | None
        self.register_buffer("prior", torch.zeros(landmarks, prior, prior) if prior else None)
        self.conv1 = nn.Conv2d(3, width // 4, 7, stride=2, padding=3)
        self.bn1 = nn.BatchNorm2d(width // 4)
        self.conv2 = HierarchicalBlock(width // 4, width // 2)
        self.conv3 = HierarchicalBlock(width // 2, width // 2)
        self.conv4 = HierarchicalBlock(width // 2, width)
        for n in range(stacks):
            self.add_module(f"m{n}", FanHourglass(4, width))
            self.add_module(f"top_m_{n}", HierarchicalBlock(width, width))
            self.add_module(f"conv_last{n}", nn.Conv2d(width, width, 1))
            self.add_module(f"bn_end{n}", nn.BatchNorm2d(width))
            self.add_module(f"l{n}", nn.Conv2d(width, landmarks, 1))
            if n < stacks - 1:  # what the next hourglass is told
                self.add_module(f"bl{n}", nn.Conv2d(width, width, 1))
                self.add_module(f"al{n}", nn.Conv2d(landmarks, width, 1))

    def forward(self, x: Tensor, hourglasses: int | None = None, each: bool = False) -> Tensor:
        """Return the heatmaps of a batch of pictures by the last hourglass, or by the last of the first so many.

        With `each`, those of all these hourglasses: (hourglasses, B, landmarks, h, w).
        """
        count = hourglasses or self.stacks
        x = self.conv2(relu(self.bn1(self.conv1(x))))
        x = self.conv4(self.conv3(avg_pool2d(x, 2) if self.pooled else x))
        found: list[Tensor] = []
        for n in range(count):
            features = self._part("top_m_", n)(self._part("m", n)(x))
            features = relu(self._part("bn_end", n)(self._part("conv_last", n)(features)))
            maps: Tensor = self._part("l", n)(features)
            found.append(maps if self.prior is None else maps + self.prior)
            if n < count - 1:
                x = x + self._part("bl", n)(features) + self._part("al", n)(found[-1])
        return torch.stack(found) if each else found[-1]

    def _part(self, name: str, number: int) -> nn.Module:
        return self.get_submodule(f"{name}{number}")
