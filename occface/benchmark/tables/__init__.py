"""Tables out of score rows alone: the paper's seven and more, as frames, CSV, Markdown and LaTeX.

`TABLES` names them; each builds its frame from a `Frames`, with neither models nor images.
"""

from __future__ import annotations

from occface.benchmark.tables import downstream, efficiency, hallucination, more
from occface.benchmark.tables.form import best_cells, format_cell, header, latex, markdown, shown, write_table
from occface.benchmark.tables.frames import Frames, TableSpec
from occface.benchmark.tables.hallucination import table_1

__all__ = [
    "TABLES",
    "Frames",
    "TableSpec",
    "best_cells",
    "format_cell",
    "header",
    "latex",
    "markdown",
    "shown",
    "table_1",
    "write_table",
]

#: Every table by its key, which is also the end of its files' names: ``table_1.csv``, ``table_by-pose.csv``.
TABLES: dict[str, TableSpec] = {
    "1": TableSpec("Table I: face hallucination", hallucination.table_i, "there are no PSNR and SSIM of pipelines", "I"),
    "2": TableSpec(
        "Table II: facial geometry priors",
        hallucination.table_ii,
        "neither pro-uigan:p-fp nor pro-uigan:p-gt was scored",
        "II",
    ),
    "3": TableSpec(
        "Table III: training losses",
        hallucination.table_iii,
        "none of pro-uigan:l-minus, l-dagger, l-ddagger and l-star was scored",
        "III",
    ),
    "4": TableSpec("Table IV: efficiency", efficiency.table_iv, "no pipeline's size and time were measured", "IV"),
    "5": TableSpec(
        "Table V: across data sets",
        hallucination.table_v,
        "no method that learnt from one data set was scored on another",
        "V",
    ),
    "6": TableSpec(
        "Table VI: face alignment and parsing",
        downstream.table_vi,
        "no landmarks and no parsing were scored (nrmse_outer_eyes, iou)",
        "VI",
    ),
    "6-normalisers": TableSpec(
        "Face alignment by three normalisers",
        downstream.normalisers,
        "no landmarks were scored with a second normaliser (nrmse_eye_centres, nrmse_face_width)",
    ),
    "7": TableSpec(
        "Table VII: facial expressions", downstream.table_vii, "no expressions were scored (expression_correct)", "VII"
    ),
    "recognition": TableSpec(
        "Face recognition by what is occluded, as in Fig. 15",
        downstream.recognition,
        "no identities were scored on masks of facial regions (identified, identity_cosine)",
    ),
    "parsing": TableSpec("Face parsing by class", downstream.parsing, "no single class was scored"),
    "more": TableSpec(
        "Perception, identity, and masked and visible regions apart",
        more.more,
        "none of ST-LPIPS, Frechet distance, identity and region PSNR was scored",
    ),
    "stages": TableSpec("Stage by stage", more.stages, "no method gave the results of its stages (psnr_stage_1, ...)"),
    "by-pose": TableSpec("Face hallucination by pose", more.by_pose, "no data set says poses"),
    "by-mask-size": TableSpec(
        "Face hallucination by mask size", more.by_mask_size, "fewer than two sizes of square masks were scored"
    ),
    "by-hole-area": TableSpec(
        "Face hallucination by occluded share of the face", more.by_hole_area, "there are no PSNR and SSIM of pipelines"
    ),
}
