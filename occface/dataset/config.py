"""What determines the bytes of a data set: the resolved configuration, and who of the photographs goes to which split."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from occface import faces, seeding
from occface.errors import UsageError
from occface.occlusion import degrade, masks
from occface.registry import did_you_mean
from occface.sources.base import Photo

__all__ = ["DatasetConfig", "assign_splits"]


@dataclass(frozen=True)
class DatasetConfig:
    """How pairs are made from faces.

    Attributes
    ----------
    masks : tuple of str
        Mask types, see `occface.occlusion.masks`.
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
    detector, landmarker : str
        Names in `occface.faces.DETECTORS` and `occface.faces.LANDMARKERS`.
    """

    masks: tuple[str, ...] = degrade.PRESETS["paper"]["masks"]
    fill: str = degrade.PRESETS["paper"]["fill"]
    lr_kernel: str = degrade.PRESETS["paper"]["kernel"]
    seed: int = 0
    test: float = 0.1
    val: float = 0.0
    limit: int | None = None
    detector: str = "dlib"
    landmarker: str = "dlib"

    def __post_init__(self) -> None:
        if not self.masks or len(set(self.masks)) != len(self.masks):
            raise UsageError(f"expected one or more different mask types, got {', '.join(self.masks) or 'none'}")
        named: tuple[tuple[str, str, Iterable[str]], ...] = (
            *(("mask type", mask, masks.KINDS) for mask in self.masks),
            ("fill", self.fill, degrade.FILLS),
            ("LR kernel", self.lr_kernel, degrade.LR_KERNELS),
            ("detector", self.detector, faces.DETECTORS),
            ("landmark detector", self.landmarker, faces.LANDMARKERS),
        )
        for kind, name, known in named:
            if name not in set(known):
                raise UsageError(f"unknown {kind} '{name}': {did_you_mean(name, known)}")
        for option, value in (("test", self.test), ("val", self.val)):
            if value < 0 or not math.isfinite(value):
                raise UsageError(f"expected --{option} to be a share below 1 or a count, got {value}")
        if self.limit is not None and self.limit < 1:
            raise UsageError(f"expected --limit to be at least 1, got {self.limit}")

    @classmethod
    def from_preset(cls, occlusion: str, **settings: Any) -> DatasetConfig:
        """Make one with the masks, fill and LR kernel of a preset, replaced by those settings that are not None or empty.

        Raises
        ------
        UsageError
            If the preset is unknown, or a setting cannot be.

        Examples
        --------
        >>> DatasetConfig.from_preset("released-code", fill="gray", lr_kernel=None).lr_kernel
        'align-corners'
        """
        if occlusion not in degrade.PRESETS:
            raise UsageError(f"unknown occlusion preset '{occlusion}': {did_you_mean(occlusion, degrade.PRESETS)}")
        preset = degrade.PRESETS[occlusion]
        chosen = {"masks": preset["masks"], "fill": preset["fill"], "lr_kernel": preset["kernel"]}
        return cls(**{**chosen, **{name: value for name, value in settings.items() if value not in (None, ())}})

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> DatasetConfig:
        """Make one from plain values, such as a data set's recorded configuration; keys of other things are passed over."""
        known = {field.name: values[field.name] for field in dataclasses.fields(cls) if field.name in values}
        return cls(**{**known, "masks": tuple(values["masks"])})

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return {**dataclasses.asdict(self), "masks": list(self.masks), "test": float(self.test), "val": float(self.val)}


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
