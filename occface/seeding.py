"""Counter-based randomness: what is random about an item depends on its place, never on history.

Every random choice about face *i* comes from ``(seed, split, i, stream)``. Any number of workers, any order and any
interruption therefore give the same result.
"""

from __future__ import annotations

import hashlib
import json

import numpy as np

__all__ = ["integer", "rng"]


def _words(key: tuple[int | str, ...]) -> np.ndarray:
    """Turn a key of integers and strings into eight 32-bit words, the same on every machine."""
    return np.frombuffer(hashlib.sha256(json.dumps(key).encode()).digest(), dtype="<u4")


def rng(seed: int, *key: int | str) -> np.random.Generator:
    """Return the random generator that belongs to one place.

    Parameters
    ----------
    seed : int
        The seed of the whole run.
    *key : int or str
        Where the randomness is used, for example ``("train", 12, "mask/square")``.

    Returns
    -------
    numpy.random.Generator
        A Philox generator; equal arguments give equal streams, different ones independent streams.

    Examples
    --------
    >>> bool(rng(1, "train", 7, "mask").integers(1000) == rng(1, "train", 7, "mask").integers(1000))
    True
    """
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(_words((seed, *key)).tolist())))


def integer(seed: int, *key: int | str) -> int:
    """Return a 63-bit integer that belongs to one place, to seed generators of other libraries (torch).

    Examples
    --------
    >>> integer(1, "training", 0) != integer(1, "training", 1)
    True
    """
    low, high = _words((seed, *key))[:2].tolist()
    return ((high & 0x7FFFFFFF) << 32) | low
