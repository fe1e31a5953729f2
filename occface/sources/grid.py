"""Faces of nobody in a grid: each person in the same poses and expressions, measured as asked, as in a studio's data set."""

from __future__ import annotations

import functools
import hashlib
import itertools
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from occface import assets, files, seeding
from occface.errors import BadImageError, UsageError
from occface.faces import expression, recognition
from occface.networks.mobilestylegan import STYLE_SIZE
from occface.registry import did_you_mean
from occface.sources import directions, synthetic, variants
from occface.sources.base import Photo, Photograph

__all__ = ["ATTEMPTS", "MAX_IDENTITIES", "MAX_YAW", "GridSource"]

#: How many latents are tried for a person who can be drawn in every pose and expression.
ATTEMPTS = 12

#: Ids have four digits for the person.
MAX_IDENTITIES = 10_000

#: The largest yaw in degrees; beyond, neither the generator nor dlib's frontal detector has learnt faces.
MAX_YAW = 40.0


@dataclass(frozen=True)
class GridSource:
    """Generated people, each in every pose and expression asked for.

    A face is kept only where it measures right: its yaw within `variants.YAW_TOLERANCE` of the asked one, its expression
    (told by landmarks, beside the neutral face of the same pose) the asked one, and its distance from its person's neutral
    frontal face at most `variants.DISTANCE` for the recogniser. Else it is drawn again with other strengths. A person who
    cannot be had in all variants is replaced by another, up to `ATTEMPTS` times; then the one who came furthest is taken,
    and each missing face is a photograph that cannot be used, with its reason.

    A person depends on `seed`, the person's number, `poses`, `expressions`, `truncation` and `size` alone; neither on how
    many people there are nor on which process draws them. So nothing keeps two people from looking alike but chance.

    Parameters
    ----------
    identities : int
        How many people there are.
    poses : sequence of float
        Yaws in degrees, within 40 of the front, positive where the face looks to the picture's right.
    expressions : sequence of str
        Of ``neutral``, ``smile``, ``surprise``, ``squint`` and ``scream``.
    seed : int
        Another seed gives other people.
    truncation : float
        In (0, 1]: how far people are from the mean face. Of 36 people, 11 % of all pairs lie nearer than the recogniser's
        threshold at 0.7, 5 % at 0.85, and 3 % at 1, where more pictures are spoilt.
    size : int
        512 or 1024 pixels.

    Raises
    ------
    UsageError
        If a value is out of its range, unknown, or there twice.

    Examples
    --------
    >>> source = GridSource(2, poses=(-30, 0), expressions=("neutral", "smile"))
    >>> [photo.id for photo in source.photos()][2:5]
    ['synthetic-grid/0000/0/neutral', 'synthetic-grid/0000/0/smile', 'synthetic-grid/0001/-30/neutral']
    """

    identities: int
    poses: tuple[float, ...] = (-30.0, 0.0, 30.0)
    expressions: tuple[str, ...] = ("neutral", "smile")
    seed: int = 0
    truncation: float = 0.85
    size: int = 512

    name: ClassVar[str] = "synthetic-grid"
    licence: ClassVar[str] = assets.ASSETS[synthetic.ASSET].licence
    assets: ClassVar[tuple[str, ...]] = (synthetic.ASSET, "dlib-68", recognition.ASSET, expression.ASSET)
    classes: ClassVar[tuple[str, ...]] = ()
    annotated: ClassVar[int] = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "poses", tuple(float(pose) + 0.0 for pose in self.poses))
        object.__setattr__(self, "expressions", tuple(self.expressions))
        if not 1 <= self.identities <= MAX_IDENTITIES:
            raise UsageError(f"expected 1 to {MAX_IDENTITIES} identities, got {self.identities}")
        for what, values in (("pose", self.poses), ("expression", self.expressions)):
            if not values or len(set(values)) < len(values):
                raise UsageError(f"expected at least one {what} and each but once, got {_listed(values) or 'none'}")
        wrong = [pose for pose in self.poses if not abs(pose) <= MAX_YAW]
        if wrong:
            raise UsageError(f"expected poses of -{MAX_YAW:g} to {MAX_YAW:g} degrees, got {_listed(wrong)}")
        for name in self.expressions:
            if name not in variants.CHANGES:
                raise UsageError(f"unknown expression '{name}': {did_you_mean(name, variants.CHANGES)}")
        if not 0 < self.truncation <= 1:
            raise UsageError(f"expected a truncation in (0, 1], got {self.truncation}; 0.85 is usual")
        if self.size not in (512, 1024):
            raise UsageError(f"expected a size of synthetic faces of 512 or 1024, got {self.size}")

    def photos(self) -> list[Photo]:
        """Return one photo for each person, pose and expression, sorted by id. Its labels are what is asked for."""
        cells = itertools.product(range(self.identities), self.poses, self.expressions)
        return sorted((self._photo(*cell) for cell in cells), key=lambda photo: photo.id)

    def _photo(self, number: int, pose: float, asked: str) -> Photo:
        identity = f"{self.name}/{number:04d}"
        return Photo(
            id=f"{identity}/{_written(pose)}/{asked}",
            identity=identity,
            expression=asked,
            pose=_written(pose),
            labels=files.canonical_json(_asked(pose, asked)),
            group=identity,
        )

    def read(self, photo: Photo) -> Photograph:
        """Return a face, with what was measured of it, and the box in which it was found.

        The first face of a person takes some twenty seconds on one processor core, for all of theirs are drawn; the others
        are at hand then, if they are asked for in the same process before another person's.

        Raises
        ------
        BadImageError
            If it could not be drawn as asked, or the photo is not one of this source's.
        """
        number, pose, asked = self._cell(photo.id)
        person = _person(self, number)
        face = person.faces.get((pose, asked))
        if face is None:
            tried = f"in {ATTEMPTS} people drawn none has all poses and expressions; of the one who came furthest"
            raise BadImageError(f"{tried}: {person.reasons[pose, asked]}")
        return Photograph(
            image=face.image,
            sha256=hashlib.sha256(face.image.tobytes()).hexdigest(),
            boxes=np.array([face.box], dtype=np.float32),
            measured={
                **_asked(pose, asked),
                "pose": f"{face.measures.pose.yaw:+.1f}",
                "expression": face.expression,
                "distance": f"{face.distance:.3f}",
                "draws": str(person.draws),
            },
        )

    def person(self, number: int) -> variants.Person:
        """Return all that was made of a person, with the draws it took."""
        return _person(self, number)

    def describe(self) -> dict[str, Any]:
        """Return what determines the faces: the settings, the rules, and the hashes of all files that take part."""
        hashes = {file.name: file.sha256 for name in self.assets for file in assets.ASSETS[name].files}
        return {
            "name": self.name,
            "identities": self.identities,
            "poses": list(self.poses),
            "expressions": list(self.expressions),
            "seed": self.seed,
            "truncation": self.truncation,
            "size": self.size,
            "yaw_tolerance": variants.YAW_TOLERANCE,
            "distance": variants.DISTANCE,
            "draws": variants.DRAWS,
            "attempts": ATTEMPTS,
            "networks": hashes,
            "directions": directions.digest(),
        }

    def _cell(self, id_: str) -> tuple[int, float, str]:
        """Return the person's number, the pose and the expression that an id stands for."""
        digits = id_.removeprefix(f"{self.name}/")[:4]
        number = int(digits) if digits.isdecimal() else -1
        for pose, asked in itertools.product(self.poses, self.expressions):
            if 0 <= number < self.identities and self._photo(number, pose, asked).id == id_:
                return number, pose, asked
        raise BadImageError(f"expected a photo of this grid, as {self.photos()[0].id}, got '{id_}'")


@functools.lru_cache(maxsize=1)
def _person(source: GridSource, number: int) -> variants.Person:
    """Return the first person of a slot who can be drawn in all variants, or else the one who came furthest."""
    make = functools.partial(variants.make_person, poses=source.poses, expressions=source.expressions, size=source.size)
    draws, furthest, most = 0, np.zeros(0), -1
    for attempt in range(ATTEMPTS):
        z = seeding.rng(source.seed, source.name, number, attempt, "latent").standard_normal((1, STYLE_SIZE), dtype=np.float32)
        style = synthetic.style_of(z, source.truncation)
        person = make(style, whole=True)
        draws += person.draws
        if not person.reasons:
            return replace(person, draws=draws, attempts=attempt + 1)
        if len(person.faces) > most:
            furthest, most = style, len(person.faces)
    person = make(furthest)
    return replace(person, draws=draws + person.draws, attempts=ATTEMPTS)


def _asked(pose: float, expression: str) -> dict[str, str]:
    return {"asked_pose": _written(pose), "asked_expression": expression}


def _written(pose: float) -> str:
    return f"{pose:+g}" if pose else "0"


def _listed(values: Any) -> str:
    return ", ".join(map(str, values))
