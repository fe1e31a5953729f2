"""How the quantitative figures look: hues, markers, labels, and the kinds of plots that `occface.benchmark.curves` fills."""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullLocator

from occface import files
from occface.benchmark.paper import pipeline_title
from occface.benchmark.scores import MASKS_GIVEN, ORDERS
from occface.benchmark.tables.quantities import FEWEST
from occface.metrics import column

__all__ = [
    "HUES", "MARKERS", "SOFT", "STYLE", "bubbles", "count", "entry", "errors", "label", "lines", "looks", "matrix",
    "save", "separate_orders", "series", "series_title", "size_text", "sorted_lines",
]  # fmt: skip

STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    # The page shines through, so that a report can show drawings light on dark.
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "axes.axisbelow": True,
    "grid.color": "#e3e6ea",
    "legend.frameon": False,
    # Letters as outlines: the same picture on a machine without the font. A fixed salt: the same ids in every run.
    "svg.fonttype": "path",
    "svg.hashsalt": "occface",
}
#: Hues that colour-blind readers tell apart (Okabe and Ito, 2008, without yellow, which is faint on white).
HUES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "*", "p")
#: Methods in the order of the paper's tables, each with a hue and a marker that it keeps in every figure.
_LOOKS = {
    "bicubic": (HUES[6], "X"),
    "fsrnet": (HUES[5], "P"),
    "fsrgan": (HUES[1], ">"),
    "fhc": (HUES[2], "^"),
    "pulse": (HUES[3], "D"),
    "re-cpgan": (HUES[4], "v"),
    "real-esrgan": (HUES[0], "<"),
    "fcsr-gan": (HUES[1], "s"),
    "pro-uigan": (HUES[0], "o"),
}
_NAMES = {"psnr": "PSNR", "ssim": "SSIM", "stlpips": "ST-LPIPS", "identity_cosine": "cosine similarity of identity"}
SOFT, _INK = "#56606b", "#1d2126"
#: Area of the largest circle of `bubbles`, in square points.
_LARGEST_CIRCLE = 220

#: A line of a figure: order, pipeline, mask given.
Line = tuple[str, str, str]
#: The super-resolver or joint method, and the inpainter beside it if there is one.
Series = tuple[str, str]


def label(metric: str) -> str:
    """Return what an axis says of a metric: its name, with its unit where it has one."""
    name, found = _NAMES.get(metric, metric.replace("_", " ")), column(metric)
    return f"{name} ({found.unit})" if found and found.unit else name


def series(order: str, pipeline: str) -> Series:
    """Return what gives a pipeline its hue and marker: both orders of the same two methods look alike.

    Examples
    --------
    >>> series("SR+PA", "fhc+gfc") == series("PA+SR", "gfc+fhc") == ("fhc", "gfc")
    True
    """
    first, _, rest = pipeline.partition("+")
    return (rest, first) if order == "PA+SR" else (first, rest)


def series_title(one: Series) -> str:
    """Return what a legend calls a series: ``FHC and GFC`` for both orders."""
    return " and ".join(pipeline_title(part) for part in one if part)


def _rank(one: Series) -> tuple[int, str, str]:
    method, inpainter = one
    return (list(_LOOKS).index(method) if method in _LOOKS else len(_LOOKS), method, inpainter)


def looks(wanted: Iterable[Series]) -> dict[Series, tuple[str, str]]:
    """Return a hue and a marker for each series, in the order of the tables.

    A method alone looks as with its first inpainter, for `lines` dots it; no other two series look alike, up to 77 of them.
    """
    pairs = list(zip(itertools.cycle(HUES), itertools.islice(itertools.cycle(MARKERS), len(HUES) * len(MARKERS)), strict=False))
    ordered = sorted(set(wanted), key=_rank)
    taken: dict[Series, tuple[str, str]] = {}
    for one in ordered:
        method, inpainter = one
        first = next((other for other in taken if inpainter and other == (method, "")), None)
        own = taken[first] if first else _LOOKS.get(method)
        shared = first is not None and [*taken.values()].count(taken[first]) == 1
        if own is None or (own in taken.values() and not shared):
            reserved = {*taken.values(), *(_LOOKS[other] for other, _ in ordered if other in _LOOKS)}
            own = next(pair for pair in pairs if pair not in reserved)
        taken[one] = own
    return taken


