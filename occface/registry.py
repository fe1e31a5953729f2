"""Names to classes: a lazy registry that imports what a name stands for only when it is asked for.

Third parties add to it through entry points, so that `occface train their-method` works without touching this package.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable, Iterator
from importlib.metadata import entry_points
from typing import Any, Generic, TypeVar, cast

from occface.errors import UsageError

__all__ = ["Registry", "did_you_mean"]

T = TypeVar("T")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return the end of an error message: the nearest known name, if one is near, and all of them.

    Examples
    --------
    >>> did_you_mean("squre", ["square", "irregular"])
    "did you mean 'square'? (known: irregular, square)"
    """
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean '{near[0]}'? " if near else ""
    return f"{hint}{'(' if hint else ''}known: {', '.join(names) or 'none'}{')' if hint else ''}"


class Registry(Generic[T]):
    """A table of names, each standing for an object given as ``"package.module:attribute"`` or as itself.

    Parameters
    ----------
    kind : str
        What the names stand for, in the singular, as error messages say it: ``"method"``.
    group : str, optional
        The entry-point group through which other distributions add names, for example ``"occface.methods"``.
    builtin : dict of str to str
        The names that the package itself brings.

    Examples
    --------
    >>> Registry("number", builtin={"pi": "math:pi"}).get("pi")
    3.141592653589793
    """

    def __init__(self, kind: str, *, group: str | None = None, builtin: dict[str, str] | None = None) -> None:
        self.kind = kind
        self.group = group
        self._entries: dict[str, Any] = dict(builtin or {})
        self._discovered = group is None

    def _discover(self) -> None:
        if self._discovered:
            return
        self._discovered = True
        for point in entry_points(group=cast(str, self.group)):
            self.register(point.name, point.value)

    def register(self, name: str, target: str | T) -> None:
        """Add a name. The same target under the same name may be added again; another one raises `ValueError`."""
        present = self._entries.get(name)
        if present is not None and present != target:
            raise ValueError(f"{self.kind} '{name}' is registered already, as {present}; choose another name")
        self._entries[name] = target

    def get(self, name: str) -> T:
        """Return what `name` stands for, importing it if need be.

        Raises
        ------
        UsageError
            If the name is unknown; the message offers the nearest known one.
        """
        self._discover()
        if name not in self._entries:
            raise UsageError(f"unknown {self.kind} '{name}': {did_you_mean(name, self._entries)}")
        target = self._entries[name]
        if isinstance(target, str):
            module, _, attribute = target.partition(":")
            target = getattr(importlib.import_module(module), attribute)
        return cast(T, target)

    def __iter__(self) -> Iterator[str]:
        self._discover()
        return iter(sorted(self._entries))

    def __contains__(self, name: object) -> bool:
        self._discover()
        return name in self._entries
