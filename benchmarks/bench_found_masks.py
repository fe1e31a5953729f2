"""What `--mask auto` finds of holes with fills that no model was taught: IoU, recall and precision of LR masks, by fill.

Faces are held-out ones of a data set, holes those of its mask types or shapes drawn by its landmarks. The true LR mask holds
every cell that the hole touches. `none` is no hole: then the part of all cells that is taken for one, and the part of faces
with any such cell. Each of the three cues is scored alone too, without what the others tell it.

    gray, white, black   flat
    skin                 flat, the median colour of both cheeks
    noise                uniform noise for each pixel, which is nearly grey at 16 px
    texture              clouds in random colours at five scales
    face                 the same place of the next face: skin where skin is, nothing strange about it

    python benchmarks/bench_found_masks.py celeba.h5 --pipeline runs/pro-uigan --masks square,lower-face
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from occface import seeding
from occface.dataset.reader import DatasetFile
from occface.dataset.schema import LR_SIZE
from occface.occlusion import downsample, draw_mask
from occface.occlusion.regions import REGIONS
from occface.restoring.holes import auto_mask, flat_patches, of_no_face, taken_away
from occface.restoring.restorer import Restorer

FILLS = ("none", "gray", "white", "black", "skin", "noise", "texture", "face")
_FLAT = {"gray": 128, "white": 255, "black": 0}
_CELL = 8


def clouds(rng: np.random.Generator, size: int = 128) -> np.ndarray:
    """Return a random texture, (size, size, 3) uint8."""
    made = np.zeros((size, size, 3)) + rng.integers(0, 256, 3)
    for cells in (4, 8, 16, 32, 64):
        coarse = rng.normal(0, 40, (cells, cells, 3)).astype(np.float32)
        made += cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC)
    return made.clip(0, 255).astype(np.uint8)


def cheeks(hr: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """Return the median colour of both cheeks, (3,)."""
    places = [landmarks[[2, 31]].mean(axis=0), landmarks[[14, 35]].mean(axis=0)]
    return np.median([hr[int(y) - 3 : int(y) + 4, int(x) - 3 : int(x) + 4].reshape(-1, 3) for x, y in places], axis=(0, 1))


def filled(
    hr: np.ndarray, other: np.ndarray, mask: np.ndarray, points: np.ndarray, fill: str, rng: np.random.Generator
) -> np.ndarray:
    """Return a face with a hole filled."""
    made, hole = hr.copy(), mask > 0
    if fill in _FLAT:
        made[hole] = _FLAT[fill]
    elif fill == "skin":
        made[hole] = np.rint(cheeks(hr, points))
    elif fill != "none":
        whole = {"noise": rng.integers(0, 256, hr.shape, np.uint8), "texture": clouds(rng), "face": other}[fill]
        made[hole] = whole[hole]
    return made


def scores(found: np.ndarray, true: np.ndarray) -> dict[str, float]:
    """Return how a mask of cells compares with the true one; of a face without a hole, what was taken for one."""
    both = float((found & true).sum())
    if not true.any():
        return {"cells": float(found.mean()), "faces": float(found.any())}
    return {
        "iou": both / float((found | true).sum()),
        "recall": both / float(true.sum()),
        "precision": both / float(found.sum()) if found.any() else np.nan,
    }


def measure(data: DatasetFile, split: str, shape: str, count: int, restorer: Restorer | None) -> pd.DataFrame:
    """Return a row of scores for each face, fill and cue."""
    hrs, points = data.field(split, "hr"), data.field(split, "landmarks")
    rows = []
    for number in range(count):
        hr, other = np.asarray(hrs[number]), np.asarray(hrs[(number + 1) % count])
        landmarks = np.asarray(points[number])
        rng = seeding.rng(0, "found masks", shape, number)
        if shape in REGIONS:
            mask = draw_mask(shape, rng, landmarks=landmarks)
        else:
            mask = np.asarray(data.field(split, f"occluded/{shape}/mask")[number])
        shown = [filled(hr, other, mask, landmarks, fill, rng) for fill in FILLS]
        made = [None] * len(FILLS) if restorer is None else [each.result for each in restorer.restore(shown)]
        for fill, face, result in zip(FILLS, shown, made, strict=True):
            true = mask.reshape(LR_SIZE, _CELL, LR_SIZE, _CELL).max(axis=(1, 3)) > 0
            true &= fill != "none"
            lr = downsample(face)
            cues = {"auto": auto_mask(lr, result, "antialiased")[::_CELL, ::_CELL] > 0, "flat": flat_patches(lr)}
            cues["no face"] = of_no_face(lr)
            if result is not None:
                cues["taken away"] = taken_away(lr, result, "antialiased")
            rows += [{"mask": shape, "fill": fill, "cue": cue} | scores(found, true) for cue, found in cues.items()]
    return pd.DataFrame(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="a data set of `occface make-dataset`")
    parser.add_argument("--pipeline", help="a joint method that is told no mask; without one the model's cue is left out")
    parser.add_argument("--masks", default="square,lower-face", help="mask types of the data set, or regions")
    parser.add_argument("--split", default="test")
    parser.add_argument("--count", type=int, default=60, help="faces, from the first of the split on")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    data = DatasetFile(options.data)
    restorer = None if options.pipeline is None else Restorer.from_pretrained(options.pipeline, device="cpu")
    count = min(options.count, len(data.columns(options.split)))
    parts = [measure(data, options.split, shape, count, restorer) for shape in options.masks.split(",")]
    means = pd.concat(parts).groupby(["mask", "fill", "cue"], sort=False).mean().dropna(axis=1, how="all")
    if options.json:
        print(json.dumps({"n": count, "means": json.loads(means.reset_index().to_json(orient="records"))}))
        return
    print(f"{options.data}, {options.split}, n = {count}\n{means.round(3).to_string(na_rep='')}")


if __name__ == "__main__":
    main()
