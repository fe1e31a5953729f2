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
        "face-parser": "occface.methods.faceparser:FaceParser",
        "fan": "occface.methods.fan:FanMethod",
        "fcsr-gan": "occface.methods.fcsrgan:FCSRGAN",
        "fhc": "occface.methods.fhc:FHC",
        "fsrgan": "occface.methods.fsrnet:FSRGAN",
        "fsrnet": "occface.methods.fsrnet:FSRNet",
        "gfc": "occface.methods.gfc:GFC",
        "pro-uigan": "occface.methods.prouigan:ProUIGAN",
        "pulse": "occface.methods.pulse:PULSE",
        "re-cpgan": "occface.methods.recpgan:ReCPGAN",
        "real-esrgan": "occface.methods.realesrgan:RealESRGAN",
        "stylegan": "occface.methods.stylegan:StyleGAN",
    },
)
