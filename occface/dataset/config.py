"""What determines the bytes of a data set: the resolved configuration, and who of the photographs goes to which split."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from occface import faces, occlusion, seeding
from occface.errors import UsageError
from occface.faces.landmarks import LrLandmarker
from occface.faces.trained_fan import TrainedFanLandmarks
from occface.occlusion import MaskFolder, degrade
from occface.registry import did_you_mean
from occface.sources.base import Photo

__all__ = ["DatasetConfig", "assign_splits"]


@dataclass(frozen=True)
class DatasetConfig:
    """How pairs are made from faces.

    Attributes
    ----------
    masks : tuple of str
        Mask types, see `occface.occlusion.draw_mask`.
    mask_folder : MaskFolder or None
        The user's own masks, which the mask type ``folder`` takes.
    fill : str
        What occluded pixels are replaced by, see `occface.occlusion.degrade`.
    lr_kernel : str
        How 128 becomes 16; it matters: three kernels all called bilinear differ by about 20 dB.
    seed : int
        The seed of all that is random.
    test, val : float
        How many photographs are held out: a share below 1, or a count from 1 on.
    limit : int or None
        Take the first so many photographs of the source only.
    detectors : tuple of str
        Names in `occface.faces.DETECTORS`, tried in this order until one finds a face.
    faces : str
        Which of the faces found are taken: ``"largest"``, ``"central"`` or ``"all"``.
    landmarker : str
        A name in `occface.faces.LANDMARKERS`, for HR and LR faces; landmarks that the source gives come before its own on HR.
    lr_landmarker : str, TrainedFanLandmarks or None
        What finds the landmarks of LR faces, if not `landmarker`: another name, or a FAN that was trained here.
    keep_uncropped : bool
        Whether the photographs themselves are stored too, so that faces can be pasted back.
    """

    masks: tuple[str, ...] = degrade.PRESETS["paper"]["masks"]
    mask_folder: MaskFolder | None = None
    fill: str = degrade.PRESETS["paper"]["fill"]
    lr_kernel: str = degrade.PRESETS["paper"]["kernel"]
    seed: int = 0
    test: float = 0.1
    val: float = 0.0
    limit: int | None = None
    detectors: tuple[str, ...] = ("given", "dlib")
    faces: str = "largest"
    landmarker: str = "dlib"
    lr_landmarker: str | TrainedFanLandmarks | None = None
    keep_uncropped: bool = False

    def __post_init__(self) -> None:
        if not self.masks or len(set(self.masks)) != len(self.masks):
            raise UsageError(f"expected one or more different mask types, got {', '.join(self.masks) or 'none'}")
        for mask in self.masks:
            occlusion.check_kind(mask)
        uses_folder = any(map(occlusion.needs_folder, self.masks))
        if uses_folder != (self.mask_folder is not None):
            have = "has no --mask-dir" if uses_folder else "is not among the mask types, while --mask-dir names a folder"
            raise UsageError(f"the mask type 'folder' {have}: give both --mask folder and --mask-dir DIR, or neither")
        if not self.detectors:
            raise UsageError(f"expected one or more detectors, got none; known are {', '.join(sorted(faces.DETECTORS))}")
        named: tuple[tuple[str, str, Iterable[str]], ...] = (
            ("fill", self.fill, degrade.FILLS),
            ("LR kernel", self.lr_kernel, degrade.LR_KERNELS),
            *(("detector", name, faces.DETECTORS) for name in self.detectors),
            *(("landmark detector", name, faces.LANDMARKERS) for name in self._named_landmarkers()),
            ("choice of faces", self.faces, faces.CHOICES),
        )
        for kind, name, known in named:
            if name not in set(known):
                raise UsageError(f"unknown {kind} '{name}': {did_you_mean(name, known)}")
        for option, value in (("test", self.test), ("val", self.val)):
            if value < 0 or not math.isfinite(value) or (value > 1 and value != round(value)):
                raise UsageError(f"expected --{option} to be a share below 1 or a count, got {value}")
        if self.limit is not None and self.limit < 1:
            raise UsageError(f"expected --limit to be at least 1, got {self.limit}")

    @classmethod
    def from_preset(cls, name: str, *, draws: int = 1, **settings: Any) -> DatasetConfig:
        """Make one with the masks, fill and LR kernel of a preset, replaced by those settings that are not None or empty.

        With `draws` above 1, each mask type is drawn so often per face: ``square``, ``square@2`` and so on.

        Raises
        ------
        UsageError
            If the preset is unknown, or a setting cannot be.

        Examples
        --------
        >>> DatasetConfig.from_preset("released-code", fill="gray", lr_kernel=None).lr_kernel
        'align-corners'
        """
        if name not in degrade.PRESETS:
            raise UsageError(f"unknown occlusion preset '{name}': {did_you_mean(name, degrade.PRESETS)}")
        preset = degrade.PRESETS[name]
        chosen = {"masks": preset["masks"], "fill": preset["fill"], "lr_kernel": preset["kernel"]}
        chosen |= {setting: value for setting, value in settings.items() if value not in (None, ())}
        if draws > 1 and any("@" in mask for mask in chosen["masks"]):
            raise UsageError("expected mask types without @ where each is drawn several times per face; leave one of both out")
        repeats = [f"@{number}" if number > 1 else "" for number in range(1, draws + 1)]
        return cls(**{**chosen, "masks": tuple(mask + repeat for mask in chosen["masks"] for repeat in repeats)})

    def _named_landmarkers(self) -> list[str]:
        return [name for name in (self.landmarker, self.lr_landmarker) if isinstance(name, str)]

    def on_lr(self) -> LrLandmarker:
        """Return what finds the landmarks of LR faces."""
        chosen = self.lr_landmarker or self.landmarker
        return faces.LANDMARKERS.get(chosen)() if isinstance(chosen, str) else chosen

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        folder = self.mask_folder.describe() if self.mask_folder else None
        lists: dict[str, Any] = {"masks": list(self.masks), "detectors": list(self.detectors)}
        on_lr = values.pop("lr_landmarker")
        if on_lr is not None:  # else nothing is said of it, as in data sets made before there was a choice
            lists["lr_landmarker"] = on_lr if isinstance(on_lr, str) else on_lr.describe()
        return {**values, **lists, "mask_folder": folder, "test": float(self.test), "val": float(self.val)}


def _held_out(amount: float, total: int) -> int:
    return round(amount * total) if amount < 1 else int(amount)


def assign_splits(photos: Sequence[Photo], config: DatasetConfig) -> list[str]:
    """Return the split of each photograph: the source's own where it names one, else by the configuration.

    All photographs of an identity go to one split. Which identities (or, without them, photographs) are held out depends
    on the seed and on their names alone, not on their order.
    """
    groups: dict[str, list[int]] = {}
    for number, photo in enumerate(photos):
        if not photo.split:
            groups.setdefault(f"identity/{photo.identity}" if photo.identity else f"photo/{photo.id}", []).append(number)
    splits = [photo.split or "train" for photo in photos]
    free = sum(map(len, groups.values()))
    order = sorted(groups, key=lambda group: (seeding.integer(config.seed, "split", group), group))
    remaining = iter(order)
    for split, amount in (("test", config.test), ("val", config.val)):
        wanted = _held_out(amount, free)
        taken = 0
        while taken < wanted and (group := next(remaining, None)) is not None:
            for number in groups[group]:
                splits[number] = split
            taken += len(groups[group])
    return splits
