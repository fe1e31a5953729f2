"""The version, and the doctor's exit code and JSON."""

from __future__ import annotations

import json
import platform
from importlib import metadata

import pytest
from click.testing import CliRunner

from occface import __version__, doctor
from occface.cli import main


def test_the_version_is_that_of_the_package_and_what_it_runs_on():
    said = CliRunner().invoke(main, ["--version"])
    first, second = said.stdout.splitlines()
    assert said.exit_code == 0
    assert first.split()[:2] == ["occface", __version__]
    assert second == f"torch {metadata.version('torch')}, Python {platform.python_version()}"


@pytest.mark.parametrize("works", [True, False])
def test_the_doctor_s_exit_code_says_whether_the_main_jobs_work(monkeypatch, works):
    line = doctor.Line("train", "works" if works else "fails", "")
    found = doctor.Examination(works, (line,), (line,), (line,), (line,))
    monkeypatch.setattr(doctor, "examine", lambda: found)
    told = CliRunner().invoke(main, ["doctor", "--json"])
    assert told.exit_code == (0 if works else 1)
    assert json.loads(told.stdout) == json.loads(json.dumps(found.as_dict()))
    assert CliRunner().invoke(main, ["doctor"]).stdout.strip() == found.text()
