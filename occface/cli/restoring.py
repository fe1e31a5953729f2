"""Commands for people's own photographs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from occface.cli.base import OneCommand, common, list_of, places_of, print_result
from occface.errors import UsageError

__all__ = ["edit", "export", "restore"]

_ETHICS = (
    "A restored face is a plausible face, made up from 16x16 pixels. It is not evidence of who somebody is: never use it to "
    "identify people. Networks do worse on faces that their training data has few of; see docs/restore.md."
)


@click.command(cls=OneCommand, epilog=_ETHICS)
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Where everything goes.")
@click.option(
    "--pipeline", default="pro-uigan", help="A run folder; or a method with shipped weights, or methods joined by +: fhc+gfc."
)
@click.option("--weights", multiple=True, metavar="METHOD=RUN", help="The run folder of a method in --pipeline; repeatable.")
@click.option("--aligned", is_flag=True, help="The pictures are aligned faces, of any size from 16 px on.")
@click.option("--boxes", type=click.Path(), help="A CSV file of known faces: file,x0,y0,x1,y1; no others are looked for.")
@click.option(
    "--detector", default="mtcnn+dlib", help="mtcnn, dlib, dlib-cnn: tried in the order written until one finds a face."
)
@click.option("--landmarks", "landmarker", default="dlib", help="What finds the 68 landmarks by which faces are aligned.")
@click.option("--lr-landmarks", help="The same on 16x16 faces: dlib, fan or fan:RUN.  [default: what the weights learnt with]")
@click.option(
    "--mask",
    metavar="PICTURE|FOLDER|auto|flat",
    help="What is hidden: a picture of the photograph's size, white where hidden; a folder of such; or look for it: auto "
    "(what cannot be explained as a part of the face; see docs/restore.md for what that misses), flat (the fill's colour).",
)
@click.option("--invert-masks", is_flag=True, help="In pictures of masks, black is hidden.")
@click.option(
    "--mask-region", metavar="NAME", help="Hide a part of each face: eyes, mouth, nose, lower-face, ...; a+b for both."
)
@click.option("--mask-box", metavar="X0,Y0,X1,Y1", help="Hide a rectangle, in pixels of the photograph.")
@click.option("--fill", help="What hidden pixels become.  [default: what the weights learnt with]")
@click.option("--lr-kernel", help="How 128 px become 16.  [default: what the weights learnt with]")
@click.option(
    "--enlarge", type=click.IntRange(min=1, max=16), help="Enlarge the photographs.  [default: as the faces need, 8 at most]"
)
@click.option("--max-pixels", type=click.IntRange(min=1), default=100_000_000, help="Refuse larger photographs.")
@common("limit", "seed", "device", "resume", "overwrite", "json")
def restore(
    paths: tuple[Path, ...], out: Path, pipeline: str, weights: tuple[str, ...], as_json: bool, device: str, seed: int,
    fill: str | None, lr_kernel: str | None, lr_landmarks: str | None, **options: Any,
) -> None:  # fmt: skip
    """Restore the faces in PATHS, photographs or folders of them: find, align, make 16x16, hallucinate, paste back.

    For each photograph, OUT gets a folder with the photograph restored and, for each face, its input, LR, stages, result,
    heatmaps and all of them side by side; results.csv lists every face with what was done, and every photograph without one.
    """
    from occface.files import make_folder
    from occface.restoring.folder import RestoreOptions, restore_paths
    from occface.restoring.masks import MaskRequest
    from occface.restoring.photograph import Finder
    from occface.restoring.restorer import FINDERS, Restorer

    box = list_of(options.pop("mask_box"), float)
    if box is not None and len(box) != 4:
        raise UsageError(f"expected --mask-box X0,Y0,X1,Y1, got {len(box)} numbers")
    mask = options.pop("mask")
    find = mask if mask in FINDERS else None
    masks = MaskRequest(None if find else mask, box, options.pop("mask_region"), find, options.pop("invert_masks"))
    finder = Finder(tuple(options.pop("detector").split("+")), options.pop("landmarker"), masks, options.pop("aligned"))
    running = {name: options.pop(name) for name in ("limit", "resume", "overwrite")}
    make_folder(out)
    restorer = Restorer.from_pretrained(
        pipeline,
        device=device,
        weights=places_of(weights, "--weights", "METHOD=RUN"),
        fill=fill,
        lr_kernel=lr_kernel,
        lr_landmarks=lr_landmarks,
        seed=seed,
    )
    done = restore_paths(paths, out, restorer, RestoreOptions(finder, **options), **running)
    print_result(as_json, done.as_dict(), done.text())
    sys.exit(0 if any(row["state"] == "restored" for row in done.rows) else 1)


@click.command(cls=OneCommand, epilog=_ETHICS)
@click.argument("face", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="A folder for the panel, the faces and landmarks.")
@click.option("--pipeline", default="pro-uigan", help="A run folder, or a method with shipped weights, that landmarks lead.")
@click.option("--mouth", multiple=True, metavar="HOW[:STRENGTH]", help="open, close, smile, frown, wide, narrow; repeatable.")
@click.option("--eyes", multiple=True, metavar="HOW[:STRENGTH]", help="wide, narrow.")
@click.option("--brows", multiple=True, metavar="HOW[:STRENGTH]", help="up, down.")
@click.option("--nose", multiple=True, metavar="HOW[:STRENGTH]", help="wide, narrow, long, short.")
@click.option("--landmarks", type=click.Path(), help="A CSV file x,y of all 68 landmarks as they should be, in px of the crop.")
@click.option(
    "--stage", type=click.IntRange(1, 3), default=2, help="Move them ahead of this stage; it and those behind redraw."
)
@click.option("--aligned", is_flag=True, help="FACE is an aligned face; else the largest face of a photograph is taken.")
@click.option("--mask", metavar="PICTURE|auto|flat", help="What is hidden: a picture, white where hidden; or look for it.")
@click.option("--mask-region", metavar="NAME", help="Hide a part of the face: eyes, mouth, nose, lower-face, ...")
@common("seed", "device", "overwrite", "json")
def edit(
    face: Path, out: Path, pipeline: str, landmarks: str | None, stage: int, aligned: bool, mask: str | None,
    mask_region: str | None, seed: int, device: str, overwrite: bool, as_json: bool, **named: tuple[str, ...],
) -> None:  # fmt: skip
    """Restore FACE, move its landmarks, and let the following stages redraw it.

    A strength is above 0 and at most 2. OUT gets panel.png, original.png, edited.png, and landmarks.csv and
    landmarks-edited.csv: change one in any way and give it back by --landmarks.
    """
    from occface import editing
    from occface.restoring.masks import MaskRequest
    from occface.restoring.photograph import Finder
    from occface.restoring.restorer import FINDERS, Restorer

    edits = [editing.Edit.parse(part, text) for part in editing.EDITS for text in named[part]]
    find = mask if mask in FINDERS else None
    finder = Finder(masks=MaskRequest(None if find else mask, None, mask_region, find), aligned=aligned)
    places = None if landmarks is None else editing.read_landmarks_file(landmarks)
    restorer = Restorer.from_pretrained(pipeline, device=device, seed=seed)
    done = editing.edit_file(face, out, restorer, finder, edits, landmarks=places, stage=stage, overwrite=overwrite)
    print_result(as_json, done.as_dict(), done.text())


@click.command(cls=OneCommand)
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("output", type=click.Path(path_type=Path))
@click.option("--format", "form", default="onnx", help="onnx or torchscript.")
@common("overwrite", "json")
def export(run: Path, output: Path, form: str, overwrite: bool, as_json: bool) -> None:
    """Write the trained method of RUN, a run folder, into OUTPUT, a file for other runtimes."""
    from occface.exporting import export as write

    done = write(run, output, form, overwrite=overwrite)
    print_result(as_json, done.as_dict(), done.text())
