"""Pieces of the page's HTML. Pictures stand in them as text (data URLs), so that none is ever written to disk."""

from __future__ import annotations

import base64
import binascii
import html
import re
from collections.abc import Mapping, Sequence

import numpy as np

from occface.editing import Edited, landmarks_text
from occface.errors import BadImageError
from occface.images import encode_jpeg, encode_png
from occface.restoring.drawing import heatmap_picture, strip, with_points
from occface.webapp.studio import Opened, Outcome

__all__ = ["ETHICS", "data_url", "edited", "figure", "from_data_url", "gallery", "note", "results"]

#: What the page says of every restored face, beside it.
ETHICS = (
    "A restored face is a plausible face, made up from 16x16 pixels: it is <strong>not evidence of who somebody is</strong>. "
    "Never use it to identify people."
)


def data_url(picture: np.ndarray) -> str:
    """Return a uint8 picture as a PNG file in a data URL."""
    return "data:image/png;base64," + base64.b64encode(encode_png(picture)).decode()


def _jpeg_url(picture: np.ndarray) -> str:
    """Return a uint8 picture as a JPEG file in a data URL: for photographs, which are large."""
    return "data:image/jpeg;base64," + base64.b64encode(encode_jpeg(picture, quality=90)).decode()


def _save_landmarks(landmarks: np.ndarray, name: str, what: str) -> str:
    """Return a link that saves landmarks as a table, which may be changed and given back."""
    table = base64.b64encode(landmarks_text(landmarks).encode()).decode()
    file = _file(name, what).removesuffix("png") + "csv"
    return f'<a class="occ-save" download="{file}" href="data:text/csv;base64,{table}">Save landmarks (CSV)</a>'


def from_data_url(text: str) -> bytes:
    """Return the bytes of a data URL.

    Raises
    ------
    BadImageError
        If it is none.

    Examples
    --------
    >>> from_data_url("data:text/plain;base64,aGFsbG8=")
    b'hallo'
    """
    head, comma, body = text.partition(",")
    try:
        if not (head.startswith("data:") and head.endswith(";base64") and comma):
            raise ValueError
        return base64.b64decode(body, validate=True)
    except (ValueError, binascii.Error) as error:
        raise BadImageError("the picture did not arrive whole: choose it again") from error


def note(lines: Sequence[str], kind: str = "hint") -> str:
    """Return lines for the visitor, ``kind`` being ``hint`` or ``error``; nothing where there are none."""
    if not lines:
        return ""
    role = ' role="alert"' if kind == "error" else ""
    return f'<div class="occ-note occ-{kind}"{role}>{"".join(f"<p>{html.escape(line)}</p>" for line in lines)}</div>'


def figure(picture: np.ndarray, title: str, below: str = "", save_as: str = "", sharp: bool = False) -> str:
    """Return a picture with a title, a line below it, and a link that saves it.

    Parameters
    ----------
    picture : numpy.ndarray
        (S, S, 3) uint8 RGB.
    title, below : str
        Plain text.
    save_as : str
        The file's name; without it there is no link.
    sharp : bool
        Whether each pixel is shown as a square.
    """
    source, name = data_url(picture), html.escape(title)
    size = f'width="{picture.shape[1]}" height="{picture.shape[0]}"'
    shown = f'<img {"class=occ-sharp " if sharp else ""}src="{source}" alt="{name}" {size}>'
    small = f"<small>{html.escape(below)}</small>" if below else ""
    link = f'<a class="occ-save" download="{html.escape(save_as)}" href="{source}">Save PNG</a>' if save_as else ""
    return f"<figure>{shown}<figcaption><b>{name}</b>{small}{link}</figcaption></figure>"


def _file(name: str, what: str) -> str:
    return f"occface-{re.sub(r'[^a-z0-9+-]+', '-', name.lower())}-{what}.png"


def gallery(opened: Opened, number: int) -> str:
    """Return the faces of a photograph as buttons, the chosen one pressed; nothing where there is one only."""
    if len(opened.faces) < 2:
        return ""
    buttons = []
    for place, face in enumerate(opened.faces):
        title = f"Face {place + 1}, {face.width:.0f} px wide"
        pressed = "true" if place == number else "false"
        buttons.append(
            f'<button type="button" data-face="{place}" aria-pressed="{pressed}" title="{title}">'
            f'<img src="{data_url(opened.crop(place))}" alt="{title}" width="128" height="128"></button>'
        )
    return f'<div class="occ-faces" role="group" aria-label="Faces found"><small>Which face:</small>{"".join(buttons)}</div>'


