"""The rows that claims are tested on: which take part, whom they belong to, and the differences between two pipelines."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from occface.benchmark.paper import mask_order, pipeline_title
from occface.benchmark.statistics import PairedTest, difference_test, differences, independent_units
from occface.benchmark.tables.frames import one_training

__all__ = ["EVERYWHERE", "MEASURES", "Comparison", "Evidence", "Measure", "NotTestableError", "Where"]

#: As many pipelines with weights from elsewhere are named.
_NAMED = 3
_SIDE = re.compile(r"square[-_](\d+)")
_MAIN = ("irregular", "square")
_RECOGNITION = ("eyes", "mouth", "nose", "half", "left-half", "right-half", "lower-face")
_CELL = ["dataset", "mask_type", "pipeline"]


class NotTestableError(Exception):
    """Rows that a claim needs are missing; the message says which."""


@dataclass(frozen=True)
class Measure:
    """How a metric is named and printed, and which way it points; values are multiplied by `scale`."""

    title: str
    unit: str = ""
    decimals: int = 3
    scale: float = 1
    lower_is_better: bool = False

    def value(self, number: float) -> str:
        """Return a value as text, with its unit."""
        return f"{number:.{self.decimals}f}{self.unit}"

    def gap(self, number: float) -> str:
        """Return a difference as text; those of percentages are points."""
        return f"{number:+.{self.decimals}f}{' points' if self.unit == ' %' else self.unit}"


#: The metrics that the paper's claims are about.
MEASURES: dict[str, Measure] = {
    "psnr": Measure("PSNR", " dB", 2),
    "ssim": Measure("SSIM"),
    "nrmse_outer_eyes": Measure("NRMSE", " %", 2, lower_is_better=True),
    "iou": Measure("IoU", decimals=4),
    "expression_correct": Measure("expression accuracy", " %", 1, 100),
    "identified": Measure("rank-1 identification", " %", 1, 100),
    "identity_cosine": Measure("cosine similarity of identity"),
    "stlpips": Measure("ST-LPIPS", lower_is_better=True),
    **{f"psnr_stage_{stage}": Measure(f"PSNR of stage {stage}", " dB", 2) for stage in (1, 2, 3)},
}


class Where(NamedTuple):
    """The mask types and data sets that a claim is about; None stands for those of the paper's tables, and for all."""

    masks: Sequence[str] | None = None
    datasets: Sequence[str] | None = None


EVERYWHERE = Where()


@dataclass(frozen=True)
class Comparison:
    """Two rows of values on the same faces, their differences in the stated direction, and the test of these, no interval.

    `pipelines` are those that are compared, by which a claim finds the comparisons that the paper makes.
    """

    label: str
    first: pd.Series
    second: pd.Series
    gaps: pd.Series
    pipelines: tuple[str, ...]
    tested: Callable[[], PairedTest]

    @functools.cached_property
    def effect(self) -> float:
        """The mean difference."""
        return float(self.gaps.mean())

    @functools.cached_property
    def test(self) -> PairedTest:
        """The test, made when it is asked for."""
        return self.tested()