def sorted_lines(means: pd.DataFrame) -> list[Line]:
    """Return the lines that a frame has rows of, in the order of the tables."""
    found = {*zip(means["order"], means["pipeline"], means["mask_given"], strict=True)}
    return sorted(found, key=lambda line: (ORDERS.index(line[0]), _rank(series(*line[:2])), MASKS_GIVEN.index(line[2])))


def count(n: Iterable[int]) -> str:
    """Return the numbers of images behind several means as one short text, the fewest and the most.

    Examples
    --------
    >>> count([100, 100]), count([16, 24, 100])
    ('100', '16–100')
    """
    known = sorted({int(number) for number in n if number > 0})
    return "–".join(map(str, dict.fromkeys((known[0], known[-1])))) if known else "0"  # noqa: RUF001


def errors(means: pd.DataFrame) -> np.ndarray:
    """Return (2, n) distances from means to the ends of their intervals; none where there is no interval."""
    ends = np.stack([means["mean"] - means["low"], means["high"] - means["mean"]]).astype(float)
    return np.where(np.isfinite(ends), np.maximum(ends, 0), 0)


def entry(text: str, hue: str, marker: str = "", line: Any = "", hollow: bool = False) -> Line2D:
    """Return a legend's entry: a marker, a kind of line, or both."""
    return Line2D(
        [], [], color=hue, marker=marker, linestyle=line, markersize=5, fillstyle="none" if hollow else "full", label=text
    )


def lines(axis: Any, means: pd.DataFrame, places: int, look: dict[Series, tuple[str, str]], faint: bool = False) -> None:
    """Draw one line for each pipeline of a frame with the columns place, mean, low, high, n; its interval as a band.

    A missing place breaks the line. Pipelines given an estimated mask are dashed. Markers are hollow where a mean is of fewer
    than `FEWEST` images. Faint lines have neither band nor marker.
    """
    for order, pipeline, given in sorted_lines(means):
        part = means[(means["order"] == order) & (means["pipeline"] == pipeline) & (means["mask_given"] == given)]
        part = part.set_index("place").reindex(range(places))
        middle = part["mean"].where(np.isfinite(part["mean"].astype(float)))
        hue, marker = look[series(order, pipeline)]
        style = ":" if faint else "--" if given == "estimated" else "-"
        few = (part["n"] < FEWEST).to_numpy()
        axis.plot(
            middle.index, middle, style, color=hue, linewidth=1.4,
            marker=None if faint else marker, markersize=4.5, markevery=np.flatnonzero(~few).tolist(),
        )  # fmt: skip
        if not faint:
            if few.any():
                axis.scatter(middle.index[few], middle[few], s=22, marker=marker, facecolors="none", edgecolors=hue)
            below, above = errors(part)
            axis.fill_between(middle.index, middle - below, middle + above, color=hue, alpha=0.15, linewidth=0)
            alone = middle.notna() & middle.shift(1).isna() & middle.shift(-1).isna()
            if alone.any():  # a band needs two neighbours
                axis.errorbar(
                    middle.index[alone], middle[alone], yerr=np.stack([below, above])[:, alone], fmt="none", ecolor=hue
                )


def matrix(axis: Any, counts: np.ndarray, names: Sequence[str]) -> None:
    """Draw a confusion matrix (true, seen): counts and row shares as text, shares as colour."""
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for true, seen in np.ndindex(counts.shape):
        if counts[true].any():
            text = f"{counts[true, seen]}\n{100 * shares[true, seen]:.0f} %" if counts[true, seen] else "0"
            ink = "white" if shares[true, seen] > 0.55 else _INK if counts[true, seen] else SOFT
            axis.text(seen, true, text, ha="center", va="center", fontsize=7, color=ink)
    axis.set_xticks(range(len(names)), names, rotation=40, ha="right", rotation_mode="anchor", fontsize=8)
    axis.set_yticks(range(len(names)), names, fontsize=8)
    axis.set_xlabel("seen")
    axis.spines[:].set_visible(False)
    axis.tick_params(length=0)


