"""The paper's claims about cost (Table IV), downstream tasks (Tables VI and VII, Fig. 15), and what it shows in pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

import pandas as pd

from occface.benchmark.claims.evidence import MEASURES, Evidence, Finding, NotTestableError
from occface.benchmark.claims.parts import (
    FULL,
    LEADS,
    ORDER_PAIRS,
    RIVALS,
    Claim,
    gain_of_inpainting_first,
    in_words,
    lead,
    paper_name,
    paper_rows,
    pooled,
    strongest,
    unscored,
)
from occface.benchmark.paper import pipeline_title
from occface.benchmark.tables.efficiency import COUNTED, counted_alike

__all__ = ["downstream_claims"]

#: What must be known of costs to compare them.
_COSTS = {"pipeline", "counted", "parameters", "size_kb", "median_ms", "device", "precision"}


def downstream_claims(evidence: Evidence) -> Iterator[Claim]:
    """Give the claims, in the order of the paper's tables and sections; what they find is found when they are asked.

    Those about cost are given once for each way of counting that the measurements have, and at least once.
    """
    yield from _efficiency(evidence)
    yield from _geometry(evidence)
    yield from _recognition(evidence)
    yield from _expression(evidence)
    yield from _looks(evidence)


def _efficiency(evidence: Evidence) -> Iterator[Claim]:
    """Give the claims about cost: against the methods of the paper's Table IV, always with the same things counted."""
    alike = counted_alike(evidence.efficiency) if set(evidence.efficiency) >= _COSTS else {}
    for text, column, printed, name in (
        ("Pro-UIGAN smallest: model size", "size_kb", "model_size_KB", _kilobytes),
        ("Pro-UIGAN fastest: median running time", "median_ms", "running_time_ms", _milliseconds),
    ):
        cells = paper_rows("IV", printed).set_index("method")["value"]
        others = cells.drop("Pro-UIGAN")
        said = f"{name(cells['Pro-UIGAN'])} against {name(others.min())} ({others.idxmin()}) and more"
        rivals = [pipeline for pipeline in RIVALS if paper_name(pipeline) in others.index]
        timed = column == "median_ms"
        found = _timed(alike, rivals) if timed else _sized(alike, rivals)
        for words, rows in found:
            find = partial(_cost, evidence, rows, column, name)
            said_more = "" if timed else "; what is counted is not said"
            yield Claim(f"{text}, {words}", "IV-G, Table IV", f"{said}{said_more}", find)
        if not found:
            yield Claim(text, "IV-G, Table IV", said, partial(_no_cost, text.partition(": ")[2]))


def _sized(alike: Mapping[str, pd.DataFrame], rivals: Sequence[str]) -> list[tuple[str, pd.DataFrame]]:
    """Return the rows of each way to count."""
    return [(words, rows) for words, frame in alike.items() if len(rows := _competing(frame, rivals, "size_kb"))]


def _timed(alike: Mapping[str, pd.DataFrame], rivals: Sequence[str]) -> list[tuple[str, pd.DataFrame]]:
    """Return the rows of each device and precision; a time is always that of the whole pipeline."""
    whole = alike.get(COUNTED[1], pd.DataFrame({"device": [], "precision": []}))
    return [
        (", ".join(filter(None, where)), rows)
        for where, frame in whole.groupby(["device", "precision"], sort=False)
        if len(rows := _competing(frame, rivals, "median_ms"))
    ]


def _competing(rows: pd.DataFrame, rivals: Sequence[str], column: str) -> pd.DataFrame:
    """Return the rows of Pro-UIGAN and its rivals by pipeline; none where it has no rival, or no number itself."""
    found = rows[rows["pipeline"].isin([*rivals, FULL])].dropna(subset=[column])
    found = found.drop_duplicates("pipeline").set_index("pipeline")
    return found if FULL in found.index and len(found) > 1 else found[:0]


def _cost(evidence: Evidence, rows: pd.DataFrame, column: str, name: Callable[[float], str]) -> Finding:
    if column == "size_kb":
        return evidence.point(rows[column], FULL, name, 1)
    upper = rows.get("p90_ms")
    n = int(rows["runs"].min()) if "runs" in rows else 1
    why = "" if upper is None else f"of our runs nine in ten took less than {name(upper[FULL])}"
    return evidence.point(rows[column], FULL, name, n, why=why, upper=upper)


