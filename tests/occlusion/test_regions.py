from __future__ import annotations

import contextlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from occface import seeding
from occface.errors import BadImageError
from occface.faces.mirror import mirror_landmarks
from occface.occlusion.regions import REGIONS, draw_region

JAW, BROWS, NOSE = range(17), range(17, 27), range(27, 36)
RIGHT_EYE, LEFT_EYE, MOUTH = range(36, 42), range(42, 48), range(48, 68)
RIGHT = [*range(8), *range(17, 22), *RIGHT_EYE, 48]
LEFT = [*range(9, 17), *range(22, 27), *LEFT_EYE, 54]

#: Of each region the landmarks that it must hide, and those that it must leave alone, whatever is drawn.
HIDES = {
    "eyes": ([*RIGHT_EYE, *LEFT_EYE], [*range(30, 36), *MOUTH, *range(1, 16)]),
    "nose": ([*range(30, 36)], [*RIGHT_EYE, *LEFT_EYE, *range(55, 60), *JAW, *BROWS]),
    "mouth": ([*range(48, 68)], [*RIGHT_EYE, *LEFT_EYE, *BROWS, 27, 28, 29, *range(6), *range(11, 17)]),
    "left-half": (LEFT, RIGHT),
    "right-half": (RIGHT, LEFT),
    "lower-face": ([*range(4, 13), *range(30, 36), *MOUTH], [*RIGHT_EYE, *LEFT_EYE, *BROWS, 27]),
    "sunglasses": ([*RIGHT_EYE, *LEFT_EYE], [*MOUTH, *range(30, 36), *range(2, 15)]),
    "hand": ([66], []),
    "scarf": ([*range(5, 12), *range(55, 60)], [*RIGHT_EYE, *LEFT_EYE, *BROWS, 27, 28, 29]),
    "microphone": ([], [*RIGHT_EYE, *LEFT_EYE, *BROWS, 27, 28, 29]),
}


def _draws(name: str, landmarks: np.ndarray, count: int = 40, size: int = 128) -> np.ndarray:
    return np.stack([draw_region(name, seeding.rng(0, "test", name, index), size, landmarks) for index in range(count)])


def _at(mask: np.ndarray, points: np.ndarray) -> np.ndarray:
    x, y = np.rint(points).astype(int).T
    return mask[y, x]


def _overlap(first: np.ndarray, second: np.ndarray) -> float:
    return float((first & second).sum() / (first | second).sum())


def test_every_region_is_tested() -> None:
    assert set(HIDES) == set(REGIONS)


@pytest.mark.parametrize("name", REGIONS)
@pytest.mark.parametrize("pose", ["frontal", "aside"])
def test_a_region_hides_its_landmarks_and_spares_others(name: str, pose: str, request: pytest.FixtureRequest) -> None:
    landmarks = request.getfixturevalue(pose)
    hidden, spared = HIDES[name]
    masks = _draws(name, landmarks)
    # Of a face turned aside, parts lie behind others: there, most must be right.
    least, most = (1.0, 0.0) if pose == "frontal" else (0.85, 0.1)
    shares = np.array([_at(mask, landmarks).astype(float) for mask in masks])
    if hidden:
        assert shares[:, hidden].mean(axis=1).min() >= (0 if name == "hand" else least)
    if name == "hand":
        assert shares[:, hidden].mean() > 0.7
    if spared:
        assert shares[:, spared].mean(axis=1).max() <= most


@pytest.mark.parametrize("name", REGIONS)
def test_regions_vary_but_not_much(name: str, frontal: np.ndarray) -> None:
    masks = _draws(name, frontal)
    assert len({mask.tobytes() for mask in masks}) == 40
    areas = masks.mean(axis=(1, 2))
    assert 0.02 < areas.min() < areas.max() < 0.55
    assert areas.max() < 3.5 * areas.min()


@pytest.mark.parametrize("name", REGIONS)
def test_a_region_turns_with_the_face(name: str, frontal: np.ndarray, aside: np.ndarray) -> None:
    for landmarks in (frontal, aside):
        turned = np.stack([landmarks[:, 1], 127 - landmarks[:, 0]], axis=1)  # a quarter turn, as numpy.rot90 does
        for mask, other in zip(_draws(name, landmarks, 5), _draws(name, turned, 5), strict=True):
            assert _overlap(np.rot90(mask), other) > 0.93


@pytest.mark.parametrize("name", REGIONS)
def test_a_region_grows_with_the_crop(name: str, frontal: np.ndarray) -> None:
    double = (frontal + 0.5) * 2 - 0.5
    for mask, large in zip(_draws(name, frontal, 5), _draws(name, double, 5, size=256), strict=True):
        assert _overlap(mask.repeat(2, axis=0).repeat(2, axis=1), large) > 0.85


def test_left_and_right_change_in_a_mirrored_face(aside: np.ndarray) -> None:
    left, right = (
        draw_region(name, np.random.default_rng(1), 128, points)
        for name, points in (("left-half", aside), ("right-half", mirror_landmarks(aside)))
    )
    assert _overlap(left, right[:, ::-1]) > 0.93


def test_halves_meet_in_the_middle(frontal: np.ndarray) -> None:
    for left, right in zip(_draws("left-half", frontal), _draws("right-half", frontal), strict=True):
        assert np.median(np.nonzero(left)[1]) > 63.5 > np.median(np.nonzero(right)[1])
        # About the half of a face's ellipse: axes of 79 and 115 px, an area of 7,135.
        assert 0.35 < left.sum() / 7135 < 0.7


@settings(max_examples=200, deadline=None)
@given(
    name=st.sampled_from(sorted(REGIONS)),
    seed=st.integers(0, 2**32),
    spread=st.floats(0, 200),
    x=st.floats(-128, 256),
    y=st.floats(-128, 256),
)
def test_whatever_the_landmarks_a_mask_or_a_reason(name: str, seed: int, spread: float, x: float, y: float) -> None:
    rng = np.random.default_rng(seed)
    landmarks = rng.normal((x, y), spread, (68, 2)).astype(np.float32)
    with contextlib.suppress(BadImageError):
        assert set(np.unique(draw_region(name, rng, 128, landmarks))) == {0, 1}


def test_bad_landmarks(frontal: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match=r"68 finite landmarks, \(68, 2\), got an array of shape \(5, 2\)"):
        draw_region("eyes", rng, 128, frontal[:5])
    with pytest.raises(ValueError, match="finite"):
        draw_region("eyes", rng, 128, np.full((68, 2), np.nan))
    with pytest.raises(BadImageError, match="in one point"):
        draw_region("eyes", rng, 128, np.full((68, 2), 60.0))
    with pytest.raises(BadImageError, match="'mouth' would hide nothing: the face's landmarks lie far outside the crop"):
        draw_region("mouth", rng, 128, frontal + 400)
    with pytest.raises(BadImageError, match="'scarf' would hide everything"):
        draw_region("scarf", rng, 128, frontal * 10 - (571, 1100))
