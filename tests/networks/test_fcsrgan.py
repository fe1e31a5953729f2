"""FCSR-GAN's networks: counts of the original, shapes, what may and what may not matter, gradients."""

from __future__ import annotations

import pytest
import torch

from occface.networks.fcsrgan import CoarseNet, Critic, FCSRNet, FineNet, PartialUNet, PriorNet


def small(norm="none", skips=True):
    torch.manual_seed(0)
    return FCSRNet(
        PartialUNet(4, norm),
        CoarseNet(8, 1, norm, skips),
        PriorNet(16, 1, 1, 1, 68, 11, norm),
        FineNet(8, 1, 1, 79, norm, skips),
    )


def holed(count=2):
    image, hole = torch.rand(count, 3, 128, 128), torch.zeros(count, 1, 128, 128)
    hole[:, :, 40:80, 24:64] = 1
    return image, hole


@pytest.mark.parametrize(
    ("build", "wanted"),
    [
        (lambda: PartialUNet(64, "batch"), 25.78e6),
        (lambda: CoarseNet(64, 3, "batch", False), 0.226e6),
        (lambda: PriorNet(256, 3, 2, 4, 81, 11, "batch"), 26.05e6),
        (lambda: FineNet(64, 12, 3, 81 + 11, "batch", False), 1.24e6),
        (lambda: Critic(64), 44.7e6),
    ],
)
def test_parameter_counts_of_the_original(build, wanted):
    with torch.device("meta"):  # counting needs no memory
        count = sum(p.numel() for p in build().parameters())
    assert count == pytest.approx(wanted, rel=0.005)


def test_shapes_and_that_gradients_reach_every_parameter():
    net = small("batch", skips=False)
    faces = net(*holed())
    assert faces.drawn.shape == faces.completed.shape == faces.coarse.shape == faces.fine.shape == (2, 3, 128, 128)
    assert faces.landmarks.shape == (2, 68, 64, 64)
    assert faces.parsing.shape == (2, 11, 64, 64)
    assert 0 <= faces.landmarks.min().item() <= faces.landmarks.max().item() <= 1
    sum(value.square().mean() for value in faces).backward()
    without = [name for name, p in net.named_parameters() if p.grad is None or not p.grad.isfinite().all() or not p.grad.any()]
    # A bias before a batch normalisation is subtracted again: its gradient is no more than rounding, which may be 0.
    assert [name for name in without if not name.endswith("bias")] == []


@torch.no_grad()
def test_what_the_hole_held_does_not_matter_and_the_rest_is_passed_on():
    net = small().eval()
    image, hole = holed(1)
    faces = net(image, hole)
    other = net(torch.where(hole > 0.5, torch.rand_like(image), image), hole)
    assert torch.equal(faces.fine, other.fine)
    outside = hole.expand_as(image) < 0.5
    assert torch.equal(faces.completed[outside], image[outside])
    assert torch.equal(faces.completed[~outside], faces.drawn[~outside])


@torch.no_grad()
def test_fills_where_hardly_anything_is_valid():
    net = small().eval()
    image, hole = torch.rand(1, 3, 128, 128), torch.ones(1, 1, 128, 128)
    assert net.complete(image, hole)[0].isfinite().all()  # no place at all is valid
    hole[:, :, :8, :8] = 0
    drawn, _ = net.complete(image, hole)
    assert drawn.isfinite().all()
    assert float(drawn.std()) > 0


@torch.no_grad()
def test_corrections_start_near_what_came_in():
    image = torch.rand(1, 3, 128, 128)
    assert float((CoarseNet(8, 1, "none", True)(image) - image).abs().mean()) < 0.05
    assert float((FineNet(8, 1, 1, 2, "none", True)(image, torch.zeros(1, 2, 64, 64)) - image).abs().mean()) < 0.05


def test_critic_judges_four_places():
    assert Critic(4)(torch.rand(2, 3, 128, 128)).shape == (2, 1, 2, 2)
