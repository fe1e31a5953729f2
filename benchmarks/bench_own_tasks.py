"""Each method on the task that it learnt, against the simplest thing that does the same, on held-out faces.

Super-resolution of clean LR faces and joint hallucination of occluded ones are held against bicubic interpolation of the same
LR faces, completion of occluded HR faces against filling the hole with the mean colour of what is visible.

    python benchmarks/bench_own_tasks.py celeba.h5 runs/fhc runs/gfc runs/fcsr-gan
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from occface.dataset.reader import DatasetFile, FacePairs, collate
from occface.images import to_uint8
from occface.methods.base import Batch
from occface.methods.bicubic import Bicubic
from occface.methods.weights import LoadedMethod, load_method
from occface.metrics import psnr
from occface.training.devices import resolve

BATCH = 20


def main() -> None:
    """Print a row for each method and mask type: PSNR, the baseline's, and on how many faces the method is better."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="a data set of make-dataset")
    parser.add_argument("runs", type=Path, nargs="+", help="run folders of methods that make faces")
    parser.add_argument("--split", default="test")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    data, device = DatasetFile(options.data), resolve(options.device)
    rows = []
    for run in tqdm(options.runs, disable=None):
        loaded = load_method(run, device)
        # A clean LR face has no mask: one of them does.
        masks = data.mask_types(options.split)[: 1 if loaded.method.role == "sr" else None]
        rows += [measured(loaded, FacePairs(data, options.split, [mask]), mask, device) for mask in masks]
    table = pd.DataFrame(rows)
    print(json.dumps(rows) if options.json else table.to_string(index=False, float_format="{:.2f}".format))


def measured(loaded: LoadedMethod, pairs: FacePairs, mask: str, device: torch.device) -> dict[str, object]:
    """Return the row of a method on one mask type."""
    ours: list[float] = []
    theirs: list[float] = []
    for start in range(0, len(pairs), BATCH):
        chosen = [pairs[number] for number in range(start, min(start + BATCH, len(pairs)))]
        batch = {name: value.to(device) for name, value in collate(chosen).items()}
        made, simple = restored(loaded, batch)
        truth = [pair["hr"] for pair in chosen]
        ours += [psnr(*pair) for pair in zip(to_uint8(made), truth, strict=True)]
        theirs += [psnr(*pair) for pair in zip(to_uint8(simple), truth, strict=True)]
    role = loaded.method.role
    return {
        "method": loaded.name,
        "minutes": loaded.card["minutes"],
        "task": {"sr": "SR of clean LR", "inpaint": f"completion of HR, {mask}"}.get(role, f"occluded LR to HR, {mask}"),
        "PSNR": float(np.mean(ours)),
        "against": "mean fill" if role == "inpaint" else "bicubic",
        "its PSNR": float(np.mean(theirs)),
        "difference": float(np.mean(ours) - np.mean(theirs)),
        "better on": sum(one > other for one, other in zip(ours, theirs, strict=True)),
        "n": len(ours),
    }


def restored(loaded: LoadedMethod, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """Return what the method and the baseline make of a batch, (B,3,128,128) each."""
    bicubic, role = Bicubic.build("paper"), loaded.method.role
    if role == "sr":
        clean = {**batch, "lr": batch["lr_clean"]}
        return loaded.method.hallucinate(clean), bicubic.hallucinate(clean)
    if role != "inpaint":
        return loaded.method.hallucinate(batch), bicubic.hallucinate(batch)
    visible = 1 - batch["mask"]
    mean = (batch["hr"] * visible).sum((2, 3), keepdim=True) / visible.sum((2, 3), keepdim=True)
    given = {**batch, "image": batch["hr"] * visible}
    return loaded.method.hallucinate(given), batch["hr"] * visible + mean * batch["mask"]


if __name__ == "__main__":
    main()
