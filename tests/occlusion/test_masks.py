from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from occface import seeding
from occface.errors import UsageError
from occface.occlusion import KINDS, draw_mask, mask_family


def _draw(kind: str, count: int, seed: int = 0, size: int = 128) -> np.ndarray:
    return np.stack([draw_mask(kind, seeding.rng(seed, "test", index, kind), size) for index in range(count)])


@given(kind=st.sampled_from(KINDS), seed=st.integers(0, 2**63 - 1), size=st.integers(16, 200))
def test_every_mask_is_zeros_and_ones_of_its_size(kind: str, seed: int, size: int) -> None:
    mask = draw_mask(kind, np.random.default_rng(seed), size)
    assert mask.dtype == np.uint8
    assert mask.shape == (size, size)
    assert set(np.unique(mask)) == {0, 1}


@pytest.mark.parametrize("kind", KINDS)
def test_equal_generators_give_equal_masks_and_others_do_not(kind: str) -> None:
    first, second = _draw(kind, 8), _draw(kind, 8)
    assert (first == second).all()
    assert len({mask.tobytes() for mask in first}) == 8
    assert (first != _draw(kind, 8, seed=1)).any()


def _extent(occupied: np.ndarray) -> int:
    where = np.flatnonzero(occupied)
    return int(where[-1] - where[0] + 1)


def test_square_is_a_filled_square_with_sides_16_to_64() -> None:
    masks = _draw("square", 3000)
    sides = np.sqrt(masks.sum(axis=(1, 2)))
    assert set(sides) == set(range(16, 65))
    for mask, side in zip(masks[:200], sides, strict=False):
        assert _extent(mask.any(axis=0)) == _extent(mask.any(axis=1)) == side
    # The mean of side^2 / 128^2 over 16..64, in closed form: (sum of squares up to 64, less up to 15) / 49 / 128^2.
    expected = (64 * 65 * 129 // 6 - 15 * 16 * 31 // 6) / 49 / 128**2
    assert masks.mean() == pytest.approx(expected, abs=4 * 0.07 / 3000**0.5)


def test_square_position_is_uniform_inside_the_image() -> None:
    masks = _draw("square-64", 4000)
    lefts = np.array([np.flatnonzero(mask.any(axis=0))[0] for mask in masks])
    tops = np.array([np.flatnonzero(mask.any(axis=1))[0] for mask in masks])
    for place in (lefts, tops):
        assert (place.min(), place.max()) == (0, 64)
        assert np.abs(np.bincount(place // 13, minlength=5) / 4000 - 0.2).max() < 0.03
    assert abs(np.corrcoef(lefts, tops)[0, 1]) < 0.06


@pytest.mark.parametrize(("kind", "area"), [("square-16", 1.6), ("square-24", 3.5), ("square-32", 6.3), ("square-48", 14.1)])
def test_fixed_squares_have_the_areas_of_the_papers_m1_to_m4(kind: str, area: float) -> None:
    assert 100 * _draw(kind, 1).mean() == pytest.approx(area, abs=0.051)


def test_irregular_mixes_the_training_bins_uniformly() -> None:
    ratios = _draw("irregular", 3000).mean(axis=(1, 2))
    shares = np.histogram(ratios, [0, 0.1, 0.2, 0.3, 1])[0] / 3000
    assert shares[3] == 0
    assert np.abs(shares[:3] - 1 / 3).max() < 0.035


def test_unknown_kind_offers_the_nearest() -> None:
    with pytest.raises(UsageError, match="unknown mask 'squre': did you mean 'square'"):
        draw_mask("squre", np.random.default_rng(0))


def test_too_small_a_size_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 16 pixels a side, got 15"):
        draw_mask("irregular", np.random.default_rng(0), 15)


def test_families() -> None:
    assert {mask_family(kind) for kind in KINDS} == {"square", "irregular", "walk"}
    assert mask_family("square-32") == "square"
