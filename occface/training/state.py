"""The state of a training on disk: whole or not there, and read without unpickling."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch

from occface import files
from occface.errors import UsageError

__all__ = ["load_state", "save_state"]


def save_state(path: Path, state: dict[str, Any]) -> None:
    """Write a state of tensors and plain values, atomically."""
    buffer = io.BytesIO()  # torch's own writer turns a full disk into an error that does not say so
    torch.save(state, buffer)
    files.write_bytes(path, buffer.getvalue())


def load_state(path: Path) -> dict[str, Any]:
    """Read a state onto the CPU; only tensors and plain values are accepted.

    Raises
    ------
    UsageError
        If the file is absent or damaged.
    """
    try:
        return dict(torch.load(path, map_location="cpu", weights_only=True))
    except FileNotFoundError as error:
        raise UsageError(f"nothing to resume: there is no {path}; leave --resume out to start anew") from error
    except Exception as error:  # torch raises many kinds on damaged files
        raise UsageError(f"the checkpoint {path} is damaged ({type(error).__name__}); start anew by --overwrite") from error