def _kilobytes(value: float) -> str:
    return f"{value:,.0f} KB"


def _milliseconds(value: float) -> str:
    return f"{value:,.2f} ms"


def _no_cost(what: str) -> Finding:
    raise NotTestableError(f"needs the {what} of Pro-UIGAN and of others of the paper's Table IV")


def _geometry(evidence: Evidence) -> Iterator[Claim]:
    for metric, section in (("nrmse_outer_eyes", "V-A"), ("iou", "V-B")):
        measure = MEASURES[metric]
        title = measure.title
        sense = ", lower is better" if measure.lower_is_better else ""
        find = partial(strongest, evidence, metric, LEADS)
        yield Claim(f"Pro-UIGAN best of all{sense}: {title}", f"{section}, Table VI", lead("VI", metric), find)
        gaps = gain_of_inpainting_first("VI", title, measure.lower_is_better)
        yield Claim(
            f"PA+SR better than SR+PA{sense}: {title}",
            "Table VI",
            in_words(gaps, measure),
            partial(pooled, evidence, metric, ORDER_PAIRS),
        )
    yield Claim(
        "Pro-UIGAN more than 0.05 above every other: IoU",
        "V-B, Table VI",
        f"over 5 % (points) on all data sets; {lead('VI', 'iou')}",
        partial(_margin, evidence, 0.05),
    )
    yield Claim(
        "Landmarks found better on hallucinated faces than on occluded LR faces enlarged: NRMSE",
        "V-A",
        "hallucination eases alignment (no number for the LR faces)",
        partial(pooled, evidence, "nrmse_outer_eyes", [(FULL, "bicubic")]),
    )
    yield unscored(
        "Useful landmark heatmaps in spite of wrong landmarks of the LR face",
        "IV-H, Fig. 9",
        "CM-AM corrects them (pictures, no number)",
        "errors of the estimated LR landmarks and of the heatmaps of the blocks",
    )


def _margin(evidence: Evidence, margin: float) -> Finding:
    wide = evidence.table("iou")
    found = [
        evidence.compare(f"Pro-UIGAN against {pipeline_title(rival)} + {margin:g}", wide[FULL], wide[rival] + margin)
        for rival in RIVALS
        if FULL in wide and rival in wide
    ]
    return evidence.strongest(found, MEASURES["iou"], "IoU of Pro-UIGAN and of others")


def _recognition(evidence: Evidence) -> Iterator[Claim]:
    for metric in ("identified", "identity_cosine"):
        yield Claim(
            f"Pro-UIGAN best of all with parts of the face masked: {MEASURES[metric].title}",
            "V-C, Figs. 14 and 15",
            "outperforms all others for four masking types (bars without numbers)",
            partial(_recognised, evidence, metric),
        )


def _recognised(evidence: Evidence, metric: str) -> Finding:
    if not evidence.recognition:
        raise NotTestableError("needs masks over parts of the face (eyes, nose, mouth, half)")
    return strongest(evidence, metric, LEADS, evidence.recognition)


