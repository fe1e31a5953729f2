"""What a benchmark is made of: one pipeline on one mask type of one data set, scored into one file."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

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


@dataclass(frozen=True)
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
    limit : int or None
        How many of them, from the first on.
    mask_given : str
        ``"true"`` or ``"estimated"``: the mask that the pipeline is given; empty where it needs none.
    """

    dataset: str
    data: DatasetFile
    mask: str
    pipeline: Pipeline
    split: str
    limit: int | None
    mask_given: str = ""

    @property
    def title(self) -> str:
        """The name that tables and pictures show."""
        return pipeline_title(self.pipeline.name, self.mask_given)

    @property
    def path(self) -> str:
        """The name of the score file."""
        given = ["estimated"] if self.mask_given == "estimated" else []
        # The digits keep apart names that differ only in characters that file names should not have.
        digits = files.sha256_json([self.dataset, self.mask, self.pipeline.name, *given])[:6]
        name = "_".join([self.dataset, self.mask, self.pipeline.name, *given, digits])
        return re.sub(r"[^\w.+-]+", "-", name) + ".csv"

    @property
    def key(self) -> str:
        """The hash of all that the scores depend on."""
        return files.sha256_json(
            [
                self.dataset,
                self.data.content_hash,
                self.split,
                self.mask,
                self.pipeline.identity,
                self.mask_given,
                self.limit,
                CONTRACT,
                __version__,
                source_hash(),
                [_source_of(type(stage.method)) for stage in self.pipeline.stages],
            ]
        )

    @property
    def count(self) -> int:
        """The number of faces that are scored."""
        return min(self.data.count(self.split), self.limit or 10**12)

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
            for name, pipeline in pipelines.items():
                most = min((number for number in (limit, recipe.limits.get(name)) if number), default=None)
                for given in recipe.mask_given if pipeline.needs_mask else ("",):
                    yield Unit(dataset, data, mask, pipeline, recipe.split, most, given)
