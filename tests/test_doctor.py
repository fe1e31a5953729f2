"""The doctor, on this machine and on ill ones."""

from __future__ import annotations

import configparser
import json
import re
import sys
from importlib import metadata
from pathlib import Path

import pytest
import torch

from occface import assets, doctor, versions
from occface.doctor import Line, Outcome, examine
from occface.methods import METHODS
from occface.methods.base import TrainableMethod

ROOT = Path(__file__).parents[1]
DEVICE = {
    "device": "cpu", "devices": [], "built_for": "the CPU alone", "cpu": "a processor", "threads": 1, "bfloat16": [],
    "precision": "32-true",
}  # fmt: skip


@pytest.fixture
def healthy(monkeypatch):
    """Outcomes of a machine on which all works; a test may spoil some. All weights are present."""
    names = [name for row in doctor._PROBES.values() for name in row]
    outcomes = dict.fromkeys(names, Outcome()) | {"device": Outcome(DEVICE), "restoration": Outcome({"shipped": []})}
    monkeypatch.setattr(doctor, "_checked", lambda: outcomes)
    monkeypatch.setattr(doctor, "installed", lambda name: {name: "1.0"})
    monkeypatch.setattr(assets, "find", lambda name: {})
    return outcomes


def state(lines, name):
    return next(line for line in lines if line.name == name).state


def test_this_machine_can_do_what_its_tests_do(tmp_path, monkeypatch):
    """In processes of its own, which do not run what lies in the folder that they are started in."""
    (tmp_path / "h5py.py").write_text("open('started', 'w')")
    (tmp_path / "torch.py").write_text("open('started', 'w')")
    monkeypatch.chdir(tmp_path)
    found = examine()
    assert found.works
    assert not (tmp_path / "started").exists()
    assert [line.state for line in found.jobs if line.name in ("train", "benchmark")] == ["works", "works"]
    required = next(line for line in found.libraries if line.name == "required").said
    assert f"torch {metadata.version('torch')}" in required
    device = next(line for line in found.machine if line.name == "device").said
    assert ("cuda" in device) == torch.cuda.is_available()
    assert json.loads(json.dumps(found.as_dict()))["works"] is True
    text = found.text().splitlines()
    assert len(text) < 45
    assert max(map(len, text)) < 140


def test_a_library_that_crashes_is_named_and_the_others_are_not_lost(tmp_path, monkeypatch):
    (tmp_path / "cv2.py").write_text("import os\nprint('{\"check\": 1')\nos.abort()")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(doctor, "_PROBES", {"libraries": doctor._PROBES["libraries"]})
    outcomes = doctor._checked()
    assert outcomes["numpy"] == Outcome()
    if sys.platform != "win32":
        assert outcomes["cv2"].wrong == "the process was ended by SIGABRT"
    assert outcomes["dlib"].wrong == "not tried, since cv2 failed before"


def test_how_a_process_ended_is_said():
    assert doctor._ended(-4) == "the process was ended by SIGILL: it is built for another processor"
    assert doctor._ended(3) == "the process ended with exit code 3"
    assert doctor._ended(-250) == "the process was ended by signal 250"


def test_all_is_well_on_a_healthy_machine(healthy):
    found = examine()
    assert found.works
    assert {line.state for line in found.jobs} == {"works"}
    assert found.text().endswith("All of this works here.")


def test_a_job_fails_with_a_library_that_it_needs_and_the_others_do_not(healthy):
    healthy["dlib"] = Outcome(wrong="ImportError: libopenblas.so.0 is missing")
    found = examine()
    assert not found.works
    assert [line.name for line in found.jobs if line.state == "fails"] == ["make-dataset", "restore, edit", "demo"]
    assert "dlib (ImportError: libopenblas.so.0 is missing)" in found.text()
    assert found.text().endswith("These jobs do not work here: make-dataset; restore, edit; demo.")
    assert state(found.libraries, "dlib") == "fails"


