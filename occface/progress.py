"""Progress bars: on stderr, with the time left; none when stderr is no terminal, or when only errors are asked for."""

from __future__ import annotations

import logging
from typing import Any

from tqdm import tqdm

__all__ = ["bar"]


def bar(total: int, desc: str, unit: str, initial: int = 0) -> tqdm[Any]:
    """Return a progress bar, to be used in a ``with`` block.

    Parameters
    ----------
    total, initial : int
        How many units there are, and how many of them are done already.
    desc, unit : str
        What is done, and what a unit is.
    """
    quiet = logging.getLogger("occface").getEffectiveLevel() >= logging.ERROR
    return tqdm(total=total, desc=desc, unit=unit, initial=initial, disable=True if quiet else None)
