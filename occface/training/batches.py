"""The batches of a training: batch *k* depends on the seed and on *k* alone, so training can stop and go on anywhere."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np

from occface import seeding
from occface.dataset.pairs import Degradation
from occface.dataset.reader import DatasetFile, FacePairs, collate
from occface.dataset.schema import HR_SIZE, LR_SIZE
from occface.errors import UsageError
from occface.faces.mirror import mirror_classes, mirror_landmarks
from occface.methods.base import Batch
from occface.occlusion.degrade import downsample, occlude
from occface.occlusion.masks import draw_mask, needs_folder

__all__ = [
    "CENTRE",
    "COLOUR_SPREADS",
    "WARP_SPREADS",
    "Ahead",
    "Augmentation",
    "TrainingBatches",
    "epoch_order",
    "own_part",
    "recoloured",
    "warp_matrix",
    "warped",
]

#: The x and y of the crop's centre, about which faces are turned and enlarged.
CENTRE = (HR_SIZE - 1) / 2
#: Standard deviations at strength 1 of a warp's rotation (degrees), log scale, and shifts right and down (pixels).
WARP_SPREADS = (4.0, 0.05, 3.0, 3.0)
#: Standard deviations at strength 1 of the log gains of red, green, blue and of all three, and of what is added (grey levels).
COLOUR_SPREADS = (0.06, 0.06, 0.06, 0.12, 8.0)


@dataclass(frozen=True)
class Augmentation:
    """What training varies.

    Attributes
    ----------
    fresh_masks : bool
        Masks are drawn anew at each visit of a pair; else the stored ones serve.
    mirror : bool
        Every second face is mirrored.
    warp : float
        How much faces are turned (by N(0, 4) degrees at strength 1), enlarged (by exp(N(0, 0.05))) and shifted (by N(0, 3)
        pixels each way); 0 is not at all.
    colour : float
        How much colours are changed: the gain of each channel (exp(N(0, 0.06)) at strength 1), of all (exp(N(0, 0.12))), and
        the grey levels added (N(0, 8)); 0 is not at all.

    Raises
    ------
    UsageError
        If a strength is negative or not finite.
    """

    fresh_masks: bool = True
    mirror: bool = True
    warp: float = 0.0
    colour: float = 0.0

    def __post_init__(self) -> None:
        for name, strength in (("warp", self.warp), ("colour", self.colour)):
            if not 0 <= strength < math.inf:
                raise UsageError(f"expected {name} to be 0 (off) or more, got {strength}; 1 is a usual strength")

    @property
    def changes_hr(self) -> bool:
        """Whether HR faces are changed other than by mirroring, so that their LR faces must be made anew."""
        return self.warp > 0 or self.colour > 0


def own_part(batch_size: int, share: tuple[int, int]) -> slice:
    """Return which part of a batch belongs to the process `share` = (rank, world).

    Raises
    ------
    UsageError
        If the processes cannot share the batch equally.
    ValueError
        If there is no such process.

    Examples
    --------
    >>> own_part(16, (1, 2))
    slice(8, 16, None)
    """
    rank, world = share
    if not 0 <= rank < world:
        raise ValueError(f"expected a rank from 0 to {world - 1}, got {rank}")
    if batch_size < 1:
        raise UsageError(f"expected a batch of at least one pair, got {batch_size}")
    if batch_size % world:
        fewer, more = batch_size // world * world, (batch_size // world + 1) * world
        would_do = f"{fewer} or {more}" if fewer else f"{more}"
        raise UsageError(f"expected a batch size that {world} processes share equally, got {batch_size}; {would_do} would do")
    size = batch_size // world
    return slice(rank * size, (rank + 1) * size)


def epoch_order(seed: int, epoch: int, pairs: int) -> np.ndarray:
    """Return the order in which an epoch of a training visits the pairs of a split, (pairs,) int64."""
    return seeding.rng(seed, "order", epoch).permutation(pairs)


def warp_matrix(strength: float, normal: np.ndarray) -> np.ndarray:
    """Return a warp of the crop as an affine matrix, (2, 3), which maps where a point was to where it goes.

    Parameters
    ----------
    strength : float
        See `Augmentation`.
    normal : ndarray
        Four standard normal numbers.

    Examples
    --------
    >>> warp_matrix(1, np.array([0.0, 0, 1, -1])) @ [10, 20, 1]
    array([13., 17.])
    """
    angle, log_scale, right, down = strength * np.array(WARP_SPREADS) * normal
    cosine, sine = np.exp(log_scale) * np.cos(np.radians(angle)), np.exp(log_scale) * np.sin(np.radians(angle))
    turn = np.array([[cosine, -sine], [sine, cosine]])
    shift = CENTRE + np.array([right, down]) - turn @ np.full(2, CENTRE)
    return np.column_stack([turn, shift])


def warped(pair: dict[str, np.ndarray], matrix: np.ndarray) -> dict[str, np.ndarray]:
    """Return the HR face, mask, landmarks and, where there is one, parsing map of a pair, warped.

    What lies beyond the picture's border is its mirror image.
    """

    def picture(name: str, how: int) -> np.ndarray:
        image = np.ascontiguousarray(pair[name])
        return cv2.warpAffine(image, matrix, image.shape[1::-1], flags=how, borderMode=cv2.BORDER_REFLECT_101)

    def points(name: str) -> np.ndarray:
        return (pair[name] @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32)

    return {
        "hr": picture("hr", cv2.INTER_CUBIC),
        **{name: picture(name, cv2.INTER_NEAREST) for name in ("mask", "parsing") if name in pair},
        "landmarks": points("landmarks"),
        "landmarks_lr": points("landmarks_lr"),
    }


def recoloured(image: np.ndarray, strength: float, normal: np.ndarray) -> np.ndarray:
    """Return a picture, uint8 (H, W, 3), with other gains and grey levels, given five standard normal numbers.

    Examples
    --------
    >>> recoloured(np.full((1, 1, 3), 100, np.uint8), 1, np.array([0.0, 0, 1, 0, -1]))
    array([[[92, 92, 98]]], dtype=uint8)
    """
    *gains, gain, added = strength * np.array(COLOUR_SPREADS) * normal
    return np.rint(image * np.exp(np.array(gains) + gain) + added).clip(0, 255).astype(np.uint8)


class TrainingBatches:
    """Give batch after batch of a split, each pair once per epoch in an order of its own.

    A fresh mask is of the pair's mask type and goes through the same code as a stored one. The LR landmarks stay those
    estimated under the stored mask: finding new ones at each visit would need the landmark detector in training. Mask types
    that take the user's own masks (``folder``) keep the stored ones: a data set is complete without the folder.

    Parameters
    ----------
    data : DatasetFile
        The data set.
    split : str
        The split, usually ``"train"``.
    batch_size : int
        Pairs in a batch of all processes together.
    seed : int
        The training's seed.
    augmentation : Augmentation
        What is varied.
    share : (int, int)
        Rank and number of the processes that train together. Each gets its contiguous part of every batch; the parts of all
        are the batch of one process, bit for bit.
    parsing : bool
        Whether batches hold the parsing maps; see `FacePairs`.

    Raises
    ------
    UsageError
        If the processes cannot share a batch equally.
    """

    def __init__(
        self,
        data: DatasetFile,
        split: str,
        batch_size: int,
        seed: int,
        augmentation: Augmentation,
        share: tuple[int, int] = (0, 1),
        parsing: bool = False,
    ) -> None:
        self.pairs = FacePairs(data, split, parsing=parsing)
        self._mirrored_classes = mirror_classes(data.classes)
        self.batch_size = batch_size
        self.seed = seed
        self.augmentation = augmentation
        self._part = own_part(batch_size, share)
        self._making = Degradation.of(data.configuration)
        self._order: tuple[int, np.ndarray] = (-1, np.empty(0, int))

    def _pair_number(self, visit: int) -> int:
        epoch, place = divmod(visit, len(self.pairs))
        if self._order[0] != epoch:
            self._order = (epoch, epoch_order(self.seed, epoch, len(self.pairs)))
        return int(self._order[1][place])

    def _pair(self, visit: int) -> dict[str, np.ndarray]:
        number = self._pair_number(visit)
        pair = self.pairs[number]
        vary = self.augmentation
        rng = seeding.rng(self.seed, "augmentation", visit)
        if vary.mirror and rng.random() < 0.5:
            for name in ("hr", "lr", "lr_clean", "mask"):
                pair[name] = pair[name][:, ::-1]
            for name in ("landmarks", "landmarks_lr"):
                pair[name] = mirror_landmarks(pair[name])
            if "parsing" in pair:
                pair["parsing"] = self._mirrored_classes[pair["parsing"][:, ::-1]]
        if vary.warp:
            pair |= warped(pair, warp_matrix(vary.warp, rng.standard_normal(4)))
        if vary.colour:
            pair["hr"] = recoloured(pair["hr"], vary.colour, rng.standard_normal(5))
        if vary.changes_hr:
            pair["lr_clean"] = downsample(pair["hr"], LR_SIZE, self._making.lr_kernel)
        kind = self.pairs.masks[number % len(self.pairs.masks)]
        fresh = vary.fresh_masks and not needs_folder(kind)
        if fresh:
            pair["mask"] = draw_mask(kind, rng, len(pair["hr"]), landmarks=pair["landmarks"])
        if fresh or vary.changes_hr:
            occluded = occlude(np.ascontiguousarray(pair["hr"]), pair["mask"], self._making.fill, rng)
            pair["lr"] = downsample(occluded, LR_SIZE, self._making.lr_kernel)
        return pair

    def __call__(self, step: int) -> Batch:
        """Return this process's part of the batch of a step, counted from 0."""
        first = step * self.batch_size
        return collate([self._pair(visit) for visit in range(first + self._part.start, first + self._part.stop)])


class Ahead:
    """Make the batch of the next step in a thread while that of this one is used.

    Steps may come in any order: a batch that was not foreseen is made when it is asked for.

    Parameters
    ----------
    make : callable
        Step to batch; it is called from one thread at a time, never the caller's.
    pin : bool
        Put batches into memory that a CUDA device copies from without the processor waiting.
    """

    def __init__(self, make: Callable[[int], Batch], pin: bool) -> None:
        self._make = make
        self._pin = pin
        self._thread = ThreadPoolExecutor(1, "batches")
        self._next: tuple[int, Future[Batch]] | None = None

    def _made(self, step: int) -> Batch:
        batch = self._make(step)
        return {name: value.pin_memory() for name, value in batch.items()} if self._pin else batch

    def __call__(self, step: int) -> Batch:
        """Return the batch of a step, and begin that of the next; what its making raised is raised here."""
        foreseen, self._next = self._next, None
        coming = foreseen[1] if foreseen and foreseen[0] == step else self._thread.submit(self._made, step)
        batch = coming.result()
        self._next = (step + 1, self._thread.submit(self._made, step + 1))
        return batch

    def close(self) -> None:
        """End the thread; a batch under way is finished first, and dropped."""
        self._thread.shutdown(cancel_futures=True)
