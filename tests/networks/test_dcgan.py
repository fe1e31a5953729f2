"""DCGAN: its pictures against a pass written out from the file's numbers, and files that are not its own."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from occface import assets
from occface.errors import AssetError
from occface.networks.dcgan import DCGAN


@pytest.fixture(scope="module")
def paths():
    return assets.pull("dcgan")


def spread(x, kernel, stride, padding):
    """A transposed convolution: zeros between the pixels, then a plain convolution with the kernel turned round."""
    apart = x.new_zeros(*x.shape[:2], *(stride * (n - 1) + 1 for n in x.shape[2:]))
    apart[:, :, ::stride, ::stride] = x
    return F.conv2d(apart, kernel.flip(2, 3).transpose(0, 1), padding=kernel.shape[2] - 1 - padding)


def test_pictures_are_those_of_the_files_numbers(paths):
    state = torch.load(paths["weights.tar"], map_location="cpu", weights_only=True)["netG_state_dict"]
    z = torch.from_numpy(np.random.default_rng(0).standard_normal((2, 100), dtype=np.float32))
    x = z[:, :, None, None]
    for number in (0, 3, 6, 9):
        x = spread(x, state[f"main.{number}.weight"], *((1, 0) if number == 0 else (2, 1)))
        norm = {
            name: state[f"main.{number + 1}.{name}"][:, None, None]
            for name in ("weight", "bias", "running_mean", "running_var")
        }
        x = (x - norm["running_mean"]) / (norm["running_var"] + 1e-5).sqrt() * norm["weight"] + norm["bias"]
        x = x.clamp(min=0)
    expected = torch.tanh(spread(x, state["main.12.weight"], 2, 1))
    pictures = DCGAN.from_asset(paths)(z)
    assert pictures.shape == (2, 3, 64, 64)
    torch.testing.assert_close(pictures, expected, atol=1e-4, rtol=0)
    assert pictures.std() > 0.2


def test_weights_ask_for_no_gradients_and_latents_may(paths):
    network = DCGAN.from_asset(paths)
    z = torch.ones(1, 100, requires_grad=True)
    (gradient,) = torch.autograd.grad(network(z).mean(), z)
    assert gradient.abs().min() > 0
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_another_file_is_refused(tmp_path):
    torch.save({"netG_state_dict": {"main.0.weight": torch.zeros(3)}}, tmp_path / "weights.tar")
    with pytest.raises(AssetError, match=r"weights\.tar does not hold DCGAN's weights"):
        DCGAN.from_asset({"weights.tar": tmp_path / "weights.tar"})
    (tmp_path / "weights.tar").write_bytes(b"no file of torch's")
    with pytest.raises(AssetError, match="does not hold"):
        DCGAN.from_asset({"weights.tar": tmp_path / "weights.tar"})
