"""The VGG trunks: torchvision's names and sizes, the stand-in's weights, and pools against plain arithmetic."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy import ndimage

from occface import assets
from occface.errors import AssetError, UsageError
from occface.networks.layers import BlurPool
from occface.networks.vgg import FeatureNetwork, FeatureTrunk, Judge, Trunk, load_feature_network, load_trunk


def test_names_and_sizes_are_torchvisions():
    shapes = {name: tuple(value.shape) for name, value in Trunk(17).state_dict().items()}
    assert shapes["features.0.weight"] == (64, 3, 3, 3)
    assert [int(name.split(".")[1]) for name in shapes if name.endswith("bias")] == [0, 2, 5, 7, 10, 12, 14]
    assert shapes["features.14.weight"] == (256, 256, 3, 3)
    assert sum(p.numel() for p in Trunk(17).parameters()) == pytest.approx(1.73e6, rel=0.005)
    assert sum(p.numel() for p in Trunk(14).parameters()) == pytest.approx(1.15e6, rel=0.005)


def test_normalises_with_imagenets_mean_and_deviation():
    trunk, seen = Trunk(14), []
    trunk.features[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    trunk(torch.tensor([1.0, 0.0, -1.0]).view(1, 3, 1, 1).expand(1, 3, 8, 8))
    wanted = [(1 - 0.485) / 0.229, (0.5 - 0.456) / 0.224, (0 - 0.406) / 0.225]
    assert seen[0][0, :, 3, 3].tolist() == pytest.approx(wanted, rel=1e-5)


def test_blur_pool_equals_scipy():
    x = np.random.default_rng(0).normal(size=(10, 12)).astype(np.float32)
    peaks = np.lib.stride_tricks.sliding_window_view(x, (2, 2)).max((2, 3))
    padded = np.pad(peaks, 2, mode="reflect")
    kernel = np.outer([1, 2, 1], [1, 2, 1]) / 16
    wanted = ndimage.correlate(padded, kernel)[1:-1:2, 1:-1:2]
    got = BlurPool(3)(torch.from_numpy(x).expand(1, 3, 10, 12))[0, 1].numpy()
    np.testing.assert_allclose(got, wanted, atol=1e-6)
    assert got.shape == (6, 7)


def test_is_frozen_but_lets_gradients_through():
    network = FeatureNetwork(Trunk(17), Trunk(14)).train()
    assert not network.training
    assert not any(p.requires_grad for p in network.parameters())
    images = torch.zeros(1, 3, 32, 32, requires_grad=True)
    features = network(images)
    assert [x.shape[1] for x in features.styles] == [64, 128, 256]
    assert [x.shape[2] for x in features.styles] == [16, 8, 4]
    assert features.feature.shape == (1, 256, 8, 8)
    (features.feature.sum() + features.styles[2].sum()).backward()
    assert float(images.grad.abs().max()) > 0


def test_absent_weights_are_an_error_and_never_replaced(tmp_path, monkeypatch):
    monkeypatch.setenv("OCCFACE_CACHE", str(tmp_path))
    monkeypatch.delenv("OCCFACE_ASSETS", raising=False)
    with pytest.raises(AssetError, match="occface assets pull vgg16"):
        load_feature_network("vgg19")


def test_unknown_network_is_refused_and_none_is_none():
    assert load_feature_network("none") is None
    with pytest.raises(UsageError, match="did you mean 'vgg19'"):
        load_feature_network("vgg18")


def test_vgg19_takes_features_from_19_and_style_from_16(tmp_path, monkeypatch):
    torch.manual_seed(0)
    for name, layers in (("vgg16", 17), ("vgg19", 14)):
        folder = tmp_path / name
        folder.mkdir()
        state = Trunk(layers).state_dict() | {"classifier.0.weight": torch.zeros(2, 2)}
        torch.save(state, folder / assets.ASSETS[name].files[0].name)
    monkeypatch.setenv("OCCFACE_ASSETS", str(tmp_path))
    monkeypatch.setattr(assets, "_check", lambda *_: None)
    network = load_feature_network("vgg19")
    images = torch.rand(1, 3, 32, 32)
    first = torch.load(tmp_path / "vgg19" / "vgg19-dcbb9e9d.pth", weights_only=True)["features.0.weight"]
    assert torch.equal(network.feature.features[0].weight, first)
    assert not torch.equal(network.style.features[0].weight, first)
    assert torch.equal(network(images).feature, network.feature(images)[13])
    assert torch.equal(network(images).styles[1], network.style(images)[9])


def test_stand_in_holds_the_wheels_weights_and_sees_edges():
    path = next(iter(assets.pull("stlpips-vgg").values()))
    state = torch.load(path, map_location="cpu", weights_only=True)
    network = load_feature_network("stlpips-vgg")
    assert torch.equal(network.style.features[14].weight, state["net.slice3.16.weight"])
    torch.testing.assert_close(network.style.features[4].kernel, state["net.slice2.5.filt"])
    # its own scaling of images in [-1,1] is ImageNet's, to the digits that the file keeps
    images = torch.rand(1, 3, 2, 2) * 2 - 1
    theirs = (images - state["scaling_layer.shift"]) / state["scaling_layer.scale"]
    trunk = network.style
    torch.testing.assert_close(((images + 1) / 2 - trunk.mean) / trunk.std, theirs, atol=1e-5, rtol=1e-5)
    # trained filters answer to a picture far more than to a flat grey
    checks = (torch.arange(64)[:, None] // 8 + torch.arange(64) // 8) % 2 * 2.0 - 1
    flat, picture = (network(x.expand(1, 3, 64, 64)).feature.abs().mean() for x in (torch.zeros(64, 64), checks))
    assert float(picture) > 2 * float(flat)


def _linked_assets(folder, monkeypatch, states):
    """Let the assets of these names be these states."""
    for name, state in states.items():
        (folder / name).mkdir()
        torch.save(state, folder / name / assets.ASSETS[name].files[0].name)
    monkeypatch.setenv("OCCFACE_ASSETS", str(folder))
    monkeypatch.setattr(assets, "_check", lambda *_: None)


@pytest.mark.parametrize(
    ("name", "convolutions"),
    [("vgg16", [0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28]), ("vgg19", [0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25])],
)
def test_deep_trunk_has_torchvisions_numbers(tmp_path, monkeypatch, name, convolutions):
    widths = [3, 64, 64, 128, 128, *[256] * (3 if name == "vgg16" else 4), *[512] * 6][: len(convolutions) + 1]
    state = {}
    for number, (inputs, outputs) in zip(convolutions, itertools.pairwise(widths), strict=True):
        state[f"features.{number}.weight"] = torch.randn(outputs, inputs, 3, 3) * (2 / 9 / inputs) ** 0.5
        state[f"features.{number}.bias"] = torch.zeros(outputs)
    _linked_assets(tmp_path, monkeypatch, {name: state})
    deepest = load_trunk(name, convolutions[-1] + 2, normalised=False)
    images = torch.rand(1, 3, 16, 16)
    x = images
    for number, following in itertools.pairwise([*convolutions, None]):  # gaps of 3 hold a pool
        x = torch.relu(F.conv2d(x, state[f"features.{number}.weight"], state[f"features.{number}.bias"], padding=1))
        if following == number + 3:
            x = F.max_pool2d(x, 2)
    torch.testing.assert_close(deepest(images), x)


def test_trunk_after_relu3_2_is_what_the_feature_network_sees(tmp_path, monkeypatch):
    _linked_assets(tmp_path, monkeypatch, {"vgg16": Trunk(17).state_dict(), "vgg19": Trunk(14).state_dict()})
    images = torch.rand(1, 3, 16, 16) * 2 - 1
    torch.testing.assert_close(load_trunk("vgg19", 14)(images), load_feature_network("vgg19")(images).feature)
    style_alone = load_feature_network("vgg16")(images)
    for ours, both in zip(style_alone.styles, load_feature_network("vgg19")(images).styles, strict=True):
        torch.testing.assert_close(ours, both)
    torch.testing.assert_close(style_alone.feature, load_trunk("vgg16", 14)(images))


def test_trunk_is_frozen_and_lets_gradients_through():
    trunk = FeatureTrunk(Trunk(12), gain=2.0).train()
    images = torch.rand(1, 3, 16, 16, requires_grad=True)
    features = trunk(images)
    assert features.shape == (1, 256, 4, 4)
    assert not trunk.training
    assert not any(p.requires_grad for p in trunk.parameters())
    torch.testing.assert_close(features, 2 * trunk.trunk.last(images))
    features.sum().backward()
    assert float(images.grad.abs().max()) > 0


def test_stand_ins_trunk_goes_to_relu5_3_and_no_further():
    path = next(iter(assets.pull("stlpips-vgg").values()))
    state = torch.load(path, map_location="cpu", weights_only=True)
    deep = load_trunk("stlpips-vgg", 30)
    assert torch.equal(deep.trunk.features[28].weight, state["net.slice5.32.weight"])
    assert deep(torch.zeros(1, 3, 32, 32)).shape == (1, 512, 3, 3)  # ordinary pools would make it 2x2
    images = torch.rand(1, 3, 16, 16) * 2 - 1
    network = load_feature_network("stlpips-vgg")  # another gain, the same features
    shallow = load_trunk("stlpips-vgg", 14)
    torch.testing.assert_close(shallow(images) / shallow.gain, network(images).feature / network.gain)
    for layers in (11, 31):
        with pytest.raises(UsageError, match=f"ReLU or a pool .* got {layers}"):
            load_trunk("stlpips-vgg", layers)


def test_unknown_trunk_and_layers_are_refused():
    with pytest.raises(UsageError, match="did you mean 'vgg19'"):
        load_trunk("vgg18", 14)
    with pytest.raises(UsageError, match="expected 1 to 37 layers of 'vgg19', got 38"):
        load_trunk("vgg19", 38)


def test_judge_loads_once_and_in_what_autocast_computes_in():
    asked = []

    def load(device, dtype):
        asked.append((device.type, dtype))
        return FeatureTrunk(Trunk(2)).to(dtype)

    plain, half, images = Judge(load), Judge(load), torch.rand(1, 3, 8, 8)
    assert asked == []  # nothing before a loss looks
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert half(images).dtype == torch.bfloat16
    assert torch.equal(plain(images), plain(images))
    assert asked == [("cpu", torch.bfloat16), ("cpu", torch.float32)]


def test_judge_of_no_network_is_an_error_and_no_module():
    with pytest.raises(UsageError, match="its feature network is 'none'"):
        Judge(lambda *_: None)(torch.rand(1, 3, 8, 8))
    assert not isinstance(Judge(lambda *_: None), torch.nn.Module)  # so that no state holds its weights
