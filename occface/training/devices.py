"""Which device and which precision a run uses: names into what Lightning Fabric takes."""

from __future__ import annotations

import platform

import torch
from lightning_fabric import Fabric

from occface.errors import UsageError
from occface.registry import did_you_mean

__all__ = ["PRECISIONS", "describe", "fabric", "precision", "resolve"]

PRECISIONS = {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}


def resolve(name: str) -> torch.device:
    """Return the device that ``auto``, ``cpu``, ``cuda``, ``cuda:1`` or ``mps`` means on this machine.

    Raises
    ------
    UsageError
        If the name is unknown or the machine has no such device.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    kind, _, number = name.partition(":")
    present = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}
    if kind not in present or (number and not number.isdigit()):
        raise UsageError(f"unknown device '{name}': {did_you_mean(name, ['auto', *present])}")
    if int(number or 0) >= present[kind]:
        raise UsageError(f"device '{name}' is not on this machine ({present[kind]} of {kind} found); use --device auto")
    return torch.device(name)


def fabric(device: str, precision: str) -> Fabric:
    """Return the Fabric for one device, `precision` as `occface.training.devices.precision` names it."""
    place = resolve(device)
    return Fabric(accelerator=place.type, devices=[place.index or 0] if place.type == "cuda" else 1, precision=precision)  # type: ignore[arg-type]


def precision(name: str, device: str) -> str:
    """Return Fabric's name of a precision.

    ``auto`` is bfloat16 autocast where the device computes in it natively (a GPU that does, a CPU with avx512_bf16 or
    AMX), else float32: elsewhere bfloat16 is emulated, and slower.

    Raises
    ------
    UsageError
        If the name is unknown.
    """
    if name != "auto":
        if name not in PRECISIONS:
            raise UsageError(f"unknown precision '{name}': {did_you_mean(name, ['auto', *PRECISIONS])}")
        return PRECISIONS[name]
    kind = resolve(device).type
    if kind == "cuda":
        native = torch.cuda.is_bf16_supported()
    else:
        abilities: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)() if kind == "cpu" else {}
        native = bool(abilities.get("avx512_bf16") or abilities.get("amx_bf16"))
    return PRECISIONS["bf16" if native else "32"]


def describe(device: torch.device) -> str:
    """Return the name of a device, as cards and results say it."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type} ({torch.get_num_threads()} threads, {platform.machine()})"
