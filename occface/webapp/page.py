"""The page itself, in Gradio: three steps on the left, results on the right.

Gradio's own components for files keep a copy of each in a folder. Here photographs, paint and results are text in requests and
answers instead, read and drawn by short scripts (`upload.js`, `paint.js` and others) in Gradio's HTML component.
"""

from __future__ import annotations

import base64
import html
import logging
from dataclasses import dataclass, field, replace
from importlib import resources
from typing import Any

import gradio as gr
import numpy as np

from occface import __version__
from occface.editing import landmarks_of_text
from occface.errors import OccfaceError, UsageError, first_line
from occface.restoring.restorer import Restoration
from occface.webapp import fragments
from occface.webapp.studio import HIDDEN, SLIDERS, Opened, Outcome, Studio, read_mask

__all__ = ["build", "looks"]

_log = logging.getLogger(__name__)
_FILES = resources.files("occface.webapp")
#: How long what a visitor opened is kept in memory after the last use, in seconds.
_KEPT = 1800
#: The crops that wait for a turn; further ones are asked to come again.
_WAITING = 20
#: Parts of an aligned crop, (x0, y0, x1, y1) in px, that one press hides.
_PARTS = {"Eyes": (28, 38, 99, 62), "Nose": (50, 52, 77, 78), "Mouth": (40, 77, 87, 100), "Lower half": (16, 64, 111, 127)}

_WAIT = '<div class="occ-wait"><p>Restored faces appear here.</p></div>'


@dataclass
class _Sitting:
    """What one visitor has open, in memory only."""

    opened: Opened
    number: int = 0
    outcomes: list[Outcome] = field(default_factory=list)
    #: What each pipeline made of each face so far, by its name and the face's number: what is pasted back.
    made: dict[str, dict[int, Restoration]] = field(default_factory=dict)
    #: Where a file wants the landmarks, or why it does not say so.
    wanted: np.ndarray | str | None = None

    def editable(self) -> dict[str, Outcome]:
        """Return what can be edited of what was restored: where stages were led by landmarks."""
        return {each.name: each for each in self.outcomes if each.restored is not None and each.restored.landmarks is not None}


def _text(name: str) -> str:
    return _FILES.joinpath(name).read_text(encoding="utf-8")


def _examples() -> list[tuple[str, bytes]]:
    """Return the examples, generated faces, by name."""
    files = sorted((each for each in (_FILES / "examples").iterdir() if each.name.endswith(".jpg")), key=lambda each: each.name)
    return [(each.name[:-4].replace("_", " "), each.read_bytes()) for each in files]


def looks() -> dict[str, Any]:
    """Return the theme and the style sheet. Fonts are the system's: Gradio's own themes may load theirs from elsewhere."""
    theme = gr.themes.Default(
        primary_hue="teal",
        secondary_hue="teal",
        neutral_hue="slate",
        font=["ui-sans-serif", "system-ui", "sans-serif"],
        font_mono=["ui-monospace", "monospace"],
    )
    return {"theme": theme, "css": _text("page.css")}


def _head(studio: Studio) -> str:
    return (
        '<header class="occ-head"><h1>Restore small, occluded faces</h1>'
        "<p>A face is made 16x16 pixels small, and a network paints it anew at 128x128, hidden parts and all.</p>"
        f'<p class="occ-ethics">{fragments.ETHICS} Networks do worse on faces that their training data has few of. '
        "Photographs stay on the machine that runs this page, in memory, and are forgotten.</p></header>"
    )


def _upload(studio: Studio) -> str:
    """Return the HTML of the first step."""
    pictures = []
    for number, (name, data) in enumerate(_examples()):
        shown = "data:image/jpeg;base64," + base64.b64encode(data).decode()
        title = html.escape(f"Example: {name}")
        pictures.append(
            f'<button type="button" data-example="{number}" title="{title}"><img src="{shown}" alt="{title}"></button>'
        )
    limits = studio.limits
    return (
        '<h2 class="occ-step">1. A photograph</h2>'
        f'<label class="occ-drop" data-megabytes="{limits.megabytes}"><input type="file" class="occ-hide" accept="image/*">'
        "Choose a photograph, or drop it here"
        f"<small>JPEG, PNG, WebP, TIFF or BMP, up to {limits.megabytes} MB and {limits.pixels / 1e6:g} megapixels</small>"
        '<span class="occ-chosen"></span></label>'
        f'<div class="occ-examples"><small>Or a generated face:</small>{"".join(pictures)}</div>'
        '<label class="occ-aligned"><input type="checkbox" name="aligned"><span>The picture is one face cut out already '
        "<small>(square, upright; none is looked for)</small></span></label>"
    )


