"""Many photographs, streamed: while a batch of faces is restored, the next ones are looked for and the last ones written."""

from __future__ import annotations

import collections
import logging
import os
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from occface import assets, files, images, progress
from occface.dataset.schema import HR_SIZE
from occface.errors import BadImageError, OccfaceError, UsageError, first_line
from occface.images import encode_jpeg, encode_png
from occface.locking import working_alone
from occface.restoring import drawing
from occface.restoring.holes import NOT_FOUND
from occface.restoring.inputs import Listed, Photo, find_photos, read_photo
from occface.restoring.photograph import Finder, FoundFace, finish
from occface.restoring.record import LARGE, Record, face_row, photo_row
from occface.restoring.restorer import BATCH, Restoration, Restorer
from occface.restoring.thumbnails import Thumbnail
from occface.sources.known_faces import KnownFaces, read_faces

__all__ = ["RestoreOptions", "RestoredFolder", "restore_paths"]

log = logging.getLogger(__name__)

#: Pixels from which on a batch of photographs takes no more: 300 MB. Three batches are in memory at most.
_PIXELS = 100_000_000

#: How results are counted, of several and of one; and the states that only faces have.
_FACES, _OF_FACES = ("faces ", "face "), ("restored", "left out")

_ADVICE = (
    f"{{}} of {{}} faces are wider than {LARGE} px, and were made 16x16 all the same: that throws away the detail they have. "
    "For such faces use a restorer that works at their own size, such as GFPGAN or CodeFormer; or, where only a part is "
    "hidden, an inpainting method, such as LaMa"
)


@dataclass(frozen=True)
class RestoreOptions:
    """How photographs are restored, beside the pipeline.

    Attributes
    ----------
    finder : Finder
        How faces are found, and what is hidden of them.
    boxes : str or None
        A table of known faces, see `occface.sources.known_faces`; then no others are looked for.
    enlarge : int or None
        How many times photographs are enlarged for their faces; by default as many as these need.
    max_pixels : int
        Larger photographs are refused.
    max_face : float or None
        Faces that are wider than so many px in their photograph are left as they are; by default none.
    """

    finder: Finder = field(default_factory=Finder)
    boxes: str | None = None
    enlarge: int | None = None
    max_pixels: int = images.MAX_PIXELS
    max_face: float | None = None

    def leaves_out(self, face: FoundFace) -> bool:
        """Say whether a face is too wide to be restored."""
        return self.max_face is not None and face.width > self.max_face


@dataclass(frozen=True)
class RestoredFolder:
    """What was made of photographs: the output folder, the rows of its ``results.csv``, and what is to be known of all."""

    folder: Path
    rows: list[dict[str, Any]]
    photographs: int
    note: str = ""

    def counts(self) -> dict[str, int]:
        """Return how many photographs there were, and how many rows of each state."""
        found = collections.Counter(row["state"] for row in self.rows)
        return {"photographs": self.photographs, **{state: found[state] for state in sorted(found)}}

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return {"folder": str(self.folder), **self.counts(), "note": self.note, "rows": self.rows}

    def text(self) -> str:
        """Return the same for people: counts, what failed, and what should be known."""
        counts = self.counts()
        lines = [f"{row['file']}: {row['state']}: {row['reason']}" for row in self.rows if row["state"] != "restored"]
        shown = lines[:20] + ([f"... and {len(lines) - 20} more, in results.csv"] if len(lines) > 20 else [])
        said = ", ".join(
            f"{number} {_FACES[number == 1] if state in _OF_FACES else ''}{state}"
            for state, number in counts.items()
            if state != "photographs"
        )
        photographs = f"{counts['photographs']} photograph{'s' * (counts['photographs'] != 1)}"
        last = f"{self.folder}: {photographs}; {said or 'nothing to do'}"
        return "\n".join([*shown, *([self.note] if self.note else []), last])


@dataclass(frozen=True, eq=False)
class _Looked:
    """A photograph in which faces were looked for: the picture and its faces, or why there are none."""

    photo: Photo
    image: np.ndarray | None = None
    found: tuple[FoundFace, ...] = ()
    note: str = ""
    state: str = ""
    reason: str = ""

    def whole(self, options: RestoreOptions) -> list[tuple[int, Thumbnail]]:
        """Return number and thumbnail of each face that can be restored, and is to be."""
        faces = [face for face in self.found if not options.leaves_out(face)]
        return [(face.number, face.thumbnail) for face in faces if face.thumbnail is not None]


