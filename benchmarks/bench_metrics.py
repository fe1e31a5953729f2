"""Images scored per second and core: our PSNR and SSIM beside scikit-image's with the same settings."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable

import cv2
import numpy as np
from skimage import data
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from occface.metrics import psnr, ssim


def reference_ssim(result: np.ndarray, truth: np.ndarray) -> float:
    return float(
        structural_similarity(
            truth, result, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255, channel_axis=2
        )
    )


def reference_psnr(result: np.ndarray, truth: np.ndarray) -> float:
    return float(peak_signal_noise_ratio(truth, result, data_range=255))


def rate(score: Callable[[np.ndarray, np.ndarray], float], pair: tuple[np.ndarray, np.ndarray], seconds: float) -> float:
    """Return calls per second of processor time: the best of five rounds."""
    best = 0.0
    for _ in range(5):
        count, start = 0, time.process_time()
        while time.process_time() - start < seconds / 5:
            score(*pair)
            count += 1
        best = max(best, count / (time.process_time() - start))
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.0, help="time for each row")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    truth = np.ascontiguousarray(data.astronaut()[40:168, 160:288])
    noise = np.random.default_rng(0).normal(0, 20, truth.shape)
    result = np.clip(np.rint(truth + noise), 0, 255).astype(np.uint8)
    figures = {}
    for name, ours, theirs in (("psnr", psnr, reference_psnr), ("ssim", ssim, reference_ssim)):
        own, peer = (rate(score, (result, truth), options.seconds) for score in (ours, theirs))
        gap = abs(ours(result, truth) - theirs(result, truth))
        figures[name] = {"ours": own, "scikit-image": peer, "ratio": own / peer, "difference": gap}
    if options.json:
        print(json.dumps({"unit": "images of 128x128 per second, one core", **figures}))
        return
    for name, row in figures.items():
        print(
            f"{name}: {row['ours']:8.0f} images/s, scikit-image {row['scikit-image']:8.0f}, "
            f"ratio {row['ratio']:.2f}, difference {row['difference']:.1e}"
        )


if __name__ == "__main__":
    main()
