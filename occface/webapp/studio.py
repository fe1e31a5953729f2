"""What the page does, without the page: open a photograph, restore one of its faces by several pipelines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from occface.dataset.schema import LR_SIZE
from occface.editing import EDITS, Edit, Edited, edit_face
from occface.errors import BadImageError, OccfaceError, UsageError
from occface.faces.align import CROP_SIZE
from occface.images import decode_image
from occface.methods import METHODS
from occface.methods.weights import WEIGHTS
from occface.occlusion import occlude
from occface.pipelines import method_names
from occface.registry import did_you_mean
from occface.restoring.inputs import decode_photo
from occface.restoring.loading import SHIPPED
from occface.restoring.photograph import Finder, FoundFace
from occface.restoring.record import LARGE
from occface.restoring.restorer import Restoration, Restorer
from occface.restoring.thumbnails import MOST_HIDDEN, Thumbnail, from_crop, with_mask

__all__ = ["SLIDERS", "Limits", "Opened", "Outcome", "Studio", "offered", "read_mask"]

#: The edits of `occface.editing` as sliders: the part, the word for an amount above 0, and that for one below.
SLIDERS = tuple(
    (part, more, less)
    for part, words in EDITS.items()
    for more, (moves, sign) in words.items()
    for less, (same, other) in words.items()
    if sign == 1 and other == -1 and same is moves
)

#: More faces of one photograph are not offered: nobody looks through more.
_MOST_FACES = 20


@dataclass(frozen=True)
class Limits:
    """What a visitor may send.

    Attributes
    ----------
    megabytes : int
        Of a photograph's file.
    pixels : int
        Of the photograph; its header tells, before anything is decoded.
    """

    megabytes: int = 20
    pixels: int = 40_000_000

    def check(self, size: int) -> None:
        """Raise `BadImageError` if a file of so many bytes is too large."""
        if size > self.megabytes * 1_000_000:
            raise BadImageError(
                f"the file has {size / 1e6:.3g} MB, more than the {self.megabytes} MB that are taken: make it smaller"
            )


@dataclass(frozen=True, eq=False)
class Opened:
    """The faces of a photograph that can be restored, the largest first; and what their owner should know."""

    faces: tuple[FoundFace, ...]
    notes: tuple[str, ...]

    def crop(self, number: int) -> np.ndarray:
        """Return the crop of a face counted from 0, (128, 128, 3) uint8 RGB."""
        return self.thumbnail(number).crop

    def thumbnail(self, number: int) -> Thumbnail:
        """Return what a face counted from 0 was found as."""
        found = self.faces[number].thumbnail
        assert found is not None  # `Studio.open` keeps no others
        return found


@dataclass(frozen=True, eq=False)
class Outcome:
    """What one pipeline made of a face: a restoration, or the reason why there is none."""

    name: str
    order: str
    restored: Restoration | None
    reason: str = ""


def offered(weights: Mapping[str, str]) -> list[str]:
    """Return the pipelines that trained methods make.

    Joint methods come first, then pairs of super-resolution and inpainting in both orders, then super-resolution alone, and
    ``bicubic``, which has learnt nothing and shows what all others start from. Where no super-resolution was trained, the
    pairs have ``bicubic``.

    Examples
    --------
    >>> offered({"pro-uigan": "runs/pro-uigan", "gfc": "runs/gfc"})
    ['pro-uigan', 'bicubic+gfc', 'gfc+bicubic', 'bicubic']
    """
    roles: dict[str, list[str]] = {}
    for name in weights:
        roles.setdefault(METHODS.get(name.partition(":")[0]).role, []).append(name)
    for role in roles.keys() - {"joint", "sr", "inpaint"}:
        raise UsageError(f"'{roles[role][0]}' restores no faces, it is for {role}: leave its weights out")
    alone = roles.get("sr", [])
    pairs = [(sr, pa) for sr in alone or ["bicubic"] for pa in roles.get("inpaint", [])]
    named = [*roles.get("joint", []), *(f"{sr}+{pa}" for sr, pa in pairs), *(f"{pa}+{sr}" for sr, pa in pairs), *alone]
    return [*named, *(["bicubic"] if "bicubic" not in named else [])]


def read_mask(data: bytes) -> np.ndarray | None:
    """Return what was painted, (128, 128) uint8 {0, 1}; None where nothing was.

    Parameters
    ----------
    data : bytes
        A PNG file of 128 x 128 pixels, white where the face is hidden.

    Raises
    ------
    BadImageError
        If it is no such picture, or nearly everything is hidden.
    """
    painted = decode_image(data, CROP_SIZE * CROP_SIZE)
    if painted.shape[:2] != (CROP_SIZE, CROP_SIZE):
        raise BadImageError(
            f"expected paint of {CROP_SIZE}x{CROP_SIZE} px, got {painted.shape[1]}x{painted.shape[0]}: load the page again"
        )
    mask = (painted[..., 0] >= 128).astype(np.uint8)
    if mask.mean() > MOST_HIDDEN:
        raise BadImageError(
            f"the paint hides {mask.mean():.0%} of the picture, and of less than {1 - MOST_HIDDEN:.0%} of a face nothing can "
            "be restored: take some of it away"
        )
    return mask if mask.any() else None


class Studio:
    """Several pipelines at hand for one face after another.

    Parameters
    ----------
    restorers : mapping of str to Restorer
        By the name of the pipeline, in the order in which they are offered.
    finder : Finder
        How faces are found.
    limits : Limits
        What may be opened.

    Raises
    ------
    UsageError
        If there is no pipeline.
    """

    def __init__(self, restorers: Mapping[str, Restorer], finder: Finder | None = None, limits: Limits | None = None) -> None:
        if not restorers:
            raise UsageError("expected at least one pipeline to restore faces with, got none")
        self.restorers, self.finder, self.limits = dict(restorers), finder or Finder(), limits or Limits()
        self.finder.tools()  # an unknown name is said at the start, not to the first visitor

    @classmethod
    def load(
        cls,
        weights: Mapping[str, str],
        pipelines: Sequence[str] = (),
        *,
        device: str = "auto",
        lr_landmarks: str | None = None,
        finder: Finder | None = None,
        limits: Limits | None = None,
    ) -> Studio:
        """Load pipelines.

        Parameters
        ----------
        weights : mapping of str to path
            Run folders by the name of their method. Methods whose weights come with the package need none.
        pipelines : sequence of str
            Methods, or methods joined by ``+``; by default all those that `offered` lists.
        device, lr_landmarks : str
            As for `Restorer.from_pretrained`.
        finder, limits
            As above.

        Raises
        ------
        UsageError
            If no weights are there, or something cannot be loaded.
        """
        shipped = {path.parent.name: str(path.parent) for path in sorted(SHIPPED.glob(f"*/{WEIGHTS}"))}
        if not (weights or pipelines or shipped):
            raise UsageError(
                "no weights come with this version of occface: train a method (`occface train pro-uigan --data D.h5 --out "
                "RUN`) and name it, --weights pro-uigan=RUN"
            )
        names = list(dict.fromkeys(pipelines or offered(weights or shipped)))
        used = {part for name in names for part in method_names(name)}
        for spare in weights.keys() - used:
            raise UsageError(f"weights are given for '{spare}', which no pipeline has: {did_you_mean(spare, sorted(used))}")
        restorers = {}
        for name in names:
            own = {part: weights[part] for part in method_names(name) if part in weights}
            restorers[name] = Restorer.from_pretrained(name, device=device, weights=own, lr_landmarks=lr_landmarks)
        return cls(restorers, finder, limits)

    def open(self, data: bytes, *, aligned: bool = False) -> Opened:
        """Find the faces of a photograph.

        Parameters
        ----------
        data : bytes
            Its file.
        aligned : bool
            Whether it is one aligned face, in which none is looked for.

        Raises
        ------
        BadImageError
            If it cannot be read, is too large, or holds no face that can be restored; the message is one line.
        """
        self.limits.check(len(data))
        image, note = decode_photo(data, self.limits.pixels)
        first = next(iter(self.restorers.values()))
        finder = Finder(self.finder.detectors, self.finder.landmarker, aligned=aligned)
        found = finder.find(image, first.degradation, first.landmarker)
        whole = [face for face in found if face.thumbnail is not None]
        if not whole:
            raise BadImageError(found[0].reason)
        notes = [note] if note else []
        if len(whole) < len(found):
            notes.append(f"{len(found) - len(whole)} of {len(found)} faces cannot be used: {_first_reason(found)}")
        if len(whole) > _MOST_FACES:
            notes.append(f"of {len(whole)} faces, the {_MOST_FACES} largest are shown")
        return Opened(tuple(whole[:_MOST_FACES]), tuple(notes))

    def advice(self, face: FoundFace) -> str:
        """Return what to say of a face that is too large for the method; else nothing."""
        if not face.width > LARGE:
            return ""
        return (
            f"This face is {face.width:.0f} px wide. All methods here see 16x16 pixels of it: its own detail is thrown "
            f"away and made up anew. They are for faces up to {LARGE} px; for larger ones use a program that fills holes at "
            "full size."
        )

    def hidden(self, opened: Opened, number: int, mask: np.ndarray | None) -> np.ndarray:
        """Return the crop of a face with what is hidden of it in grey."""
        crop = opened.crop(number)
        return crop if mask is None else occlude(crop, mask, "gray", np.random.default_rng)

    def restore(self, opened: Opened, number: int, mask: np.ndarray | None, names: Sequence[str]) -> list[Outcome]:
        """Restore a face by several pipelines.

        Parameters
        ----------
        opened : Opened
            What `open` gave.
        number : int
            Which of its faces, from 0 on.
        mask : numpy.ndarray or None
            (128, 128), not 0 where the face is hidden.
        names : sequence of str
            The pipelines.

        Returns
        -------
        list of Outcome
            In the order of `names`. One that fails has a reason and does not keep the others.

        Raises
        ------
        UsageError
            If no pipeline is named, or an unknown one.
        """
        if not names:
            raise UsageError("no method is chosen: tick at least one")
        outcomes = []
        for name in names:
            restorer = self.restorer(name)
            order = restorer.pipeline.order
            if mask is None and restorer.pipeline.needs_mask:
                reason = "it must be told where the face is hidden: paint that, and restore again"
                outcomes.append(Outcome(name, order, None, reason))
                continue
            try:
                (restored,) = restorer.run([self._thumbnail(opened.thumbnail(number), mask, restorer)])
                outcomes.append(Outcome(name, order, restored))
            except OccfaceError as error:
                outcomes.append(Outcome(name, order, None, str(error)))
        return outcomes

    def edit(self, outcome: Outcome, amounts: Sequence[float]) -> Edited:
        """Redraw a restored face with its landmarks moved.

        Parameters
        ----------
        outcome : Outcome
            Of a pipeline whose stages are led by landmarks: one with `Restoration.landmarks`.
        amounts : sequence of float
            How far each of `SLIDERS` is pushed, from -2 to 2.

        Raises
        ------
        UsageError
            If nothing is to be changed.
        """
        edits = [
            Edit(part, more if amount > 0 else less, abs(amount))
            for (part, more, less), amount in zip(SLIDERS, amounts, strict=True)
            if amount
        ]
        if outcome.restored is None or not edits:
            raise UsageError("nothing is to be changed: push a slider")
        return edit_face(self.restorer(outcome.name), outcome.restored.thumbnail, edits)

    def restorer(self, name: str) -> Restorer:
        """Return the restorer of a pipeline, or say that there is none."""
        if name not in self.restorers:
            raise UsageError(f"unknown method '{name}': {did_you_mean(name, self.restorers)}")
        return self.restorers[name]

    @staticmethod
    def _thumbnail(found: Thumbnail, mask: np.ndarray | None, restorer: Restorer) -> Thumbnail:
        """Return a face as one restorer's networks were taught to see it."""
        if mask is not None:
            return with_mask(found, mask, restorer.degradation)
        return found if found.side == LR_SIZE else from_crop(found.crop, None, restorer.degradation, found.side)


def _first_reason(found: Sequence[FoundFace]) -> str:
    return next(face.reason for face in found if face.thumbnail is None)
