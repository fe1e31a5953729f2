"""The paper's claims about cost (Table IV), downstream tasks (Tables VI and VII, Fig. 15), and what it shows in pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import pandas as pd

from occface.benchmark.claims.evidence import MEASURES, Evidence, NotTestableError, Where
from occface.benchmark.claims.findings import FEWEST, Compared, Family, Finding, pooled, single, strongest
from occface.benchmark.claims.parts import (
    FULL,
    LEADS,
    PAPER_LEADS,
    RIVALS,
    Claim,
    best_of_all,
    decided,
    inpainting_first,
    lead,
    paper_name,
    paper_pairs,
    paper_rows,
    unscored,
)
from occface.benchmark.paper import pipeline_title
from occface.benchmark.tables.efficiency import COUNTED, counted_alike

__all__ = ["downstream_claims"]

#: What must be known of costs to compare them.
_COSTS = {"pipeline", "counted", "parameters", "size_kb", "median_ms", "device", "precision"}
#: The preset whose networks are as wide as the paper's.
_PAPER = "paper"
_LANDMARKER = "FAN"


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
        timed = column == "median_ms"
        frames = _by_device(alike.get(COUNTED[1])) if timed else alike
        found = {words: _competing(frame, list(others.index), column) for words, frame in frames.items()}
        found = {words: rows for words, rows in found.items() if len(rows)}
        for words, rows in found.items():
            whole = timed or words == COUNTED[1]
            find = partial(_cost, rows, column, name, list(others.index), whole)
            said_more = "" if timed else "; what is counted is not said"
            yield Claim(f"{text}, {words}", "IV-G, Table IV", f"{said}{said_more}", find)
        if not found:
            yield Claim(text, "IV-G, Table IV", said, partial(_no_cost, text.partition(": ")[2]))


def _by_device(whole: pd.DataFrame | None) -> dict[str, pd.DataFrame]:
    """Return the rows of each device and precision; a time is always that of the whole pipeline."""
    if whole is None:
        return {}
    return {", ".join(filter(None, where)): rows for where, rows in whole.groupby(["device", "precision"], sort=False)}


def _competing(rows: pd.DataFrame, methods: list[str], column: str) -> pd.DataFrame:
    """Return the rows of Pro-UIGAN and its rivals by pipeline; none where it has no rival, or no number itself."""
    rivals = [pipeline for pipeline in RIVALS if paper_name(pipeline) in methods]
    found = rows[rows["pipeline"].isin([*rivals, FULL])].dropna(subset=[column])
    found = found.drop_duplicates("pipeline").set_index("pipeline")
    return found if FULL in found.index and len(found) > 1 else found[:0]


def _cost(rows: pd.DataFrame, column: str, name: Callable[[float], str], methods: list[str], whole: bool) -> Finding:
    """Compare a cost of Pro-UIGAN with those of its rivals: what decides are networks as wide as the paper's alone.

    Where none of them, or fewer than half of the methods, are so wide, the costs of all are shown, and decide nothing. Nor do
    those of the whole of Pro-UIGAN in which the landmarker is not counted that it needs for every face.
    """
    wide = rows[rows["preset"] == _PAPER]
    made = {paper_name(pipeline) for pipeline in wide.index.drop(FULL, errors="ignore")}
    absent = [method for method in methods if method not in made]
    enough = FULL in wide.index and 2 * len(made) >= len(methods)
    lacking = [] if enough else [_narrow(rows, absent)]
    if whole and _LANDMARKER not in rows.loc[FULL, "counted"]:
        what = "size" if column == "size_kb" else "time"
        lacking.append(f"the landmarker that Pro-UIGAN needs is not in its {what}: landmarks were given")
    shown = wide if enough else rows
    upper = shown.get("p90_ms") if column == "median_ms" else None
    finding = single(shown[column], FULL, name, upper)
    why = [finding.why, f"absent: {', '.join(absent)}" if enough and absent else ""]
    if upper is not None:
        why.append(f"of our runs nine in ten took less than {name(upper[FULL])}")
    if not whole:
        why.append("neither the landmarker that Pro-UIGAN needs is counted, nor the inpainter of the others")
    return replace(
        finding,
        n=int(shown["runs"].min()) if column == "median_ms" and "runs" in shown else 1,
        why="; ".join(filter(None, why)),
        compared=Compared(len(shown) - 1, len(made), len(methods)) if enough else finding.compared,
        lacking="; ".join(lacking),
    )


def _narrow(rows: pd.DataFrame, absent: list[str]) -> str:
    """Say why costs decide nothing: what presets the networks are of, and which methods have none of the paper's."""
    presets = [preset for preset in dict.fromkeys(rows["preset"]) if preset not in ("", _PAPER)]
    if presets:
        named = " and ".join(f"`{preset}`" for preset in presets)
        return f"widths of preset{'s' if len(presets) > 1 else ''} {named} are ours, not the paper's"
    if (rows["preset"] == "").any():
        return "which presets the networks were built from is not known"
    return f"too few of the paper's rivals were measured; absent: {', '.join(absent)}"


def _kilobytes(value: float) -> str:
    return f"{value:,.0f} KB"


def _milliseconds(value: float) -> str:
    return f"{value:,.2f} ms"


def _no_cost(what: str) -> Finding:
    raise NotTestableError(f"needs the {what} of Pro-UIGAN and of others of the paper's Table IV")


