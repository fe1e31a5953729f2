"""The running average of a network's weights over the steps of its training."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

__all__ = ["RunningAverage"]


class RunningAverage:
    """A copy of a network that follows it: after each step, ``decay`` of itself and ``1 - decay`` of the network.

    After the first step it is the network as it then is. Early on it follows more closely: after n steps the decay is at most
    n / (n + 9), so that it looks back over about a ninth of the steps so far, and short trainings do not end with what their
    networks were like at first. Buffers follow like weights; counts are copied. It is
    `torch.optim.swa_utils.AveragedModel` with its count of steps on the host: that class reads it from the device at each step,
    and so waits for all work there.

    Parameters
    ----------
    network : Module
        The network to follow.
    decay : float
        0 to 1; reached after 9 decay / (1 - decay) steps.

    Examples
    --------
    >>> layer = nn.Linear(1, 1)
    >>> average = RunningAverage(layer, 0.9)
    >>> for value in (1.0, 2.0):
    ...     _ = nn.init.constant_(layer.weight, value)
    ...     average.update(layer)
    >>> round(average.network.weight.item(), 3)  # 0.1 of the first value, 0.9 of the second
    1.9
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network = copy.deepcopy(network).requires_grad_(False)
        self.steps = 0
        self._decay = decay

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Follow the network by a step. Nothing waits for the device."""
        pairs = list(zip(_tensors(self.network), _tensors(network), strict=True))
        followed = [pair for pair in pairs if self.steps and pair[0].is_floating_point()]
        if followed:
            ours, theirs = map(list, zip(*followed, strict=True))
            get_ema_multi_avg_fn(min(self._decay, self.steps / (self.steps + 9)))(ours, theirs, None)
        for own, other in pairs:
            if not self.steps or not own.is_floating_point():
                own.copy_(other)
        self.steps += 1

    def state_dict(self) -> dict[str, Any]:
        """Return the state, for a checkpoint."""
        return {"steps": self.steps, "network": self.network.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        self.network.load_state_dict(state["network"])
        self.steps = state["steps"]


def _tensors(network: nn.Module) -> list[torch.Tensor]:
    return [*network.parameters(), *network.buffers()]
