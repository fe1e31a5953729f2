"""The batches of a training: batch *k* depends on the seed and on *k* alone, so training can stop and go on anywhere."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from occface import seeding
from occface.dataset.pairs import Degradation
from occface.dataset.reader import DatasetFile, FacePairs, collate
from occface.dataset.schema import LR_SIZE
from occface.faces.mirror import mirror_landmarks
from occface.methods.base import Batch
from occface.occlusion.degrade import downsample, occlude
from occface.occlusion.masks import draw_mask, needs_folder

__all__ = ["Augmentation", "TrainingBatches"]


@dataclass(frozen=True)
class Augmentation:
    """What training varies: masks drawn anew at each visit of a pair (else the stored ones), and mirrored faces."""

    fresh_masks: bool = True
    mirror: bool = True


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
        Pairs in a batch.
    seed : int
        The training's seed.
    augmentation : Augmentation
        What is varied.
    """

    def __init__(self, data: DatasetFile, split: str, batch_size: int, seed: int, augmentation: Augmentation) -> None:
        self.pairs = FacePairs(data, split)
        self.batch_size = batch_size
        self.seed = seed
        self.augmentation = augmentation
        self._making = Degradation.of(data.configuration)
        self._order: tuple[int, np.ndarray] = (-1, np.empty(0, int))

    def _pair_number(self, visit: int) -> int:
        epoch, place = divmod(visit, len(self.pairs))
        if self._order[0] != epoch:
            self._order = (epoch, seeding.rng(self.seed, "order", epoch).permutation(len(self.pairs)))
        return int(self._order[1][place])

    def _pair(self, visit: int) -> dict[str, np.ndarray]:
        number = self._pair_number(visit)
        pair = self.pairs[number]
        rng = seeding.rng(self.seed, "augmentation", visit)
        if self.augmentation.mirror and rng.random() < 0.5:
            for name in ("hr", "lr", "lr_clean", "mask"):
                pair[name] = pair[name][:, ::-1]
            for name in ("landmarks", "landmarks_lr"):
                pair[name] = mirror_landmarks(pair[name])
        kind = self.pairs.masks[number % len(self.pairs.masks)]
        if self.augmentation.fresh_masks and not needs_folder(kind):
            pair["mask"] = draw_mask(kind, rng, len(pair["hr"]), landmarks=pair["landmarks"])
            occluded = occlude(np.ascontiguousarray(pair["hr"]), pair["mask"], self._making.fill, rng)
            pair["lr"] = downsample(occluded, LR_SIZE, self._making.lr_kernel)
        return pair

    def __call__(self, step: int) -> Batch:
        """Return the batch of a step, counted from 0."""
        first = step * self.batch_size
        return collate([self._pair(visit) for visit in range(first, first + self.batch_size)])
