"""Methods that nobody trained, saved as trained ones are: for tests of what is done with weights."""

from __future__ import annotations

from pathlib import Path

import torch

from occface.methods import METHODS
from occface.methods.weights import save_weights

__all__ = ["save_untrained"]


def save_untrained(folder: Path, *names: str) -> dict[str, Path]:
    """Make run folders of methods in their smallest presets; return them by name. The same names give the same weights."""
    for name in names:
        torch.manual_seed(0)
        method = METHODS.get(name).build("test")
        save_weights(folder / name, method.generator, {"method": name, "preset": "test", "config": method.config})
    return {name: folder / name for name in names}
