"""Batches of random pairs, read by this process or by worker processes through memory that is shared once and used again.

A torch DataLoader hands every batch over in shared memory of its own. Taking that memory into use costs far more than the
copying (measured here: 7 ms against 0.3 ms for 64 pairs), so workers make reading slower. Here the workers fill slots that
were set aside at the start, and only the number of a slot travels. Even so, where the
file lies in memory, reading without workers is quicker (`docs/results.md`); with a slow disk it was not measured.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from occface import seeding
from occface.dataset.reader import FacePairs
from occface.errors import UsageError

__all__ = ["PairLoader"]

#: Batches that a worker may be ahead. A slot more is being filled, and one more being read.
AHEAD = 2
SLOTS = AHEAD + 2


class _Filling:
    """What runs in the workers: fills a slot with the pairs of one batch."""

    def __init__(self, pairs: FacePairs, slots: dict[str, torch.Tensor]) -> None:
        self.pairs = pairs
        self.slots = slots
        self._filled = 0

    def __getitem__(self, numbers: Sequence[int]) -> tuple[int, int]:
        worker = torch.utils.data.get_worker_info()
        assert worker is not None  # it is only given to a DataLoader with workers
        slot = worker.id * SLOTS + self._filled % SLOTS
        self._filled += 1
        self.pairs.read(numbers, {name: memory[slot, : len(numbers)].numpy() for name, memory in self.slots.items()})
        return slot, len(numbers)


class PairLoader:
    """The pairs of a split in batches, each pair once per epoch, in an order that the seed and the epoch give.

    Parameters
    ----------
    pairs : FacePairs
        The pairs.
    batch_size : int
        Pairs in a batch; the last one may be smaller.
    seed : int or None
        The seed of the order; None leaves the pairs in theirs.
    workers : int
        Processes that read ahead; 0 reads in this one. The batches are the same.

    Examples
    --------
    A batch holds ``hr`` uint8 (B, 128, 128, 3), ``mask`` uint8 (B, 128, 128), ``lr`` and ``lr_clean`` uint8 (B, 16, 16, 3),
    ``landmarks`` and ``landmarks_lr`` float32 (B, 68, 2): torch tensors, as they lie in the file.
    """

    def __init__(self, pairs: FacePairs, batch_size: int, seed: int | None = 0, workers: int = 0) -> None:
        if batch_size < 1 or workers < 0:
            raise UsageError(f"expected a batch size of at least 1 and no workers or more, got {batch_size} and {workers}")
        self.pairs = pairs
        self.batch_size = batch_size
        self.seed = seed
        self.workers = workers
        self.epoch = 0
        self._reading_now = False
        self._loader: Any = None
        self._slots: dict[str, torch.Tensor] = {}

    def __len__(self) -> int:
        return -(-len(self.pairs) // self.batch_size)

    def batches(self) -> list[np.ndarray]:
        """Return the numbers of the pairs of each batch of the coming epoch."""
        count = len(self.pairs)
        order = np.arange(count) if self.seed is None else seeding.rng(self.seed, "order", self.epoch).permutation(count)
        return [order[start : start + self.batch_size] for start in range(0, count, self.batch_size)]

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        """Yield the batches of an epoch; the next time, those of the next epoch."""
        numbers = self.batches()
        self.epoch += 1
        if not self.workers:
            for batch in numbers:
                yield {name: torch.from_numpy(values) for name, values in self.pairs.read(batch).items()}
            return
        if self._reading_now:
            raise RuntimeError("an epoch of this PairLoader is under way, and its workers read but one; make another")
        self._reading_now = True
        try:
            for slot, count in self._reading(numbers):
                yield {name: memory[slot, :count].clone() for name, memory in self._slots.items()}
        finally:
            self._reading_now = False

    def _reading(self, numbers: list[np.ndarray]) -> Any:
        """Return the workers' answers to an epoch's batches; they are started at the first epoch and kept."""
        if self._loader is None:
            fields = self.pairs.read(np.arange(1))
            self._slots = {
                name: torch.empty(
                    (self.workers * SLOTS, self.batch_size, *values.shape[1:]), dtype=torch.from_numpy(values).dtype
                )
                .zero_()
                .share_memory_()
                for name, values in fields.items()
            }
            self._order = _Order()
            self._loader = torch.utils.data.DataLoader(
                _Filling(self.pairs, self._slots),  # type: ignore[arg-type]
                batch_size=None,
                sampler=self._order,
                num_workers=self.workers,
                prefetch_factor=AHEAD,
                persistent_workers=True,
            )
        self._order.batches = numbers
        return self._loader


class _Order(torch.utils.data.Sampler[np.ndarray]):
    """The batches of the coming epoch."""

    def __init__(self) -> None:
        self.batches: list[np.ndarray] = []

    def __iter__(self) -> Iterator[np.ndarray]:
        return iter(self.batches)

    def __len__(self) -> int:
        return len(self.batches)
