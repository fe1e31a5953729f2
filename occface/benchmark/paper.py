"""The numbers that the paper prints, as data, and beside ours; the names and the order in which tables show methods."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable
from importlib.resources import files as package_files
from typing import Any

import pandas as pd

from occface.benchmark.scores import ORDERS
from occface.errors import UsageError
from occface.occlusion.masks import mask_family
from occface.registry import did_you_mean

__all__ = [
    "INDEX",
    "PAPER_DATASETS",
    "compare",
    "mask_order",
    "order_rows",
    "paper_notes",
    "paper_scores",
    "paper_table",
    "pipeline_title",
]

#: The rows of Tables I, VI and VII, ours and the paper's.
INDEX = ("mask type", "order", "method")
PAPER_DATASETS = ("CelebA-HQ", "Multi-PIE", "Helen")

#: Methods under their published names, in the order of the paper's tables.
_TITLES = {
    "lr": "Occluded LR",
    "hr": "Ground-truth HR",
    "bicubic": "Bicubic",
    "fsrnet": "FSRNet",
    "fsrgan": "FSRGAN",
    "fhc": "FHC",
    "pulse": "PULSE",
    "re-cpgan": "Re-CPGAN",
    "real-esrgan": "Real-ESRGAN",
    "gfc": "GFC",
    "fcsr-gan": "FCSR-GAN",
    "pro-uigan:p-fp": "P-FP",
    "pro-uigan:p-gt": "P+GT",
    "pro-uigan:l-minus": "L-",
    "pro-uigan:l-dagger": "L†",
    "pro-uigan:l-ddagger": "L‡",
    "pro-uigan:l-star": "L*",
    "pro-uigan:l": "L",
    "pro-uigan": "Pro-UIGAN",
}
_ESTIMATED = " (mask estimated)"
_ADDED = re.compile(r" \((mask estimated|trained on .*)\)")
_MASKS = ("irregular", "square", "walk")

_NUMBERS = {str(place): roman for place, roman in enumerate(("I", "II", "III", "IV", "V", "VI", "VII"), start=1)}
#: The paper's tables in the form of ours: the levels of their rows.
_ROWS: dict[str, tuple[str, ...]] = {
    "I": INDEX,
    "II": ("mask type", "method"),
    "III": ("mask type", "method"),
    "IV": ("order", "method"),
    "V": ("mask type", "method", "trained on"),
    "VI": INDEX,
    "VII": INDEX,
}
#: What the paper calls its rows and columns, where ours are called otherwise.
_LOSSES = {"L_G^-": "L-", "L_G^dagger": "L†", "L_G^ddagger": "L‡", "L_G^star": "L*", "L_G": "L"}
_NAMES = _LOSSES | {
    "Ground-truth-HR": "Ground-truth HR",
    "Non-occluded-HR": "Ground-truth HR",
    "Occluded-LR": "Occluded LR",
}
_MODELS = {"Pro-UIGAN-C": "CelebA-HQ", "Pro-UIGAN-M": "Multi-PIE", "Pro-UIGAN-H": "Helen"}
_COLUMNS = {"model_size_KB": "KB", "running_time_ms": "median ms", "expression_accuracy_percent": "accuracy (%)"}
_GROUPS = {"KB": "size", "median ms": "time"}
_INPAINTER = {"SR+PA": "{} + GFC", "PA+SR": "GFC + {}"}
#: The mask type of numbers that the paper gives none for.
_UNSPECIFIED = "unspecified"

#: Groups of columns that are no data sets: sizes differ by the networks' widths, times by the machine.
_SIZE, _TIME = "size", "time"
_COMPARISON_CAPTION = (
    "The paper's Table {} beside ours, for the rows that both have; the difference is ours less the paper's. The data, the "
    "weights and the size of the networks differ, and the paper does not say how its numbers were computed: only the order of "
    "the methods can be compared, not the numbers themselves."
)


def pipeline_title(pipeline: str, mask_given: str = "") -> str:
    """Return the name of a pipeline as tables and figures print it; names that the paper does not have stay as they are.

    The variants of Tables II and III have the names that the paper gives them, other variants are named behind their method.

    Examples
    --------
    >>> pipeline_title("gfc+bicubic"), pipeline_title("fcsr-gan", "estimated")
    ('GFC + Bicubic', 'FCSR-GAN (mask estimated)')
    >>> pipeline_title("pro-uigan:p-fp"), pipeline_title("pro-uigan:released")
    ('P-FP', 'Pro-UIGAN (released)')
    """
    name = " + ".join(map(_method_title, pipeline.split("+")))
    return name + _ESTIMATED if mask_given == "estimated" else name


def _method_title(name: str) -> str:
    if name in _TITLES:
        return _TITLES[name]
    method, _, variant = name.partition(":")
    return f"{_TITLES.get(method, method)} ({variant})" if variant else name


def mask_order(mask_type: str) -> tuple[int, int, str]:
    """Return the sort key of a mask type: the paper's order, irregular before square, a family by size, then by name."""
    family = mask_family(mask_type.replace("_", "-"))
    size = re.search(r"\d+$", mask_type)
    return (_MASKS.index(family) if family in _MASKS else len(_MASKS), int(size[0]) if size else 0, mask_type)


