"""Versions and commits, each against a checkout or an environment made for it."""

from __future__ import annotations

import shutil
import subprocess
from importlib import metadata

import pytest

from occface import versions


@pytest.fixture
def git(tmp_path):
    if shutil.which("git") is None:
        pytest.skip("there is no git")

    def call(*words, folder=tmp_path / "clone"):
        who = ("-c", "user.name=somebody", "-c", "user.email=somebody@example.org", "-c", "commit.gpgsign=false")
        command = ["git", "-C", str(folder), *who, *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    return call


@pytest.fixture
def checkout(tmp_path, git, monkeypatch):
    monkeypatch.delenv("GIT_DIR", raising=False)
    root = tmp_path / "clone"
    (root / "occface").mkdir(parents=True)
    (root / "occface" / "a.py").write_text("")
    (root / "setup.cfg").write_text("[metadata]\nname = occface\n")
    git("init", "--quiet")
    git("add", "--all")
    git("commit", "--quiet", "--message", "first")
    git("tag", "v1")  # a tag is no commit's name
    return root


def test_a_checkout_tells_its_commit_and_whether_it_was_changed(checkout, git, monkeypatch):
    of = git("rev-parse", "HEAD")
    assert versions.commit(checkout) == of[:12]
    (checkout / "occface" / "a.py").write_text("changed")
    assert versions.commit(checkout) == f"{of[:12]}-dirty"
    monkeypatch.setenv("GIT_DIR", "/nowhere")  # as in a hook of another repository
    assert versions.commit(checkout) == f"{of[:12]}-dirty"


def test_no_program_that_a_checkout_names_is_started(checkout, git, tmp_path):
    monitor = tmp_path / "monitor"
    monitor.write_text(f"#!/bin/sh\ntouch {tmp_path}/started\n")
    monitor.chmod(0o755)
    git("config", "core.fsmonitor", str(monitor))
    assert versions.commit(checkout)
    assert not (tmp_path / "started").exists()


def test_a_package_in_somebody_else_s_repository_does_not_tell_that_one_s_commit(checkout, git):
    inside = checkout / "venv" / "site-packages"
    (inside / "occface").mkdir(parents=True)
    assert versions.commit(inside) == ""
    (checkout / "setup.cfg").write_text("[metadata]\nname = other\n")
    assert versions.commit(checkout) == ""


def test_a_built_package_tells_what_was_written_down(tmp_path):
    (tmp_path / "occface").mkdir()
    assert versions.commit(tmp_path) == ""
    (tmp_path / "occface" / versions.COMMIT_FILE).write_text("0123456789ab\n")
    assert versions.commit(tmp_path) == "0123456789ab"


def test_without_git_there_is_no_commit(checkout, monkeypatch):
    def absent(*_, **__):
        raise FileNotFoundError("git")

    monkeypatch.setattr(versions.subprocess, "run", absent)
    assert versions.commit(checkout) == ""


def test_versions_are_those_of_the_twin_that_is_installed(monkeypatch):
    def version(name):
        there = {"opencv-python": "4.9", "torch": "2.4", "dlib": "19.24"}
        if name not in there:
            raise metadata.PackageNotFoundError(name)
        return there[name]

    monkeypatch.setattr(versions, "version", version)
    told = versions.software_versions()
    assert (told["opencv-python"], told["torch"], told["dlib"], told["pandas"]) == ("4.9", "2.4", "19.24", "not installed")
    assert {"opencv-python-headless", "dlib-bin"}.isdisjoint(told)


def test_versions_are_those_of_the_modules_themselves():
    import numpy
    import torch

    told = versions.software_versions()
    assert told["numpy"] == numpy.__version__
    assert told["torch"].partition("+")[0] == torch.__version__.partition("+")[0]
    assert f"torch {told['torch']}" in versions.version_text()
