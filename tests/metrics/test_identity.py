"""Galleries by hand, identification against SciPy's distances, and dlib's recogniser on real pictures of faces."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import cdist, cosine

from occface.faces import recognition
from occface.metrics import METRICS, RestoredFaces
from occface.metrics.identity import gallery_of


@pytest.fixture
def planted(monkeypatch):
    """A recogniser whose numbers are those of a picture's first pixels, minus 128."""
    seen = []

    def embed(image, landmarks):
        seen.append(image)
        return image.reshape(-1)[:128].astype(np.float32) - 128

    monkeypatch.setattr(recognition, "embed", embed)
    return seen


def test_the_gallery_is_frontal_and_neutral_where_labels_say_so(make_labels) -> None:
    rows = [
        ("a", "smile", "0"),
        ("a", "neutral", "+30"),
        ("a", "neutral", "-5.5"),
        ("a", "neutral", "+2"),
        ("b", "neutral", "-45"),
        ("b", "surprise", "+7.5"),  # frontal comes before neutral
        ("", "neutral", "0"),
        ("c", "", ""),
        ("c", "neutral", ""),
        ("d", "smile", "-60"),
        ("d", "smile", "-30"),
        ("e", "smile", "unknown"),
    ]
    identity, expression, pose = (list(column) for column in zip(*rows, strict=True))
    columns = make_labels(len(rows), identity=identity, expression=expression, pose=pose)
    assert gallery_of(columns) == {"a": 3, "b": 5, "c": 8, "d": 10, "e": 11}


def test_identification_and_cosine_agree_with_scipy(planted, known_faces, make_faces, make_pictures, make_labels) -> None:
    people = ["a", "a", "b", "b", "b", "", "c"]
    count = len(people)
    columns = make_labels(count, identity=people, expression=["smile", "neutral", *["smile"] * 5])
    truth, result = make_pictures(count), make_pictures(count, seed=1)
    result[0], result[3], result[6] = truth[1], truth[6], truth[6]  # right, taken for c, right
    metric = METRICS.get("identity")()
    metric.prepare(known_faces(truth, np.zeros((count, 68, 2), np.float32), columns), "test")
    assert metric.facts() == {"gallery": 3}
    values = metric.measure(make_faces(truth, result, columns=columns))
    ours, theirs = (faces.reshape(count, -1)[:, :128].astype(float) - 128 for faces in (result, truth))
    nearest = cdist(ours, theirs[[1, 2, 6]]).argmin(axis=1)
    # Rows 1 and 2 are the gallery's own photographs of people who have others; row 5 is nobody's; row 6 is c's only one.
    assert np.isnan(values["identified"]).tolist() == [False, True, True, False, False, True, False]
    for number in (0, 3, 4, 6):
        assert values["identified"][number] == (["a", "b", "c"][nearest[number]] == people[number])
    assert values["identified"][[0, 3, 6]].tolist() == [1, 0, 1]
    np.testing.assert_allclose(
        values["identity_cosine"], [1 - cosine(*pair) for pair in zip(ours, theirs, strict=True)], atol=1e-9
    )
    asked = len(planted)
    metric.measure(make_faces(truth, result, columns=columns))
    assert len(planted) == asked + count, "the true faces were asked about again"


def test_without_identities_only_the_cosine_is_there(planted, known_faces, make_faces, make_pictures, make_labels) -> None:
    truth = make_pictures(2)
    metric = METRICS.get("identity")()
    metric.prepare(known_faces(truth, np.zeros((2, 68, 2), np.float32), make_labels(2)), "test")
    values = metric.measure(make_faces(truth, truth))
    np.testing.assert_allclose(values["identity_cosine"], 1)
    assert np.isnan(values["identified"]).all()


def test_faces_of_another_split_are_refused(planted, known_faces, make_faces, make_pictures, make_labels) -> None:
    truth = make_pictures(2)
    metric = METRICS.get("identity")()
    with pytest.raises(ValueError, match="call prepare"):
        metric.measure(make_faces(truth, truth))
    metric.prepare(known_faces(truth, np.zeros((2, 68, 2), np.float32), make_labels(2, identity=["a", "b"])), "test")
    with pytest.raises(ValueError, match="got one of 'z', who is not in its gallery"):
        metric.measure(make_faces(truth, truth, columns=make_labels(2, identity=["a", "z"])))


def test_true_faces_are_themselves_and_others_are_not(parsed) -> None:
    truth = parsed.stack("test", "hr")
    metric = METRICS.get("identity")()
    metric.prepare(parsed, "test")
    same, swapped = (
        metric.measure(RestoredFaces.read(parsed, "test", "square", [0, 1], result))["identity_cosine"]
        for result in (truth, truth[::-1].copy())
    )
    np.testing.assert_allclose(same, 1, atol=1e-6)
    assert (swapped < 0.97).all()
