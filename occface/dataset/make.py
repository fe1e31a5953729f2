"""Photographs in, one HDF5 file of occluded LR / non-occluded HR pairs out: sharded, journalled, resumable.

Shards are written, each whole or not at all, into a folder beside the output; when all are there they become the output
file and the folder goes. Killed at any moment, the work loses the shards under way and no others.
"""

from __future__ import annotations

import csv
import dataclasses
import functools
import hashlib
import io
import logging
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from occface import assets, faces, files, parallel, progress
from occface.dataset.config import DatasetConfig
from occface.dataset.grid import describe_grid, grid_lines, write_contact_sheet
from occface.dataset.reader import DatasetFile
from occface.dataset.schema import SCHEMA_VERSION
from occface.dataset.shards import Shard, make_shard, plan_shards, read_shards
from occface.dataset.writer import assemble
from occface.errors import OccfaceError, UsageError
from occface.faces import align
from occface.locking import working_alone
from occface.sources import known_faces
from occface.sources.base import Photo, Source
from occface.sources.known_faces import KnownFace
from occface.versions import software_versions

__all__ = ["MadeDataset", "make_dataset"]

log = logging.getLogger("occface")


@dataclass(frozen=True)
class MadeDataset:
    """What `make_dataset` did: the file, its content hash, faces per split, and the rejected photographs with reasons.

    `grid` is what `occface.dataset.grid.describe_grid` says of a grid of generated people.
    """

    path: Path
    content_hash: str
    counts: dict[str, int]
    rejected: list[tuple[str, str]]
    rejected_path: Path
    grid: dict[str, Any] | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return {
            "file": str(self.path),
            "content_hash": self.content_hash,
            "faces": self.counts,
            "rejected": len(self.rejected),
            "rejected_list": str(self.rejected_path),
            **({"grid": self.grid} if self.grid else {}),
        }

    def text(self) -> str:
        """Return what was made in a few lines for people."""
        counts = ", ".join(f"{count} {split}" for split, count in self.counts.items())
        lines = f"{self.path}: {sum(self.counts.values())} faces ({counts}), content hash {self.content_hash[:16]}"
        lines += f"\n{len(self.rejected)} photographs rejected, listed in {self.rejected_path}" if self.rejected else ""
        return lines + (f"\n{grid_lines(self.grid)}" if self.grid else "")


def _open_parts(output: Path, request: dict[str, Any], resume: bool, overwrite: bool) -> Path:
    """Return the folder of shards, new or to be gone on with, after checking that it belongs to the same request."""
    parts = _parts_folder(output)
    journal = parts / "request.json"
    if overwrite and parts.exists():
        shutil.rmtree(parts)
    if parts.exists() and not resume:
        raise UsageError(
            f"unfinished work lies in {parts}: go on with it by --resume, or start anew by --overwrite (which removes it)"
        )
    if journal.exists() and files.read_json(journal) != request:
        raise UsageError(
            f"the unfinished work in {parts} was asked for with other options or photographs, or made by other versions of "
            "the software: give the same ones to go on, or start anew by --overwrite"
        )
    files.make_folder(parts)
    if not journal.exists():
        files.write_json(journal, request)
    return parts


