"""What the page does, without the page."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from occface.editing import EDITS, Edit, moved
from occface.errors import BadImageError, UsageError
from occface.images import encode_png
from occface.webapp.studio import FOUND, NOTHING, PAINTED, SLIDERS, Limits, Studio, offered, read_mask


def saved(picture: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def chunk(body: bytes) -> bytes:
    return struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))


def huge_header() -> bytes:
    """Return the beginning of a PNG file that says it has 12000 x 9000 pixels, and holds none."""
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR" + struct.pack(">IIBBBBB", 12000, 9000, 8, 2, 0, 0, 0)) + chunk(b"IDAT")


GREY = Image.new("RGB", (200, 160), (90, 90, 90))
BAD = {
    "no picture": (b"Dear reader," * 50, "not a picture in a known format"),
    "nothing": (b"", "the file is empty"),
    "too many pixels": (huge_header(), "12000x9000 is 108 megapixels, more than the 1 allowed"),
    "too many bytes": (b"\xff" * 2_000_001, "the file has 2 MB, more than the 2 MB that are taken"),
    "animated": (saved(GREY, "PNG", save_all=True, append_images=[GREY.rotate(180), Image.new("RGB", GREY.size)]), "animated"),
    "a GIF": (saved(GREY, "GIF"), "a GIF"),
    "a video": (b"\0\0\0\x18ftypmp42" + bytes(200), "a video"),
    "half a picture": (saved(GREY, "JPEG")[:400], "the file is broken or not whole"),
    "no face": (saved(GREY, "JPEG"), "no face found by dlib"),
}


@pytest.mark.parametrize("what", BAD)
def test_a_bad_upload_has_a_reason_of_one_line(studio, what):
    data, said = BAD[what]
    with pytest.raises(BadImageError, match=said) as caught:
        studio.open(data)
    assert "\n" not in str(caught.value)
    assert "--" not in str(caught.value)  # a visitor has no command line


def test_a_photograph_gives_its_face_and_says_when_it_is_too_large(studio, face):
    opened = studio.open(face)
    assert opened.crop(0).shape == (128, 128, 3)
    assert opened.notes == ()
    found = opened.faces[0]
    # The box of dlib's detector is as wide as the face, within its steps.
    assert found.width == pytest.approx(found.aligned.box[2] - found.aligned.box[0], rel=0.2)
    assert studio.advice(found).startswith(f"This face is {found.width:.0f} px wide")


def test_a_small_face_needs_no_advice(studio, face):
    small = Image.open(io.BytesIO(face)).resize((16, 16))
    opened = studio.open(saved(small, "PNG"), aligned=True)
    assert studio.advice(opened.faces[0]) == ""
    np.testing.assert_array_equal(opened.crop(0)[4::8, 4::8], np.asarray(small))


def test_cmyk_is_taken_with_a_note(studio, face):
    assert "CMYK" in studio.open(saved(Image.open(io.BytesIO(face)).convert("CMYK"), "JPEG")).notes[0]


def test_paint_is_read_as_a_mask():
    paint = np.zeros((128, 128, 3), np.uint8)
    assert read_mask(encode_png(paint)) is None
    paint[10:20, 30:60] = 255
    paint[20] = 127
    mask = read_mask(encode_png(paint))
    assert mask.dtype == np.uint8
    assert mask.sum() == mask[10:20, 30:60].sum() == 300


def test_paint_over_everything_or_of_another_size_is_refused():
    with pytest.raises(BadImageError, match="the paint hides 100% of the picture"):
        read_mask(encode_png(np.full((128, 128), 255, np.uint8)))
    with pytest.raises(BadImageError, match="expected paint of 128x128 px, got 64x128"):
        read_mask(encode_png(np.zeros((128, 64), np.uint8)))
    with pytest.raises(BadImageError, match="megapixels"):
        read_mask(huge_header())


def test_each_pipeline_gives_what_its_restorer_gives(studio, face):
    opened, mask = studio.open(face), np.zeros((128, 128), np.uint8)
    mask[40:90, 30:80] = 1
    outcomes = studio.restore(opened, 0, mask, ["bicubic+gfc", "pro-uigan"])
    assert [(each.name, each.order, each.reason) for each in outcomes] == [
        ("bicubic+gfc", "SR+PA", ""),
        ("pro-uigan", "joint", ""),
    ]
    for each in outcomes:
        expected = studio.restorers[each.name].restore(opened.crop(0), mask)
        np.testing.assert_array_equal(each.restored.result, expected.result)
        np.testing.assert_array_equal(each.restored.thumbnail.lr, expected.thumbnail.lr)


def test_without_paint_methods_that_need_it_say_so_and_others_go_on(studio, face):
    outcomes = studio.restore(studio.open(face), 0, None, ["gfc+bicubic", "pro-uigan"])
    assert outcomes[0].restored is None
    assert "paint that" in outcomes[0].reason
    assert outcomes[1].restored.thumbnail.mask is None


def test_what_is_hidden_is_shown_in_grey(studio, face):
    opened, mask = studio.open(face), np.zeros((128, 128), np.uint8)
    mask[:64] = 1
    shown = studio.hidden(opened, 0, mask)
    assert np.ptp(shown[:64]) <= 1
    np.testing.assert_array_equal(shown[64:], opened.crop(0)[64:])
    np.testing.assert_array_equal(studio.hidden(opened, 0, None), opened.crop(0))


def test_no_method_and_an_unknown_one_are_refused(studio, face):
    opened = studio.open(face)
    with pytest.raises(UsageError, match="tick at least one"):
        studio.restore(opened, 0, None, [])
    with pytest.raises(UsageError, match="unknown method 'pro-uigam'"):
        studio.restore(opened, 0, None, ["pro-uigam"])


def test_sliders_are_all_named_edits_each_once():
    words = [(part, word) for part, more, less in SLIDERS for word in (more, less)]
    assert sorted(words) == sorted((part, word) for part in EDITS for word in EDITS[part])


def test_a_slider_moves_landmarks_as_its_word_does(studio, face):
    (outcome,) = studio.restore(studio.open(face), 0, None, ["pro-uigan"])
    amounts = [0.0] * len(SLIDERS)
    amounts[SLIDERS.index(("mouth", "smile", "frown"))] = -1.5
    done = studio.edit(outcome, amounts)
    # The opposite word at the same strength goes as far the other way.
    smiling = moved(outcome.restored.landmarks, [Edit("mouth", "smile", 1.5)])
    np.testing.assert_allclose(done.wanted + smiling, 2 * outcome.restored.landmarks, atol=1e-3)
    np.testing.assert_array_equal(done.original.result, outcome.restored.result)
    with pytest.raises(UsageError, match="push a slider"):
        studio.edit(outcome, [0.0] * len(SLIDERS))
    places = outcome.restored.landmarks + np.float32(3)
    np.testing.assert_array_equal(studio.edit(outcome, [0.0] * len(SLIDERS), places).wanted, places)


def test_what_is_hidden_can_be_said_in_several_ways(studio, face):
    opened, paint = studio.open(face), np.eye(128, dtype=np.uint8)
    assert studio.mask(opened, 0, PAINTED, paint, [])[0] is paint
    assert studio.mask(opened, 0, NOTHING, paint, []) == (None, "")
    mouth, _ = studio.mask(opened, 0, "mouth", None, [])
    x, y = opened.faces[0].aligned.landmarks[48:68].mean(axis=0).round().astype(int)
    assert mouth[y, x] == 1
    assert 0.01 < mouth.mean() < 0.15
    with pytest.raises(UsageError, match="did you mean 'mouth'"):
        studio.mask(opened, 0, "mouht", None, [])


def test_a_blot_is_found_and_a_line_says_how_much(studio, face):
    crop = studio.open(face).crop(0).copy()
    crop[48:96, 40:88] = (40, 90, 200)
    opened = studio.open(encode_png(crop), aligned=True)
    found, said = studio.mask(opened, 0, FOUND, None, ["gfc+bicubic"])
    assert found[56:88, 48:80].all()
    assert found.mean() < 0.3
    assert f"{found.mean():.0%} of the crop was found hidden" in said
    assert "Not found is" in said


def test_faces_are_pasted_back_into_the_photograph(studio, face):
    """A large photograph is kept smaller; what is pasted lies where the face is."""
    large = Image.open(io.BytesIO(face))
    canvas = Image.new("RGB", (4 * large.width, 2 * large.height), (90, 90, 90))
    canvas.paste(large, (large.width, large.height // 2))
    opened = studio_of(studio, 40_000_000).open(saved(canvas, "PNG"))
    assert opened.photograph.shape == (round(canvas.height * opened.shrunk), round(canvas.width * opened.shrunk), 3)
    (outcome,) = studio.restore(opened, 0, None, ["bicubic"])
    whole = studio.whole(opened, {0: outcome.restored})
    np.testing.assert_array_equal(whole.shape, opened.photograph.shape)  # the face is large enough
    changed = np.argwhere(np.abs(whole.astype(int) - opened.photograph).max(axis=2) > 3)
    x0, y0, x1, y1 = opened.faces[0].aligned.box * opened.shrunk
    top, left = changed.min(axis=0)
    bottom, right = changed.max(axis=0)
    assert left < x1
    assert x0 < right
    assert abs((left + right) / 2 - (x0 + x1) / 2) < 0.2 * (x1 - x0)
    assert abs((top + bottom) / 2 - (y0 + y1) / 2) < 0.3 * (y1 - y0)
    assert np.abs(whole[:, : int(x0 - (x1 - x0))].astype(int) - opened.photograph[:, : int(x0 - (x1 - x0))]).max() == 0
    aligned = studio.open(encode_png(opened.crop(0)), aligned=True)
    assert studio.whole(aligned, {0: outcome.restored}) is None


def studio_of(studio, pixels):
    """Return the same studio for larger photographs."""
    return Studio(studio.restorers, studio.finder, Limits(20, pixels))


def test_what_is_offered_follows_from_the_weights():
    assert offered({"fsrnet": "a", "gfc": "b"}) == ["fsrnet+gfc", "gfc+fsrnet", "fsrnet", "bicubic"]
    assert offered({"gfc": "b", "fcsr-gan": "c"}) == ["fcsr-gan", "bicubic+gfc", "gfc+bicubic", "bicubic"]
    with pytest.raises(UsageError, match="'fan' restores no faces"):
        offered({"fan": "a"})


def test_what_cannot_be_loaded_is_said_at_the_start(runs, monkeypatch):
    monkeypatch.setattr("occface.webapp.studio.shipped_restorers", dict)
    with pytest.raises(UsageError, match="no weights come with this version"):
        Studio.load({}, device="cpu")
    with pytest.raises(UsageError, match="weights are given for 'gfc', which no pipeline has"):
        Studio.load(runs, ["pro-uigan"], device="cpu")
    with pytest.raises(UsageError, match="at least one pipeline"):
        Studio({})


def test_limits_count_in_millions_of_bytes():
    Limits(megabytes=2).check(2_000_000)
    with pytest.raises(BadImageError):
        Limits(megabytes=2).check(2_000_001)
