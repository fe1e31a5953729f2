"""Running networks so that their results depend on nothing but their inputs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

__all__ = ["one_thread"]


@contextlib.contextmanager
def one_thread(gradients: bool = False) -> Iterator[None]:
    """Hold torch at one thread, for sums are split among threads, so that their number shows in the last bits.

    Parameters
    ----------
    gradients : bool
        Whether gradients may be asked of what is made meanwhile; by default not, which saves memory and time.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with contextlib.nullcontext() if gradients else torch.inference_mode():
            yield
    finally:
        torch.set_num_threads(before)
