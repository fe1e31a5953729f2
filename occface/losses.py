"""The losses that methods are made of (paper III-F). Norms are taken as means, as the released code takes them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from occface.errors import UsageError
from occface.registry import did_you_mean

__all__ = [
    "GAN_LOSSES",
    "discriminator_loss",
    "feature",
    "generator_loss",
    "geometry",
    "gram",
    "intensity",
    "style",
    "total_variation",
]

GAN_LOSSES: tuple[str, ...] = ("bce", "lsgan")


def intensity(result: Tensor, truth: Tensor) -> Tensor:
    """Return the mean squared difference of two batches of images (L_mse, Eq. 4)."""
    return F.mse_loss(result.float(), truth.float())


def feature(result: Tensor, truth: Tensor) -> Tensor:
    """Return the mean squared difference of two batches of features (L_f, Eq. 5)."""
    return F.mse_loss(result.float(), truth.float())


def geometry(result: Tensor, truth: Tensor) -> Tensor:
    """Return the mean squared difference of heatmaps over landmarks and pixels (L_h, Eq. 6)."""
    return F.mse_loss(result.float(), truth.float())


def gram(features: Tensor) -> Tensor:
    """Return the Gram matrices (B,C,C) of features (B,C,H,W), divided by C*H*W.

    Examples
    --------
    >>> gram(torch.ones(1, 2, 3, 3))
    tensor([[[0.5000, 0.5000],
             [0.5000, 0.5000]]])
    """
    batch, channels, height, width = features.shape
    with torch.autocast(features.device.type, enabled=False):  # sums over thousands of places need float32
        rows = features.float().reshape(batch, channels, height * width)
        return rows @ rows.transpose(1, 2) / (channels * height * width)


def style(result: tuple[Tensor, ...], truth: tuple[Tensor, ...]) -> Tensor:
    """Return the mean absolute difference of Gram matrices, summed over the layers (L_style, Eq. 7)."""
    differences = [F.l1_loss(gram(ours), gram(theirs)) for ours, theirs in zip(result, truth, strict=True)]
    return torch.stack(differences).sum()


def total_variation(images: Tensor) -> Tensor:
    """Return the mean absolute difference of neighbouring pixels, down plus across: an extra of the released code.

    Examples
    --------
    >>> total_variation(torch.tensor([[[[0.0, 1.0], [0.0, 1.0]]]]))
    tensor(1.)
    """
    images = images.float()
    return images.diff(dim=2).abs().mean() + images.diff(dim=3).abs().mean()


def _verdict(logits: Tensor, real: bool, kind: str) -> Tensor:
    logits = logits.float()
    wanted = torch.full_like(logits, float(real))
    if kind == "bce":
        return F.binary_cross_entropy_with_logits(logits, wanted)
    if kind == "lsgan":
        return F.mse_loss(logits, wanted)
    raise UsageError(f"unknown adversarial loss '{kind}': {did_you_mean(kind, GAN_LOSSES)}")


def discriminator_loss(real: Tensor, fake: Tensor, kind: str) -> Tensor:
    """Return what a discriminator minimises (Eq. 8, 9): calling the real ones real and the made ones made, mean over patches.

    Parameters
    ----------
    real, fake : Tensor
        Logits of real and of made images, any shape.
    kind : {"bce", "lsgan"}
        The paper's log loss, or least squares on the logits, as released.

    Raises
    ------
    UsageError
        If there is no such loss.
    """
    return _verdict(real, True, kind) + _verdict(fake, False, kind)


def generator_loss(fake: Tensor, kind: str) -> Tensor:
    """Return what a generator minimises (Eq. 10, 11, in the non-saturating form): having its images called real.

    Parameters
    ----------
    fake : Tensor
        Logits of made images, any shape.
    kind : {"bce", "lsgan"}
        See `discriminator_loss`.
    """
    return _verdict(fake, True, kind)
