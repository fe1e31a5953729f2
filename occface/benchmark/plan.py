"""From a recipe to a plan: data sets, trainings, scores and timings, each once, each after what it needs."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from occface.benchmark.recipe import OWN, REFERENCE_PIPELINE, Comparison, Recipe
from occface.benchmark.scoring import Judges, Score
from occface.benchmark.steps import MakeData, Stage, Step, Train, is_trained_here, referred
from occface.benchmark.timing import Time
from occface.benchmark.units import Unit
from occface.errors import UsageError
from occface.pipelines import method_names

__all__ = ["Plan", "make_plan"]

#: In this order no step comes before one that it needs.
_KINDS = ("data", "train", "score", "time")


@dataclass(frozen=True)
class Plan:
    """The steps of a benchmark, each after those that it needs."""

    recipe: Recipe
    steps: tuple[Step, ...]

    @property
    def scores(self) -> tuple[Score, ...]:
        """Those that leave score files."""
        return tuple(step for step in self.steps if isinstance(step, Score))

    @property
    def times(self) -> tuple[Time, ...]:
        """Those that leave figures for Table IV."""
        return tuple(step for step in self.steps if isinstance(step, Time))


def make_plan(recipe: Recipe, folder: Path, limit: int | None = None) -> Plan:
    """Return the plan of a recipe. Nothing is run; given data sets and weights are looked at.

    Parameters
    ----------
    recipe : Recipe
        What is asked for.
    folder : Path
        The benchmark's folder.
    limit : int, optional
        Score at most so many faces of each data set.

    Raises
    ------
    UsageError
        If given data sets or weights cannot be read, or a pipeline's method has neither weights nor an entry to train it by.
    """
    return _Planner(recipe, folder, limit).plan()


class _Planner:
    def __init__(self, recipe: Recipe, folder: Path, limit: int | None) -> None:
        self.recipe, self.folder, self.limit = recipe, folder, limit
        self.data = {name: MakeData(name, entry, folder / "datasets") for name, entry in recipe.datasets.items()}
        self._trainings: dict[tuple[str, str], Train] = {}
        self._stages: dict[str, Stage] = {}
        self._judges: dict[tuple[str, tuple[str, ...]], Judges] = {}

    def plan(self) -> Plan:
        scores: dict[str, Score] = {}
        for part in self.recipe.comparisons:
            for unit in self._units(part):
                judges = self._judges_of(unit.made, part.metrics or tuple(self.recipe.metrics))
                step = Score(unit, judges, self.folder)
                kept = scores.setdefault(step.name, step)
                if kept is not step:
                    scores[step.name] = self._merged(kept, step)
        timed = [self._timed(name) for name in self.recipe.timing.pipelines]
        last: tuple[Step, ...] = (*scores.values(), *timed)
        ordered = dict.fromkeys(step for end in last for step in _with_needs(end))
        return Plan(self.recipe, tuple(sorted(ordered, key=lambda step: _KINDS.index(step.kind))))

    def _merged(self, one: Score, other: Score) -> Score:
        """Return one step for a unit that stands in two comparisons: the faces and the metrics of both."""
        wanted = None if None in (one.unit.wanted, other.unit.wanted) else max(one.unit.wanted or 0, other.unit.wanted or 0)
        names = tuple(dict.fromkeys([*one.judges.wanted, *other.judges.wanted]))
        judges = self._judges_of(one.unit.made, tuple(name for name in self.recipe.metrics if name in names))
        return Score(dataclasses.replace(one.unit, wanted=wanted), judges, self.folder)

    def _units(self, part: Comparison) -> Iterator[Unit]:
        for dataset in part.datasets:
            made = self.data[dataset]
            has = made.masks(self.recipe.split)
            for mask in part.masks or has:
                if mask not in has:
                    raise UsageError(f"data set '{dataset}' has no mask type '{mask}'; it has: {', '.join(has)}")
                for pipeline in part.pipelines:
                    for learnt in part.trained_on:
                        yield from self._of_pipeline(part, made, mask, pipeline, dataset if learnt == OWN else learnt)

    def _of_pipeline(self, part: Comparison, made: MakeData, mask: str, pipeline: str, learnt: str) -> Iterator[Unit]:
        names = () if pipeline == REFERENCE_PIPELINE else method_names(pipeline)
        stages = tuple(self._stage(name, pipeline, learnt) for name in names)
        trained_on = learnt if any(stage.train for stage in stages) else self._weights_are_of(stages)
        limits = [number for number in (self.limit, part.limit, self.recipe.limits.get(pipeline)) if number]
        wanted = min(limits, default=None)
        needs_mask = any(stage.takes_mask for stage in stages)
        for given in part.mask_given if needs_mask else ("",):
            yield Unit(made, mask, pipeline, stages, trained_on, self.recipe.split, wanted, self.recipe.pictured, given)

    def _stage(self, name: str, pipeline: str, learnt: str) -> Stage:
        entry = self.recipe.entry(name)
        if is_trained_here(entry):
            if name not in self.recipe.methods:
                raise UsageError(
                    f"pipeline '{pipeline}': method '{name}' learns, and the recipe gives it neither weights nor a preset "
                    "to train it by, under 'methods'"
                )
            return Stage(name, entry, self._training(name, learnt))
        if name not in self._stages:
            self._stages[name] = Stage(name, entry, None)
        return self._stages[name]

    def _training(self, name: str, dataset: str, asking: tuple[str, ...] = ()) -> Train:
        if name in asking:
            raise UsageError(f"methods of the recipe ask for each other in a circle: {' -> '.join([*asking, name])}")
        if (name, dataset) not in self._trainings:
            entry, made = self.recipe.methods[name], self.data[dataset]
            if made.entry.path and "train" not in made.data.file:
                raise UsageError(
                    f"'{name}' was to be trained on data set '{dataset}', which has no training split: name another data set "
                    "in trained_on, weights for it, or the metrics to be measured there"
                )
            company = {other: self._company(other, dataset, (*asking, name)) for other in referred(entry.settings)}
            self._trainings[name, dataset] = Train(name, entry, made, company, self.folder / "runs")
        return self._trainings[name, dataset]

    def _company(self, asked: str, dataset: str, asking: tuple[str, ...] = ()) -> Train:
        """Return the training that ``@name``, or ``@name/DATASET``, stands for in what learns from or judges a data set."""
        name, _, elsewhere = asked.partition("/")
        if not is_trained_here(self.recipe.methods[name]):
            raise UsageError(f"'@{name}' in the recipe stands for a training, and method '{name}' has none: write its path")
        return self._training(name, elsewhere or dataset, asking)

    def _weights_are_of(self, stages: Sequence[Stage]) -> str:
        """Return the name of the data set that given weights learnt from: one of the recipe's, if its content is the same."""
        hashes = {made.key: name for name, made in self.data.items() if made.entry.path}
        learnt = dict.fromkeys(stage.learnt_from(hashes) for stage in stages)
        return "+".join(name for name in learnt if name)

    def _judges_of(self, made: MakeData, names: tuple[str, ...]) -> Judges:
        if (made.label, names) not in self._judges:
            wanted = {name: self.recipe.metrics[name] for name in names}
            company = {other: self._company(other, made.label) for settings in wanted.values() for other in referred(settings)}
            self._judges[made.label, names] = Judges(wanted, made, company, self.folder / "judges")
        return self._judges[made.label, names]

    def _timed(self, pipeline: str) -> Time:
        """Return the timing of a pipeline as its first comparison has it."""
        for part in self.recipe.comparisons:
            if pipeline in part.pipelines:
                unit = next(unit for unit in self._units(part) if unit.pipeline_name == pipeline)
                timing = self.recipe.timing
                rounds = max(timing.runs, *timing.runs_of.values(), 1)
                return Time(unit, timing.runs_of.get(pipeline, timing.runs), timing.warm_up, self.folder, rounds)
        raise UsageError(f"'timing' of the recipe names pipeline '{pipeline}', which no comparison has")


def _with_needs(step: Step) -> Iterator[Step]:
    """Give a step behind all that it needs."""
    for need in step.needs:
        yield from _with_needs(need)
    yield step
