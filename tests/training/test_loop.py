import json
import os
import signal
import subprocess
import sys
import time

import pytest
import safetensors.torch
import torch

from occface.errors import OccfaceError, UsageError
from occface.methods import METHODS
from occface.training.loop import TrainingOptions, train

CPU = TrainingOptions(device="cpu", precision="32", seed=3, log_every=2, picture_every=4)


@pytest.fixture(autouse=True)
def toy(monkeypatch):
    from importlib import util
    from pathlib import Path

    spec = util.spec_from_file_location("toy", Path(__file__).with_name("toy.py"))
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setitem(METHODS._entries, "toy", module.Toy)


def weights(folder):
    return safetensors.torch.load_file(folder / "weights.safetensors")


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def records(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_a_run_leaves_weights_card_records_and_pictures(tmp_path, dataset):
    run = train("toy", dataset, tmp_path / "run", "test", options=CPU)
    assert run.finished
    assert (run.card["steps"], run.card["method"], run.card["data"]["faces"]) == (12, "toy", 4)
    losses = [record["generator/mse"] for record in records(run.folder) if "generator/mse" in record]
    assert losses[-1] < losses[0]
    assert {record.get("phase") for record in records(run.folder)} >= {"warm", "main"}
    assert (run.folder / "samples" / "step_0000012.png").stat().st_size > 1000
    assert (run.folder / "config.yaml").read_text().startswith("method: toy")


def test_the_same_seed_gives_the_same_weights_and_another_others(tmp_path, dataset):
    runs = [
        train("toy", dataset, tmp_path / str(number), "test", options=TrainingOptions(device="cpu", precision="32", seed=seed))
        for number, seed in enumerate((3, 3, 4))
    ]
    assert same(weights(runs[0].folder), weights(runs[1].folder))
    assert not same(weights(runs[0].folder), weights(runs[2].folder))


@pytest.mark.parametrize("stop", [2, 6, 9])
def test_stopped_and_resumed_equals_not_stopped_bit_for_bit(tmp_path, dataset, monkeypatch, stop):
    whole = train("toy", dataset, tmp_path / "whole", "test", options=CPU)
    from occface.training import loop

    taken = loop._Training._take_step

    def dies(self, phase, progress):
        if self.step == stop + 1 and not self.resumed:
            raise KeyboardInterrupt
        return taken(self, phase, progress)

    def resume(self, do=loop._Training.resume):
        self.resumed = True
        do(self)

    monkeypatch.setattr(loop._Training, "resumed", False, raising=False)
    monkeypatch.setattr(loop._Training, "resume", resume)
    monkeypatch.setattr(loop._Training, "_take_step", dies)
    often = TrainingOptions(device="cpu", precision="32", seed=3, log_every=2, picture_every=4, checkpoint_seconds=0)
    with pytest.raises(KeyboardInterrupt):
        train("toy", dataset, tmp_path / "cut", "test", options=often)
    run = train("toy", dataset, tmp_path / "cut", "test", options=often, resume=True)
    assert run.finished
    assert same(weights(whole.folder), weights(run.folder))
    steps = [record["step"] for record in records(run.folder) if "generator/mse" in record]
    assert steps == sorted(set(steps))


def test_killed_at_any_moment_it_goes_on(tmp_path, dataset_path):
    command = [sys.executable, "-m", "occface", "train", "pro-uigan", "--data", str(dataset_path), "--preset", "test"]
    command += ["--device", "cpu", "--precision", "32", "--set", "steps_3=30", "--out"]
    subprocess.run([*command, str(tmp_path / "whole")], check=True, capture_output=True)
    process = subprocess.Popen([*command, str(tmp_path / "cut")], start_new_session=True, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 90
    while not (tmp_path / "cut" / "checkpoint.pt").exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert (tmp_path / "cut" / "checkpoint.pt").exists()
    assert not (tmp_path / "cut" / "weights.safetensors").exists()
    subprocess.run([*command, str(tmp_path / "cut"), "--resume"], check=True, capture_output=True)
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "cut"))


def test_max_minutes_stops_with_weights_to_use_and_a_place_to_go_on_from(tmp_path, dataset):
    short = TrainingOptions(device="cpu", precision="32", seed=3, max_minutes=1e-9)
    run = train("toy", dataset, tmp_path / "run", "test", options=short)
    assert not run.finished
    assert run.card["steps"] == 1
    done = train("toy", dataset, tmp_path / "run", "test", options=CPU, resume=True)
    assert done.finished
    assert same(weights(done.folder), weights(train("toy", dataset, tmp_path / "whole", "test", options=CPU).folder))


