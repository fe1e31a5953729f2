"""Where photographs come from."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from occface.errors import UsageError
from occface.images import MAX_PIXELS
from occface.registry import Registry
from occface.sources.base import Photo, Photograph, Source

__all__ = ["SOURCES", "Photo", "Photograph", "Source", "open_source"]

SOURCES: Registry[type[Source]] = Registry(
    "source",
    group="occface.sources",
    builtin={
        "folder": "occface.sources.folder:FolderSource",
        "synthetic": "occface.sources.synthetic:SyntheticSource",
    },
)


def open_source(place: str, kind: str = "auto", *, max_pixels: int = MAX_PIXELS, **generated: Any) -> Source:
    """Return the source that a user means.

    Parameters
    ----------
    place : str
        A folder, or the word ``synthetic``.
    kind : str
        A name in `SOURCES`; ``auto`` takes a folder for what it is.
    max_pixels : int
        Photographs with more pixels are refused.
    **generated
        For generated faces: ``count``, ``seed``, ``truncation``.

    Raises
    ------
    UsageError
        If `kind` is unknown, or there is no such place.
    """
    if kind == "auto":
        kind = "synthetic" if place == "synthetic" and not Path(place).is_dir() else "folder"
    source: Any = SOURCES.get(kind)
    if kind == "synthetic":
        if place != "synthetic":
            raise UsageError(f"expected the word synthetic as the source of generated faces, got '{place}'")
        return cast(Source, source(**generated))
    return cast(Source, source(place, max_pixels=max_pixels) if kind == "folder" else source(place))