def order_rows(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table with its rows in the paper's order.

    The levels of the rows are compared from left to right: a ``mask type``, an ``order`` of SR and inpainting, a ``method``
    and what it was ``trained on`` as the paper has them; what other levels hold, as it first comes.
    """
    names = list(table.index.names)
    places = {name: {value: place for place, value in enumerate(table.index.unique(name))} for name in names}

    def key(row: Hashable) -> tuple[object, ...]:
        values = dict(zip(names, row if isinstance(row, tuple) else (row,), strict=True))
        known: dict[str, Callable[[Any], object]] = {
            "mask type": mask_order,
            "order": ORDERS.index,
            "method": lambda value: _method_order(value, values.get("order", "")),
            "trained on": _dataset_order,
        }
        return tuple(known.get(name, places[name].__getitem__)(value) for name, value in values.items())

    return table.loc[sorted(table.index, key=key)]


def _dataset_order(dataset: str) -> tuple[int, str]:
    return (PAPER_DATASETS.index(dataset) if dataset in PAPER_DATASETS else len(PAPER_DATASETS), dataset)


def _method_order(method: str, order: str) -> tuple[int, str]:
    titles = list(_TITLES.values())
    parts = _ADDED.sub("", method).split(" + ")
    # The super-resolver tells the rows of one order apart: it comes last in PA+SR.
    part = parts[-1] if order == "PA+SR" else parts[0]
    found = part if part in titles else part.partition(" (")[0]
    return (titles.index(found) if found in titles else len(titles), method)


def paper_scores() -> pd.DataFrame:
    """Return every number of the paper's Tables I to VII, one a row.

    Returns
    -------
    pandas.DataFrame
        Columns table, dataset, mask_type, order, method, metric, value. The mask type of Tables II to V is inferred: their
        numbers are those of the square rows of Table I. Table ``VI-alt`` is another version of Table VII.

    Examples
    --------
    >>> len(paper_scores())
    278
    """
    return _read("paper_tables.csv", na_values={"value": [""]})


def _read(name: str, **options: Any) -> pd.DataFrame:
    """Read a table of the package, whose empty cells are texts unless the options say otherwise."""
    with package_files("occface.benchmark").joinpath(name).open(encoding="utf-8") as handle:
        return pd.read_csv(handle, keep_default_na=False, **options)


def paper_notes(number: str) -> pd.DataFrame:
    """Return what must be known of the numbers of one of the paper's tables: its slips, and what it leaves unsaid.

    Parameters
    ----------
    number : str
        As for `paper_table`.

    Returns
    -------
    pandas.DataFrame
        Columns table, dataset, order, method, metric, note: which numbers the note is about, as `paper_scores` names them (the
        metric as the columns of `paper_table`). An empty text stands for all.

    Raises
    ------
    UsageError
        If there is no such table.

    Examples
    --------
    >>> print(paper_notes("V")["note"][0][:36])
    25.562 here, 25.682 in Tables I to I
    """
    notes = _read("paper_notes.csv", dtype=str)
    return notes[notes["table"] == _roman(number)].reset_index(drop=True)


def _roman(number: str) -> str:
    roman = _NUMBERS.get(number, number)
    if roman not in _ROWS:
        raise UsageError(f"unknown table '{number}' of the paper: {did_you_mean(number, [*_ROWS, *_NUMBERS])}")
    return roman


def paper_table(number: str) -> pd.DataFrame:
    """Return a table of the paper in the form in which ours is built.

    Parameters
    ----------
    number : str
        ``"I"`` to ``"VII"``, or ``"1"`` to ``"7"``.

    Returns
    -------
    pandas.DataFrame
        Columns (data set, metric); in Table IV also (size, KB) and (time, median ms). Rows (mask type, order, method) in
        Tables I, VI and VII; (mask type, method) in II and III, (order, method) in IV, (mask type, method, trained on) in V.
        The paper prints the joint methods in both of its halves with the same numbers; here they stand once, under the order
        ``"joint"``. The mask type is ``"unspecified"`` in Tables VI and VII.

    Raises
    ------
    UsageError
        If there is no such table.

    Examples
    --------
    >>> float(paper_table("I").loc[("square", "joint", "Pro-UIGAN"), ("CelebA-HQ", "PSNR")])
    25.682
    >>> float(paper_table("5").loc[("square", "Pro-UIGAN", "Helen"), ("Multi-PIE", "SSIM")])
    0.572
    """
    number = _roman(number)
    scores = paper_scores()
    rows = scores[scores["table"] == number]
    rows = rows.assign(order=rows["order"].str.split("|")).explode("order", ignore_index=True)
    rows["trained on"] = rows["method"].map(_MODELS)
    methods = rows["method"].where(rows["trained on"].isna(), "Pro-UIGAN")
    rows["method"] = [
        _INPAINTER.get(order, "{}").format(_NAMES.get(name, name)) for order, name in zip(rows["order"], methods, strict=True)
    ]
    rows["metric"] = rows["metric"].replace(_COLUMNS)
    rows["dataset"] = [_GROUPS.get(metric, dataset) for metric, dataset in zip(rows["metric"], rows["dataset"], strict=True)]
    wide = rows.rename(columns={"mask_type": "mask type"}).pivot(
        index=list(_ROWS[number]), columns=["dataset", "metric"], values="value"
    )
    groups = [group for group in (*_GROUPS.values(), *PAPER_DATASETS) if group in set(rows["dataset"])]
    pairs = list(dict.fromkeys(zip(rows["dataset"], rows["metric"], strict=True)))
    columns = pd.MultiIndex.from_tuples(sorted(pairs, key=lambda pair: groups.index(pair[0])), names=["dataset", "metric"])
    table = order_rows(wide.reindex(columns=columns))
    notes = " ".join(paper_notes(number)["note"])
    table.attrs["caption"] = f"Table {number} of the paper. PA is GFC throughout. {notes}"
    return table


def compare(number: str, table: pd.DataFrame, beside: str | None = None) -> pd.DataFrame:
    """Put the paper's numbers, and the differences, beside ours, for the rows that both have.

    Parameters
    ----------
    number : str
        The table, as for `paper_table`.
    table : pandas.DataFrame
        Ours, as `occface.benchmark.tables.TABLES` builds it.
    beside : str, optional
        A data set of the paper, one of `PAPER_DATASETS`, whose numbers are to stand beside those of ours that the paper does
        not have; they are marked as other data. By default only data sets of the paper's own names are compared.

    Returns
    -------
    pandas.DataFrame
        Rows as in `table`; columns (data set and whose, metric): ``"Helen: ours"``, ``"Helen: paper"``, ``"Helen: difference"``
        (none for times, which another machine took, and for sizes only where the preset is the paper's);
        or, for other data, ``"demo: ours"``, ``"demo: paper's Helen (other data)"``, ``"demo: difference"``. A mask type is
        matched by its whole name: a single bin of irregular masks is not the paper's mix of them. Where the paper names no
        mask type, its number stands beside ours of every one. Below, in ``attrs["caption"]``, what must be known of the
        paper's numbers.

    Raises
    ------
    UsageError
        If the paper has no such table or data set.
    """
    number = _roman(number)
    if beside is not None and beside not in PAPER_DATASETS:
        raise UsageError(f"the paper has no data set '{beside}': {did_you_mean(beside, PAPER_DATASETS)}")
    theirs = paper_table(number)
    if "mask type" in theirs.index.names and _UNSPECIFIED in theirs.index.unique("mask type"):
        theirs = theirs.droplevel("mask type")
    blocks: dict[tuple[str, str], pd.Series] = {}
    found = pd.Series(False, index=table.index)
    sources = theirs.columns.unique(0)
    for group in table.columns.unique(0):
        source = group if group in sources else beside
        if source is None or source not in sources:
            continue
        keys = _keys(table.index, theirs.index.names, group, source)
        common = [metric for metric in theirs[source].columns if metric in table[group].columns]
        if not common:
            continue
        paper = theirs[source].reindex(keys)[common].set_axis(table.index)
        found |= keys.isin(theirs.index[theirs[source].notna().any(axis=1)])
        whose = "paper" if source == group else f"paper's {source} (other data)"
        blocks |= {(f"{group}: ours", name): table[(group, name)] for name in (*common, "n") if (group, name) in table.columns}
        blocks |= {(f"{group}: {whose}", name): paper[name] for name in common}
        if group != _TIME:
            alike = _as_wide(table) if group == _SIZE else pd.Series(True, table.index)
            blocks |= {(f"{group}: difference", name): (table[(group, name)] - paper[name]).where(alike) for name in common}
    both = pd.DataFrame(blocks, index=table.index)[found.to_numpy()]
    if both.empty:
        both.attrs["caption"] = f"No row of ours stands in the paper's Table {number}."
        return both
    both.columns.names = ["dataset", "metric"]
    notes = " ".join(["Of the paper's numbers:", *paper_notes(number)["note"]])
    both.attrs["caption"] = f"{_COMPARISON_CAPTION.format(number)} {notes}"
    return both


def _as_wide(table: pd.DataFrame) -> pd.Series:
    """Tell the rows whose networks are as wide as the paper's."""
    preset = ("networks", "preset")
    return table[preset] == "paper" if preset in table else pd.Series(False, table.index)


def _keys(rows: pd.Index, levels: list[Any], dataset: str, source: str) -> pd.Index:
    """Return the paper's row for each of ours: only the levels that it has; a model of the data set itself is such there."""
    keys = rows.droplevel([name for name in rows.names if name not in levels]).to_frame(index=False)[list(levels)]
    if "trained on" in keys:
        keys["trained on"] = keys["trained on"].replace({dataset: source})
    return pd.MultiIndex.from_frame(keys)