def _paint() -> str:
    """Return the HTML of the second step."""
    tools = "".join(
        f'<label><input class="occ-hide" type="radio" name="occ-tool" value="{tool}"{" checked" if tool == "brush" else ""}>'
        f"{tool.capitalize()}</label>"
        for tool in ("brush", "rectangle", "eraser")
    )
    parts = "".join(
        f'<button type="button" data-box="{",".join(map(str, box))}">{name}</button>' for name, box in _PARTS.items()
    )
    return (
        '<h2 class="occ-step">2. Paint what is hidden</h2>'
        '<div class="occ-canvas occ-empty"><img alt="The face to paint on"><canvas width="512" height="512"></canvas></div>'
        f'<div class="occ-tools" role="group" aria-label="Tools">{tools}'
        '<label class="occ-size"><small>Width</small><input type="range" min="4" max="40" value="16"></label>'
        '<button type="button" data-do="undo">Undo</button><button type="button" data-do="clear">Clear</button></div>'
        f'<div class="occ-tools" role="group" aria-label="Hide a part"><small>Hide:</small>{parts}</div>'
    )


def _points() -> str:
    """Return the HTML that takes a table of landmarks; a backtick would end Gradio's template."""
    return (
        '<label class="occ-points"><input type="file" class="occ-hide" accept=".csv,text/csv">'
        "<span>Landmarks from a file</span><small>a table x,y of all 68, as saved here or by occface edit; sliders are "
        "added to it until the face is restored again</small></label>"
    )


def _said(error: Exception) -> str:
    """Return an error as a line for the visitor. What nobody expected is logged with its traceback."""
    if isinstance(error, OccfaceError):
        return " ".join(str(error).split())
    _log.error("the page met an unexpected error", exc_info=error)
    return f"unexpected {type(error).__name__}: {first_line(error)}; the window in which the page was started shows where"


def _no_edits() -> tuple[Any, ...]:
    """Return what hides the sliders, the choice among faces to edit, and the edited face."""
    return gr.Column(visible=False), gr.Radio(visible=False), ""


class _Handlers:
    """What happens on the page's events; each returns new values of the components that it is said to change."""

    def __init__(self, studio: Studio) -> None:
        self.studio = studio

    def open(self, event: gr.EventData) -> tuple[Any, ...]:
        """Open a photograph or an example: note, gallery of its faces, crop, results, the visitor's sitting."""
        try:
            opened = self.studio.open(self._sent(event), aligned=bool(getattr(event, "aligned", False)))
        except Exception as error:
            line = _said(error)
            if line.startswith("no face found"):
                line += "; if the picture is one face, tick that it is cut out already"
            return fragments.note([line], "error"), "", "", _WAIT, None, *_no_edits()
        return self._shown(_Sitting(opened))

    def _shown(self, sitting: _Sitting) -> tuple[Any, ...]:
        """Return note, gallery, crop, results and sitting of a face that is looked at and not yet restored."""
        opened, number = sitting.opened, sitting.number
        crop = fragments.data_url(opened.crop(number))
        return self._notes(opened, number), fragments.gallery(opened, number), crop, _WAIT, sitting, *_no_edits()

    def _sent(self, event: gr.EventData) -> bytes:
        """Return the file that came with an event."""
        example = getattr(event, "example", None)
        if example is not None:
            return _examples()[int(example)][1]
        size = getattr(event, "bytes", None)
        if size is not None:
            self.studio.limits.check(int(size))
        return fragments.from_data_url(str(event.picture))

    def _notes(self, opened: Opened, number: int, more: str = "") -> str:
        lines = [*opened.notes, more, self.studio.advice(opened.faces[number])]
        return fragments.note([line for line in lines if line])

    def choose(self, sitting: _Sitting | None, event: gr.EventData) -> tuple[Any, ...]:
        """Take another face of the photograph: note, gallery, crop, results, sitting. What was made of others is kept."""
        number = int(getattr(event, "face", 0))
        if sitting is None or not 0 <= number < len(sitting.opened.faces):
            return fragments.note([]), "", "", _WAIT, None, *_no_edits()
        return self._shown(_Sitting(sitting.opened, number, made=sitting.made))

    def restore(self, paint: str, how: str, names: list[str], sitting: _Sitting | None) -> tuple[Any, ...]:
        """Restore the face by the methods that are ticked: note, results, sitting, and what is there to edit."""
        try:
            if sitting is None:
                raise UsageError("there is no face yet: choose a photograph or an example first")
            opened, number = sitting.opened, sitting.number
            mask, found = self.studio.mask(opened, number, how, read_mask(fragments.from_data_url(paint)), names)
            outcomes = self.studio.restore(opened, number, mask, names)
        except Exception as error:
            return fragments.note([_said(error)], "error"), _WAIT, sitting, *_no_edits()
        made = {name: dict(faces) for name, faces in sitting.made.items()}
        for each in outcomes:
            if each.restored is not None:
                made.setdefault(each.name, {})[number] = each.restored
        pasted = {each.name: self.studio.whole(opened, made[each.name]) for each in outcomes if each.restored is not None}
        wholes = {name: picture for name, picture in pasted.items() if picture is not None}
        shown = fragments.results(self.studio.hidden(opened, number, mask), outcomes, wholes)
        now = _Sitting(opened, number, outcomes, made)
        names = list(now.editable())
        group = gr.Column(visible=bool(names))
        which = gr.Radio(choices=names, value=names[0] if names else None, visible=len(names) > 1)
        return self._notes(opened, number, found), shown, now, group, which, ""

    def place(self, sitting: _Sitting | None, event: gr.EventData) -> _Sitting | None:
        """Take a table of landmarks; what is wrong with it, `edit` says."""
        if sitting is None:
            return None
        try:
            return replace(sitting, wanted=landmarks_of_text(str(getattr(event, "table", "")).removeprefix("\ufeff")))
        except UsageError as error:
            return replace(sitting, wanted=str(error))

    def edit(self, name: str, sitting: _Sitting | None, *amounts: float) -> str:
        """Redraw the restored face with its landmarks where the sliders say, or a file and the sliders."""
        try:
            outcome = sitting.editable().get(name) if sitting is not None else None
            if outcome is None:
                raise UsageError("there is no restored face to edit: restore one first")
            wanted = None if sitting is None else sitting.wanted
            if isinstance(wanted, str):
                raise UsageError(wanted)
            return fragments.edited(name, self.studio.edit(outcome, amounts, wanted))
        except Exception as error:
            return fragments.note([_said(error)], "error")


