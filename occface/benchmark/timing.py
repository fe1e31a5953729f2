"""Table IV: how large a pipeline is, how long one face takes, how much it computes and how much memory it needs.

The paper does not say what its sizes count, and none of them can hold GFC, which every sequence of two methods runs. So size
and computation are given twice where a helper takes part: of a pipeline's own networks, and with what helps them.

Pipelines are timed in turn, one run of each after the other, so that whatever else the machine does slows all of them alike.
"""

from __future__ import annotations

import ctypes
import functools
import gc
import logging
import math
import statistics
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from occface import files
from occface.benchmark.provenance import TIMING, short_hash
from occface.benchmark.steps import Place, Stage, Step
from occface.benchmark.units import PRECISION, Unit, evenly
from occface.dataset.reader import FacePairs, collate
from occface.errors import UsageError
from occface.methods import METHODS
from occface.methods.base import Batch, Method, TrainableMethod
from occface.methods.base import resolve as resolved
from occface.methods.weights import LoadedMethod
from occface.pipelines import Pipeline
from occface.presets import saved_bytes
from occface.training.devices import describe, resolve
from occface.versions import software_versions, source_hash

__all__ = ["OWN", "Time", "measuring"]

#: What is counted in a row. With helpers there is a second one, ``with GFC``, ``with FAN`` or ``with FAN and GFC``.
OWN = "own network"
_FAN, _GFC = "FAN", "GFC"

_STATUS = Path("/proc/self/status")
_RESET_PEAK = Path("/proc/self/clear_refs")


class Time(Step):
    """Time one pipeline on single faces, and count what it is made of.

    Parameters
    ----------
    unit : Unit
        The pipeline, and where its faces are.
    runs, warm_up : int
        Runs that are timed, and that are made before.
    folder : Path
        The benchmark's folder.
    rounds : int
        In how many rounds pipelines take turns; as many runs as there are spread over them evenly.
    """

    kind = "time"

    def __init__(self, unit: Unit, runs: int, warm_up: int, folder: Path, rounds: int) -> None:
        super().__init__(unit.title, tuple(dict.fromkeys([unit.made, *(stage.train for stage in unit.stages if stage.train)])))
        self.unit, self.runs, self.warm_up, self.rounds = unit, runs, warm_up, rounds
        self.path = folder / "efficiency" / f"{files.safe_name(unit.pipeline_name)}.json"

    @functools.cached_property
    def key(self) -> str:
        """The hash of the pipeline and of how it is timed. The machine is not in it: a time is of the machine it says."""
        identities = [stage.identity for stage in self.unit.stages]
        return files.sha256_json([identities, self.runs, self.warm_up, source_hash(TIMING)])

    @property
    def work(self) -> int:
        """Runs."""
        return self.runs + self.warm_up

    def is_done(self) -> bool:
        """Tell whether the figures are there, of the pipeline as it is now."""
        return self.path.exists() and files.read_json(self.path).get("key") == self.key

    def is_there(self) -> bool:
        """Tell whether there are figures of that pipeline."""
        return self.path.exists()

    def run(self, place: Place, advance: Callable[[int], object]) -> None:
        """Time it alone."""
        for _ in self.turns(place, advance, (self.name,)):
            pass

    def turns(self, place: Place, advance: Callable[[int], object], together: Sequence[str]) -> Iterator[None]:
        """Time it, one turn for each value that is asked for: loading and warming up, the rounds, what is counted.

        `together` names the steps that take turns with this one, and are comparable for it.
        """
        device = resolve(place.device)
        pipeline = self.unit.pipeline(device)
        pipeline.load(device)
        pair = FacePairs(self.unit.data, self.unit.split, [self.unit.mask])[0]
        face = {name: value.to(device) for name, value in collate([pair]).items()}
        due = [number in evenly(self.rounds, self.runs) for number in range(self.rounds)]
        rows = yield from measuring(pipeline, face, due, self.warm_up, device, advance)
        presets = map(_preset, self.unit.stages, pipeline.stages)
        preset = "+".join(dict.fromkeys(filter(None, presets)))
        made = {"versions": software_versions(), "sources": short_hash(TIMING), "together": sorted(together)}
        files.write_json(self.path, {"key": self.key, **made, "rows": [{**row, "preset": preset} for row in rows]})

    def forget(self) -> None:
        """Remove the figures."""
        self.path.unlink(missing_ok=True)


def _preset(stage: Stage, loaded: LoadedMethod) -> str:
    """Return the preset that a method's networks were built by: empty without networks, ``paper, changed`` if one departs.

    Settings that name another method's weights (``@name``) are no departures: every recipe has its own.
    """
    preset = str(loaded.card.get("preset", ""))
    if not preset or not list(_networks(loaded.method)):
        return ""
    kind = METHODS.get(stage.entry.method)
    variants = kind.VARIANTS if issubclass(kind, TrainableMethod) else None
    try:
        said = resolved(kind.presets(), preset, {}, stage.entry.method, variants)
    except UsageError:  # weights of a preset that there is no more
        return f"{preset}, changed"
    asked = {key for key, value in stage.entry.settings.items() if isinstance(value, str) and "@" in value}
    ours, theirs = (
        {key: value for key, value in config.items() if key not in asked} for config in (loaded.method.config, said)
    )
    return preset if files.canonical_json(ours) == files.canonical_json(theirs) else f"{preset}, changed"


