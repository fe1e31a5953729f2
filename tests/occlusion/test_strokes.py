from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from occface.occlusion import draw_mask
from occface.occlusion.strokes import RATIO_BINS, draw_border_strokes, draw_inside_strokes, draw_strokes, hole_counts

_EDGES = {(1, 10): (0.01, 0.1), (10, 20): (0.1, 0.2), (20, 30): (0.2, 0.3), (30, 40): (0.3, 0.4), (40, 50): (0.4, 0.5)}
_EDGES[50, 60] = (0.5, 0.6)


#: Names of the variants, and what draws them.
_VARIANTS = {"": draw_strokes, "-inside": draw_inside_strokes, "-border": draw_border_strokes}


@given(ratio_bin=st.sampled_from(RATIO_BINS), variant=st.sampled_from(sorted(_VARIANTS)), seed=st.integers(0, 2**63 - 1))
def test_every_mask_lies_in_its_bin(ratio_bin: tuple[int, int], variant: str, seed: int) -> None:
    low, high = _EDGES[ratio_bin]
    name = f"irregular-{low}-{high}{variant}"
    assert low < draw_mask(name, np.random.default_rng(seed)).mean() <= high


@given(ratio_bin=st.sampled_from(RATIO_BINS), size=st.integers(16, 300))
def test_hole_counts_are_the_whole_numbers_inside_the_bin(ratio_bin: tuple[int, int], size: int) -> None:
    smallest, largest = hole_counts(ratio_bin, size)
    low, high = ratio_bin
    assert (smallest - 1) * 100 <= low * size**2 < smallest * 100
    assert largest * 100 <= high * size**2 < (largest + 1) * 100


@pytest.mark.parametrize("variant", _VARIANTS)
@pytest.mark.parametrize("ratio_bin", RATIO_BINS)
def test_hole_ratio_is_uniform_within_the_bin(ratio_bin: tuple[int, int], variant: str) -> None:
    rng = np.random.default_rng(7)
    counts = [int(_VARIANTS[variant](rng, 128, ratio_bin).sum()) for _ in range(400)]
    low, high = hole_counts(ratio_bin, 128)
    assert stats.kstest(counts, stats.uniform(low, high - low).cdf).pvalue > 0.01


@given(ratio_bin=st.sampled_from(RATIO_BINS), seed=st.integers(0, 2**63 - 1), size=st.integers(16, 200))
def test_masks_inside_keep_away_from_the_border_and_masks_at_the_border_touch_it(
    ratio_bin: tuple[int, int], seed: int, size: int
) -> None:
    inside = draw_inside_strokes(np.random.default_rng(seed), size, ratio_bin)
    free = 50 * size // 512  # pixels that PConv's masks of 512 leave free
    inner = inside[free : size - free, free : size - free]
    assert inner.sum() == inside.sum()
    border = draw_border_strokes(np.random.default_rng(seed), size, ratio_bin)
    assert border.sum() > border[1:-1, 1:-1].sum()


def test_masks_at_the_border_start_at_every_side() -> None:
    masks = np.stack([draw_border_strokes(np.random.default_rng(seed), 128, (1, 10)) for seed in range(300)])
    sides = masks[:, 0].any(axis=1), masks[:, -1].any(axis=1), masks[:, :, 0].any(axis=1), masks[:, :, -1].any(axis=1)
    assert all(0.25 < side.mean() < 0.6 for side in sides)
    free = np.stack([draw_strokes(np.random.default_rng(seed), 128, (1, 10)) for seed in range(300)])
    assert (free[:, 1:-1, 1:-1].sum(axis=(1, 2)) == free.sum(axis=(1, 2))).mean() > 0.1  # others need not touch it


def test_strokes_are_thin_and_reach_everywhere() -> None:
    rng = np.random.default_rng(3)
    masks = np.stack([draw_strokes(rng, 128, (10, 20)) for _ in range(600)])
    depth = np.array([cv2.distanceTransform(mask, cv2.DIST_L2, 5).max() for mask in masks])
    disc = np.sqrt(masks.sum(axis=(1, 2)) / np.pi)  # the depth that one blob of the same area would have
    assert np.median(depth / disc) < 0.4
    # No part of the face is spared or preferred by much: shares of each ninth of the image, of all that is hidden.
    ninths = masks[:, :126, :126].reshape(600, 3, 42, 3, 42).mean(axis=(0, 2, 4))
    assert ninths.min() > 0.09
    assert ninths.max() < 0.26


def test_irregular_edges_are_unlike_a_square() -> None:
    rng = np.random.default_rng(4)
    for _ in range(20):
        mask = draw_strokes(rng, 128, (20, 30))
        edge = int((mask[1:] != mask[:-1]).sum() + (mask[:, 1:] != mask[:, :-1]).sum())
        assert edge > 2 * 4 * np.sqrt(mask.sum())


def test_a_stroke_budget_too_small_for_the_target_still_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    # Dots of one pixel growth each alone: thickness must carry the mask to its target.
    class Dots:
        def __init__(self) -> None:
            self.calls = 0

        def random(self, shape: tuple[int, int] | None = None) -> np.ndarray | float:
            if shape is None:
                return 1 - 2**-53  # the largest number that a generator gives: the largest count
            self.calls += 1
            assert self.calls < 200
            return np.full(shape, 0.5)  # the same disc in the same place, over and over

    mask = draw_strokes(Dots(), 128, (50, 60))  # type: ignore[arg-type]
    assert mask.sum() == hole_counts((50, 60), 128)[1]
