"""Tables VI and VII, and others of what the faces are for: alignment, parsing, expressions, recognition."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from occface.benchmark.tables.frames import Frames, is_region, scored_methods, table_rows
from occface.benchmark.tables.means import mean_table, present

__all__ = ["guessing", "normalisers", "parsing", "recognition", "table_vi", "table_vii"]

#: Of more classes than these only their number is said.
_NAMED_CLASSES = 8
_NORMALISERS = ("nrmse_outer_eyes", "nrmse_eye_centres", "nrmse_face_width")


def table_vi(frames: Frames) -> pd.DataFrame | None:
    """Build Table VI: the error of landmarks (NRMSE over the outer eye corners) and the IoU of parsing maps.

    Rows (mask type, order, method), the ground truth itself as a reference.
    """
    return _downstream(frames, ("nrmse_outer_eyes", "iou"), "Face alignment (NRMSE) and face parsing (IoU)")


def normalisers(frames: Frames) -> pd.DataFrame | None:
    """Build a table of the error of landmarks by every normaliser there is, if there is more than Table VI shows."""
    if not present(frames.scores, _NORMALISERS[1:]):
        return None
    return _downstream(frames, _NORMALISERS, "Face alignment, NRMSE by several normalisers")


def parsing(frames: Frames) -> pd.DataFrame | None:
    """Build a table of the IoU of every class that was scored by itself."""
    classes = [name for name in frames.scores.columns if name.startswith("iou_")]
    return _downstream(frames, classes, "Face parsing, IoU of single classes")


def table_vii(frames: Frames) -> pd.DataFrame | None:
    """Build Table VII: how often the expression is recognised, in per cent.

    Rows (mask type, order, method). References are the occluded LR face, which is the bicubic pipeline without inpainting,
    and the ground truth.
    """
    scores = frames.scores
    if scores.empty:
        return None
    enlarged = (scores["pipeline"] == "bicubic") & (scores["order"] == "SR")
    if enlarged.any():
        scores = scores[enlarged | (scores["pipeline"] != "lr")].copy()
        scores.loc[enlarged, ["pipeline", "order"]] = ["lr", "reference"]
    lead = "Facial expressions, accuracy as a mean over images, not over folds"
    return _downstream(replace(frames, scores=scores), ("expression_correct",), lead, guessing(scores))


def guessing(scores: pd.DataFrame) -> str:
    """Say of each data set which expressions its judged faces have, and how often a guess of the commonest is right.

    Examples
    --------
    >>> rows = pd.DataFrame({"dataset": "demo", "image": list("abcd"), "expression": ["sad", "calm", "sad", "sad"]})
    >>> guessing(rows.assign(expression_correct=1.0))
    'demo has 2 classes (calm, sad); guessing the commonest is right on 75.00 % of 4 faces.'
    """
    if "expression_correct" not in scores.columns:
        return ""
    judged = scores[scores["expression_correct"].notna() & (scores["expression"] != "")].drop_duplicates(["dataset", "image"])
    said = []
    for dataset, labels in judged.groupby("dataset", sort=False)["expression"]:
        counts = labels.value_counts()
        names = f" ({', '.join(sorted(counts.index))})" if len(counts) <= _NAMED_CLASSES else ""
        said.append(
            f"{dataset} has {len(counts)} classes{names}; guessing the commonest is right on "
            f"{100 * counts.max() / len(labels):.2f} % of {len(labels)} faces."
        )
    return " ".join(said)


def recognition(frames: Frames) -> pd.DataFrame | None:
    """Build the numbers of Fig. 15: rank-1 identification and cosine similarity, for each region that is masked.

    Rows (dataset, order, method); columns (mask type, name).
    """
    rows = scored_methods(frames.scores, references=True)
    rows = rows if rows.empty else rows[rows["mask_type"].map(is_region)]
    metrics = present(rows, ("identified", "identity_cosine"))
    if not metrics:
        return None
    return mean_table(
        rows,
        metrics,
        "Face recognition by what is masked",
        index=("dataset", "order", "method"),
        across="mask_type",
        contracts=frames.contracts,
        trainings=frames.trainings,
    )


def _downstream(frames: Frames, names: tuple[str, ...] | list[str], lead: str, remark: str = "") -> pd.DataFrame | None:
    rows = table_rows(frames.scores, references=True)
    metrics = present(rows, names)
    if not metrics:
        return None
    return mean_table(rows, metrics, lead, contracts=frames.contracts, trainings=frames.trainings, remark=remark)
