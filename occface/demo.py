"""The whole story in one call: faces, data set, trainings, scores, Table I and a report."""

from __future__ import annotations

import logging
import time
from pathlib import Path

from occface.benchmark.engine import Benchmark, run_benchmark
from occface.dataset.config import DatasetConfig
from occface.dataset.make import make_dataset
from occface.dataset.reader import DatasetFile
from occface.errors import UsageError
from occface.parallel import default_workers
from occface.sources import open_source
from occface.sources.base import Source
from occface.training.loop import CHECKPOINT, TrainingOptions, train

__all__ = ["METHODS_TRAINED", "PIPELINES", "run_demo"]

log = logging.getLogger("occface")

PIPELINES = ("bicubic", "bicubic+gfc", "gfc+bicubic", "pro-uigan")
METHODS_TRAINED = ("pro-uigan", "gfc")
#: Faces to generate for each preset: as many as two cores make in their share of the minutes.
COUNTS = {"demo": 260, "test": 24}
#: Held-out faces of generated data sets are a fifth; a folder of photographs keeps at most so many back.
LARGEST_TEST = 100


def run_demo(
    source: Path | None = None,
    out: Path = Path("occface-demo"),
    preset: str = "demo",
    count: int | None = None,
    *,
    seed: int = 0,
    workers: int | None = None,
    device: str = "auto",
    limit: int | None = None,
    overwrite: bool = False,
) -> Benchmark:
    """Make a data set, train Pro-UIGAN and GFC, score the pipelines, and write Table I and a report.

    What is there already is not made again, so a second call takes seconds, and an interrupted one is gone on with.

    Parameters
    ----------
    source : path, optional
        A folder of photographs; without it faces of nobody are generated.
    out : path
        The folder for everything.
    preset : str
        The methods' preset.
    count : int, optional
        Faces to generate.
    seed, workers, device, limit
        As everywhere.
    overwrite : bool
        Start anew.

    Raises
    ------
    UsageError
        If the preset is unknown, or `out` holds a demo of other options.
    """
    if preset not in COUNTS:
        raise UsageError(f"the demo runs in the presets {' and '.join(COUNTS)}, got '{preset}'; for others see `occface train`")
    begun = time.monotonic()
    opened = open_source(str(source)) if source else open_source("synthetic", count=count or COUNTS[preset], seed=seed)
    data = _data(opened, Path(out) / "demo.h5", seed, workers or default_workers(), limit, overwrite)
    for name in METHODS_TRAINED:
        _train(name, data, Path(out) / "runs" / name, preset, TrainingOptions(device=device, seed=seed), overwrite)
    recipe = {
        "datasets": {_title(source): str(data.path.resolve())},
        "weights": {name: str((Path(out) / "runs" / name).resolve()) for name in METHODS_TRAINED},
        "pipelines": list(PIPELINES),
    }
    done = run_benchmark(recipe, out, device=device, overwrite=overwrite)
    log.info("the demo took %.1f minutes", (time.monotonic() - begun) / 60)
    return done


def _title(source: Path | None) -> str:
    return Path(source).resolve().name if source else "generated faces"


def _data(source: Source, path: Path, seed: int, workers: int, limit: int | None, overwrite: bool) -> DatasetFile:
    total = min(len(source.photos()), limit or 10**9)
    config = DatasetConfig(seed=seed, test=max(1, min(round(total / 5), LARGEST_TEST)), limit=limit)
    log.info("making the data set from %d faces", total)
    made = make_dataset(source, path, config, workers=workers, resume=True, overwrite=overwrite)
    log.info("%s", made.text())
    if not {"train", "test"} <= made.counts.keys():
        raise UsageError(f"the demo needs faces to train on and others to test on; {path} holds only {made.counts}: add some")
    return DatasetFile(path)


def _train(name: str, data: DatasetFile, folder: Path, preset: str, options: TrainingOptions, overwrite: bool) -> None:
    log.info("training %s (preset %s)", name, preset)
    resume = (folder / CHECKPOINT).exists() and not overwrite
    run = train(name, data, folder, preset, options=options, resume=resume, overwrite=overwrite)
    log.info("%s", run.text())
