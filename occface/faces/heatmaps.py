"""Landmark heatmaps: Gaussians drawn where landmarks are known, or what FAN sees in a picture; and landmarks read from them."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from occface.errors import UsageError
from occface.faces.align import CROP_BOX, CROP_SIZE
from occface.faces.fan import frame, peaks, published_network
from occface.networks.fan import FAN
from occface.registry import did_you_mean

__all__ = [
    "DECODINGS",
    "FAN_READINGS",
    "LANDMARK_SETS",
    "FanHeatmaps",
    "TrainedFanHeatmaps",
    "enlarged",
    "expected_places",
    "gaussian_heatmaps",
    "read_landmarks",
    "seen_heatmaps",
]

_ALL = tuple(range(68))
_EYE_CORNERS, _MOUTH_CORNERS = (36, 39, 42, 45), (48, 54)

#: Which of the 68 landmarks each stage is given, in iBUG's numbers: all, or growing with the stage as in the released code.
LANDMARK_SETS: dict[str, tuple[tuple[int, ...], ...]] = {
    "full68": (_ALL, _ALL, _ALL),
    "released_7_42_68": (
        (*_EYE_CORNERS, 30, *_MOUTH_CORNERS),
        (*_EYE_CORNERS, *range(27, 31), *_MOUTH_CORNERS, *range(17), *range(17, 27), *range(60, 65)),
        _ALL,
    ),
}

#: How FAN is shown an aligned face: as it was trained, or as the released code does.
FAN_READINGS: tuple[str, ...] = ("framed", "released")
_FAN_INPUT, _FAN_MAP = 256, 64

#: How landmarks are read from heatmaps: see `read_landmarks`.
DECODINGS: tuple[str, ...] = ("peaks", "expected")


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
    centres = (landmarks.float() + 0.5) * (size / CROP_SIZE) - 0.5
    pixels = torch.arange(size, device=landmarks.device, dtype=torch.float32)
    profiles = torch.exp(-0.5 * ((pixels - centres.unsqueeze(-1)) / sigma) ** 2)  # (B, K, 2, size): a Gaussian is separable
    return profiles[:, :, 1, :, None] * profiles[:, :, 0, None, :]


def expected_places(maps: Tensor) -> Tensor:
    """Return the centre of mass of the square of each heatmap, with gradients.

    Squared, because the little that a network leaves all over a map would draw the centre of mass to the map's middle. What
    is below zero has no mass.

    Parameters
    ----------
    maps : Tensor
        (B, K, size, size), of any float type.

    Returns
    -------
    Tensor
        (B, K, 2) float32 x and y in pixels of the 128x128 crop; the crop's centre for a map without mass.

    Examples
    --------
    >>> expected_places(gaussian_heatmaps(torch.tensor([[[40.25, 77.0]]]), 64))
    tensor([[[40.2500, 77.0000]]])
    """
    mass = maps.float().clamp(min=0) ** 2
    size = maps.shape[-1]
    # From the middle, so that a map of nothing, to which a little is added against division by zero, gives the middle.
    pixels = torch.arange(size, device=maps.device, dtype=torch.float32) - (size - 1) / 2
    total = mass.sum((2, 3)) + 1e-6
    places = torch.stack([(mass.sum(2) * pixels).sum(-1), (mass.sum(3) * pixels).sum(-1)], dim=-1) / total.unsqueeze(-1)
    return places * (CROP_SIZE / size) + (CROP_SIZE - 1) / 2


def read_landmarks(maps: Tensor, decoding: str) -> Tensor:
    """Return where heatmaps say that landmarks lie.

    Parameters
    ----------
    maps : Tensor
        (B, K, size, size).
    decoding : {"peaks", "expected"}
        The highest pixel and a quarter towards its higher neighbour, as FAN's authors do; or `expected_places`.

    Returns
    -------
    Tensor
        (B, K, 2) float32 x and y in pixels of the 128x128 crop, on the device of `maps`.

    Raises
    ------
    UsageError
        If there is no such decoding.

    Examples
    --------
    >>> read_landmarks(gaussian_heatmaps(torch.tensor([[[40.5, 76.5]]]), 64), "peaks")
    tensor([[[40.5000, 76.5000]]])
    """
    if decoding not in DECODINGS:
        raise UsageError(f"unknown decoding of heatmaps '{decoding}': {did_you_mean(decoding, DECODINGS)}")
    if decoding == "expected":
        return expected_places(maps)
    found = torch.from_numpy(peaks(maps.detach().float().flatten(0, 1).cpu().numpy())).float()
    places = found * (CROP_SIZE / maps.shape[-1]) - 0.5
    return places.view(*maps.shape[:2], 2).to(maps.device)


class FanHeatmaps(nn.Module):
    """What FAN sees in aligned faces of any size, without gradients; its weights are the asset ``fan``.

    Parameters
    ----------
    reading : {"framed", "released"}
        ``framed``: the crop is continued by its mirror image until the face is framed as FAN knows it, FAN is given values in
        [0, 1], and its last hourglass is asked. ``released``: the crop alone fills the picture, values are in [-1, 1], and
        the first hourglass is asked, as in the authors' code.
    network : FAN, optional
        The network; by default the published one.

    Raises
    ------
    UsageError
        If there is no such reading.
    AssetError
        If the weights are not at hand. Nothing stands in for them unasked.
    """

    framed_grid: Tensor
    crop_grid: Tensor

    def __init__(self, reading: str = "framed", network: FAN | None = None) -> None:
        super().__init__()
        if reading not in FAN_READINGS:
            raise UsageError(f"unknown reading of FAN '{reading}': {did_you_mean(reading, FAN_READINGS)}")
        self.reading = reading
        self.network = (network or published_network()).requires_grad_(False).eval()
        transform = frame(CROP_BOX)
        zoom = _FAN_INPUT / (CROP_SIZE * transform[0, 0])  # of FAN's picture, in crops
        # Both ways between the normalised coordinates of the crop and of FAN's picture, as affine_grid wants them.
        middle = (2 * ((_FAN_INPUT - 1) / 2 - transform[:, 2]) / transform[0, 0] + 1) / CROP_SIZE - 1
        for name, scale, shift in (("framed_grid", zoom, middle), ("crop_grid", 1 / zoom, -middle / zoom)):
            matrix = np.concatenate([scale * np.eye(2), shift[:, None]], axis=1)
            self.register_buffer(name, torch.from_numpy(matrix).float(), persistent=False)

    def train(self, mode: bool = True) -> FanHeatmaps:
        """Stay in evaluation mode: the landmark estimator does not learn."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, images: Tensor, size: int) -> Tensor:
        """Return the heatmaps of aligned faces.

        Parameters
        ----------
        images : Tensor
            (B, 3, N, N) RGB in [-1, 1].
        size : int
            Height and width of the maps.

        Returns
        -------
        Tensor
            (B, 68, size, size) in [0, 1].
        """
        if self.reading == "released":
            seen = F.interpolate(images, size=(_FAN_INPUT, _FAN_INPUT), mode="bilinear", align_corners=False)
            maps = self.network(seen, hourglasses=1)
            return F.interpolate(maps.float(), size=(size, size), mode="bilinear", align_corners=False).clamp(0, 1)
        seen = _sampled((images.float() + 1) / 2, self.framed_grid, _FAN_INPUT, "reflection")
        return _sampled(self.network(seen).float(), self.crop_grid, size, "zeros").clamp(0, 1)


