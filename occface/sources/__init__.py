"""Where photographs come from."""

from __future__ import annotations

from occface.registry import Registry
from occface.sources.base import Photo, Photograph, Source

__all__ = ["SOURCES", "Photo", "Photograph", "Source"]

SOURCES: Registry[type[Source]] = Registry(
    "source",
    group="occface.sources",
    builtin={
        "folder": "occface.sources.folder:FolderSource",
        "synthetic": "occface.sources.synthetic:SyntheticSource",
    },
)
