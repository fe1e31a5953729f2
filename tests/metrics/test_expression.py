"""Folds, classifiers that never saw the person they judge, what is kept of them, and the pretrained judge by name."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from occface import assets
from occface.errors import UsageError
from occface.faces.align import CROP_BOX
from occface.faces.expression import EXPRESSIONS, expression_scores
from occface.metrics import METRICS, expression_folds
from occface.metrics.expression_folds import classifier, folds_of, views


def grins(people: int, seed: int = 0):
    """Return pictures of two 'expressions' of each person: a bright bar across, or upright, in the middle of noise."""
    pictures = np.random.default_rng(seed).integers(60, 120, (2 * people, 128, 128, 3), np.uint8)
    pictures[::2, 60:72, 30:98] = 230
    pictures[1::2, 32:100, 58:70] = 230
    names = [f"person {number // 2}" for number in range(2 * people)]
    return pictures, names, ["flat", "tall"] * people


@pytest.fixture
def known(known_faces, make_labels):
    pictures, names, kinds = grins(6)
    return known_faces(pictures, np.zeros((12, 68, 2), np.float32), make_labels(12, identity=names, expression=kinds))


def measured(metric, known, make_faces, result):
    truth = known.fields["hr"]
    return metric.measure(make_faces(truth, result, columns=known.labels))


def test_people_are_dealt_out_evenly_whatever_their_order() -> None:
    people = [f"p{number}" for number in range(23)]
    folds = folds_of(people, 10, seed=1)
    assert sorted(folds) == sorted(people)
    assert sorted(np.bincount(list(folds.values()))) == [2] * 7 + [3] * 3
    assert folds_of([*people[::-1], *people], 10, seed=1) == folds
    assert folds_of(people, 10, seed=2) != folds
    assert sorted(folds_of(["a", "b", "c"], 10, seed=0).values()) == [0, 1, 2]


def test_expressions_are_told_apart_and_mistaken_ones_are_wrong(known, make_faces, tmp_path) -> None:
    metric = METRICS.get("expression")(folds=2, steps=20, cache=str(tmp_path))
    metric.prepare(known, "test")
    facts = metric.facts()
    assert (facts["folds"], facts["people"], facts["faces"], facts["expressions"]) == (2, 6, 12, ["flat", "tall"])
    truth = known.fields["hr"]
    found = measured(metric, known, make_faces, truth)
    assert found["expression_seen"].tolist() == ["flat", "tall"] * 6
    assert facts["clean_accuracy"] == found["expression_correct"].mean() == 1
    swapped = truth.reshape(6, 2, *truth.shape[1:])[:, ::-1].reshape(truth.shape)
    turned = measured(metric, known, make_faces, swapped)
    assert turned["expression_seen"].tolist() == ["tall", "flat"] * 6
    assert turned["expression_correct"].tolist() == [0] * 12
    assert len(list(tmp_path.iterdir())) == 2


def test_no_classifier_saw_the_person_it_judges(known, make_faces, monkeypatch) -> None:
    """A classifier that only knows the faces it has seen by heart recognises none of those it is given."""
    seen, judged = [], []

    def remember(faces, labels, classes, seed, steps, cache=None):
        seen.append({face.tobytes() for face in faces})
        return len(seen) - 1

    def judge(network, faces):
        judged.extend(faces)
        assert not {face.tobytes() for face in faces} & seen[network]
        assert len(seen[network]) == 10  # all other people's two faces
        return np.zeros(len(faces), np.int64)

    monkeypatch.setattr("occface.metrics.expression.classifier", remember)
    monkeypatch.setattr("occface.metrics.expression.judged", judge)
    metric = METRICS.get("expression")(steps=1)
    metric.prepare(known, "test")
    assert metric.facts()["folds"] == len(seen) == 6  # as many folds as people
    assert len(judged) == 12
    assert metric.facts()["clean_accuracy"] == 0.5


def test_all_splits_may_be_learnt_from(known, monkeypatch) -> None:
    sizes = []

    def remember(faces, *others):
        sizes.append(len(faces))
        return len(sizes) - 1

    other = [name.replace("person", "stranger") for name in known.labels["identity"]]
    frames = {"test": known.labels, "train": known.labels.assign(identity=other)}
    monkeypatch.setattr(known, "columns", frames.get)
    monkeypatch.setattr(known, "splits", ("train", "test"))
    monkeypatch.setattr("occface.metrics.expression.classifier", remember)
    monkeypatch.setattr("occface.metrics.expression.judged", lambda network, faces: np.zeros(len(faces), np.int64))
    metric = METRICS.get("expression")(learn_from="all", folds=4)
    metric.prepare(known, "test")
    assert sizes == [18] * 4  # three of twelve people left out
    assert "of all splits" in metric.columns[1].contract


def test_faces_without_a_label_are_not_scored(known, make_faces, monkeypatch) -> None:
    known.labels.loc[3, "expression"] = ""
    monkeypatch.setattr("occface.metrics.expression.classifier", lambda faces, *others: len(faces))
    monkeypatch.setattr("occface.metrics.expression.judged", lambda network, faces: np.ones(len(faces), np.int64))
    metric = METRICS.get("expression")()
    metric.prepare(known, "test")
    found = measured(metric, known, make_faces, known.fields["hr"])
    assert np.flatnonzero(np.isnan(found["expression_correct"])).tolist() == [3]
    assert np.flatnonzero(found["expression_seen"] == "").tolist() == [3]
    assert np.nansum(found["expression_correct"]) == 5


def test_a_training_depends_on_its_arguments_alone_and_is_kept(tmp_path, monkeypatch) -> None:
    pictures, _, kinds = grins(3)
    faces, labels = views(pictures), np.array([kinds.index(kind) for kind in kinds])

    def numbers(network):
        return torch.cat([value.flatten().double() for value in network.state_dict().values()])

    first = classifier(faces, labels, 2, 0, 2, tmp_path)
    torch.rand(5)  # what was drawn elsewhere must not matter
    np.random.default_rng()
    assert torch.equal(numbers(first), numbers(classifier(faces, labels, 2, 0, 2)))
    assert not torch.equal(numbers(first), numbers(classifier(faces, labels, 2, 1, 2)))
    monkeypatch.setattr(expression_folds, "_trained", lambda *arguments: pytest.fail("was trained again"))
    assert torch.equal(numbers(first), numbers(classifier(faces, labels, 2, 0, 2, tmp_path)))
    for changed in ((faces[::-1], labels), (faces, 1 - labels)):
        with pytest.raises(pytest.fail.Exception):
            classifier(*changed, 2, 0, 2, tmp_path)
    (kept,) = tmp_path.iterdir()
    kept.write_bytes(b"cut off")
    with pytest.raises(UsageError, match=r"holds no expression classifier: .*; remove it"):
        classifier(faces, labels, 2, 0, 2, tmp_path)


def test_the_pretrained_judge_is_asked_by_name(parsed, known_faces, make_faces, make_labels) -> None:
    assets.pull("expression")
    truth = np.concatenate([parsed.stack("train", "hr"), parsed.stack("test", "hr")])
    told = [EXPRESSIONS[expression_scores(face, CROP_BOX).argmax()] for face in truth]
    seen = ["smile" if word == "happy" else word for word in told]
    labels = [seen[0], "squint", "", "smile", "smile", "neutral"]
    columns = make_labels(6, expression=labels)
    metric = METRICS.get("expression")(judge="mini-xception")
    metric.prepare(known_faces(truth, None, columns), "test")
    found = metric.measure(make_faces(truth, truth, columns=columns))
    assert found["expression_seen"].tolist() == [*seen[:2], "", *seen[3:]]
    wanted = [1, np.nan, np.nan, *(float(a == b) for a, b in zip(seen[3:], labels[3:], strict=True))]
    np.testing.assert_array_equal(found["expression_correct"], wanted)
    assert metric.assets == ("expression",)
    assert "mini-XCEPTION" in metric.columns[1].contract


def test_what_cannot_be_learnt_is_refused(known_faces, make_faces, make_labels, make_pictures) -> None:
    truth = make_pictures(2)
    alone = known_faces(truth, None, make_labels(2, identity=["a", "a"], expression=["flat", "tall"]))
    with pytest.raises(UsageError, match=r"cannot be measured on the split 'test' of known\.h5: expected a second person"):
        METRICS.get("expression")().prepare(alone, "test")
    with pytest.raises(ValueError, match="call prepare"):
        METRICS.get("expression")().measure(make_faces(truth, truth))
    with pytest.raises(UsageError, match="at least 2 folds and 1 step, got 1 and 120"):
        METRICS.get("expression")(folds=1)
    with pytest.raises(UsageError, match="unknown judge 'fer'"):
        METRICS.get("expression")(judge="fer")


def test_where_networks_are_kept_is_no_part_of_the_fingerprint(tmp_path) -> None:
    plain, kept = METRICS.get("expression")(), METRICS.get("expression")(cache=str(tmp_path))
    assert plain.fingerprint() == kept.fingerprint()
    assert plain.fingerprint() != METRICS.get("expression")(seed=1).fingerprint()
