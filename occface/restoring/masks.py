"""What users say is hidden: a picture, a rectangle, a part of the face, or that it is to be looked for."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from occface import images, seeding
from occface.errors import BadImageError, UsageError
from occface.occlusion import draw_mask
from occface.occlusion.folder import white
from occface.occlusion.regions import REGIONS
from occface.registry import did_you_mean

__all__ = ["MaskRequest"]


@dataclass(frozen=True)
class MaskRequest:
    """How faces are hidden, as a user says it; at most one of the first four.

    Attributes
    ----------
    picture : str or None
        A picture of a photograph's size, white where something is hidden; or a folder with such a picture for each photograph,
        under the same name but for the suffix.
    box : tuple of float or None
        A rectangle (x0, y0, x1, y1) in pixels of the photograph, from the upper left corner of its first pixel.
    region : str or None
        Parts of the face, or what hides them, joined by ``+``: names in `occface.occlusion.regions.REGIONS`.
    find : str or None
        ``"auto"`` or ``"flat"``, see `occface.restoring.holes`.
    inverted : bool
        Whether pictures are black where something is hidden.

    Raises
    ------
    UsageError
        If there are several, or one of them cannot be.
    """

    picture: str | None = None
    box: tuple[float, float, float, float] | None = None
    region: str | None = None
    find: str | None = None
    inverted: bool = False

    def __post_init__(self) -> None:
        given = [name for name in ("picture", "box", "region", "find") if getattr(self, name) is not None]
        if len(given) > 1:
            raise UsageError(f"masks come in one way, and {' and '.join(given)} were given: leave all but one out")
        if self.inverted and self.picture is None:
            raise UsageError("--invert-masks is about pictures of masks: name one by --mask, or leave it out")
        for part in (self.region or "").split("+") if self.region is not None else ():
            if part not in REGIONS:
                raise UsageError(f"unknown region '{part}': {did_you_mean(part, REGIONS)}")
        if self.picture is not None and not Path(self.picture).exists():
            raise UsageError(
                f"expected a mask, a folder of masks, auto or flat, got '{self.picture}', and there is no such file"
            )
        if self.box is not None:
            x0, y0, x1, y1 = self.box
            if not (np.isfinite(self.box).all() and x0 < x1 and y0 < y1):
                raise UsageError(f"expected a rectangle X0,Y0,X1,Y1 with X0 < X1 and Y0 < Y1, got {x0:g},{y0:g},{x1:g},{y1:g}")

    @property
    def named(self) -> str:
        """What results say of it: ``"none"``, ``"picture"``, ``"rectangle"``, the region's name, ``"auto"`` or ``"flat"``."""
        if self.picture is not None:
            return "picture"
        return "rectangle" if self.box is not None else self.region or self.find or "none"

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    def of_photograph(self, name: str, image: np.ndarray) -> np.ndarray | None:
        """Return what is hidden of a photograph, (height, width) uint8 {0, 1}; None where faces must be known to tell.

        Parameters
        ----------
        name : str
            The photograph's name, ``/`` between the parts.
        image : numpy.ndarray
            (height, width, 3) uint8 RGB.

        Raises
        ------
        BadImageError
            If its mask is absent, cannot be read, has another size, or hides nothing; or the rectangle lies outside.
        """
        if self.picture is not None:
            return self._read(name, image)
        if self.box is None:
            return None
        mask = np.zeros(image.shape[:2], np.uint8)
        x0, y0, x1, y1 = (max(0, round(edge)) for edge in self.box)
        mask[y0:y1, x0:x1] = 1
        if not mask.any():
            raise BadImageError(
                f"the rectangle {','.join(f'{edge:g}' for edge in self.box)} lies outside the picture, which is "
                f"{image.shape[1]}x{image.shape[0]}: correct --mask-box"
            )
        return mask

    def of_face(self, landmarks: np.ndarray, seed: int, name: str, number: int) -> np.ndarray | None:
        """Return what is hidden of a face by the named region, (128, 128) uint8 {0, 1}; None where there is no region.

        Parameters
        ----------
        landmarks : numpy.ndarray
            (68, 2), in pixels of the crop.
        seed, name, number
            On these hangs what is random of the region's shape: the seed, the photograph's name and the face's number.

        Raises
        ------
        BadImageError
            If the landmarks lie so that nothing, or everything, would be hidden.
        """
        if self.region is None:
            return None
        rng = seeding.rng(seed, "restore", name, number, self.region)
        return draw_mask(self.region, rng, landmarks=landmarks)

    def _read(self, name: str, image: np.ndarray) -> np.ndarray:
        path = Path(str(self.picture))
        if path.is_dir():
            path = _of_name(path, name)
        try:
            # It has as many pixels as the photograph, which was found not to have too many.
            picture = images.read_image(path, max(images.MAX_PIXELS, image.shape[0] * image.shape[1]))
        except BadImageError as error:
            raise BadImageError(f"its mask {path.name} {error}") from error
        if picture.shape != image.shape:
            raise BadImageError(
                f"its mask {path.name} is {picture.shape[1]}x{picture.shape[0]}, and the picture "
                f"{image.shape[1]}x{image.shape[0]}: bring the mask to the picture's size"
            )
        mask = white(picture)
        mask = 1 - mask if self.inverted else mask
        if not mask.any():
            raise BadImageError(f"its mask {path.name} hides nothing: white is hidden (black with --invert-masks)")
        return mask


def _of_name(folder: Path, name: str) -> Path:
    """Return the mask in a folder that belongs to a photograph."""
    stem = PurePosixPath(name).with_suffix("")
    for suffix in dict.fromkeys((".png", PurePosixPath(name).suffix, *images.SUFFIXES)):
        if suffix and os.path.lexists(folder / f"{stem}{suffix}"):
            return folder / f"{stem}{suffix}"
    raise BadImageError(f"expected its mask at {folder / stem}.png, and there is none: add it, or give its photographs alone")
