"""The numbers that tables show: their titles, units and decimals, and which way is better."""

from __future__ import annotations

import functools
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass

from occface.metrics import Column
from occface.metrics import column as metric_column

__all__ = [
    "COUNTS",
    "FEWEST",
    "HIDDEN",
    "NOISY",
    "N_SUFFIX",
    "Quantity",
    "contracts_of",
    "is_metric",
    "of_column",
    "of_metric",
    "of_title",
]

#: Columns beside the means of a data set: images scored, images that failed.
COUNTS = ("n", "failed")
#: What the name of a column ends in that goes into the CSV alone: the bounds of the 95 % interval of a mean.
HIDDEN = (" low", " high")
#: What the name of a column ends in that says of how many images a mean is.
N_SUFFIX = " n"
#: Means of fewer images than this are shown faintly: they say too little to call one of them the best.
FEWEST = 5
#: The column that says, in the group of columns where it stands, which rows were measured while other work ran.
NOISY = "noisy"


@dataclass(frozen=True)
class Quantity:
    """A number of a table.

    Attributes
    ----------
    title : str
        The name of its column.
    metric : str
        The column of the scores, or the set metric, that it is the mean of; empty for numbers of another kind.
    factor : float
        What the scores are multiplied by: 100 for shares that are shown in per cent.
    decimals : int
        With how many it is printed: as the paper prints it, else as the metric says.
    digits : int
        The most significant digits that are printed, whatever `decimals` says; 0 for as many as there are.
    higher_is_better : bool or None
        None where neither way is better.
    contract : str
        How it is computed, in a sentence.
    """

    title: str
    metric: str = ""
    factor: float = 1.0
    decimals: int = 3
    higher_is_better: bool | None = None
    contract: str = ""
    digits: int = 0


#: Titles of metrics, and by what their scores are multiplied. Others have their own names.
_METRICS: dict[str, tuple[str, float]] = {
    "psnr": ("PSNR", 1),
    "ssim": ("SSIM", 1),
    "psnr_y": ("PSNR (Y)", 1),
    "psnr_masked": ("PSNR masked", 1),
    "psnr_visible": ("PSNR visible", 1),
    "psnr_stage_1": ("PSNR stage 1", 1),
    "psnr_stage_2": ("PSNR stage 2", 1),
    "psnr_stage_3": ("PSNR stage 3", 1),
    "stlpips": ("ST-LPIPS", 1),
    "frechet": ("Frechet", 1),
    "nrmse_outer_eyes": ("NRMSE", 1),
    "nrmse_eye_centres": ("NRMSE (eye centres)", 1),
    "nrmse_face_width": ("NRMSE (face width)", 1),
    "iou": ("IoU", 1),
    "identity_cosine": ("identity cosine", 1),
    "identified": ("rank-1 (%)", 100),
    "expression_correct": ("accuracy (%)", 100),
}
_BY_TITLE = {title: metric for metric, (title, _) in _METRICS.items()}
#: The decimals of the paper, where they are not those of the metrics. Shares that are shown in per cent have two as well.
_PRINTED = {"nrmse": 2, "iou": 4}
_PER_CENT_DECIMALS = 2
#: Of times: further ones change from run to run.
_TIME_DIGITS = 3

#: Of Table IV, and how long the rows of others were trained.
_OTHERS = {
    quantity.title: quantity
    for quantity in (
        Quantity("KB", decimals=0, higher_is_better=False, contract="Size of the model in KB of 1024 bytes"),
        Quantity("parameters (M)", decimals=3, higher_is_better=False, contract="Parameters in millions"),
        Quantity("GMAC", decimals=2, higher_is_better=False, contract="GMAC are 10^9 multiply-accumulates for one face"),
        *(
            Quantity(title, higher_is_better=False, contract=contract, digits=_TIME_DIGITS)
            for title, contract in (
                ("median ms", "Time of one face, batch 1: median of the runs"),
                ("p90 ms", "The p90 is the time that nine runs of ten stay below"),
            )
        ),
        Quantity("peak MB", decimals=1, higher_is_better=False, contract="Peak memory in MB"),
        Quantity("minutes", decimals=1),
        Quantity("images seen", decimals=0),
        *(Quantity(name, decimals=0) for name in (*COUNTS, "runs")),
    )
}


@functools.cache
def _asked(metric: str) -> Column | None:
    """Ask the metrics which way a score points, how it is printed and computed. Nothing else here asks them."""
    return metric_column(metric)


def is_metric(name: str) -> bool:
    """Tell whether a column of the scores is that of a metric, ours or one that is plugged in."""
    return _asked(name) is not None


def of_metric(metric: str) -> Quantity:
    """Return the quantity that is the mean of a column of the scores."""
    title, factor = _METRICS.get(metric, (metric, 1.0))
    if metric.startswith("iou_"):
        title = f"IoU {metric.removeprefix('iou_')}"
    column = _asked(metric)
    if column is None:
        return Quantity(title, metric, factor)
    decimals = _PRINTED.get(metric.partition("_")[0], column.decimals) if factor == 1 else _PER_CENT_DECIMALS
    return Quantity(title, metric, factor, decimals, column.higher_is_better, column.contract)


def of_title(title: str) -> Quantity | None:
    """Return the quantity that a title stands for; None for what is none, such as the words of a claim."""
    if title in _OTHERS:
        return _OTHERS[title]
    if title.endswith(N_SUFFIX):
        return _OTHERS["n"]
    for suffix in HIDDEN:
        title = title.removesuffix(suffix)
    metric = _BY_TITLE.get(title) or (f"iou_{title.removeprefix('IoU ')}" if title.startswith("IoU ") else title)
    return of_metric(metric) if title in _BY_TITLE or is_metric(metric) else None


def of_column(column: Hashable) -> Quantity | None:
    """Return the quantity of a frame's column, whose name, or the last part of it, is a title."""
    return of_title(str(column[-1] if isinstance(column, tuple) else column))


def contracts_of(titles: Iterable[str], measured: Mapping[str, str]) -> str:
    """Return how the numbers under these titles were computed, in sentences, each once.

    What was measured with other than the default settings says so itself: `measured` holds its contracts by metric.
    """
    quantities = [quantity for title in titles if not title.endswith(HIDDEN) and (quantity := of_title(title))]
    contracts = dict.fromkeys(measured.get(quantity.metric, quantity.contract).rstrip(".") for quantity in quantities)
    return " ".join(f"{contract}." for contract in contracts if contract)
