"""Table IV: size and speed beside quality."""

from __future__ import annotations

import pandas as pd

from occface.benchmark.paper import mask_order, order_rows, pipeline_title
from occface.benchmark.statistics import with_intervals
from occface.benchmark.tables.frames import Frames, table_rows
from occface.benchmark.tables.means import given
from occface.benchmark.tables.quantities import HIDDEN, contracts_of, of_metric

__all__ = ["table_iv"]

#: What the paper shows PSNR of.
_DATASET, _MASK = "CelebA-HQ", "square"
#: Columns of the table: where it stands, which number it is, and by what that is divided.
_COLUMNS = {
    ("size", "KB"): ("size_kb", 1.0),
    ("size", "parameters (M)"): ("parameters", 1e6),
    ("time", "median ms"): ("median_ms", 1.0),
    ("time", "p90 ms"): ("p90_ms", 1.0),
    ("time", "runs"): ("runs", 1.0),
    ("cost", "GMAC"): ("macs", 1e9),
    ("cost", "peak MB"): ("peak_memory_mb", 1.0),
}
_MEASURED_ON = ("device", "precision")


def table_iv(frames: Frames) -> pd.DataFrame | None:
    """Build Table IV: model size, running time, multiply-accumulates, memory and PSNR.

    The paper prints both orders of SR and inpainting in one row; here each pipeline has its own, for it is timed as a whole.

    Parameters
    ----------
    frames : Frames
        Its ``efficiency`` and, for the PSNR, its ``scores``.

    Returns
    -------
    pandas.DataFrame or None
        Rows (counted, order, method), preceded by device and precision where there are several of them; rows compete within
        those. Columns (size, ...), (time, ...), (cost, ...), and (data set, PSNR) with its interval and n: on CelebA-HQ and
        square masks as in the paper where these were scored, else on the first data set and mask type.
    """
    measured = frames.efficiency
    if measured.empty:
        return None
    several = [name for name in _MEASURED_ON if measured[name].nunique() > 1]
    index = [*several, "counted", "order", "method"]
    named = measured.assign(method=measured["pipeline"].map(pipeline_title))
    columns = {column: named[source] / divisor for column, (source, divisor) in _COLUMNS.items()}
    quality, beside = _psnr(frames.scores, named)
    table = pd.DataFrame(columns | quality).set_index(pd.MultiIndex.from_frame(named[index]))
    table.columns.names = ["dataset", "metric"]
    table = order_rows(table)
    where = "; ".join(f"{name}: {measured[name].iloc[0]}" for name in _MEASURED_ON if name not in several)
    table.attrs["caption"] = " ".join(
        filter(
            None,
            [
                f"Efficiency, one face at a time ({where})." if where else "Efficiency, one face at a time.",
                "Each row says what is counted in it. Best of what is counted alike in bold.",
                beside,
                contracts_of(table.columns.unique(1), frames.contracts),
            ],
        )
    )
    return table


def _psnr(scores: pd.DataFrame, named: pd.DataFrame) -> tuple[dict[tuple[str, str], pd.Series], str]:
    """Return the columns of PSNR for pipelines whose efficiency was measured, and what the caption says of them."""
    rows = table_rows(scores)
    rows = rows if rows.empty else rows[rows["mask_given"] != "estimated"]
    if rows.empty or "psnr" not in rows.columns:
        return {}, ""
    datasets, masks = rows["dataset"].unique(), rows["mask_type"].unique()
    dataset = _DATASET if _DATASET in datasets else datasets[0]
    mask = _MASK if _MASK in masks else min(masks, key=mask_order)
    rows = rows[(rows["dataset"] == dataset) & (rows["mask_type"] == mask) & rows["pipeline"].isin(named["pipeline"])]
    if rows.empty:
        return {}, ""
    means = with_intervals(rows, ["pipeline"], ["psnr"]).set_index("pipeline").reindex(named["pipeline"]).set_axis(named.index)
    title = of_metric("psnr").title
    columns = {
        (dataset, f"{title}{suffix}"): means[name] for suffix, name in zip(("", *HIDDEN), ("mean", "low", "high"), strict=True)
    }
    columns[(dataset, "n")] = means["n"].fillna(0).astype(int)
    return columns, f"PSNR is that of {dataset}, {mask} masks. {given(rows)}"
