"""Means over images with their intervals, laid out as a table, and the caption that says what they are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from occface.benchmark.paper import INDEX, order_rows, pipeline_title
from occface.benchmark.statistics import with_intervals
from occface.benchmark.tables.form import competitors, few_cells
from occface.benchmark.tables.frames import with_titles
from occface.benchmark.tables.quantities import COUNTS, FEWEST, HIDDEN, N_SUFFIX, contracts_of, of_metric

__all__ = ["captioned", "given", "mean_table", "present", "trained", "trained_elsewhere"]

_PA = "PA is face inpainting."
_UNEQUAL = "Rows of smaller n are means over fewer images, and compare only roughly."
_INTERVALS = "Means over images; the CSV file holds the 95 % bootstrap interval of each."
_FEW = f"Means of fewer than {FEWEST} images are printed faint, in text files in italics, and none of them counts as the best."
#: So many pipelines with a helper in common are named by it, where there are no others with it.
_MANY = 3


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
    trainings: pd.DataFrame | None = None,
    remark: str = "",
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
    trainings : pandas.DataFrame, optional
        What `Frames.trainings` is, to say of each row how long its networks were trained.
    remark : str
        Sentences that the caption says next after its first one.

    Returns
    -------
    pandas.DataFrame
        Rows `index`, in the paper's order, those that have a number, or failed on every image. Columns (value of
        `across`, name): for each metric its mean, ``low`` and ``high`` of the 95 % interval, and ``n``, the images it is the
        mean of; then n, the images that were scored, and ``failed`` where any image failed. What was not run is NaN with n
        of 0. A mean is infinite where an image was restored to the byte. Behind them (``training``, name): the ``minutes`` and
        ``images seen`` of all networks of the row together, NaN where none is trained.
    """
    apart = "trained on" not in index
    scores = _measured(scores, metrics, across, sets)
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
        # Together, so that a row's title in the one is its title in the other.
        together = with_titles(pd.concat([scores, sets], ignore_index=True), apart)
        parts += _of_sets(together.iloc[len(scores) :], by)
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
    table = order_rows(_with_counts(_filled(wide.reindex(index=rows, columns=columns))))
    named = named[pd.MultiIndex.from_frame(named[list(index)]).isin(table.index)]
    caption = _caption(table, named, lead, remark)
    details = [_INTERVALS, contracts_of(table.columns.unique(1), contracts or {})]
    if trainings is not None and not trainings.empty:
        table, whole, counted = _with_trainings(table, named, trainings)
        caption, details = [*caption, whole], [counted, *details]
    return captioned(table, caption, details)


def captioned(table: pd.DataFrame, sentences: Iterable[str], details: Iterable[str]) -> pd.DataFrame:
    """Return a table with its caption in ``attrs["caption"]``; its end, `details`, also in ``attrs["details"]``.

    Where there is little room the details, which say how the numbers were computed, may be folded away.
    """
    table.attrs["details"] = " ".join(filter(None, details))
    table.attrs["caption"] = " ".join(filter(None, [*sentences, table.attrs["details"]]))
    return table


def _measured(scores: pd.DataFrame, metrics: Sequence[str], across: str, sets: pd.DataFrame | None) -> pd.DataFrame:
    """Return the rows without those groups of columns in which nothing of this table was measured, and nothing failed."""
    held = (scores[list(metrics)].notna().any(axis=1) | (scores["error"] != "")).groupby(scores[across]).transform("any")
    if sets is not None and across in sets.columns:
        held |= scores[across].isin(sets[across])
    return scores[held] if held.any() else scores


def _with_trainings(table: pd.DataFrame, named: pd.DataFrame, trainings: pd.DataFrame) -> tuple[pd.DataFrame, str, str]:
    """Return a table with columns that say how long the networks of each row were trained, and two sentences on them.

    The first names who was trained as long as in the paper, the second says what is counted.
    """
    key, index = ["pipeline", "trained_on"], list(table.index.names)
    used = trainings.merge(named[key].drop_duplicates(), on=key)
    if used.empty:
        return table, "", ""
    sums = used.groupby(key)[["minutes", "images"]].sum().rename(columns={"images": "images seen"})
    rows = named[list(dict.fromkeys([*index, *key]))].drop_duplicates().join(sums, on=key, how="inner").groupby(index)
    longest = rows[list(sums.columns)].max().reindex(table.index)
    for name in sums.columns:
        table[("training", name)] = longest[name]
    several = "; where a row learnt from several data sets, those of the longest" if (rows.size() > 1).any() else ""
    whole = ", ".join(dict.fromkeys(map(pipeline_title, used.loc[used["as_paper"], "method"]))) or "none"
    return (
        table,
        f"Trained by the paper's whole schedule: {whole}.",
        f"Minutes of training ({', '.join(dict.fromkeys(used['device']))}) and images seen (steps times batch size) are those "
        f"of all networks of a row together{several}.",
    )


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