def _expression(evidence: Evidence) -> Iterator[Claim]:
    metric = "expression_correct"
    measure = MEASURES[metric]
    source = "V-D, Table VII"
    rows = paper_rows("VII", "expression_accuracy_percent").set_index(["order", "method"])["value"]
    ours = rows["joint", "Pro-UIGAN"]
    rivals = rows[~rows.index.isin([("joint", "Pro-UIGAN")]) & (rows.index.get_level_values("order") != "reference")]
    find = partial(strongest, evidence, metric, LEADS)
    said = f"{ours:.2f} % against {rivals.max():.2f} % ({rivals.idxmax()[1]})"
    yield Claim(f"Pro-UIGAN best of all: {measure.title}", source, said, find)
    low, high = rows["reference", "Occluded-LR"], rows["reference", "Non-occluded-HR"]
    find = partial(pooled, evidence, metric, [(FULL, "bicubic")])
    yield Claim(f"Pro-UIGAN above occluded LR faces: {measure.title}", source, f"{ours:.2f} % against {low:.2f} %", find)
    find = partial(pooled, evidence, metric, [("hr", FULL)])
    yield Claim(f"True HR faces above Pro-UIGAN: {measure.title}", source, f"{high:.2f} % against {ours:.2f} %", find)
    gaps = gain_of_inpainting_first("VII", "expression_accuracy_percent")
    find = partial(pooled, evidence, metric, ORDER_PAIRS)
    yield Claim(f"PA+SR above SR+PA: {measure.title}", source, in_words(gaps, measure), find)
    yield Claim(
        f"Pro-UIGAN above occluded LR faces for every expression: {measure.title}",
        "V-D, Fig. 16",
        "on all expressions (confusion matrices without numbers)",
        partial(_each_expression, evidence),
    )


def _each_expression(evidence: Evidence) -> Finding:
    wide = evidence.table("expression_correct")
    found = []
    if FULL in wide and "bicubic" in wide:
        faces = wide.index.droplevel("mask_type")
        expressions = pd.Series([evidence.expressions[face] for face in faces], wide.index, dtype=object)
        for name in sorted(set(expressions) - {""}):
            chosen = wide[expressions == name]
            found.append(evidence.compare(str(name), chosen[FULL], chosen["bicubic"]))
    needs = "expression accuracy of Pro-UIGAN and Bicubic on labelled faces"
    return evidence.strongest(found, MEASURES["expression_correct"], needs)


def _looks(evidence: Evidence) -> Iterator[Claim]:
    said = "more photo-realistic than the others (pictures, no number; here by a distance between images)"
    yield Claim(
        "Pro-UIGAN closest to the true faces to the eye: ST-LPIPS",
        "IV-B, Fig. 5",
        said,
        partial(strongest, evidence, "stlpips", LEADS),
    )
    said = said.replace("images", "sets of images")
    yield Claim("Pro-UIGAN most like true faces: Frechet distance", "IV-B, Fig. 5", said, partial(_frechet, evidence))
    for text, source, what in (
        ("Credible results on real-life LR faces, aligned by MTCNN", "IV-I, Fig. 10", "real LR faces, which have no HR truth"),
        (
            "Coarse results with ghosts under real-life occlusions",
            "IV-J, Fig. 11",
            "really occluded faces, which have no truth",
        ),
        ("Artifacts under harsh light", "IV-L, Fig. 12", "labels of the light"),
        ("Editing one part of the face leaves the others", "IV-F, Fig. 8", "edited faces"),
    ):
        yield unscored(text, source, "shown in pictures (no number)", what)


def _frechet(evidence: Evidence) -> Finding:
    rows = evidence.sets
    if {"metric", "value", "n"} <= set(rows):
        rows = rows[(rows["metric"] == "frechet") & rows["mask_type"].isin(evidence.main) & rows["value"].notna()]
    found = []
    for (dataset, mask_type), group in rows.groupby(["dataset", "mask_type"], sort=True):
        rivals = group[group["pipeline"].isin([*RIVALS, FULL])].set_index("pipeline")
        if FULL not in rivals.index:
            continue
        n = int(rivals["n"][FULL])
        alike = rivals[rivals["n"] == n]  # the fewer faces the larger the distance: others cannot be compared
        if len(alike) > 1:
            less = ", ".join(map(pipeline_title, rivals.index[rivals["n"] != n]))
            why = f"{mask_type} masks" + (f"; of other numbers of faces, and not compared: {less}" if less else "")
            found.append(evidence.point(alike["value"], FULL, lambda x: f"{x:.3f}", n, dataset, why))
    if not found:
        raise NotTestableError("needs Frechet distances of Pro-UIGAN and of others on the same faces")
    shown = min(found, key=lambda finding: finding.effect)
    agree = sum(finding.effect > 0 for finding in found)
    why = f"{shown.why}; {agree} of {len(found)} data sets and mask types go the stated way, this is the least"
    return replace(shown, why=why if len(found) > 1 else shown.why)
