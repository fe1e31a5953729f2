"""What a benchmark is made of: one pipeline, trained on one data set, on one mask type of one data set."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from occface import __version__, files
from occface.benchmark.paper import pipeline_title
from occface.benchmark.provenance import RESTORING
from occface.benchmark.recipe import REFERENCE_PIPELINE
from occface.benchmark.steps import MakeData, Stage
from occface.dataset.reader import DatasetFile
from occface.methods import METHODS
from occface.occlusion.estimate import estimate_mask, flat_fill
from occface.pipelines import Pipeline, order_of
from occface.versions import source_hash

__all__ = ["PRECISION", "Unit", "evenly", "source_of"]

#: What pipelines compute in, on every device.
PRECISION = "float32"


@dataclass(frozen=True, eq=False)
class Unit:
    """A pipeline and what it is run on.

    Attributes
    ----------
    made : MakeData
        The data set.
    mask : str
        The mask type.
    pipeline_name : str
        The methods in the order they are applied, ``"gfc+fhc"``.
    stages : tuple of Stage
        The methods.
    trained_on : str
        The data set that they learnt from; empty where none learns.
    split : str
        Which faces are scored.
    wanted : int or None
        How many of them; None is all.
    pictured : int
        How many of them are shown.
    mask_given : str
        ``"true"`` or ``"estimated"``: the mask that the pipeline is given; empty where it needs none.
    """

    made: MakeData
    mask: str
    pipeline_name: str
    stages: tuple[Stage, ...]
    trained_on: str
    split: str
    wanted: int | None
    pictured: int
    mask_given: str = ""

    @property
    def dataset(self) -> str:
        """The data set's name in tables."""
        return self.made.label

    @property
    def data(self) -> DatasetFile:
        """The data set, open."""
        return self.made.data

    @property
    def is_reference(self) -> bool:
        """Whether it gives the true faces."""
        return self.pipeline_name == REFERENCE_PIPELINE

    @property
    def order(self) -> str:
        """One of `occface.benchmark.scores.ORDERS`."""
        return "reference" if self.is_reference else order_of(self.pipeline_name)

    @property
    def title(self) -> str:
        """The name that tables and pictures show."""
        return pipeline_title(self.pipeline_name, self.mask_given)

    @functools.cached_property
    def stem(self) -> str:
        """The name of the score file without its ending, and of the folder of restored faces without its hash."""
        learnt = [f"trained-on-{self.trained_on}"] if self.trained_on not in ("", self.dataset) else []
        given = ["estimated"] if self.mask_given == "estimated" else []
        parts = [self.dataset, self.mask, self.pipeline_name, *learnt, *given]
        # The digits keep apart names that differ only in characters that file names should not have.
        return files.safe_name("_".join([*parts, files.sha256_json(parts)[:6]]))

    @property
    def path(self) -> str:
        """The name of the score file."""
        return f"{self.stem}.csv"

    @functools.cached_property
    def scored(self) -> tuple[int, ...]:
        """The numbers of the faces that are scored."""
        count = self.data.count(self.split)
        return evenly(count, count if self.wanted is None else self.wanted)

    @functools.cached_property
    def shown(self) -> tuple[int, ...]:
        """The numbers of the faces that figures show."""
        return evenly(self.data.count(self.split), self.pictured)

    @property
    def numbers(self) -> tuple[int, ...]:
        """The numbers of all faces that must be restored."""
        return tuple(sorted({*self.scored, *self.shown}))

    @functools.cached_property
    def faces(self) -> pd.DataFrame:
        """What the data set says of each face of the split."""
        return self.data.columns(self.split)

    @functools.cached_property
    def restoration_key(self) -> str:
        """The hash of all that the restored faces depend on."""
        return files.sha256_json(
            [
                self.made.key,
                self.split,
                self.mask,
                [stage.identity for stage in self.stages],
                self.mask_given,
                __version__,
                source_hash(RESTORING),
                [source_of(METHODS.get(stage.entry.method)) for stage in self.stages],
            ]
        )

    def pipeline(self, device: torch.device) -> Pipeline:
        """Return the pipeline, ready to run on a device; the reference has none."""
        return Pipeline(self.pipeline_name, self.order, tuple(stage.load(device) for stage in self.stages))

    @property
    def estimate(self) -> Callable[[Tensor], Tensor] | None:
        """The function that makes the given mask out of the LR faces; None where the true one is given, or none."""
        if self.mask_given != "estimated":
            return None
        return partial(estimate_mask, fill=flat_fill(self.data.configuration["fill"]))


def source_of(kind: type) -> str:
    """Return the SHA-256 of the file that a class was written in, which may be another distribution's."""
    path = getattr(sys.modules[kind.__module__], "__file__", None)
    return files.sha256_file(path) if path else ""


def evenly(count: int, wanted: int) -> tuple[int, ...]:
    """Return so many of `count` numbers from 0 on, at equal distances from the first to the last; all if there are fewer.

    Examples
    --------
    >>> evenly(100, 4), evenly(2, 4)
    ((0, 33, 66, 99), (0, 1))
    """
    return tuple(np.linspace(0, count - 1, min(wanted, count)).round().astype(int).tolist())
