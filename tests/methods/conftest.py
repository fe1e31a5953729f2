"""One step of training, as the loop takes it, for tests that look inside a step."""

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
