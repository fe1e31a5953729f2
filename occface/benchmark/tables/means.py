"""Means over images with their intervals, laid out as a table, and the caption that says what they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from occface.benchmark.paper import INDEX, order_rows, pipeline_title
from occface.benchmark.statistics import with_intervals
from occface.benchmark.tables.form import competitors
from occface.benchmark.tables.frames import with_titles
from occface.benchmark.tables.quantities import COUNTS, HIDDEN, N_SUFFIX, contracts_of, of_metric

__all__ = ["given", "mean_table", "present", "trained_elsewhere"]

_PA = "PA is face inpainting."
_UNEQUAL = "Rows of smaller n are means over fewer images, and compare only roughly."
_INTERVALS = "Means over images; the CSV file holds the 95 % bootstrap interval of each."


def present(scores: pd.DataFrame, metrics: Sequence[str]) -> list[str]:
    """Return those of the metrics that have any value."""
    return [name for name in metrics if name in scores.columns and scores[name].notna().any()]


def mean_table(
    scores: pd.DataFrame,
    metrics: Sequence[str],
    lead: str,
    *,
    index: Sequence[str] = INDEX,
    across: str = "dataset",
    sets: pd.DataFrame | None = None,
    contracts: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """Return a table of means over images.

    Parameters
    ----------
    scores : pandas.DataFrame
        The score rows that belong into the table, at least one.
    metrics : sequence of str
        Columns of the scores.
    lead : str
        The first words of the caption.
    index : sequence of str
        The columns that make the rows: those of the scores, and ``mask type``, ``method`` as they are printed.
    across : str
        The column that makes the groups of columns, in the order of its values in the scores.
    sets : pandas.DataFrame, optional
        Numbers of whole sets of images, to stand beside the means.
    contracts : mapping of str to str, optional
        What `Frames.contracts` is.

    Returns
    -------
    pandas.DataFrame
        Rows `index`, in the paper's order, those that have a number, or failed on every image. Columns (value of
        `across`, name): for each metric its mean, ``low`` and ``high`` of the 95 % interval, and ``n``, the images it is the
        mean of; then n, the images that were scored, and ``failed`` where any image failed. What was not run is NaN with n
        of 0. A mean is infinite where an image was restored to the byte.
    """
    apart = "trained on" not in index
    named = with_titles(scores, apart)
    by = [across, *index]
    long = with_intervals(named, by, list(metrics))
    parts = []
    for metric in metrics:
        quantity = of_metric(metric)
        means = long[long["metric"] == metric].set_index(by)
        for suffix, column in zip(("", *HIDDEN), ("mean", "low", "high"), strict=True):
            parts.append((means[column] * quantity.factor).rename(f"{quantity.title}{suffix}"))
        parts.append(means["n"].rename(f"{quantity.title}{N_SUFFIX}"))
    if sets is not None and not sets.empty:
        parts += _of_sets(with_titles(sets, apart), by)
    errors = named.assign(failed=named["error"] != "").groupby(by, sort=False)["failed"]
    failed = errors.sum()
    parts.append((errors.size() - failed).rename("n"))
    if failed.any():
        parts.append(failed.rename("failed"))
    cells = pd.concat(parts, axis=1)
    wide = cells.unstack(across).swaplevel(axis=1)
    wide.columns.names = [across.replace("_", " "), "metric"]
    columns = pd.MultiIndex.from_product([named[across].unique(), cells.columns], names=wide.columns.names)
    # Rows of what has no order of its own stand as they came; unstacking has sorted them.
    rows = pd.MultiIndex.from_frame(named[list(index)].drop_duplicates())
    table = order_rows(_with_counts(wide.reindex(index=rows, columns=columns)))
    named = named[pd.MultiIndex.from_frame(named[list(index)]).isin(table.index)]
    table.attrs["caption"] = _caption(table, named, lead, contracts or {})
    return table


def _of_sets(sets: pd.DataFrame, by: Sequence[str]) -> list[pd.Series]:
    """Return the numbers of whole sets, and the n that each is of, as columns."""
    parts = []
    for metric, rows in sets.groupby("metric", sort=False):
        found, quantity = rows.set_index(list(by)), of_metric(str(metric))
        parts += [
            (found["value"] * quantity.factor).rename(quantity.title),
            found["n"].rename(f"{quantity.title}{N_SUFFIX}"),
        ]
    return parts


def _with_counts(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table whose counts are whole numbers, 0 where nothing was run.

    Rows without a number are left out, but not what failed on every image.
    """
    counts = [column for column in table.columns if column[1] in COUNTS or column[1].endswith(N_SUFFIX)]
    table = table.copy()
    table[counts] = table[counts].fillna(0).astype(int)
    numbers = table[[column for column in table.columns if column not in counts]].notna().any(axis=1)
    scored, failed = (table[[column for column in counts if column[1] == name]].sum(axis=1) for name in COUNTS)
    return table[numbers | ((scored == 0) & (failed > 0))]


