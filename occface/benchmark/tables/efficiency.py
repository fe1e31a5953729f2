"""Table IV: size and speed beside quality."""

from __future__ import annotations

import pandas as pd

from occface.benchmark.paper import mask_order, order_rows, pipeline_title
from occface.benchmark.statistics import with_intervals
from occface.benchmark.tables.frames import Frames, one_training, table_rows
from occface.benchmark.tables.means import captioned, given
from occface.benchmark.tables.quantities import HIDDEN, NOISY, contracts_of, of_metric

__all__ = ["COUNTED", "OWN", "counted_alike", "is_noisy", "table_iv"]

#: What is counted in the rows of ``efficiency`` that hold a pipeline's own networks alone, without GFC and FAN.
OWN = "own network"
#: The two ways to count that every pipeline has: its own networks, and all that a face passes through.
COUNTED = ("without GFC and FAN", "with GFC and FAN")
_HELPERS = ("GFC", "FAN")
#: What the paper shows PSNR of.
_DATASET, _MASK = "CelebA-HQ", "square"
#: Columns that depend on what is counted, and those of the whole pipeline: which number it is, and by what that is divided.
_SIZES = {"KB": ("size_kb", 1.0), "parameters (M)": ("parameters", 1e6), "GMAC": ("macs", 1e9)}
_WHOLE = {
    ("time", "median ms"): "median_ms",
    ("time", "p90 ms"): "p90_ms",
    ("time", "runs"): "runs",
    ("time", NOISY): NOISY,
    ("memory", "peak MB"): "peak_memory_mb",
}
_MEASURED_ON = ("device", "precision")
_PRESET, _LANDMARKS = ("networks", "preset"), ("networks", "landmarks")
#: Whose methods are given landmarks of the LR face, where they do not ask FAN for them.
_GIVEN_LANDMARKS = "pro-uigan"
_WHOLE_SAID = "Time and memory are those of the whole pipeline."
_TOLD_SAID = (
    " Landmarks given: what finds those of the LR face is in none of the row's numbers, for they are there beforehand, as the "
    "true mask is; with it the row would be larger and slower."
)
_OTHER_WIDTHS = (
    "Networks of other presets than 'paper' have widths of our own, so their sizes and times are not those of the paper's."
)
_NOISY_SAID = (
    "Best in bold, of times the best of rows that are not noisy. Noisy: a tenth of the runs took more than 1.5 times the "
    "median, so other work ran on the machine; such times compare only roughly."
)


