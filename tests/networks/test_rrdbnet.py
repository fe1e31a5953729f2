from __future__ import annotations

import struct

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from occface import assets
from occface.errors import AssetError
from occface.networks.ncnn import read_layers
from occface.networks.rrdbnet import RRDBNet

STEM = "REALESRGAN_X4PLUS_UP4X"


def run_graph(layers, weights, x):
    """Run an ncnn graph as its file says it, layer by layer: a reference that knows nothing of RRDBNet."""
    blobs, at = {layers[0].outputs[0]: x}, 0
    for layer in layers[1:]:
        given = [blobs[name] for name in layer.inputs]
        if layer.kind == "Split":
            result = given * len(layer.outputs)
        elif layer.kind == "Concat":
            result = [torch.cat(given, 1)]
        elif layer.kind == "BinaryOp":  # 0: add
            result = [given[0] + given[1]]
        elif layer.kind == "Eltwise":  # 1: sum, with coefficients
            assert layer.settings["0"] == "1"
            first, second = (float(text) for text in layer.settings["-23301"].split(",")[1:])
            result = [first * given[0] + second * given[1]]
        elif layer.kind == "Interp":
            assert layer.settings["0"] == "1"  # nearest
            result = [F.interpolate(given[0], scale_factor=float(layer.settings["1"]), mode="nearest")]
        else:
            count, outputs = int(layer.settings["6"]), int(layer.settings["0"])
            width = 2 if struct.unpack_from("<I", weights, at)[0] else 4
            kernel = torch.from_numpy(np.frombuffer(weights, f"<f{width}", count, at + 4).astype(np.float32))
            at += 4 + width * count
            bias = torch.from_numpy(np.frombuffer(weights, "<f4", outputs, at).copy())
            at += 4 * outputs
            value = F.conv2d(given[0], kernel.reshape(outputs, -1, 3, 3), bias, padding=int(layer.settings["4"]))
            slope = float(layer.settings["-23310"].split(",")[1]) if layer.settings.get("9") == "2" else 1.0
            result = [torch.where(value > 0, value, slope * value)]
        blobs |= dict(zip(layer.outputs, result, strict=True))
    return blobs["output"]


@pytest.fixture(scope="module")
def published():
    paths = assets.pull("real-esrgan")
    return paths, RRDBNet.from_ncnn(paths, STEM)


def test_the_published_network_gives_what_its_graph_gives(published):
    paths, network = published
    picture = torch.from_numpy(np.random.default_rng(0).random((1, 3, 3, 2), dtype=np.float32))
    with torch.no_grad():
        expected = run_graph(read_layers(paths[f"{STEM}.param"]), paths[f"{STEM}.bin"].read_bytes(), picture)
        found = network(picture)
    assert found.shape == (1, 3, 12, 8)
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=0)
    # A picture in [0, 1] stays about there, and is the picture: its 4x4 means are near its pixels.
    assert (F.avg_pool2d(found, 4) - picture).abs().mean() < 0.25


def test_ncnn_gives_the_same(published):
    ncnn = pytest.importorskip("ncnn")
    paths, network = published
    peer = ncnn.Net()
    for name in ("use_fp16_storage", "use_fp16_arithmetic", "use_fp16_packed", "use_bf16_storage"):
        setattr(peer.opt, name, False)
    peer.opt.num_threads = 1
    peer.load_param(str(paths[f"{STEM}.param"]))
    peer.load_model(str(paths[f"{STEM}.bin"]))
    picture = np.random.default_rng(1).random((3, 16, 16), dtype=np.float32)
    with torch.no_grad():
        found = network(torch.from_numpy(picture)[None])[0].numpy()
    extractor = peer.create_extractor()
    extractor.input("data", ncnn.Mat(picture))
    np.testing.assert_allclose(found, np.array(extractor.extract("output")[1]), atol=1e-4, rtol=0)


def test_it_is_the_published_size(published):
    assert sum(value.numel() for value in published[1].parameters()) == 16_697_987
    assert sum(isinstance(part, torch.nn.Conv2d) for part in published[1].modules()) == 351


def test_a_network_of_other_size_is_refused(published):
    with pytest.raises(AssetError, match="expected the 336 convolutions of RRDBNet with 22 blocks, got 351"):
        RRDBNet.from_ncnn(published[0], STEM, blocks=22)


def test_gradients_reach_every_parameter():
    torch.manual_seed(0)
    network = RRDBNet(8, 4, 1)
    network(torch.rand(1, 3, 4, 4)).square().sum().backward()
    assert all(value.grad is not None and value.grad.abs().sum() > 0 for value in network.parameters())