def _caption(table: pd.DataFrame, scores: pd.DataFrame, lead: str, contracts: Mapping[str, str]) -> str:
    failures = int((scores["error"] != "").sum())
    rivals = competitors(table)
    within = " and ".join(name for name in rivals if name != "dataset")
    sentences = [
        f"{lead} ({_images(table)} images a row).",
        _UNEQUAL if any((n.groupby(level=rivals).nunique() > 1).any() for n in _counts(table).values()) else "",
        f"{failures} image(s) failed; they are counted, and in no mean." if failures else "",
        _PA if any("+" in pipeline for pipeline in scores["pipeline"]) else "",
        given(scores),
        trained_elsewhere(scores) if "trained on" not in table.index.names else "",
        *_missed(scores),
        f"Best {f'of each {within} ' if within else ''}in bold, among rows of the greatest n.",
        _INTERVALS,
        contracts_of(table.columns.unique(1), contracts),
    ]
    return " ".join(filter(None, sentences))


def _counts(table: pd.DataFrame) -> dict[str, pd.Series]:
    """Return the n of each group of columns, of the rows that were run there."""
    n = {str(group): table[(group, "n")] for group in table.columns.unique(0)}
    return {group: counts[counts > 0] if (counts > 0).any() else counts for group, counts in n.items()}


def _images(table: pd.DataFrame) -> str:
    """Say how many images the rows are means over."""
    return "; ".join(
        f"{group}: n = {n.min()}" + (f" to {n.max()}" if n.min() != n.max() else "") for group, n in _counts(table).items()
    )


def given(scores: pd.DataFrame) -> str:
    """Say which pipelines were told where the faces are occluded, and by which mask."""
    said = []
    for kind, words in (("true", "the true mask of every face"), ("estimated", "a mask estimated from the LR face")):
        names = dict.fromkeys(scores.loc[scores["mask_given"] == kind, "pipeline"])
        if names:
            said.append(f"Given {words}: {', '.join(map(pipeline_title, names))}.")
    if not said:
        return "No method is given a mask."
    return " ".join([*said, *(["All others are given none."] if (scores["mask_given"] == "").any() else [])])


def trained_elsewhere(scores: pd.DataFrame) -> str:
    """Say which pipelines learnt from other data than what they are scored on."""
    if "trained_on" not in scores.columns:
        return ""
    elsewhere = scores[(scores["trained_on"] != "") & (scores["trained_on"] != scores["dataset"])]
    pairs = elsewhere[["dataset", "pipeline", "trained_on"]].drop_duplicates()
    return " ".join(
        f"On {dataset}, {pipeline_title(pipeline)} had learnt from {source}."
        for dataset, pipeline, source in pairs.itertuples(index=False)
    )


def _missed(scores: pd.DataFrame) -> list[str]:
    """Say how often a searching method missed its own aim."""
    if "missed" not in scores.columns:
        return []
    searched = scores[scores["missed"].notna()].groupby(["pipeline", "mask_given"], sort=False)["missed"]
    return [
        f"{pipeline_title(*name)} missed its aim on {int(missed.sum())} of {len(missed)} faces." for name, missed in searched
    ]
