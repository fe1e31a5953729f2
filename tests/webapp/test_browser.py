"""A visitor with a browser: uploads, paints, restores, edits, saves; and leaves nothing behind."""

from __future__ import annotations

import base64
import os
import re
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest

from occface.editing import landmarks_text, read_landmarks_file
from occface.images import decode_image
from occface.restoring.restorer import Restorer

pytest.importorskip("gradio", reason="the page needs Gradio: pip install 'occface[app]'")
sync_api = pytest.importorskip("playwright.sync_api", reason="the browser is driven by Playwright: pip install playwright")

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [
    pytest.mark.skipif(BROWSER is None, reason="no browser: expected chromium or google-chrome on the PATH"),
    pytest.mark.timeout(600),
]
WAIT = 60_000  # ms: machines with other work are slow


@pytest.fixture(scope="module")
def served(runs, tmp_path_factory):
    """The command itself, in a home and a temporary folder of its own; yields address and home, and ends it."""
    home = tmp_path_factory.mktemp("home")
    weights = [part for name, run in runs.items() for part in ("--weights", f"{name}={run}")]
    command = [sys.executable, "-m", "occface", "app", *weights, "--device", "cpu", "--detector", "dlib", "--port", "0"]
    places = {"HOME": str(home), "TMPDIR": str(home), "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONUNBUFFERED": "1"}
    places["MPLCONFIGDIR"] = str(tmp_path_factory.mktemp("matplotlib"))  # its list of fonts, which it keeps
    with subprocess.Popen(
        [*command, "--max-mb", "1"], cwd=home, env=os.environ | places, stdout=subprocess.PIPE, text=True
    ) as server:
        said = server.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:\d+", said)
        assert found, said
        yield found.group(), home
        left = [path for path in home.rglob("*") if path.is_file() and path.suffix != ".pyc"]
        server.send_signal(signal.SIGTERM)
        server.wait(60)
    assert not left, "the page wrote files"
    assert not list(home.glob("occface-app-*")), "the page left its folder behind"


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as driver:
        # As root, which containers often are, Chromium runs without its sandbox only; it visits nothing but this page.
        yield driver.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])


@pytest.fixture(params=[(1280, 900), (390, 844)], ids=["desktop", "phone"])
def tab(browser, served, request):
    """The page, loaded, in a window of a desktop's and of a phone's size."""
    width, height = request.param
    context = browser.new_context(viewport={"width": width, "height": height}, accept_downloads=True)
    context.set_default_timeout(WAIT)
    tab = context.new_page()
    asked, broken = [], []
    tab.on("request", lambda each: asked.append(each.url))
    tab.on("pageerror", lambda error: broken.append(str(error)))
    tab.goto(served[0])
    tab.wait_for_selector("#occ-restore")
    yield tab
    assert not broken
    assert not [url for url in asked if not url.startswith((served[0], "data:", "blob:"))], "the page asked another host"
    assert tab.evaluate("document.documentElement.scrollWidth") <= width, "the page is wider than the window"
    context.close()


def picture(tab, selector):
    source = tab.locator(selector).first.get_attribute("src")
    return decode_image(base64.b64decode(source.partition(",")[2]))


