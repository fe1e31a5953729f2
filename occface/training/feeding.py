"""Where the batches of a training are made: on the device, from a data set that lies there whole, or on the host."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator

import torch

from occface.dataset.reader import DatasetFile
from occface.errors import UsageError
from occface.methods.base import Batch
from occface.training.batches import Ahead, Augmentation, TrainingBatches
from occface.training.devices import free_bytes
from occface.training.resident import ResidentBatches

__all__ = ["feeding", "place"]

SPLIT = "train"
LARGEST_SHARE = 1 / 3  # of the free memory: the rest is for the networks and what they keep for their gradients
log = logging.getLogger(__name__)


def place(asked: str, data: DatasetFile, augmentation: Augmentation, device: torch.device, parsing: bool = False) -> str:
    """Return ``device`` or ``host`` for what was asked (``auto`` chooses), and log which and why.

    Raises
    ------
    UsageError
        If ``device`` is asked for and what is varied cannot be drawn there.
    """
    if asked == "host":
        return "host"
    supported = ResidentBatches.supports(data, SPLIT, augmentation)
    if asked == "device":
        if not supported:
            raise UsageError(f"--data-on device cannot draw the masks of {data.path}: use --data-on host, or --stored-masks")
        return "device"
    free = free_bytes(device)
    if free is None:
        log.debug("batches are made on the host: the networks run there too")
        return "host"
    needed = ResidentBatches.needed_bytes(data, SPLIT, parsing)
    sizes = f"{needed / 2**30:.2f} of {free / 2**30:.1f} GiB free"
    if not supported:
        log.info("batches are made on the host: the device cannot draw the masks of %s", data.path)
        return "host"
    if needed >= LARGEST_SHARE * free:
        log.info("batches are made on the host: the data set is large for the device (%s)", sizes)
        return "host"
    log.info("batches are made on the device: the data set lies there whole (%s)", sizes)
    return "device"


@contextlib.contextmanager
def feeding(
    where: str,
    data: DatasetFile,
    batch_size: int,
    seed: int,
    augmentation: Augmentation,
    device: torch.device,
    share: tuple[int, int],
    parsing: bool = False,
) -> Iterator[Callable[[int], Batch]]:
    """Give, for the length of a block, the function that makes the batch of a step.

    Parameters
    ----------
    where : {"device", "host"}
        What `place` returned. Batches made on the host for an accelerator are made a step ahead.
    data, batch_size, seed, augmentation, share, parsing
        See `occface.training.batches.TrainingBatches`.
    device : torch.device
        Where the networks run.
    """
    if where == "device":
        yield ResidentBatches(data, SPLIT, batch_size, seed, augmentation, device, share, parsing)
        return
    made = TrainingBatches(data, SPLIT, batch_size, seed, augmentation, share, parsing)
    if device.type == "cpu":
        yield made
        return
    ahead = Ahead(made, pin=device.type == "cuda")
    try:
        yield ahead
    finally:
        ahead.close()
