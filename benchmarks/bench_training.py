"""Training speed of Pro-UIGAN's presets: images per second, and what share that is of plain convolutions' speed here.

Each row is the real step of a training (turns, losses, gradients, clipping, optimizers, running average) on batches that lie
on the device; making them is left out. The limit, measured in the same run: forward and backward passes of plain 3x3
convolutions of each stage's width at each stage's size, the fastest of them. Multiply-accumulates of a step are counted by
torch's FlopCounterMode. Rows are taken in turn, twice; the faster of the two counts.

    python benchmarks/bench_training.py                          # what this machine can run
    python benchmarks/bench_training.py --preset paper --phase iii --precision bf16 --compile --json
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from occface.methods.base import Batch
from occface.methods.prouigan import ProUIGAN
from occface.networks.vgg import feature_network
from occface.training import devices
from occface.training.run import Run

PAPERS_IMAGES = 28_432 * 100
"""The paper's training faces, and the epochs of the released code: the paper trained five days on one GPU."""


@dataclass(frozen=True)
class Row:
    """One thing to measure."""

    preset: str
    phase: str
    precision: str
    compiled: bool

    @property
    def name(self) -> str:
        """What the row is called in the table."""
        return f"{self.preset:16s} {self.phase:3s} {self.precision:4s} {'compiled' if self.compiled else 'eager'}"


def random_batch(size: int, device: torch.device) -> Batch:
    """Return a batch of noise with landmarks, on the device, channels last."""
    generator = torch.Generator().manual_seed(0)

    def drawn(*shape: int) -> torch.Tensor:
        values = torch.rand(shape, generator=generator) * 2 - 1
        return values.to(device, memory_format=torch.channels_last) if len(shape) == 4 else values.to(device)

    batch = {"hr": drawn(size, 3, 128, 128), "lr": drawn(size, 3, 16, 16), "lr_clean": drawn(size, 3, 16, 16)}
    places = {name: (drawn(size, 68, 2) + 1) * 64 for name in ("landmarks", "landmarks_lr")}
    return batch | places | {"mask": (drawn(size, 1, 128, 128) > 0.5).float()}


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def rate(step: Callable[[], Any], images: int, seconds: float, device: torch.device) -> float:
    """Return images per second."""
    for _ in range(2):
        step()
    wait(device)
    count, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds or not count:
        for _ in range(5 if device.type == "cuda" else 1):
            step()
            count += 1
        wait(device)
    return count * images / (time.perf_counter() - start)


def plain_convolution(method: ProUIGAN, device: torch.device, precision: str, batch: int) -> float:
    """Return the most multiply-accumulates per second, in billions, of a plain convolution of a stage's width and size."""
    best = 0.0
    for number, width in enumerate(method.config["channels"]):
        size = 32 << number
        layer = nn.Conv2d(width, width, 3, padding=1).to(device, memory_format=torch.channels_last)
        x = torch.randn(batch, width, size, size, device=device).to(memory_format=torch.channels_last).requires_grad_()
        dtype = {"32": None, "bf16": torch.bfloat16, "16": torch.float16}[precision]

        def step(layer: nn.Module = layer, x: torch.Tensor = x, dtype: torch.dtype | None = dtype) -> None:
            with torch.autocast(device.type, dtype=dtype, enabled=dtype is not None):
                made = layer(x)
            made.backward(made.detach())

        work = 3 * 9 * width**2 * size**2 / 1e9
        best = max(best, work * rate(step, batch, 0.5, device))
    return best


