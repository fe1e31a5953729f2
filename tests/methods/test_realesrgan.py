import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from occface.errors import UsageError
from occface.methods.realesrgan import ROUTES, RealESRGAN
from occface.presets import describe_preset


class Blocks(torch.nn.Module):
    """Four times larger by repeating pixels, and remembers what it was given."""

    def __init__(self):
        super().__init__()
        self.given = []

    def forward(self, x):
        self.given.append(x)
        return F.interpolate(x, scale_factor=4, mode="nearest") * 1.5 - 0.25  # beyond [0, 1]


@pytest.fixture
def lr():
    return torch.from_numpy(np.random.default_rng(0).random((3, 3, 16, 16), dtype=np.float32)) * 2 - 1


@pytest.mark.parametrize(("route", "sides"), [("bicubic-x4", [32]), ("x4-bicubic", [16]), ("x4-x4", [16, 64])])
def test_each_route_ends_at_128_within_the_range(lr, route, sides):
    network = Blocks()
    made = RealESRGAN.build("cpu", {"route": route}).hallucinate({"lr": lr}, network)
    assert made.shape == (3, 3, 128, 128)
    assert made.dtype == torch.float32
    assert made.min() >= -1
    assert made.max() <= 1
    assert [given.shape[-1] for given in network.given] == sides
    for given in network.given:
        assert given.min() >= 0  # the network's range is [0, 1]
        assert given.max() <= 1
    # The face is still there: its 8x8 means follow the thumbnail's pixels.
    means = F.avg_pool2d(made, 8)
    assert torch.corrcoef(torch.stack([means.flatten(), lr.flatten()]))[0, 1] > 0.9


def test_the_default_route_enlarges_by_pillows_bicubic_first(lr):
    network = Blocks()
    RealESRGAN.build("cpu").hallucinate({"lr": lr[:1]}, network)
    channel = Image.fromarray(((lr[0, 0] + 1) / 2).numpy())
    expected = np.asarray(channel.resize((32, 32), Image.Resampling.BICUBIC)).clip(0, 1)
    np.testing.assert_allclose(network.given[0][0, 0].numpy(), expected, atol=1e-5)


def test_how_many_faces_at_once_changes_nothing(lr):
    network = Blocks()
    alone = RealESRGAN.build("cpu", {"faces_at_once": 1}).hallucinate({"lr": lr}, network)
    assert len(network.given) == 3
    torch.testing.assert_close(alone, RealESRGAN.build("cpu", {"faces_at_once": 8}).hallucinate({"lr": lr}, network))


def test_the_published_weights_restore_a_smooth_picture():
    """A slow ramp of colour is a natural picture without edges: what comes out is nearly the ramp."""
    ramp = torch.linspace(-0.6, 0.6, 128).expand(1, 3, 128, 128)
    lr = F.interpolate(ramp, size=(16, 16), mode="bilinear", antialias=True)
    made = RealESRGAN.build("cpu", {"route": "x4-bicubic"}).hallucinate({"lr": lr})
    assert (made - ramp)[..., 8:-8, 8:-8].abs().mean() < 0.06


def test_its_fingerprint_is_the_hash_of_the_weights():
    hashes = RealESRGAN.build("cpu").fingerprint()["weights"]
    assert [len(value) for value in hashes.values()] == [64, 64]


def test_settings_that_cannot_be_are_one_line():
    with pytest.raises(UsageError, match="did you mean 'x4-x4'"):
        RealESRGAN.build("cpu", {"route": "x4x4"})
    with pytest.raises(UsageError, match=r"'faces_at_once' .* must be 1 or more"):
        RealESRGAN.build("cpu", {"faces_at_once": 0})
    assert RealESRGAN.build("cpu").config["route"] in ROUTES


def test_its_cost_is_counted_without_its_weights(monkeypatch):
    monkeypatch.setattr("occface.assets.find", lambda name: None)
    facts = describe_preset("real-esrgan", "paper")
    block = sum((64 + 32 * number) * 32 for number in range(4)) + (64 + 32 * 4) * 64
    small = 3 * 64 + 23 * 3 * block + 64 * 64  # at 32x32, where the trunk runs
    large = 64 * 64 * (64**2 + 2 * 128**2) + 64 * 3 * 128**2
    assert facts.macs["total"] == 9 * (small * 32**2 + large)
