"""Learning rate schedules that several methods share."""

from __future__ import annotations

import math

__all__ = ["cosine_fall"]


def cosine_fall(progress: float) -> float:
    """Return the factor of a learning rate that falls from 1 to 0.02 along half a cosine.

    Parameters
    ----------
    progress : float
        How much of the way is done, from 0 to 1.

    Examples
    --------
    >>> [round(cosine_fall(done), 4) for done in (0.0, 0.25, 0.5, 1.0)]
    [1.0, 0.8565, 0.51, 0.02]
    """
    return 0.02 + 0.98 * (1 + math.cos(math.pi * progress)) / 2
