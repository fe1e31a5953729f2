"""The whole command `occface make-dataset` on a folder of photographs against the straightforward loop, in one run.

The loop is what one would write first, in one process: imread, dlib's detector at full size with one upsampling, dlib's
predictor, scikit-image's `warp`. It makes aligned faces and nothing else: no masks, no LR faces, no LR landmarks, no file.
Both are timed from the start of the process to its end, one after the other, on a machine that should be quiet.

Landmarks are compared face by face: the mean distance of the 68 points over the distance of the outer corners of the eyes.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

#: Faces agree where the mean distance of their landmarks is below this part of the eye distance.
AGREE = 0.02

LOOP = """
import sys
from pathlib import Path
import cv2, dlib, numpy as np
from skimage.transform import SimilarityTransform, warp
from occface import assets, images
from occface.faces.align import TEMPLATE, five_points

cv2.setNumThreads(1)
detector = dlib.get_frontal_face_detector()
predictor = dlib.shape_predictor(str(next(iter(assets.require("dlib-68").values()))))
names, landmarks, crops = [], [], []
for path in sorted(p for p in Path(sys.argv[1]).rglob("*") if p.suffix.lower() in images.SUFFIXES)[: int(sys.argv[3]) or None]:
    image = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
    found = detector(image, 1)
    if found:
        shape = predictor(image, max(found, key=lambda box: box.area()))
        points = np.array([(point.x, point.y) for point in shape.parts()], dtype=float)
        transform = SimilarityTransform.from_estimate(TEMPLATE, five_points(points))
        crops.append((warp(image, transform, output_shape=(128, 128), order=1) * 255).astype(np.uint8))
        names.append(path.relative_to(sys.argv[1]).as_posix())
        landmarks.append(points)
np.savez(sys.argv[2], names=names, landmarks=landmarks, crops=crops)
"""


def timed(command: list[str]) -> float:
    begun = time.perf_counter()
    subprocess.run(command, check=True)
    return time.perf_counter() - begun


def compare(loop: Path, ours: Path) -> dict[str, float]:
    """Return on how many faces the landmarks of both agree."""
    from occface.dataset.reader import DatasetFile
    from occface.faces import align

    data = DatasetFile(ours)
    found = {
        name: align.apply(align.inverse(transform), points)
        for split in data.splits
        for name, points, transform in zip(
            data.columns(split)["id"], data.stack(split, "landmarks"), data.stack(split, "transform"), strict=True
        )
    }
    errors = []
    with np.load(loop) as made:
        for name, points in zip(made["names"].tolist(), made["landmarks"], strict=True):
            if name in found:
                distance = np.linalg.norm(points - found[name], axis=1).mean()
                errors.append(distance / np.linalg.norm(points[36] - points[45]))
        return {
            "faces_of_loop": len(made["names"]),
            "faces_of_occface": len(found),
            "compared": len(errors),
            "agree": float(np.mean(np.array(errors) < AGREE)),
            "median_error": float(np.median(errors)),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", help="a folder of photographs")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--loop-limit", type=int, default=0, help="let the loop take the first so many photographs only")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        ours, loop = Path(folder, "ours.h5"), Path(folder, "loop.npz")
        make = [sys.executable, "-m", "occface", "make-dataset", options.photos, str(ours), "--source-type", "folder", "-q"]
        seconds = timed([*make, "--workers", str(options.workers)])
        loop_seconds = timed([sys.executable, "-c", LOOP, options.photos, str(loop), str(options.loop_limit)])
        agreement = compare(loop, ours)
        from occface.sources.folder import FolderSource

        count = len(FolderSource(options.photos).photos())
    loop_count = min(count, options.loop_limit or count)
    figures = {
        "photographs": count,
        "workers": options.workers,
        "occface_seconds": seconds,
        "occface_per_second": count / seconds,
        "loop_photographs": loop_count,
        "loop_seconds": loop_seconds,
        "loop_per_second": loop_count / loop_seconds,
        "ratio": (count / seconds) / (loop_count / loop_seconds),
        **agreement,
    }
    if options.json:
        print(json.dumps(figures))
        return
    print(f"occface, {options.workers} workers: {count} photographs in {seconds:.1f} s, {figures['occface_per_second']:.1f}/s")
    print(f"the loop: {loop_count} photographs in {loop_seconds:.1f} s, {figures['loop_per_second']:.1f}/s")
    print(f"ratio {figures['ratio']:.1f}")
    print(
        f"landmarks within {AGREE:.0%} of the eye distance on {agreement['agree']:.1%} of {agreement['compared']} faces "
        f"(median {agreement['median_error']:.2%}); found: occface {agreement['faces_of_occface']}, "
        f"the loop {agreement['faces_of_loop']}"
    )


if __name__ == "__main__":
    main()