def enlarged(images: Tensor, size: int = CROP_SIZE) -> Tensor:
    """Return faces as a network that was trained on 128 crops is shown them: bicubic (a = -0.5), in the range that they had.

    Parameters
    ----------
    images : Tensor
        (B, 3, N, N) RGB in [-1, 1].
    size : int
        The side to bring them to; images of that size stay as they are.
    """
    if images.shape[-1] == size:
        return images
    return F.interpolate(images.float(), size=(size, size), mode="bicubic", antialias=True).clamp(-1, 1)


def seen_heatmaps(network: nn.Module, images: Tensor, size: int = 64) -> Tensor:
    """Return what a network that was trained on 128 crops sees in aligned faces of any size, with gradients.

    Parameters
    ----------
    network : Module
        A FAN with ``pooled=False``.
    images : Tensor
        (B, 3, N, N) RGB in [-1, 1].
    size : int
        Height and width of the maps; the network's own are of 64.

    Returns
    -------
    Tensor
        (B, 68, size, size), around [0, 1], not clamped.
    """
    maps: Tensor = network((enlarged(images) + 1) / 2)
    if maps.shape[-1] == size:
        return maps
    return F.interpolate(maps.float(), size=(size, size), mode="bilinear", antialias=True)


class TrainedFanHeatmaps(nn.Module):
    """What a FAN trained on 128 crops (method ``fan``) sees in aligned faces of any size, without gradients.

    Parameters
    ----------
    network : FAN
        Such a network, for example ``TrainedFanLandmarks.open(run).network()``.
    """

    def __init__(self, network: FAN) -> None:
        super().__init__()
        self.network = network.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> TrainedFanHeatmaps:
        """Stay in evaluation mode: the landmark estimator does not learn."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, images: Tensor, size: int) -> Tensor:
        """Return the heatmaps (B, 68, size, size) in [0, 1] of aligned faces (B, 3, N, N) in [-1, 1]."""
        return seen_heatmaps(self.network, images, size).float().clamp(0, 1)


def _sampled(images: Tensor, transform: Tensor, size: int, beyond: str) -> Tensor:
    """Return what lies at a grid of `size` x `size` points that `transform` (2, 3) leads into the images."""
    with torch.autocast(images.device.type, enabled=False):  # places in half precision would be half a pixel off
        grid = F.affine_grid(transform.expand(len(images), 2, 3), [len(images), 1, size, size], align_corners=False)
        return F.grid_sample(images, grid, mode="bilinear", padding_mode=beyond, align_corners=False)
