"""Exported files, run by the runtimes that they are for."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from occface.cli import main
from occface.errors import OccfaceError, UsageError
from occface.exporting import Exportable, export
from occface.methods import METHODS
from occface.methods.weights import load_method, save_weights


@pytest.fixture(scope="module")
def run_of(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")

    def make(name):
        if not (folder / name).exists():
            torch.manual_seed(0)
            method = METHODS.get(name).build("test")
            save_weights(folder / name, method.generator, {"method": name, "preset": "test", "config": method.config})
        return folder / name

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


def test_an_inpainter_with_noise_of_its_own_is_refused(run_of, tmp_path):
    """GFC fills holes with noise of a seeded generator."""
    assert Exportable(load_method(run_of("gfc")).method).inputs == ("image", "mask")
    with pytest.raises(OccfaceError, match="'gfc' cannot be exported as torchscript"):
        export(run_of("gfc"), tmp_path / "a", "torchscript")


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
    assert "takes lr (batch, 3, 16, 16)" in CliRunner().invoke(main, [*asked, "--overwrite"]).stdout


def test_what_cannot_be_exported(run_of, tmp_path, monkeypatch):
    with pytest.raises(UsageError, match="did you mean 'onnx'"):
        export(run_of("gfc"), tmp_path / "a", "onxx")
    with pytest.raises(UsageError, match="expected a run folder"):
        export(tmp_path / "none", tmp_path / "a")
    with pytest.raises(UsageError, match="'fan' makes no faces"):
        export(run_of("fan"), tmp_path / "a")

    def fails(*args, **kwargs):
        raise RuntimeError("no such operator\nmore lines")

    monkeypatch.setattr(torch.jit, "trace", fails)
    with pytest.raises(OccfaceError, match=r"'gfc' cannot be exported as torchscript: no such operator$"):
        export(run_of("gfc"), tmp_path / "a", "torchscript")
    assert not (tmp_path / "a").exists()
