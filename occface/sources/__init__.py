"""Where photographs come from."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from occface.errors import UsageError
from occface.registry import Registry
from occface.sources.base import Photo, Photograph, Source

__all__ = ["SOURCES", "Photo", "Photograph", "Source", "open_source"]

SOURCES: Registry[type[Source]] = Registry(
    "source",
    group="occface.sources",
    builtin={
        "celeba-hq": "occface.sources.celeba_hq:CelebAHQSource",
        "folder": "occface.sources.folder:FolderSource",
        "helen": "occface.sources.helen:HelenSource",
        "multi-pie": "occface.sources.multi_pie:MultiPIESource",
        "synthetic": "occface.sources.synthetic:SyntheticSource",
        "synthetic-grid": "occface.sources.grid:GridSource",
    },
)

#: The sources that are known by their layout, each by a function ``looks_like`` in its module.
_LAYOUTS = {name: f"occface.sources.{name.replace('-', '_')}" for name in ("celeba-hq", "multi-pie", "helen")}

#: The sources that need no place.
_GENERATED = ("synthetic", "synthetic-grid")


def open_source(place: str, kind: str = "auto", **settings: Any) -> Source:
    """Return the source that a user means.

    Parameters
    ----------
    place : str
        A folder, or the word ``synthetic``.
    kind : str
        A name in `SOURCES`. With ``auto`` a folder is looked at for the layout of a published data set, and generated faces
        come as a grid where ``identities`` are asked for.
    **settings
        What the source takes besides its place, such as ``protocol``, ``count`` or ``max_pixels``; None stands for its own
        default. ``seed`` and ``max_pixels`` are passed over by sources that do not know them.

    Raises
    ------
    UsageError
        If `kind` is unknown, there is no such place, or the source does not take one of the settings.
    """
    wanted = {name: value for name, value in settings.items() if value is not None}
    generated = kind in _GENERATED or (kind == "auto" and place == "synthetic" and not Path(place).is_dir())
    if kind == "auto":
        kind = _kind(place, wanted) if not generated else "synthetic-grid" if "identities" in wanted else "synthetic"
    if generated and place != "synthetic":
        raise UsageError(f"expected the word synthetic as the source of generated faces, got '{place}'")
    source: Any = SOURCES.get(kind)
    taken = {field.name for field in dataclasses.fields(source)}
    wanted = {name: value for name, value in wanted.items() if name in taken or name not in {"seed", "max_pixels"}}
    strange = sorted(set(wanted) - taken)
    if strange:
        raise UsageError(
            f"the source '{kind}' has no setting '{strange[0]}'; it takes {', '.join(sorted(taken - {'path'})) or 'none'}"
        )
    return cast(Source, source(**wanted) if generated else source(place, **wanted))


def _kind(place: str, settings: Mapping[str, Any]) -> str:
    """Return which kind of source a folder is; one for which known faces are given is a plain folder."""
    if not Path(place).is_dir() or "faces" in settings:
        return "folder"
    with contextlib.suppress(OSError):  # a folder that cannot be entered: opened as a plain one, it says so
        for kind, module in _LAYOUTS.items():
            if importlib.import_module(module).looks_like(Path(place)):
                return kind
    return "folder"
