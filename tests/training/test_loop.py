import itertools
import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
import safetensors.torch
import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from occface.errors import OccfaceError, UsageError
from occface.locking import working_alone
from occface.methods import METHODS
from occface.methods.weights import save_weights
from occface.training.average import RunningAverage
from occface.training.loop import TrainingOptions, train
from occface.training.run import Run

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
    taken, goes_on = Run.take_step, Run.go_on_from

    def dies(self, phase, progress, batches):
        if self.step == stop + 1 and not self.resumed:
            raise KeyboardInterrupt
        return taken(self, phase, progress, batches)

    def resume(self, state):
        self.resumed = True
        goes_on(self, state)

    monkeypatch.setattr(Run, "resumed", False, raising=False)
    monkeypatch.setattr(Run, "go_on_from", resume)
    monkeypatch.setattr(Run, "take_step", dies)
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
    cut, moments = tmp_path / "cut", random.Random(0)
    for resume in ([], ["--resume"], ["--resume"]):
        process = subprocess.Popen([*command, str(cut), *resume], start_new_session=True, stderr=subprocess.PIPE)
        deadline = time.monotonic() + 90
        started = lambda: (cut / "checkpoint.pt").exists() and locked_by_another(cut)  # noqa: E731
        while not started() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(moments.uniform(0, 0.5))
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        assert (cut / "checkpoint.pt").exists()
    if not (cut / "weights.safetensors").exists():  # else the last moment came when all was done
        subprocess.run([*command, str(cut), "--resume"], check=True, capture_output=True)
    assert same(weights(tmp_path / "whole"), weights(cut))


def locked_by_another(folder):
    try:
        with working_alone(folder):
            return False
    except UsageError:
        return True


def test_a_folder_is_one_trainings_at_a_time(tmp_path, dataset):
    with working_alone(tmp_path / "run"):
        with pytest.raises(UsageError, match=r"another occface is at work in .*run: wait"):
            train("toy", dataset, tmp_path / "run", "test", options=CPU)
        assert sorted(path.name for path in (tmp_path / "run").iterdir()) == [".lock"]
    (tmp_path / "run" / "samples").mkdir(parents=True)
    for left in ("run/.checkpoint.7.part.pt", "run/samples/.step_0000004.7.part.png"):
        (tmp_path / left).touch()
    assert train("toy", dataset, tmp_path / "run", "test", options=CPU).finished
    assert not list((tmp_path / "run").rglob(".*"))


def test_records_hold_all_rates_the_speed_since_the_last_and_scores_at_each_size(tmp_path, dataset):
    lengths = {"steps_1": 2, "steps_2": 2, "steps_3": 2}
    options = TrainingOptions(device="cpu", precision="32", log_every=1)
    run = train("pro-uigan", dataset, tmp_path / "run", "test", lengths, options)
    steps = [record for record in records(run.folder) if "phase" in record]
    assert {"lr/generator/0", "lr/generator/1", "lr/generator/2", "lr/discriminator/0"} <= steps[-1].keys()
    assert {"lr/generator/0"} == {name for name in steps[2] if name.startswith("lr/")}
    for before, record in itertools.pairwise(steps):
        took = record["seconds"] - before["seconds"]
        assert record["images_per_second"] == pytest.approx(4 / took, rel=0.1, abs=0.1)
    scores = {name for name in records(run.folder)[-1] if name.startswith("psnr_test")}
    small = {f"psnr_test/stage_{stage}{end}" for stage in (1, 2) for end in ("", "_enlarged")}
    assert scores == {"psnr_test", "psnr_test/stage_3"} | small
    assert run.card["validation"]["psnr_test"] == run.card["validation"]["psnr_test/stage_3"]


def test_batches_can_be_made_on_the_device_and_a_run_stays_there(tmp_path, dataset, monkeypatch):
    made = train("toy", dataset, tmp_path / "on", "test", options=replace(CPU, data_on="device", max_minutes=1e-9))
    assert made.card["training"]["data_on"] == "device"
    done = train("toy", dataset, tmp_path / "on", "test", options=CPU, resume=True)
    assert done.card["training"]["data_on"] == "device"
    whole = train("toy", dataset, tmp_path / "whole", "test", options=replace(CPU, data_on="device"))
    assert same(weights(done.folder), weights(whole.folder))
    with pytest.raises(UsageError, match="data_on: device there, host asked"):
        train("toy", dataset, tmp_path / "on", "test", options=replace(CPU, data_on="host"), resume=True)


