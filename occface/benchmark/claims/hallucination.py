"""The paper's claims about hallucination itself: Tables I, II, III and V, mask sizes and stages."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

import pandas as pd

from occface.benchmark.claims.evidence import MEASURES, Comparison, Evidence, NotTestableError, Where
from occface.benchmark.claims.findings import Family, Finding, pooled, strongest
from occface.benchmark.claims.parts import (
    FULL,
    ORDER_PAIRS,
    PAPER_LEADS,
    QUALITY,
    RIVALS,
    SEQUENTIAL,
    SUPER_RESOLVERS,
    Claim,
    all_printed,
    best_of_all,
    decided,
    gain_of_inpainting_first,
    in_words,
    inpainting_first,
    lead,
    paper_pairs,
    paper_rows,
    printed,
)
from occface.benchmark.paper import pipeline_title

__all__ = ["hallucination_claims"]

_JOINT = ["fcsr-gan", FULL]
#: The losses of Table III, each with one more than the one before: our variant, the name in the table, the paper's sign.
_LOSSES = [
    (f"{FULL}:l-minus", "L_G^-", "L-"),
    (f"{FULL}:l-dagger", "L_G^dagger", "L†"),
    (f"{FULL}:l-ddagger", "L_G^ddagger", "L‡"),
    (f"{FULL}:l-star", "L_G^star", "L*"),
    (FULL, "L_G", "L"),
]
_ADDED = ["a feature loss on blocks 2 and 3", "the feature loss on block 1 too", "a style loss and Local-D", "Global-D"]


def hallucination_claims(evidence: Evidence) -> Iterator[Claim]:
    """Give the claims, in the order of the paper's tables and sections; what they find is found when they are asked.

    Those about each data set and mask type are given once for each that the scores have, and at least once.
    """
    yield from _orders(evidence)
    yield from _best(evidence)
    yield from _priors_and_losses(evidence)
    yield from _masks_and_stages(evidence)
    yield from _across_datasets(evidence)


def _orders(evidence: Evidence) -> Iterator[Claim]:
    for metric in QUALITY:
        measure = MEASURES[metric]
        title = measure.title
        text = "PA+SR above SR+PA, all super-resolvers together"
        yield inpainting_first(evidence, metric, "IV-C, Table I", "I", text, "inpainting first is slightly better: ")
        for (name, method), pair in zip(SUPER_RESOLVERS.items(), ORDER_PAIRS, strict=True):
            said = "not in Table I, named in the text"
            if method in all_printed("I", title)["PA+SR"]:
                said = in_words(gain_of_inpainting_first("I", metric, method), measure)
            find = partial(decided, pooled, evidence, metric, [pair])
            yield Claim(f"PA+SR above SR+PA, {pipeline_title(name)}: {title}", "IV-C, Table I", said, find)
    for metric in QUALITY:
        measure = MEASURES[metric]
        cells = all_printed("I", measure.title)
        gaps = cells["joint"].mean(axis=1) - cells[["PA+SR", "SR+PA"]].mean(axis=1)
        yield Claim(
            f"Joint methods above SR+PA and PA+SR on average: {measure.title}",
            "I, IV-B, Table I",
            f"handling both tasks apart is not ideal: {in_words(gaps, measure)}",
            partial(decided, pooled, evidence, metric, list(itertools.product(_JOINT, SEQUENTIAL))),
        )
        gaps = cells[("joint", "FCSR-GAN")] - cells[["PA+SR", "SR+PA"]].max(axis=1)
        yield Claim(
            f"FCSR-GAN above every SR+PA and PA+SR: {measure.title}",
            "IV-B, Table I",
            f"better than works that handle both tasks apart; ahead of the best of them: {in_words(gaps, measure)}",
            partial(decided, strongest, evidence, metric, [("fcsr-gan", name) for name in SEQUENTIAL]),
        )
    for metric in QUALITY:
        measure = MEASURES[metric]
        cells = all_printed("I", measure.title)
        gaps = pd.concat([(cells[order][["FHC", "Re-CPGAN"]].T - cells[order]["Bicubic"]).T for order in ("PA+SR", "SR+PA")])
        yield Claim(
            f"Bicubic with inpainting below trained super-resolvers in the same order: {measure.title}",
            "IV-B, Table I",
            f"bicubic lacks details, which misleads inpainting; FHC and Re-CPGAN against it: {in_words(gaps.stack(), measure)}",
            partial(decided, strongest, evidence, metric, _in_both_orders(("fhc", "re-cpgan", "fsrnet"), "bicubic")),
        )
        gaps = pd.concat([(cells[order].drop(columns="PULSE").T - cells[order]["PULSE"]).T for order in ("PA+SR", "SR+PA")])
        yield Claim(
            f"PULSE with inpainting below all others in the same order: {measure.title}",
            "Table I (not said in the text)",
            f"the others against it: {in_words(gaps.stack(), measure)}",
            partial(decided, strongest, evidence, metric, _in_both_orders(("bicubic", "fhc", "re-cpgan", "fsrnet"), "pulse")),
        )


def _in_both_orders(names: Sequence[str], other: str) -> list[tuple[str, str]]:
    return [pair for name in names for pair in ((f"gfc+{name}", f"gfc+{other}"), (f"{name}+gfc", f"{other}+gfc"))]


def _best(evidence: Evidence) -> Iterator[Claim]:
    for metric in QUALITY:
        wide = evidence.table(metric)
        scored = wide[FULL].dropna().index.droplevel("image").unique() if FULL in wide else []
        for dataset, mask_type in sorted(scored, key=lambda cell: (cell[0], evidence.main.index(cell[1]))):
            said, where = lead("I", metric, dataset, mask_type), Where([mask_type], [dataset])
            yield best_of_all(evidence, metric, "IV-C, Table I", said, f", {dataset}, {mask_type}", where)
        if not len(scored):
            yield best_of_all(evidence, metric, "IV-C, Table I", lead("I", metric))
    for mask_type, note in (("square", " (11.6 % is the ratio of the two)"), ("irregular", "")):
        gap = printed("I", "PSNR", "Pro-UIGAN") - printed("I", "PSNR", "FCSR-GAN")
        ours = evidence.table("psnr", Where([mask_type]))
        theirs = ["CelebA-HQ"] if "CelebA-HQ" in ours.index.get_level_values("dataset") else None
        yield Claim(
            f"Pro-UIGAN above FCSR-GAN, {mask_type} masks: PSNR",
            "IV-C, Table I",
            f"{gap['CelebA-HQ', mask_type]:+.3f} dB on CelebA-HQ{note}",
            partial(decided, pooled, evidence, "psnr", [(FULL, "fcsr-gan")], Where([mask_type], theirs)),
        )


def _priors_and_losses(evidence: Evidence) -> Iterator[Claim]:
    slip = " (the text's 4.431 dB of P+GT over P-FP is 3.582 dB in the table)"
    steps = [
        ("P+GT above Pro-UIGAN (true landmarks help)", f"{FULL}:p-gt", FULL, "II", "P+GT", "Pro-UIGAN", slip),
        ("Pro-UIGAN above P-FP (CM-AM helps)", FULL, f"{FULL}:p-fp", "II", "Pro-UIGAN", "P-FP", ""),
    ]
    for (less, name, sign), (more, next_name, next_sign), added in zip(_LOSSES, _LOSSES[1:], _ADDED, strict=False):
        steps.append((f"{next_sign} above {sign} ({added})", more, less, "III", next_name, name, ""))
    for (text, better, worse, table, first, second, note), metric in itertools.product(steps, QUALITY):
        measure = MEASURES[metric]
        gaps = printed(table, measure.title, first) - printed(table, measure.title, second)
        yield Claim(
            f"{text}: {measure.title}",
            f"IV-D, Table {table}",
            in_words(gaps, measure) + (note if metric == "psnr" else ""),
            partial(_retrained, evidence, metric, [(better, worse)]),
        )
    yield Claim(
        "The feature loss on block 1 helps the first stage: PSNR of stage 1",
        "IV-D",
        "it reduces the errors of the coarse face in the first UI-block (no number)",
        partial(_retrained, evidence, "psnr_stage_1", [(f"{FULL}:l-ddagger", f"{FULL}:l-dagger")]),
    )


def _masks_and_stages(evidence: Evidence) -> Iterator[Claim]:
    for metric in QUALITY:
        measure = MEASURES[metric]
        cells = all_printed("I", measure.title).stack(["order", "method"], future_stack=True).unstack("mask_type")
        yield Claim(
            f"Irregular masks harder than square ones, all methods together: {measure.title}",
            "Table I",
            f"square above irregular: {in_words(cells['square'] - cells['irregular'], measure)}",
            partial(_harder, evidence, metric),
        )
    for metric in QUALITY:
        yield Claim(
            f"Pro-UIGAN falls as the square mask grows from m1 to m5, per step: {MEASURES[metric].title}",
            "IV-E, Fig. 7",
            "the performance drops gradually as the mask grows (curve without numbers)",
            partial(_falls, evidence, metric),
        )
    yield Claim(
        "Pro-UIGAN falls least as the square mask grows, per step: PSNR",
        "IV-E, Fig. 7",
        "it performs well for all mask sizes, even the largest (no number)",
        partial(_falls_least, evidence),
    )
    for stage in (2, 3):
        yield Claim(
            f"Stage {stage} improves on stage {stage - 1}: PSNR, each enlarged to 128",
            "IV-H, Fig. 9",
            "the first UI-block makes a coarse face, the next ones refine it (pictures, no number)",
            partial(_stage, evidence, stage),
        )


def _harder(evidence: Evidence, metric: str) -> Finding:
    where, measure = Where(["square", "irregular"]), MEASURES[metric]
    wide = evidence.table(metric, where)
    found = []
    for pipeline in [name for name in (*RIVALS, FULL) if name in wide]:
        by_mask = wide[pipeline].unstack("mask_type").reindex(columns=where.masks)
        sides = by_mask["square"], by_mask["irregular"]
        found.append(evidence.compare(pipeline_title(pipeline), *sides, [pipeline], measure.lower_is_better))
    needs = f"{measure.title} of the same faces under square and irregular masks"
    paper = paper_pairs([(name,) for name in (*RIVALS, FULL)])
    return pooled(evidence, Family(measure, found, needs, paper, where, _shares(evidence)))


def _shares(evidence: Evidence) -> str:
    """Say how much of the faces the two kinds of masks hide, without which their difference says little."""
    if "hole_area" not in evidence.rows:
        return ""
    faces = evidence.rows.drop_duplicates(["dataset", "mask_type", "image"])
    # Of each data set first: one with many images says no more than one with few.
    areas = faces.groupby(["mask_type", "dataset"])["hole_area"].mean().groupby("mask_type").mean()
    said = [f"{mask} ones {100 * areas[mask]:.1f} %" for mask in ("irregular", "square") if mask in areas]
    return f"of the face are hidden by {' and '.join(said)}"


def _falls(evidence: Evidence, metric: str) -> Finding:
    falls, means = evidence.falls(metric, FULL)
    measure = MEASURES[metric]
    comparison = evidence.compare("", falls, pd.Series(0.0, falls.index), [FULL])
    finding = pooled(evidence, Family(measure, [comparison], "faces"))
    sides = ", ".join(f"{mask} {measure.value(mean)}" for mask, mean in zip(evidence.sizes, means, strict=True))
    falling = sum(a > b for a, b in itertools.pairwise(means))
    why = f"the mean falls at {falling} of {len(means) - 1} steps"
    return replace(finding, measured=sides, why="; ".join(filter(None, [why, finding.why])))


def _falls_least(evidence: Evidence) -> Finding:
    ours, _ = evidence.falls("psnr", FULL)
    found = []
    for rival in RIVALS:
        try:
            theirs, _ = evidence.falls("psnr", rival)
        except NotTestableError:
            continue
        label = f"fall of {pipeline_title(rival)} against that of Pro-UIGAN"
        both = theirs.align(ours, join="inner")
        found.append(evidence.compare(label, both[0], both[1], (FULL, rival)))
    needs = "PSNR of other pipelines under square masks of at least three fixed sizes"
    return strongest(evidence, Family(MEASURES["psnr"], found, needs, PAPER_LEADS, Where(evidence.sizes)))


def _stage(evidence: Evidence, stage: int) -> Finding:
    before, after = evidence.table(f"psnr_stage_{stage - 1}"), evidence.table(f"psnr_stage_{stage}")
    label = f"stage {stage} against stage {stage - 1}"
    comparison = evidence.compare(label, after[FULL], before[FULL], [FULL]) if FULL in after else None
    return pooled(evidence, Family(MEASURES["psnr"], [comparison], "PSNR of the stages of Pro-UIGAN"))


def _across_datasets(evidence: Evidence) -> Iterator[Claim]:
    for metric in QUALITY:
        measure = MEASURES[metric]
        rows = paper_rows("V", measure.title)
        home = rows["method"].str[-1] == rows["dataset"].str[0]
        inside = rows[home].set_index("dataset")["value"]
        gaps = rows[~home].set_index(["dataset", "method"])["value"]
        gaps = pd.Series({key: inside[key[0]] - value for key, value in gaps.items()})
        yield Claim(
            f"Trained on the data set itself above trained on another, Pro-UIGAN: {measure.title}",
            "IV-K, Table V",
            f"results across data sets are less satisfying: {in_words(gaps, measure)}",
            partial(_cross, evidence, metric),
        )


def _cross(evidence: Evidence, metric: str) -> Finding:
    rows = evidence.all_rows
    rows = rows[(rows["pipeline"] == FULL) & (rows["trained_on"] != "") & rows["mask_type"].isin(evidence.main)]
    found: list[Comparison | None] = []
    for dataset, group in rows.groupby("dataset") if metric in rows else []:
        index = ["dataset", "mask_type", "image"]
        wide = group.pivot(index=index, columns="trained_on", values=metric) * MEASURES[metric].scale
        for other in [name for name in wide if name != dataset and dataset in wide]:
            label = f"on {dataset}, trained there against on {other}"
            found.append(evidence.compare(label, wide[dataset], wide[other], [FULL]))
    needs = f"{MEASURES[metric].title} of Pro-UIGAN trained on a data set and on another, both tested on it"
    return _of_one_training(pooled(evidence, Family(MEASURES[metric], found, needs)))


def _of_one_training(finding: Finding) -> Finding:
    """Say what p does not speak of, where one method is held against itself, trained in another way."""
    once = "each was trained once: p speaks of other faces, not of another training"
    return replace(finding, why="; ".join(filter(None, [finding.why, once])))


def _retrained(evidence: Evidence, metric: str, pairs: Sequence[tuple[str, str]]) -> Finding:
    return _of_one_training(decided(pooled, evidence, metric, pairs))
