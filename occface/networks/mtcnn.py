"""The three networks of MTCNN (Zhang et al., IEEE SPL 23(10), 2016), with the layers' names of the published weights.

Each sees RGB in about [-1, 1], (value - 127.5) / 128, and says how likely it looks at a face and how the window's edges are to
be moved, as parts of its width and height: the first at every second pixel of a picture, in windows of 12 pixels, the others
in windows of 24 and 48 pixels that are given to them.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from occface import assets

__all__ = ["OutputNet", "ProposalNet", "RefineNet", "load_mtcnn"]


class ProposalNet(nn.Module):
    """P-net: convolutions of 10, 16 and 32 channels, and a face or none at every second pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.prelu1 = nn.Conv2d(3, 10, 3), nn.PReLU(10)
        self.conv2, self.prelu2 = nn.Conv2d(10, 16, 3), nn.PReLU(16)
        self.conv3, self.prelu3 = nn.Conv2d(16, 32, 3), nn.PReLU(32)
        self.conv4_1, self.conv4_2 = nn.Conv2d(32, 2, 1), nn.Conv2d(32, 4, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return how likely each window holds a face, (B, h, w) in [0, 1], and its edges' moves, (B, 4, h, w).

        Window (row, column) of the maps begins at pixel (2 row, 2 column) of the pictures, (B, 3, H, W) with H and W of at
        least 12.
        """
        x = F.max_pool2d(self.prelu1(self.conv1(x)), 2, 2, ceil_mode=True)
        x = self.prelu3(self.conv3(self.prelu2(self.conv2(x))))
        return self.conv4_1(x).softmax(1)[:, 1], self.conv4_2(x)


class RefineNet(nn.Module):
    """R-net: convolutions of 28, 48 and 64 channels and a hidden layer of 128."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.prelu1 = nn.Conv2d(3, 28, 3), nn.PReLU(28)
        self.conv2, self.prelu2 = nn.Conv2d(28, 48, 3), nn.PReLU(48)
        self.conv3, self.prelu3 = nn.Conv2d(48, 64, 2), nn.PReLU(64)
        self.dense4, self.prelu4 = nn.Linear(576, 128), nn.PReLU(128)
        self.dense5_1, self.dense5_2 = nn.Linear(128, 2), nn.Linear(128, 4)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return how likely windows, (B, 3, 24, 24), hold a face, (B,) in [0, 1], and their edges' moves, (B, 4)."""
        x = F.max_pool2d(self.prelu1(self.conv1(x)), 3, 2, ceil_mode=True)
        x = F.max_pool2d(self.prelu2(self.conv2(x)), 3, 2, ceil_mode=True)
        x = self.prelu4(self.dense4(_columns_first(self.prelu3(self.conv3(x)))))
        return self.dense5_1(x).softmax(1)[:, 1], self.dense5_2(x)


class OutputNet(nn.Module):
    """O-net: convolutions of 32, 64, 64 and 128 channels and a hidden layer of 256."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.prelu1 = nn.Conv2d(3, 32, 3), nn.PReLU(32)
        self.conv2, self.prelu2 = nn.Conv2d(32, 64, 3), nn.PReLU(64)
        self.conv3, self.prelu3 = nn.Conv2d(64, 64, 3), nn.PReLU(64)
        self.conv4, self.prelu4 = nn.Conv2d(64, 128, 2), nn.PReLU(128)
        self.dense5, self.prelu5 = nn.Linear(1152, 256), nn.PReLU(256)
        self.dense6_1, self.dense6_2, self.dense6_3 = nn.Linear(256, 2), nn.Linear(256, 4), nn.Linear(256, 10)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return what windows, (B, 3, 48, 48), hold.

        Returns
        -------
        tuple of Tensor
            How likely it is a face, (B,) in [0, 1]; the edges' moves, (B, 4); and five points, (B, 2, 5), x and y as parts of
            the window's sides: eyes, tip of the nose, corners of the mouth, left in the picture first.
        """
        x = F.max_pool2d(self.prelu1(self.conv1(x)), 3, 2, ceil_mode=True)
        x = F.max_pool2d(self.prelu2(self.conv2(x)), 3, 2, ceil_mode=True)
        x = F.max_pool2d(self.prelu3(self.conv3(x)), 2, 2, ceil_mode=True)
        x = self.prelu5(self.dense5(_columns_first(self.prelu4(self.conv4(x)))))
        return self.dense6_1(x).softmax(1)[:, 1], self.dense6_2(x), self.dense6_3(x).unflatten(1, (2, 5))


def _columns_first(x: Tensor) -> Tensor:
    """Flatten (B, C, H, W) in the order in which the weights' first framework held it: columns, rows, channels."""
    return x.permute(0, 3, 2, 1).flatten(1)


def load_mtcnn() -> tuple[ProposalNet, RefineNet, OutputNet]:
    """Return the three networks with the weights of the asset ``mtcnn``, in evaluation mode and frozen.

    Raises
    ------
    AssetError
        If the weights are not at hand, or not what their hash says.
    """
    paths = assets.require("mtcnn")
    networks = ProposalNet(), RefineNet(), OutputNet()
    for network, name in zip(networks, ("pnet.pt", "rnet.pt", "onet.pt"), strict=True):
        _fill(network, paths[name])
    return networks


def _fill(network: nn.Module, path: Path) -> None:
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    network.requires_grad_(False).eval()
