"""What `--deterministic` promises: data, weights and scores of two runs are the same bits, or a line says what is not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import click
import pandas as pd
import pytest
import torch
from click.testing import CliRunner

from occface import determinism, info
from occface.cli import main
from occface.parallel import ordered_map

#: Two networks that are trained side by side where there are two workers.
RECIPE = """
datasets: {{wild: {{source: {faces}, test: 2, masks: [square]}}}}
methods: {{gfc: {{preset: test}}, pro-uigan: {{preset: test}}}}
pipelines: [bicubic+gfc, pro-uigan]
metrics: [image]
"""


@pytest.fixture
def repeatable(monkeypatch):
    """Require it for one test; what is never taken back otherwise is."""
    threads = torch.get_num_threads()
    for name in determinism._VARIABLES:
        monkeypatch.setenv(name, os.environ.get(name, ""))
    monkeypatch.setattr(determinism, "_required", False)
    determinism.require()
    yield
    torch.use_deterministic_algorithms(False)
    torch.set_num_threads(threads)


def benchmarked(recipe: Path, out: Path, workers: int, threads: int) -> Path:
    """Carry a recipe out in a process of its own, which would use so many threads if it was not told otherwise."""
    command = [sys.executable, "-m", "occface", "benchmark", str(recipe), "--out", str(out), "--device", "cpu", "-q"]
    done = subprocess.run(
        [*command, "--workers", str(workers), "--deterministic"],
        env=os.environ | {"OMP_NUM_THREADS": str(threads)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return out


def scores(folder: Path) -> pd.DataFrame:
    listed = json.loads((folder / "scores" / "files.json").read_text())["scores"]
    rows = pd.concat([pd.read_csv(folder / "scores" / name, dtype=str) for name in sorted(listed)], ignore_index=True)
    return rows.drop(columns="seconds")


def test_two_runs_are_the_same_bits_with_other_numbers_of_workers_and_threads(tmp_path, faces_folder):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(RECIPE.format(faces=faces_folder))
    one = benchmarked(recipe, tmp_path / "one", workers=1, threads=1)
    two = benchmarked(recipe, tmp_path / "two", workers=2, threads=2)
    made = sorted(path.relative_to(one) for kind in ("*.h5", "weights.safetensors") for path in one.rglob(kind))
    assert [path.suffix for path in made] == [".h5", ".safetensors", ".safetensors"]
    for path in made:
        assert (one / path).read_bytes() == (two / path).read_bytes(), path
    assert len(scores(one)) == 4
    pd.testing.assert_frame_equal(scores(one), scores(two))
    card = json.loads((one / made[-1]).with_name("weights.json").read_text())
    assert card["deterministic"] is True


@pytest.mark.parametrize("name", ["make-dataset", "train", "benchmark", "demo", "restore", "edit"])
def test_every_command_that_computes_takes_it(name, monkeypatch):
    asked = []
    monkeypatch.setattr(determinism, "require", lambda: asked.append(name))
    command = main.commands[name]
    context = click.Context(command)
    for option in command.get_params(context):
        if option.name == "deterministic":
            option.handle_parse_result(context, {"deterministic": True}, [])
    assert asked == [name]


def state(_: int) -> tuple[bool, bool, int]:
    return determinism.is_required(), torch.are_deterministic_algorithms_enabled(), torch.get_num_threads()


def test_workers_compute_as_repeatably_as_who_gave_them_the_work(repeatable):
    assert set(ordered_map(state, [0, 1], workers=2)) == {(True, True, 1)}


def test_an_operation_that_is_not_repeatable_is_refused_in_one_line(repeatable, monkeypatch, tmp_path):
    def asks_torch(*_):
        torch.zeros(4).put_(torch.tensor([1]), torch.ones(1))  # which of equal places is written last is chance

    monkeypatch.setattr(info, "inspect", asks_torch)
    result = CliRunner().invoke(main, ["info", str(tmp_path)])
    assert result.exit_code == 1
    assert result.stderr.startswith("occface: --deterministic was asked for, but put_ has no form on this device")
    assert result.stderr.count("\n") == 1


def test_other_errors_are_left_as_they_are():
    assert determinism.refusal(RuntimeError("out of memory")) is None
    assert determinism.refusal(ValueError("x does not have a deterministic implementation")) is None
