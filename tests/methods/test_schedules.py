"""Learning rate schedules."""

from __future__ import annotations

import itertools

import pytest

from occface.methods.schedules import cosine_fall


def test_cosine_falls_all_the_way_and_slowest_at_its_ends():
    values = [cosine_fall(step / 100) for step in range(101)]
    assert values[0] == 1
    assert values[50] == pytest.approx(0.51)
    assert values[100] == pytest.approx(0.02)
    falls = [before - after for before, after in itertools.pairwise(values)]
    assert min(falls) > 0
    assert falls.index(max(falls)) in (49, 50)
