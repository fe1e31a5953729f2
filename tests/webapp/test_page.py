"""The page as it is served: it names no other host, its handlers say one line of what goes wrong."""

from __future__ import annotations

import asyncio
import re
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("gradio", reason="the page needs Gradio: pip install 'occface[app]'")

from occface.editing import landmarks_text
from occface.images import encode_png
from occface.webapp import fragments, page
from occface.webapp.server import application

EMPTY = fragments.data_url(np.zeros((128, 128), np.uint8))


@pytest.fixture(scope="module")
def answers(studio, tmp_path_factory):
    """Return what the page answers, by path, asked as a browser on this machine does."""
    import httpx

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("gradio")))
        app = application(studio)

    async def ask(*paths):
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:7860") as client:
            return [await client.get(path) for path in paths]

    return dict(zip(("/", "/theme.css", "/config"), asyncio.run(ask("/", "/theme.css", "/config")), strict=True))


def test_the_page_names_no_other_host(answers):
    text = answers["/"].text
    assert answers["/"].status_code == 200
    assert "not evidence of who somebody is" in text
    assert set(re.findall(r"(?:https?:)?//[\w.-]+\.\w+", text)) <= {"http://127.0.0.1"}
    assert not re.findall(r"(?:@import|url\(['\"]?)\s*(?:https?:)?//", answers["/theme.css"].text)


def test_the_page_counts_nobody_and_keeps_no_history(answers):
    config = answers["/config"].json()
    assert config["analytics_enabled"] is False
    assert not config.get("run_history")
    assert "gradio_api/upload" not in {each.get("api_name") for each in config["dependencies"]}
    kinds = {each["type"] for each in config["components"]}
    assert not kinds & {"image", "imageeditor", "file", "uploadbutton", "gallery", "downloadbutton"}  # these store files


@pytest.fixture
def handlers(studio):
    return page._Handlers(studio)


def opened(handlers, face):
    *_, sitting, _, _, _ = handlers.open(
        SimpleNamespace(picture="data:image/jpeg;base64," + page.base64.b64encode(face).decode())
    )
    return sitting


def test_an_upload_shows_the_face_to_paint_on(handlers, face, studio):
    event = SimpleNamespace(picture="data:image/jpeg;base64," + page.base64.b64encode(face).decode(), aligned=False)
    note, which, crop, _, sitting, *_ = handlers.open(event)
    assert "px wide" in note
    assert which == ""
    assert crop == fragments.data_url(studio.open(face).crop(0))
    assert sitting.number == 0


@pytest.mark.parametrize(
    ("event", "said"),
    [
        ({"picture": "data:text/plain;base64,aGFsbG8="}, "not a picture in a known format"),
        ({"picture": ""}, "choose it again"),
        ({"bytes": 31_000_000}, "the file has 31 MB"),
        ({"picture": fragments.data_url(np.full((90, 90, 3), 99, np.uint8))}, "tick that it is cut out already"),
        ({}, "unexpected AttributeError"),
    ],
)
def test_a_bad_upload_is_one_line_and_no_traceback(handlers, event, said):
    note, _, crop, results, sitting, *_ = handlers.open(SimpleNamespace(**event))
    assert said in note
    assert 'role="alert"' in note
    assert note.count("<p>") == 1
    assert "Traceback" not in note
    assert (crop, sitting) == ("", None)
    assert "figure" not in results


def test_every_example_opens(handlers):
    for number in range(len(page._examples())):
        note, which, crop, _, sitting, *_ = handlers.open(SimpleNamespace(example=number))
        assert "error" not in note
        assert crop
        assert bool(which) == (len(sitting.opened.faces) > 1)
    assert [len(sitting.opened.faces), which.count("<button")] == [3, 3]
    _, which, other, _, chosen, *_ = handlers.choose(sitting, SimpleNamespace(face=2))
    assert other == fragments.data_url(sitting.opened.crop(2)) != crop
    assert 'data-face="2" aria-pressed="true"' in which
    assert chosen.number == 2


def test_faces_restored_one_after_another_are_all_pasted_back(handlers):
    number = next(place for place, (name, _) in enumerate(page._examples()) if name == "three small faces")
    *_, sitting, _, _, _ = handlers.open(SimpleNamespace(example=number))
    _, shown, sitting, *_ = handlers.restore(EMPTY, "mouth", ["bicubic"], sitting)
    assert shown.count("occ-whole") == 1
    *_, chosen, _, _, _ = handlers.choose(sitting, SimpleNamespace(face=1))
    *_, now, _, _, _ = handlers.restore(EMPTY, "nothing", ["bicubic"], chosen)
    assert sorted(now.made["bicubic"]) == [0, 1]
    assert now.made["bicubic"][0].thumbnail.mask.any()
    assert now.made["bicubic"][1].thumbnail.mask is None
    assert sorted(sitting.made["bicubic"]) == [0]


def test_a_file_of_landmarks_redraws_the_face(handlers, face):
    *_, sitting, _, _, _ = handlers.restore(EMPTY, "nothing", ["pro-uigan"], opened(handlers, face))
    amounts = [0.0] * len(page.SLIDERS)
    table = landmarks_text(sitting.outcomes[0].restored.landmarks + 4)
    placed = handlers.place(sitting, SimpleNamespace(table="\ufeff" + table))
    assert handlers.edit("pro-uigan", placed, *amounts).count("<figure") == 4
    spoilt = handlers.place(sitting, SimpleNamespace(table="a,b\n1,2\n"))
    assert "expected columns x,y" in handlers.edit("pro-uigan", spoilt, *amounts)
    assert handlers.place(None, SimpleNamespace(table=table)) is None


def test_restoring_before_opening_and_everything_hidden_are_lines(handlers, face):
    assert "there is no face yet" in handlers.restore(EMPTY, "what is painted", ["pro-uigan"], None)[0]
    white = "data:image/png;base64," + page.base64.b64encode(encode_png(np.full((128, 128), 255, np.uint8))).decode()
    assert "the paint hides 100%" in handlers.restore(white, "what is painted", ["pro-uigan"], opened(handlers, face))[0]


def test_sliders_come_with_a_method_that_has_landmarks(handlers, face):
    sitting = opened(handlers, face)
    *_, made, group, which, _ = handlers.restore(EMPTY, "what is painted", ["pro-uigan", "bicubic"], sitting)
    assert group.visible
    assert which.value == "pro-uigan"
    assert list(made.editable()) == ["pro-uigan"]
    amounts = [0.0] * len(page.SLIDERS)
    assert "push a slider" in handlers.edit("pro-uigan", made, *amounts)
    assert handlers.edit("pro-uigan", made, *amounts[1:], 1.0).count("<figure") == 4
    assert "restore one first" in handlers.edit("bicubic", made, *amounts)
    *_, group, _, _ = handlers.restore(EMPTY, "what is painted", ["bicubic"], sitting)
    assert group.visible is False
