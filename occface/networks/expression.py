"""A small network that tells expressions apart from a grey face of 64 pixels; few faces are enough to train it.

A 5x5 and two 3x3 convolutions, each with a stride of 2 and followed by batch normalisation and a ReLU; means over 2x2 pixels;
dropout, and one linear layer on the 4x4 map that is left, for in an aligned face it matters where a corner of the mouth lies.
"""

from __future__ import annotations

from torch import Tensor, nn

__all__ = ["SIZE", "ExpressionNet"]

SIZE = 64
"""Side of the picture in pixels."""


class ExpressionNet(nn.Module):
    """Grey faces (B, 1, 64, 64) in any range -> scores (B, classes) before the softmax.

    Parameters
    ----------
    classes : int
        How many expressions there are.
    width : int
        Channels of the first convolution; the others have two and three times as many.
    """

    def __init__(self, classes: int, width: int = 16) -> None:
        super().__init__()
        convolutions = (
            nn.Conv2d(1, width, 5, stride=2, padding=2, bias=False),
            nn.Conv2d(width, 2 * width, 3, stride=2, padding=1, bias=False),
            nn.Conv2d(2 * width, 3 * width, 3, stride=2, padding=1, bias=False),
        )
        self.blocks = nn.Sequential(
            *(nn.Sequential(layer, nn.BatchNorm2d(layer.out_channels), nn.ReLU()) for layer in convolutions), nn.AvgPool2d(2)
        )
        self.dropout = nn.Dropout(0.3)
        self.last = nn.Linear(3 * width * (SIZE // 16) ** 2, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Score faces; each is brought to mean 0 and standard deviation 1 first, so that light does not count."""
        if x.ndim != 4 or x.shape[1:] != (1, SIZE, SIZE):
            raise ValueError(f"expected faces of shape (B, 1, {SIZE}, {SIZE}), got {tuple(x.shape)}")
        x = x - x.mean((2, 3), keepdim=True)
        x = x / (x.square().mean((2, 3), keepdim=True).sqrt() + 1e-3)
        y: Tensor = self.last(self.dropout(self.blocks(x).flatten(1)))
        return y