class Measured:
    """A row ready to run."""

    def __init__(self, row: Row, device: str, batch_size: int | None, folder: Path) -> None:
        torch.manual_seed(0)
        overrides: dict[str, Any] = {f"steps_{number}": 1 for number in (1, 2, 3)}
        overrides["plain_steps"] = [0, 0, 0]  # each step with all the losses that the preset has in the end
        if batch_size:
            overrides["batch_size"] = batch_size
        self.row, self.method = row, ProUIGAN.build(row.preset, overrides)
        fabric = devices.fabric(device, devices.PRECISIONS[row.precision])
        self.device, self.size = fabric.device, int(self.method.config["batch_size"])
        features = feature_network(self.method.config["feature_network"])  # speed does not hang on weights: random ones serve
        dtype = {"32": torch.float32, "bf16": torch.bfloat16, "16": torch.float16}[row.precision]
        if features is not None:
            self.method._frozen["features"] = features.to(self.device, dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.run = Run(self.method, {"method": "pro-uigan"}, 0, folder / "checkpoint.pt", fabric, row.compiled)
        self.phase = next(phase for phase in self.run.phases if phase.name == row.phase)
        self.run.start(self.phase)
        self.batch = random_batch(self.size, self.device)
        self.images_per_second = 0.0
        self.gmac: float | None = None

    def step(self) -> None:
        """Take one step of the training."""
        self.run.take_step(self.phase, 0.5, lambda _: dict(self.batch))

    def measure(self, seconds: float) -> None:
        """Count a step's work once, and time steps; the best rate of all calls is kept."""
        if self.gmac is None and not self.row.compiled:
            with FlopCounterMode(display=False) as counter:
                self.step()
            self.gmac = counter.get_total_flops() / 2e9 / self.size
        self.images_per_second = max(self.images_per_second, rate(self.step, self.size, seconds, self.device))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--preset", action="append", help="a preset, or preset+variant; repeatable")
    parser.add_argument("--phase", action="append", choices=("i", "ii", "iii"), help="steps of training  [default: all]")
    parser.add_argument("--precision", action="append", choices=tuple(devices.PRECISIONS), help="[32; bf16 where native]")
    parser.add_argument("--compile", action="store_true", help="measure compiled too: minutes of compiling for each row")
    parser.add_argument("--batch-size", type=int, help="images in a batch  [default: the preset's]")
    parser.add_argument("--seconds", type=float, default=5.0, help="time for each row and round")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    device = devices.resolve(options.device)
    presets = options.preset or (
        ["cpu+l-minus", "cpu", "demo", "test"] if device.type == "cpu" else ["paper+l-minus", "paper", "gpu", "cpu"]
    )
    native = devices.precision("auto", options.device) == devices.PRECISIONS["bf16"]
    rows = [
        Row(preset, phase, precision, compiled)
        for preset in presets
        for phase in options.phase or ("i", "ii", "iii")
        for precision in options.precision or ("32", *(("bf16",) if native else ()))
        for compiled in ((False, True) if options.compile else (False,))
    ]
    figures = []
    with tempfile.TemporaryDirectory() as folder:
        for row in rows:  # one at a time: the large ones do not fit beside each other
            measured = Measured(row, options.device, options.batch_size, Path(folder))
            limit = 0.0
            for _ in range(2):
                limit = max(limit, plain_convolution(measured.method, measured.device, row.precision, measured.size))
                measured.measure(options.seconds)
            same = [figure for figure in figures if (figure["preset"], figure["phase"]) == (row.preset, row.phase)]
            gmac = measured.gmac if measured.gmac is not None else same[0]["gmac_per_image"]
            figures.append(
                {
                    "preset": row.preset,
                    "phase": row.phase,
                    "precision": row.precision,
                    "compiled": row.compiled,
                    "batch_size": measured.size,
                    "images_per_second": measured.images_per_second,
                    "gmac_per_image": gmac,
                    "gmac_per_second": gmac * measured.images_per_second,
                    "plain_convolution_gmac_per_second": limit,
                    "ratio": gmac * measured.images_per_second / limit,
                    "hours_for_the_papers_images": PAPERS_IMAGES / measured.images_per_second / 3600,
                }
            )
            if not options.json:
                _print(row, figures[-1])
            del measured
    if options.json:
        print(json.dumps({"device": devices.describe(device), "torch": torch.__version__, "rows": figures}))


def _print(row: Row, figure: dict[str, Any]) -> None:
    print(
        f"{row.name:36s} {figure['images_per_second']:9.1f} images/s {figure['gmac_per_image']:8.2f} GMAC each, "
        f"{100 * figure['ratio']:5.1f} % of a plain convolution's {figure['plain_convolution_gmac_per_second']:.0f} GMAC/s, "
        f"{figure['hours_for_the_papers_images']:.1f} h for 28,432 x 100",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
