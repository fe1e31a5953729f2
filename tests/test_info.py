"""One command for files and presets: which of them is meant, and what it prints."""

from __future__ import annotations

import json

import pytest
import yaml
from click.testing import CliRunner

from occface.cli import main
from occface.errors import UsageError
from occface.info import FileFacts, describe, inspect, verify
from occface.methods.gfc import GFC
from occface.methods.weights import save_weights
from occface.presets import MethodFacts, PresetFacts


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights") / "run"
    method = GFC.build("test")
    save_weights(folder, method.generator, {"method": "gfc", "preset": "test", "config": method.config})
    return folder


def info(*arguments):
    return CliRunner().invoke(main, ["info", *map(str, arguments)])


def test_weights_are_described_by_their_card(run_folder):
    said = describe(run_folder)
    assert said["parameters"] == sum(parameter.numel() for parameter in GFC.build("test").generator.parameters())
    assert said["schema"] == 1
    assert yaml.safe_load(info(run_folder).stdout) == said == json.loads(info(run_folder, "--json").stdout)


def test_a_data_set_is_described_as_before(dataset_path):
    said = json.loads(info(dataset_path, "--json").stdout)
    assert said["faces"] == {"train": 4, "test": 2}
    assert said == json.loads(json.dumps(describe(dataset_path)))


def test_a_preset_and_a_method_are_described(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert isinstance(inspect("pro-uigan"), MethodFacts)
    assert isinstance(inspect("gfc:test"), PresetFacts)
    said = json.loads(info("pro-uigan:test+p-fp", "--json").stdout)
    assert (said["method"], said["preset"]) == ("pro-uigan", "test+p-fp")
    assert said["macs"]["total"] > 0
    assert "pro-uigan:test+p-fp, role joint" in info("pro-uigan:test+p-fp").stdout
    assert info("gfc").stdout.split()[:2] == ["preset", "parameters"]
    assert len(json.loads(info("gfc", "--json").stdout)["rows"]) == 5


def test_a_path_that_exists_comes_first(tmp_path, monkeypatch, run_folder):
    monkeypatch.chdir(tmp_path)
    for name in ("gfc", "gfc:test"):
        (tmp_path / name).symlink_to(run_folder)
        assert isinstance(inspect(name), FileFacts)
        (tmp_path / name).unlink()
        assert not isinstance(inspect(name), FileFacts)


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("pro-uign", "no method 'pro-uign': did you mean 'pro-uigan'?"),
        ("pro-uign:paper", "there is no file pro-uign:paper and no method 'pro-uign': did you mean 'pro-uigan'?"),
        ("pro-uigan:papr", "did you mean 'paper'?"),
        ("faces.h5", "expected a data set, weights, a run folder or METHOD[:PRESET]"),
        ("", "expected a data set"),
    ],
)
def test_what_is_neither_is_one_line(tmp_path, monkeypatch, what, said):
    monkeypatch.chdir(tmp_path)
    result = info(what)
    assert result.exit_code == 2
    assert said in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert result.stdout == ""


def test_whole_and_damaged_weights(tmp_path, run_folder):
    assert verify(run_folder) == []
    for name in ("weights.safetensors", "weights.json"):
        (tmp_path / name).write_bytes((run_folder / name).read_bytes())
    with open(tmp_path / "weights.safetensors", "ab") as handle:
        handle.write(b"x")
    (wrong,) = verify(tmp_path)
    assert "damaged, or not the file of its card" in wrong
    with pytest.raises(UsageError, match="expected a data set"):
        verify(tmp_path / "none.h5")
