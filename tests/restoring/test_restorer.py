"""One call from faces to restored ones, whatever the pipeline."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

import occface
from occface.errors import UsageError
from occface.faces import LANDMARKERS
from occface.images import to_float, to_uint8
from occface.methods.weights import load_method
from occface.restoring.restorer import Restorer


@pytest.fixture(scope="module")
def hrs(dataset_path):
    from occface.dataset.reader import DatasetFile

    data = DatasetFile(dataset_path)
    return [data.record("train", row, ["hr"])["hr"] for row in range(4)]


def test_the_package_gives_it_by_name():
    assert occface.Restorer is Restorer
    with pytest.raises(AttributeError, match="no attribute 'Restorers'"):
        occface.Restorers  # noqa: B018


def test_the_result_is_the_methods_own(restorer, runs, hrs):
    restored = restorer.restore(hrs[0])
    lr = restored.thumbnail.lr
    points = LANDMARKERS.get("dlib")().on_lr(lr)
    method = load_method(runs["pro-uigan"]).method
    made = method.results({"lr": to_float(lr[None]), "landmarks_lr": torch.from_numpy(points[None])})
    np.testing.assert_array_equal(restored.result, to_uint8(made["stage_3"])[0])
    assert [stage.shape for stage in restored.stages] == [(32, 32, 3), (64, 64, 3)]
    np.testing.assert_array_equal(restored.stages[1], to_uint8(made["stage_2"])[0])
    np.testing.assert_array_equal(restored.landmarks_lr, points)
    assert [maps.shape for maps in restored.heatmaps] == [(68, 16, 16), (68, 32, 32), (68, 64, 64)]


def test_landmarks_and_their_sureness_are_read_from_the_last_heatmaps(restorer, hrs):
    restored = restorer.restore(hrs[1])
    last = restored.heatmaps[-1].astype(np.float64)
    assert restored.confidence == pytest.approx(last.reshape(68, -1).max(1).mean())
    y, x = divmod(int(last[30].argmax()), 64)
    assert np.abs(restored.landmarks[30] - (2 * np.array([x, y]) + 0.5)).max() <= 0.5  # a quarter of a pixel of the map


def test_a_batch_gives_what_its_faces_give_alone(restorer, hrs):
    together = restorer.restore(hrs)
    stacked = restorer.restore(np.stack(hrs))
    for hr, one, same in zip(hrs, together, stacked, strict=True):
        np.testing.assert_array_equal(one.result, same.result)
        assert np.abs(restorer.restore(hr).result.astype(int) - one.result).max() <= 1


def test_threads_take_turns(restorer, hrs):
    expected = [restorer.restore(hr).result for hr in hrs]
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda hr: restorer.restore(hr).result, hrs * 3))
    for number, result in enumerate(found):
        np.testing.assert_array_equal(result, expected[number % len(hrs)])
    assert not any(part.training for part in restorer.pipeline.stages[0].method.modules())


def test_masks_are_filled_and_given_to_those_that_need_them(runs, hrs):
    restorer = Restorer.from_pretrained("bicubic+gfc", weights={"gfc": runs["gfc"]}, device="cpu")
    mask = np.zeros((128, 128), np.uint8)
    mask[40:80, 40:80] = 1
    restored = restorer.restore(hrs[0], mask)
    assert (restored.landmarks, restored.heatmaps, restored.stages) == (None, (), ())
    assert np.isnan(restored.confidence)
    assert (restored.thumbnail.lr[6:9, 6:9] == 128).all()
    with pytest.raises(UsageError, match="must be told where faces are hidden"):
        restorer.restore(hrs[0])
    blotted = hrs[0].copy()
    blotted[56:104, 40:88] = (40, 90, 200)
    assert restorer.restore(blotted, "auto").thumbnail.mask[64:96, 48:80].all()
    found = restorer.restore(restored.thumbnail.lr, "flat").thumbnail
    assert found.mask[48:72, 48:72].all()


def test_what_the_model_takes_away_becomes_the_mask(runs, hrs, monkeypatch):
    """A model that draws everything in one grey takes all away but that grey."""
    monkeypatch.setattr("occface.restoring.holes.of_no_face", lambda lr, hidden: np.zeros((16, 16), bool))
    monkeypatch.setattr("occface.restoring.holes.flat_patches", lambda lr: np.zeros((16, 16), bool))
    restorer = Restorer.from_pretrained(runs["pro-uigan"], device="cpu")
    generator = restorer.pipeline.stages[0].method.generator
    plain = generator.forward

    def forward(lr, *args, **kwargs):
        made = plain(lr, *args, **kwargs)
        return made._replace(images=(*made.images[:2], torch.zeros_like(made.images[2])))

    generator.forward = forward
    face = np.full((128, 128, 3), 128, np.uint8)
    face[32:64, 32:64] = 20
    mask = restorer.restore(face, "auto").thumbnail.mask
    assert mask[32:64, 32:64].all()
    assert mask.mean() < 0.25
    untouched = restorer.restore(np.full((128, 128, 3), 128, np.uint8), "auto").thumbnail
    assert not untouched.mask.any()


def test_bad_requests(restorer, hrs):
    with pytest.raises(UsageError, match="did you mean 'auto'"):
        restorer.restore(hrs[0], "aut")
    with pytest.raises(UsageError, match="for each of 2 faces, got 1"):
        restorer.restore(hrs[:2], [None])
