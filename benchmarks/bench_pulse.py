"""How many LR faces PULSE reaches, clean and occluded, how near the faces it finds are to the true ones, and at what time.

A face is reached where the mean squared difference of its picture, made small, from the LR face is at most eps (2e-3, of
pictures in [0,1]). Beside the PSNR of the faces found stands that of bicubic interpolation of the same LR faces. Takes a data
set made by `occface make-dataset`; faces are spread evenly over its test split.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from occface import assets, progress
from occface.dataset.reader import DatasetFile, FacePairs, collate
from occface.images import to_uint8, write_png
from occface.methods.base import Batch, Config
from occface.methods.bicubic import Bicubic
from occface.methods.pulse import PULSE
from occface.metrics.image import psnr

SHOWN = 8


def faces_of(data: DatasetFile, count: int) -> dict[str, Batch]:
    """Return evenly spread test faces: ``clean``, and by mask type, each with the LR face to search for as ``lr``."""
    chosen = np.unique(np.linspace(0, data.count("test") - 1, count).round().astype(int))
    batches: dict[str, Batch] = {}
    for mask in data.mask_types("test"):
        pairs = FacePairs(data, "test", [mask])
        batches[mask] = collate([pairs[number] for number in chosen.tolist()])
    first = next(iter(batches.values()))
    return {"clean": {**first, "lr": first["lr_clean"], "mask": torch.zeros_like(first["mask"])}, **batches}


def mean_psnr(found: Tensor, hr: Tensor) -> float:
    """Return the mean PSNR in dB of faces (B,3,128,128)."""
    return float(np.mean([psnr(one, other) for one, other in zip(to_uint8(found), to_uint8(hr), strict=True)]))


def measure(method: PULSE, batches: dict[str, Batch], at_once: int) -> tuple[dict[str, dict[str, Any]], dict[str, Tensor]]:
    """Return the figures and the faces found, by kind of LR face."""
    rows, found = {}, {}
    with progress.bar(sum(len(batch["lr"]) for batch in batches.values()), "searching", "face") as bar:
        for kind, batch in batches.items():
            faces, errors = [], []
            started = time.perf_counter()
            for first in range(0, len(batch["lr"]), at_once):
                part = {name: value[first : first + at_once] for name, value in batch.items()}
                faces.append(method.hallucinate(part).cpu())
                errors += method.last_errors.tolist()
                bar.update(len(part["lr"]))
            seconds = time.perf_counter() - started
            found[kind] = torch.cat(faces)
            ours, peer = mean_psnr(found[kind], batch["hr"]), mean_psnr(Bicubic({}).hallucinate(batch).cpu(), batch["hr"])
            rows[kind] = {
                "reached": sum(error <= method.config["eps"] for error in errors) / len(errors),
                "median_error": float(np.median(errors)),
                "seconds_per_face": seconds / len(errors),
                "psnr": {"ours": ours, "peer": peer, "ratio": ours / peer},
            }
    return rows, found


def sheet(batches: dict[str, Batch], found: dict[str, Tensor]) -> np.ndarray:
    """Return a picture: the true faces in the first row, then LR and found faces of each kind, a column for each face."""
    rows = [next(iter(batches.values()))["hr"].cpu()]
    for kind, batch in batches.items():
        rows += [batch["lr"].cpu().repeat_interleave(8, 2).repeat_interleave(8, 3), found[kind]]
    return np.concatenate([np.concatenate(list(to_uint8(row[:SHOWN])), axis=1) for row in rows], axis=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="a data set, HDF5")
    parser.add_argument("--generator", default="dcgan", help="mobilestylegan, dcgan, or a trained stylegan's run folder")
    parser.add_argument("--faces", type=int, default=16, help="how many test faces")
    parser.add_argument("--kinds", nargs="+", help="which LR faces: clean and mask types (all)")
    parser.add_argument("--at-once", type=int, default=8, help="faces searched side by side")
    parser.add_argument("--steps", type=int, default=100, help="steps from each start")
    parser.add_argument("--starts", type=int, default=1, help="starts for faces that are missed")
    parser.add_argument("--down", default="bicubic", help="bicubic (PULSE's) or data (the data sets')")
    parser.add_argument("--masked", action="store_true", help="leave out the LR pixels that are occluded")
    parser.add_argument("--fit-samples", type=int, default=100_000, help="styles that mean and spread are estimated from")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--pictures", type=Path, help="write the first eight faces into this PNG file")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    names = ("generator", "steps", "starts", "down", "masked", "fit_samples")
    settings: Config = {name: getattr(options, name) for name in names} | {"faces_at_once": options.at_once}
    if options.generator in assets.ASSETS:
        assets.pull(options.generator)
    data = DatasetFile(options.data)
    batches = {
        kind: {name: value.to(options.device) for name, value in batch.items()}
        for kind, batch in faces_of(data, options.faces).items()
        if not options.kinds or kind in options.kinds
    }
    rows, found = measure(PULSE.build("paper", settings), batches, options.at_once)
    if options.pictures:
        write_png(options.pictures, sheet(batches, found))
    count = len(next(iter(found.values())))
    if options.json:
        print(json.dumps({"n": count, "settings": settings, "peer": "bicubic", "figures": rows}))
        return
    print(f"n = {count} faces, {options.generator}, {options.steps} steps, at most {options.starts} starts")
    print(f"{'':12s} {'reached':>8s} {'median error':>13s} {'s/face':>8s} {'PSNR':>7s} {'bicubic':>8s} {'ratio':>6s}")
    for kind, row in rows.items():
        ours, peer, ratio = row["psnr"].values()
        numbers = f"{row['reached']:8.0%} {row['median_error']:13.2e} {row['seconds_per_face']:8.1f}"
        print(f"{kind:12s} {numbers} {ours:7.2f} {peer:8.2f} {ratio:6.3f}")


if __name__ == "__main__":
    main()
