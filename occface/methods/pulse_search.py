"""PULSE's search: from a start on a sphere, by gradient, to latents whose picture, made small, is the LR face.

Menon et al., "PULSE: Self-supervised photo upsampling via latent space exploration of generative models", CVPR 2020. Faces are
searched side by side, and no face's search depends on the faces beside it, up to rounding: their losses are summed, Adam works
on each number for itself, the sphere is each face's own, and all set out from the same point.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from occface import seeding

__all__ = ["DOWNSCALERS", "Frame", "Plan", "Space", "downscale", "geocross", "one_cycle_drop", "search"]

HR_SIZE, LR_SIZE = 128, 16
DOWNSCALERS: tuple[str, ...] = ("bicubic", "data")


@dataclass(frozen=True)
class Frame:
    """Which square of a generator's picture shows what the crop of an aligned face shows, in parts of the picture's side.

    A square that reaches beyond the picture is continued by the pixels of its edge.
    """

    side: float = 1.0
    middle_x: float = 0.5
    middle_y: float = 0.5

    def cut(self, pictures: Tensor) -> Tensor:
        """Return the square of pictures (B,C,N,N) as (B,C,128,128), bilinear and without aliasing."""
        columns, rows = _cut(self, pictures.shape[-1], pictures.device)
        return rows @ pictures @ columns.T


@functools.lru_cache(maxsize=8)  # the same at every step of a search
def _cut(frame: Frame, pixels: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the matrices (128, pixels), across and down, that cut a frame out of a picture."""
    columns, rows = (
        torch.from_numpy(_resampling(pixels, (middle - frame.side / 2) * pixels, frame.side * pixels)).to(device)
        for middle in (frame.middle_x, frame.middle_y)
    )
    return columns, rows


def _resampling(pixels: int, start: float, length: float) -> np.ndarray:
    """Return the matrix (128, pixels) float32 that resamples the stretch of a line from `start` on with a triangle filter."""
    step = length / HR_SIZE
    reach = max(step, 1.0)
    centres = start + (np.arange(HR_SIZE) + 0.5) * step - 0.5
    taps = np.floor(centres - reach)[:, None] + np.arange(2 * int(np.ceil(reach)) + 3)
    weights = np.maximum(0, 1 - np.abs(taps - centres[:, None]) / reach)
    matrix = np.zeros((HR_SIZE, pixels))
    inside = np.clip(taps, 0, pixels - 1).astype(int)
    np.add.at(matrix, (np.arange(HR_SIZE)[:, None], inside), weights / weights.sum(axis=1, keepdims=True))
    return matrix.astype(np.float32)


class Space(Protocol):
    """What is searched: a generator, how latents become its input, and which part of its picture is the face."""

    shape: tuple[int, int]
    """Of a face's latents: how many there are, and their length."""
    frame: Frame

    @property
    def network(self) -> nn.Module:
        """The generator."""

    def noise(self) -> list[Tensor]:
        """Return the noise maps (1,1,N,N) that are searched too, as the search begins with them."""

    def styles(self, latents: Tensor) -> Tensor:
        """Return the generator's input of latents (B,L,D)."""

    def draw(self, styles: Tensor, noise: list[Tensor]) -> Tensor:
        """Return pictures (B,3,N,N), about [-1,1]."""


@dataclass(frozen=True)
class Plan:
    """How to search; see the settings of `occface.methods.pulse.PULSE`."""

    steps: int
    lr: float
    eps: float
    l2_weight: float
    geocross_weight: float
    down: str
    starts: int
    seed: int


def one_cycle_drop(step: int, steps: int) -> float:
    """Return what the learning rate is multiplied by: from 0.1 up to 1 and back in nine tenths of the steps, then to 0.001.

    Examples
    --------
    >>> [round(one_cycle_drop(step, 100), 3) for step in (0, 45, 90, 99)]
    [0.1, 1.0, 0.1, 0.011]
    """
    cycle = 0.9 * steps
    if step < cycle:
        return 0.1 + 0.9 * (1 - abs(2 * step / cycle - 1))
    return 0.1 + (step - cycle) / (steps - cycle) * (0.001 - 0.1)


