"""The numbers that the paper prints, as data, and beside ours."""

from __future__ import annotations

from importlib.resources import files as package_files

import pandas as pd

from occface.benchmark.scores import ORDERS
from occface.errors import UsageError
from occface.occlusion.masks import mask_family
from occface.registry import did_you_mean

__all__ = ["INDEX", "PAPER_DATASETS", "compare", "mask_order", "order_rows", "paper_scores", "paper_table", "pipeline_title"]

#: The rows of Table I, ours and the paper's.
INDEX = ("mask type", "order", "method")
PAPER_DATASETS = ("CelebA-HQ", "Multi-PIE", "Helen")

#: Methods under their published names, in the order of the paper's tables.
_TITLES = {
    "bicubic": "Bicubic",
    "fsrnet": "FSRNet",
    "fsrgan": "FSRGAN",
    "fhc": "FHC",
    "pulse": "PULSE",
    "re-cpgan": "Re-CPGAN",
    "real-esrgan": "Real-ESRGAN",
    "gfc": "GFC",
    "fcsr-gan": "FCSR-GAN",
    "pro-uigan": "Pro-UIGAN",
}
_ESTIMATED = " (mask estimated)"
_MASKS = ("irregular", "square", "walk")

_COMPARISON_CAPTION = (
    "The paper's Table I beside ours, for the rows that both have. The data, the weights and the size of the networks differ, "
    "and the paper does not say how its PSNR and SSIM were computed: only the order of the methods can be compared, "
    "not the numbers themselves."
)


def pipeline_title(pipeline: str, mask_given: str = "") -> str:
    """Return the name of a pipeline as tables and figures print it; names that the paper does not have stay as they are.

    Examples
    --------
    >>> pipeline_title("gfc+bicubic"), pipeline_title("fcsr-gan", "estimated")
    ('GFC + Bicubic', 'FCSR-GAN (mask estimated)')
    """
    name = " + ".join(_TITLES.get(part, part) for part in pipeline.split("+"))
    return name + _ESTIMATED if mask_given == "estimated" else name


def mask_order(mask_type: str) -> tuple[int, str]:
    """Return the sort key of a mask type: the paper's order, irregular before square, the kinds of a family by name."""
    family = mask_family(mask_type)
    return (_MASKS.index(family) if family in _MASKS else len(_MASKS), mask_type)


def order_rows(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table with its rows in the paper's order: mask type, then order of SR and inpainting, then method."""
    titles = list(_TITLES.values())

    def key(row: tuple[str, str, str]) -> tuple[object, ...]:
        mask_type, order, method = row
        parts = [titles.index(part) if part in titles else len(titles) for part in method.removesuffix(_ESTIMATED).split(" + ")]
        # The super-resolver tells the rows of one order apart: it comes last in PA+SR.
        return (*mask_order(mask_type), ORDERS.index(order), parts[-1] if order == "PA+SR" else parts[0], method)

    return table.loc[sorted(table.index, key=key)]


def paper_scores() -> pd.DataFrame:
    """Return every number of the paper's Tables I to VII, one a row.

    Returns
    -------
    pandas.DataFrame
        Columns table, dataset, mask_type, order, method, metric, value. The mask type of Tables II to V is inferred: their
        numbers are those of the square rows of Table I.

    Examples
    --------
    >>> len(paper_scores())
    278
    """
    with package_files("occface.benchmark").joinpath("paper_tables.csv").open(encoding="utf-8") as handle:
        return pd.read_csv(handle, keep_default_na=False, na_values={"value": [""]})


def paper_table(number: str) -> pd.DataFrame:
    """Return a table of the paper in the form in which ours is built.

    Parameters
    ----------
    number : str
        ``"I"``; the others follow with the tables that they are held against.

    Returns
    -------
    pandas.DataFrame
        Rows (mask type, order, method); columns (data set, metric). The paper prints the joint methods in both of its
        halves with the same numbers; here they stand once, under the order ``"joint"``.

    Raises
    ------
    UsageError
        If there is no such table here.

    Examples
    --------
    >>> float(paper_table("I").loc[("square", "joint", "Pro-UIGAN"), ("CelebA-HQ", "PSNR")])
    25.682
    """
    if number != "I":
        raise UsageError(f"unknown table '{number}' of the paper: {did_you_mean(number, ['I'])}")
    rows = paper_scores().query("table == @number")
    inpainter = {"SR+PA": "{} + GFC", "PA+SR": "GFC + {}", "joint": "{}"}
    method = [inpainter[order].format(name) for order, name in zip(rows["order"], rows["method"], strict=True)]
    table = rows.assign(method=method).pivot(
        index=["mask_type", "order", "method"], columns=["dataset", "metric"], values="value"
    )
    columns = pd.MultiIndex.from_product([PAPER_DATASETS, ["PSNR", "SSIM"]], names=["dataset", "metric"])
    table = order_rows(table.reindex(columns=columns).rename_axis(index=list(INDEX)))
    table.attrs["caption"] = "Table I of the paper. PA is GFC throughout. The paper does not define its PSNR and SSIM."
    return table


def compare(table: pd.DataFrame, dataset: str = "CelebA-HQ") -> pd.DataFrame:
    """Put the paper's numbers beside ours, for the rows that both have.

    Parameters
    ----------
    table : pandas.DataFrame
        What `occface.benchmark.tables.table_1` returns.
    dataset : str
        The data set of the paper whose numbers are shown: one of `PAPER_DATASETS`.

    Returns
    -------
    pandas.DataFrame
        Rows (mask type, order, method); columns (whose, metric), ours first: ``"ours: demo"``, ``"paper: CelebA-HQ"``. A
        mask type is matched by its whole name: a single bin of irregular masks is not the paper's mix of them.

    Raises
    ------
    UsageError
        If the paper has no such data set.
    """
    if dataset not in PAPER_DATASETS:
        raise UsageError(f"the paper has no data set '{dataset}': {did_you_mean(dataset, PAPER_DATASETS)}")
    theirs = paper_table("I")[[dataset]].rename(columns=lambda name: f"paper: {name}", level=0)
    ours = table.drop(columns="failed", level=1, errors="ignore").rename(columns=lambda name: f"ours: {name}", level=0)
    both = order_rows(ours.join(theirs, how="inner"))
    both.attrs["caption"] = "No row of ours stands in the paper's Table I." if both.empty else _COMPARISON_CAPTION
    return both
