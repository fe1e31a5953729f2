from __future__ import annotations

import hashlib
import io
from importlib import resources

import numpy as np
import pytest

from occface import assets, seeding
from occface.faces.detect import DlibDetector
from occface.faces.landmarks import DlibLandmarks
from occface.faces.measures import NAMES, head_pose
from occface.sources import directions, synthetic


@pytest.fixture(scope="module")
def control() -> directions.Directions:
    return directions.load()


@pytest.fixture(scope="module")
def style() -> np.ndarray:
    assets.pull("mobilestylegan")
    return synthetic.style_of(seeding.rng(3, "test").standard_normal((1, 512), dtype=np.float32), 0.6)


def test_the_file_is_small_and_of_the_expected_form(control):
    data = resources.files("occface.sources").joinpath(directions.FILE).read_bytes()
    assert len(data) < 100_000
    assert directions.digest() == hashlib.sha256(data).hexdigest()
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        assert tuple(arrays["controls"].tolist()) == directions.CONTROLS
        assert tuple(arrays["measures"].tolist()) == NAMES
    assert control.vectors.shape == (6, 512)
    assert control.vectors.dtype == np.float32
    assert control.effect.shape == (len(NAMES), len(directions.CONTROLS))
    assert (control.spread > 0).all()
    assert all(0 <= first < last <= 16 for first, last in control.levels.tolist())


def test_each_control_moves_its_own_measure_most(control):
    in_spreads = control.effect * control.spread / control.spread[:, None]
    own = np.diag(in_spreads)
    assert (own > 0.4).all()
    # A smile may open the mouth and narrow the eyes; nothing else drags another measure along by more than a third.
    others = np.delete(np.abs(in_spreads - np.diag(own)), directions.CONTROLS.index("smile"), axis=1)
    assert others.max() < 0.34


def test_a_direction_is_added_to_its_own_styles(control, style):
    still = control.move(style, np.zeros(6))
    np.testing.assert_array_equal(still, np.repeat(style, 16, axis=0)[None])
    for i, (first, last) in enumerate(control.levels.tolist()):
        moved = control.move(style, 2.0 * np.eye(6)[i]) - still
        np.testing.assert_allclose(moved[0, first:last], np.tile(2 * control.vectors[i], (last - first, 1)), atol=1e-5)
        assert not moved[0, :first].any()
        assert not moved[0, last:].any()


def test_yaw_turns_a_face_by_about_as_much_as_is_said(control, style):
    turned = []
    for strength in (-20.0, 20.0):
        image = synthetic.draw(control.move(style, strength * np.eye(6)[0]), 512)
        turned.append(head_pose(DlibLandmarks()(image, DlibDetector().detect(image)[0].box)).yaw)
    assert 25 < turned[1] - turned[0] < 55


def test_a_correction_brings_the_wanted_measures_near_and_is_shorter_than_an_exact_one(control):
    difference = control.spread * (1.0, 0, -0.5, 0.5, 0, 0.2)
    wanted = np.array([True, False, True, True, False, False])
    strengths = control.correction(difference, wanted)
    reached = control.effect @ strengths
    assert (np.abs(reached - difference)[wanted] < 0.1 * control.spread[wanted]).all()
    exact = np.linalg.lstsq(
        (control.effect * control.spread / control.spread[:, None])[wanted], (difference / control.spread)[wanted]
    )[0]
    assert np.linalg.norm(strengths / control.spread) <= np.linalg.norm(exact)
    assert not control.correction(np.zeros(6), wanted).any()


def test_what_a_step_showed_is_learned_and_nothing_else(control):
    step = control.spread * (2.0, 0, 0, 1.0, 0, 0)
    change = control.effect @ step * 0.5 + 0.1 * control.spread
    learned = control.learned(step, change)
    before = np.abs(control.effect @ step - change)
    assert (np.abs(learned.effect @ step - change) < 0.1 * before + 1e-12).all()
    across = control.spread * (1.0, 0, 0, -2.0, 5.0, 0)  # at right angles, in spreads
    np.testing.assert_allclose(learned.effect @ across, control.effect @ across, atol=1e-9)
    small = control.learned(step * 0.01, change)
    assert np.abs(small.effect - control.effect).max() < np.abs(learned.effect - control.effect).max() * 2


def test_learning_finds_the_root_of_a_linear_face(control):
    """With effects half as strong as held, Broyden's method still arrives."""
    true = control.effect * 0.5
    target = control.spread * (1.5, 0.3, 0.8, -0.5, 0.4, 0.2)
    strengths, measured = np.zeros(6), np.zeros(6)
    guess = control
    for _ in range(12):
        step = guess.correction(target - measured, np.ones(6, bool))
        strengths = strengths + step
        now = true @ strengths
        guess = guess.learned(step, now - measured)
        measured = now
    np.testing.assert_allclose(measured / control.spread, target / control.spread, atol=0.1)