def downscale(images: Tensor, kernel: str) -> Tensor:
    """Make images (B,3,128,128) small, (B,3,16,16).

    Parameters
    ----------
    images : Tensor
        (B,3,128,128) float.
    kernel : {"bicubic", "data"}
        PULSE's bicubic (a = -0.5, antialiased, edges reflected), or the kernel by which data sets make LR faces by default:
        antialiased bilinear.
    """
    if kernel == "data":
        return F.interpolate(images, size=(LR_SIZE, LR_SIZE), mode="bilinear", antialias=True)
    edge = 2  # LR pixels: as far as the kernel reaches
    around = F.pad(images, (edge * images.shape[-1] // LR_SIZE,) * 4, mode="reflect")
    small = F.interpolate(around, size=(LR_SIZE + 2 * edge,) * 2, mode="bicubic", antialias=True)
    return small[..., edge:-edge, edge:-edge]


def geocross(styles: Tensor) -> Tensor:
    """Return for each face how far its styles (B,L,D) lie from each other along the sphere: 0 where all are one style.

    It is the mean over all pairs of D theta^2, divided by 8, where theta is the angle between two styles of equal length.
    """
    if styles.shape[1] == 1:
        return styles.new_zeros(len(styles))
    one, other = styles[:, None], styles[:, :, None]
    apart = ((one - other).square().sum(-1) + 1e-9).sqrt()
    together = ((one + other).square().sum(-1) + 1e-9).sqrt()
    theta = 2 * torch.atan2(apart, together)
    return styles.shape[2] * theta.square().mean((1, 2)) / 8


def _radius(numbers: Tensor) -> Tensor:
    """Return the lengths of latents (B,L,D) or noise maps (B,1,N,N), each face's and each latent's own."""
    return (numbers.square().sum(tuple(range(2, numbers.ndim)), keepdim=True) + 1e-9).sqrt()


def search(space: Space, lr: Tensor, plan: Plan, weights: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Search a face for each LR face.

    Parameters
    ----------
    space : Space
        On the device of `lr`.
    lr : Tensor
        (B,3,16,16) float32 in [-1,1].
    plan : Plan
        Steps, rates and weights.
    weights : Tensor, optional
        (B,1,16,16): what each LR pixel counts in the mean; all the same if absent. Of a face where none counts nothing can be
        known: it is missed, and its error is infinite.

    Returns
    -------
    faces : Tensor
        (B,3,128,128), clamped to [-1,1]: for each face the best of all steps of all starts. A picture that reaches `eps` is
        better than one that does not; among these, the one with the smaller loss.
    errors : Tensor
        (B,), the mean squared difference of the returned face, made small, from the LR face, on [0,1]. (The loss is of the
        picture as the generator drew it, not clamped.)
    """
    counts = torch.ones_like(lr[:, :1]) if weights is None else weights
    counts = counts / counts.sum((1, 2, 3), keepdim=True).clamp(min=1e-9)
    best = _descend(space, lr, plan, counts, 0)
    for start in range(1, plan.starts):
        left = (best.errors > plan.eps).nonzero()[:, 0]
        left = left[counts[left].sum((1, 2, 3)) > 0]  # where nothing counts there is nothing to reach
        if len(left):  # faces that are found stay as they are, whatever becomes of their neighbours
            other = _descend(space, lr[left], plan, counts[left], start)
            best.offer(other.faces, other.errors, other.losses, plan.eps, left)
    return best.faces, best.errors


class _Best:
    """The best picture of each face so far."""

    def __init__(self, lr: Tensor) -> None:
        self.faces = lr.new_zeros(len(lr), 3, HR_SIZE, HR_SIZE)
        self.errors = lr.new_full((len(lr),), torch.inf)
        self.losses = lr.new_full((len(lr),), torch.inf)

    def offer(self, faces: Tensor, errors: Tensor, losses: Tensor, eps: float, places: Tensor | None = None) -> None:
        """Keep what is better; it is of the faces at these places, or of all."""
        at = slice(None) if places is None else places
        reached, before = errors <= eps, self.errors[at] <= eps
        better = torch.where(reached == before, losses < self.losses[at], reached)
        self.faces[at] = torch.where(better[:, None, None, None], faces, self.faces[at])
        self.errors[at] = torch.where(better, errors, self.errors[at])
        self.losses[at] = torch.where(better, losses, self.losses[at])


def _descend(space: Space, lr: Tensor, plan: Plan, counts: Tensor, start: int) -> _Best:
    """Search from one start, the same for every face."""
    best = _Best(lr)
    drawn = seeding.rng(plan.seed, "pulse", "start", start).standard_normal((1, *space.shape), dtype=np.float32)
    points = [torch.from_numpy(drawn).to(lr.device), *(noise.detach() for noise in space.noise())]
    searched = [point.repeat(len(lr), *[1] * (point.ndim - 1)).requires_grad_() for point in points]
    radii = [_radius(numbers.detach()) for numbers in searched]
    optimizer = torch.optim.Adam(searched, lr=plan.lr)
    blind = counts.sum((1, 2, 3)) == 0
    for step in range(plan.steps):
        with torch.enable_grad():
            styles = space.styles(searched[0])
            faces = space.frame.cut(space.draw(styles, searched[1:]).float())
            loss = plan.l2_weight * _errors(faces, lr, counts, plan.down).clamp(min=plan.eps)
            if plan.geocross_weight:
                loss = loss + plan.geocross_weight * geocross(styles)
            gradients = torch.autograd.grad(loss.sum(), searched)
        with torch.no_grad():
            faces = faces.clamp(-1, 1)
            best.offer(faces, _errors(faces, lr, counts, plan.down).masked_fill(blind, torch.inf), loss, plan.eps)
        for numbers, gradient in zip(searched, gradients, strict=True):
            numbers.grad = gradient
        for group in optimizer.param_groups:
            group["lr"] = plan.lr * one_cycle_drop(step, plan.steps)
        optimizer.step()
        with torch.no_grad():
            for numbers, radius in zip(searched, radii, strict=True):
                numbers.mul_(radius / _radius(numbers))
    return best


def _errors(faces: Tensor, lr: Tensor, counts: Tensor, down: str) -> Tensor:
    """Return the mean squared difference of faces (B,3,128,128), made small, from the LR faces, on [0,1]."""
    difference = (downscale(faces, down) - lr) / 2
    return (difference.square() * counts).sum((1, 2, 3)) / 3
