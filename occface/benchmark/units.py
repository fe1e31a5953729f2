"""What a benchmark is made of: one pipeline on one mask type of one data set, scored into one file."""

from __future__ import annotations

import functools
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
from torch import Tensor

from occface import __version__, files
from occface.benchmark.paper import pipeline_title
from occface.benchmark.recipe import Recipe
from occface.dataset.reader import DatasetFile, FacePairs
from occface.methods.weights import LoadedMethod
from occface.metrics import CONTRACT
from occface.occlusion.estimate import estimate_mask, flat_fill
from occface.pipelines import Pipeline, build_pipeline
from occface.versions import source_hash

__all__ = ["Unit", "plan"]

#: The parts of the package that restored faces depend on.
RESTORING = (
    "benchmark/restoring.py",
    "dataset",
    "faces",
    "images.py",
    "methods",
    "networks",
    "occlusion",
    "pipelines.py",
    "seeding.py",
)


@dataclass(frozen=True, eq=False)
class Unit:
    """One score file: a pipeline on a mask type of a data set.

    Attributes
    ----------
    dataset : str
        The data set's name in tables.
    data : DatasetFile
        The data set.
    mask : str
        The mask type.
    pipeline : Pipeline
        Ready to run.
    split : str
        Which faces are scored.
    scored : tuple of int
        The numbers of those that are scored.
    pictured : tuple of int
        The numbers of those that are shown.
    mask_given : str
        ``"true"`` or ``"estimated"``: the mask that the pipeline is given; empty where it needs none.
    """

    dataset: str
    data: DatasetFile
    mask: str
    pipeline: Pipeline
    split: str
    scored: tuple[int, ...]
    pictured: tuple[int, ...]
    mask_given: str = ""

    @property
    def title(self) -> str:
        """The name that tables and pictures show."""
        return pipeline_title(self.pipeline.name, self.mask_given)

    @property
    def stem(self) -> str:
        """The name of the score file without its ending, and of the folder of restored faces without its hash."""
        given = ["estimated"] if self.mask_given == "estimated" else []
        # The digits keep apart names that differ only in characters that file names should not have.
        digits = files.sha256_json([self.dataset, self.mask, self.pipeline.name, *given])[:6]
        name = "_".join([self.dataset, self.mask, self.pipeline.name, *given, digits])
        return re.sub(r"[^\w.+-]+", "-", name)

    @property
    def path(self) -> str:
        """The name of the score file."""
        return f"{self.stem}.csv"

    @property
    def numbers(self) -> tuple[int, ...]:
        """The numbers of all faces that must be restored."""
        return tuple(sorted({*self.scored, *self.pictured}))

    @functools.cached_property
    def faces(self) -> pd.DataFrame:
        """What the data set says of each face of the split."""
        return self.data.columns(self.split)

    @functools.cached_property
    def restoration_key(self) -> str:
        """The hash of all that the restored faces depend on."""
        return files.sha256_json(
            [
                self.data.content_hash,
                self.split,
                self.mask,
                self.pipeline.identity,
                self.mask_given,
                __version__,
                source_hash(RESTORING),
                [_source_of(type(stage.method)) for stage in self.pipeline.stages],
            ]
        )

    @property
    def key(self) -> str:
        """The hash of all that the scores depend on."""
        return files.sha256_json([self.dataset, self.restoration_key, list(self.scored), CONTRACT, source_hash()])

    @property
    def estimate(self) -> Callable[[Tensor], Tensor] | None:
        """The function that makes the given mask out of the LR faces; None where the true one is given, or none."""
        if self.mask_given != "estimated":
            return None
        return partial(estimate_mask, fill=flat_fill(self.data.configuration["fill"]))


def _source_of(kind: type) -> str:
    """Return the SHA-256 of the file that a class was written in, which may be another distribution's."""
    path = getattr(sys.modules[kind.__module__], "__file__", None)
    return files.sha256_file(path) if path else ""


def plan(recipe: Recipe, methods: Mapping[str, LoadedMethod], limit: int | None) -> Iterator[Unit]:
    """Give every unit of a recipe: by data set, mask type, pipeline, and mask given.

    Raises
    ------
    UsageError
        If a data set cannot be read or lacks what is asked for, or a pipeline lacks weights.
    """
    pipelines = {name: build_pipeline(name, methods) for name in recipe.pipelines}
    for dataset, path in recipe.datasets.items():
        data = DatasetFile(path)
        for mask in FacePairs(data, recipe.split, recipe.masks).masks:
            count = data.count(recipe.split)
            pictured = evenly(count, recipe.pictured)
            for name, pipeline in pipelines.items():
                scored = evenly(count, min(limit or count, recipe.limits.get(name, count)))
                for given in recipe.mask_given if pipeline.needs_mask else ("",):
                    yield Unit(dataset, data, mask, pipeline, recipe.split, scored, pictured, given)


def evenly(count: int, wanted: int) -> tuple[int, ...]:
    """Return so many of `count` numbers from 0 on, at equal distances from the first to the last; all if there are fewer.

    Examples
    --------
    >>> evenly(100, 4), evenly(2, 4)
    ((0, 33, 66, 99), (0, 1))
    """
    return tuple(np.linspace(0, count - 1, min(wanted, count)).round().astype(int).tolist())
