"""Which devices, processes and precision a run uses: names into what Lightning Fabric takes."""

from __future__ import annotations

import os
import platform

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments import SLURMEnvironment, TorchElasticEnvironment
from lightning_fabric.strategies import DDPStrategy
from torch import nn

from occface.errors import UsageError
from occface.registry import did_you_mean

__all__ = ["PRECISIONS", "describe", "fabric", "free_bytes", "precision", "processes_asked_for", "resolve"]

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


class _Processes(DDPStrategy):
    """Fabric's process group, without DistributedDataParallel around the module.

    That wrapper counts on one backward pass for each forward pass, over parameters that stay trained or kept. Here turns of a
    step train now these, now those parts, and one turn may use the graph of the turn before. So the loop averages a turn's
    gradients itself, in one reduction: see `occface.training.processes`.
    """

    def setup_module(self, module: nn.Module) -> nn.Module:  # type: ignore[override]
        return module


def processes_asked_for(devices: int, nodes: int) -> tuple[int, int]:
    """Return devices per machine and machines: those asked for, or what torchrun or SLURM started where none are.

    Raises
    ------
    UsageError
        If torchrun or SLURM started another number of processes than was asked for.
    """
    if devices < 1 or nodes < 1:
        raise UsageError(f"expected at least one device and one node, got {devices} and {nodes}")
    if TorchElasticEnvironment.detect():
        starter, world, here = "torchrun", int(os.environ["WORLD_SIZE"]), int(os.environ["LOCAL_WORLD_SIZE"])
    elif SLURMEnvironment.detect():
        world = int(os.environ["SLURM_NTASKS"])
        starter, here = "SLURM", world // int(os.environ.get("SLURM_NNODES", 1))
    else:
        return devices, nodes
    if devices * nodes == 1:
        return here, world // here
    if devices * nodes != world:
        raise UsageError(
            f"{starter} started {world} processes, but --devices {devices} and --nodes {nodes} ask for {devices * nodes}: "
            "leave them out, or start as many"
        )
    return devices, nodes


def fabric(device: str, precision: str, devices: int = 1, nodes: int = 1) -> Fabric:
    """Return the Fabric for one device or several.

    Parameters
    ----------
    device : str
        See `resolve`. With several devices: their kind.
    precision : str
        As `occface.training.devices.precision` names it.
    devices, nodes : int
        Devices on each machine, and machines; with ``cpu``, processes on each machine.

    Raises
    ------
    UsageError
        If the device is not there, or not so often.
    """
    place = resolve(device)
    devices, nodes = processes_asked_for(devices, nodes)
    if devices * nodes == 1:
        chosen = [place.index or 0] if place.type == "cuda" else 1
        return Fabric(accelerator=place.type, devices=chosen, precision=precision)  # type: ignore[arg-type]
    if place.index is not None:
        raise UsageError(f"--device {device} is one device, but {devices * nodes} are asked for: use --device {place.type}")
    most = torch.cuda.device_count() if place.type == "cuda" else 1 if place.type == "mps" else devices
    if devices > most:
        raise UsageError(f"{devices} devices are asked for, but this machine has {most} of {place.type}: use --devices {most}")
    return Fabric(
        accelerator=place.type,
        devices=devices,
        num_nodes=nodes,
        precision=precision,
        strategy=_Processes(),
    )


def free_bytes(device: torch.device) -> int | None:
    """Return the free memory of an accelerator in bytes, None for the CPU."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    if device.type == "mps":
        return torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
    return None


def precision(name: str, device: str) -> str:
    """Return Fabric's name of a precision.

    ``auto`` is bfloat16 autocast where the device computes in it natively (a GPU that does, a CPU with avx512_bf16 or
    AMX), else float32: elsewhere bfloat16 is emulated, and slower.

    Raises
    ------
    UsageError
        If the name is unknown, or not for this device.
    """
    if name != "auto":
        if name not in PRECISIONS:
            raise UsageError(f"unknown precision '{name}': {did_you_mean(name, ['auto', *PRECISIONS])}")
        if name == "16" and resolve(device).type == "cpu":
            raise UsageError("precision '16' is for accelerators: with --device cpu use 32, or bf16")
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
