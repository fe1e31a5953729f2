"""The Frechet distance against SciPy's matrix root and closed forms, and the features that it is of."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm

from occface import assets
from occface.faces import recognition
from occface.metrics import METRICS
from occface.metrics.frechet import frechet_distance
from occface.metrics.perceptual import network


def test_it_agrees_with_scipys_matrix_root() -> None:
    rng = np.random.default_rng(0)
    true = rng.normal(size=(60, 12)) @ rng.normal(size=(12, 12))
    found = rng.normal(size=(50, 12)) @ rng.normal(size=(12, 12)) + rng.normal(size=12)
    ours, theirs = np.cov(found, rowvar=False), np.cov(true, rowvar=False)
    shift = found.mean(0) - true.mean(0)
    wanted = shift @ shift + np.trace(ours + theirs - 2 * np.real(sqrtm(ours @ theirs)))
    assert frechet_distance(found, true) == pytest.approx(wanted, rel=1e-8)
    assert frechet_distance(true, found) == pytest.approx(wanted, rel=1e-8)


def test_independent_features_have_a_closed_form() -> None:
    signs = np.array([[a, b] for a in (-1.0, 1.0) for b in (-1.0, 1.0)])  # of variance 4/3, uncorrelated
    found, true = signs * (1, 3) + (5, 0), signs * (2, 0.5)
    assert frechet_distance(found, true) == pytest.approx(25 + 4 / 3 * ((2 - 1) ** 2 + (3 - 0.5) ** 2))


def test_equal_sets_have_no_distance_even_where_a_feature_is_constant() -> None:
    points = np.random.default_rng(0).normal(size=(30, 5))
    points[:, 2] = 1
    assert frechet_distance(points, points) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(points + 2, points) == pytest.approx(5 * 4)


def test_it_is_of_the_features_it_names(make_faces, make_pictures) -> None:
    assets.pull("stlpips-alex")
    truth, result = make_pictures(65, size=48), make_pictures(65, seed=1, size=48)
    result //= 2
    metric = METRICS.get("frechet")()
    found = metric.measure(make_faces(truth, result))
    first = network().stages[0]
    shift, scale = torch.tensor([-0.030, -0.088, -0.188]), torch.tensor([0.458, 0.448, 0.450])
    features = []
    with torch.no_grad():
        for faces in (result, truth):
            x = ((torch.from_numpy(faces) / 127.5 - 1 - shift) / scale).permute(0, 3, 1, 2)
            features.append(first(x).mean((2, 3)).double().numpy())
    ours, theirs = (np.cov(values, rowvar=False) for values in features)
    gap = features[0].mean(0) - features[1].mean(0)
    roots = np.sqrt(np.linalg.eigvals(ours @ theirs).astype(complex)).real.sum()
    assert found == pytest.approx(gap @ gap + np.trace(ours) + np.trace(theirs) - 2 * roots, rel=1e-3)
    assert found > 10 * metric.measure(make_faces(truth, truth + (truth < 255)))
    assert metric.measure(make_faces(truth, truth)) == pytest.approx(0, abs=1e-4)


def test_too_few_faces_have_no_value_and_need_no_weights(make_faces, make_pictures, monkeypatch) -> None:
    monkeypatch.setattr(recognition, "embed", lambda *face: pytest.fail("was asked"))
    truth = make_pictures(64, size=48)
    assert math.isnan(METRICS.get("frechet")().measure(make_faces(truth, truth)))
    assert math.isnan(METRICS.get("frechet")(features="dlib-128").measure(make_faces(truth, truth)))


def test_the_recogniser_may_be_asked_instead(make_faces, make_pictures, monkeypatch) -> None:
    monkeypatch.setattr(recognition, "embed", lambda image, landmarks: image.reshape(-1)[:128].astype(np.float32))
    truth, result = make_pictures(140, size=16), make_pictures(140, seed=1, size=16)
    metric = METRICS.get("frechet")(features="dlib-128")
    wanted = frechet_distance(*(faces.reshape(140, -1)[:, :128] for faces in (result, truth)))
    assert metric.measure(make_faces(truth, result)) == pytest.approx(wanted)
    assert metric.assets == ("dlib-recognition",)
    assert "dlib" in metric.columns[0].contract
