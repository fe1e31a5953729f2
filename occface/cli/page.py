"""The command that opens the page in the browser."""

from __future__ import annotations

import click

from occface.cli.base import OneCommand, common, places_of

__all__ = ["app"]


@click.command(
    cls=OneCommand,
    epilog="A restored face is a plausible face, made up from 16x16 pixels. It is not evidence of who somebody is: never use "
    "it to identify people. See docs/app.md.",
)
@click.argument("pipelines", nargs=-1)
@click.option("--weights", multiple=True, metavar="METHOD=RUN", help="The run folder of a method; repeatable.")
@click.option(
    "--host", default="127.0.0.1", help="Listen here; any other address opens the page to others, without a password."
)
@click.option("--port", type=click.IntRange(0, 65535), default=7860, help="Listen there; 0 takes any that is free.")
@click.option("--max-mb", type=click.IntRange(min=1, max=500), default=20, help="Refuse larger files.")
@click.option("--max-pixels", type=click.IntRange(min=1), default=40_000_000, help="Refuse larger photographs.")
@click.option("--detector", default="mtcnn+dlib", help="mtcnn, dlib, dlib-cnn: tried in the order written.")
@click.option("--landmarks", "landmarker", default="dlib", help="What finds the 68 landmarks by which faces are aligned.")
@click.option("--lr-landmarks", help="The same on 16x16 faces: dlib, fan or fan:RUN.  [default: what the weights learnt with]")
@common("device")
def app(
    pipelines: tuple[str, ...], weights: tuple[str, ...], host: str, port: int, max_mb: int, max_pixels: int, detector: str,
    landmarker: str, lr_landmarks: str | None, device: str,
) -> None:  # fmt: skip
    """Open a page in the browser: paint what is hidden of a face, restore it by several methods, edit it, save it.

    PIPELINES are those offered, such as pro-uigan or fhc+gfc; without any, all that the weights make. The page is for this
    machine alone unless --host says otherwise; it keeps no files and loads nothing from elsewhere. It needs the extra [app].
    """
    from occface.restoring.photograph import Finder
    from occface.webapp.server import serve
    from occface.webapp.studio import Limits, Studio

    studio = Studio.load(
        places_of(weights, "--weights", "METHOD=RUN"),
        pipelines,
        device=device,
        lr_landmarks=lr_landmarks,
        finder=Finder(tuple(detector.split("+")), landmarker),
        limits=Limits(max_mb, max_pixels),
    )
    serve(studio, host, port)
