"""Masks per second and core, beside a plain Python random walk in the same run.

The peer is the random walk that public inpainting repositories (and the paper's released code) draw their irregular masks
with: one call of the random module and one clipping for each step, in plain Python. It is timed at the released length
(2,304 steps in a 64 pixel box) and over a whole 128 canvas (16,384 steps).
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Callable

import cv2
import numpy as np

from occface.occlusion import KINDS, draw_mask


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=1.0, help="time for each row")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    rng = np.random.default_rng(0)
    random.seed(0)
    ours = {kind: rate(lambda kind=kind: draw_mask(kind, rng), options.seconds) for kind in KINDS}  # type: ignore[misc]
    peers = {
        "plain walk, 2304 steps": rate(lambda: plain_walk(2304, 64), options.seconds),
        "plain walk, 16384 steps": rate(lambda: plain_walk(16384, 128), options.seconds),
    }
    ratios = {f"{kind} / {peer}": ours[kind] / peers[peer] for kind in ("irregular", "walk") for peer in peers}
    if options.json:
        print(json.dumps({"unit": "masks per second, one core", "ours": ours, "peers": peers, "ratios": ratios}))
        return
    for name, value in (ours | peers).items():
        print(f"{name:32s} {value:10.0f} masks/s")
    for name, value in ratios.items():
        print(f"{name:44s} {value:8.1f} x")


if __name__ == "__main__":
    main()
