"""Batch normalisation over the batch of all processes together.

Each process of a training holds a share of the batch. Normalised by its share alone, a network would learn from other
numbers than in one process, and the noisier ones the smaller the share.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, distributed, nn

__all__ = ["SynchronisedBatchNorm2d", "synchronise"]


class _Gathered(torch.autograd.Function):
    """The tensors of all processes, in one more first dimension; a gradient goes back to the process that it belongs to."""

    # Written out because torch has moved and renamed its own differentiable collectives from release to release.
    @staticmethod
    def forward(context: Any, value: Tensor) -> Tensor:
        slots = value.new_zeros(distributed.get_world_size(), *value.shape)
        slots[distributed.get_rank()] = value
        distributed.all_reduce(slots)
        return slots

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].contiguous().clone()
        distributed.all_reduce(total)
        return total[distributed.get_rank()]


class SynchronisedBatchNorm2d(nn.BatchNorm2d):
    """`torch.nn.BatchNorm2d` whose mean and variance in training are those of all processes' images, on any device.

    `torch.nn.SyncBatchNorm` does the same on CUDA alone, and there waits for the device in every layer, to leave out
    processes without images. Here all processes must hold equally many images and run the same layers in the same order, and
    nothing is asked of the device. Statistics are taken in float32 at least, also of features in half precision.

    Names and shapes of parameters and buffers are those of `torch.nn.BatchNorm2d`; in evaluation mode, and where no
    processes were joined, it is that class and communicates nothing.
    """

    @torch.compiler.disable  # a compiler would see a call into another process: leave this layer as it is
    def forward(self, input: Tensor) -> Tensor:
        """Return the normalised features (B,C,H,W), in the dtype of `input`."""
        if not self.training or not distributed.is_initialized():
            return super().forward(input)
        features = input.to(torch.promote_types(input.dtype, torch.float32))
        own_mean = features.mean((0, 2, 3))
        own_variance = (features - own_mean[:, None, None]).square().mean((0, 2, 3))
        # Means and variances, not sums and sums of squares: their difference would cancel where the mean is large.
        means, variances = _Gathered.apply(torch.stack([own_mean, own_variance])).unbind(1)
        mean = means.mean(0)
        variance = (variances + (means - mean).square()).mean(0)
        self._remember(mean.detach(), variance.detach(), input.numel() // self.num_features * distributed.get_world_size())
        scale = (variance + self.eps).rsqrt()
        if self.affine:
            scale = scale * self.weight
        result = (features - mean[:, None, None]) * scale[:, None, None]
        if self.affine:
            result = result + self.bias[:, None, None]
        return result.to(input.dtype)

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor, count: int) -> None:
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked.add_(1)
        momentum: Any = self.momentum if self.momentum is not None else 1 / self.num_batches_tracked.float()
        self.running_mean.lerp_(mean, momentum)
        self.running_var.lerp_(variance * (count / max(count - 1, 1)), momentum)


def synchronise(module: nn.Module) -> None:
    """Make every `torch.nn.BatchNorm2d` inside a module one over all processes, in place.

    Parameters
    ----------
    module : Module
        Any module; what it holds keeps its names, so states saved before and after are the same.
    """
    for name, child in module.named_children():
        if type(child) is nn.BatchNorm2d:
            setattr(module, name, _converted(child))
        else:
            synchronise(child)


def _converted(norm: nn.BatchNorm2d) -> SynchronisedBatchNorm2d:
    ours = SynchronisedBatchNorm2d(norm.num_features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats)
    ours.train(norm.training)
    # The same tensors, not copies: others (an optimizer, a tied layer) may hold them already.
    ours._parameters.update(norm._parameters)
    ours._buffers.update(norm._buffers)
    return ours
