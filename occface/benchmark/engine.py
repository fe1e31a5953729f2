"""Carries a plan out: only what is missing, going on after failures, resuming after interruptions; then tables and report."""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from occface import determinism, files, parallel, progress
from occface.benchmark.outcome import Benchmark
from occface.benchmark.plan import Plan, make_plan
from occface.benchmark.recipe import Recipe, load_recipe
from occface.benchmark.record import LIST
from occface.benchmark.scoring import Score
from occface.benchmark.steps import Place, Step
from occface.benchmark.timing import Time
from occface.errors import OccfaceError, UsageError, first_line
from occface.locking import working_alone
from occface.registry import did_you_mean
from occface.training.devices import resolve

__all__ = ["STRATEGIES", "Benchmark", "Planned", "plan_benchmark", "run_benchmark"]

log = logging.getLogger("occface")

#: What to do with results that are there. ``only-missing``: use those that were made from what they depend on now, make the
#: others. ``always``: make all anew. ``never``: replace nothing, even if it was made from other things; make what is not there
#: at all. ``only-cache``: make nothing, build tables from the scores that are there; no data set and no weights are needed.
STRATEGIES = ("only-missing", "always", "never", "only-cache")

_RECORD = "plan.json"
#: Trainings at a time on the CPU, if there are several workers; each has its share of the threads. Small networks hardly gain
#: by more of these, and more trainings would ask for more memory.
_TRAININGS = 2


@dataclass(frozen=True)
class Planned:
    """What would be done: each step with whether it is done, and how long it may take.

    Attributes
    ----------
    steps : tuple of dict
        ``name``, ``key``, ``state`` (done; missing; unneeded: not there, but nothing that is missing needs it), ``seconds``
        that it may take (None where no earlier step of its kind was timed).
    """

    steps: tuple[dict[str, Any], ...]

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return {"steps": list(self.steps)}

    def text(self) -> str:
        """Return a line for each step, and the sum."""
        lines = []
        for step in self.steps:
            about = _duration(step["seconds"]) if step["state"] == "missing" else ""
            lines.append(f"{step['state']:<8} {about:>9}  {step['name']}")
        missing = [step for step in self.steps if step["state"] == "missing"]
        known = sum(step["seconds"] for step in missing if step["seconds"] is not None)
        unknown = sum(step["seconds"] is None for step in missing)
        total = f"{len(missing)} of {len(self.steps)} steps are missing, about {_duration(known)} by earlier timings"
        return "\n".join([*lines, total + (f"; {unknown} of them were never timed" if unknown else "")])


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "?"
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def plan_benchmark(
    recipe: str | Path | Mapping[str, Any], out: str | Path = "occface-benchmark", *, limit: int | None = None
) -> Planned:
    """Say what `run_benchmark` would do, and do nothing."""
    folder = Path(out)
    plan = make_plan(load_recipe(recipe), folder, limit)
    past = _Past(folder)
    done = {step for step in plan.steps if step.is_done()}
    missing = _missing(plan, done)
    return Planned(
        tuple(
            {"name": step.name, "key": step.key, "state": _state(step, done, missing), "seconds": past.estimate(step)}
            for step in plan.steps
        )
    )


def _missing(plan: Plan, stands: set[Step]) -> set[Step]:
    """Return the steps to be run: scores and timings that do not stand, and what these need that does not stand."""
    missing: set[Step] = set()
    for step in reversed(plan.steps):  # none comes before one that it needs
        wanted = step.kind in ("score", "time") or any(step in other.needs for other in missing)
        if wanted and step not in stands:
            missing.add(step)
    return missing


def _state(step: Step, done: set[Step], missing: set[Step]) -> str:
    return "done" if step in done else "missing" if step in missing else "unneeded"


