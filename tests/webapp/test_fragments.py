"""Pieces of HTML: pictures in them are whole, and what others wrote is only text."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import numpy as np
import pytest

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
        "occface-bicubic+gfc-strip.png",
    ]
    assert "not evidence of who somebody is" in text
    assert "&lt;b&gt;bad" in text
    assert not re.search(r"(src|href)=\"(?!data:image/png)", text)


def test_notes_are_text_and_errors_are_announced():
    assert fragments.note([]) == ""
    text = fragments.note(["<script>alert(1)</script>", "two"], "error")
    assert [tag for tag, _ in Reader(text).tags] == ["div", "p", "p"]
    assert Reader(text).tags[0][1]["role"] == "alert"
    assert "role" not in Reader(fragments.note(["a"])).tags[0][1]
