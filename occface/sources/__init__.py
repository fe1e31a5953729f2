"""Where photographs come from."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
from pathlib import Path
from typing import Any, cast

from occface.errors import UsageError
from occface.registry import Registry, did_you_mean
from occface.sources.base import Photo, Photograph, Source
from occface.sources.known_faces import WithKnownFaces

__all__ = ["SOURCES", "Photo", "Photograph", "Source", "open_source"]

SOURCES: Registry[type[Source]] = Registry(
    "source",
    group="occface.sources",
    builtin={
        "celeba-hq": "occface.sources.celeba_hq:CelebAHQSource",
        "folder": "occface.sources.folder:FolderSource",
        "helen": "occface.sources.helen:HelenSource",
        "mixed": "occface.sources.mixed:MixedSource",
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
        A folder, the word ``synthetic``, or a YAML file that lists several sources.
    kind : str
        A name in `SOURCES`. With ``auto`` a folder is looked at for the layout of a published data set, and generated faces
        come as a grid where ``identities`` are asked for.
    **settings
        What the source takes besides its place, such as ``protocol``, ``count`` or ``max_pixels``; None stands for its own
        default. ``faces`` is a table of known faces, for any source of photographs, see `occface.sources.known_faces`.
        ``seed`` and ``max_pixels`` are passed over by sources that do not know them.

    Raises
    ------
    UsageError
        If `kind` is unknown, there is no such place, or the source does not take one of the settings.
    """
    wanted = {name: value for name, value in settings.items() if value is not None}
    table = wanted.pop("faces", None)
    generated = kind in _GENERATED or (kind == "auto" and place == "synthetic" and not Path(place).is_dir())
    if kind == "auto":
        kind = _kind(place) if not generated else "synthetic-grid" if "identities" in wanted else "synthetic"
    if generated and place != "synthetic":
        raise UsageError(f"expected the word synthetic as the source of generated faces, got '{place}'")
    if generated and table is not None:
        raise UsageError("generated faces have no files: known faces (--faces-file) are for photographs")
    source: Any = SOURCES.get(kind)
    fields = {field.name: field for field in dataclasses.fields(source) if field.init}
    wanted = {name: value for name, value in wanted.items() if name in fields or name not in {"seed", "max_pixels"}}
    strange = sorted(set(wanted) - set(fields))
    if strange:
        raise UsageError(
            f"the source '{kind}' has no setting '{strange[0]}': {did_you_mean(strange[0], set(fields) - {'path'})}"
        )
    # Worker processes, and those of a cluster, may stand elsewhere: places are absolute from here on.
    wanted |= {} if generated else {"path": str(Path(place).absolute())}
    absent = [name for name, field in fields.items() if field.default is dataclasses.MISSING and name not in wanted]
    if absent:
        raise UsageError(f"the source '{kind}' needs the setting '{absent[0]}': give --{absent[0]}")
    opened = cast(Source, source(**wanted))
    return opened if table is None else cast(Source, WithKnownFaces(opened, str(Path(table).absolute())))


def _kind(place: str) -> str:
    """Return which kind of source a place is."""
    if not Path(place).is_dir():
        return "mixed" if place.endswith((".yaml", ".yml")) else "folder"
    with contextlib.suppress(OSError):  # a folder that cannot be entered: opened as a plain one, it says so
        for kind, module in _LAYOUTS.items():
            if importlib.import_module(module).looks_like(Path(place)):
                return kind
    return "folder"
