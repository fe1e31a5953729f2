"""Checkpoints: whole, ours, of this run; or refused in one line."""

from __future__ import annotations

import os
import pickle
import warnings
import zipfile

import pytest
import torch
from torch import nn

from occface.errors import UsageError
from occface.training.state import SCHEMA, check_request, load_state, restore, save_state

STATE = {"request": {"method": "toy"}, "step": 7, "method": {"weight": torch.arange(6.0).reshape(2, 3)}, "optimizers": {}}


class Trap:
    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


@pytest.fixture
def path(tmp_path):
    save_state(tmp_path / "checkpoint.pt", STATE)
    return tmp_path / "checkpoint.pt"


def refused(call, *arguments, **named):
    """Return the one line with which a call refuses, which no warning may precede."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UsageError) as caught:
            call(*arguments, **named)
    said = str(caught.value)
    assert "\n" not in said
    assert len(said) < 600
    return said


def test_what_is_saved_is_what_is_loaded(path):
    state = load_state(path, ("request", "step"))
    assert state.keys() == STATE.keys()
    assert (state["step"], state["request"]) == (7, {"method": "toy"})
    assert torch.equal(state["method"]["weight"], STATE["method"]["weight"])
    assert torch.load(path, weights_only=True)["schema"] == SCHEMA


@pytest.mark.parametrize("form", ["torch", "legacy", "pickle", "pickle0"])
def test_a_malicious_pickle_is_told_apart_and_not_run(tmp_path, form):
    path, state = tmp_path / "checkpoint.pt", {**STATE, "schema": 1, "extra": Trap(tmp_path / "sprung")}
    if form in {"torch", "legacy"}:
        torch.save(state, path, _use_new_zipfile_serialization=form == "torch", pickle_protocol=4)
    else:
        path.write_bytes(pickle.dumps({"extra": state["extra"]}, 0 if form == "pickle0" else 5))
    assert "holds code or objects, not numbers alone" in refused(load_state, path)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("share", [0.001, 0.02, 0.1, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_damaged(path, share):
    data = path.read_bytes()
    path.write_bytes(data[: max(4, int(share * len(data)))])
    said = refused(load_state, path)
    assert "is damaged" in said
    assert "--overwrite" in said


def test_with_any_byte_flipped_it_is_loaded_or_refused_as_damaged(path):
    data = path.read_bytes()
    said = []
    for place in range(3, len(data), 41):
        path.write_bytes(data[:place] + bytes([data[place] ^ 0x5A]) + data[place + 1 :])
        try:
            load_state(path)
        except UsageError as error:  # anything else fails the test
            said.append(str(error))
    assert len(said) > 20
    assert not any("holds code" in line or "\n" in line for line in said)


def test_a_number_that_changed_on_the_disk_is_damage(path):
    data = path.read_bytes()
    number = torch.tensor(5.0).numpy().tobytes()  # the last one of the weight
    assert data.count(number) == 1
    path.write_bytes(data.replace(number, torch.tensor(5.5).numpy().tobytes()))
    assert "is damaged" in refused(load_state, path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"PK", "another kind of file"),
        (b"method: toy\nsteps: 3\n", "another kind of file"),
        (b"\x89PNG\r\n\x1a\n" + bytes(60), "another kind of file"),
        (pickle.dumps({"schema": 1, "request": {}}), "another kind of file"),
    ],
)
def test_other_files_are_refused(path, content, said):
    path.write_bytes(content)
    assert said in refused(load_state, path)


def test_another_zip_is_refused(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("notes.txt", "hello")
    assert "damaged" in refused(load_state, path)


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ([1, 2], "another kind of file"),
        (torch.zeros(3), "another kind of file"),
        (nn.Linear(2, 2).state_dict(), "another kind of file"),
        ({"request": {}, "step": 1}, "before checkpoints had a schema number"),
        ({"schema": SCHEMA + 1}, f"of schema {SCHEMA + 1}, written by a newer occface; this one reads schema {SCHEMA}"),
        ({"schema": True}, "got schema True"),
        ({"schema": "1"}, "expected a checkpoint of schema 1"),
        ({"schema": 0}, "got schema 0"),
        ({"schema": 1, "step": 1}, "lacks request"),
    ],
)
def test_states_of_another_form_are_refused(path, state, said):
    torch.save(state, path)
    assert said in refused(load_state, path, ("request", "step"))


def test_absent_and_unreadable(tmp_path):
    assert "nothing to resume" in refused(load_state, tmp_path / "none.pt")
    assert "cannot be read (Is a directory)" in refused(load_state, tmp_path)


REQUEST = {"method": "toy", "preset": "cpu", "config": {"batch_size": 4, "widths": [8, 4], "kind": "bce"}, "seed": 0}


def test_the_same_request_passes():
    assert check_request("c.pt", {**REQUEST, "config": dict(REQUEST["config"])}, REQUEST) is None


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({**REQUEST, "seed": 3}, "was started with another seed: 3 there, 0 asked; give the same"),
        ({**REQUEST, "config": {**REQUEST["config"], "batch_size": 8}}, "another config.batch_size: 8 there, 4 asked; give"),
        ({**REQUEST, "config": {**REQUEST["config"], "widths": [8, 8]}}, "config.widths: [8, 8] there, [8, 4] asked; give"),
        ({**REQUEST, "preset": "gpu", "seed": 1}, "preset: gpu there, cpu asked, seed: 1 there, 0 asked; give"),
        ({**REQUEST, "config": {"batch_size": 4, "kind": "bce"}}, "config.widths: nothing there, [8, 4] asked; give"),
        ({**REQUEST, "extra": 1}, "another extra: 1 there, nothing asked; give"),
        ({**REQUEST, "seed": True}, "seed: True there, 0 asked"),
        ({**REQUEST, "seed": torch.zeros(2)}, "another seed: "),
        ({**REQUEST, "preset": "x" * 9999}, "xxx... there, cpu asked"),
        ([], "started with another method: nothing there, toy asked, preset: nothing there, cpu asked, config.batch_size"),
    ],
)
def test_differences_are_named(found, said):
    assert said in refused(check_request, "c.pt", found, REQUEST)


def test_at_most_three_differences_are_named():
    other = {"method": "gfc", "preset": "test", "config": {"width": 4}, "seed": 0}
    said = refused(check_request, "c.pt", other, REQUEST)
    assert (
        "method: gfc there, toy asked, preset: test there, cpu asked, config.batch_size: nothing there, 4 asked, and 3 more;"
        in said
    )


def test_a_state_that_fits_is_restored(path):
    net, other = nn.BatchNorm2d(3), nn.BatchNorm2d(3)
    net.weight.data += 2
    restore(path, "method", other, net.state_dict())
    assert torch.equal(net.weight, other.weight)
    optimizer = torch.optim.Adam(net.parameters())
    net(torch.rand(1, 3, 2, 2)).sum().backward()
    optimizer.step()
    fresh = torch.optim.Adam(other.parameters())
    restore(path, "optimizer", fresh, optimizer.state_dict())
    assert torch.equal(fresh.state[other.weight]["exp_avg"], optimizer.state[net.weight]["exp_avg"])


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (nn.Linear(3, 4).state_dict(), "in its part 'method': weight has the shape (4, 3), expected (2, 3), and 1 more; start"),
        (nn.Linear(3, 2, bias=False).state_dict(), "bias is missing; start"),
        ({**nn.Linear(3, 2).state_dict(), "scale": torch.ones(1)}, "scale is not expected; start"),
        ({}, "weight is missing, and 1 more"),
        (None, "weight is missing"),
        ({"weight": 3, "bias": "x"}, "weight is missing"),
    ],
)
def test_networks_of_other_shapes_are_refused(path, values, said):
    assert said in refused(restore, path, "method", nn.Linear(3, 2), values)


def test_moments_of_other_shapes_and_other_optimizers_are_refused(path):
    def stepped(*shapes):
        parameters = [nn.Parameter(torch.ones(shape)) for shape in shapes]
        optimizer = torch.optim.Adam(parameters)
        sum(parameter.sum() for parameter in parameters).backward()
        optimizer.step()
        return optimizer

    said = refused(restore, path, "optimizers/generator", stepped((2, 3)), stepped((3, 2)).state_dict())
    assert "'optimizers/generator': exp_avg has the shape (3, 2), its parameter (2, 3)" in said
    assert "optimizers/generator" in refused(
        restore, path, "optimizers/generator", stepped((2,)), stepped((2,), (2,)).state_dict()
    )
    for nonsense in (None, {}, {"state": 3, "param_groups": 4}, {"state": {}, "param_groups": [{}]}):
        assert "does not fit" in refused(restore, path, "o", stepped((2,)), nonsense)
