"""Finding faces and landmarks in a folder of photographs, beside the straightforward loop, in one run on one thread.

The straightforward loop runs dlib's frontal detector at full size with one upsampling, and its predictor on the full-size
picture. Landmarks agree where their mean distance is at most 2 % of the distance of the outer corners of the eyes. Times are
processor time per photograph, in ms. With --detectors, others are run too, and the faces that each finds are counted.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import dlib
import numpy as np

from occface import assets, faces
from occface.errors import BadImageError
from occface.faces import align
from occface.images import SUFFIXES, read_image
from occface.occlusion.degrade import downsample

AGREE = 0.02


class Clock:
    """Adds up processor time by the name of the step."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = defaultdict(list)

    def __call__(self, step: str, work: Callable[..., Any], *arguments: Any) -> Any:
        """Return what `work` returns, and add the time that it took."""
        start = time.process_time()
        try:
            return work(*arguments)
        finally:
            self.seconds[step].append(time.process_time() - start)

    def milliseconds(self) -> dict[str, float]:
        """Return the mean time of each step."""
        return {step: 1e3 * float(np.mean(values)) for step, values in self.seconds.items()}


def plain_loop(image: np.ndarray, clock: Clock, predictor: Any, detector: Any) -> np.ndarray | None:
    """Return the (68, 2) landmarks of the largest face, found as most scripts do it."""
    boxes = clock("plain: detect", detector, image, 1)
    if not boxes:
        return None
    shape = clock("plain: landmarks", predictor, image, max(boxes, key=lambda box: box.area()))
    return np.array([(point.x, point.y) for point in shape.parts()], dtype=np.float64)


def own(image: np.ndarray, clock: Clock, detector: Any, landmarker: Any) -> np.ndarray | None:
    """Return the (68, 2) landmarks of the largest face, and time what a data set needs besides."""
    try:
        (found,) = clock("detect", faces.find_faces, image, [detector])
    except BadImageError:
        return None
    points = clock("landmarks", landmarker, image, found.box)
    try:
        hr = clock("warp", align.warp, image, align.crop_transform(points))
    except BadImageError:
        return np.asarray(points)
    clock("LR landmarks", landmarker.on_lr, downsample(hr))
    return np.asarray(points)


def measure(paths: list[Path], names: list[str]) -> dict[str, Any]:
    landmarker, clock = faces.LANDMARKERS.get("dlib")(), Clock()
    detectors = {name: faces.DETECTORS.get(name)() for name in dict.fromkeys(["dlib", *names])}
    assets.obtain(asset for detector in detectors.values() for asset in detector.assets)
    predictor = dlib.shape_predictor(str(next(iter(assets.require("dlib-68").values()))))
    plain = dlib.get_frontal_face_detector()
    warm = np.zeros((200, 200, 3), np.uint8)
    landmarker(warm, (50.0, 50.0, 150.0, 150.0))
    for detector in detectors.values():
        detector.detect(warm)
    found = dict.fromkeys(["plain", *detectors], 0)
    errors = []
    for path in paths:
        image = clock("read", read_image, path)
        theirs, ours = plain_loop(image, clock, predictor, plain), own(image, clock, detectors["dlib"], landmarker)
        found["plain"] += theirs is not None
        found["dlib"] += ours is not None
        for name, detector in detectors.items():
            if name != "dlib":
                found[name] += bool(clock(f"{name}: detect", detector.detect, image))
        if theirs is not None and ours is not None:
            errors.append(np.linalg.norm(ours - theirs, axis=1).mean() / np.linalg.norm(theirs[36] - theirs[45]))
    steps = clock.milliseconds()
    spread = np.array(errors) if errors else np.array([np.nan])
    return {
        "n": len(paths),
        "found": found,
        "compared": len(errors),
        "agree": float((spread <= AGREE).mean()),
        "median_error": float(np.median(spread)),
        "ms": steps,
        "ratio": (steps["plain: detect"] + steps.get("plain: landmarks", 0)) / (steps["detect"] + steps.get("landmarks", 0)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True, help="a folder of photographs")
    parser.add_argument("--every", type=int, default=1, help="take each n-th photograph only")
    parser.add_argument("--detectors", nargs="*", default=[], help="others to run too: mtcnn, dlib-cnn")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    paths = sorted(path for path in options.photos.rglob("*") if path.suffix.lower() in SUFFIXES)[:: options.every]
    if not paths:
        sys.exit(f"no photographs in {options.photos}")
    figures = measure(paths, options.detectors)
    if options.json:
        print(json.dumps(figures))
        return
    print(f"n = {figures['n']} photographs")
    for name, number in figures["found"].items():
        print(f"faces found by {name:<17} {number:8d}")
    print(f"landmarks within {AGREE:.0%} of the eyes   {figures['agree']:8.2%} of {figures['compared']}")
    print(f"median difference              {figures['median_error']:8.2%} of the eyes' distance")
    for step, value in figures["ms"].items():
        print(f"{step:<30} {value:8.2f} ms")
    print(f"plain loop / own, face and landmarks {figures['ratio']:.1f} x")


if __name__ == "__main__":
    main()
