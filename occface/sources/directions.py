"""Directions in the style space of MobileStyleGAN: what to add to a face's styles to turn it, or to change its expression.

The file beside this module is made by ``benchmarks/fit_directions.py``, which says how.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from importlib import resources

import numpy as np

from occface import files

__all__ = ["CONTROLS", "FILE", "LEVELS", "Directions", "digest", "load"]

#: What can be turned, each named by what it is for; the measure in the same place of `measures.NAMES` follows it most.
CONTROLS = ("yaw", "pitch", "smile", "mouth", "eyes", "brows")

#: How many styles a face has.
LEVELS = 16

FILE = "directions.npz"

#: How much a strength of one spread counts against an error of one spread, squared. It keeps faces near where they were.
_RELUCTANCE = 0.02

#: The squared length in spreads of a step that is believed by half.
_DOUBT = 0.1


@dataclass(frozen=True, eq=False)
class Directions:
    """One direction for each of `CONTROLS`, and what going along them does to the measures.

    Attributes
    ----------
    vectors : numpy.ndarray
        (6, 512) float32. A strength is in units of the control's own measure: 10 of the yaw turns a face by about 10 degrees.
    levels : numpy.ndarray
        (6, 2) int64, the first style that a direction is added to, and the one after the last.
    effect : numpy.ndarray
        (6, 6) float64: row, a measure; column, a control; the change that a strength of 1 was measured to make.
    spread : numpy.ndarray
        (6,) float64, the standard deviations of the measures among faces drawn at random.
    """

    vectors: np.ndarray
    levels: np.ndarray
    effect: np.ndarray
    spread: np.ndarray

    def move(self, style: np.ndarray, strengths: np.ndarray) -> np.ndarray:
        """Return the styles, (1, 16, 512) float32, of a face that is moved.

        Parameters
        ----------
        style : numpy.ndarray
            (1, 512) float32.
        strengths : numpy.ndarray
            (6,), one for each of `CONTROLS`.
        """
        styles = np.repeat(style.astype(np.float64), LEVELS, axis=0)
        for vector, (first, last), strength in zip(self.vectors, self.levels.tolist(), strengths.tolist(), strict=True):
            styles[first:last] += strength * vector
        return styles[None].astype(np.float32)

    def correction(self, difference: np.ndarray, wanted: np.ndarray) -> np.ndarray:
        """Return the strengths that bring a face nearer to its target.

        They are those for which the difference that remains, and they themselves, are small in the least squares sense, in
        units of the spreads.

        Parameters
        ----------
        difference : numpy.ndarray
            (6,), the target less what is measured, for each of `measures.NAMES`.
        wanted : numpy.ndarray
            (6,) bool, which of the measures matter.

        Returns
        -------
        numpy.ndarray
            (6,) float64, to be added to the strengths.
        """
        matrix = (self.effect * self.spread / self.spread[:, None])[wanted]
        error = (difference / self.spread)[wanted]
        square = matrix.T @ matrix + _RELUCTANCE * np.eye(len(CONTROLS))
        return np.linalg.solve(square, matrix.T @ error) * self.spread

    def learned(self, step: np.ndarray, change: np.ndarray) -> Directions:
        """Return the directions with the effect that they have on the face at hand, as one step showed it.

        It is Broyden's update (Mathematics of Computation 19, 1965): the least change of the effect that accounts for what
        was measured; short steps, of which the error of measuring is a larger part, count less.

        Parameters
        ----------
        step : numpy.ndarray
            (6,), the strengths that were added.
        change : numpy.ndarray
            (6,), the change of the measures.
        """
        scaled = step / self.spread
        surprise = change - self.effect @ step
        weight = scaled @ scaled + _DOUBT
        return replace(self, effect=self.effect + np.outer(surprise, scaled / self.spread) / weight)


@functools.lru_cache(maxsize=1)
def load() -> Directions:
    """Return the directions that come with the package."""
    with resources.files(__package__).joinpath(FILE).open("rb") as handle, np.load(handle, allow_pickle=False) as arrays:
        return Directions(*(arrays[name] for name in ("vectors", "levels", "effect", "spread")))


@functools.lru_cache(maxsize=1)
def digest() -> str:
    """Return the SHA-256 of the file of directions."""
    with resources.as_file(resources.files(__package__).joinpath(FILE)) as path:
        return files.sha256_file(path)
