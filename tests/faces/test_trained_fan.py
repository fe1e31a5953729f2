"""A trained FAN as the landmark detector of LR faces: what it finds, what it refuses."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from occface.cli import main
from occface.dataset.reader import DatasetFile
from occface.dataset.verify import verify
from occface.errors import UsageError
from occface.faces.trained_fan import TrainedFanLandmarks, named
from occface.methods.fan import FanMethod
from occface.methods.weights import save_weights


@pytest.fixture
def run(tmp_path):
    """A run folder, and the method that was saved in it."""
    torch.manual_seed(1)
    method = FanMethod.build("test")
    for name, buffer in method.generator.named_buffers():  # so that the mode of its normalisation shows
        if name.endswith("running_var"):
            buffer.fill_(0.5)
    save_weights(tmp_path, method.generator, {"method": "fan", "config": method.config})
    return tmp_path, method


def test_it_finds_what_the_method_finds(run):
    folder, method = run
    lr = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    images = torch.from_numpy(lr).permute(2, 0, 1)[None].float() / 127.5 - 1
    wanted = method.landmarks_of(images)[0].numpy()
    for path in (folder, folder / "weights.safetensors"):
        found = TrainedFanLandmarks.open(path).on_lr(lr)
        assert (found.shape, found.dtype) == ((68, 2), np.float32)
        np.testing.assert_allclose(found, wanted, atol=1e-3)
    turned = TrainedFanLandmarks.open(folder).on_lr(lr[:, ::-1])  # a view that torch cannot take as it is
    assert not np.allclose(turned, wanted, atol=0.1)


def test_it_is_light_and_known_by_its_weights(run, tmp_path):
    folder, _ = run
    trained = named(f"fan:{folder}")
    assert pickle.loads(pickle.dumps(trained)) == trained
    assert len(pickle.dumps(trained)) < 600
    card = json.loads((folder / "weights.json").read_text())
    assert trained.describe() == {"method": "fan", "sha256": card["sha256"]}
    assert not any(parameter.requires_grad for parameter in trained.network().parameters())
    assert not trained.network().training
    assert named("dlib") == "dlib"


def test_other_weights_are_refused(run):
    folder, method = run
    with pytest.raises(UsageError, match="occface train fan"):
        TrainedFanLandmarks.open(folder / "elsewhere")
    save_weights(folder, method.generator, {"method": "gfc", "config": method.config})
    with pytest.raises(UsageError, match="got 'gfc'"):
        TrainedFanLandmarks.open(folder)
    save_weights(folder, method.generator, {"method": "fan", "config": method.config | {"width": 32}})
    with pytest.raises(UsageError, match="no network of method 'fan'"):
        TrainedFanLandmarks.open(folder)
    save_weights(folder, method.generator, {"method": "fan", "config": {}})
    with pytest.raises(UsageError, match="no network of method 'fan'"):
        TrainedFanLandmarks.open(folder)


def test_weights_that_were_changed_are_refused(run):
    folder, method = run
    trained = TrainedFanLandmarks.open(folder)
    path = folder / "weights.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(UsageError, match="damaged"):
        TrainedFanLandmarks.open(folder)
    with torch.no_grad():
        next(method.generator.parameters()).add_(1)
    save_weights(folder, method.generator, {"method": "fan", "config": method.config})
    other = TrainedFanLandmarks.open(folder)  # which takes the place of the network that was kept
    assert other != trained
    with pytest.raises(UsageError, match="was replaced"):
        trained.on_lr(np.zeros((16, 16, 3), np.uint8))


def test_a_data_set_is_made_with_its_landmarks_of_lr_faces(run, tmp_path, faces_folder):
    folder, _ = run
    path = tmp_path / "faces.h5"
    options = ["--mask", "square", "--limit", "1", "--test", "0", "--workers", "1", "--lr-landmarks", f"fan:{folder}"]
    result = CliRunner().invoke(main, ["make-dataset", str(faces_folder), str(path), *options])
    assert result.exit_code == 0, result.output
    data, trained = DatasetFile(path), TrainedFanLandmarks.open(folder)
    wanted = trained.on_lr(data.stack("train", "occluded/square/lr")[0])
    np.testing.assert_array_equal(data.stack("train", "occluded/square/landmarks_lr")[0], wanted)
    assert (data.configuration["landmarker"], data.configuration["lr_landmarker"]) == ("dlib", trained.describe())
    assert str(folder) not in json.dumps(data.configuration["lr_landmarker"])
    assert verify(path) == []
