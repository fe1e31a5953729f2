"""How far landmarks estimated on LR faces lie from those of the HR faces, beside the mean face as the peer that knows nothing.

Takes a data set made by `occface make-dataset`; errors are mean distances in pixels of the 128x128 crop over its test split.
The mean face is that of the training split.
"""

from __future__ import annotations

import argparse
import json

import numpy as np

from occface import faces
from occface.dataset.reader import DatasetFile


def error(estimated: np.ndarray, true: np.ndarray) -> float:
    """Return the mean distance of (N, 68, 2) landmarks."""
    return float(np.linalg.norm(estimated - true, axis=-1).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", help="a data set, HDF5")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    data = DatasetFile(arguments.data)
    true = data.stack("test", "landmarks")
    mean = error(data.stack("train", "landmarks").mean(0), true)
    landmarker = faces.LANDMARKERS.get(data.configuration["landmarker"])()
    measured = {"clean": error(np.stack([landmarker.on_lr(lr) for lr in data.stack("test", "lr_clean")]), true)}
    for mask in data.mask_types("test"):
        measured[mask] = error(data.stack("test", f"occluded/{mask}/landmarks_lr"), true)
    rows = {name: {"error_px": value, "mean_face_px": mean, "ratio": value / mean} for name, value in measured.items()}
    if arguments.json:
        print(json.dumps({"n": len(true), "lr_landmarks": rows}))
        return
    print(f"n = {len(true)} faces; mean face: {mean:.2f} px")
    for name, row in rows.items():
        print(f"{name:<12} {row['error_px']:.2f} px  ({row['ratio']:.2f} of the mean face's error)")


if __name__ == "__main__":
    main()
