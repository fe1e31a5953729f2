"""The discriminators: Local-D on the middle of a face, Global-D on the whole of it (paper III-E, released sizes)."""

from __future__ import annotations

from torch import Tensor, nn

from occface.networks.layers import conv3x3, initialise

__all__ = ["PatchDiscriminator", "centre_crop", "global_discriminator", "local_discriminator"]


class PatchDiscriminator(nn.Module):
    """Pairs of 3x3 convolutions, each pair halving the size and doubling the width, then one logit per patch.

    Parameters
    ----------
    pairs : int
        How many pairs: 4 take 128x128 to 8x8 patches.
    width : int
        Channels of the first pair.

    Examples
    --------
    >>> sum(p.numel() for p in PatchDiscriminator(pairs=4, width=64).parameters())
    4693697
    """

    def __init__(self, pairs: int, width: int = 64) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = 3
        for pair in range(pairs):
            outputs = width << pair
            first_norm = nn.BatchNorm2d(outputs) if pair else nn.Identity()  # none on the first convolution: keep contrast
            layers += [conv3x3(inputs, outputs), first_norm, nn.LeakyReLU(0.2)]
            layers += [conv3x3(outputs, outputs, stride=2), nn.BatchNorm2d(outputs), nn.LeakyReLU(0.2)]
            inputs = outputs
        self.layers = nn.Sequential(*layers, conv3x3(inputs, 1))
        initialise(self)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (B,1,h,w) that each patch of `images` (B,3,H,W), in [-1,1], is real."""
        return self.layers(images)


def global_discriminator(width: int = 64) -> PatchDiscriminator:
    """Return Global-D for 128x128 faces: 4,693,697 parameters at width 64, 8x8 patches."""
    return PatchDiscriminator(4, width)


def local_discriminator(size: int, width: int = 64) -> PatchDiscriminator:
    """Return Local-D for the 16x16 or 64x64 centre of a face: 261,953 or 1,149,377 parameters, 4x4 or 8x8 patches."""
    return PatchDiscriminator({16: 2, 64: 3}[size], width)


def centre_crop(images: Tensor, size: int) -> Tensor:
    """Return the middle `size` x `size` pixels of images (B,C,H,W)."""
    top, left = ((length - size) // 2 for length in images.shape[2:])
    return images[:, :, top : top + size, left : left + size]