def _slider(part: str, more: str, less: str) -> gr.Slider:
    return gr.Slider(-2, 2, 0, step=0.1, label=f"{part.capitalize()}: {less} / {more}", min_width=240, buttons=[])


def build(studio: Studio) -> gr.Blocks:
    """Return the page.

    Parameters
    ----------
    studio : Studio
        What does the work.
    """
    do = _Handlers(studio)
    names = list(studio.restorers)
    with gr.Blocks(title="occface", analytics_enabled=False, fill_width=True) as page:
        sitting = gr.State(None, time_to_live=_KEPT)
        gr.HTML(_head(studio))
        with gr.Row():
            with gr.Column(scale=2, min_width=300):
                photo = gr.HTML(html_template=_upload(studio), js_on_load=_text("upload.js"), elem_id="occ-photo")
                note = gr.HTML("", elem_id="occ-note")
                which = gr.HTML("", js_on_load=_text("gallery.js"), elem_id="occ-which")
                crop = gr.HTML("", html_template=_paint(), js_on_load=_text("paint.js"), elem_id="occ-paint")
                gr.HTML('<h2 class="occ-step">3. Restore it</h2>')
                methods = gr.CheckboxGroup(names, value=names[:3], label="Methods, side by side", elem_id="occ-methods")
                paint = gr.Textbox("", visible=False)
                how = gr.Dropdown(list(HIDDEN), value=HIDDEN[0], label="What is hidden", filterable=False, elem_id="occ-hidden")
                button = gr.Button("Restore", variant="primary", elem_id="occ-restore")
            with gr.Column(scale=3, min_width=300):
                results = gr.HTML(_WAIT, elem_id="occ-results")
                with gr.Column(visible=False, elem_id="occ-edits") as edits:
                    gr.HTML('<h2 class="occ-step">4. Edit it</h2><p>Sliders move its landmarks; the last stages redraw it.</p>')
                    edited_of = gr.Radio([], label="The face made by", visible=False)
                    with gr.Row():
                        sliders = [_slider(*each) for each in SLIDERS]
                    level = gr.Button("All to the middle", size="sm")
                    points = gr.HTML(html_template=_points(), js_on_load=_text("points.js"), elem_id="occ-points")
                    edited = gr.HTML("", elem_id="occ-edited")
        gr.HTML(f"<footer><small>occface {__version__} · {', '.join(map(html.escape, names))}</small></footer>")

        # One face at a time: further visitors wait for their turn.
        once: dict[str, Any] = {"concurrency_id": "faces", "concurrency_limit": 1, "api_visibility": "private"}
        editing = [edits, edited_of, edited]
        opening = [crop, results, sitting, *editing]
        photo.upload(do.open, None, [note, which, *opening], show_progress_on=note, **once)
        which.select(do.choose, [sitting], [note, which, *opening], show_progress="hidden", **once)
        button.click(
            do.restore,
            [paint, how, methods, sitting],
            [note, results, sitting, *editing],
            js="(paint, how, methods, sitting) => [window.occfacePaint(), how, methods, sitting]",
            show_progress_on=results,
            **once,
        )
        for slider in sliders:
            slider.release(do.edit, [edited_of, sitting, *sliders], edited, trigger_mode="always_last", **once)
        placed = points.upload(do.place, [sitting], [sitting], show_progress="hidden", **once)
        placed.then(do.edit, [edited_of, sitting, *sliders], edited, **once)
        edited_of.input(do.edit, [edited_of, sitting, *sliders], edited, **once)
        middle = f"() => [{'0, ' * len(sliders)}'']"  # in the browser alone
        for moment in (level.click, button.click):
            moment(None, None, [*sliders, edited], js=middle, api_visibility="private")
    return page.queue(max_size=_WAITING, api_open=False)