def run_benchmark(
    recipe: str | Path | Mapping[str, Any],
    out: str | Path = "occface-benchmark",
    *,
    device: str = "auto",
    limit: int | None = None,
    strategy: str = "only-missing",
    workers: int = 1,
    backend: str = "loky",
    scheduler: str | None = None,
) -> Benchmark:
    """Carry a recipe out: data sets, trainings, scores, timings; then tables, figures, claims and report.

    Parameters
    ----------
    recipe : path, str or mapping
        A YAML file, a packaged recipe's name, or plain values; see `occface.benchmark.recipe`.
    out : path
        The folder for everything.
    device : str
        Where networks run. ``auto`` and ``cuda`` mean all accelerators of the machine: each trains one method at a time, and
        scores in one process; timings are taken on the first.
    limit : int, optional
        Score so many faces of each data set only, taken evenly.
    strategy : str
        One of `STRATEGIES`.
    workers, backend, scheduler
        See `occface.parallel.ordered_map`. They make data sets, and scores where networks run on the CPU or a cluster is named;
        several run two trainings at a time on the CPU.

    Returns
    -------
    Benchmark
        If steps failed it says so; what did not depend on them was done.

    Raises
    ------
    UsageError
        If the recipe, a given data set or given weights cannot be used, or ``only-cache`` finds no scores.
    OccfaceError
        If steps failed so that nothing at all was scored.
    """
    if strategy not in STRATEGIES:
        raise UsageError(f"unknown overwrite strategy '{strategy}': {did_you_mean(strategy, STRATEGIES)}")
    parallel.check_backend(backend, scheduler)
    wanted = load_recipe(recipe)
    folder = Path(out)
    if strategy == "only-cache":
        return _shown(folder, wanted)
    plan = make_plan(wanted, folder, limit)  # refuses what cannot be before anything is written
    with working_alone(folder):
        files.remove_leftovers(folder, below=True)
        place = Place(folder, device, workers, backend, scheduler)
        files.write_yaml(folder / "recipe.yaml", wanted.as_dict())
        broken = _carry_out(plan, place, strategy, limit)
        # Of a step that failed there may be a result of earlier weights or settings: it is not what the recipe says.
        shown = [step.path.name for step in plan.scores if step.name not in broken and step.is_there()]
        timed = [step.path.name for step in plan.times if step.name not in broken and step.is_there()]
        if not shown:
            name, why = next(iter(broken.items()), ("the recipe", "it asks for no scores"))
            raise OccfaceError(f"nothing was scored, {len(broken)} steps failed; the first: {name}: {why}")
        listed = {"scores": shown, "efficiency": timed, "notes": wanted.notes, "broken": broken}
        files.write_json(folder / "scores" / LIST, listed)
        return _shown(folder, wanted)


def _shown(folder: Path, wanted: Recipe) -> Benchmark:
    from occface.benchmark.show import show_benchmark  # it draws with matplotlib, which takes long to import

    return show_benchmark(folder, wanted)


def _carry_out(plan: Plan, place: Place, strategy: str, limit: int | None) -> dict[str, str]:
    """Run the steps that must be; return why those failed that did."""
    if strategy == "always":
        for step in plan.steps:
            step.forget()
    past = _Past(place.folder)
    broken: dict[str, str] = {}
    settled = {step for step in plan.steps if _stands(step, strategy)}
    missing = _missing(plan, settled)
    try:
        for kind in dict.fromkeys(step.kind for step in plan.steps):
            left = [step for step in plan.steps if step.kind == kind and step in missing]
            # A training may need another one: they come in as many rounds as it takes.
            while ready := [step for step in left if settled.issuperset(step.needs)]:
                left = [step for step in left if step not in ready]
                for step, error, seconds in _outcomes(ready, place, limit):
                    past.remember(step, error, seconds)
                    if error:
                        broken[step.name] = error
                        log.error("%s failed: %s", step.name, error)
                    else:
                        settled.add(step)
            for step in left:
                broken[step.name] = f"waits for: {next(need.name for need in step.needs if need not in settled)}"
    finally:  # also of what was interrupted
        past.write(plan, settled, missing, broken)
    return broken


def _stands(step: Step, strategy: str) -> bool:
    """Tell whether a step's result is left as it is."""
    if step.is_done():
        return True
    if strategy == "never" and step.is_there():
        log.warning("%s was made from other things than the recipe says now, or images of it failed; it is kept", step.name)
        return True
    return False