def test_warp_and_colour_are_the_configurations_unless_they_are_given():
    assert TrainingOptions().augmentation({}).warp == 0
    assert TrainingOptions().augmentation({"warp": 0.5}).warp == 0.5
    varied = TrainingOptions(warp=0.0, colour=0.3).augmentation({"warp": 0.5, "colour": 1.0})
    assert (varied.warp, varied.colour) == (0, 0.3)


def test_the_average_is_torchs_with_a_decay_that_grows(tmp_path):
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 3), torch.nn.BatchNorm2d(2))
    ours = RunningAverage(network, 0.2)
    theirs = AveragedModel(network, use_buffers=True)
    for step, decay in enumerate((0.0, 1 / 10, 2 / 11, 0.2)):  # the next would be 3 / 12
        theirs.multi_avg_fn = get_ema_multi_avg_fn(decay)
        torch.manual_seed(step)
        network(torch.randn(2, 3, 8, 8))
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(torch.randn_like(parameter))
        if step == 2:
            again = RunningAverage(network, 0.2)
            again.load_state_dict(ours.state_dict())
            ours = again
        ours.update(network)
        theirs.update_parameters(network)
    expected = theirs.module.state_dict()
    for name, value in ours.network.state_dict().items():
        if value.is_floating_point():
            assert torch.equal(value, expected[name])
        else:
            assert torch.equal(value, network.state_dict()[name])


def test_networks_that_cannot_be_compiled_are_one_line(tmp_path, dataset, monkeypatch):
    compile_ = torch.compile

    def broken(graph, inputs):
        raise RuntimeError("no compiler here\nand more")

    monkeypatch.setattr(torch, "compile", lambda run, **how: compile_(run, **how, backend=broken))
    with pytest.raises(OccfaceError, match=r"could not be compiled \(.*no compiler here.*\): leave --compile out") as caught:
        train("toy", dataset, tmp_path / "run", "test", options=replace(CPU, compile=True))
    assert "\n" not in str(caught.value)


def test_compiled_networks_learn_the_same(tmp_path, dataset, monkeypatch):
    compile_ = torch.compile
    graphs = []

    def eager(graph, inputs):
        graphs.append(graph)
        return graph

    monkeypatch.setattr(torch, "compile", lambda run, **how: compile_(run, **how, backend=eager))
    plain = train("toy", dataset, tmp_path / "plain", "test", options=CPU)
    compiled = train("toy", dataset, tmp_path / "compiled", "test", options=replace(CPU, compile=True))
    assert graphs
    assert same(weights(plain.folder), weights(compiled.folder))


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


def test_a_training_can_start_from_weights_of_another(tmp_path, dataset):
    first = train("toy", dataset, tmp_path / "first", "test", options=CPU)
    still = {"rate": 0.0, "steps": 1}  # what it starts from, as nothing is learnt
    run = train("toy", dataset, tmp_path / "second", "test", still, CPU, start=first.folder)
    convolution = ("0.weight", "0.bias")
    assert all(torch.equal(weights(run.folder)[name], weights(first.folder)[name]) for name in convolution)
    assert run.card["training"]["starting_weights"] == first.card["sha256"]
    assert "starting_weights" not in first.card["training"]
    moved = train("toy", dataset, tmp_path / "third", "test", options=CPU, start=first.folder)
    assert not same(weights(moved.folder), weights(first.folder))


def test_a_run_is_gone_on_with_from_the_weights_that_it_started_from_only(tmp_path, dataset):
    first = train("toy", dataset, tmp_path / "first", "test", options=CPU)
    folder = train("toy", dataset, tmp_path / "run", "test", options=replace(CPU, max_minutes=1e-9), start=first.folder).folder
    with pytest.raises(UsageError, match=r"starting_weights: .* there, nothing asked"):
        train("toy", dataset, folder, "test", options=CPU, resume=True)
    resumed = train("toy", dataset, folder, "test", options=CPU, start=first.folder, resume=True)
    whole = train("toy", dataset, tmp_path / "whole", "test", options=CPU, start=first.folder)
    assert same(weights(resumed.folder), weights(whole.folder))


