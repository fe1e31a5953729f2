"""What each page with Python in it takes for granted: files that lie in the reader's folder, and names that are bound."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from occface.dataset.reader import DatasetFile
from occface.faces.parsing import CLASSES_11
from occface.images import read_image

__all__ = ["FILES", "names_of"]

#: By page: names of files and folders in the reader's folder, and the fixtures that they are.
FILES: dict[str, dict[str, str]] = {
    "docs/dataset.md": {"faces.h5": "dataset_path"},
    "docs/files.md": {"faces.h5": "dataset_path", "runs": "runs", "results": "results"},
    "docs/metrics.md": {"faces.h5": "dataset_path"},
    "docs/methods/face-parser.md": {"runs": "runs"},
    "docs/quick-start.md": {"occface-demo": "results"},
    "docs/restore.md": {"runs": "runs"},
    "docs/statistics.md": {"results": "results"},
    "docs/your-method.md": {"faces.h5": "dataset_path"},
}


def names_of(page: str, data: DatasetFile) -> dict[str, Any]:
    """Return the names that a page's blocks use without binding them, by what the page says that they are."""
    rng = np.random.default_rng(0)
    face = data.record("test", 0, ["hr", "landmarks"])
    if page == "docs/methods/face-parser.md":
        return {"images": torch.zeros(2, 3, 128, 128), "CLASSES_11": CLASSES_11}
    if page == "docs/metrics.md":
        return {"numbers": [0, 1], "result": data.stack("test", "hr")}
    if page == "docs/report.md":
        return {
            "face": face["hr"],
            "landmarks": face["landmarks"],
            "labels": rng.integers(0, 11, (128, 128)).astype(np.uint8),
            "classes": CLASSES_11,
            "stage_2": data.record("test", 0, ["hr"])["hr"][::2, ::2],
            "heatmaps_2": rng.random((68, 64, 64), dtype=np.float32),
        }
    if page == "docs/restore.md":
        return {"face": face["hr"], "photograph": read_image("photos/face_0.jpg")}
    return {}
