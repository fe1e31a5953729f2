"""Faces edited by their landmarks: move these, and the stages behind redraw the face (paper, section IV-F and Fig. 8).

The face is restored once, which tells where its landmarks are. It is restored again, and ahead of one stage the picture so far
and the heatmaps of its landmarks are moved to where the landmarks should be; that stage and those behind it redraw what was
moved, in more pixels.

Moving the heatmaps alone, as the paper's text has it, leaves the old features where they were beside the new ones: the
picture's own features say otherwise (`docs/edit.md` shows it). So the picture goes with them.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from scipy.interpolate import RBFInterpolator
from torch import Tensor

from occface import files
from occface.errors import BadImageError, UsageError
from occface.faces.align import CROP_SIZE
from occface.images import write_png
from occface.locking import working_alone
from occface.restoring.drawing import heatmap_picture, panel, with_points
from occface.restoring.inputs import Photo, read_photo
from occface.restoring.landmark_edits import EDITS, Edit, moved, moved_within_bounds
from occface.restoring.photograph import Finder
from occface.restoring.restorer import Restoration, Restorer
from occface.restoring.thumbnails import Thumbnail

__all__ = [
    "EDITS",
    "Edit",
    "Edited",
    "MoveLandmarks",
    "edit_face",
    "edit_file",
    "landmarks_of_text",
    "landmarks_text",
    "moved",
    "read_landmarks_file",
]

_POINTS = 68
#: How far beyond the crop a landmark may be moved, in px.
_BEYOND = CROP_SIZE / 4
#: Points on each side of the crop that stay where they are, and how loosely the motion may meet the landmarks.
_FRAME, _SMOOTHING = 9, 1.0


@dataclass(frozen=True, eq=False)
class MoveLandmarks:
    """Moves what enters one stage so that the landmarks of a face come to lie elsewhere; a `BeforeStage` for one face.

    Between the landmarks the motion is a thin-plate spline, which is at rest on the crop's border.

    Attributes
    ----------
    before, after : numpy.ndarray
        (68, 2), in pixels of the 128 crop.
    stage : int
        The stage ahead of which they move, from 1 on.
    """

    before: np.ndarray
    after: np.ndarray
    stage: int

    def __call__(self, number: int, image: Tensor, heatmaps: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Return the picture (1,3,N,N) and the heatmaps (1,K,N,N) that enter stage `number`, counted from 0."""
        if number != self.stage - 1:
            return image, heatmaps
        grid = torch.from_numpy(self._sources(image.shape[-1])).to(image)[None]
        # Bicubic keeps the picture sharp; it overshoots, and is brought back into its range.
        turned = F.grid_sample(image, grid, mode="bicubic", padding_mode="border", align_corners=False).clamp(-1, 1)
        return turned, None if heatmaps is None else self._shifted(heatmaps)

    def _shifted(self, heatmaps: Tensor) -> Tensor:
        """Return each landmark's heatmap moved as a whole, as far as its landmark: none is stretched."""
        if heatmaps.shape[1] != _POINTS:
            raise UsageError(
                f"stage {self.stage} is led by {heatmaps.shape[1]} landmarks, edits move all {_POINTS}: choose another stage"
            )
        back = torch.from_numpy((self.before - self.after) / (CROP_SIZE / 2)).to(heatmaps)
        turn = torch.eye(2).to(heatmaps).expand(_POINTS, 2, 2)
        shape = [_POINTS, 1, *heatmaps.shape[2:]]
        grid = F.affine_grid(torch.cat([turn, back[:, :, None]], dim=2), shape, align_corners=False)
        return F.grid_sample(heatmaps[0][:, None], grid, mode="bilinear", align_corners=False)[:, 0][None]

    def _sources(self, size: int) -> np.ndarray:
        """Return where each of size x size pixels comes from, (size, size, 2) in [-1, 1] from edge to edge."""
        edge = np.linspace(-0.5, CROP_SIZE - 0.5, _FRAME)
        frame = np.array([(x, y) for x in edge for y in edge if {x, y} & {edge[0], edge[-1]}])
        places = np.concatenate([self.after, frame]).astype(np.float64)
        back = np.concatenate([self.before - self.after, np.zeros_like(frame)])
        centres = (np.arange(size) + 0.5) * CROP_SIZE / size - 0.5
        pixels = np.stack(np.meshgrid(centres, centres), axis=-1)
        motion = RBFInterpolator(places, back, kernel="thin_plate_spline", smoothing=_SMOOTHING)(pixels.reshape(-1, 2))
        return (pixels + motion.reshape(size, size, 2) + 0.5) / (CROP_SIZE / 2) - 1