class Evidence:
    """The rows that claims are tested on.

    Failed images, and pipelines that were given an estimated mask, are left out: the paper gives the true one. So are
    pipelines whose search missed its own aim on more than half of the images of a data set and mask type: what they give is
    not what the method finds, and to beat it is no evidence. Of methods that learnt from several data sets, the rows are taken
    that learnt from the same as most others (`occface.benchmark.tables.frames.common_training`); where that is not the data set
    itself, the reasons say so.

    Parameters
    ----------
    scores, sets, efficiency : pandas.DataFrame or None
        Score rows, rows of set metrics, rows of sizes and times; missing columns make claims untestable, not errors.
    seed : int
        Of the resampling.
    """

    def __init__(
        self, scores: pd.DataFrame | None, sets: pd.DataFrame | None, efficiency: pd.DataFrame | None, seed: int = 0
    ) -> None:
        texts = [*_CELL, "trained_on", "mask_given", "image", "identity", "expression"]
        self.all_rows = _complete(scores, texts).query("mask_given != 'estimated'")
        home = _home(self.all_rows)
        self._missed = _missed(home)
        self.rows = self._searched(home)
        self.sets = self._searched(_home(_complete(sets, texts[:5]).query("mask_given != 'estimated'")))
        self.efficiency = _complete(efficiency, ["pipeline", "counted", "device", "precision", "preset"])
        self.seed = seed
        self._tables: dict[str, pd.DataFrame] = {}
        faces = self.all_rows.drop_duplicates(["dataset", "image"])
        keys = list(zip(faces["dataset"], faces["image"], strict=True))
        #: The expression of each face, by (dataset, image).
        self.expressions = dict(zip(keys, faces["expression"], strict=True))
        self._units = dict(zip(keys, independent_units(faces), strict=True))
        self._known = dict(zip(keys, faces["identity"] != "", strict=True))
        masks = sorted(dict.fromkeys(home["mask_type"]), key=mask_order)
        #: The mask types of the paper's tables, or what the scores have in their place; m1 to m5; those of recognition.
        self.sizes = sorted(filter(_SIDE.fullmatch, masks), key=_side)
        self.recognition = [mask for mask in masks if mask in _RECOGNITION]
        others = [mask for mask in masks if mask not in (*self.sizes, *self.recognition)]
        self.main = [mask for mask in masks if mask in _MAIN] or others or self.sizes

    def _searched(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Leave out the cells whose search missed its aim."""
        return rows[~pd.MultiIndex.from_frame(rows[_CELL]).isin(self._missed.index)]

    def missed(self, where: Where = EVERYWHERE) -> dict[str, str]:
        """Return the pipelines that were left out for a search that missed its aim, and on how many images: "24 of 24"."""
        if self._missed.empty:
            return {}
        cells = self._missed.reset_index()
        found = (
            cells[self._chosen(cells["dataset"], cells["mask_type"], where)].groupby("pipeline")[["missed", "searched"]].sum()
        )
        return {str(name): f"{row.missed:.0f} of {row.searched:.0f}" for name, row in found.iterrows()}

    def titles(self, pipelines: Iterable[str], where: Where = EVERYWHERE) -> str:
        """Return the names of pipelines that are not compared, of those that were left out with the reason."""
        missed = self.missed(where)
        reasons = {name: f" (left out: its search missed its aim on {share} images)" for name, share in missed.items()}
        return ", ".join(f"{pipeline_title(name)}{reasons.get(name, '')}" for name in pipelines)

    def _chosen(self, datasets: pd.Index | pd.Series, masks: pd.Index | pd.Series, where: Where) -> np.ndarray:
        kept = np.asarray(masks.isin(self.main if where.masks is None else where.masks))
        return kept if where.datasets is None else kept & np.asarray(datasets.isin(where.datasets))

    def table(self, metric: str, where: Where = EVERYWHERE) -> pd.DataFrame:
        """Return a metric's values in its printed unit: rows (dataset, mask_type, image), a column for each pipeline."""
        if metric not in self._tables:
            values = self.rows.get(metric, pd.Series(math.nan, self.rows.index)).astype(float) * MEASURES[metric].scale
            index = ["dataset", "mask_type", "image"]
            rows = self.rows.assign(value=values)[values.notna()]
            self._tables[metric] = rows.pivot(index=index, columns="pipeline", values="value")
        wide = self._tables[metric]
        return wide[self._chosen(wide.index.get_level_values("dataset"), wide.index.get_level_values("mask_type"), where)]

    def compare(
        self, label: str, first: pd.Series, second: pd.Series, pipelines: Sequence[str] = (), lower_is_better: bool = False
    ) -> Comparison | None:
        """Compare two rows of values with one index, which has the levels dataset and image; None without a common face."""
        common = first.notna() & second.notna()
        if not common.any():
            return None
        first, second = first[common], second[common]
        gaps = pd.Series(differences(second, first) if lower_is_better else differences(first, second), first.index)
        return Comparison(label, first, second, gaps, tuple(pipelines), functools.partial(self.test, gaps, level=None))

    def pairs(self, metric: str, pairs: Iterable[tuple[str, str]], where: Where = EVERYWHERE) -> list[Comparison | None]:
        """Compare the first pipeline of each pair with the second, as far as the scores have both on the same faces."""
        wide, lower = self.table(metric, where), MEASURES[metric].lower_is_better
        return [
            self.compare(f"{pipeline_title(a)} against {pipeline_title(b)}", wide[a], wide[b], (a, b), lower)
            for a, b in pairs
            if a in wide and b in wide
        ]

    def test(self, gaps: pd.Series, level: float | None = 0.95, resamples: int = 10_000) -> PairedTest:
        """Test differences whose index has the levels dataset and image; people are resampled, not images."""
        units = [self._units[face] for face in _faces(gaps.index)]
        return difference_test(gaps, units, seed=self.seed, level=level, resamples=resamples)

    def count(self, faces: pd.Index | pd.DataFrame) -> int:
        """Return how many people, or photographs where identities are unknown, faces belong to.

        Parameters
        ----------
        faces : pandas.Index or pandas.DataFrame
            With the levels, or columns, dataset and image; of images that the scores have.
        """
        return len({self._units[face] for face in _faces(faces)})

    def independent(self, faces: pd.Index | pd.DataFrame) -> str:
        """Say how many people or photographs faces belong to: "6 people"."""
        known = {self._known[face] for face in _faces(faces)}
        what = "people or photographs" if len(known) > 1 else "people" if known == {True} else "photographs"
        return f"{self.count(faces)} {what}"

    def away(self, datasets: Sequence[str], compared: Collection[str]) -> list[str]:
        """Say which of the pipelines that were compared, or of all where it was something else, had learnt elsewhere."""
        rows = self.rows[self.rows["dataset"].isin(datasets)]
        mentioned = rows["pipeline"].isin(list(compared))
        rows = rows[mentioned] if mentioned.any() else rows
        rows = rows[(rows["trained_on"] != "") & (rows["trained_on"] != rows["dataset"])]
        said = []
        for (dataset, trained_on), group in rows.groupby(["dataset", "trained_on"], sort=True):
            names = [pipeline_title(name) for name in dict.fromkeys(group["pipeline"])]
            more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
            said.append(f"on {dataset} with weights trained on {trained_on}: {', '.join(names[:_NAMED])}{more}")
        return said

    def falls(self, metric: str, pipeline: str) -> tuple[pd.Series, list[float]]:
        """Return by how much a metric falls from one mask size to the next, for each face, and the means of the sizes.

        The fall is the least-squares slope over the sizes in their order, of faces that were scored under all of them.

        Raises
        ------
        NotTestableError
            If there are fewer than three sizes, or no face has all.
        """
        if len(self.sizes) < 3:
            raise NotTestableError(f"needs square masks of at least three fixed sizes, has {len(self.sizes)}")
        where = Where(self.sizes)
        wide = self.table(metric, where)
        if pipeline not in wide or wide[pipeline].isna().all():
            raise NotTestableError(
                f"needs {MEASURES[metric].title} under square masks of fixed sizes of {self.titles([pipeline], where)}"
            )
        by_size = wide[pipeline].unstack("mask_type").reindex(columns=self.sizes)
        faces = by_size.replace(math.inf, math.nan).dropna()
        if faces.empty:
            raise NotTestableError(f"needs faces that {pipeline_title(pipeline)} restored under all of {', '.join(self.sizes)}")
        steps = np.arange(len(self.sizes)) - (len(self.sizes) - 1) / 2
        slopes = (faces * steps).sum(axis=1) / (steps**2).sum()
        return (slopes if MEASURES[metric].lower_is_better else -slopes), faces.mean().tolist()


def _faces(faces: pd.Index | pd.DataFrame) -> list[tuple[str, str]]:
    """Return the data set and the image of each row."""
    names = ("dataset", "image")
    sides = [faces[name] if isinstance(faces, pd.DataFrame) else faces.get_level_values(name) for name in names]
    return list(zip(*sides, strict=True))


def _complete(frame: pd.DataFrame | None, columns: Sequence[str]) -> pd.DataFrame:
    """Return a frame that has these columns of texts, whatever was missing."""
    found = pd.DataFrame() if frame is None else frame.reset_index(drop=True)
    given = {name: found.get(name, pd.Series("", found.index, dtype=object)).astype(object) for name in columns}
    # A column that is empty throughout may have been read as numbers.
    return found.assign(**{name: column.where(column.notna(), "").astype(str) for name, column in given.items()})


def _home(rows: pd.DataFrame) -> pd.DataFrame:
    """Keep one training set for each data set and pipeline, the same for as many pipelines as can be."""
    kept = one_training(rows)
    key = [name for name in (*_CELL, "image", "metric") if name in kept]
    return kept.drop_duplicates(key)


def _missed(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the cells whose search missed its aim on more than half of its images: how many of them, and of how many."""
    aims = rows.assign(missed=pd.to_numeric(rows.get("missed", pd.Series(math.nan, rows.index))))
    found = aims.groupby(_CELL)["missed"].agg(missed="sum", searched="count")
    return found[2 * found["missed"] > found["searched"]]


def _side(mask_type: str) -> int:
    found = _SIDE.fullmatch(mask_type)
    return int(found.group(1)) if found else 0
