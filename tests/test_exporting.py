"""Exported files, run by the runtimes that they are for."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from occface.cli import main
from occface.errors import OccfaceError, UsageError
from occface.exporting import Exportable, export
from occface.locking import working_alone
from occface.methods import METHODS
from occface.methods.weights import load_method
from tests.restoring.untrained import save_untrained


@pytest.fixture(scope="module")
def run_of(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")

    def make(name):
        return folder / name if (folder / name).exists() else save_untrained(folder, name)[name]

    return make


def by_onnx_runtime(path, inputs):
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    given = {each.name: value.numpy() for each, value in zip(session.get_inputs(), inputs, strict=True)}
    return session.run(None, given), [each.name for each in session.get_outputs()]


def test_onnx_runtime_draws_the_same_pictures_for_any_number_of_faces(run_of, tmp_path):
    done = export(run_of("pro-uigan"), tmp_path / "a.onnx")
    assert done.inputs == {"lr": ["batch", 3, 16, 16], "landmarks_lr": ["batch", 68, 2]}
    network = Exportable(load_method(run_of("pro-uigan")).method)
    for count in (1, 5):
        inputs = network.example(count, seed=1)
        found, names = by_onnx_runtime(tmp_path / "a.onnx", inputs)
        assert names == ["stage_1", "stage_2", "result"]
        for mine, theirs in zip(network(*inputs), found, strict=True):
            assert theirs.shape == tuple(mine.shape)
            np.testing.assert_allclose(theirs, mine.detach().numpy(), atol=1e-3)


def test_a_super_resolver_is_exported_too(run_of, tmp_path):
    done = export(run_of("fsrnet"), tmp_path / "a.pt", "torchscript")
    assert list(done.inputs) == ["lr"]
    network = Exportable(load_method(run_of("fsrnet")).method)
    inputs = network.example(3, seed=1)
    with torch.no_grad():
        torch.testing.assert_close(torch.jit.load(str(tmp_path / "a.pt"))(*inputs)[0], network(*inputs)[0], atol=1e-3, rtol=0)


def test_what_would_draw_other_pictures_is_not_exported(run_of, tmp_path, monkeypatch):
    kind = METHODS.get("fsrnet")
    plain = kind.hallucinate
    monkeypatch.setattr(kind, "hallucinate", lambda self, batch: plain(self, batch) * torch.rand(1))
    with pytest.raises(OccfaceError, match="'fsrnet' draws other pictures as TorchScript"):
        export(run_of("fsrnet"), tmp_path / "a.pt", "torchscript")
    assert not (tmp_path / "a.pt").exists()


@pytest.mark.parametrize("form", ["onnx", "torchscript"])
def test_the_noise_of_a_seeded_generator_is_part_of_the_file(run_of, tmp_path, form):
    """GFC fills holes with the same noise each time: the file gives what the method gives, for any number of faces."""
    path = tmp_path / "gfc"
    done = export(run_of("gfc"), path, form)
    assert list(done.inputs) == ["image", "mask"]
    method = load_method(run_of("gfc")).method
    for count in (1, 3):
        inputs = Exportable(method).example(count, seed=4)
        mine = method.hallucinate(dict(zip(("image", "mask"), inputs, strict=True)))
        if form == "onnx":
            (theirs,), _ = by_onnx_runtime(path, inputs)
        else:
            theirs = torch.jit.load(str(path))(*inputs)[0].detach().numpy()
        np.testing.assert_allclose(theirs, mine.numpy(), atol=1e-3)


def test_loggers_are_left_as_they_were(run_of, tmp_path, monkeypatch):
    pytest.importorskip("onnxscript")
    logger = logging.getLogger("torch.onnx")
    during = []

    def write(network, example, path, **options):
        during.append(logger.level)
        Path(path).write_bytes(b"onnx")

    monkeypatch.setattr(torch.onnx, "export", write)
    before = logger.level
    logger.setLevel(logging.INFO)
    try:
        export(run_of("fsrnet"), tmp_path / "a.onnx")
        assert (during, logger.level) == ([logging.ERROR], logging.INFO)
    finally:
        logger.setLevel(before)


def test_torchscript_needs_nothing_but_torch(run_of, tmp_path):
    export(run_of("pro-uigan"), tmp_path / "a.pt", "torchscript")
    network = Exportable(load_method(run_of("pro-uigan")).method)
    loaded = torch.jit.load(str(tmp_path / "a.pt"))
    for count in (1, 5):
        inputs = network.example(count, seed=2)
        with torch.no_grad():
            for mine, theirs in zip(network(*inputs), loaded(*inputs), strict=True):
                torch.testing.assert_close(theirs, mine, atol=1e-3, rtol=0)


def test_the_command(run_of, tmp_path):
    asked = ["export", str(run_of("fsrnet")), str(tmp_path / "a.pt"), "--format", "torchscript"]
    done = CliRunner().invoke(main, [*asked, "--json"])
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["outputs"] == ["result"]
    again = CliRunner().invoke(main, asked)
    assert again.exit_code == 2
    assert "exists already" in again.stderr
    with working_alone(tmp_path, "a.pt"):
        assert "another occface is at work on" in CliRunner().invoke(main, [*asked, "--overwrite"]).stderr
    assert "takes lr (batch, 3, 16, 16)" in CliRunner().invoke(main, [*asked, "--overwrite"]).stdout


def test_what_cannot_be_exported(run_of, tmp_path, monkeypatch):
    with pytest.raises(UsageError, match="did you mean 'onnx'"):
        export(run_of("gfc"), tmp_path / "a", "onxx")
    with pytest.raises(UsageError, match="expected a run folder"):
        export(tmp_path / "none", tmp_path / "a")
    with pytest.raises(UsageError, match="'fan' makes no faces"):
        export(run_of("fan"), tmp_path / "a")

    def fails(*args, **kwargs):
        try:
            raise ValueError("no such operator\nmore lines")
        except ValueError as error:
            raise RuntimeError("Failed to convert: open an issue") from error

    monkeypatch.setattr(torch.jit, "trace", fails)
    with pytest.raises(OccfaceError, match=r"'gfc' cannot be exported as torchscript: no such operator$"):
        export(run_of("gfc"), tmp_path / "a", "torchscript")
    assert not (tmp_path / "a").exists()
