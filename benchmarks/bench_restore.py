"""Faces restored per second, end to end, and where the time goes: reading, finding, thumbnails, network, pasting, writing.

Two measurements. Step by step, one after the other, in processor time of this process, for the machine may do other work.
Finding faces (by MTCNN, three networks) and restoring are listed apart there: one share counts all but the restoring
pipeline, the other all but these networks. Then end to end, as `occface restore` runs: while the network works,
photographs are looked at ahead and results written behind, so the share of the wall's clock in which it does not work is
smaller; that takes two processors and a machine without other work. Models, and the font of titles, are loaded before.

    python benchmarks/make_small_faces.py ~/photographs --out small
    python benchmarks/bench_restore.py small/pictures --pipeline runs/pro-uigan
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from occface import faces
from occface.faces import detect
from occface.images import encode_jpeg
from occface.restoring.drawing import strip
from occface.restoring.folder import RestoreOptions, face_files, restore_paths
from occface.restoring.inputs import list_photos, read_photo
from occface.restoring.photograph import Finder, FoundFace, finish
from occface.restoring.restorer import BATCH, Restorer
from occface.restoring.thumbnails import from_crop

STEPS = ("read", "find faces", "align", "network", "paste", "draw and encode", "write")


class Clock:
    """Adds up processor and wall time by the name of the step."""

    def __init__(self) -> None:
        self.cpu: dict[str, float] = defaultdict(float)
        self.wall: dict[str, float] = defaultdict(float)

    def __call__(self, step: str, work: Callable[..., Any], *arguments: Any) -> Any:
        """Return what `work` returns, and add the time that it took."""
        cpu, wall = time.process_time(), time.perf_counter()
        try:
            return work(*arguments)
        finally:
            self.cpu[step] += time.process_time() - cpu
            self.wall[step] += time.perf_counter() - wall


def measure(folder: Path, restorer: Restorer, out: Path, detectors: tuple[str, ...]) -> dict[str, Any]:
    clock, finder, restored = Clock(), Finder(detectors), 0
    tools, landmarker = finder.tools()
    photos = list_photos([folder])
    first, _ = read_photo(photos[0])
    thumbnail = next(face.thumbnail for face in finder.find(first, restorer.degradation, restorer.landmarker) if face.thumbnail)
    strip(restorer.run([thumbnail])[0])  # models, and the font of titles, are loaded now
    batch: list[tuple[Any, Any, list[Any]]] = []

    def flush() -> None:
        nonlocal restored
        thumbnails = [thumbnail for *_, found in batch for _, thumbnail in found]
        made = iter(clock("network", restorer.run, thumbnails))
        restored += len(thumbnails)
        for photo, image, found in batch:
            results = {face.number: next(made) for face, _ in found}
            whole = clock("paste", finish, image, [face for face, _ in found], results)
            drawn = {number: clock("draw and encode", face_files, each) for number, each in results.items()}
            coded = {f"{number}-{name}": data for number, each in drawn.items() for name, data in each.items()}
            coded["restored.jpg"] = clock("draw and encode", encode_jpeg, whole.image)
            for name, data in coded.items():
                clock("write", (out / f"{photo.name}-{name}").write_bytes, data)
        batch.clear()

    for photo in photos:
        image, _ = clock("read", read_photo, photo)
        detections: list[detect.Detection] = clock("find faces", faces.find_faces, image, tools, "all")
        found = []
        for number, detection in enumerate(detections, 1):
            aligned = clock("align", faces.align_found, image, detection, landmarker)
            side = 128 / float((aligned.transform[0, :2] ** 2).sum() ** 0.5)
            thumbnail = clock("align", from_crop, aligned.hr, None, restorer.degradation, side)
            found.append((FoundFace(number, thumbnail, aligned), thumbnail))
        batch.append((photo, image, found))
        if sum(len(each) for *_, each in batch) >= BATCH:
            flush()
    flush()
    total = sum(clock.cpu.values())
    return {
        "pictures": len(photos),
        "faces": restored,
        "threads": torch.get_num_threads(),
        "cpu_seconds": {step: round(clock.cpu[step], 4) for step in STEPS},
        "faces_per_cpu_second": restored / total,
        "faces_per_wall_second": restored / sum(clock.wall.values()),
        "share_outside_pipeline": 1 - clock.cpu["network"] / total,
        "share_outside_all_networks": 1 - (clock.cpu["network"] + clock.cpu["find faces"]) / total,
    }


def end_to_end(folder: Path, restorer: Restorer, out: Path, detectors: tuple[str, ...]) -> dict[str, float]:
    """Restore a folder as the command does; return seconds of the wall's clock, and those in which the pipeline worked."""
    inside, plain = 0.0, restorer.run

    def run(*arguments: Any, **options: Any) -> Any:
        nonlocal inside
        started = time.perf_counter()
        try:
            return plain(*arguments, **options)
        finally:
            inside += time.perf_counter() - started

    restorer.run = run  # type: ignore[method-assign]
    try:
        started = time.perf_counter()
        done = restore_paths([folder], out, restorer, RestoreOptions(Finder(detectors)))
        whole = time.perf_counter() - started
    finally:
        restorer.run = plain  # type: ignore[method-assign]
    restored = done.counts()["restored"]
    return {"wall_seconds": whole, "faces_per_second": restored / whole, "share_without_network": 1 - inside / whole}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--pipeline", default="pro-uigan")
    parser.add_argument("--detectors", default="mtcnn+dlib")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    restorer = Restorer.from_pretrained(options.pipeline, device="cpu")
    detectors = tuple(options.detectors.split("+"))
    with tempfile.TemporaryDirectory() as out:
        figures = measure(options.pictures, restorer, Path(out), detectors)
        figures["end_to_end"] = end_to_end(options.pictures, restorer, Path(out) / "whole", detectors)
    if options.json:
        print(json.dumps(figures))
        return
    print(f"{figures['faces']} faces in {figures['pictures']} pictures, {figures['threads']} threads")
    for step, seconds in figures["cpu_seconds"].items():
        share = seconds / sum(figures["cpu_seconds"].values())
        print(f"{step:<18} {1e3 * seconds / figures['faces']:8.1f} ms per face {share:7.1%}")
    print(f"faces per second of processor time {figures['faces_per_cpu_second']:10.2f}")
    print(f"faces per second of the wall's clock {figures['faces_per_wall_second']:8.2f}")
    print(f"share outside the pipeline {figures['share_outside_pipeline']:18.1%}")
    print(f"share outside all networks {figures['share_outside_all_networks']:18.1%}")
    whole = figures["end_to_end"]
    print(f"end to end, faces per second of the wall's clock {whole['faces_per_second']:.2f}, load {os.getloadavg()[0]:.1f}")
    print(f"end to end, share of it without the pipeline's network {whole['share_without_network']:.1%}")


if __name__ == "__main__":
    main()
