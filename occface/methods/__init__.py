"""The methods by name, each one file; other distributions add theirs through the entry-point group ``occface.methods``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from occface.registry import Registry

if TYPE_CHECKING:  # importing it brings torch, and a list of names must not
    from occface.methods.base import Method

__all__ = ["METHODS"]

METHODS: Registry[type[Method]] = Registry(
    "method",
    group="occface.methods",
    builtin={
        "bicubic": "occface.methods.bicubic:Bicubic",
        "gfc": "occface.methods.gfc:GFC",
        "pro-uigan": "occface.methods.prouigan:ProUIGAN",
    },
)