def test_a_library_that_is_not_there_is_told_with_its_command(healthy, monkeypatch):
    healthy["simplejpeg"] = Outcome(wrong="ModuleNotFoundError: No module named 'simplejpeg'")
    monkeypatch.setattr(doctor, "installed", lambda name: {} if name == "simplejpeg" else {name: "1.0"})
    assert Line("simplejpeg", "absent", "pip install simplejpeg") in examine().libraries


def test_two_that_write_into_one_folder_are_told(healthy, monkeypatch):
    both = {"opencv-python-headless": "4.9", "opencv-python": "4.10"}
    monkeypatch.setattr(doctor, "installed", lambda name: both if name in both else {name: "1.0"})
    found = examine()
    assert state(found.libraries, "opencv-python-headless") == "fails"
    assert "pip uninstall opencv-python-headless opencv-python, then pip install one" in found.text()


def test_weights_that_can_be_fetched_stop_nothing_and_others_do(healthy, monkeypatch):
    monkeypatch.setattr(assets, "find", lambda name: None if name in ("mtcnn", "mobilestylegan") else {})
    found = examine()
    assert found.works
    assert state(found.jobs, "restore, edit") == "fetches"
    assert "occface assets pull mobilestylegan (41 MB)" in found.text()
    monkeypatch.setattr(assets, "find", lambda name: None if name == "dlib-68" else {})
    found = examine()
    assert not found.works
    assert "dlib-68: pip install face_recognition_models" in found.text()


def test_without_pip_nothing_can_be_fetched(healthy, monkeypatch):
    there = doctor.importlib.util.find_spec
    monkeypatch.setattr(doctor.importlib.util, "find_spec", lambda name: None if name == "pip" else there(name))
    monkeypatch.setattr(assets, "find", lambda name: None if name == "mtcnn" else {})
    assert "there is no pip to fetch it with" in examine().text()


def test_places_that_cannot_be_used_are_pointed_out(healthy, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("OCCFACE_CACHE", str(tmp_path / "file" / "cache"))
    found = next(line for line in examine().machine if line.name == "cache")
    assert (found.state, "cannot be written" in found.said) == ("look", True)
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 10**9}))
    monkeypatch.setenv("OCCFACE_CACHE", str(tmp_path / "new" / "cache"))
    found = next(line for line in examine().machine if line.name == "cache")
    assert found.said.endswith("1.0 GB free; little is free")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("device", "abilities", "said"),
    [("cpu", [], "emulated"), ("cpu", ["amx_bf16"], "native (amx_bf16)"), ("cuda", [], "takes bf16-mixed there")],
)
def test_the_speed_of_bfloat16_is_told(device, abilities, said):
    assert said in doctor._bfloat16({"device": device, "bfloat16": abilities, "precision": "bf16-mixed"})


def test_the_tables_are_those_of_the_installation():
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg")
    asked = {re.split(r"[>=<\[]", line)[0] for line in settings["options"]["install_requires"].split()}
    assert set(doctor._REQUIRED.values()) == asked - {"click", "face_recognition_models"}
    assert set(doctor._NEEDED_BY) == set(assets.ASSETS) - set(assets.shipped())
    for _, source, _ in doctor._OPTIONAL.values():
        extra = re.fullmatch(r"occface\[(.*)\]", source)
        assert extra is None or extra[1] in settings["options.extras_require"]
    assert {row[0] for row in versions.TWINS} <= asked


def test_the_methods_that_are_told_to_need_weights_do():
    needed = {asset: {preset: set() for preset in ("gpu", "cpu")} for asset in ("vgg16", "vgg19", "stlpips-vgg")}
    for name in METHODS:
        kind = METHODS.get(name)
        for preset in ("gpu", "cpu"):
            if issubclass(kind, TrainableMethod) and preset in kind.presets():
                with torch.device("meta"):
                    wanted = kind.build(preset).assets()
                for asset in wanted:
                    needed[asset][preset].add(name)
    for asset, by in needed.items():
        told = doctor._NEEDED_BY[asset]
        for preset, names in by.items():
            assert names == {name for name in METHODS if preset in told and re.search(rf"[ ,]{name},", told)}, asset
