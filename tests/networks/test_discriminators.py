"""Sizes of the discriminators against the specification's counts, and the crops they see."""

from __future__ import annotations

import pytest
import torch

from occface.networks.discriminators import centre_crop, global_discriminator, local_discriminator


@pytest.mark.parametrize(
    ("make", "size", "parameters", "patches"),
    [
        (global_discriminator, 128, 4_693_697, 8),
        (lambda: local_discriminator(64), 64, 1_149_377, 8),
        (lambda: local_discriminator(16), 16, 261_953, 4),
    ],
)
def test_counts_and_patches(make, size, parameters, patches):
    net = make()
    assert sum(p.numel() for p in net.parameters()) == parameters
    with torch.no_grad():
        assert net(torch.zeros(2, 3, size, size)).shape == (2, 1, patches, patches)


def test_crops_are_those_of_the_paper():
    images = torch.arange(128.0).expand(1, 3, 128, 128)
    assert torch.equal(centre_crop(images, 64), images[:, :, 32:96, 32:96])
    assert torch.equal(centre_crop(images[..., :32, :32], 16), images[:, :, 8:24, 8:24])