def test_upload_paint_restore_edit_and_save(tab, faces_folder, runs, tmp_path):
    tab.set_input_files("#occ-photo input[type=file]", faces_folder / "face_0.jpg")
    tab.wait_for_selector("#occ-paint .occ-canvas:not(.occ-empty)")
    canvas = tab.locator("#occ-paint canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()

    def at(x, y):
        return box["x"] + x * box["width"] / 128, box["y"] + y * box["height"] / 128

    tab.mouse.move(*at(40, 50))
    tab.mouse.down()
    tab.mouse.move(*at(90, 50), steps=5)
    tab.mouse.up()
    paint = decode_image(base64.b64decode(tab.evaluate("window.occfacePaint()").partition(",")[2]))[..., 0]
    # A stroke 16 px wide with round ends, from (40, 50) to (90, 50).
    y, x = np.mgrid[:128, :128] + 0.5
    expected = np.hypot(x - x.clip(40, 90), y - 50) < 8
    assert np.mean((paint >= 128) != expected) < 0.01
    tab.locator("#occ-methods").get_by_label("gfc+bicubic").uncheck()
    tab.click("#occ-restore")
    tab.wait_for_selector("#occ-results figure")
    crop = picture(tab, "#occ-paint img")
    made = Restorer.from_pretrained(runs["pro-uigan"], device="cpu").restore(crop, paint >= 128)
    shown = picture(tab, "#occ-results img[alt=pro-uigan]")
    assert np.abs(shown.astype(int) - made.result).max() <= 1
    assert tab.locator("#occ-results img[alt='bicubic+gfc']").count() == 1
    assert tab.locator("#occ-results img[alt='gfc+bicubic']").count() == 0
    with tab.expect_download() as download:
        tab.click("#occ-results a[download='occface-pro-uigan-result.png']")
    download.value.save_as(tmp_path / "saved.png")
    np.testing.assert_array_equal(decode_image((tmp_path / "saved.png").read_bytes()), shown)
    slider = tab.locator("#occ-edits input[type=range]").first
    slider.scroll_into_view_if_needed()
    box = slider.bounding_box()
    tab.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    tab.mouse.down()
    tab.mouse.move(box["x"] + box["width"], box["y"] + box["height"] / 2, steps=3)
    tab.mouse.up()
    tab.wait_for_selector("#occ-edited img[alt=Edited]")
    assert np.any(picture(tab, "#occ-edited img[alt=Edited]") != shown)
    assert float(slider.input_value()) == 2
    tab.get_by_role("button", name="All to the middle").click()
    tab.wait_for_selector("#occ-edited img", state="detached")
    assert float(slider.input_value()) == 0


def test_faces_of_a_photograph_are_chosen_hidden_by_name_pasted_back_and_moved_by_a_file(tab, tmp_path):
    tab.click("#occ-photo button[title='Example: three small faces']")
    tab.wait_for_selector("#occ-which button[data-face='2']")
    tab.click("#occ-which button[data-face='1']")
    tab.wait_for_selector("#occ-which button[data-face='1'][aria-pressed=true]")
    second = picture(tab, "#occ-which button[data-face='1'] img")
    np.testing.assert_array_equal(picture(tab, "#occ-paint img"), second)
    tab.locator("#occ-hidden input").click()
    tab.get_by_role("option", name="mouth", exact=True).click()
    tab.click("#occ-restore")
    tab.wait_for_selector("#occ-results img.occ-whole")
    grey = picture(tab, "#occ-results img[alt='The face']")
    changed = np.abs(grey.astype(int) - second).max(axis=2) > 3
    assert 0.01 < changed.mean() < 0.2
    assert changed[78:98, 50:78].mean() > 0.5  # where aligned faces have their mouths
    assert tab.locator("#occ-results img.occ-whole").first.bounding_box()["width"] > 200
    with tab.expect_download() as download:
        tab.click("#occ-results a[download='occface-pro-uigan-landmarks.csv']")
    download.value.save_as(tmp_path / "saved.csv")
    places = read_landmarks_file(tmp_path / "saved.csv")
    (tmp_path / "moved.csv").write_text(landmarks_text(places + np.float32(3)))
    tab.set_input_files("#occ-points input[type=file]", tmp_path / "moved.csv")
    tab.wait_for_selector("#occ-edited img[alt=Edited]")
    (tmp_path / "bad.csv").write_text("a,b\n1,2\n")
    tab.set_input_files("#occ-points input[type=file]", tmp_path / "bad.csv")
    tab.locator("#occ-edited [role=alert]", has_text="expected columns x,y").wait_for()


def test_bad_uploads_are_one_line(tab, tmp_path):
    film, large = tmp_path / "film.jpg", tmp_path / "large.jpg"
    film.write_bytes(b"\0\0\0\x18ftypmp42" + bytes(200))
    large.write_bytes(bytes(1_200_000))
    for path, said in ((film, "a video"), (large, "the file has 1.2 MB")):
        tab.set_input_files("#occ-photo input[type=file]", path)
        line = tab.locator("#occ-note [role=alert]", has_text=said)
        line.wait_for()
        assert "\n" not in line.inner_text().strip()
    tab.click("#occ-restore")
    tab.locator("#occ-note [role=alert]", has_text="there is no face yet").wait_for()
