"""The paper's claims about cost (Table IV), downstream tasks (Tables VI and VII, Fig. 15), and what it shows in pictures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import pandas as pd

from occface.benchmark.claims.evidence import MEASURES, Comparison, Evidence, Finding, NotTestableError
from occface.benchmark.claims.parts import (
    FULL,
    LEADS,
    ORDER_PAIRS,
    RIVALS,
    Claim,
    gain_of_inpainting_first,
    in_words,
    lead,
    paper_rows,
    pooled,
    strongest,
    unscored,
)
from occface.benchmark.paper import pipeline_title

__all__ = ["downstream_claims"]


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
    for text, column, printed, name in (
        ("Pro-UIGAN smallest: model size", "size_kb", "model_size_KB", _kilobytes),
        ("Pro-UIGAN fastest: median running time", "median_ms", "running_time_ms", _milliseconds),
    ):
        cells = paper_rows("IV", printed).set_index("method")["value"]
        others = cells.drop("Pro-UIGAN")
        said = f"{name(cells['Pro-UIGAN'])} against {name(others.min())} ({others.idxmin()}) and more"
        groups = list(_alike(evidence.efficiency, column))
        for words, values, runs in groups:
            find = partial(evidence.point, values[FULL], values.drop(FULL), name, runs, "", "")
            yield Claim(f"{text}, {words}", "IV-G, Table IV", f"{said}; what is counted is not said", find)
        if not groups:
            yield Claim(text, "IV-G, Table IV", said, partial(_no_cost, column))


def _kilobytes(value: float) -> str:
    return f"{value:,.0f} KB"


def _milliseconds(value: float) -> str:
    return f"{value:,.2f} ms"


def _no_cost(column: str) -> Finding:
    raise NotTestableError(f"needs {column} of Pro-UIGAN and of others, with the same things counted")


def _alike(efficiency: pd.DataFrame, column: str) -> Iterator[tuple[str, pd.Series, int]]:
    """Give the numbers that may be compared: the same things counted; times also on one device in one precision."""
    if column not in efficiency:
        return
    rows = efficiency[efficiency["pipeline"].isin([*RIVALS, FULL])].dropna(subset=[column])
    by = ["counted", "device", "precision"] if column == "median_ms" else ["counted"]
    for key, group in rows.groupby(by, sort=False):
        values = group.drop_duplicates("pipeline").set_index("pipeline")
        if FULL in values.index and len(values) > 1:
            runs = int(values["runs"].min()) if column == "median_ms" and "runs" in values else 1
            yield ", ".join(filter(None, key)), values[column], runs


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
    comparisons = [comparison for comparison in found if comparison is not None]
    return evidence.strongest(comparisons, MEASURES["iou"], "IoU of Pro-UIGAN and of others")


def _recognition(evidence: Evidence) -> Iterator[Claim]:
    for metric in ("identified", "identity_cosine"):
        yield Claim(
            f"Pro-UIGAN best of all with parts of the face masked: {MEASURES[metric].title}",
            "V-C, Figs. 14 and 15",
            "outperforms all others for four masking types (bars without numbers)",
            partial(strongest, evidence, metric, LEADS, evidence.recognition),
        )


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
    found: list[Comparison | None] = []
    if FULL in wide and "bicubic" in wide:
        faces = wide.index.droplevel("mask_type")
        expressions = pd.Series([evidence.expressions[face] for face in faces], wide.index, dtype=object)
        for name in sorted(set(expressions) - {""}):
            chosen = wide[expressions == name]
            found.append(evidence.compare(str(name), chosen[FULL], chosen["bicubic"]))
    needs = "expression accuracy of Pro-UIGAN and Bicubic on labelled faces"
    return evidence.strongest(
        [comparison for comparison in found if comparison is not None], MEASURES["expression_correct"], needs
    )


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
        values = group[group["pipeline"].isin([*RIVALS, FULL])].set_index("pipeline")
        if FULL in values.index and len(values) > 1:
            least = values["value"].drop(FULL)
            n = int(values["n"].min())
            found.append(evidence.point(values["value"][FULL], least, lambda x: f"{x:.3f}", n, dataset, mask_type))
    if not found:
        raise NotTestableError("needs Frechet distances of Pro-UIGAN and of others on the same faces")
    shown = min(found, key=lambda finding: finding.effect)
    agree = sum(finding.effect > 0 for finding in found)
    why = f"{shown.why}; {agree} of {len(found)} cells go the stated way, this is the least"
    return replace(shown, why=why)
