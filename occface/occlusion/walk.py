"""Random-walk masks, as the authors' released code makes them; the text of the paper describes other, larger ones."""

from __future__ import annotations

import numpy as np

__all__ = ["draw_walk"]


def draw_walk(rng: np.random.Generator, size: int = 128) -> np.ndarray:
    """Draw the trace of a random walk of (3/8 size)^2 steps inside a box of half the image's side, in a random place.

    At 128 pixels these are 2,304 steps in a box of 64, and hide 3.8 % of the image on average. Each step goes one pixel
    left, right, up or down; a step out of the box stays where it is.

    Parameters
    ----------
    rng : numpy.random.Generator
        The only source of randomness.
    size : int
        Side of the image in pixels.

    Returns
    -------
    numpy.ndarray
        uint8 {0, 1} of shape (size, size); 1 is occluded.
    """
    box = size // 2
    left, top = rng.integers(0, size - box + 1, 2).tolist()
    x, y = rng.integers(0, box, 2).tolist()
    last = box - 1
    # Plain integers: numpy scalars would make the loop a hundred times slower, and the clipping keeps it from being a sum.
    trace = [y * box + x]
    for direction in rng.integers(0, 4, (3 * size // 8) ** 2).tolist():
        if direction == 0:
            x = x + 1 if x < last else x
        elif direction == 1:
            x = x - 1 if x else x
        elif direction == 2:
            y = y + 1 if y < last else y
        else:
            y = y - 1 if y else y
        trace.append(y * box + x)
    inside = np.zeros(box * box, np.uint8)
    inside[trace] = 1
    mask = np.zeros((size, size), np.uint8)
    mask[top : top + box, left : left + box] = inside.reshape(box, box)
    return mask