def _filled(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table without the columns of metrics that have no value in their group, if another one has there."""
    empty = set()
    for group in table.columns.unique(0):
        names = [name for name in table[group].columns if name not in COUNTS]
        held = {name for name in names if not name.endswith((*HIDDEN, N_SUFFIX)) and table[(group, name)].notna().any()}
        if held:
            metrics = [name for name in names if not name.endswith((*HIDDEN, N_SUFFIX)) and name not in held]
            empty |= {(group, f"{name}{suffix}") for name in metrics for suffix in ("", *HIDDEN, N_SUFFIX)}
    return table[[column for column in table.columns if column not in empty]]


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


def _caption(table: pd.DataFrame, scores: pd.DataFrame, lead: str, remark: str) -> list[str]:
    """Return the sentences of a caption, but for those on how the numbers were computed."""
    failures = int((scores["error"] != "").sum())
    rivals = competitors(table)
    within = " and ".join(name for name in rivals if name != "dataset")
    return [
        f"{lead} ({_images(table)}).",
        remark,
        _UNEQUAL if any((n.groupby(level=rivals).nunique() > 1).any() for n in _counts(table).values()) else "",
        f"{failures} image(s) failed; they are counted, and in no mean." if failures else "",
        _PA if any("+" in pipeline for pipeline in scores["pipeline"]) else "",
        given(scores),
        trained_elsewhere(scores) if "trained on" not in table.index.names else "",
        *_missed(scores),
        f"Best {f'of each {within} ' if within else ''}in bold, among rows of the greatest n.",
        _FEW if few_cells(table).to_numpy().any() else "",
    ]


def _counts(table: pd.DataFrame) -> dict[str, pd.Series]:
    """Return the n of each group of columns, of the rows that were run there."""
    n = {str(group): table[(group, "n")] for group in table.columns.unique(0)}
    return {group: counts[counts > 0] if (counts > 0).any() else counts for group, counts in n.items()}


def _images(table: pd.DataFrame) -> str:
    """Say of each data set how many images the means are of."""
    groups = _counts(table)
    if "dataset" in table.index.names:
        together = pd.concat(groups.values())
        groups = {str(name): n[n > 0] if n.any() else n for name, n in together.groupby(level="dataset", sort=False)}
    return "; ".join(
        f"{group}: n = {n.min()}" + (f" to {n.max()}" if n.min() != n.max() else "") + " images" for group, n in groups.items()
    )


def given(scores: pd.DataFrame) -> str:
    """Say which pipelines were told where the faces are occluded, and by which mask."""
    said = []
    for kind, words in (("true", "the true mask of every face"), ("estimated", "a mask estimated from the LR face")):
        names = scores.loc[scores["mask_given"] == kind, "pipeline"].unique()
        if len(names):
            said.append(f"Given {words}: {', '.join(_in_short(names, scores['pipeline'].unique()))}.")
    if not said:
        return "No method is given a mask."
    return " ".join([*said, *(["All others are given none."] if (scores["mask_given"] == "").any() else [])])


def _in_short(names: Iterable[str], among: Iterable[str]) -> list[str]:
    """Return the titles of pipelines; those with a helper in common as ``all with GFC``, if there are no others with it."""
    left, short = list(names), []
    parts = {name: set(name.split("+")) for name in among if "+" in name}
    for helper in sorted(set().union(*parts.values())):
        holding = {name for name, own in parts.items() if helper in own}
        if len(holding) >= _MANY and holding <= set(left):
            short.append(f"all with {pipeline_title(helper)}")
            left = [name for name in left if name not in holding]
    return [*short, *map(pipeline_title, left)]


def trained(scores: pd.DataFrame) -> str:
    """Say what the methods that learn had learnt from, where any is among them: for captions of figures."""
    if scores.empty or not (scores["trained_on"] != "").any():
        return ""
    return trained_elsewhere(scores) or "What learns was trained on the data set itself."


def trained_elsewhere(scores: pd.DataFrame) -> str:
    """Say which pipelines learnt from other data than what they are scored on."""
    if "trained_on" not in scores.columns:
        return ""
    said = []
    for dataset, rows in scores[scores["trained_on"] != ""].groupby("dataset", sort=False):
        everyone = rows["pipeline"].unique()
        parts: list[str] = []
        told: set[str] = set()
        for source, learnt in rows[rows["trained_on"] != dataset].groupby("trained_on", sort=False):
            names = learnt["pipeline"].unique()
            who = "all that learn" if 1 < len(names) == len(everyone) else ", ".join(_in_short(names, everyone))
            parts.append(f"{who} {'from' if parts else 'had learnt from'} {source}{' as well' if told >= {*names} else ''}")
            told |= {*names}
        if parts:
            said.append(f"On {dataset}, {'; '.join(parts)}.")
    return " ".join(said)


def _missed(scores: pd.DataFrame) -> list[str]:
    """Say how often a searching method missed its own aim."""
    if "missed" not in scores.columns:
        return []
    searched = scores[scores["missed"].notna()].groupby(["pipeline", "mask_given"], sort=False)["missed"]
    return [
        f"{pipeline_title(*name)} missed its aim on {int(missed.sum())} of {len(missed)} faces." for name, missed in searched
    ]
