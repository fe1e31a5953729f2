"""BiSeNet as it is used to parse faces: ResNet-18, its deeper features refined and enlarged, and joined with its finer ones.

Yu et al., "BiSeNet: Bilateral Segmentation Network for Real-time Semantic Segmentation", ECCV 2018, in the form of the public
face parser (facts: zllrunning/face-parsing.PyTorch), which takes the features of ResNet's second stage in place of a spatial
path of its own. Parameters have the names they have there.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from occface.errors import UsageError
from occface.networks.layers import initialise

__all__ = ["HEADS", "BiSeNet"]

HEADS = 3
"""The head that is used, and two on coarser features that only help in training."""

_SMALLEST = 32


class _ConvNormReLU(nn.Module):
    """Convolution without bias, batch normalisation, ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)))


class _BasicBlock(nn.Module):
    """ResNet's block: two 3x3 convolutions, added to the input (or, if sizes change, to a 1x1 convolution of it), then ReLU."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample = (
            nn.Identity()
            if inputs == outputs and stride == 1
            else nn.Sequential(nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs))
        )

    def forward(self, x: Tensor) -> Tensor:
        branch = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        # Every other pixel is taken here, not by the convolution: with one thread and channels last, the gradient of a narrow
        # 1x1 convolution with a stride writes beyond its memory (torch 2.13, oneDNN, AVX2).
        return F.relu(self.downsample(x[:, :, :: self.stride, :: self.stride]) + branch)


class _ResNet18(nn.Module):
    """ResNet-18 without its classifier."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        inputs = width
        for number, stride in enumerate((1, 2, 2, 2), 1):
            outputs = width << (number - 1)
            self.add_module(
                f"layer{number}", nn.Sequential(_BasicBlock(inputs, outputs, stride), _BasicBlock(outputs, outputs, 1))
            )
            inputs = outputs

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return features at an eighth, a sixteenth and a thirty-second of the size: 2, 4 and 8 times `width` channels."""
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, stride=2, padding=1)
        eighth = self.get_submodule("layer2")(self.get_submodule("layer1")(x))
        sixteenth = self.get_submodule("layer3")(eighth)
        return eighth, sixteenth, self.get_submodule("layer4")(sixteenth)


class _AttentionRefinement(nn.Module):
    """A convolution whose channels are weighed by what the whole picture shows."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = _ConvNormReLU(inputs, outputs)
        self.conv_atten = nn.Conv2d(outputs, outputs, 1, bias=False)
        self.bn_atten = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        features = self.conv(x)
        return features * torch.sigmoid(self.bn_atten(self.conv_atten(_whole(features))))


class _ContextPath(nn.Module):
    """From the coarsest features, and their mean over the picture, back up to an eighth of its size."""

    def __init__(self, width: int) -> None:
        super().__init__()
        out = 2 * width
        self.resnet = _ResNet18(width)
        self.arm16 = _AttentionRefinement(4 * width, out)
        self.arm32 = _AttentionRefinement(8 * width, out)
        self.conv_head32 = _ConvNormReLU(out, out)
        self.conv_head16 = _ConvNormReLU(out, out)
        self.conv_avg = _ConvNormReLU(8 * width, out, kernel=1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return ResNet's features at an eighth of the size, and the path's at an eighth and at a sixteenth."""
        eighth, sixteenth, coarsest = self.resnet(x)
        coarsest = self.arm32(coarsest) + self.conv_avg(_whole(coarsest))
        context16 = self.conv_head32(F.interpolate(coarsest, sixteenth.shape[2:], mode="nearest"))
        joined = F.interpolate(self.arm16(sixteenth) + context16, eighth.shape[2:], mode="nearest")
        return eighth, self.conv_head16(joined), context16


class _FeatureFusion(nn.Module):
    """Fine features and context joined, and their channels once more added as far as the whole picture speaks for them."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.convblk = _ConvNormReLU(inputs, outputs, kernel=1)
        self.conv1 = nn.Conv2d(outputs, outputs // 4, 1, bias=False)
        self.conv2 = nn.Conv2d(outputs // 4, outputs, 1, bias=False)

    def forward(self, fine: Tensor, context: Tensor) -> Tensor:
        features = self.convblk(torch.cat([fine, context], dim=1))
        return features + features * torch.sigmoid(self.conv2(F.relu(self.conv1(_whole(features)))))


class _Head(nn.Module):
    """Features to logits."""

    def __init__(self, inputs: int, middle: int, classes: int) -> None:
        super().__init__()
        self.conv = _ConvNormReLU(inputs, middle)
        self.conv_out = nn.Conv2d(middle, classes, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv_out(self.conv(x))


class BiSeNet(nn.Module):
    """A face's parts, pixel by pixel.

    Parameters
    ----------
    classes : int
        Classes told apart.
    width : int
        Channels of ResNet's first stage; 64 in ResNet-18, which with 19 classes makes 13,300,416 parameters.
    size : int
        Height and width to which pictures are resized, bilinearly, before the network sees them; at least 32. Its maps are
        made at an eighth of that.

    Raises
    ------
    UsageError
        If the size is below 32.
    """

    def __init__(self, classes: int, width: int = 64, size: int = 512) -> None:
        super().__init__()
        if size < _SMALLEST:
            raise UsageError(f"expected a size of at least {_SMALLEST} for the face parser, got {size}")
        self.size = size
        self.cp = _ContextPath(width)
        self.ffm = _FeatureFusion(4 * width, 4 * width)
        self.conv_out = _Head(4 * width, 4 * width, classes)
        self.conv_out16 = _Head(2 * width, width, classes)
        self.conv_out32 = _Head(2 * width, width, classes)
        for name, values in {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}.items():
            self.register_buffer(name, torch.tensor(values).view(1, 3, 1, 1), persistent=False)
        initialise(self)

    def forward(self, images: Tensor, heads: int = 1) -> tuple[Tensor, ...]:
        """Return the logits of the first so many heads.

        Parameters
        ----------
        images : Tensor
            (B,3,H,W) RGB in [-1,1].
        heads : int
            1 to `HEADS`: the head that is used; and the two that help in training.

        Returns
        -------
        tuple of Tensor
            Of each head (B,classes,H,W), float32, enlarged bilinearly.
        """
        x = F.interpolate(images, (self.size, self.size), mode="bilinear", align_corners=False)
        x = ((x + 1) / 2 - self.get_buffer("mean")) / self.get_buffer("std")
        fine, context, coarse = self.cp(x)
        made = [self.conv_out(self.ffm(fine, context))]
        if heads > 1:
            made += [self.conv_out16(context), self.conv_out32(coarse)][: heads - 1]
        # Kernels of odd size put the first feature on the first pixel, and so does this way of enlarging.
        return tuple(F.interpolate(maps.float(), images.shape[2:], mode="bilinear", align_corners=True) for maps in made)


def _whole(features: Tensor) -> Tensor:
    return F.adaptive_avg_pool2d(features, 1)
