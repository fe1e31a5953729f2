"""Holes that nobody named."""

from __future__ import annotations

import numpy as np
import pytest

from occface.occlusion import downsample
from occface.restoring import holes
from occface.restoring.holes import auto_mask, flat_mask, flat_patches, of_no_face, taken_away


def cells(mask):
    """Return which LR pixels a mask covers, having checked that it is made of whole ones."""
    blocks = mask.reshape(16, 8, 16, 8)
    assert (blocks.min((1, 3)) == blocks.max((1, 3))).all()
    return blocks[:, 0, :, 0]


@pytest.fixture(scope="module")
def hrs(dataset_path):
    from occface.dataset.reader import DatasetFile

    data = DatasetFile(dataset_path)
    return [np.asarray(data.field(split, "hr")[row]) for split in ("train", "test") for row in range(2)]


def test_what_the_model_took_away_is_found_with_its_neighbours():
    whole = np.random.default_rng(0).integers(90, 160, (16, 16, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
    lr = downsample(whole).copy()
    lr[4:7, 5:8] = 0
    expected = np.zeros((16, 16), bool)
    expected[3:8, 4:9] = True
    np.testing.assert_array_equal(taken_away(lr, whole, "antialiased"), expected)


def test_a_pixel_alone_is_chance_and_three_are_none():
    whole = np.full((128, 128, 3), 120, np.uint8)
    lr = downsample(whole).copy()
    lr[2, 2] = 0
    assert not taken_away(lr, whole, "antialiased").any()
    lr[2, 3], lr[3, 4] = 0, 0  # diagonal counts
    assert taken_away(lr, whole, "antialiased").sum() == 12 + 9 - 4


def test_differences_just_below_the_limit_are_explained():
    whole = np.full((128, 128, 3), 120, np.uint8)
    lr = downsample(whole).copy()
    lr[4:8, 4:8] = 131  # sqrt(3) * 11 = 19.05
    assert not taken_away(lr, whole, "antialiased").any()
    lr[4:8, 4:8] = 132  # 20.8
    assert taken_away(lr, whole, "antialiased").any()


def test_patches_of_any_one_colour_are_found_but_not_walls_at_the_border():
    lr = np.random.default_rng(0).integers(0, 90, (16, 16, 3), dtype=np.uint8)
    lr[:2], lr[:, :2] = (200, 180, 160), (200, 180, 160)
    assert not flat_patches(lr).any()
    lr[6:8, 6:9] = (90, 60, 200)
    lr[6, 6] += 2  # as much as encoding may change
    expected = np.zeros((16, 16), bool)
    expected[5:9, 5:10] = True
    np.testing.assert_array_equal(flat_patches(lr), expected)
    lr[6, 6] += 1  # no longer two by two alike there, but further right
    lr[6, 8] += 3
    assert not flat_patches(lr).any()


@pytest.mark.parametrize("colour", [(255, 255, 255), (0, 0, 0), (128, 128, 128), (40, 90, 200)])
def test_blots_of_any_colour_are_found_on_faces(hrs, colour):
    """Without a model: two by two cells round the nose and mouth, wholly covered."""
    for hr in hrs:
        blotted = hr.copy()
        blotted[56:104, 40:88] = colour
        found = cells(auto_mask(downsample(blotted), None, "antialiased"))
        truth = np.zeros((16, 16), bool)
        truth[7:13, 5:11] = True
        assert found[truth].mean() > 0.9
        assert found[~truth].mean() < 0.25


def test_a_pattern_that_is_no_face_is_found(hrs):
    rng = np.random.default_rng(3)
    pattern = rng.integers(0, 256, (6, 6, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
    for hr in hrs:
        assert of_no_face(downsample(hr)).mean() < 0.05
        covered = hr.copy()
        covered[56:104, 40:88] = pattern
        lr = downsample(covered)
        assert not flat_patches(lr)[7:13, 5:11].any()
        found = of_no_face(lr)
        assert found[8:12, 6:10].mean() > 0.9
        assert found.mean() < 0.35


def test_what_is_known_to_be_hidden_does_not_pull_the_face_after_it(hrs, monkeypatch):
    """The fit with those pixels left out is the fit of the others; by a regression of scikit-learn's kind, here by hand."""
    from occface.restoring import lr_faces as module

    model = module.lr_faces()
    lr = downsample(hrs[0])
    hidden = np.zeros((16, 16), bool)
    hidden[4:9, 3:9] = True
    monkeypatch.setattr(module, "_STEPS", 1)
    found = model.strangeness(lr, hidden)
    half = np.linalg.cholesky(model.precision).transpose(0, 2, 1)  # half.T @ half is the precision
    seen = ~hidden.ravel()
    rows = (half @ model.directions)[seen].reshape(-1, len(model.variances))
    goal = (half @ (lr.reshape(256, 3) - model.mean)[..., None])[seen].ravel()
    ridge = np.diag(model.variances**-0.5)
    along, *_ = np.linalg.lstsq(np.vstack([rows, ridge]), np.concatenate([goal, np.zeros(len(ridge))]), rcond=None)
    left = half @ (lr.reshape(256, 3) - model.mean - model.directions @ along)[..., None]
    np.testing.assert_allclose(found.ravel(), np.sqrt((left[..., 0] ** 2).mean(axis=1)), rtol=1e-6)


def test_a_model_of_made_faces_finds_their_directions(tmp_path):
    """Faces that vary along one direction, and noise of a known size: both come back, also from the file."""
    from occface.restoring.lr_faces import fit

    rng = np.random.default_rng(0)
    way = rng.normal(size=(16, 8, 3))
    way = np.concatenate([way, way[:, ::-1]], axis=1)  # mirror images vary alike
    way /= np.linalg.norm(way)
    faces = 128 + rng.normal(0, 400, (200, 1, 1, 1)) * way + rng.normal(0, 4, (200, 16, 16, 3))
    model = fit(np.rint(faces.clip(0, 255)).astype(np.uint8), components=1)
    assert abs(model.directions.ravel() @ way.ravel()) > 0.99
    assert model.variances[0] == pytest.approx(400**2, rel=0.2)
    spread = np.linalg.inv(model.precision)
    assert np.trace(spread, axis1=1, axis2=2).mean() / 3 == pytest.approx(4**2 + 1 / 12 + 9, rel=0.05)
    model.save(tmp_path / "m.npz")
    with np.load(tmp_path / "m.npz") as saved:
        np.testing.assert_allclose(saved["directions"], model.directions, atol=1e-3)


def test_nothing_is_said_of_what_the_model_took_away_where_there_is_no_model(monkeypatch):
    monkeypatch.setattr(holes, "of_no_face", lambda lr, hidden: np.zeros((16, 16), bool))
    lr = np.random.default_rng(0).integers(0, 255, (16, 16, 3), dtype=np.uint8)
    assert not auto_mask(lr, None, "antialiased").any()
    assert cells(auto_mask(lr, np.full((128, 128, 3), 120, np.uint8), "antialiased")).any()


def test_a_flat_fill_is_found_by_its_colour():
    lr = np.random.default_rng(0).integers(0, 90, (16, 16, 3), dtype=np.uint8)
    lr[6:8, 6:8] = 128
    found = cells(flat_mask(lr, "gray"))
    assert found[5:9, 5:9].all()
    assert found.sum() == 16
