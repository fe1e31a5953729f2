"""Finding 68 landmarks with FAN (2DFAN-4), the landmark estimator of the paper.

Bulat and Tzimiropoulos, "How far are we from solving the 2D & 3D face alignment problem?", ICCV 2017. The weights are those
that the package face-alignment uses, the asset ``fan``; framing and decoding follow it. It takes about a second for a face on
a CPU.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import cv2
import numpy as np

from occface import assets
from occface.faces import align
from occface.faces.detect import check_box
from occface.networks.inference import one_thread

if TYPE_CHECKING:
    from torch import Tensor

    from occface.networks.fan import FAN

__all__ = ["FanLandmarks", "frame", "peaks", "published_network"]

#: Sides of the picture that the network sees and of its heatmaps, and its stacked hourglasses.
_INPUT, _MAP, _STACKS = 256, 64, 4

#: The picture that the network sees is so many times the mean side of the box (200 / 195 of its width plus its height), and
#: its centre lies so much of the box's height above that of the box.
_FRAME, _RAISED = 2 * 200 / 195, 0.12


def published_network() -> FAN:
    """Return 2DFAN-4 with its published weights, frozen.

    Raises
    ------
    AssetError
        If the weights are not at hand.
    """
    import torch

    from occface.networks.fan import FAN

    (path,) = assets.require("fan").values()
    network = FAN(_STACKS)
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return network.requires_grad_(False).eval()


@functools.lru_cache(maxsize=1)
def _network() -> FAN:
    """Return the network, loaded once per process."""
    return published_network()


@dataclass(frozen=True)
class FanLandmarks:
    """2DFAN-4, not compiled, on one thread. The face is looked at once, not mirrored too, which would take twice the time."""

    name: ClassVar[str] = "fan"
    assets: ClassVar[tuple[str, ...]] = ("fan",)

    def __call__(self, image: np.ndarray, box: tuple[float, float, float, float]) -> np.ndarray:
        """Return the landmarks of the face in a box.

        Parameters
        ----------
        image : numpy.ndarray
            (height, width, 3) uint8 RGB. What the network sees beyond its border is black, as where it was trained.
        box : tuple of float
            (x0, y0, x1, y1), pixel centres at integers, from above the brows to the chin, as detectors draw it.

        Returns
        -------
        numpy.ndarray
            (68, 2) float32, (x, y) in pixels of `image`, pixel centres at integers.

        Raises
        ------
        AssetError
            If the weights are not at hand, or not what their hash says.
        BadImageError
            If the box is too small, or mostly outside the photograph.
        """
        check_box(box, image)
        transform = frame(box)
        seen = align.warp(image, transform, _INPUT)
        x, y = ((np.arange(_INPUT) - shift) / transform[0, 0] for shift in transform[:, 2])
        seen[(y < -0.5) | (y > image.shape[0] - 0.5)] = 0
        seen[:, (x < -0.5) | (x > image.shape[1] - 0.5)] = 0
        return self._found(seen, transform)

    def on_lr(self, lr: np.ndarray) -> np.ndarray:
        """Return the landmarks of an aligned LR face in pixels of the 128 crop.

        The crop is tighter than what the network wants to see. The LR face is continued by its mirror image as far as needed,
        and all of it is enlarged bicubically.

        Parameters
        ----------
        lr : numpy.ndarray
            (16, 16, 3) uint8 RGB.

        Returns
        -------
        numpy.ndarray
            (68, 2) float32.
        """
        enlarged = cv2.resize(lr, (align.CROP_SIZE, align.CROP_SIZE), interpolation=cv2.INTER_CUBIC)
        transform = frame(align.CROP_BOX)
        return self._found(align.warp(enlarged, transform, _INPUT), transform)

    def _found(self, seen: np.ndarray, transform: np.ndarray) -> np.ndarray:
        """Return the landmarks found in what the network sees, in pixels of the picture that this was taken from."""
        with one_thread():
            points = peaks(self._heatmaps(seen)) * (_INPUT / _MAP)
        return ((points - 0.5 - transform[:, 2]) / transform[0, 0]).astype(np.float32)

    def _heatmaps(self, seen: np.ndarray) -> np.ndarray:
        """Return the last hourglass's heatmaps, (68, 64, 64), of a picture, uint8 (256, 256, 3)."""
        import torch

        x: Tensor = torch.from_numpy(seen).permute(2, 0, 1).float().unsqueeze(0) / 255
        return np.asarray(_network()(x)[0].numpy())


def frame(box: tuple[float, float, float, float]) -> np.ndarray:
    """Return the transform, (2, 3), from a picture to what the network sees of it: the box in the middle, and much around it.

    The package takes the same part of the picture, but rounds its corners to whole pixels towards zero.
    """
    x0, y0, x1, y1 = box
    factor = _INPUT / (_FRAME * (x1 - x0 + y1 - y0) / 2)
    centre = np.array([(x0 + x1) / 2, (y0 + y1) / 2 - _RAISED * (y1 - y0)])
    return np.concatenate([factor * np.eye(2), ((_INPUT - 1) / 2 - factor * centre)[:, None]], axis=1)


def peaks(maps: np.ndarray) -> np.ndarray:
    """Return where heatmaps are highest, (k, 2) x and y: the middle of that pixel, and a quarter towards its higher neighbour.

    Parameters
    ----------
    maps : numpy.ndarray
        (k, height, width).

    Returns
    -------
    numpy.ndarray
        (k, 2) float64, in pixels of the maps counted from their edge: the first pixel's middle is 0.5.

    Examples
    --------
    >>> maps = np.zeros((1, 5, 5))
    >>> maps[0, 2, 2:4] = 2, 1
    >>> peaks(maps).tolist()
    [[2.75, 2.5]]
    """
    count, height, width = maps.shape
    y, x = np.unravel_index(maps.reshape(count, -1).argmax(axis=1), (height, width))
    inner = (x > 0) & (x < width - 1) & (y > 0) & (y < height - 1)
    number, left, up = np.arange(count), np.maximum(x - 1, 0), np.maximum(y - 1, 0)
    right, down = np.minimum(x + 1, width - 1), np.minimum(y + 1, height - 1)
    across = np.sign(maps[number, y, right] - maps[number, y, left])
    along = np.sign(maps[number, down, x] - maps[number, up, x])
    quarter = 0.25 * inner[:, None] * np.stack([across, along], axis=1)
    return np.stack([x, y], axis=1) + 0.5 + quarter