def restore_paths(
    paths: Iterable[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    restorer: Restorer,
    options: RestoreOptions | None = None,
    *,
    limit: int | None = None,
    resume: bool = False,
    overwrite: bool = False,
) -> RestoredFolder:
    """Restore the faces of photographs into a folder.

    For each photograph there is a folder of its name with ``restored.jpg``, the photograph with its faces pasted back, and for
    each face ``face-1-input.png``, ``-lr``, ``-mask``, ``-stage-1`` and so on, ``-result``, ``-heatmaps``, and
    ``face-1-strip.jpg``, all of them side by side.
    ``results.csv`` has a row for each face, and for each photograph without one. What cannot be used, or may not be written, is
    listed there with its reason, and the rest goes on.

    Parameters
    ----------
    paths : iterable of path
        Files and folders.
    out : path
        The output folder.
    restorer : Restorer
        The pipeline.
    options : RestoreOptions, optional
        How.
    limit : int, optional
        Take the first so many photographs only.
    resume, overwrite : bool
        Go on with what is in the folder, or replace it.

    Raises
    ------
    UsageError
        If a path is absent, the folder holds results of before, boxes are given for no photograph, or the pipeline must be told
        what is hidden and is not.
    OccfaceError
        If the disk fails, or is full: what was made is kept.
    """
    options = options or RestoreOptions()
    listed = find_photos(paths, limit, without=Path(out))
    photos = listed.photos
    _check(restorer, options)
    known = _known(options, photos)
    with (
        working_alone(out),
        Record(Path(out), _request(restorer, options), resume=resume, overwrite=overwrite) as record,
    ):
        missing = [photo for photo in photos if not record.is_done(photo)]
        done_before = len(photos) - len(missing)
        with progress.bar(len(photos), "restore", "photo", done_before) as bar:
            batches = _ahead(missing, restorer, options, known)
            for looked, its_rows in _written(batches, Path(out), restorer, options):
                record.add(looked.photo, its_rows)
                bar.update()
        rows = record.write_table(photos)
    made = [row for row in rows if row["state"] == "restored"]
    large = sum(isinstance(row.get("face_px"), float) and row["face_px"] > LARGE for row in made)
    if large:
        log.warning(_ADVICE.format(large, len(made)))
    return RestoredFolder(Path(out), rows, len(photos), _note(listed, restorer, options))


def _note(listed: Listed, restorer: Restorer, options: RestoreOptions) -> str:
    """Return what is to be known of all photographs."""
    found = _how_found(restorer) if options.finder.masks.find == "auto" else ""
    return "; ".join(note for note in (listed.note(), found) if note)


def _how_found(restorer: Restorer) -> str:
    """Return what masks found by themselves are made of, and what they miss."""
    seen = ("what the model took away, " if restorer.takes_away else "") + "patches of one colour, and what looks like no face"
    return f"masks were found by themselves: {seen}; not found is {NOT_FOUND}"


def _known(options: RestoreOptions, photos: list[Photo]) -> dict[str, KnownFaces]:
    """Return the faces that a table tells of, by photograph."""
    if options.boxes is None:
        return {}
    known = dict(read_faces(options.boxes))
    if not known.keys() & {photo.name for photo in photos}:
        raise UsageError(
            f"{options.boxes} names none of the photographs: expected such as '{photos[0].name}', got '{next(iter(known), '')}'"
        )
    return known


def _check(restorer: Restorer, options: RestoreOptions) -> None:
    """Refuse what cannot work for any photograph, and fetch what is needed for all."""
    finder = options.finder
    restorer.check_finder(finder.masks.find)
    if restorer.pipeline.needs_mask and finder.masks.named == "none":
        raise UsageError(
            f"'{restorer.pipeline.name}' must be told where faces are hidden: give --mask, --mask-region or --mask-box; --mask "
            "flat looks for one flat colour"
        )
    if finder.aligned and options.boxes:
        raise UsageError("--boxes says where faces are in photographs, and --aligned that these are faces: leave one out")
    detectors, landmarker = finder.tools()
    needed = [*restorer.landmarker.assets]
    if not finder.aligned:
        needed += [*landmarker.assets, *(name for detector in detectors for name in detector.assets)]
    assets.obtain(needed)


def _request(restorer: Restorer, options: RestoreOptions) -> dict[str, Any]:
    """Return plain values that determine what is made of a photograph."""
    finder, degradation = options.finder, restorer.degradation
    return {
        "pipeline": restorer.pipeline.name,
        "identity": restorer.pipeline.identity,
        "fill": degradation.fill,
        "lr_kernel": degradation.lr_kernel,
        "seed": degradation.seed,
        "detectors": ["given"] if options.boxes else list(finder.detectors),
        "boxes": files.sha256_file(options.boxes) if options.boxes else "",
        "landmarks": finder.landmarker,
        "aligned": finder.aligned,
        "masks": finder.masks.as_dict(),
        "enlarge": options.enlarge or 0,
        "max_face": options.max_face or 0,
    }


def _ahead(
    photos: list[Photo], restorer: Restorer, options: RestoreOptions, known: dict[str, KnownFaces]
) -> Iterator[list[_Looked]]:
    """Yield batches of photographs with their faces, in order, the next batch being looked at in a thread of its own."""
    ended = threading.Event()

    def looked() -> Iterator[_Looked]:
        for photo in photos:
            if ended.is_set():
                return
            yield look(photo, restorer, options, known.get(photo.name))

    batches = _batches(looked())
    with ThreadPoolExecutor(1) as thread:
        try:
            coming = thread.submit(next, batches, None)
            while (batch := coming.result()) is not None:
                coming = thread.submit(next, batches, None)
                yield batch
        finally:
            ended.set()


def look(photo: Photo, restorer: Restorer, options: RestoreOptions, known: KnownFaces | None = None) -> _Looked:
    """Read a photograph and find its faces."""
    try:
        image, note = read_photo(photo, options.max_pixels)
    except BadImageError as error:
        return _Looked(photo, state="not read", reason=str(error))
    except OccfaceError:
        raise
    except Exception as error:  # whatever else a decoder raises: one photograph never ends the work on the others
        return _Looked(photo, state="not read", reason=f"{type(error).__name__}: {first_line(error)}")
    finder = options.finder if options.boxes is None else _given(options.finder)
    boxes, landmarks = (None, None) if known is None else (known.boxes, known.landmarks)
    try:
        found = finder.find(image, restorer.degradation, restorer.landmarker, photo.name, boxes, landmarks)
    except BadImageError as error:
        state = "no face" if str(error).startswith("no face") else "failed"
        return _Looked(photo, note=note, state=state, reason=str(error))
    except OccfaceError:
        raise
    except Exception as error:  # whatever a detector of others raises, or too little memory: the rest goes on
        return _Looked(photo, note=note, state="failed", reason=f"{type(error).__name__}: {first_line(error)}")
    return _Looked(photo, image, tuple(found), note)


def _given(finder: Finder) -> Finder:
    return Finder(("given",), finder.landmarker, finder.masks, finder.aligned)


def _batches(looked: Iterable[_Looked]) -> Iterator[list[_Looked]]:
    """Yield photographs that together have a batch of faces, or as many pixels as may be held."""
    batch: list[_Looked] = []
    for each in looked:
        batch.append(each)
        pixels = sum(0 if one.image is None else one.image.size // 3 for one in batch)
        if sum(len(one.found) for one in batch) >= BATCH or pixels >= _PIXELS or len(batch) >= 4 * BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _written(
    batches: Iterable[list[_Looked]], out: Path, restorer: Restorer, options: RestoreOptions
) -> Iterator[tuple[_Looked, list[dict[str, Any]]]]:
    """Restore batches; yield each photograph with its rows once its pictures are written.

    A batch is pasted, encoded and written in a thread while the networks restore the next one; two are in memory at most.
    Whatever fails, what was finished before is yielded first.
    """
    coming = iter(batches)
    batch: list[_Looked] | None = []
    with ThreadPoolExecutor(1) as writer:
        writing: list[tuple[_Looked, Future[list[dict[str, Any]]]]] = []
        while batch is not None:
            failed: BaseException | None = None
            try:
                batch = next(coming, None)
                results = [] if batch is None else _restore(batch, restorer, options)
            except (Exception, KeyboardInterrupt) as error:
                failed = error
            for one, rows in writing:
                yield one, rows.result()
            if failed is not None:
                raise failed
            writing = [
                (one, writer.submit(_rows, out, one, made, restorer, options))
                for one, made in zip(batch or [], results, strict=True)
            ]


def _restore(batch: list[_Looked], restorer: Restorer, options: RestoreOptions) -> list[dict[int, Restoration | str]]:
    """Return for each photograph what became of its faces by their numbers: a restoration, or why there is none."""
    places = [(row, number, thumbnail) for row, looked in enumerate(batch) for number, thumbnail in looked.whole(options)]
    results: list[dict[int, Restoration | str]] = [{} for _ in batch]
    made = _tried(restorer, [thumbnail for *_, thumbnail in places], options.finder.masks.find)
    for (row, number, _), outcome in zip(places, made, strict=True):
        results[row][number] = outcome
    return results


def _tried(restorer: Restorer, thumbnails: list[Thumbnail], find: str | None) -> list[Restoration | str]:
    """Restore thumbnails; where that fails, one by one, so that one costs only itself."""
    try:
        return list(restorer.run(thumbnails, find=find))
    except UsageError:
        raise
    except Exception as error:  # whatever a method of others raises
        if len(thumbnails) > 1:
            return [outcome for each in thumbnails for outcome in _tried(restorer, [each], find)]
        return [str(error) if isinstance(error, OccfaceError) else f"{type(error).__name__}: {first_line(error)}"]


def _rows(
    out: Path, looked: _Looked, made: dict[int, Restoration | str], restorer: Restorer, options: RestoreOptions
) -> list[dict[str, Any]]:
    """Write the pictures of a photograph and return its rows; where they may not be written, a row that says so."""
    try:
        return _write(out, looked, made, restorer, options)
    except (OccfaceError, OSError) as error:
        refused = error.__cause__ if isinstance(error, OccfaceError) else error
        if not isinstance(refused, PermissionError):
            raise  # the disk: it would fail for all others too
        reason = f"its results may not be written: {refused.strerror}: {refused.filename or out / looked.photo.name}"
    except Exception as error:  # such as too little memory to enlarge it
        reason = f"its results cannot be made: {type(error).__name__}: {first_line(error)}"
    return [photo_row(looked.photo, "failed", reason)]


def _write(
    out: Path, looked: _Looked, made: dict[int, Restoration | str], restorer: Restorer, options: RestoreOptions
) -> list[dict[str, Any]]:
    """Write the pictures of a photograph; return its rows."""
    photo = looked.photo
    if looked.image is None:
        return [photo_row(photo, looked.state, looked.reason)]
    folder = out / photo.name
    old_ones = [*folder.glob("face-*.png"), *folder.glob("face-*-strip.jpg"), folder / "restored.jpg"]
    for old in old_ones:  # of a file that was another, or other options
        old.unlink(missing_ok=True)
    files.remove_leftovers(folder)
    results = {number: outcome for number, outcome in made.items() if isinstance(outcome, Restoration)}
    for number, restored in results.items():
        for name, data in face_files(restored).items():
            files.write_bytes(folder / f"face-{number}-{name}", data)
    whole = finish(looked.image, looked.found, results, options.enlarge)
    if whole.image is not None:
        files.write_bytes(folder / "restored.jpg", encode_jpeg(whole.image))
    rows = []
    for face in looked.found:
        left_out = options.leaves_out(face)
        outcome = made.get(face.number, face.reason)
        if left_out:
            outcome = f"{face.width:.0f} px wide, more than the {options.max_face:g} of --max-face: it is left as it is"
        rows.append(
            face_row(
                photo, face, results.get(face.number), outcome if isinstance(outcome, str) else "", looked.note,
                options.finder.masks.named, restorer.pipeline.name, photo.name, left_out=left_out,
            )
        )  # fmt: skip
    return rows


def face_files(restored: Restoration) -> dict[str, bytes]:
    """Return the pictures of a face as they are written, by the ends of their files' names.

    What may be worked on further is PNG. The strip is there to be looked at, and holds the same again: as JPEG it takes a
    twentieth of the time, which was more than that of all other pictures together.
    """
    thumbnail = restored.thumbnail
    pictures = {"input": thumbnail.crop, "lr": thumbnail.lr}
    if thumbnail.mask is not None:
        pictures["mask"] = thumbnail.mask * np.uint8(255)
    pictures |= {f"stage-{number}": stage for number, stage in enumerate(restored.stages, 1)}
    pictures["result"] = restored.result
    if restored.heatmaps:
        grey = [drawing.heatmap_picture(maps)[..., 0] for maps in restored.heatmaps]
        large = [each.repeat(HR_SIZE // len(each), 0).repeat(HR_SIZE // len(each), 1) for each in grey]
        pictures["heatmaps"] = np.concatenate(large, axis=1)
    coded = {f"{name}.png": encode_png(picture) for name, picture in pictures.items()}
    return {**coded, "strip.jpg": encode_jpeg(drawing.strip(restored))}
