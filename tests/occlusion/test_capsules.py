from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from occface.occlusion.capsules import _first_cover, _runs, enough, lay_strokes, whole
from occface.occlusion.strokes import draw_border_strokes, draw_inside_strokes, draw_strokes, hole_counts, margin


class Given:
    """In the place of a generator: numbers that are given, first the one that says the count, then those of strokes."""

    def __init__(self, count: float, strokes: np.ndarray) -> None:
        self.count, self.rows = count, strokes

    def random(self, shape: tuple[int, int] | None = None) -> float | np.ndarray:
        if shape is None:
            return self.count
        taken, self.rows = self.rows[: shape[0]], self.rows[shape[0] :]
        return taken


@pytest.mark.parametrize(
    ("ratio_bin", "draw"),
    [((1, 10), draw_strokes), ((20, 30), draw_strokes), ((20, 30), draw_inside_strokes), ((20, 30), draw_border_strokes)],
)
def test_the_same_numbers_give_the_masks_of_the_host(ratio_bin, draw):
    # Lines, discs, arcs, widths, starts, the cut of the last stroke: all of the law stands behind this one comparison.
    rng = np.random.default_rng(1)
    smallest, largest = hole_counts(ratio_bin, 128)
    strokes, counts = rng.random((24, 48, 8), np.float32), rng.random(24, np.float32)
    theirs = np.stack([draw(Given(float(c), s.astype(float)), 128, ratio_bin) for c, s in zip(counts, strokes, strict=True)])
    wanted = smallest + whole(torch.from_numpy(counts), largest - smallest + 1)
    free = torch.full((24,), float(margin(128) if draw is draw_inside_strokes else 0))
    at_border = torch.full((24,), draw is draw_border_strokes)
    ours = lay_strokes(torch.from_numpy(strokes), wanted, free, at_border, 128)[:, 0].numpy()
    assert (ours.sum((1, 2)) == theirs.sum((1, 2))).all()
    common = (ours & theirs).sum((1, 2)) / (ours | theirs).sum((1, 2))
    assert common.mean() > 0.92
    assert common.min() > 0.7


def test_runs_are_those_of_a_distance_to_the_segment():
    rng = np.random.default_rng(2)
    ends = np.round(rng.uniform(-20, 68, (200, 4)))
    ends[:40, 2:] = ends[:40, :2]  # discs
    ends[40:60, 2] = ends[40:60, 0]  # upright
    ends[60:80, 3] = ends[60:80, 1]  # level
    radius = rng.uniform(1, 9, 200)
    columns = (torch.from_numpy(column).float()[None] for column in (*ends.T, radius))
    low, high = (edge[0].numpy() for edge in _runs(*columns, 48))
    place = np.arange(48)
    for (x0, y0, x1, y1), r, begin, end in zip(ends, radius, low, high, strict=True):
        along = np.array([x1 - x0, y1 - y0])
        offset = np.stack(np.meshgrid(place - x0, place - y0), -1)
        share = np.clip(offset @ along / max(along @ along, 1e-9), 0, 1)
        distance = np.linalg.norm(offset - share[..., None] * along, axis=-1)
        ours = (place >= begin[:, None]) & (place <= end[:, None])
        clear = abs(distance - r) > 1e-3  # rounding may decide what lies on the outline
        assert (ours == (distance <= r))[clear].all()


@pytest.mark.parametrize("size", [16, 48, 100, 128])
def test_the_first_cover_is_the_first_that_covers(size):
    rng = np.random.default_rng(3)
    low = rng.uniform(-0.5 * size, 1.3 * size, (2, 30, size)).astype(np.float32)
    high = low + rng.uniform(-3, size, low.shape).astype(np.float32)
    low[:, ::5], high[:, ::5] = np.inf, -np.inf  # nothing
    low[:, 1], high[:, 1, : size // 2] = -5, size + 5  # whole rows
    owner = np.sort(rng.integers(0, 20, (2, 30)), axis=1)
    expected = np.full((2, size, size), 20)
    for mask in range(2):
        for run in reversed(range(30)):
            for row in range(size):
                for column in range(size):
                    if low[mask, run, row] <= column <= high[mask, run, row]:
                        expected[mask, row, column] = owner[mask, run]
    ours = _first_cover(torch.from_numpy(low), torch.from_numpy(high), torch.from_numpy(owner), 20)
    assert (ours.numpy() == expected).all()


def test_a_count_is_met_when_the_strokes_do_not_reach_it():
    dots = torch.full((3, 2, 8), 0.5)  # the same disc, twice, of at most 8 pixels' radius
    wanted = torch.tensor([10.0, 1000.0, 9000.0])
    masks = lay_strokes(dots, wanted, torch.zeros(3), torch.zeros(3, dtype=torch.bool), 128)
    assert masks.sum((1, 2, 3)).tolist() == [10, 1000, 9000]
    # What no stroke covers is taken by nearness: one round blob, as OpenCV's distance from its centre has it.
    from_centre = cv2.distanceTransform(1 - (np.indices((128, 128)) == 64).all(0).astype(np.uint8), cv2.DIST_L2, 5)
    blob = masks[1, 0].numpy()
    assert from_centre[blob == 1].max() <= from_centre[blob == 0].min() + 1


@pytest.mark.parametrize("ratio_bin", [(1, 10), (20, 30), (50, 60)])
def test_there_are_strokes_enough(ratio_bin):
    rng = np.random.default_rng(4)
    for draw, side in ((draw_strokes, 128), (draw_inside_strokes, 128 - 2 * margin(128))):
        given = [Given(0.999, rng.random((200, 8))) for _ in range(60)]
        for numbers in given:
            draw(numbers, 128, ratio_bin)
        used = max(200 - len(numbers.rows) for numbers in given)  # in steps of eight
        assert used - 8 < enough(ratio_bin[1] / 100 * 128**2 / side**2)
