"""Pieces of HTML: pictures in them are whole, and what others wrote is only text."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from occface.editing import landmarks_of_text
from occface.errors import BadImageError
from occface.images import decode_image
from occface.webapp import fragments
from occface.webapp.studio import Outcome


class Reader(HTMLParser):
    """Collects tags with their attributes, and sees to it that all are closed in order."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.open = [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in {"img", "input"}:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def pictures(text):
    return [decode_image(fragments.from_data_url(attrs["src"])) for tag, attrs in Reader(text).tags if tag == "img"]


def test_a_picture_comes_back_from_its_data_url():
    picture = np.random.default_rng(0).integers(0, 256, (7, 5, 3), np.uint8)
    np.testing.assert_array_equal(decode_image(fragments.from_data_url(fragments.data_url(picture))), picture)


@pytest.mark.parametrize("text", ["", "data:image/png;base64", "https://example.org/a.png", "data:;base64,%%%", "data:x,abc"])
def test_what_is_no_data_url_is_refused_in_one_line(text):
    with pytest.raises(BadImageError, match="choose it again"):
        fragments.from_data_url(text)


def test_results_show_each_method_its_stages_and_what_can_be_saved(studio, face):
    opened, mask = studio.open(face), np.zeros((128, 128), np.uint8)
    mask[40:80, 40:80] = 1
    outcomes = [*studio.restore(opened, 0, mask, ["pro-uigan", "bicubic+gfc"]), Outcome("x", "SR", None, "<b>bad</b>\n")]
    text = fragments.results(studio.hidden(opened, 0, mask), outcomes)
    shown = pictures(text)
    # face, LR, two results; LR, two stages, result, three maps; LR, result
    assert [picture.shape[0] for picture in shown] == [128, 16, 128, 128, 16, 32, 64, 128, 16, 32, 64, 16, 128]
    np.testing.assert_array_equal(shown[2], outcomes[0].restored.result)
    np.testing.assert_array_equal(shown[3], outcomes[1].restored.result)
    saved = [attrs["download"] for tag, attrs in Reader(text).tags if tag == "a"]
    assert saved == [
        "occface-pro-uigan-result.png",
        "occface-bicubic+gfc-result.png",
        "occface-pro-uigan-strip.png",
        "occface-pro-uigan-landmarks.csv",
        "occface-bicubic+gfc-strip.png",
    ]
    assert "not evidence of who somebody is" in text
    assert "&lt;b&gt;bad" in text
    assert not re.search(r"(src|href)=\"(?!data:(image/png|text/csv))", text)


def test_landmarks_are_saved_as_a_table_that_can_be_given_back(studio, face):
    (outcome,) = studio.restore(studio.open(face), 0, None, ["pro-uigan"])
    (link,) = [
        attrs["href"] for tag, attrs in Reader(fragments.results(np.zeros((128, 128, 3), np.uint8), [outcome])).tags
        if tag == "a" and attrs["download"] == "occface-pro-uigan-landmarks.csv"
    ]  # fmt: skip
    found = landmarks_of_text(fragments.from_data_url(link).decode())
    np.testing.assert_allclose(found, outcome.restored.landmarks, atol=0.006)


def test_photographs_stand_below_the_faces(studio, face):
    opened = studio.open(face)
    outcomes = studio.restore(opened, 0, None, ["bicubic", "pro-uigan"])
    whole = studio.whole(opened, {0: outcomes[0].restored})
    text = fragments.results(opened.crop(0), outcomes, {"bicubic": whole})
    assert [attrs["download"] for tag, attrs in Reader(text).tags if tag == "a"][-1] == "occface-bicubic-photograph.jpg"
    shown = pictures(text)[-1]
    assert shown.shape == whole.shape
    assert np.abs(shown.astype(float) - whole).mean() < 3  # JPEG


def test_the_gallery_has_a_button_for_each_face_and_presses_the_chosen_one(studio, face):
    opened = studio.open(face)
    assert fragments.gallery(opened, 0) == ""
    twice = replace(opened, faces=(opened.faces[0], opened.faces[0]))
    buttons = [attrs for tag, attrs in Reader(fragments.gallery(twice, 1)).tags if tag == "button"]
    assert [(each["data-face"], each["aria-pressed"]) for each in buttons] == [("0", "false"), ("1", "true")]
    assert "px wide" in buttons[0]["title"]


def test_notes_are_text_and_errors_are_announced():
    assert fragments.note([]) == ""
    text = fragments.note(["<script>alert(1)</script>", "two"], "error")
    assert [tag for tag, _ in Reader(text).tags] == ["div", "p", "p"]
    assert Reader(text).tags[0][1]["role"] == "alert"
    assert "role" not in Reader(fragments.note(["a"])).tags[0][1]
