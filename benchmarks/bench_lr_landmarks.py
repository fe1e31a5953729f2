"""How far landmarks estimated on LR faces lie from those of the HR faces, beside the mean face as the peer that knows nothing.

Takes a data set made by `occface make-dataset`, and looks at its test split: distances are means in pixels of the 128x128 crop,
NRMSE in per cent of the distance of the outer eye corners. The mean face is that of the training split. With `--fan RUN`, a
network trained by `occface train fan` is measured too, on the HR faces as well; `--decoding` reads its heatmaps otherwise.
"""

from __future__ import annotations

import argparse
import json

import numpy as np
import torch

from occface import faces
from occface.dataset.reader import DatasetFile
from occface.faces.heatmaps import DECODINGS
from occface.faces.landmarks import nrmse
from occface.images import to_float
from occface.methods.fan import FanMethod
from occface.methods.weights import load_method


def error(estimated: np.ndarray, true: np.ndarray) -> float:
    """Return the mean distance of (N, 68, 2) landmarks."""
    return float(np.linalg.norm(estimated - true, axis=-1).mean())


def known(data: DatasetFile) -> dict[str, np.ndarray]:
    """Return what the detector that marked the HR faces finds in LR faces, by input; in HR it found the truth itself."""
    landmarker = faces.LANDMARKERS.get(data.configuration["landmarker"])()
    found = {"clean LR": np.stack([landmarker.on_lr(lr) for lr in data.stack("test", "lr_clean")])}
    for mask in data.mask_types("test"):
        found[f"{mask} LR"] = np.stack([landmarker.on_lr(lr) for lr in data.stack("test", f"occluded/{mask}/lr")])
    return found


def trained(data: DatasetFile, run: str, decoding: str | None) -> dict[str, np.ndarray]:
    """Return what a trained FAN finds, by input."""
    method = load_method(run).method
    if not isinstance(method, FanMethod):
        raise SystemExit(f"expected a run of method 'fan' at {run}, got one of '{method.name}'")
    if decoding:
        method.config["decoding"] = decoding
    inputs = {"HR": "hr", "clean LR": "lr_clean"} | {f"{mask} LR": f"occluded/{mask}/lr" for mask in data.mask_types("test")}
    found = {}
    for name, path in inputs.items():
        images = to_float(data.stack("test", path))
        found[name] = torch.cat([method.landmarks_of(part) for part in images.split(16)]).numpy()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", help="a data set, HDF5")
    parser.add_argument("--fan", metavar="RUN", help="a run folder of `occface train fan`")
    parser.add_argument("--decoding", choices=DECODINGS, help="how its heatmaps are read, if not as it was trained")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    data = DatasetFile(arguments.data)
    true = data.stack("test", "landmarks")
    mean = np.broadcast_to(data.stack("train", "landmarks").mean(0), true.shape)
    peer = error(mean, true)
    measured = {data.configuration["landmarker"]: known(data)}
    if arguments.fan:
        measured["trained fan"] = trained(data, arguments.fan, arguments.decoding)
    rows = [
        {
            "landmarker": landmarker,
            "input": name,
            "error_px": error(found, true),
            "nrmse": float(nrmse(found, true).mean()),
            "mean_face_px": peer,
            "ratio": error(found, true) / peer,
        }
        for landmarker, by_input in measured.items()
        for name, found in by_input.items()
    ]
    if arguments.json:
        print(json.dumps({"n": len(true), "mean_face_nrmse": float(nrmse(mean, true).mean()), "lr_landmarks": rows}))
        return
    print(f"n = {len(true)} faces; mean face: {peer:.2f} px, NRMSE {nrmse(mean, true).mean():.2f} %")
    for row in rows:
        text = "{landmarker:<12} {input:<14} {error_px:.2f} px  NRMSE {nrmse:.2f} %  ({ratio:.2f} of the mean face's pixels)"
        print(text.format(**row))


if __name__ == "__main__":
    main()
