"""What a metric is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

__all__ = ["Metric"]


@dataclass(frozen=True)
class Metric:
    """A named score of one restored image against the true one.

    `score` takes the result and the truth, both uint8 RGB (H, W, 3), and returns a float. `contract` says in one sentence how
    it is computed.
    """

    name: str
    higher_is_better: bool
    contract: str
    score: Callable[[np.ndarray, np.ndarray], float]