def _outcomes(steps: Sequence[Step], place: Place, limit: int | None) -> Iterator[tuple[Step, str, float]]:
    """Run steps of one kind; give each with its error, empty if there was none, and the seconds that it took."""
    timings = [step for step in steps if isinstance(step, Time)]
    if timings:
        yield from _in_turn(timings, place)
        return
    groups = _groups(steps, place)
    if not groups:
        for number, step in enumerate(steps, 1):
            log.info("%s (%d of %d)", step.name, number, len(steps))
            yield step, *_outcome(step, place)
        return
    recipe = files.canonical_json(files.read_yaml(place.folder / "recipe.yaml"))
    how: dict[str, Any] = {"workers": place.workers, "backend": place.backend, "scheduler": place.scheduler}
    threads = 0
    if len({device for device, _ in groups}) > 1:  # one process for each accelerator of this machine
        how = {"workers": len(groups)}
    elif steps[0].kind == "train":  # the same threads for the last training alone, or its weights would round otherwise
        how, threads = {"workers": _TRAININGS}, max(1, torch.get_num_threads() // _TRAININGS)
    jobs = [
        (recipe, Place(place.folder, device, threads=threads), limit, tuple((step.name, step.key) for step in group))
        for device, group in groups
    ]
    with progress.bar(len(steps), steps[0].kind, "step") as bar:
        for (_, group), outcomes in zip(groups, parallel.ordered_map(_run_by_name, jobs, **how), strict=True):
            for step, (error, seconds) in zip(group, outcomes, strict=True):
                yield step, error, seconds
                bar.update()


def _in_turn(steps: Sequence[Time], place: Place) -> Iterator[tuple[Step, str, float]]:
    """Time pipelines in turn, a run of each in every round; one that fails leaves the others to go on."""
    log.info("timing in turn: %s", ", ".join(step.label for step in steps))
    together = [step.name for step in steps]
    spent = dict.fromkeys(steps, 0.0)
    errors: dict[Time, str] = {}
    with progress.bar(sum(step.work for step in steps), "time", "run") as bar:
        left = {step: step.turns(place, bar.update, together) for step in steps}
        while left:
            for step, turns in tuple(left.items()):
                begun = time.monotonic()
                try:
                    next(turns)
                except StopIteration:
                    del left[step]
                except Exception as failure:
                    errors[step] = _said(step, failure)
                    del left[step]
                spent[step] += time.monotonic() - begun
    for step in steps:
        yield step, errors.get(step, ""), spent[step]


def _groups(steps: Sequence[Step], place: Place) -> list[tuple[str, list[Step]]]:
    """Return which steps one process runs after the other, and on which device; nothing where all are run here.

    Scores on the CPU or on a cluster, and trainings on the CPU, are one group each. What networks do on several accelerators is
    one group for each of these, about equally large, so that each does one thing at a time.
    """
    kind, alone = steps[0].kind, [(place.device, [step]) for step in steps]
    if kind == "score" and place.backend != "loky":
        return alone  # the cluster's machines have devices of their own
    if kind not in ("train", "score"):
        return []
    devices = _devices(place.device)
    if place.workers > 1 and resolve(place.device).type == "cpu":
        return _apart(alone)  # trainings stay in their order
    if min(len(devices), len(steps)) < 2:
        return []
    shares: list[list[Step]] = [[] for _ in devices[: len(steps)]]
    for step in sorted(steps, key=lambda step: step.work, reverse=True):
        min(shares, key=lambda share: (sum(other.work for other in share), len(share))).append(step)
    return list(zip(devices, shares, strict=False))


def _apart(groups: list[tuple[str, list[Step]]]) -> list[tuple[str, list[Step]]]:
    """Return groups of one score each in an order in which workers seldom train the same judge at the same time.

    The first of those that share judges which are trained and kept comes early, the others last, when these are there.
    """
    first: dict[str, Step] = {}
    shared: dict[Step, tuple[str, ...]] = {step: step.judges.kept_by for _, (step,) in groups if isinstance(step, Score)}
    for step, names in shared.items():
        for name in names:
            first.setdefault(name, step)
    early = set(first.values())
    return sorted(groups, key=lambda group: 0 if group[1][0] in early else 2 if shared.get(group[1][0]) else 1)


def _devices(name: str) -> list[str]:
    """Return the devices that a name stands for: all accelerators of this machine, unless one is singled out."""
    device = resolve(name)
    if device.type == "cuda" and device.index is None:
        return [f"cuda:{number}" for number in range(torch.cuda.device_count())]
    return [name]


def _outcome(step: Step, place: Place) -> tuple[str, float]:
    begun = time.monotonic()
    error = ""
    # Making data sets and training have bars of their own.
    own_bar = step.kind in ("data", "train")
    try:
        with progress.bar(0 if own_bar else step.work, step.kind, "face") as bar:
            step.run(place, bar.update)
    except Exception as failure:  # whatever a method of others raises costs its own steps, not the benchmark
        error = _said(step, failure)
    return error, time.monotonic() - begun


def _said(step: Step, failure: Exception) -> str:
    """Return in one line why a step failed."""
    if isinstance(failure, OccfaceError):
        return str(failure)
    log.debug("%s", step.name, exc_info=failure)
    return determinism.refusal(failure) or f"{type(failure).__name__}: {first_line(failure)}"


def _run_by_name(job: tuple[str, Place, int | None, tuple[tuple[str, str], ...]]) -> list[tuple[str, float]]:
    """Run some steps of a plan in a worker, known by their names and keys; return the outcome of each."""
    recipe, place, limit, wanted = job
    outcomes = []
    for name, key in wanted:
        step = _steps_by_name(recipe, place.folder, limit)[name]
        if step.key != key:  # a worker outlives a benchmark: data or weights may have been replaced since
            _steps_by_name.cache_clear()
            step = _steps_by_name(recipe, place.folder, limit)[name]
        if step.key == key:
            outcomes.append(_outcome(step, place))
        else:
            outcomes.append(("the worker found other data, weights or code than this benchmark began with: run it again", 0.0))
    return outcomes


@functools.lru_cache(maxsize=1)
def _steps_by_name(recipe: str, folder: Path, limit: int | None) -> dict[str, Step]:
    plan = make_plan(load_recipe(files.parse_json_object(recipe)), folder, limit)
    return {step.name: step for step in plan.steps}


class _Past:
    """What is known of earlier steps: how long they took for how much work, what failed."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / _RECORD
        record = files.read_json(self._path) if self._path.exists() else {}
        self._steps: dict[str, dict[str, Any]] = record.get("steps", {}) if isinstance(record, dict) else {}

    def estimate(self, step: Step) -> float | None:
        """Return the seconds that a step may take: as its like took for each unit of work, else as its kind did."""
        known = [
            (name, entry)
            for name, entry in self._steps.items()
            if entry.get("seconds") and entry.get("work") and "error" not in entry
        ]
        same = [entry for name, entry in known if name == step.name]
        alike = same or [entry for name, entry in known if name.split(" ")[0] == step.kind]
        if not alike or not step.work:
            return None
        rates = [entry["seconds"] / entry["work"] for entry in alike]
        return step.work * sum(rates) / len(rates)

    def remember(self, step: Step, error: str, seconds: float) -> None:
        entry = {"key": step.key, "work": step.work, "seconds": round(seconds, 3), "state": "failed" if error else "done"}
        self._steps[step.name] = entry | ({"error": error} if error else {})

    def write(self, plan: Plan, settled: set[Step], missing: set[Step], broken: Mapping[str, str]) -> None:
        for step in plan.steps:
            entry = self._steps.setdefault(step.name, {"work": step.work})
            entry["key"] = step.key
            entry["state"] = "failed" if step.name in broken else _state(step, settled, missing)
            if step.name in broken:
                entry["error"] = broken[step.name]
            else:
                entry.pop("error", None)
        wanted = {step.name for step in plan.steps}
        kept = {name: entry for name, entry in self._steps.items() if name in wanted or entry.get("seconds")}
        files.write_json(self._path, {"steps": kept})
