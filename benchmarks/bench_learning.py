"""How Pro-UIGAN's held-out PSNR grows with the images seen and with the size of the training set.

    python benchmarks/bench_learning.py faces.h5 heldout.h5 --sizes 375 1500 5985 --steps 600 --out curves

trains the pixel-loss variant (preset cpu+l-minus, its last phase alone: the whole network from the first step) on random
subsets of one training set, each inside the next larger one, for the same number of steps, and scores each on all pairs of the
test split of another data set. The straight line through PSNR over the logarithm of the size is printed, drawn to the paper's
28,432 images: a line through few points far beyond the last of them is a guess, and is to be read as one.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
from bench_stages import made_by

from occface import files
from occface.dataset.reader import DatasetFile, FacePairs, collate
from occface.dataset.schema import content_hash
from occface.images import to_uint8
from occface.metrics import psnr
from occface.training.loop import train
from occface.training.options import TrainingOptions

PAPER = 28_432
"""Training images of the paper's CelebA split."""


def subset(source: Path, target: Path, size: int, seed: int = 0) -> None:
    """Write `size` training faces of a data set, with all of its test split; a smaller subset lies inside a larger one."""
    with h5py.File(source) as old, h5py.File(target, "w") as new:
        chosen = np.sort(np.random.default_rng(seed).permutation(len(old["train/index"]))[:size])
        old.copy("test", new)

        def take(name: str, item: h5py.Group | h5py.Dataset) -> None:
            if isinstance(item, h5py.Dataset):
                block = np.concatenate([item[start : start + 512] for start in range(0, len(item), 512)])
                new.create_dataset(f"train/{name}", data=block[chosen], dtype=item.dtype)

        old["train"].visititems(take)
        new.attrs.update(old.attrs)
        new.attrs["content_hash"] = content_hash(new, {"subset of": str(old.attrs["content_hash"]), "size": size, "seed": seed})


def score(run: Path, data: Path) -> tuple[float, int]:
    """Return the mean PSNR in dB of a run's faces on all pairs of a data set's test split, and how many there are."""
    pairs = FacePairs(DatasetFile(data), "test")
    batch = collate([pairs[number] for number in range(len(pairs))])
    made = made_by(str(run), "", batch)[-1]
    return float(np.mean([psnr(*pair) for pair in zip(to_uint8(made), to_uint8(batch["hr"]), strict=True)])), len(pairs)


def curve(run: Path) -> str:
    """Return the run's validations while it learnt: images seen and PSNR in dB."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    size = files.read_json(run / "weights.json")["config"]["batch_size"]
    return ", ".join(f"{line['step'] * size}: {line['psnr_test']:.2f}" for line in lines if "psnr_test" in line)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="the training set")
    parser.add_argument("test", type=Path, help="a data set whose test split scores the runs")
    parser.add_argument("--sizes", type=int, nargs="+", required=True, help="training faces of each run")
    parser.add_argument("--steps", type=int, required=True, help="steps of each run")
    parser.add_argument("--out", type=Path, required=True, help="the runs' folder; finished ones are kept")
    options = parser.parse_args()
    out = files.make_folder(options.out)
    settings = {"steps_1": 0, "steps_2": 0, "steps_3": options.steps, "plain_steps": [0, 0, options.steps]}
    rows = []
    for size in sorted(options.sizes):
        run = out / str(size)
        if not (run / "weights.json").is_file():
            data = out / f"{size}.h5"
            subset(options.data, data, size)
            how = TrainingOptions(picture_every=max(options.steps // 6, 1))
            train("pro-uigan", DatasetFile(data), run, "cpu+l-minus", settings, how, overwrite=run.exists())
            data.unlink()
        card = files.read_json(run / "weights.json")
        found, pairs = score(run, options.test)
        seen = card["steps"] * card["config"]["batch_size"]
        rows.append({"faces": size, "images seen": seen, "minutes": card["minutes"], "PSNR": found, "n": pairs})
        print(f"{size} faces, PSNR over images seen: {curve(run)}", flush=True)
    table = pd.DataFrame(rows)
    print(table.to_string(index=False, float_format="{:.2f}".format))
    if len(table) > 1:
        slope, base = np.polyfit(np.log2(table["faces"]), table["PSNR"], 1)
        print(
            f"{slope:+.3f} dB for each doubling of the set; the line at {PAPER} faces: {slope * np.log2(PAPER) + base:.2f} dB"
        )


if __name__ == "__main__":
    main()