@dataclass(frozen=True, eq=False)
class Edited:
    """A face as restored, and as redrawn with its landmarks moved.

    Attributes
    ----------
    original, edited : Restoration
        Without and with the edit.
    wanted : numpy.ndarray
        (68, 2) float32, where the landmarks should be, in pixels of the crop; where they were, `original` says.
    bounded : tuple of str
        The edits, such as ``mouth close``, of which only so much was done as lips or lids have room for.
    """

    original: Restoration
    edited: Restoration
    wanted: np.ndarray
    bounded: tuple[str, ...] = ()

    def note(self) -> str:
        """Say which edits were bounded; empty where none was."""
        return f"done only until lips or lids meet: {', '.join(self.bounded)}" if self.bounded else ""

    def panel(self) -> np.ndarray:
        """Return a picture: the original and its priors, the moved landmarks, the edited priors and the edited face."""
        pictures = {
            "LR, 16x16": self.original.thumbnail.lr,
            "restored": self.original.result,
            "its priors": heatmap_picture(self.original.heatmaps[-1]),
            "landmarks, moved": with_points(self.original.result // 2, self.wanted),
            "edited priors": heatmap_picture(self.edited.heatmaps[-1]),
            "edited": self.edited.result,
        }
        return panel(list(pictures.values()), tuple(pictures))


def edit_face(
    restorer: Restorer,
    thumbnail: Thumbnail,
    edits: Sequence[Edit] = (),
    *,
    landmarks: np.ndarray | None = None,
    stage: int = 2,
    find: str | None = None,
) -> Edited:
    """Restore a face, and once more with its landmarks moved.

    Parameters
    ----------
    restorer : Restorer
        A pipeline with stages that are led by heatmaps of all 68 landmarks, such as Pro-UIGAN.
    thumbnail : Thumbnail
        The face; see `occface.restoring.thumbnails`.
    edits : sequence of Edit
        Named changes to the landmarks that the restored face has.
    landmarks : numpy.ndarray, optional
        (68, 2), where the landmarks should be, in pixels of the crop; `edits` are added to these.
    stage : int
        Ahead of which stage, 1 to 3, they are moved: the earlier, the more is redrawn, and from fewer pixels.
    find : str, optional
        How a mask is looked for, if at all; see `Restorer.restore`.

    Raises
    ------
    UsageError
        If there is nothing to change, no such stage, the landmarks are no 68 points in or near the crop, or the pipeline has
        no such stages.

    Examples
    --------
    >>> restorer = Restorer.from_pretrained()
    >>> restored = restorer.restore(np.full((24, 24, 3), 200, np.uint8))
    >>> edit_face(restorer, restored.thumbnail, [Edit("mouth", "smile")]).edited.result.shape
    (128, 128, 3)
    """
    if not 1 <= stage <= 3:
        raise UsageError(f"expected a stage from 1 to 3 to move landmarks ahead of, got {stage}")
    if not edits and landmarks is None:
        raise UsageError("nothing is to be changed: name an edit, such as --mouth smile, or give --landmarks")
    (original,) = restorer.run([thumbnail], find=find)
    if original.landmarks is None:
        raise UsageError(
            f"'{restorer.pipeline.name}' has no stages led by 68 landmarks: to edit faces, use one that has: pro-uigan"
        )
    start = original.landmarks if landmarks is None else _checked(landmarks)
    wanted, bounded = moved_within_bounds(start, edits)
    move = MoveLandmarks(original.landmarks, wanted, stage)
    (edited,) = restorer.run([original.thumbnail], before=move)
    return Edited(original, edited, wanted, bounded)


def _checked(landmarks: np.ndarray) -> np.ndarray:
    points = np.asarray(landmarks, dtype=np.float32)
    if points.shape != (_POINTS, 2) or not np.isfinite(points).all():
        raise UsageError(f"expected {_POINTS} landmarks x,y, all finite, got an array of the shape {points.shape}")
    if points.min() < -_BEYOND or points.max() > CROP_SIZE + _BEYOND:
        raise UsageError(
            f"expected landmarks in pixels of the {CROP_SIZE}x{CROP_SIZE} crop, "
            f"got some at {points.min():g} and {points.max():g}"
        )
    return points


def landmarks_text(landmarks: np.ndarray) -> str:
    """Return 68 landmarks as a CSV table with the columns ``x,y``, in iBUG's order, in pixels of the 128 crop."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["x", "y"])
    table.writerows([f"{x:.2f}", f"{y:.2f}"] for x, y in landmarks.tolist())
    return text.getvalue()


def landmarks_of_text(text: str, name: str = "the file") -> np.ndarray:
    """Return the (68, 2) float32 landmarks of a table as `landmarks_text` writes it.

    Parameters
    ----------
    text : str
        The table.
    name : str
        Where it comes from, for messages.

    Raises
    ------
    UsageError
        If it does not hold 68 rows of finite numbers x and y.

    Examples
    --------
    >>> places = np.stack([np.arange(68), 2 * np.arange(68) % 100], axis=1)
    >>> np.array_equal(landmarks_of_text(landmarks_text(places)), places)
    True
    """
    try:
        rows = list(csv.DictReader(io.StringIO(text, newline="")))
        points = np.array([(float(row["x"]), float(row["y"])) for row in rows], dtype=np.float32).reshape(-1, 2)
    except (ValueError, KeyError, TypeError, csv.Error) as error:
        raise UsageError(
            f"expected columns x,y of numbers in {name}, got another table: write one by `occface edit`"
        ) from error
    if len(points) != _POINTS:
        raise UsageError(f"expected {_POINTS} rows x,y in {name}, got {len(points)}: all landmarks are needed, moved or not")
    return _checked(points)


def read_landmarks_file(path: str | os.PathLike[str]) -> np.ndarray:
    """Return the (68, 2) float32 landmarks of a CSV file, see `landmarks_of_text`.

    Raises
    ------
    UsageError
        If it cannot be read, or does not hold 68 rows of finite numbers x and y.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UsageError(f"expected a CSV file of landmarks at {path}, but it cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(
            f"expected columns x,y of numbers in {path}, got another table: write one by `occface edit`"
        ) from error
    return landmarks_of_text(text, str(path))


@dataclass(frozen=True)
class EditedFile:
    """Where an edited face was written, how far its landmarks were moved and came, and which edits were bounded."""

    folder: str
    moved: float
    came: float
    bounded: tuple[str, ...] = ()
    note: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON: the folder, mean distances in px of the crop, and the edits that were bounded."""
        lengths = {"moved_px": round(self.moved, 3), "came_px": round(self.came, 3)}
        return {"folder": self.folder, **lengths, "bounded": list(self.bounded)}

    def text(self) -> str:
        """Return the same for people."""
        return (
            f"{self.folder}: landmarks moved by {self.moved:.2f} px on the average, where they were moved; "
            f"those of the redrawn face came {self.came:.2f} px of that way" + (f"; {self.note}" if self.note else "")
        )


def edit_file(
    path: str | os.PathLike[str],
    out: str | os.PathLike[str],
    restorer: Restorer,
    finder: Finder,
    edits: Sequence[Edit],
    *,
    landmarks: np.ndarray | None = None,
    stage: int = 2,
    overwrite: bool = False,
) -> EditedFile:
    """Edit the largest face of a photograph, or an aligned one, and write what `occface edit` writes.

    Raises
    ------
    UsageError
        As `edit_face` says, if the photograph cannot be used, or the folder holds an edited face already, or another program is
        at work in it.
    OccfaceError
        If the folder cannot be written.
    """
    folder = Path(out)
    with working_alone(folder):
        return _edit_file(Path(path), folder, restorer, finder, edits, landmarks, stage, overwrite)


def _edit_file(
    path: Path,
    folder: Path,
    restorer: Restorer,
    finder: Finder,
    edits: Sequence[Edit],
    landmarks: np.ndarray | None,
    stage: int,
    overwrite: bool,
) -> EditedFile:
    if (folder / "panel.png").exists() and not overwrite:
        raise UsageError(f"{folder} holds an edited face already: name another folder, or replace it by --overwrite")
    try:
        image, _ = read_photo(Photo(path.name, path))
        face = finder.find(image, restorer.degradation, restorer.landmarker, path.name)[0]
    except BadImageError as error:
        raise UsageError(f"{path} cannot be edited: {error}") from error
    if face.thumbnail is None:
        raise UsageError(f"the face in {path} cannot be edited: {face.reason}")
    done = edit_face(restorer, face.thumbnail, edits, landmarks=landmarks, stage=stage, find=finder.masks.find)
    assert done.original.landmarks is not None  # else edit_face refuses
    assert done.edited.landmarks is not None
    (folder / "panel.png").unlink(missing_ok=True)  # it shows that all the others are there, and of one face
    write_png(folder / "original.png", done.original.result)
    write_png(folder / "edited.png", done.edited.result)
    files.write_text(folder / "landmarks.csv", landmarks_text(done.original.landmarks))
    files.write_text(folder / "landmarks-edited.csv", landmarks_text(done.wanted))
    write_png(folder / "panel.png", done.panel())
    way = done.wanted - done.original.landmarks
    length = np.linalg.norm(way, axis=1)
    gone = length > 0.5
    along = ((done.edited.landmarks - done.original.landmarks) * way).sum(axis=1)[gone] / length[gone]
    far, came = (float(each.mean()) if gone.any() else 0.0 for each in (length[gone], along))
    return EditedFile(str(folder), far, came, done.bounded, done.note())
