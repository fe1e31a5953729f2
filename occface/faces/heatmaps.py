"""Landmark heatmaps: one Gaussian per landmark, drawn at the resolution that a stage works at."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["gaussian_heatmaps"]

CROP = 128


def gaussian_heatmaps(landmarks: Tensor, size: int) -> Tensor:
    """Draw one Gaussian of height 1 per landmark.

    Crop pixel x lies at heatmap pixel (x + 0.5) * size / 128 - 0.5. The standard deviation is that of FAN's training maps,
    1.75 pixels at 64x64, scaled with the size but at least 0.7 pixels, so that no landmark falls between two pixels.

    Parameters
    ----------
    landmarks : Tensor
        (B, K, 2) x and y in pixels of the 128x128 crop; they may lie outside of it.
    size : int
        Height and width of the maps.

    Returns
    -------
    Tensor
        (B, K, size, size) float32 in [0, 1], on the device of `landmarks`.

    Examples
    --------
    >>> maps = gaussian_heatmaps(torch.tensor([[[95.5, 31.5]]]), 16)
    >>> maps.shape, divmod(int(maps.argmax()), 16)
    (torch.Size([1, 1, 16, 16]), (3, 11))
    """
    sigma = max(1.75 * size / 64, 0.7)
    centres = (landmarks.float() + 0.5) * (size / CROP) - 0.5
    pixels = torch.arange(size, device=landmarks.device, dtype=torch.float32)
    profiles = torch.exp(-0.5 * ((pixels - centres.unsqueeze(-1)) / sigma) ** 2)  # (B, K, 2, size): a Gaussian is separable
    return profiles[:, :, 1, :, None] * profiles[:, :, 0, None, :]