def test_a_loss_that_is_no_number_stops_and_the_last_good_checkpoint_is_kept(tmp_path, dataset):
    with pytest.raises(OccfaceError, match=r"generator/mse is no longer a finite number at step 8; .*kept"):
        train("toy", dataset, tmp_path / "run", "test", {"explode_at": 1}, CPU)
    state = torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)
    assert state["step"] == 6
    assert all(torch.isfinite(value).all() for value in state["method"].values())


def test_a_run_is_not_written_over_and_not_gone_on_with_otherwise(tmp_path, dataset):
    train("toy", dataset, tmp_path / "run", "test", options=CPU)
    with pytest.raises(UsageError, match="holds a run already"):
        train("toy", dataset, tmp_path / "run", "test", options=CPU)
    with pytest.raises(UsageError, match="started with another config"):
        train("toy", dataset, tmp_path / "run", "test", {"rate": 0.1}, CPU, resume=True)
    (tmp_path / "run" / "notes.txt").write_text("mine")
    assert train("toy", dataset, tmp_path / "run", "test", {"rate": 0.1}, CPU, overwrite=True).finished
    assert (tmp_path / "run" / "notes.txt").read_text() == "mine"


def test_a_wrong_request_to_overwrite_removes_nothing(tmp_path, dataset):
    run = train("toy", dataset, tmp_path / "run", "test", options=CPU)
    with pytest.raises(UsageError):
        train("toy", dataset, tmp_path / "run", "test", options=TrainingOptions(device="cuda:7"), overwrite=True)
    assert weights(run.folder)


def test_without_a_checkpoint_there_is_nothing_to_resume(tmp_path, dataset):
    with pytest.raises(UsageError, match="nothing to resume"):
        train("toy", dataset, tmp_path / "run", "test", options=CPU, resume=True)


def test_weights_that_are_no_numbers_do_not_replace_the_last_good_checkpoint(tmp_path, dataset, monkeypatch):
    from occface.training import loop

    taken = loop._Training._take_step

    def breaks_a_weight(self, phase, progress):
        terms = taken(self, phase, progress)
        if phase.name == "main":
            self.method.generator[0].weight.data[0] = float("inf")
        return terms

    monkeypatch.setattr(loop._Training, "_take_step", breaks_a_weight)
    often = TrainingOptions(device="cpu", precision="32", seed=3, checkpoint_seconds=0)
    with pytest.raises(OccfaceError, match=r"the weight generator\.0\.weight is no longer a finite number"):
        train("toy", dataset, tmp_path / "run", "test", options=often)
    state = torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)
    assert all(torch.isfinite(value).all() for value in state["method"].values())


def test_a_checkpoint_that_cannot_be_written_is_one_line(tmp_path, dataset, monkeypatch):
    from occface import files

    def full(path, data):
        raise files._explain(path, OSError(28, "No space left on device"))

    monkeypatch.setattr(files, "write_bytes", full)
    with pytest.raises(OccfaceError, match="No space left") as caught:
        train("toy", dataset, tmp_path / "run", "test", options=CPU)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"name": "toi"}, "did you mean 'toy'"),
        ({"name": "bicubic"}, "nothing to learn"),
        ({"preset": "tst"}, "did you mean 'test'"),
        ({"settings": {"rat": 1}}, "did you mean 'rate'"),
        ({"settings": {"batch_size": 0}}, "cannot be 0"),
        ({"settings": {"rate": "nan"}}, "cannot be 'nan'"),
        ({"settings": {"steps": -1}}, "cannot be -1"),
        ({"options": TrainingOptions(device="cuda:7")}, "not on this machine"),
        ({"options": TrainingOptions(device="gpu")}, "unknown device 'gpu'"),
        ({"options": TrainingOptions(device="cpu", precision="8")}, "unknown precision '8'"),
    ],
)
def test_a_wrong_request_is_one_line_and_leaves_nothing(tmp_path, dataset, request_, message):
    asked = {"name": "toy", "preset": "test", "options": CPU, **request_}
    with pytest.raises(UsageError, match=message):
        train(data=dataset, folder=tmp_path / "run", **asked)
    assert not (tmp_path / "run").exists()


def test_tensorboard_files_are_written_when_asked_for(tmp_path, dataset):
    options = TrainingOptions(device="cpu", precision="32", tensorboard=True)
    run = train("toy", dataset, tmp_path / "run", "test", options=options)
    assert list((run.folder / "tensorboard").glob("events.*"))