def results(hidden: np.ndarray, outcomes: Sequence[Outcome], wholes: Mapping[str, np.ndarray] | None = None) -> str:
    """Return a face and what several pipelines made of it side by side, and below how each came to it.

    Parameters
    ----------
    hidden : numpy.ndarray
        (128, 128, 3) uint8 RGB, the crop with what is hidden in grey.
    outcomes : sequence of Outcome
        As `Studio.restore` gives them.
    wholes : mapping of str to numpy.ndarray, optional
        The photograph with its faces pasted back, by the name of the pipeline.
    """
    shown = [figure(hidden, "The face", "what is hidden in grey")]
    made = [each for each in outcomes if each.restored is not None]
    if made and made[0].restored is not None:
        shown.append(figure(made[0].restored.thumbnail.lr, "16x16", "all that the networks see", sharp=True))
    ways = []
    for each in outcomes:
        if each.restored is None:
            text = f"<b>{html.escape(each.name)}</b><p>{html.escape(each.reason)}</p>"
            shown.append(f'<figure class="occ-failed" role="alert">{text}</figure>')
            continue
        missed = ", its search missed its aim" if each.restored.missed else ""
        below = f"{each.order}, {each.restored.seconds:.2g} s{missed}"
        shown.append(figure(each.restored.result, each.name, below, _file(each.name, "result")))
        ways.append(_way(each))
    ways += [_whole(name, picture, number == 0) for number, (name, picture) in enumerate((wholes or {}).items())]
    return (
        f'<div class="occ-results"><div class="occ-grid">{"".join(shown)}</div>'
        f'<p class="occ-ethics">{ETHICS}</p>{"".join(ways)}</div>'
    )


def _whole(name: str, picture: np.ndarray, shown: bool) -> str:
    """Return a photograph with faces pasted back, to be opened."""
    source, title = _jpeg_url(picture), html.escape(f"The photograph with faces by {name}")
    size = f'width="{picture.shape[1]}" height="{picture.shape[0]}"'
    file = _file(name, "photograph").removesuffix("png") + "jpg"
    return (
        f'<details class="occ-way"{" open" if shown else ""}><summary>The photograph, faces by <b>{html.escape(name)}</b> '
        f'pasted back</summary><img class="occ-whole" src="{source}" alt="{title}" {size}>'
        f'<a class="occ-save" download="{file}" href="{source}">Save JPEG</a></details>'
    )


def _way(outcome: Outcome) -> str:
    """Return how a pipeline came to its result: LR, stages, heatmaps of the landmarks."""
    restored = outcome.restored
    assert restored is not None
    steps = [figure(restored.thumbnail.lr, "LR", "16x16", sharp=True)]
    for number, stage in enumerate(restored.stages, 1):
        steps.append(figure(stage, f"Stage {number}", f"{stage.shape[1]}x{stage.shape[0]}", sharp=True))
    steps.append(figure(restored.result, "Result", "128x128"))
    for number, maps in enumerate(restored.heatmaps, 1):
        size = f"heatmaps, {maps.shape[2]}x{maps.shape[1]}"
        steps.append(figure(heatmap_picture(maps), f"Landmarks {number}", size, sharp=True))
    sure = "" if np.isnan(restored.confidence) else f" · landmarks {restored.confidence:.0%} sure"
    save = (
        f'<a class="occ-save" download="{_file(outcome.name, "strip")}" href="{data_url(strip(restored))}">Save as one PNG</a>'
    )
    if restored.landmarks is not None:
        save += " " + _save_landmarks(restored.landmarks, outcome.name, "landmarks")
    shown = " open" if restored.stages else ""
    return (
        f'<details class="occ-way"{shown}><summary>How <b>{html.escape(outcome.name)}</b> came to it{sure}</summary>'
        f'<div class="occ-strip">{"".join(steps)}</div>{save}</details>'
    )


def edited(name: str, done: Edited) -> str:
    """Return an edited face beside the restored one, and the landmarks that led to it.

    Parameters
    ----------
    name : str
        The pipeline.
    done : Edited
        What it made.
    """
    pictures = [
        figure(done.original.result, "Restored", "before the edit"),
        figure(with_points(done.original.result, done.wanted), "Landmarks", "where they are moved to", sharp=True),
        figure(heatmap_picture(done.edited.heatmaps[-1]), "Priors", "heatmaps of the last stage", sharp=True),
        figure(done.edited.result, "Edited", name, _file(name, "edited")),
    ]
    save = f'<a class="occ-save" download="{_file(name, "edit-strip")}" href="{data_url(done.panel())}">Save as one PNG</a>'
    save += " " + _save_landmarks(done.wanted, name, "landmarks-edited")
    bounded = note([done.note()] if done.note() else [])
    return f'<div class="occ-results"><div class="occ-grid">{"".join(pictures)}</div>{bounded}{save}</div>'
