"""One step of training, as the loop takes it, for tests that look inside a step, and what no step has trained."""

from __future__ import annotations

import pytest


def _take_step(method, batch, phase, optimizers):
    logged = {}
    method.train()
    for turn, optimizer in optimizers.items():
        trained = {id(p) for group in optimizer.param_groups for p in group["params"]}
        for parameter in method.parameters():
            parameter.requires_grad_(id(parameter) in trained)
        terms = method(batch, phase, turn)
        optimizer.zero_grad()
        sum(terms.values()).backward()
        optimizer.step()
        logged |= {f"{turn}/{name}": float(value.detach()) for name, value in terms.items()}
    return logged


@pytest.fixture(scope="session")
def step():
    """A function that takes one step and returns the losses by turn and name."""
    return _take_step


def _untrained(module):
    """Return the names of parameters whose gradient is absent, zero everywhere or not finite.

    A bias that a normalisation subtracts again has a gradient of rounding alone: such are those before a BatchNorm2d, and it
    may be 0. Biases are therefore only asked for a finite gradient.
    """
    lost = []
    for name, parameter in module.named_parameters():
        gradient = parameter.grad
        if gradient is None or not gradient.isfinite().all() or not (gradient.any() or name.endswith("bias")):
            lost.append(name)
    return lost


@pytest.fixture(scope="session")
def untrained():
    """A function that returns the names of a module's parameters that the last step left without a gradient."""
    return _untrained
