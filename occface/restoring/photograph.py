"""The faces of one photograph: found, aligned as those of a data set, with what is hidden of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from occface import faces
from occface.dataset.pairs import Degradation
from occface.dataset.schema import LR_SIZE
from occface.errors import BadImageError
from occface.faces import AlignedFace, align
from occface.faces.detect import Detection, Detector
from occface.faces.landmarks import Landmarker, LrLandmarker
from occface.restoring.masks import MaskRequest
from occface.restoring.pasting import enlargement, paste
from occface.restoring.restorer import Restoration, Restorer
from occface.restoring.thumbnails import Thumbnail, from_aligned, from_crop, with_mask

__all__ = ["DETECTORS", "Finder", "FoundFace", "RestoredPhotograph", "restore_photograph"]

#: The detectors that look for faces unless others are named: MTCNN finds small and occluded ones, and the cascade looks where
#: it finds none.
DETECTORS = ("mtcnn", "dlib")

#: Of masks, nothing is said.
NOTHING_SAID = MaskRequest()

#: How wide a face is, where its crop is 1 wide: the box that dlib's detector draws, in the crop.
_FACE = (align.CROP_BOX[2] - align.CROP_BOX[0]) / align.CROP_SIZE


@dataclass(frozen=True, eq=False)
class FoundFace:
    """A face of a photograph, ready to be restored; or why it cannot be.

    Attributes
    ----------
    number : int
        From 1 on, the largest first.
    thumbnail : Thumbnail or None
        What networks are shown; None where it cannot be restored.
    aligned : AlignedFace or None
        Where it lies in the photograph, and by whom it was found; None of pictures that came aligned.
    score : float
        How sure the detector is; NaN of pictures that came aligned.
    reason : str
        Why it cannot be restored; else empty.
    """

    number: int
    thumbnail: Thumbnail | None
    aligned: AlignedFace | None = None
    score: float = float("nan")
    reason: str = ""

    @property
    def width(self) -> float:
        """How many px wide the face (not its crop) is in the photograph; NaN where it could not be aligned."""
        return float("nan") if self.thumbnail is None else self.thumbnail.side * _FACE

    @property
    def misfit(self) -> float:
        """How far eyes, nose and mouth lie from where aligned faces have them, in px of the crop, root mean square.

        It is 2 to 4 for most faces; far more says that the landmarks are none of a face, or it looks far aside.
        """
        if self.aligned is None:
            return float("nan")
        places = align.five_points(self.aligned.landmarks) - align.TEMPLATE
        return float(np.sqrt((places**2).sum(axis=1).mean()))


@dataclass(frozen=True)
class Finder:
    """How faces are found and turned into thumbnails.

    Attributes
    ----------
    detectors : tuple of str
        Names in `occface.faces.DETECTORS`, tried in this order until one finds a face; ``("given",)`` with boxes.
    landmarker : str
        A name in `occface.faces.LANDMARKERS`.
    masks : MaskRequest
        What is hidden.
    aligned : bool
        Whether pictures are aligned faces, in which nothing is looked for.
    """

    detectors: tuple[str, ...] = DETECTORS
    landmarker: str = "dlib"
    masks: MaskRequest = NOTHING_SAID
    aligned: bool = False

    def tools(self) -> tuple[list[Detector], Landmarker]:
        """Return the detectors and the landmark detector.

        Raises
        ------
        UsageError
            If one is unknown.
        """
        return [faces.DETECTORS.get(name)() for name in self.detectors], faces.LANDMARKERS.get(self.landmarker)()

    def find(
        self,
        image: np.ndarray,
        degradation: Degradation,
        on_lr: LrLandmarker,
        name: str = "",
        boxes: np.ndarray | None = None,
        landmarks: np.ndarray | None = None,
    ) -> list[FoundFace]:
        """Return the faces of a photograph.

        Parameters
        ----------
        image : numpy.ndarray
            (height, width, 3) uint8 RGB.
        degradation : Degradation
            How thumbnails are made.
        on_lr : LrLandmarker
            Finds landmarks in thumbnails, where a region of an aligned face is to be hidden.
        name : str
            The photograph's: for its mask, and for what is random of a region.
        boxes, landmarks : numpy.ndarray, optional
            (n, 4) and (n, 68, 2), what is known of its faces, for the detector ``given``.

        Raises
        ------
        BadImageError
            If there is no face, or the photograph's mask cannot be used.
        """
        hidden = self.masks.of_photograph(name, image)
        if self.aligned:
            thumbnail = from_aligned(image, hidden, degradation)
            region = None
            if self.masks.region is not None:
                region = self.masks.of_face(on_lr.on_lr(thumbnail.lr), degradation.seed, name, 1)
            return [FoundFace(1, thumbnail if region is None else with_mask(thumbnail, region, degradation))]
        detectors, landmarker = self.tools()
        found = faces.find_faces(image, detectors, "all", boxes, landmarks)
        return [self._one(image, each, landmarker, hidden, degradation, name, number) for number, each in enumerate(found, 1)]

    def _one(
        self,
        image: np.ndarray,
        found: Detection,
        landmarker: Landmarker,
        hidden: np.ndarray | None,
        degradation: Degradation,
        name: str,
        number: int,
    ) -> FoundFace:
        face = FoundFace(number, None, score=found.score)
        try:
            aligned = faces.align_found(image, found, landmarker)
            face = replace(face, aligned=aligned)
            mask = None if hidden is None else align.warp_labels(hidden, aligned.transform)
            if self.masks.region is not None:
                mask = self.masks.of_face(aligned.landmarks, degradation.seed, name, number)
            side = align.CROP_SIZE / float(np.hypot(*aligned.transform[0, :2]))
            # 16 px by chance are no thumbnail that came as such.
            return replace(face, thumbnail=from_crop(aligned.hr, mask, degradation, max(side, np.nextafter(LR_SIZE, 17))))
        except BadImageError as error:
            return replace(face, reason=str(error))


@dataclass(frozen=True, eq=False)
class RestoredPhotograph:
    """A photograph with its faces restored.

    Attributes
    ----------
    image : numpy.ndarray or None
        (k height, k width, 3) uint8 RGB, with the faces pasted back; None of a picture that came aligned.
    enlarged : int
        k, how many times it was enlarged, so that the faces keep their detail.
    faces : tuple of (FoundFace, Restoration or None)
        Each face, and what became of it; None where it could not be restored, for the reason that the face says.
    """

    image: np.ndarray | None
    enlarged: int
    faces: tuple[tuple[FoundFace, Restoration | None], ...]


def restore_photograph(
    restorer: Restorer,
    image: np.ndarray,
    finder: Finder | None = None,
    *,
    boxes: np.ndarray | None = None,
    enlarge: int | None = None,
) -> RestoredPhotograph:
    """Restore the faces of one photograph and paste them back.

    Parameters
    ----------
    restorer : Restorer
        The pipeline.
    image : numpy.ndarray
        (height, width, 3) uint8 RGB.
    finder : Finder, optional
        How faces are found, and what is hidden of them.
    boxes : numpy.ndarray, optional
        (n, 4), where the faces are, (x0, y0, x1, y1) as dlib's detector draws them; then none are looked for.
    enlarge : int, optional
        How many times the photograph is enlarged; by default as many as its faces need, see `occface.restoring.pasting`.

    Raises
    ------
    BadImageError
        If there is no face in it, or its mask cannot be used.
    UsageError
        If the pipeline must be told what is hidden, and nothing was.

    Examples
    --------
    >>> restorer = Restorer.from_pretrained("bicubic")
    >>> restored = restore_photograph(restorer, np.full((90, 120, 3), 99, np.uint8), boxes=np.array([[40, 30, 80, 70]]))
    >>> restored.image.shape, restored.enlarged, restored.faces[0][1].result.shape
    ((270, 360, 3), 3, (128, 128, 3))
    """
    finder = finder or Finder()
    if boxes is not None:
        finder = replace(finder, detectors=("given",))
    found = finder.find(image, restorer.degradation, restorer.landmarker, boxes=boxes)
    whole = [face for face in found if face.thumbnail is not None]
    made = restorer.run([face.thumbnail for face in whole if face.thumbnail is not None], find=finder.masks.find)
    results = dict(zip((face.number for face in whole), made, strict=True))
    return finish(image, found, results, enlarge)


def finish(
    image: np.ndarray, found: Sequence[FoundFace], results: dict[int, Restoration], enlarge: int | None = None
) -> RestoredPhotograph:
    """Return a photograph with its faces pasted back, given what became of each by its number."""
    placed = [
        (face.aligned.transform, results[face.number]) for face in found if face.aligned is not None and face.number in results
    ]
    times = enlarge or enlargement([restored.thumbnail.side for _, restored in placed], image.shape[:2])
    pasted = paste(image, placed, times) if placed else None
    return RestoredPhotograph(pasted, times, tuple((face, results.get(face.number)) for face in found))
