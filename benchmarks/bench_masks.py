"""Masks per second and core, beside a plain Python random walk in the same run; and whether hole ratios are as asked.

The peer is the random walk that public inpainting repositories (and the paper's released code) draw their irregular masks
with: one call of the random module and one clipping for each step, in plain Python. It is timed at the released length
(2,304 steps in a 64 pixel box) and over a whole 128 canvas (16,384 steps).

The hole ratios of each bin are compared with the uniform distribution by a Kolmogorov-Smirnov test: of fair draws, one bin
in a hundred has a p below 0.01.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from scipy import stats

from occface.images import write_png
from occface.occlusion import KINDS, MaskFolder, draw_mask, mask_family
from occface.occlusion.strokes import RATIO_BINS, hole_counts

#: The bar: at least so many irregular masks per second and core.
WANTED = 5000
SEEDS = {"": 1, "-inside": 2, "-border": 3}


def plain_walk(length: int, box: int) -> np.ndarray:
    mask = np.zeros((128, 128), np.uint8)
    x, y = random.randint(0, box - 1), random.randint(0, box - 1)
    for _ in range(length):
        step_x, step_y = ((0, 1), (0, -1), (1, 0), (-1, 0))[random.randint(0, 3)]
        x, y = min(max(x + step_x, 0), box - 1), min(max(y + step_y, 0), box - 1)
        mask[y, x] = 1
    return mask


def rate(draw: Callable[[], np.ndarray], seconds: float) -> float:
    """Return calls per second of processor time: the best of five rounds, so that the machine's other work counts least."""
    best = 0.0
    for _ in range(5):
        count, start = 0, time.process_time()
        while time.process_time() - start < seconds / 5:
            draw()
            count += 1
        best = max(best, count / (time.process_time() - start))
    return best


def mean_face() -> np.ndarray:
    """Return 68 points arranged like a face: what they are exactly does not matter to the time."""
    jaw = [(63.5 + 39.5 * np.cos(t), 50 + 65 * np.sin(t)) for t in np.linspace(np.pi, 0, 17)]
    brows = [(x, 40) for x in (31, 37, 43, 50, 57, 70, 77, 84, 90, 96)]
    nose = [(63.5, y) for y in (50, 57, 64, 71)] + [(x, 76) for x in (56, 60, 63.5, 67, 71)]
    eyes = [
        (c + 7 * np.cos(t), 50 - 3 * np.sin(t)) for c in (45.5, 81.5) for t in np.linspace(np.pi, -np.pi, 6, endpoint=False)
    ]
    mouth = [
        (63.5 + w * np.cos(t), 88 - h * np.sin(t))
        for w, h, n in ((16, 7, 12), (12, 2, 8))
        for t in np.linspace(np.pi, -np.pi, n, endpoint=False)
    ]
    return np.array(jaw + brows + nose + eyes + mouth)


def hole_ratios(count: int) -> dict[str, dict[str, float]]:
    """Return for each bin the smallest, mean and largest hole ratio of some masks, and the p of their being uniform."""
    rows = {}
    for low, high in RATIO_BINS:
        smallest, largest = hole_counts((low, high), 128)
        for variant, seed in SEEDS.items():
            name = f"irregular-{low / 100:g}-{high / 100:g}{variant}"
            rng = np.random.default_rng([seed, low])
            holes = np.array([draw_mask(name, rng).sum() for _ in range(count)])
            p = stats.kstest(holes, stats.uniform(smallest - 0.5, largest - smallest + 1).cdf).pvalue
            ratios = holes / 128**2
            rows[name] = {"min": ratios.min(), "mean": ratios.mean(), "max": ratios.max(), "p": float(p)}
    return {name: {key: float(value) for key, value in row.items()} for name, row in rows.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=0.5, help="time for each row")
    parser.add_argument("--masks", type=int, default=1000, help="masks of each bin whose hole ratios are looked at")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    rng = np.random.default_rng(0)
    random.seed(0)
    landmarks = mean_face()
    with tempfile.TemporaryDirectory() as temporary:
        for number in range(100):
            large = cv2.resize(draw_mask("irregular", rng), (512, 512), interpolation=cv2.INTER_NEAREST)
            write_png(Path(temporary, f"{number}.png"), large * np.uint8(255))
        folder = MaskFolder(temporary)
        ours = {
            kind: rate(lambda kind=kind: draw_mask(kind, rng, landmarks=landmarks, folder=folder), options.seconds)  # type: ignore[misc]
            for kind in (*KINDS, "eyes+square-32")
        }
    peers = {
        "plain walk, 2304 steps": rate(lambda: plain_walk(2304, 64), options.seconds),
        "plain walk, 16384 steps": rate(lambda: plain_walk(16384, 128), options.seconds),
    }
    ratios = {f"{kind} / {peer}": ours[kind] / peers[peer] for kind in ("irregular", "walk") for peer in peers}
    holes = hole_ratios(options.masks)
    if options.json:
        speed = {"unit": "masks per second, one core", "ours": ours, "peers": peers, "ratios": ratios}
        print(json.dumps({**speed, "wanted": {"irregular": WANTED}, "hole_ratios": holes, "hole_ratios_n": options.masks}))
        return
    for name, value in (ours | peers).items():
        print(f"{name:32s} {value:10.0f} masks/s   {mask_family(name) if name in ours else 'plain Python'}")
    print(f"\nirregular: {ours['irregular']:.0f} masks per second and core, at least {WANTED} wanted")
    for name, value in ratios.items():
        print(f"{name:44s} {value:8.1f} x")
    print(f"\nhole ratios of {options.masks} masks each: smallest, mean, largest, p of being uniform in the bin")
    for name, row in holes.items():
        print(f"{name:32s} {row['min']:.4f} {row['mean']:.4f} {row['max']:.4f}   p = {row['p']:.3f}")


if __name__ == "__main__":
    main()