def bubbles(axis: Any, points: pd.DataFrame, largest: float) -> None:
    """Draw the columns median_ms (from left to right, logarithmic), psnr (upwards) and size_kb (area, of `largest`).

    Where the column noisy holds, the name says it. Circles that lie over each other can be told apart: they are clear with a
    firm rim, the smaller above the larger, a dot in the middle.
    Names stand in a column at the right edge, each beside a thin line to its circle, so that they cover nothing.
    """
    axis.set_xscale("log")
    axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.xaxis.set_major_formatter("{x:g}")
    axis.xaxis.set_minor_locator(NullLocator())
    ordered = points.sort_values("psnr", ascending=False, kind="stable")
    low, high = float(ordered["psnr"].min()), float(ordered["psnr"].max())
    margin = max(0.1 * (high - low), 0.5)
    axis.set_ylim(low - margin, high + margin)
    axis.set_xlim(ordered["median_ms"].min() / 1.6, ordered["median_ms"].max() * 1.6)
    # In fractions of the axes, as the names' places are.
    across = (np.log(ordered["median_ms"] * 1.6 / ordered["median_ms"].min())) / np.log(
        2.56 * ordered["median_ms"].max() / ordered["median_ms"].min()
    )
    upwards = (ordered["psnr"] - low + margin) / (high - low + 2 * margin)
    heights = _spread(upwards.tolist())
    hues = [HUES[ORDERS.index(order)] for order in ordered["order"]]
    leaders = [[(x, y), (1.02, height)] for x, y, height in zip(across, upwards, heights, strict=True)]
    thin = LineCollection(leaders, colors=hues, linewidths=0.5, alpha=0.7, transform=axis.transAxes, clip_on=False)
    thin.set_in_layout(False)
    axis.add_collection(thin, autolim=False)
    names = [
        f"{pipeline_title(point['pipeline'])} ({size_text(point['size_kb'])}{'; noisy time' if point['noisy'] else ''})"
        for _, point in ordered.iterrows()
    ]
    for (_, point), hue, name, height in zip(ordered.iterrows(), hues, names, heights, strict=True):
        area = _LARGEST_CIRCLE * max(point["size_kb"] / largest, 0.02) if largest > 0 else 9
        above = 3 - area / _LARGEST_CIRCLE
        axis.scatter(
            point["median_ms"], point["psnr"], s=area, facecolors=to_rgba(hue, 0.22), edgecolors=hue, linewidths=1, zorder=above
        )
        axis.plot(point["median_ms"], point["psnr"], ".", color=hue, markersize=3, zorder=3.5)
        text = axis.text(1.03, height, name, transform=axis.transAxes, va="center", fontsize=7.5)
        text.set_in_layout(len(name) == max(map(len, names)))  # room for one is room for all, and found sooner


def _spread(heights: Sequence[float]) -> list[float]:
    """Move falling heights in [0, 1] apart, as little as one pass down and one up allow, so that names do not overlap."""
    gap = 0.96 / max(len(heights), 12)
    placed = list(heights)
    for place, height in enumerate(heights):
        placed[place] = min(height, placed[place - 1] - gap if place else 0.98)
    floor = 0.02
    for place in reversed(range(len(placed))):
        placed[place] = max(placed[place], floor)
        floor = placed[place] + gap
    return placed


def size_text(kilobytes: float) -> str:
    """Return the size of weights for people.

    Examples
    --------
    >>> size_text(4677), size_text(0), size_text(530), size_text(float("nan"))
    ('4.7 MB', 'no weights', '530 KB', 'size unknown')
    """
    if math.isnan(kilobytes):
        return "size unknown"
    if kilobytes <= 0:
        return "no weights"
    if kilobytes < 1000:
        return f"{kilobytes:.0f} KB"
    return f"{kilobytes / 1000:.0f} MB" if kilobytes >= 1e5 else f"{kilobytes / 1000:.1f} MB"


def separate_orders(axes: Sequence[Any], orders: Sequence[str]) -> None:
    """Draw a thin line between the rows of different orders, and write each order beside its first row."""
    for place, order in enumerate(orders):
        if place and order != orders[place - 1]:
            for axis in axes:
                axis.axhline(place - 0.5, color=SOFT, linewidth=0.6)
        if not place or order != orders[place - 1]:
            axes[-1].text(1.01, place, order, transform=axes[-1].get_yaxis_transform(), va="center", fontsize=8, color=SOFT)


def save(figure: Figure, path: str | os.PathLike[str], title: str) -> Path:
    """Lay a figure out and write it as SVG, atomically and without the date, so that equal figures give equal bytes."""
    # Laid out here, for a figure that has a layout engine is drawn twice; and again, for axes that keep their shape move.
    figure.dpi = 72
    FigureCanvasSVG(figure)
    for _ in range(2):
        ConstrainedLayoutEngine().execute(figure)
    with files.atomic_path(path) as temporary:
        figure.savefig(temporary, format="svg", metadata={"Date": None, "Title": title})
    return Path(path)
