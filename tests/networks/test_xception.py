from __future__ import annotations

import json

import h5py
import numpy as np
import pytest
import torch
from scipy.signal import correlate2d

from occface import assets
from occface.errors import AssetError
from occface.networks.xception import MiniXception


@pytest.fixture(scope="module")
def path():
    return assets.pull("expression")["emotion_model.hdf5"]


@pytest.fixture(scope="module")
def network(path) -> MiniXception:
    return MiniXception.from_keras(path)


def same(x: np.ndarray, kernel: int, stride: int, value: float) -> np.ndarray:
    """Pad as TensorFlow's documentation has it."""
    pads = []
    for size in x.shape[:2]:
        total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        pads.append((total // 2, total - total // 2))
    return np.pad(x, (*pads, (0, 0)), constant_values=value)


def conv(x: np.ndarray, kernel: np.ndarray, padding: str, stride: int) -> np.ndarray:
    if padding == "same":
        x = same(x, kernel.shape[0], stride, 0.0)
    planes = [
        sum(correlate2d(x[..., i], kernel[..., i, o], "valid") for i in range(x.shape[2])) for o in range(kernel.shape[3])
    ]
    return np.stack(planes, axis=-1)[::stride, ::stride]


def keras_run(path, x: np.ndarray) -> np.ndarray:
    """Run the graph that the file itself describes, (64, 64, 1) -> (7,), layer by layer in float64."""
    with h5py.File(path) as file:
        layers = json.loads(file.attrs["model_config"])["config"]["layers"]
        weights = {}

        def collect(name: str, item: object) -> None:
            if isinstance(item, h5py.Dataset):
                layer, *_, array = name.split("/")
                weights[layer, array] = np.asarray(item, np.float64)

        file.get("model_weights", file).visititems(collect)
    done = {}
    for layer in layers:
        name, kind, config = layer["name"], layer["class_name"], layer["config"]
        inputs = [done[node[0]] for node in layer["inbound_nodes"][0]] if layer["inbound_nodes"] else [x]
        y = inputs[0]
        if kind == "Conv2D":
            y = conv(y, weights[name, "kernel:0"], config["padding"], config["strides"][0])
            y = y + weights.get((name, "bias:0"), 0.0)
        elif kind == "SeparableConv2D":
            depth = weights[name, "depthwise_kernel:0"]
            padded = same(y, 3, 1, 0.0)
            y = np.stack([correlate2d(padded[..., i], depth[..., i, 0], "valid") for i in range(y.shape[2])], axis=-1)
            y = y @ weights[name, "pointwise_kernel:0"][0, 0]
        elif kind == "BatchNormalization":
            scale = weights[name, "gamma:0"] / np.sqrt(weights[name, "moving_variance:0"] + config["epsilon"])
            y = (y - weights[name, "moving_mean:0"]) * scale + weights[name, "beta:0"]
        elif kind == "MaxPooling2D":
            windows = np.lib.stride_tricks.sliding_window_view(same(y, 3, 2, -np.inf), (3, 3), axis=(0, 1))
            y = windows.max(axis=(3, 4))[::2, ::2]
        elif kind == "Add":
            y = sum(inputs)
        elif kind == "GlobalAveragePooling2D":
            y = y.mean((0, 1))
        elif kind == "Activation":
            y = np.maximum(y, 0) if config["activation"] == "relu" else np.exp(y) / np.exp(y).sum()
        else:
            assert kind == "InputLayer"
        done[name] = y
    return done[layers[-1]["name"]]


def test_scores_are_those_of_the_graph_in_the_file(path, network):
    x = np.random.default_rng(0).uniform(-1, 1, (64, 64, 1))
    x[16:48, 8:40] *= 0.2
    with torch.no_grad():
        scores = network(torch.from_numpy(x.transpose(2, 0, 1)[None]).float()).softmax(1)[0].numpy()
    np.testing.assert_allclose(scores, keras_run(path, x), atol=1e-5)
    assert scores.max() < 0.999, "one class alone would hide differences"


def test_faces_of_a_batch_do_not_mix(network):
    x = torch.randn(2, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(network(x), torch.cat([network(x[:1]), network(x[1:])]), atol=1e-5, rtol=0)


def test_it_has_the_published_size(network):
    assert sum(parameter.numel() for parameter in network.parameters()) == pytest.approx(56_000, rel=0.05)


@pytest.mark.parametrize("shape", [(1, 1, 48, 48), (1, 3, 64, 64), (64, 64)])
def test_other_shapes_are_refused(network, shape):
    with pytest.raises(ValueError, match="expected faces of shape"):
        network(torch.zeros(shape))


def test_other_files_are_refused(tmp_path):
    (tmp_path / "text.hdf5").write_text("no HDF5")
    with h5py.File(tmp_path / "other.hdf5", "w") as file:
        file["something"] = np.zeros(3)
    for name in ("text.hdf5", "other.hdf5"):
        with pytest.raises(AssetError, match="does not hold mini-XCEPTION's weights"):
            MiniXception.from_keras(tmp_path / name)
