"""Several sources as one: generated faces beside folders of photographs, as a YAML file lists them."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from occface import files, images
from occface.errors import UsageError
from occface.sources.base import Photo, Photograph, Source

__all__ = ["MixedSource"]

SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True)
class MixedSource:
    """The photographs of several sources, one source after the other in the order of their names.

    Parameters
    ----------
    path : str
        A YAML file: under ``sources``, a name for each source, and its settings: ``source`` (a folder, which may be named from
        the YAML file's own folder, or ``synthetic``), ``type`` (a name in `occface.sources.SOURCES`; ``auto`` if left out),
        ``licence`` (the terms, where the source does not state them itself), and whatever the source takes: ``count``,
        ``truncation``, ``seed``.
    seed : int
        The seed of the sources that have none of their own.
    max_pixels : int
        Photographs with more pixels are refused.

    Raises
    ------
    UsageError
        If the file is not such a list, a source cannot be opened, or two of them have parsing maps of different classes.

    Notes
    -----
    Ids and identities begin with the source's name, so they are unique and people of different sources are different. Two
    sources of generated faces with the same seed would show the same people; they are refused.
    """

    path: str
    seed: int = 0
    max_pixels: int = images.MAX_PIXELS
    parts: tuple[tuple[str, Source], ...] = field(init=False)
    licence: str = field(init=False)

    name: ClassVar[str] = "mixed"

    def __post_init__(self) -> None:
        listed = files.read_yaml(self.path)
        if not isinstance(listed, dict) or set(listed) != {"sources"} or not isinstance(listed["sources"], dict):
            raise UsageError(f"expected the one key 'sources' with named sources in {self.path}, see docs/sources.md")
        if not listed["sources"]:
            raise UsageError(f"{self.path} names no source: give one or more")
        parts, terms = [], []
        for name in sorted(listed["sources"], key=str):
            source, licence = self._open(name, listed["sources"][name])
            parts.append((str(name), source))
            terms.append(f"{name}: {licence or source.licence}")
        object.__setattr__(self, "parts", tuple(parts))
        object.__setattr__(self, "licence", "; ".join(terms))
        drawn = [(source.name, seed) for _, source in parts if (seed := getattr(source, "seed", None)) is not None]
        if len(set(drawn)) < len(drawn):
            raise UsageError(f"{self.path}: two sources of generated faces have the same seed, so the same people: set others")
        if len({source.classes for _, source in parts} - {()}) > 1 or len({source.annotated for _, source in parts} - {0}) > 1:
            raise UsageError(f"{self.path}: two sources have different classes or points: make a data set of each")

    def _open(self, name: Any, settings: Any) -> tuple[Source, str]:
        from occface.sources import open_source  # which opens this source too

        where = f"{self.path}, source '{name}'"
        if not isinstance(name, str) or not name or "/" in name:
            raise UsageError(f"{where}: expected a name without /")
        if not isinstance(settings, dict) or not isinstance(settings.get("source"), str):
            raise UsageError(f"{where}: expected settings with the key 'source', a folder or the word synthetic")
        wanted = {"seed": self.seed, "max_pixels": self.max_pixels, **settings}
        place, kind, licence = wanted.pop("source"), wanted.pop("type", "auto"), wanted.pop("licence", "")
        if kind == self.name or place.endswith(SUFFIXES):
            raise UsageError(f"{where}: a mixed source cannot hold another; list its sources here")
        if place != "synthetic":
            place = str(Path(self.path).parent / place)
        try:
            return open_source(place, kind, **wanted), str(licence)
        except UsageError as error:
            raise UsageError(f"{where}: {error}") from error

    @property
    def assets(self) -> tuple[str, ...]:
        """Those of all sources."""
        return tuple(dict.fromkeys(name for _, source in self.parts for name in source.assets))

    @property
    def classes(self) -> tuple[str, ...]:
        """Those of the sources that have parsing maps."""
        return next((source.classes for _, source in self.parts if source.classes), ())

    @property
    def annotated(self) -> int:
        """That of the sources that have annotated points."""
        return next((source.annotated for _, source in self.parts if source.annotated), 0)

    def photos(self) -> list[Photo]:
        """Return the photographs of all sources, sorted by id."""
        found = [
            dataclasses.replace(
                photo,
                id=f"{name}/{photo.id}",
                identity=f"{name}/{photo.identity}" if photo.identity else "",
                group=f"{name}/{photo.group}" if photo.group else "",
            )
            for name, source in self.parts
            for photo in source.photos()
        ]
        return sorted(found, key=lambda photo: photo.id)

    def read(self, photo: Photo) -> Photograph:
        """Read a photograph from the source that it is of; raise `BadImageError` with the reason if it cannot be used."""
        name, _, own = photo.id.partition("/")
        people = photo.identity.partition("/")[2]
        source = dict(self.parts)[name]
        read = source.read(dataclasses.replace(photo, id=own, identity=people, group=photo.group.partition("/")[2]))
        seen = read.measured.get("identity")
        return dataclasses.replace(read, measured={**read.measured, "identity": f"{name}/{seen}"}) if seen else read

    def describe(self) -> dict[str, Any]:
        """Return what each source says of itself, by name. Where the files lie is not part of it."""
        return {"name": self.name, "sources": {name: source.describe() for name, source in self.parts}}
