"""Commands that make things: data sets, trainings, benchmarks, the demo."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from occface.cli.base import OneCommand, common, list_of, places_of, print_result, settings_of
from occface.errors import UsageError

__all__ = ["benchmark", "demo", "make_dataset", "relabel", "train"]


@click.command(cls=OneCommand)
@click.option("--source", type=click.Path(path_type=Path), help="A folder of photographs.  [default: generated faces]")
@click.option("--out", type=click.Path(path_type=Path), default=Path("occface-demo"), help="Where everything goes.")
@click.option("--preset", default="demo", help="Size and length of all: demo, or test, which takes a minute or two.")
@click.option("--count", type=click.IntRange(min=10), help="Faces to generate.  [default: 180]")
@common("limit", "seed", "workers", "device", "deterministic", "overwrite", "json")
def demo(as_json: bool, **options: Any) -> None:
    """Run the whole story: data sets, trainings, every table, figure and claim, a report, in minutes on two cores.

    It is `occface benchmark demo`; --source puts a folder of photographs in the place of its faces in the wild. A second run
    goes on where the first one stopped, and takes seconds when all is there.
    """
    from occface.demo import run_demo

    done = run_demo(**options)
    print_result(as_json, done.as_dict(), done.text())
    sys.exit(1 if done.failed or done.broken else 0)


@click.command("make-dataset", cls=OneCommand)
@click.argument("source")
@click.argument("output", type=click.Path(path_type=Path))
@click.option(
    "--source-type", default="auto", help="auto, folder, celeba-hq, multi-pie, helen, synthetic, synthetic-grid or mixed."
)
@click.option(
    "--protocol",
    help="Selection and split of a published data set: paper; celeba (celeba-hq), all (multi-pie), plain (helen), free.",
)
@click.option("--faces-file", type=click.Path(), help="Boxes or landmarks found before, CSV.")
@click.option("--count", type=click.IntRange(min=1), help="Generated faces.  [default: 1000]")
@click.option(
    "--truncation",
    type=float,
    help="How far generated faces may be from the mean face.  [default: 0.7; 0.85 with --identities]",
)
@click.option("--identities", type=click.IntRange(min=1), help="Generate so many people, each in all poses and expressions.")
@click.option("--poses", help="Their yaws in degrees, positive to the picture's right.  [default: -30,0,30]")
@click.option("--expressions", help="Their expressions.  [default: neutral,smile]")
@click.option(
    "--mask",
    "masks",
    multiple=True,
    help="Mask type: square, irregular, eyes, folder, ... (docs/occlusions.md), a+b for both; repeatable.",
)
@click.option("--masks-per-face", "draws", type=click.IntRange(min=1), default=1, help="Draw each mask type so often per face.")
@click.option(
    "--mask-dir", type=click.Path(path_type=Path), help="A folder of your masks, for --mask folder; white is occluded."
)
@click.option("--invert-masks", is_flag=True, help="In --mask-dir, black is occluded.")
@click.option("--occlusion", "preset", default="paper", help="Preset of masks, fill and LR kernel: paper or released-code.")
@click.option("--fill", help="What occluded pixels become.  [default: the preset's]")
@click.option("--lr-kernel", help="How 128 becomes 16.  [default: the preset's]")
@click.option(
    "--detector", default="given+dlib", help="given, dlib, dlib-cnn, mtcnn, tried in the order written, with + between."
)
@click.option("--faces", default="largest", help="Which faces of a photograph: largest, central or all.")
@click.option("--landmarks", "landmarker", default="dlib", help="What finds the 68 landmarks: dlib or fan.")
@click.option("--lr-landmarks", help="The same on LR faces, if another: dlib, fan, or fan:RUN, a run of `train fan`.")
@click.option("--keep-uncropped", is_flag=True, help="Store the photographs too, so that faces can be pasted back.")
@click.option("--preview", type=click.Path(path_type=Path), help="Draw 32 of the pairs into this PNG file.")
@click.option("--contact-sheet", type=click.Path(path_type=Path), help="Draw all people of --identities into this PNG file.")
@click.option(
    "--write-faces", type=click.Path(path_type=Path), help="Write boxes and landmarks into this CSV, for --faces-file."
)
@click.option("--test", type=float, default=0.1, help="Held-out photographs: a share below 1, or a count.")
@click.option("--val", type=float, default=0.0, help="Photographs for validation: a share below 1, or a count.")
@click.option("--max-pixels", type=click.IntRange(min=1), default=100_000_000, help="Refuse larger photographs.")
@click.option("--backend", default="loky", help="loky, dask or ray.")
@click.option("--scheduler", help="Address of a Dask or Ray cluster.")
@common("limit", "seed", "workers", "deterministic", "resume", "overwrite", "json")
def make_dataset(source: str, output: Path, as_json: bool, **options: Any) -> None:
    """Make OUTPUT, an HDF5 file of occluded LR / non-occluded HR pairs, from SOURCE.

    SOURCE is a folder of photographs (CelebA-HQ, Multi-PIE and Helen are known by their layout), `synthetic` for
    generated faces, or a YAML file that lists several of these (docs/sources.md).
    """
    from occface.dataset.config import DatasetConfig
    from occface.dataset.make import make_dataset as make
    from occface.faces.trained_fan import named
    from occface.occlusion import MaskFolder
    from occface.parallel import default_workers
    from occface.sources import open_source

    where = {name: options.pop(name) for name in ("protocol", "count", "truncation", "identities", "max_pixels")}
    lists = {name: list_of(options.pop(name), kind) for name, kind in (("poses", float), ("expressions", str))}
    detectors, faces = tuple(options.pop("detector").split("+")), options.pop("faces_file")
    if faces and "given" not in detectors:
        raise UsageError(f"--faces-file is read by the detector 'given', which --detector {'+'.join(detectors)} leaves out")
    opened = open_source(source, options.pop("source_type"), **where, **lists, seed=options["seed"], faces=faces)
    folder, inverted = options.pop("mask_dir"), options.pop("invert_masks")
    if inverted and not folder:
        raise UsageError("--invert-masks is about the masks of --mask-dir: give that too, or leave it out")
    on_lr = options.pop("lr_landmarks")
    outputs = ("preview", "contact_sheet", "write_faces")
    running = {name: options.pop(name) for name in ("backend", "scheduler", "resume", "overwrite", *outputs)}
    workers = options.pop("workers") or default_workers()
    config = DatasetConfig.from_preset(
        options.pop("preset"),
        detectors=detectors,
        mask_folder=MaskFolder(folder, inverted) if folder else None,
        lr_landmarker=named(on_lr) if on_lr else None,
        **options,
    )
    made = make(opened, output, config, workers=workers, **running)
    print_result(as_json, made.as_dict(), made.text())


@click.command(cls=OneCommand)
@click.argument("data", type=click.Path(path_type=Path))
@click.argument("output", type=click.Path(path_type=Path))
@click.option("--lr-landmarks", required=True, help="What finds them: dlib, fan, or fan:RUN, a run of `train fan`.")
@common("workers", "overwrite", "json")
def relabel(data: Path, output: Path, lr_landmarks: str, workers: int | None, overwrite: bool, as_json: bool) -> None:
    """Copy DATA, a data set, to OUTPUT with the landmarks of its LR faces found anew.

    So that a FAN that was trained on a data set can give it its landmarks, and nothing else is made twice.
    """
    from occface.dataset.reader import DatasetFile
    from occface.dataset.relabel import relabel as find_anew
    from occface.faces.trained_fan import named
    from occface.parallel import default_workers

    done = find_anew(DatasetFile(data), output, named(lr_landmarks), workers=workers or default_workers(), overwrite=overwrite)
    print_result(as_json, done.as_dict(), done.text())


@click.command(cls=OneCommand)
@click.argument("method")
@click.option("--data", type=click.Path(path_type=Path), required=True, help="A data set made by make-dataset.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The run folder.")
@click.option("--preset", default="cpu", help="Size and length of the training.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Replace a value of the preset; may be repeated.")
@click.option("--from", "start", metavar="RUN", help="Start from the weights of this run, or shipped:NAME: to fine-tune them.")
@click.option(
    "--batch-size", type=click.IntRange(min=1), help="Images in a batch, of all devices together; --set batch_size=N."
)
@click.option("--precision", default="auto", help="auto, 32, bf16 or 16.")
@click.option("--devices", type=click.IntRange(min=1), default=1, help="Devices on each machine; with cpu: processes.")
@click.option("--nodes", type=click.IntRange(min=1), default=1, help="Machines. torchrun's and SLURM's are known without.")
@click.option("--compile", is_flag=True, help="Compile the networks first: takes minutes, then steps are quicker.")
@click.option("--data-on", default="auto", help="Where batches are made: auto, device or host.")
@click.option("--stored-masks", is_flag=True, help="Train on the data set's own masks, not on masks drawn anew.")
@click.option("--warp", type=click.FloatRange(min=0), help="How much faces are turned, scaled, moved.  [default: the preset's]")
@click.option("--colour", type=click.FloatRange(min=0), help="How much colours are varied.  [default: the preset's]")
@click.option("--max-minutes", type=click.FloatRange(min=0, min_open=True), help="Stop after so long; --resume goes on.")
@click.option("--tensorboard", is_flag=True, help="Also write TensorBoard files.")
@common("device", "seed", "deterministic", "resume", "overwrite", "json")
def train(
    method: str, data: Path, out: Path, preset: str, settings: tuple[str, ...], resume: bool, overwrite: bool, as_json: bool,
    start: str | None, batch_size: int | None, stored_masks: bool, **options: Any,
) -> None:  # fmt: skip
    """Train METHOD (pro-uigan, gfc, ...) on a data set."""
    from occface.dataset.reader import DatasetFile
    from occface.training.loop import TrainingOptions
    from occface.training.loop import train as run_training
    from occface.training.processes import is_first

    changed = settings_of(settings) | ({} if batch_size is None else {"batch_size": batch_size})
    how = TrainingOptions(fresh_masks=not stored_masks, **options)
    run = run_training(method, DatasetFile(data), out, preset, changed, how, start=start, resume=resume, overwrite=overwrite)
    if is_first():
        print_result(as_json, run.as_dict(), run.text())


@click.command(cls=OneCommand)
@click.argument("recipe", required=False)
@click.option("--out", type=click.Path(path_type=Path), default=Path("occface-benchmark"), help="Where everything goes.")
@click.option(
    "--data",
    multiple=True,
    metavar="NAME=PATH",
    help="Take this file or folder for the recipe's data set NAME; NAME= leaves it out.",
)
@click.option("--dry-run", is_flag=True, help="Print what is done, what is missing and how long it may take; do nothing.")
@click.option(
    "--overwrite-strategy",
    metavar="STRATEGY",
    help="only-missing; always: make all anew; never: replace nothing that is there; only-cache: make nothing, build tables "
    "and report from the scores that are there, without data sets and weights.  [default: only-missing]",
)
@click.option("--tables", metavar="KEYS", help="Print these tables alone, as 1,4. All are made, and in the report.")
@click.option("--limit", type=click.IntRange(min=1), help="Score at most so many faces of each data set.")
@click.option("--workers", type=click.IntRange(min=1), help="Processes.  [default: all processors; 1 on accelerators]")
@click.option("--backend", default="loky", help="loky, dask or ray.")
@click.option("--scheduler", help="Address of a Dask or Ray cluster.")
@click.option("--overwrite", is_flag=True, help="The same as --overwrite-strategy always.")
@common("device", "deterministic", "json")
def benchmark(
    recipe: str | None, out: Path, data: tuple[str, ...], dry_run: bool, overwrite_strategy: str | None, tables: str | None,
    limit: int | None, workers: int | None, overwrite: bool, device: str, as_json: bool, **where: Any,
) -> None:  # fmt: skip
    """Carry out RECIPE, a YAML file or the name of a packaged one: data sets, trainings, scores, timings, tables, report.

    Only what is missing is run. Without RECIPE, the packaged ones are listed. The exit code is 1 if a step or an image failed.
    """
    from occface.benchmark import adapting
    from occface.benchmark.engine import plan_benchmark, run_benchmark

    if recipe is None:
        listed = adapting.list_recipes()
        text = "\n".join(f"{name:<8}{line}" for name, line in listed.items())
        print_result(as_json, {"recipes": listed}, text)
        return
    if overwrite and overwrite_strategy not in (None, "always"):
        raise UsageError(f"--overwrite is --overwrite-strategy always, and came with {overwrite_strategy}: leave one out")
    strategy = overwrite_strategy or ("always" if overwrite else "only-missing")
    if dry_run and strategy != "only-missing":
        raise UsageError(f"--dry-run tells what only-missing would do, not {strategy}: leave the strategy out")
    wanted = None if tables is None else adapting.check_tables(list_of(tables, str) or ())
    values = adapting.adapted_recipe(recipe, places_of(data), data_needed=strategy != "only-cache")
    if dry_run:
        planned = plan_benchmark(values, out, limit=limit)
        print_result(as_json, planned.as_dict(), planned.text())
        return
    processes = workers or adapting.workers_for(device)
    done = run_benchmark(values, out, device=device, limit=limit, strategy=strategy, workers=processes, **where)
    shown = done if wanted is None else adapting.only_tables(done, wanted)
    print_result(as_json, shown.as_dict(), shown.text())
    sys.exit(1 if done.failed or done.broken else 0)
