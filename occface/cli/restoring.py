"""Commands for people's own photographs."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from occface.cli.base import Command, OneCommand, common, list_of, places_of, print_result
from occface.errors import UsageError

if TYPE_CHECKING:
    from occface.restoring.masks import MaskRequest
    from occface.restoring.restorer import Restorer

__all__ = ["edit", "export", "restore"]

_ETHICS = (
    "A restored face is a plausible face, made up from 16x16 pixels. It is not evidence of who somebody is: never use it to "
    "identify people. Networks do worse on faces that their training data has few of; see docs/restore.md."
)

#: What says how faces are restored; `_restorer` takes it.
_NETWORKS = (
    click.option(
        "--pipeline",
        default="pro-uigan",
        help="A run folder; or a method with shipped weights, or methods joined by +: fhc+gfc.",
    ),
    click.option(
        "--weights", multiple=True, metavar="METHOD=RUN", help="The run folder of a method in --pipeline; repeatable."
    ),
    click.option(
        "--lr-landmarks",
        help="What finds landmarks on 16x16 faces: dlib, fan or fan:RUN.  [default: what the weights learnt with]",
    ),
    click.option("--fill", help="What hidden pixels become.  [default: what the weights learnt with]"),
    click.option("--lr-kernel", help="How 128 px become 16.  [default: what the weights learnt with]"),
    common("seed", "device", "deterministic"),
)

#: What says what is hidden; `_masks` takes it.
_HIDING = (
    click.option(
        "--mask",
        metavar="PICTURE|FOLDER|auto|flat",
        help="What is hidden: a picture of the photograph's size, white where hidden; a folder of such; or look for it: auto "
        "(what cannot be explained as a part of the face; see docs/restore.md for what that misses), flat (the fill's colour).",
    ),
    click.option("--invert-masks", is_flag=True, help="In pictures of masks, black is hidden."),
    click.option(
        "--mask-region", metavar="NAME", help="Hide a part of each face: eyes, mouth, nose, lower-face, ...; a+b for both."
    ),
    click.option("--mask-box", metavar="X0,Y0,X1,Y1", help="Hide a rectangle, in pixels of the photograph."),
)


def _options(*given: Callable[[Any], Any]) -> Callable[[Command], Command]:
    """Give a command options that others have too, in the order written."""

    def decorate(command: Command) -> Command:
        for option in reversed(given):
            command = option(command)
        return command

    return decorate


def _restorer(options: dict[str, Any]) -> Restorer:
    """Load the pipeline that `_NETWORKS` say, taking these out of the options."""
    from occface.restoring.restorer import Restorer

    names = ("device", "fill", "lr_kernel", "lr_landmarks", "seed")
    weights = places_of(options.pop("weights"), "--weights", "METHOD=RUN")
    return Restorer.from_pretrained(options.pop("pipeline"), weights=weights, **{name: options.pop(name) for name in names})


def _masks(options: dict[str, Any]) -> MaskRequest:
    """Return what `_HIDING` says, taking it out of the options."""
    from occface.restoring.masks import MaskRequest
    from occface.restoring.restorer import FINDERS

    box = list_of(options.pop("mask_box"), float)
    if box is not None and len(box) != 4:
        raise UsageError(f"expected --mask-box X0,Y0,X1,Y1, got {len(box)} numbers")
    mask = options.pop("mask")
    find = mask if mask in FINDERS else None
    return MaskRequest(None if find else mask, box, options.pop("mask_region"), find, options.pop("invert_masks"))


@click.command(cls=OneCommand, epilog=_ETHICS)
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path, readable=False))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Where everything goes.")
@_options(*_NETWORKS)
@click.option("--aligned", is_flag=True, help="The pictures are aligned faces, of any size from 16 px on.")
@click.option("--boxes", type=click.Path(), help="A CSV file of known faces: file,x0,y0,x1,y1; no others are looked for.")
@click.option(
    "--detector", default="mtcnn+dlib", help="mtcnn, dlib, dlib-cnn: tried in the order written until one finds a face."
)
@click.option("--landmarks", "landmarker", default="dlib", help="What finds the 68 landmarks by which faces are aligned.")
@_options(*_HIDING)
@click.option(
    "--enlarge", type=click.IntRange(min=1, max=16), help="Enlarge the photographs.  [default: as the faces need, 8 at most]"
)
@click.option("--max-pixels", type=click.IntRange(min=1), default=100_000_000, help="Refuse larger photographs.")
@click.option(
    "--max-face",
    type=click.FloatRange(min=0, min_open=True),
    metavar="PX",
    help="Leave faces that are wider in their photograph as they are.  [default: none]",
)
@common("limit", "resume", "overwrite", "json")
def restore(paths: tuple[Path, ...], out: Path, as_json: bool, **options: Any) -> None:
    """Restore the faces in PATHS, photographs or folders of them: find, align, make 16x16, hallucinate, paste back.

    For each photograph, OUT gets a folder with the photograph restored and, for each face, its input, LR, stages, result,
    heatmaps and all of them side by side; results.csv lists every face with what was done, and every photograph without one.
    """
    from occface.files import make_folder
    from occface.restoring.folder import RestoreOptions, restore_paths
    from occface.restoring.photograph import Finder

    detectors = tuple(options.pop("detector").split("+"))
    finder = Finder(detectors, options.pop("landmarker"), _masks(options), options.pop("aligned"))
    running = {name: options.pop(name) for name in ("limit", "resume", "overwrite")}
    make_folder(out)
    restorer = _restorer(options)
    done = restore_paths(paths, out, restorer, RestoreOptions(finder, **options), **running)
    print_result(as_json, done.as_dict(), done.text())
    sys.exit(0 if any(row["state"] == "restored" for row in done.rows) else 1)


@click.command(cls=OneCommand, epilog=_ETHICS)
@click.argument("face", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="A folder for the panel, the faces and landmarks.")
@_options(*_NETWORKS)
@click.option("--mouth", multiple=True, metavar="HOW[:STRENGTH]", help="open, close, smile, frown, wide, narrow; repeatable.")
@click.option("--eyes", multiple=True, metavar="HOW[:STRENGTH]", help="wide, narrow.")
@click.option("--brows", multiple=True, metavar="HOW[:STRENGTH]", help="up, down.")
@click.option("--nose", multiple=True, metavar="HOW[:STRENGTH]", help="wide, narrow, long, short.")
@click.option("--landmarks", type=click.Path(), help="A CSV file x,y of all 68 landmarks as they should be, in px of the crop.")
@click.option(
    "--stage", type=click.IntRange(1, 3), default=2, help="Move them ahead of this stage; it and those behind redraw."
)
@click.option("--aligned", is_flag=True, help="FACE is an aligned face; else the largest face of a photograph is taken.")
@_options(*_HIDING)
@common("overwrite", "json")
def edit(
    face: Path, out: Path, landmarks: str | None, stage: int, aligned: bool, overwrite: bool, as_json: bool, **options: Any
) -> None:
    """Restore FACE, move its landmarks, and let the following stages redraw it. Landmarks must lead the pipeline.

    A strength is above 0 and at most 2. OUT gets panel.png, original.png, edited.png, and landmarks.csv and
    landmarks-edited.csv: change one in any way and give it back by --landmarks.
    """
    from occface import editing
    from occface.restoring.photograph import Finder

    edits = [editing.Edit.parse(part, text) for part in editing.EDITS for text in options[part]]
    finder = Finder(masks=_masks(options), aligned=aligned)
    places = None if landmarks is None else editing.read_landmarks_file(landmarks)
    done = editing.edit_file(face, out, _restorer(options), finder, edits, landmarks=places, stage=stage, overwrite=overwrite)
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
