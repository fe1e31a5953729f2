"""What the page does, without the page: open a photograph, restore one of its faces by several pipelines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from occface.dataset.schema import LR_SIZE
from occface.editing import EDITS, Edit, Edited, edit_face
from occface.errors import BadImageError, OccfaceError, UsageError
from occface.faces.align import CROP_SIZE
from occface.images import decode_image
from occface.methods import METHODS
from occface.occlusion import occlude
from occface.occlusion.regions import REGIONS
from occface.pipelines import method_names
from occface.registry import did_you_mean
from occface.restoring.holes import NOT_FOUND, auto_mask
from occface.restoring.inputs import decode_photo
from occface.restoring.loading import shipped_restorers
from occface.restoring.masks import MaskRequest
from occface.restoring.pasting import enlargement, paste
from occface.restoring.photograph import Finder, FoundFace
from occface.restoring.record import LARGE
from occface.restoring.restorer import Restoration, Restorer
from occface.restoring.thumbnails import MOST_HIDDEN, Thumbnail, from_crop, with_mask

__all__ = ["FOUND", "HIDDEN", "NOTHING", "PAINTED", "SLIDERS", "Limits", "Opened", "Outcome", "Studio", "offered", "read_mask"]

#: The edits of `occface.editing` as sliders: the part, the word for an amount above 0, and that for one below.
SLIDERS = tuple(
    (part, more, less)
    for part, words in EDITS.items()
    for more, (moves, sign) in words.items()
    for less, (same, other) in words.items()
    if sign == 1 and other == -1 and same is moves
)

#: How a visitor may say what is hidden: as painted; not at all; looked for; or a part of the face, by its landmarks.
PAINTED, NOTHING, FOUND = "what is painted", "nothing", "found by itself"
HIDDEN = (PAINTED, NOTHING, FOUND, *REGIONS)

#: The long side in px that a photograph is kept with, to paste faces back into it, and how many pixels it may have then.
_KEPT_SIDE, _SHOWN_PIXELS = 1600, 4_000_000

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
    """The faces of a photograph that can be restored, the largest first; and what their owner should know.

    Attributes
    ----------
    faces : tuple of FoundFace
        Each with its thumbnail.
    notes : tuple of str
        What its owner should know.
    photograph : numpy.ndarray or None
        (height, width, 3) uint8 RGB, at most 1,600 px wide or high; None of a picture that came as one face.
    shrunk : float
        How wide that is over how wide the photograph came.
    """

    faces: tuple[FoundFace, ...]
    notes: tuple[str, ...]
    photograph: np.ndarray | None = None
    shrunk: float = 1.0

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
    try:
        painted = decode_image(data, CROP_SIZE * CROP_SIZE)
    except BadImageError as error:
        raise BadImageError(str(error).removesuffix(" (--max-pixels)")) from error
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
        shipped = shipped_restorers()
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
        try:
            image, note = decode_photo(data, self.limits.pixels)
        except BadImageError as error:  # a visitor has no command line
            raise BadImageError(str(error).removesuffix(" (--max-pixels)")) from error
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
        factor = min(1.0, _KEPT_SIDE / max(image.shape[:2]))
        kept = None
        if not aligned:
            shape = (max(1, round(image.shape[1] * factor)), max(1, round(image.shape[0] * factor)))
            kept = image if factor == 1 else cv2.resize(image, shape, interpolation=cv2.INTER_AREA)
        return Opened(tuple(whole[:_MOST_FACES]), tuple(notes), kept, factor)

    def mask(
        self, opened: Opened, number: int, how: str, painted: np.ndarray | None, names: Sequence[str]
    ) -> tuple[np.ndarray | None, str]:
        """Return what is hidden of a face, and what is to be said of that.

        Parameters
        ----------
        opened, number
            The face.
        how : str
            One of `HIDDEN`.
        painted : numpy.ndarray or None
            (128, 128), not 0 where there is paint.
        names : sequence of str
            The pipelines that are chosen: the first that sees holes itself helps to look for them.

        Returns
        -------
        mask : numpy.ndarray or None
            (128, 128) uint8 {0, 1}; None where nothing is hidden.
        note : str
            A line, or nothing.

        Raises
        ------
        UsageError
            If `how` is unknown.
        BadImageError
            If landmarks lie so that a part of the face cannot be hidden.
        """
        if how not in HIDDEN:
            raise UsageError(f"unknown choice of what is hidden '{how}': {did_you_mean(how, HIDDEN)}")
        if how in {PAINTED, NOTHING}:
            return painted if how == PAINTED else None, ""
        thumbnail = opened.thumbnail(number)
        chosen = [self.restorer(name) for name in names] or list(self.restorers.values())
        looking = next((each for each in chosen if each.takes_away), chosen[0])
        own = self._thumbnail(thumbnail, None, looking)
        if how == FOUND:
            made = looking.run([own])[0].result if looking.takes_away else None
            found = auto_mask(own.lr, made, looking.degradation.lr_kernel)
            if not found.any():
                return None, f"Nothing hidden was found. Not found is {NOT_FOUND}."
            return found, f"{found.mean():.0%} of the crop was found hidden, shown in grey. Not found is {NOT_FOUND}."
        face = opened.faces[number].aligned
        points = looking.landmarker.on_lr(own.lr) if face is None else face.landmarks
        return MaskRequest(region=how).of_face(points, looking.degradation.seed, "", number), ""

    def whole(self, opened: Opened, restored: Mapping[int, Restoration]) -> np.ndarray | None:
        """Return the photograph with restored faces pasted back; None if it was one face.

        Parameters
        ----------
        opened : Opened
            What `open` gave.
        restored : mapping of int to Restoration
            What became of its faces, by their numbers from 0 on.

        Returns
        -------
        numpy.ndarray or None
            (height, width, 3) uint8 RGB, enlarged as the faces need, up to four megapixels.
        """
        view = opened.photograph
        if view is None:
            return None
        back = 1 / opened.shrunk  # a pixel covers half a pixel around its centre
        larger = np.array([[back, 0, (back - 1) / 2], [0, back, (back - 1) / 2], [0, 0, 1]])
        placed = [
            (aligned.transform @ larger, each)
            for number, each in restored.items()
            if (aligned := opened.faces[number].aligned) is not None
        ]
        wanted = enlargement([each.thumbnail.side * opened.shrunk for _, each in placed], view.shape[:2])
        most = int(np.sqrt(_SHOWN_PIXELS / (view.shape[0] * view.shape[1])))
        return paste(view, placed, max(1, min(wanted, most)))

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

    def edit(self, outcome: Outcome, amounts: Sequence[float], landmarks: np.ndarray | None = None) -> Edited:
        """Redraw a restored face with its landmarks moved.

        Parameters
        ----------
        outcome : Outcome
            Of a pipeline whose stages are led by landmarks: one with `Restoration.landmarks`.
        amounts : sequence of float
            How far each of `SLIDERS` is pushed, from -2 to 2.
        landmarks : numpy.ndarray, optional
            (68, 2), where landmarks should be before that, in pixels of the crop.

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
        if outcome.restored is None or not (edits or landmarks is not None):
            raise UsageError("nothing is to be changed: push a slider, or choose a file of landmarks")
        return edit_face(self.restorer(outcome.name), outcome.restored.thumbnail, edits, landmarks=landmarks)

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
