"""From an aligned face to the thumbnail that networks are shown, exactly as the pairs of a data set are made."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from occface import seeding
from occface.dataset.pairs import Degradation
from occface.dataset.schema import LR_SIZE
from occface.errors import BadImageError
from occface.faces import align
from occface.occlusion import downsample, occlude

__all__ = ["MOST_HIDDEN", "Thumbnail", "from_aligned", "from_crop", "with_mask"]

#: The greatest part of the crop that a mask may hide: of less than a tenth of a face, all else would be made up.
MOST_HIDDEN = 0.9

_HR = align.CROP_SIZE
_CELL = _HR // LR_SIZE


@dataclass(frozen=True)
class Thumbnail:
    """A face as networks are shown it, and what it was made of.

    Attributes
    ----------
    crop : numpy.ndarray
        (128, 128, 3) uint8 RGB, the aligned face as it came.
    lr : numpy.ndarray
        (16, 16, 3) uint8 RGB: what is under the mask was filled first, then the crop made small.
    mask : numpy.ndarray or None
        (128, 128) uint8 {0, 1}, 1 where the face is hidden; None where nothing was said of that.
    side : float
        How many px wide the crop is in the picture that it was taken from; of 16, that was the thumbnail already.
    """

    crop: np.ndarray
    lr: np.ndarray
    mask: np.ndarray | None
    side: float

    @property
    def hidden(self) -> float:
        """Which part of the crop the mask hides, in [0, 1]; 0 without a mask."""
        return 0.0 if self.mask is None else float(self.mask.mean())


def _rng(degradation: Degradation) -> np.random.Generator:
    return seeding.rng(degradation.seed, "restore", "fill")


def _checked(mask: np.ndarray) -> np.ndarray:
    """Return a mask of 0 and 1, or refuse one that leaves too little of the face."""
    mask = (np.asarray(mask) > 0).astype(np.uint8)
    if mask.mean() > MOST_HIDDEN:
        raise BadImageError(
            f"the mask hides {mask.mean():.0%} of the face's crop, and at most {MOST_HIDDEN:.0%} can be restored: hide less "
            "(white is hidden), or leave the mask out"
        )
    return mask


def from_crop(crop: np.ndarray, mask: np.ndarray | None, degradation: Degradation, side: float = align.CROP_SIZE) -> Thumbnail:
    """Make the thumbnail of an aligned crop.

    Parameters
    ----------
    crop : numpy.ndarray
        (128, 128, 3) uint8 RGB.
    mask : numpy.ndarray or None
        (128, 128), not 0 where the face is hidden.
    degradation : Degradation
        The fill and the LR kernel.
    side : float
        How many px wide the crop was where it came from.

    Raises
    ------
    BadImageError
        If the mask hides nearly everything.
    """
    if mask is None:
        return Thumbnail(crop, downsample(crop, LR_SIZE, degradation.lr_kernel), None, side)
    mask = _checked(mask)
    shown = occlude(crop, mask, degradation.fill, lambda: _rng(degradation))
    return Thumbnail(crop, downsample(shown, LR_SIZE, degradation.lr_kernel), mask, side)


def from_aligned(image: np.ndarray, mask: np.ndarray | None, degradation: Degradation) -> Thumbnail:
    """Make the thumbnail of an aligned face of any size.

    One of 128 px is taken as it is. One of 16 px is the thumbnail already; what a mask hides of its pixels is replaced. Others
    are brought to 128 px first, as a face in a photograph is.

    Parameters
    ----------
    image : numpy.ndarray
        (S, S, 3) uint8 RGB, S at least 16.
    mask : numpy.ndarray or None
        (S, S) or (128, 128), not 0 where the face is hidden.
    degradation : Degradation
        The fill and the LR kernel.

    Raises
    ------
    BadImageError
        If the picture is no square or too small, or the mask has another size or hides nearly everything.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise BadImageError(f"expected a face as uint8 RGB, (S, S, 3), got {image.dtype} of the shape {image.shape}")
    height, width = image.shape[:2]
    if height != width or width < LR_SIZE:
        raise BadImageError(
            f"expected an aligned face, a square of at least {LR_SIZE} px, got {width}x{height}: for a photograph with faces "
            "in it, leave --aligned out"
        )
    if mask is not None:
        if mask.shape not in {(height, width), (_HR, _HR)}:
            raise BadImageError(
                f"expected a mask of the face's size, {width}x{height}, or of {_HR}x{_HR}, got "
                f"{'x'.join(map(str, mask.shape[1::-1]))}: bring it to that size"
            )
        mask = cv2.resize((mask > 0).astype(np.uint8), (_HR, _HR), interpolation=cv2.INTER_NEAREST_EXACT)
    if width == LR_SIZE:
        plain = Thumbnail(image.repeat(_CELL, axis=0).repeat(_CELL, axis=1), image, None, LR_SIZE)
        return plain if mask is None else with_mask(plain, mask, degradation)
    side = width
    if width != _HR:
        factor = _HR / width
        shift = (factor - 1) / 2  # a pixel covers half a pixel around its centre
        image = align.warp(image, np.array([[factor, 0, shift], [0, factor, shift]]))
    return from_crop(image, mask, degradation, side)


def with_mask(thumbnail: Thumbnail, mask: np.ndarray, degradation: Degradation) -> Thumbnail:
    """Return a thumbnail that had no mask with one.

    A crop is filled and made small anew, as by `from_crop`. Of a face that came with 16 px there is no crop to fill: the part
    of each pixel that the mask covers, by the LR kernel, takes the fill's colour.

    Raises
    ------
    BadImageError
        If the mask hides nearly everything.
    """
    if thumbnail.side != LR_SIZE:
        return from_crop(thumbnail.crop, mask, degradation, thumbnail.side)
    mask = _checked(mask)
    white = np.repeat(mask[..., None] * np.uint8(255), 3, axis=2)
    covered = downsample(white, LR_SIZE, degradation.lr_kernel)[..., :1] / 255
    filled = occlude(thumbnail.lr, covered[..., 0] > 0, degradation.fill, lambda: _rng(degradation))
    lr = np.rint(thumbnail.lr + covered * (filled.astype(np.float64) - thumbnail.lr)).astype(np.uint8)
    return Thumbnail(thumbnail.crop, lr, mask, thumbnail.side)
