"""Random records of a data set per second and core, beside plain h5py and with DataLoader workers, in one run.

A record is a training pair: HR and LR faces, mask, and both sets of landmarks, 67 kB, as it lies in the file. The whole file is
read once before, so that it lies in memory as far as that goes. The rates are the best of several rounds, taken in turn.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable

import h5py
import numpy as np
import torch

from occface.dataset.loading import PairLoader
from occface.dataset.reader import DatasetFile, FacePairs

BATCH = 64


def plain_h5py(path: str, split: str, mask: str, order: np.ndarray) -> int:
    """Read records as one would first: each field of each record through its name."""
    below = f"{split}/occluded/{mask}/"
    names = [f"{split}/hr", f"{split}/lr_clean", f"{split}/landmarks", *(below + n for n in ("mask", "lr", "landmarks_lr"))]
    with h5py.File(path) as file:
        for number in order.tolist():
            for name in names:
                file[name][number]
    return len(order)


def default_loader(pairs: FacePairs, workers: int) -> Callable[[], int]:
    """Return a round of torch's own way: single pairs, its collate, its shared memory."""
    loader = torch.utils.data.DataLoader(
        pairs, BATCH, shuffle=True, num_workers=workers, persistent_workers=workers > 0  # type: ignore[arg-type]
    )  # fmt: skip
    return lambda: sum(len(batch["hr"]) for batch in loader)


def own_loader(pairs: FacePairs, workers: int) -> Callable[[], int]:
    loader = PairLoader(pairs, BATCH, workers=workers)
    return lambda: sum(len(batch["hr"]) for batch in loader)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="a data set, HDF5")
    parser.add_argument("--split", default="train")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2, help="per round")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    torch.set_num_threads(1)
    data = DatasetFile(options.data)
    pairs = FacePairs(data, options.split, data.mask_types(options.split)[:1])
    pairs.read(np.arange(len(pairs)))
    order = np.random.default_rng(0).permutation(len(pairs))

    def one_by_one() -> int:
        for number in order.tolist():
            pairs[number]
        return len(order)

    ways: dict[str, Callable[[], int]] = {
        "plain h5py": lambda: plain_h5py(options.data, options.split, pairs.masks[0], order),
        "single pairs": one_by_one,
        "PairLoader, no workers": own_loader(pairs, 0),
        "PairLoader, 2 workers": own_loader(pairs, 2),
        "torch DataLoader, no workers": default_loader(pairs, 0),
        "torch DataLoader, 2 workers": default_loader(pairs, 2),
    }
    rates = dict.fromkeys(ways, 0.0)
    for _ in range(options.rounds):
        for name, way in ways.items():
            way()  # workers wake up
            begun, read = time.perf_counter(), 0
            while time.perf_counter() - begun < options.seconds:
                read += way()
            rates[name] = max(rates[name], read / (time.perf_counter() - begun))
    figures = {
        "records": len(pairs),
        "per_second": rates,
        "ratio_to_plain_h5py": rates["single pairs"] / rates["plain h5py"],
        "two_workers_to_none": rates["PairLoader, 2 workers"] / rates["PairLoader, no workers"],
    }
    if options.json:
        print(json.dumps(figures))
        return
    for name, rate in rates.items():
        print(f"{name:<30} {rate:9.0f} records/s   {rate / rates['plain h5py']:6.1f} x plain h5py")
    print(f"two workers to none: {figures['two_workers_to_none']:.2f}")


if __name__ == "__main__":
    main()