def _geometry(evidence: Evidence) -> Iterator[Claim]:
    for metric, section in (("nrmse_outer_eyes", "V-A"), ("iou", "V-B")):
        sense = ", lower is better" if MEASURES[metric].lower_is_better else ""
        yield best_of_all(evidence, metric, f"{section}, Table VI", lead("VI", metric), sense)
        yield inpainting_first(evidence, metric, "Table VI", "VI", f"PA+SR better than SR+PA{sense}")
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
        partial(decided, pooled, evidence, "nrmse_outer_eyes", [(FULL, "bicubic")]),
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
        evidence.compare(f"{pipeline_title(a)} against {pipeline_title(b)} + {margin:g}", wide[a], wide[b] + margin, (a, b))
        for a, b in LEADS
        if a in wide and b in wide
    ]
    return strongest(evidence, Family(MEASURES["iou"], found, "IoU of Pro-UIGAN and of others", PAPER_LEADS))


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
    return decided(strongest, evidence, metric, LEADS, Where(evidence.recognition))


def _expression(evidence: Evidence) -> Iterator[Claim]:
    metric = "expression_correct"
    measure = MEASURES[metric]
    source = "V-D, Table VII"
    rows = paper_rows("VII", "expression_accuracy_percent").set_index(["order", "method"])["value"]
    ours = rows["joint", "Pro-UIGAN"]
    rivals = rows[~rows.index.isin([("joint", "Pro-UIGAN")]) & (rows.index.get_level_values("order") != "reference")]
    yield best_of_all(evidence, metric, source, f"{ours:.2f} % against {rivals.max():.2f} % ({rivals.idxmax()[1]})")
    low, high = rows["reference", "Occluded-LR"], rows["reference", "Non-occluded-HR"]
    find = partial(decided, pooled, evidence, metric, [(FULL, "bicubic")])
    yield Claim(f"Pro-UIGAN above occluded LR faces: {measure.title}", source, f"{ours:.2f} % against {low:.2f} %", find)
    find = partial(decided, pooled, evidence, metric, [("hr", FULL)])
    yield Claim(f"True HR faces above Pro-UIGAN: {measure.title}", source, f"{high:.2f} % against {ours:.2f} %", find)
    yield inpainting_first(evidence, metric, source, "VII", "PA+SR above SR+PA")
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
            found.append(evidence.compare(str(name), chosen[FULL], chosen["bicubic"], (FULL, "bicubic")))
    needs = "expression accuracy of Pro-UIGAN and Bicubic on labelled faces"
    return strongest(evidence, Family(MEASURES["expression_correct"], found, needs))


def _looks(evidence: Evidence) -> Iterator[Claim]:
    said = "more photo-realistic than the others (pictures, no number; here by a distance between images)"
    text = "Pro-UIGAN closest to the true faces to the eye"
    yield best_of_all(evidence, "stlpips", "IV-B, Fig. 5", said, text=text)
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
    found = [
        finding
        for (dataset, mask_type), group in rows.groupby(["dataset", "mask_type"], sort=True)
        if (finding := _distances(evidence, dataset, mask_type, group.set_index("pipeline"))) is not None
    ]
    if not found:
        raise NotTestableError(
            "needs Frechet distances of Pro-UIGAN and of at least half of the paper's rivals on the same "
            f"{FEWEST} or more people or photographs"
        )
    shown = min(found, key=lambda finding: finding.effect)
    agree = sum(finding.effect > 0 for finding in found)
    why = f"{shown.why}; {agree} of {len(found)} data sets and mask types go the stated way, this is the least"
    return replace(shown, why=why if len(found) > 1 else shown.why)


def _distances(evidence: Evidence, dataset: str, mask_type: str, group: pd.DataFrame) -> Finding | None:
    """Compare the Frechet distances of one data set and mask type; None without enough rivals, or faces."""
    group = group[group.index.isin([*RIVALS, FULL])]
    if FULL not in group.index:
        return None
    n = int(group["n"][FULL])
    alike = group[group["n"] == n]  # the fewer faces the larger the distance: others cannot be compared
    paper = paper_pairs([(rival,) for rival in RIVALS])
    absent = [rival for (rival,) in paper if rival not in alike.index]
    scored = evidence.rows
    faces = scored[(scored["dataset"] == dataset) & (scored["mask_type"] == mask_type) & (scored["pipeline"] == FULL)]
    units = min(n, evidence.count(faces)) if len(faces) else n
    if 2 * len(absent) > len(paper) or units < FEWEST:
        return None
    finding = single(alike["value"], FULL, lambda distance: f"{distance:.3f}")
    other = [name for name in group.index if name not in alike.index]
    where = Where([mask_type], [dataset])
    missing = evidence.titles([name for name in absent if name not in other], where)
    why = [
        finding.why,
        f"{mask_type} masks",
        f"of other numbers of faces, and not compared: {', '.join(map(pipeline_title, other))}" if other else "",
        f"absent: {missing}" if missing else "",
    ]
    compared = Compared(len(alike) - 1, len(paper) - len(absent), len(paper))
    return replace(
        finding,
        n=n, units=units, datasets=dataset, why="; ".join(filter(None, why)), compared=compared,
        lacking="a set of images has one such number, and no test says whether two differ by chance",
    )  # fmt: skip
