"""Seconds per generated face: MobileStyleGAN in torch beside OpenVINO's run of the same files, both in float32.

OpenVINO's files draw 1024x1024 pictures only, so that is the peer of both our sizes. One face at a time, from style to
picture. The rounds of all rows take turns, and each row's best and median are given, so that the machine's other work
weighs equally on all.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable

import openvino
import torch

from occface import assets
from occface.networks.mobilestylegan import MobileStyleGAN


def seconds(draw: Callable[[], object]) -> float:
    start = time.perf_counter()
    draw()
    return time.perf_counter() - start


def measure(threads: int, rounds: int) -> dict[str, dict[str, float]]:
    """Return the best and the median of the seconds per face, by row."""
    paths = assets.pull("mobilestylegan")
    torch.set_num_threads(threads)
    config = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads}
    peer = openvino.Core().compile_model(paths["SynthesisNetwork.xml"], "CPU", config)
    generator = MobileStyleGAN.from_openvino(paths)
    style = generator.truncate(generator.mapping(torch.randn(1, 512, generator=torch.Generator().manual_seed(0))), 0.7)
    rows: dict[str, Callable[[], object]] = {
        "torch 512": lambda: generator.synthesis(style, 512),
        "torch 1024": lambda: generator.synthesis(style, 1024),
        "openvino 1024": lambda: peer(style.numpy()),
    }
    times: dict[str, list[float]] = {name: [] for name in rows}
    with torch.inference_mode():
        for _ in range(2):  # the first calls prepare kernels and memory
            for draw in rows.values():
                draw()
        for _ in range(rounds):
            for name, draw in rows.items():
                times[name].append(seconds(draw))
    return {name: {"best": min(each), "median": statistics.median(each)} for name, each in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="numbers of threads to measure with")
    parser.add_argument("--rounds", type=int, default=9, help="faces drawn for each row")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    figures = {}
    for threads in options.threads:
        rows = measure(threads, options.rounds)
        peer = rows["openvino 1024"]
        for name in ("torch 512", "torch 1024"):
            ratios = {key: rows[name][key] / peer[key] for key in ("best", "median")}
            figures[f"{name}, threads {threads}"] = {"ours": rows[name], "peer": peer, "ratio": ratios}
    if options.json:
        print(json.dumps({"unit": "seconds per face", "peer": f"openvino {openvino.__version__} 1024", "figures": figures}))
        return
    print(f"{'seconds per face, best (median)':32s} {'ours':>16s} {'openvino 1024':>16s} {'ours/openvino':>16s}")
    for name, row in figures.items():
        cells = (f"{row[key]['best']:.3f} ({row[key]['median']:.3f})" for key in ("ours", "peer", "ratio"))
        print(f"{name:32s}", *(f"{cell:>16s}" for cell in cells))


if __name__ == "__main__":
    main()