def counted_alike(efficiency: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return the rows of each way to count of `COUNTED`, one for each pipeline, device and precision.

    Parameters
    ----------
    efficiency : pandas.DataFrame
        What `Frames.efficiency` is. Pipelines without a row of their `OWN` networks are missing in the first frame. In the
        second each has the row with the most parameters: what needs no helper has no other.
    """
    by = ["pipeline", *_MEASURED_ON]
    whole = efficiency.sort_values("parameters", kind="stable").drop_duplicates(by, keep="last").sort_index()
    own = efficiency[efficiency["counted"] == OWN].drop_duplicates(by)
    return dict(zip(COUNTED, (own, whole), strict=True))


def is_noisy(efficiency: pd.DataFrame) -> pd.Series:
    """Tell of each row of `Frames.efficiency` whether its times were measured while other work ran; where not known, not."""
    return efficiency[NOISY].eq(1) if NOISY in efficiency else pd.Series(False, efficiency.index)


def table_iv(frames: Frames) -> pd.DataFrame | None:
    """Build Table IV: model size, running time, multiply-accumulates, memory and PSNR.

    The paper prints both orders of SR and inpainting in one row; here each pipeline has its own, for it is timed as a whole.
    It does not say what its sizes count, so they are given twice, each time of the same things in every row.

    Parameters
    ----------
    frames : Frames
        Its ``efficiency`` and, for the PSNR, its ``scores``.

    Returns
    -------
    pandas.DataFrame or None
        Rows (order, method), preceded by device and precision where there are several of them; rows compete within those.
        Columns (networks, preset) that a row's networks were built from, where it is known; (networks, landmarks), ``given``
        where what finds them is not counted; (size, ...) of a pipeline's own networks, NaN where it has none; (with GFC, ...)
        of all that a face passes through, with the helpers that take part in the name; (time, ...), (memory, ...)
        of the whole pipeline, with (time, noisy) where any row is; and (data set, PSNR) with its interval and n: on CelebA-HQ
        and square masks as in the paper where these were scored, else on the first data set and mask type.
    """
    measured = frames.efficiency
    if measured.empty:
        return None
    several = [name for name in _MEASURED_ON if measured[name].nunique() > 1]
    by = ["pipeline", *_MEASURED_ON]
    own, whole = counted_alike(measured).values()
    named = whole.assign(method=whole["pipeline"].map(pipeline_title)).reset_index(drop=True)
    learnt = own[own["parameters"] > 0].set_index(by).reindex(pd.MultiIndex.from_frame(named[by])).set_axis(named.index)
    presets = named["preset"].fillna("") if "preset" in named else pd.Series("", named.index)
    columns: dict[tuple[str, str], pd.Series] = {_PRESET: presets.replace("", "–")} if presets.any() else {}  # noqa: RUF001
    told = _told(named)
    if told.any():
        columns[_LANDMARKS] = told.map({True: "given", False: ""})
    columns |= {
        (group, title): rows[source].astype(float) / divisor
        for group, rows in (("size", learnt), (_with_helpers(named), named))
        if rows["parameters"].notna().any()
        for title, (source, divisor) in _SIZES.items()
    }
    noisy = is_noisy(named)
    marked = named.assign(**{NOISY: noisy.map({True: NOISY, False: ""})})
    columns |= {column: marked[source] for column, source in _WHOLE.items() if source != NOISY or noisy.any()}
    quality, beside = _psnr(frames.scores, named)
    table = pd.DataFrame(columns | quality).set_index(pd.MultiIndex.from_frame(named[[*several, "order", "method"]]))
    table.columns.names = ["dataset", "metric"]
    table = order_rows(table)
    where = "; ".join(f"{name}: {measured[name].iloc[0]}" for name in _MEASURED_ON if name not in several)
    return captioned(
        table,
        [
            f"Efficiency, one face at a time ({where})." if where else "Efficiency, one face at a time.",
            "'size' counts a pipeline's own networks, not GFC and not FAN; a dash where it has no other.",
            _helped(named) if (_with_helpers(named), "KB") in columns else "",
            _WHOLE_SAID + (_TOLD_SAID if told.any() else ""),
            _OTHER_WIDTHS if presets[presets != ""].ne("paper").any() else "",
            _NOISY_SAID if noisy.any() else "Best in bold.",
            beside,
        ],
        [contracts_of(table.columns.unique(1), frames.contracts)],
    )


def _told(named: pd.DataFrame) -> pd.Series:
    """Tell which pipelines are given landmarks that a network, or dlib, had to find."""
    methods = named["pipeline"].str.partition(":")[0]
    return methods.eq(_GIVEN_LANDMARKS) & ~named["counted"].str.contains(_HELPERS[1])


def _taking(named: pd.DataFrame) -> dict[str, int]:
    """Return in how many rows each helper takes part, where everything is counted."""
    return {helper: int(named["counted"].str.contains(helper).sum()) for helper in _HELPERS}


def _with_helpers(named: pd.DataFrame) -> str:
    """Return the title of the columns that count everything: "with GFC"."""
    return f"with {' and '.join(helper for helper, count in _taking(named).items() if count) or 'everything'}"


def _helped(named: pd.DataFrame) -> str:
    """Say in how many rows GFC and FAN take part, where everything is counted."""
    taking = " and ".join(
        f"{helper} in {f'{count} of {len(named)} rows' if count else 'none of the rows'}"
        for helper, count in _taking(named).items()
    )
    return f"'{_with_helpers(named)}' counts every network that a face passes through: {taking}."


def _psnr(scores: pd.DataFrame, named: pd.DataFrame) -> tuple[dict[tuple[str, str], pd.Series], str]:
    """Return the columns of PSNR for pipelines whose efficiency was measured, and what the caption says of them."""
    rows = one_training(table_rows(scores))
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