@pytest.mark.parametrize(
    ("settings", "asked", "message"),
    [
        ({}, "toy", "expected weights of 'toy' to start from, got those of 'fsrnet'"),
        ({"width": 12}, "fsrnet", "are of preset 'test' and do not fit this training: .* has the shape"),
    ],
)
def test_weights_that_do_not_fit_are_not_started_from(tmp_path, dataset, settings, asked, message):
    given = METHODS.get("fsrnet").build("test", settings)
    save_weights(tmp_path, given.generator, {"method": "fsrnet", "preset": "test", "config": given.config})
    with pytest.raises(UsageError, match=message):
        train(asked, dataset, tmp_path / "run", "test", options=CPU, start=tmp_path)
    assert not (tmp_path / "run").exists()


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


def test_killed_before_the_first_checkpoint_it_starts_from_the_beginning(tmp_path, dataset, monkeypatch):
    whole = train("toy", dataset, tmp_path / "whole", "test", options=CPU)
    with monkeypatch.context() as patched:
        patched.setattr(Run, "take_step", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            train("toy", dataset, tmp_path / "cut", "test", options=CPU)
    assert not (tmp_path / "cut" / "checkpoint.pt").exists()
    with pytest.raises(UsageError, match=r"started with another config\.rate"):
        train("toy", dataset, tmp_path / "cut", "test", {"rate": 0.5}, CPU, resume=True)
    run = train("toy", dataset, tmp_path / "cut", "test", options=CPU, resume=True)
    assert same(weights(whole.folder), weights(run.folder))


def test_weights_that_are_no_numbers_do_not_replace_the_last_good_checkpoint(tmp_path, dataset, monkeypatch):
    taken = Run.take_step

    def breaks_a_weight(self, phase, progress, batches):
        terms = taken(self, phase, progress, batches)
        if phase.name == "main":
            self.method.generator[0].weight.data[0] = float("inf")
        return terms

    monkeypatch.setattr(Run, "take_step", breaks_a_weight)
    often = TrainingOptions(device="cpu", precision="32", seed=3, checkpoint_seconds=0)
    with pytest.raises(OccfaceError, match=r"the weight generator\.0\.weight is no longer a finite number"):
        train("toy", dataset, tmp_path / "run", "test", options=often)
    state = torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)
    assert all(torch.isfinite(value).all() for value in state["method"].values())


def test_a_checkpoint_that_cannot_be_written_is_one_line(tmp_path, dataset, monkeypatch):
    from occface import files

    def full(path, data):
        raise files.unwritable(path, OSError(28, "No space left on device"))

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


def test_going_on_and_replacing_cannot_both_be_asked_for(tmp_path, dataset):
    run = train("toy", dataset, tmp_path / "run", "test", options=CPU)
    with pytest.raises(UsageError, match="give one of them"):
        train("toy", dataset, tmp_path / "run", "test", options=CPU, resume=True, overwrite=True)
    assert weights(run.folder)


def test_a_batch_that_processes_cannot_share_is_refused_before_they_start(tmp_path, dataset):
    several = TrainingOptions(device="cpu", precision="32", devices=3)
    with pytest.raises(UsageError, match="3 processes"):
        train("toy", dataset, tmp_path / "run", "test", options=several)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("name", "value"), [("step", "3"), ("step", 10**6), ("step", True), ("seconds", float("nan")), ("optimizers", [])]
)
def test_a_checkpoint_that_is_nowhere_in_the_run_is_refused(tmp_path, dataset, name, value):
    from occface.training.state import load_state, save_state

    short = TrainingOptions(device="cpu", precision="32", seed=3, max_minutes=1e-9)
    train("toy", dataset, tmp_path / "run", "test", options=short)
    checkpoint = tmp_path / "run" / "checkpoint.pt"
    state = {key: item for key, item in load_state(checkpoint).items() if key != "schema"}
    save_state(checkpoint, state | {name: value})
    with pytest.raises(UsageError, match="not one of this run"):
        train("toy", dataset, tmp_path / "run", "test", options=CPU, resume=True)