def make_dataset(
    source: Source,
    output: str | Path,
    config: DatasetConfig | None = None,
    *,
    workers: int = 1,
    backend: str = "loky",
    scheduler: str | None = None,
    resume: bool = False,
    overwrite: bool = False,
    preview: Path | None = None,
    contact_sheet: Path | None = None,
    write_faces: Path | None = None,
) -> MadeDataset:
    """Make a data set of occluded LR / non-occluded HR face pairs (paper, section IV-A).

    Parameters
    ----------
    source : Source
        Where the photographs come from.
    output : path
        The HDF5 file to make. ``<output stem>.rejected.csv`` beside it lists the photographs that could not be used.
    config : DatasetConfig, optional
        Masks, fill, LR kernel, splits and seed; they and the photographs alone determine the file's content.
    workers, backend, scheduler
        See `occface.parallel.ordered_map`.
    resume : bool
        Go on with unfinished work.
    overwrite : bool
        Replace an existing file, and drop unfinished work.
    preview : path, optional
        Draw some of the pairs into this PNG file, see `occface.dataset.preview`.
    contact_sheet : path, optional
        Draw all faces of a grid of generated people into this PNG file.
    write_faces : path, optional
        Write the boxes and landmarks of all faces into this CSV file, with which another run need not look for them.

    Returns
    -------
    MadeDataset

    Raises
    ------
    UsageError
        If the output exists, another program is at work on it, the unfinished work is another's, or the source holds no
        photographs.
    OccfaceError
        If no photograph could be used, or the disk is full; finished shards are kept.
    """
    output, config = Path(output), config or DatasetConfig()
    beside = {"preview": preview, "contact-sheet": contact_sheet, "write-faces": write_faces}
    paths = {name: Path(path) for name, path in beside.items() if path}
    _check_beside(paths, source, output, config, resume or overwrite)
    parallel.check_backend(backend, scheduler)
    with working_alone(output.parent, output.name):
        for path in (_rejected_path(output), *paths.values()):
            files.remove_leftovers(path.parent, path.name)
        made = _make(source, output, config, workers, backend, scheduler, resume, overwrite)
        made = dataclasses.replace(made, grid=describe_grid(DatasetFile(made.path), len(made.rejected)))
        if preview is not None:
            from occface.dataset.preview import preview_sheet  # it draws with matplotlib, which takes long to import

            preview_sheet(DatasetFile(made.path), preview)
        if contact_sheet is not None:
            write_contact_sheet(DatasetFile(made.path), contact_sheet)
        if write_faces is not None:
            known_faces.write_faces(write_faces, _known_faces(DatasetFile(made.path)))
    return made


def _check_beside(paths: dict[str, Path], source: Source, output: Path, config: DatasetConfig, again: bool) -> None:
    """Refuse, before any work, pictures and tables that could not be made, or that would take the place of something else."""
    if "contact-sheet" in paths and "identities" not in source.describe():
        raise UsageError("a contact sheet shows the people of --identities: leave --contact-sheet out, or ask for people")
    if "write-faces" in paths and not getattr(source, "path", ""):
        raise UsageError("generated faces have no files to name in a table of known faces: leave --write-faces out")
    taken = {output.resolve(): "the data set", _rejected_path(output).resolve(): "the list of rejected photographs"}
    inputs = [getattr(source, "path", ""), config.mask_folder.path if config.mask_folder else ""]
    for name, path in paths.items():
        place = path.resolve()
        if place in taken:
            raise UsageError(f"--{name} and {taken[place]} have the same place, {path}: name another file")
        taken[place] = f"--{name}"
        if any(folder and place.is_relative_to(Path(folder).resolve()) for folder in inputs):
            raise UsageError(f"--{name} would lie among what is read, in {path.parent}: name another place")
        if path.exists() and not again:
            raise UsageError(f"{path} exists already: name another file for --{name}, or replace it by --overwrite")


def _make(
    source: Source,
    output: Path,
    config: DatasetConfig,
    workers: int,
    backend: str,
    scheduler: str | None,
    resume: bool,
    overwrite: bool,
) -> MadeDataset:
    photos = source.photos()[: config.limit]
    if photos and all(photo.split for photo in photos):
        if (config.test, config.val) != (DatasetConfig.test, DatasetConfig.val):
            log.warning("the source says which photographs are held out: --test and --val are not used")
        config = dataclasses.replace(config, test=0.0, val=0.0)
    configuration = {
        "source": {
            **source.describe(),
            "licence": source.licence,
            "classes": list(source.classes),
            "annotated": source.annotated,
        },
        "photographs": _listing_hash(photos),
        **config.as_dict(),
    }
    if output.exists() and not overwrite:
        return _made_before(output, configuration, resume)
    request = {"schema_version": SCHEMA_VERSION, "versions": software_versions(), "configuration": configuration}
    needed = [asset for name in config.detectors for asset in faces.DETECTORS.get(name).assets]
    needed += [*faces.LANDMARKERS.get(config.landmarker).assets, *config.on_lr().assets]
    assets.obtain([*source.assets, *needed])
    parts = _open_parts(output, request, resume, overwrite)
    files.remove_leftovers(parts)
    shards = plan_shards(photos, config)
    paths = [parts / f"part-{shard.number:06d}.npz" for shard in shards]
    _make_missing(shards, paths, functools.partial(make_shard, source=source, config=config), workers, backend, scheduler)

    rejected = [(str(name), str(reason)) for part in read_shards(paths, ["rejected"]) for name, reason in part["rejected"]]
    rejected_path = _rejected_path(output)
    _write_rejected(rejected_path, rejected)
    if not any(len(part["split"]) for part in read_shards(paths, ["split"])):
        shutil.rmtree(parts)
        reason = f"; the first, {rejected[0][0]}: {rejected[0][1]}" if rejected else ""
        raise OccfaceError(f"none of {len(photos)} photographs could be used{reason}; all reasons are in {rejected_path}")
    root = {"licence": source.licence, "source": source.name, "configuration": configuration}
    hash_, counts = assemble(output, paths, root)
    shutil.rmtree(parts)
    return MadeDataset(output, hash_, counts, rejected, rejected_path)