def measuring(
    pipeline: Pipeline,
    face: Batch,
    due: Sequence[bool],
    warm_up: int,
    device: torch.device,
    advance: Callable[[int], object] = lambda _: None,
) -> Generator[None, None, list[dict[str, Any]]]:
    """Find what a pipeline costs on one face, batch 1, for each way of counting.

    It is a generator, so that several pipelines can be measured in turn: it gives way after warming up, and after each round.

    Parameters
    ----------
    pipeline : Pipeline
        Loaded on the device.
    face : dict of str to Tensor
        One pair of a data set, on the device.
    due : sequence of bool
        For each round, whether it is run and timed then.
    warm_up : int
        Runs that are made before.
    device : torch.device
        Where it runs. Before and after each run all work there is waited for.
    advance : callable
        Called with 1 after each run.

    Returns
    -------
    list of dict
        Plain values. ``pipeline``, ``order``. ``counted``: `OWN`, which is every network that a face passes but FAN and GFC,
        and where these take part a second row with them, which then counts everything. Of what is counted: ``parameters``;
        ``size_kb`` (KB of 1024 bytes, safetensors); ``macs`` (convolutions and matrix products; None where a method says that
        it has none to count). Of the whole pipeline, and so the same in its rows: ``median_ms``, ``p90_ms``, ``runs``;
        ``peak_memory_mb``, the most memory that one more run took beyond what was held before it, of the device where that is
        an accelerator, else of the process (None where the system does not say); ``device``, ``precision``.
    """

    def run() -> None:
        with _unsaid():
            pipeline(face)

    for _ in range(warm_up):
        run()
        advance(1)
    _wait(device)
    yield
    seconds = []
    for is_due in due:
        if is_due:
            begun = time.perf_counter()
            run()
            _wait(device)
            seconds.append(time.perf_counter() - begun)
            advance(1)
        yield
    with _peak_memory(device) as peak:
        run()
        _wait(device)
    networks = [found for stage in pipeline.stages for found in _networks(stage.method)]
    macs = _macs(pipeline, face, networks)
    helpers = sorted({helper for helper, _ in networks if helper})
    whole = {
        "median_ms": 1000 * statistics.median(seconds),
        "p90_ms": 1000 * float(np.quantile(seconds, 0.9)),
        "runs": len(seconds),
        "peak_memory_mb": None if math.isnan(peak[0]) else peak[0],
        "device": describe(device),
        "precision": PRECISION,
    }
    rows = []
    for counted, names in [(OWN, {""}), *([(f"with {' and '.join(helpers)}", {"", *helpers})] if helpers else [])]:
        chosen = [network for helper, network in networks if helper in names]
        size = {
            "parameters": sum(value.numel() for network in chosen for value in network.parameters()),
            "size_kb": sum(saved_bytes(network.state_dict()) for network in chosen) / 1024,
            "macs": None if macs is None else sum(macs[name] for name in names),
        }
        rows.append({"pipeline": pipeline.name, "order": pipeline.order, "counted": counted, **size, **whole})
    return rows


@contextmanager
def _unsaid() -> Iterator[None]:
    """Leave out what a method tells of each face, such as a search that missed its aim: here it is one face again and again."""
    log = logging.getLogger("occface")
    level = log.level
    log.setLevel(max(level, logging.WARNING))
    try:
        yield
    finally:
        log.setLevel(level)


def _networks(method: Method) -> Iterator[tuple[str, torch.nn.Module]]:
    """Give every network that a face passes through in a method, its own and those that it asks, with the helper that it is."""
    if isinstance(method, TrainableMethod):
        yield _GFC if method.name == "gfc" else "", method.generator
    for part, network in method.asked().items():
        yield _FAN if part == _FAN else "", network


def _macs(pipeline: Pipeline, face: Batch, networks: Sequence[tuple[str, torch.nn.Module]]) -> dict[str, int] | None:
    """Return the multiply-accumulates of each helper, and under an empty name of all else."""
    if not all(stage.method.countable for stage in pipeline.stages):
        return None
    found = {helper: 0 for helper, _ in networks} | {"": 0}
    with _unsaid(), FlopCounterMode(display=False) as counter, ExitStack() as hooks:
        for helper, network in networks:
            if helper:
                hooks.enter_context(_counting(helper, network, counter, found))
        pipeline(face)
    found[""] = counter.get_total_flops() // 2 - sum(found.values())
    return found


@contextmanager
def _counting(helper: str, network: torch.nn.Module, counter: FlopCounterMode, found: dict[str, int]) -> Iterator[None]:
    """Add to a helper's multiply-accumulates those of each call of its network."""

    def begin(*_: object) -> None:
        found[helper] -= counter.get_total_flops() // 2

    def end(*_: object) -> None:
        found[helper] += counter.get_total_flops() // 2

    with network.register_forward_pre_hook(begin), network.register_forward_hook(end):
        yield


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


@contextmanager
def _peak_memory(device: torch.device) -> Iterator[list[float]]:
    """Give a list that will hold, after the block, the most MB (of 2^20 bytes) that it took beyond what was held before."""
    peak = [math.nan]
    gc.collect()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        held = torch.cuda.memory_allocated(device)
        yield peak
        peak[0] = (torch.cuda.max_memory_allocated(device) - held) / 2**20
        return
    held_kb = _fresh_peak() if device.type == "cpu" else math.nan
    yield peak
    peak[0] = (_status("VmHWM") - held_kb) / 1024


def _fresh_peak() -> float:
    """Set the process's peak of memory back to what it holds now (Linux), and return that in KB; NaN elsewhere."""
    if not _RESET_PEAK.exists():
        return math.nan
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:  # glibc keeps what earlier runs freed, and a run that finds it there would seem to need nothing
        trim(0)
    try:
        _RESET_PEAK.write_text("5")
    except OSError:
        return math.nan
    return _status("VmRSS")


def _status(entry: str) -> float:
    try:
        lines = _STATUS.read_text().splitlines()
    except OSError:
        return math.nan
    return next((float(line.split()[1]) for line in lines if line.startswith(f"{entry}:")), math.nan)
