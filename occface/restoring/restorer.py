"""Faces in, whole faces out: a pipeline with its weights behind one call."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
import torch
from torch import Tensor

from occface.dataset.pairs import Degradation
from occface.errors import OccfaceError, UsageError
from occface.faces.heatmaps import read_landmarks
from occface.faces.landmarks import LrLandmarker
from occface.images import to_float, to_uint8
from occface.networks.uinet import BeforeStage
from occface.pipelines import Pipeline
from occface.registry import did_you_mean
from occface.restoring.holes import auto_mask, flat_mask
from occface.restoring.loading import degradation_of, landmarker_of, load_pipeline
from occface.restoring.thumbnails import Thumbnail, from_aligned, with_mask
from occface.training.devices import resolve

__all__ = ["BATCH", "FINDERS", "Restoration", "Restorer"]

#: Faces restored at once. Results do not depend on it beyond rounding; memory does.
BATCH = 16

#: What finds a mask where none is known: see `occface.restoring.holes`.
FINDERS = ("auto", "flat")


@dataclass(frozen=True, eq=False)
class Restoration:
    """A restored face, and what it was made from and on the way.

    Attributes
    ----------
    result : numpy.ndarray
        (128, 128, 3) uint8 RGB. A plausible face, not evidence of who it is.
    stages : tuple of numpy.ndarray
        What the earlier stages of a progressive method made, (S, S, 3) uint8 RGB each, S growing; else empty.
    thumbnail : Thumbnail
        The crop, the LR face that the networks were shown, and the mask.
    landmarks_lr : numpy.ndarray or None
        (68, 2) float32, in pixels of the 128 crop: those found on the LR face, where the pipeline is told any.
    landmarks : numpy.ndarray or None
        (68, 2) float32, in pixels of the 128 crop: where the heatmaps of the last stage are highest; None for methods without.
    heatmaps : tuple of numpy.ndarray
        (68, S, S) float32 in [0, 1], of each stage that has any.
    confidence : float
        Mean height of the highest points of the last heatmaps, in [0, 1]: how sure the landmarks are; NaN without heatmaps.
    missed : bool or None
        Whether a method that searches missed its aim; None for others.
    seconds : float
        How long the networks took, shared evenly among the faces of a batch.
    """

    result: np.ndarray
    stages: tuple[np.ndarray, ...]
    thumbnail: Thumbnail
    landmarks_lr: np.ndarray | None
    landmarks: np.ndarray | None
    heatmaps: tuple[np.ndarray, ...]
    confidence: float
    missed: bool | None
    seconds: float


class Restorer:
    """Restores aligned faces by one pipeline; it may be called from several threads, which then take turns.

    Parameters
    ----------
    pipeline : Pipeline
        The methods with their weights, on `device`.
    degradation : Degradation
        How thumbnails are made of crops.
    landmarker : LrLandmarker
        What finds landmarks in thumbnails, for pipelines that are told them.
    device : torch.device
        Where the pipeline runs.

    Examples
    --------
    >>> restorer = Restorer.from_pretrained()
    >>> face = np.full((24, 24, 3), 200, np.uint8)
    >>> restored = restorer.restore(face)
    >>> restored.result.shape, restored.result.dtype
    ((128, 128, 3), dtype('uint8'))
    >>> [stage.shape for stage in restored.stages]
    [(32, 32, 3), (64, 64, 3)]
    >>> len(restorer.restore([face, face]))
    2
    """

    def __init__(
        self, pipeline: Pipeline, degradation: Degradation, landmarker: LrLandmarker, device: torch.device | str = "cpu"
    ) -> None:
        self.pipeline, self.degradation, self.landmarker = pipeline, degradation, landmarker
        self.device = torch.device(device)
        # A search keeps its state in the method, and landmark detectors set the number of torch's threads: one at a time.
        self._turn = threading.Lock()
        pipeline.load(self.device)

    @classmethod
    def from_pretrained(
        cls,
        name: str | os.PathLike[str] = "pro-uigan",
        *,
        device: str = "auto",
        weights: Mapping[str, str | os.PathLike[str]] | None = None,
        fill: str | None = None,
        lr_kernel: str | None = None,
        lr_landmarks: str | None = None,
        seed: int = 0,
    ) -> Restorer:
        """Load a pipeline.

        Parameters
        ----------
        name : str or path
            A run folder or weights' file; or a method with shipped weights, or methods joined by ``+``, such as ``"fhc+gfc"``.
        device : str
            ``auto``, ``cpu``, ``cuda``, ``cuda:1`` or ``mps``.
        weights : mapping of str to path, optional
            The run folders of the methods in a name.
        fill, lr_kernel : str, optional
            How thumbnails are made; by default as those that the weights learnt from, or the preset ``paper``.
        lr_landmarks : str, optional
            What finds landmarks in thumbnails: ``dlib``, ``fan`` or ``fan:RUN``; by default what the weights learnt with.
        seed : int
            Of noise fills.

        Raises
        ------
        UsageError
            If the name, a device or a setting is unknown, weights are absent, or the methods make no pipeline.
        """
        place = resolve(device)
        pipeline = load_pipeline(name, weights, place)
        return cls(pipeline, degradation_of(pipeline, fill, lr_kernel, seed), landmarker_of(pipeline, lr_landmarks), place)

    @overload
    def restore(self, image: np.ndarray, mask: np.ndarray | str | None = None) -> Restoration: ...
    @overload
    def restore(
        self, image: Sequence[np.ndarray], mask: Sequence[np.ndarray | None] | str | None = None
    ) -> list[Restoration]: ...
    def restore(
        self,
        image: np.ndarray | Sequence[np.ndarray],
        mask: np.ndarray | Sequence[np.ndarray | None] | str | None = None,
    ) -> Restoration | list[Restoration]:
        """Restore one aligned face, or several.

        Parameters
        ----------
        image : numpy.ndarray, or a sequence of them
            An aligned face, (S, S, 3) uint8 RGB, S from 16 on; (B, S, S, 3) are several. A face in a photograph is aligned by
            `occface.restoring.photograph.restore_photograph`.
        mask : numpy.ndarray, a sequence of them, str or None
            What is hidden, not 0, (S, S) or (128, 128); or ``"auto"`` or ``"flat"``, to look for it. Without one the face is
            taken as it is, which methods that find holes themselves, such as Pro-UIGAN, can do with.

        Returns
        -------
        Restoration, or a list of them

        Raises
        ------
        BadImageError
            If a face is no square or too small, or a mask has another size or hides nearly everything.
        UsageError
            If the pipeline needs masks and none are given, or the finder of masks is unknown.
        """
        if isinstance(image, np.ndarray) and image.ndim == 3:
            one = mask if isinstance(mask, str) or mask is None else [np.asarray(mask)]
            return self.restore([image], one)[0]
        images = list(image)
        if isinstance(mask, str) or mask is None:
            thumbnails = [from_aligned(each, None, self.degradation) for each in images]
            return self.run(thumbnails, find=mask)
        masks = list(mask)
        if len(masks) != len(images):
            raise UsageError(f"expected a mask, or None, for each of {len(images)} faces, got {len(masks)}")
        return self.run([from_aligned(each, own, self.degradation) for each, own in zip(images, masks, strict=True)])

    def run(
        self, thumbnails: Sequence[Thumbnail], *, find: str | None = None, before: BeforeStage | None = None
    ) -> list[Restoration]:
        """Restore thumbnails, a batch at a time.

        Parameters
        ----------
        thumbnails : sequence of Thumbnail
            See `occface.restoring.thumbnails`.
        find : str, optional
            One of `FINDERS`, for those without a mask.
        before : BeforeStage, optional
            Called ahead of each stage with a whole batch: what edits faces, see `occface.editing`.

        Raises
        ------
        UsageError
            As `restore` says, and if the pipeline has no stages for `before`.
        OccfaceError
            If a result holds values that are not finite.
        """
        self.check_finder(find)
        restored: list[Restoration] = []
        for start in range(0, len(thumbnails), BATCH):
            batch = list(thumbnails[start : start + BATCH])
            with self._turn:
                if find is not None:
                    batch = self._with_masks(batch, find)
                restored += self._restore(batch, before)
        return restored

    def check_finder(self, find: str | None) -> None:
        """Raise `UsageError` if there is no such way of finding masks."""
        if find is not None and find not in FINDERS:
            raise UsageError(f"unknown finder of masks '{find}': {did_you_mean(find, FINDERS)}")

    @property
    def takes_away(self) -> bool:
        """Whether the pipeline itself shows where it sees holes: a joint method that is told no mask."""
        return self.pipeline.order == "joint" and not self.pipeline.needs_mask

    def _with_masks(self, batch: list[Thumbnail], find: str) -> list[Thumbnail]:
        """Return thumbnails with masks, those that have none looked for; what they hide is filled."""
        lacking = [place for place, each in enumerate(batch) if each.mask is None]
        if not lacking:
            return batch
        kernel, fill = self.degradation.lr_kernel, self.degradation.fill
        if find == "flat":
            found = [flat_mask(batch[place].lr, fill) for place in lacking]
        elif self.takes_away:
            first = self._restore([batch[place] for place in lacking], None)
            found = [auto_mask(each.thumbnail.lr, each.result, kernel) for each in first]
        else:
            found = [auto_mask(batch[place].lr, None, kernel) for place in lacking]
        filled = list(batch)
        for place, mask in zip(lacking, found, strict=True):
            filled[place] = with_mask(batch[place], mask, self.degradation)
        return filled

    def _restore(self, batch: list[Thumbnail], before: BeforeStage | None) -> list[Restoration]:
        """Restore a batch; the lock is held."""
        started = time.perf_counter()
        inputs, landmarks = self._inputs(batch)
        made = self.pipeline.progress(inputs, before)
        pictures = [to_uint8(each) for each in made.pictures]
        if not all(each.isfinite().all() for each in made.pictures[-1:]):
            raise OccfaceError(f"'{self.pipeline.name}' gives values that are not finite: its weights are of no use")
        heatmaps = [each.float().cpu() for each in made.heatmaps if each is not None]
        last = heatmaps[-1] if heatmaps and heatmaps[-1].shape[1] == 68 else None
        found = None if last is None else read_landmarks(last, "peaks").numpy()
        sure = None if last is None else last.amax((2, 3)).mean(1).clamp(0, 1).tolist()
        searched = [each.method.last_missed for each in self.pipeline.stages if each.method.last_missed is not None]
        missed = torch.stack(searched).any(0).tolist() if searched else [None] * len(batch)
        seconds = (time.perf_counter() - started) / len(batch)
        return [
            Restoration(
                result=pictures[-1][number],
                stages=tuple(stage[number] for stage in pictures[:-1]),
                thumbnail=thumbnail,
                landmarks_lr=None if landmarks is None else landmarks[number],
                landmarks=None if found is None else found[number],
                heatmaps=tuple(maps[number].numpy() for maps in heatmaps),
                confidence=float("nan") if sure is None else sure[number],
                missed=missed[number],
                seconds=seconds,
            )
            for number, thumbnail in enumerate(batch)
        ]

    def _inputs(self, batch: list[Thumbnail]) -> tuple[dict[str, Tensor], np.ndarray | None]:
        """Return what the pipeline is given, and the landmarks among it."""
        inputs = {"lr": to_float(np.stack([each.lr for each in batch])).to(self.device)}
        if self.pipeline.needs_mask:
            masks = [each.mask for each in batch if each.mask is not None]
            if len(masks) < len(batch):
                raise UsageError(
                    f"'{self.pipeline.name}' must be told where faces are hidden: "
                    "give a mask, or 'flat', which looks for one colour"
                )
            inputs["mask"] = torch.from_numpy(np.stack(masks)).float().unsqueeze(1).to(self.device)
        landmarks = None
        if any("landmarks" in stage.method.needs for stage in self.pipeline.stages):
            landmarks = np.stack([self.landmarker.on_lr(each.lr) for each in batch])
            inputs["landmarks_lr"] = torch.from_numpy(landmarks).to(self.device)
        return inputs, landmarks