def _listing_hash(photos: Iterable[Photo]) -> str:
    """Return the hash of all that is known of the photographs before they are read; of one after the other, for many."""
    digest = hashlib.sha256()
    for photo in photos:
        digest.update(files.canonical_json(dataclasses.asdict(photo)).encode() + b"\n")
    return digest.hexdigest()


def _known_faces(data: DatasetFile) -> Iterator[KnownFace]:
    """Yield the faces of photographs that are files, with their boxes and landmarks in the photographs' pixels, each once."""
    for split in data.splits:
        columns = data.columns(split)
        for row, (path, labels) in enumerate(zip(columns["path"], columns["labels"], strict=True)):
            if path and not files.parse_json_object(labels).keys() & {"turns", "mirrored"}:
                face = data.record(split, row, ["box", "landmarks", "transform"])
                x0, y0, x1, y1 = face["box"].tolist()
                yield KnownFace(path, (x0, y0, x1, y1), align.apply(align.inverse(face["transform"]), face["landmarks"]))


def _made_before(output: Path, configuration: dict[str, Any], resume: bool) -> MadeDataset:
    """Return what a file holds that was made by the same request, if that is to be gone on with; else refuse to touch it."""
    if not resume:
        raise UsageError(f"{output} exists already: name another file, or replace it by --overwrite")
    data = DatasetFile(output)
    if data.configuration != configuration:
        raise UsageError(
            f"{output} was made from other photographs or with other options: name another file, or replace it by --overwrite"
        )
    path = _rejected_path(output)
    rejected = []
    if path.exists():
        with open(path, newline="", encoding="utf-8") as handle:
            rejected = [(row["file"], row["reason"]) for row in csv.DictReader(handle)]
    shutil.rmtree(_parts_folder(output), ignore_errors=True)  # left by a crash between the last two steps of the making
    return MadeDataset(output, data.content_hash, {split: data.count(split) for split in data.splits}, rejected, path)


def _rejected_path(output: Path) -> Path:
    return output.with_name(f"{output.stem}.rejected.csv")


def _parts_folder(output: Path) -> Path:
    return output.with_name(output.name + ".parts")


def _make_missing(
    shards: Sequence[Shard], paths: Sequence[Path], work: Any, workers: int, backend: str, scheduler: str | None
) -> None:
    """Make the shards that are not there yet, under a progress bar that counts photographs."""
    missing = [(shard, path) for shard, path in zip(shards, paths, strict=True) if not path.exists()]
    total = sum(len(shard.places) for shard in shards)
    done = total - sum(len(shard.places) for shard, _ in missing)
    with progress.bar(total, "faces", "photo", done) as bar:
        made = parallel.ordered_map(
            work, [shard for shard, _ in missing], workers=workers, backend=backend, scheduler=scheduler
        )
        for (shard, path), data in zip(missing, made, strict=True):
            files.write_bytes(path, data)
            bar.update(len(shard.places))


def _write_rejected(path: Path, rejected: Iterable[tuple[str, str]]) -> None:
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["file", "reason"])
    table.writerows(rejected)
    files.write_text(path, text.getvalue())
