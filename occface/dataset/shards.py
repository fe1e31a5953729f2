"""The jobs that a data set is made in: a few photographs each, from which one file of records comes."""

from __future__ import annotations

import io
import platform
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from occface.dataset.config import DatasetConfig, assign_splits
from occface.dataset.pairs import Place, forget, make_records
from occface.dataset.schema import COLUMNS, SPLITS, UNCROPPED, Form
from occface.errors import BadImageError, OccfaceError, first_line
from occface.sources.base import Photo, Source

__all__ = ["Shard", "make_shard", "plan_shards", "read_shards"]

#: Photographs in a shard: enough that a shard's file costs little, few enough that little is lost with it.
SHARD = 16


@dataclass(frozen=True)
class Shard:
    """The photographs of one job, with their places in the data set."""

    number: int
    places: tuple[tuple[Place, Photo], ...]


def plan_shards(photos: Sequence[Photo], config: DatasetConfig) -> list[Shard]:
    """Return the jobs: splits in their fixed order, sixteen photographs or one group of them in each."""
    assigned = assign_splits(photos, config)
    shards: list[Shard] = []
    for split in SPLITS:
        own = [photo for photo, its in zip(photos, assigned, strict=True) if its == split]
        jobs: list[list[tuple[Place, Photo]]] = []
        for index, photo in enumerate(own):
            before = jobs[-1][-1][1].group if jobs else ""
            together = photo.group == before and (bool(photo.group) or len(jobs[-1]) < SHARD) if jobs else False
            if not together:
                jobs.append([])
            jobs[-1].append((Place(split, index), photo))
        shards += [Shard(len(shards) + n, tuple(job)) for n, job in enumerate(jobs)]
    return shards


def make_shard(shard: Shard, source: Source, config: DatasetConfig) -> bytes:
    """Do one job, in whatever process; return the shard's file."""
    import cv2

    cv2.setNumThreads(1)
    folder = getattr(source, "path", "")
    if folder and not Path(folder).exists():
        raise OccfaceError(
            f"a worker on {platform.node()} does not find {folder}: put the photographs where all workers see them; "
            "what was made is kept: run again with --resume"
        )
    forget()
    records: list[dict[str, Any]] = []
    splits: list[str] = []
    rejected: list[tuple[str, str]] = []
    for place, photo in shard.places:
        try:
            made, unusable = make_records(source, photo, place, config)
        except BadImageError as error:
            rejected.append((photo.id, str(error)))
        except OccfaceError:
            raise
        except MemoryError as error:  # of the machine, not of the photograph: another time it may go well
            raise OccfaceError(
                f"out of memory at {photo.id}; what was made is kept: run again with --resume, perhaps with fewer --workers"
            ) from error
        except Exception as error:  # whatever a decoder or detector raises: one photograph must not end the work
            rejected.append((photo.id, f"unexpected {type(error).__name__}: {first_line(error)}"))
        else:
            records += made
            splits += [place.split] * len(made)
            rejected += unusable
    form = Form(config.masks, source.classes, source.annotated, config.keep_uncropped)
    arrays = {
        field.path: np.stack([np.asarray(record[field.path], dtype=field.dtype) for record in records])
        for field in (form.fields() if records else ())
    }
    arrays |= {name: np.array([record[name] for record in records], dtype=np.str_) for name in COLUMNS}
    if form.uncropped:
        kept = [np.frombuffer(record[UNCROPPED], dtype=np.uint8) for record in records]
        arrays[UNCROPPED] = np.concatenate(kept) if kept else np.empty(0, np.uint8)
        arrays["uncropped_sizes"] = np.array([len(data) for data in kept], dtype=np.int64)
    arrays["split"] = np.array(splits, dtype=np.str_)
    arrays["rejected"] = np.array(rejected, dtype=np.str_).reshape(len(rejected), 2)
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **{name.replace("/", "|"): array for name, array in arrays.items()})
    return buffer.getvalue()


def read_shards(paths: Sequence[Path], names: Sequence[str]) -> Iterator[dict[str, np.ndarray]]:
    """Yield the named arrays of each shard's file in turn."""
    for path in paths:
        try:
            with np.load(path, allow_pickle=False) as part:
                held = {name.replace("|", "/") for name in part.files}
                yield {name: part[name.replace("/", "|")] for name in names if name in held}
        except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
            raise OccfaceError(f"the shard {path} is damaged: remove it and run again with --resume") from error
