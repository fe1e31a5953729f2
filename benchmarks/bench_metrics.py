"""Images scored per second and core: PSNR, SSIM and the luma's PSNR in batches, beside scikit-image with the same settings.

Both score the same pairs on one thread in the same run, in turns, so that what else the machine does strikes both alike.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence

import cv2
import numpy as np
from skimage import data
from skimage.color import rgb2ycbcr
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from occface.metrics.image import psnr, psnr_y, ssim_of_each

ROUNDS = 5


def reference_psnr(result: np.ndarray, truth: np.ndarray) -> float:
    return float(peak_signal_noise_ratio(truth, result, data_range=255))


def reference_ssim(result: np.ndarray, truth: np.ndarray) -> float:
    return float(
        structural_similarity(
            truth, result, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255, channel_axis=2
        )
    )


def reference_psnr_y(result: np.ndarray, truth: np.ndarray) -> float:
    return float(peak_signal_noise_ratio(rgb2ycbcr(truth)[..., 0], rgb2ycbcr(result)[..., 0], data_range=255))


def of_each(score: Callable[[np.ndarray, np.ndarray], float]) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Return a score of pairs made of one of a pair."""
    return lambda results, truths: np.array([score(*pair) for pair in zip(results, truths, strict=True)])


def seconds_of(scores: Sequence[Callable[..., np.ndarray]], pairs: tuple[np.ndarray, np.ndarray], least: float) -> list[float]:
    """Return the processor time that each of several scores takes for the pairs: the best of five rounds, in turns."""
    best = [np.inf] * len(scores)
    for _ in range(ROUNDS):
        for place, score in enumerate(scores):
            count, start = 0, time.process_time()
            while time.process_time() - start < least / ROUNDS:
                score(*pairs)
                count += 1
            best[place] = min(best[place], (time.process_time() - start) / count)
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.0, help="time for each figure")
    parser.add_argument("--images", type=int, default=16, help="pairs in a batch")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    truth = np.ascontiguousarray(data.astronaut()[40:168, 160:288])
    truths = np.stack([np.roll(truth, 7 * number, axis=1) for number in range(options.images)])
    noise = np.random.default_rng(0).normal(0, 20, truths.shape)
    results = np.clip(np.rint(truths + noise), 0, 255).astype(np.uint8)
    figures = {}
    for name, ours, peer in (
        ("psnr", of_each(psnr), of_each(reference_psnr)),
        ("ssim", ssim_of_each, of_each(reference_ssim)),
        ("psnr_y", of_each(psnr_y), of_each(reference_psnr_y)),
    ):
        gap = float(np.abs(ours(results, truths) - peer(results, truths)).max())
        own, other = (options.images / seconds for seconds in seconds_of((ours, peer), (results, truths), options.seconds))
        figures[name] = {"ours": own, "scikit-image": other, "ratio": own / other, "difference": gap}
    if options.json:
        unit = "images of 128x128 per second of one core's time"
        print(json.dumps({"unit": unit, "n": options.images, **figures}))
        return
    print(f"n = {options.images} pairs of 128x128, one thread each, best of {ROUNDS} rounds in turns")
    for name, row in figures.items():
        print(
            f"{name:6s} {row['ours']:8.0f} images/s, scikit-image {row['scikit-image']:8.0f}, "
            f"ratio {row['ratio']:6.2f}, largest difference {row['difference']:.1e}"
        )


if __name__ == "__main__":
    main()
