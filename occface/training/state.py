"""The state of a training on disk: whole or not there, read without unpickling, and refused where it is another run's."""

from __future__ import annotations

import io
import warnings
import zipfile
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import torch

from occface import files
from occface.errors import UsageError, first_line
from occface.methods.weights import misfit
from occface.pickles import holds_code

__all__ = ["SCHEMA", "check_request", "load_state", "restore", "save_state"]

SCHEMA = 1
"""The form of a checkpoint. It grows when a checkpoint of before can no longer be gone on with."""

_ZIP = b"PK\x03\x04"
_ANEW = "start anew by --overwrite"
_MOST_NAMED = 3


def save_state(path: Path, state: Mapping[str, Any]) -> None:
    """Write a state of tensors and plain values, and the number of its form, atomically."""
    buffer = io.BytesIO()  # torch's own writer turns a full disk into an error that does not say so
    torch.save({"schema": SCHEMA, **state}, buffer)
    files.write_bytes(path, buffer.getvalue())


def load_state(path: Path, parts: Collection[str] = ()) -> dict[str, Any]:
    """Read a state onto the CPU; only tensors and plain values are accepted, and nothing in the file is run.

    Parameters
    ----------
    path : path
        What `save_state` wrote.
    parts : collection of str
        What must be in it.

    Returns
    -------
    dict of str to object
        The state as it was given to `save_state`.

    Raises
    ------
    UsageError
        If the file is absent, empty, damaged, of another kind, of another form, or holds code or objects.
    """
    try:
        with open(path, "rb") as handle:
            head = handle.read(len(_ZIP))
    except FileNotFoundError as error:
        raise UsageError(f"nothing to resume: there is no {path}; leave --resume out to start anew") from error
    except OSError as error:
        raise UsageError(f"the checkpoint {path} cannot be read ({error.strerror}); {_ANEW}") from error
    if not head:
        raise UsageError(f"the checkpoint {path} is empty; {_ANEW}")
    cause: Exception | None = None
    state: Any = None
    if head == _ZIP:  # else not torch's: its older forms are not even tried
        try:
            state = _read(path)
        except Exception as error:  # torch raises many kinds on damaged files
            cause = error
    if state is None and holds_code(path):
        raise UsageError(
            f"the checkpoint {path} holds code or objects, not numbers alone: nothing of it was run; "
            f"delete it if it is not yours, and {_ANEW}"
        ) from cause
    if cause is not None:
        raise UsageError(f"the checkpoint {path} is damaged ({type(cause).__name__}); {_ANEW}") from cause
    if not isinstance(state, dict) or not (state.keys() & {"schema", "request"}):
        raise UsageError(f"expected the checkpoint of a training at {path}, got another kind of file; {_ANEW}")
    return _of_this_form(path, state, parts)


def _read(path: Path) -> Any:
    with zipfile.ZipFile(path) as archive:  # torch itself does not compare the numbers with their checksums
        changed = archive.testzip()
    if changed is not None:
        raise zipfile.BadZipFile(changed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns of what it then refuses: one line is enough
        return torch.load(path, map_location="cpu", weights_only=True)


def _of_this_form(path: Path, state: dict[str, Any], parts: Collection[str]) -> dict[str, Any]:
    schema = state.pop("schema", None)
    if schema is None:
        raise UsageError(f"the checkpoint {path} was written before checkpoints had a schema number, now {SCHEMA}; {_ANEW}")
    if type(schema) is not int or schema < 1:
        raise UsageError(f"expected a checkpoint of schema {SCHEMA} at {path}, got schema {_short(schema)}; {_ANEW}")
    if schema > SCHEMA:
        raise UsageError(
            f"the checkpoint {path} is of schema {schema}, written by a newer occface; this one reads schema {SCHEMA}: "
            f"update occface, or {_ANEW}"
        )
    missing = [part for part in parts if part not in state]
    if missing:
        raise UsageError(f"the checkpoint {path} lacks {', '.join(missing)}: it is not whole; {_ANEW}")
    return state


def check_request(path: Path, found: Any, asked: Mapping[str, Any]) -> None:
    """Compare what a checkpoint's run was asked for with what is asked for now.

    Parameters
    ----------
    path : path
        The checkpoint, for the error.
    found, asked : mapping
        Plain values, mappings of them within; `found` comes out of a file and may be anything.

    Raises
    ------
    UsageError
        If they differ; the message names three settings that do, and how.

    Examples
    --------
    >>> check_request(Path("checkpoint.pt"), {"seed": 0, "config": {"batch_size": 8}}, {"seed": 0, "config": {"batch_size": 4}})
    Traceback (most recent call last):
    ...
    occface.errors.UsageError: the run of checkpoint.pt was started with another config.batch_size: 8 there, 4 asked; ...
    """
    there, here = dict(_leaves(found)), dict(_leaves(asked))
    names = [*here, *(name for name in there if name not in here)]
    absent = object()
    changed = [
        f"{name}: {_short(there[name]) if name in there else 'nothing'} there, "
        f"{_short(here[name]) if name in here else 'nothing'} asked"
        for name in names
        if not _same(there.get(name, absent), here.get(name, absent))
    ]
    if changed:
        more = f", and {len(changed) - _MOST_NAMED} more" if len(changed) > _MOST_NAMED else ""
        raise UsageError(
            f"the run of {path} was started with another {', '.join(changed[:_MOST_NAMED])}{more}; "
            f"give the same to go on, or {_ANEW}"
        )


def _leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Return the values within mappings, each with its way there; an empty mapping is a value."""
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _leaves(item, f"{name}.{key}" if name else str(key))
    else:
        yield name or "request", value


def _same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and not isinstance(one, torch.Tensor) and bool(one == other)


def _short(value: Any) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= 40 else f"{text[:37]}..."


class _Stateful(Protocol):
    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, values: Any, /) -> Any: ...


def restore(path: Path, name: str, part: _Stateful, values: Any) -> None:
    """Load one part of a state into the network, optimizer or other thing that it was taken from.

    Parameters
    ----------
    path : path
        The checkpoint, for the error.
    name : str
        What the part is called there.
    part : Module, Optimizer or alike
        What gave its ``state_dict()`` to the checkpoint.
    values : object
        What the checkpoint holds for it; it comes out of a file and may be anything.

    Raises
    ------
    UsageError
        If names or shapes are not those of the part. The part may have taken some of the values by then.
    """
    # Optimizers number their moments and may have none yet: they are looked at afterwards.
    numbered = isinstance(part, torch.optim.Optimizer)
    wrong = None if numbered else misfit(_shapes(values), _shapes(part.state_dict()))
    try:
        if wrong is None:
            part.load_state_dict(values)
    except Exception as error:  # what comes out of a file may break a loader in many ways
        wrong = first_line(error)
    if wrong is None and isinstance(part, torch.optim.Optimizer):
        wrong = _unlike_its_parameters(part)
    if wrong is not None:
        raise UsageError(f"the checkpoint {path} does not fit this run, in its part '{name}': {wrong}; {_ANEW}")


def _shapes(values: Any) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in _leaves(values) if isinstance(value, torch.Tensor)}


def _unlike_its_parameters(optimizer: torch.optim.Optimizer) -> str | None:
    """Optimizers take moments of any shape, and fail at the next step only."""
    for parameter, moments in optimizer.state.items():
        for name, value in moments.items():
            if isinstance(value, torch.Tensor) and value.ndim and value.shape != parameter.shape:
                return f"{name} has the shape {tuple(value.shape)}, its parameter {tuple(parameter.shape)}"
    return None
