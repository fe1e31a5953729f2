from __future__ import annotations

import itertools
from pathlib import Path

import cv2
import dlib
import numpy as np
import pytest

from occface.faces import pyramid
from occface.images import read_image

FACES = sorted((Path(__file__).parents[1] / "data" / "faces").glob("*.jpg"))


@pytest.mark.parametrize("shape", [(320, 320), (320, 281), (203, 320)])
@pytest.mark.parametrize("path", FACES[:3], ids=lambda path: path.stem)
def test_boxes_are_those_of_dlib_run_on_the_doubled_photograph(path, shape):
    image = np.ascontiguousarray(read_image(path)[40 : 40 + shape[0], : shape[1]])
    (expected,) = dlib.get_frontal_face_detector()(image, 1)
    sizes = pyramid.level_sizes(*image.shape[1::-1])
    same = 0
    for level in (2, 5, 7):
        shrunk = pyramid.shrink_to_level(image, sizes, level)
        assert shrunk.shape[1::-1] == sizes[level]
        (found,) = dlib.get_frontal_face_detector()(shrunk, 0)
        box, further = pyramid.box_at_level(found, level)
        assert further >= 0
        wanted = (expected.left() - 0.5, expected.top() - 0.5, expected.right() + 0.5, expected.bottom() + 0.5)
        same += box == wanted
        # Another window than dlib's is a neighbour of it: one step to the side, or one size up or down.
        assert np.abs(np.subtract(box, wanted)).max() < 0.25 * expected.width()
    assert same >= 2


def test_levels_shrink_as_dlib_rounds():
    sizes = pyramid.level_sizes(400, 300)
    assert sizes[0] == (802, 601)
    for (width, height), (next_width, next_height) in itertools.pairwise(sizes):
        assert (next_width, next_height) == (int(width * 5 / 6 + 1e-9), int(height * 5 / 6 + 1e-9))
    assert min(sizes[-1]) == 1


def test_the_level_below_a_side_is_the_largest_that_fits():
    sizes = pyramid.level_sizes(512, 400)
    for side in (100, 170, 600, 5000):
        level = pyramid.level_below(sizes, side)
        assert max(sizes[level]) <= side
        assert level == 0 or max(sizes[level - 1]) > side
    assert pyramid.level_below(sizes, 0) == len(sizes) - 1


@pytest.mark.parametrize("shape", [(2000, 1500), (90, 700), (64, 64)])
def test_a_shrunk_ramp_is_the_ramp(shape):
    y, x = np.mgrid[: shape[0], : shape[1]]
    image = np.repeat((40 + 60 * x / shape[1] + 100 * y / shape[0])[..., None], 3, axis=2).astype(np.uint8)
    sizes = pyramid.level_sizes(*shape[::-1])
    for level in (1, 5, 9):
        shrunk = pyramid.shrink_to_level(image, sizes, level)
        expected = cv2.resize(image.astype(np.float32), sizes[level], interpolation=cv2.INTER_AREA)
        assert np.abs(shrunk - expected)[2:-2, 2:-2].max() < 3
