import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import safetensors.torch
import torch

from occface.dataset.reader import DatasetFile
from occface.errors import UsageError
from occface.training.devices import fabric, processes_asked_for
from occface.training.loop import TrainingOptions, train

PROGRAM = str(Path(__file__).with_name("toy_run.py"))
STARTED = {"RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "NODE_RANK", "MASTER_ADDR", "MASTER_PORT"}
GENTLE = {"lr_discriminator": 1e-5, "lr_alone": 1e-4, "lr_joint": [1e-4, 1e-4, 1e-4]}


def environment():
    kept = {name: value for name, value in os.environ.items() if name not in STARTED}
    return kept | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), *sys.path])}


def asked(name, data, folder, options, **more):
    return json.dumps({"name": name, "data": str(data), "folder": str(folder), "preset": "test", "options": options} | more)


def run(*command):
    return subprocess.run(command, capture_output=True, text=True, env=environment(), timeout=280)


def records(folder):
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return {line["step"]: line for line in lines if "phase" in line}


def weights(folder):
    return safetensors.torch.load_file(folder / "weights.safetensors")


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_two_processes_with_half_the_batch_each_follow_one(tmp_path, dataset_path):
    # Gentle rates: Adam's first steps are as long where a gradient is mere rounding, and a GAN does not forget that.
    lengths = {"steps_1": 20, "steps_2": 18, "steps_3": 12}
    norms = {norm: lengths | GENTLE | {"norm": norm} for norm in ("batch", "none")}
    both = [
        asked("pro-uigan", dataset_path, tmp_path / f"two-{norm}", {"devices": 2, "log_every": 1}, settings=settings)
        for norm, settings in norms.items()
    ]
    done = run(sys.executable, PROGRAM, *both)
    assert done.stdout.split() == ["True", "True"], done.stderr  # said by one of them
    for norm, settings in norms.items():
        options = TrainingOptions(device="cpu", precision="32", seed=3, log_every=1)
        train("pro-uigan", DatasetFile(dataset_path), tmp_path / norm, "test", settings, options)
        one, two = records(tmp_path / norm), records(tmp_path / f"two-{norm}")
        assert len(one) == len(two) == 50
        for step, record in one.items():
            losses = {name: value for name, value in record.items() if "/" in name and not name.startswith("lr/")}
            assert losses
            assert losses == pytest.approx({name: two[step][name] for name in losses}, abs=1e-3), step


def test_from_the_command_line_and_from_torchrun_alike(tmp_path, dataset_path):
    command = ["-m", "occface", "train", "pro-uigan", "--data", str(dataset_path), "--preset", "test", "--device", "cpu"]
    command += ["--precision", "32", "--json", "--out"]
    ours = run(sys.executable, *command, str(tmp_path / "ours"), "--devices", "2")
    assert json.loads(ours.stdout)["finished"], ours.stderr  # one object: one of the processes printed
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    theirs = run(*launcher, *command, str(tmp_path / "theirs"))
    assert theirs.returncode == 0, theirs.stderr
    assert same(weights(tmp_path / "ours"), weights(tmp_path / "theirs"))
    assert json.loads((tmp_path / "ours" / "weights.json").read_text())["devices"] == 2


def test_an_error_stops_all_with_one_line(tmp_path, dataset_path):
    options = {"devices": 2, "log_every": 2}
    done = run(sys.executable, PROGRAM, asked("toy", dataset_path, tmp_path / "run", options, settings={"explode_at": 1}))
    assert done.returncode == 1
    assert done.stderr.count("no longer a finite number at step 8") == 1
    assert torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)["step"] == 6


def test_killed_and_resumed_two_processes_equal_those_that_were_not(tmp_path, dataset_path):
    often = {"devices": 2, "log_every": 2, "checkpoint_seconds": 0}
    cut, settings = tmp_path / "cut", {"steps": 40}
    process = subprocess.Popen(
        [sys.executable, PROGRAM, asked("toy", dataset_path, cut, often, settings=settings)],
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    )
    deadline = time.monotonic() + 240
    while not (cut / "checkpoint.pt").exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert not (cut / "weights.safetensors").exists()
    went_on = asked("toy", dataset_path, cut, often, settings=settings, resume=True)
    whole = asked("toy", dataset_path, tmp_path / "whole", often, settings=settings)
    done = run(sys.executable, PROGRAM, went_on, whole)
    assert done.stdout.split() == ["True", "True"], done.stderr
    assert same(weights(tmp_path / "whole"), weights(cut))


def test_what_torchrun_started_counts(monkeypatch):
    assert processes_asked_for(2, 3) == (2, 3)
    for name, value in {"TORCHELASTIC_RUN_ID": "x", "WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    assert processes_asked_for(1, 1) == (2, 2)
    assert processes_asked_for(4, 1) == (4, 1)
    with pytest.raises(UsageError, match="torchrun started 4 processes, but --devices 3 and --nodes 1 ask for 3"):
        processes_asked_for(3, 1)


def test_several_devices_are_not_one_with_a_number():
    with pytest.raises(UsageError, match="unknown device"):
        fabric("cpux", "32-true", 2)
    with pytest.raises(UsageError, match="at least one device"):
        fabric("cpu", "32-true", 0)
