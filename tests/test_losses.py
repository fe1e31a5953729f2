"""Each loss against numbers worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from occface import losses
from occface.errors import UsageError


@pytest.mark.parametrize("loss", [losses.intensity, losses.feature, losses.geometry])
def test_squared_differences_are_means(loss):
    ours, theirs = torch.zeros(2, 3, 4, 4), torch.zeros(2, 3, 4, 4)
    ours[0, 0, 0, 0] = 2.0
    assert float(loss(ours, theirs)) == pytest.approx(4 / 96)


def test_gram_by_hand():
    features = torch.tensor([[[[1.0, 2.0]], [[3.0, -1.0]]]])  # two channels, one row of two places
    wanted = torch.tensor([[[5.0, 1.0], [1.0, 10.0]]]) / 4
    torch.testing.assert_close(losses.gram(features), wanted)


def test_style_ignores_where_and_sees_what():
    features = torch.randn(2, 4, 5, 5, generator=torch.Generator().manual_seed(0))
    moved = features.flatten(2)[:, :, torch.randperm(25, generator=torch.Generator().manual_seed(1))].view_as(features)
    assert float(losses.style((features,), (moved,))) == pytest.approx(0, abs=1e-6)
    # doubling the features adds three times the Gram matrix; layers are summed
    wanted = 2 * float((3 * losses.gram(features)).abs().mean())
    assert float(losses.style((2 * features,) * 2, (features,) * 2)) == pytest.approx(wanted, rel=1e-5)


def test_log_loss_by_hand():
    logit = math.log(3)  # a probability of 3/4
    real, fake = torch.full((2, 1, 4, 4), logit), torch.full((2, 1, 4, 4), -logit)
    assert float(losses.discriminator_loss(real, fake, "bce")) == pytest.approx(-2 * math.log(0.75), rel=1e-5)
    assert float(losses.generator_loss(fake, "bce")) == pytest.approx(-math.log(0.25), rel=1e-5)


def test_least_squares_by_hand():
    real, fake = torch.tensor([0.5, 1.0]), torch.tensor([0.2])
    assert float(losses.discriminator_loss(real, fake, "lsgan")) == pytest.approx(0.125 + 0.04)
    assert float(losses.generator_loss(fake, "lsgan")) == pytest.approx(0.64)


def test_unknown_adversarial_loss_is_refused():
    with pytest.raises(UsageError, match="did you mean 'lsgan'"):
        losses.generator_loss(torch.zeros(1), "lsgn")
