from __future__ import annotations

import hashlib
import json
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
from scipy.spatial.distance import euclidean

from occface import assets
from occface.errors import BadImageError, UsageError
from occface.faces.detect import DlibDetector
from occface.faces.expression import EXPRESSIONS, expression_scores
from occface.faces.landmarks import DlibLandmarks
from occface.faces.measures import head_pose
from occface.faces.recognition import embed
from occface.sources import grid, variants
from occface.sources.base import Photo
from occface.sources.grid import GridSource

#: A person who is whole at the first attempt, so that the tests are quick.
SMALL = GridSource(3, poses=(0, 20), expressions=("neutral", "smile"), seed=2)


@pytest.fixture(scope="module", autouse=True)
def weights():
    for name in GridSource.assets:
        assets.pull(name)


@pytest.fixture(scope="module")
def faces():
    """The four faces of person 0."""
    return {photo.id: SMALL.read(photo) for photo in SMALL.photos()[:4]}


def test_photos_are_the_whole_grid_in_order():
    source = GridSource(12, poses=(-30, 0, 30.0), expressions=("neutral", "squint"), seed=9)
    photos = source.photos()
    assert len({photo.id for photo in photos}) == len(photos) == 72
    assert [photo.id for photo in photos] == sorted(photo.id for photo in photos)
    first = photos[0]
    assert first == Photo(
        id="synthetic-grid/0000/+30/neutral",
        identity="synthetic-grid/0000",
        expression="neutral",
        pose="+30",
        labels='{"asked_expression":"neutral","asked_pose":"+30"}',
        group="synthetic-grid/0000",
    )
    assert all(json.loads(photo.labels)["asked_pose"] == photo.pose == photo.id.split("/")[2] for photo in photos)


def test_faces_measure_as_they_are_labelled(faces):
    landmarks = {}
    for id_, face in faces.items():
        box = DlibDetector().detect(face.image)[0].box
        np.testing.assert_allclose(face.boxes, [box], atol=1e-3)
        landmarks[id_] = DlibLandmarks()(face.image, box)
        yaw = head_pose(landmarks[id_]).yaw
        assert face.measured["pose"] == f"{yaw:+.1f}"
        assert abs(yaw - float(face.measured["asked_pose"])) <= variants.YAW_TOLERANCE
        assert face.measured["expression"] == face.measured["asked_expression"] == id_.split("/")[3]
        happy = expression_scores(face.image, box)[EXPRESSIONS.index("happy")]
        assert (happy > 0.5) == (face.measured["expression"] == "smile"), id_
        assert face.sha256 == hashlib.sha256(face.image.tobytes()).hexdigest()
    own = embed(faces["synthetic-grid/0000/0/neutral"].image, landmarks["synthetic-grid/0000/0/neutral"])
    for id_, face in faces.items():
        distance = euclidean(own, embed(face.image, landmarks[id_]))
        assert float(face.measured["distance"]) == pytest.approx(distance, abs=1e-3)
        assert distance <= variants.DISTANCE


def test_turning_moves_the_nose_and_no_two_faces_are_equal(faces):
    assert len({face.sha256 for face in faces.values()}) == 4
    nose = []
    for pose in ("0", "+20"):
        image = faces[f"synthetic-grid/0000/{pose}/neutral"].image
        points = DlibLandmarks()(image, DlibDetector().detect(image)[0].box)
        nose.append((points[30] - points[[36, 45]].mean(0))[0])
    assert nose[1] > nose[0] + 5


def test_a_person_depends_neither_on_how_many_there_are_nor_on_process_and_threads(faces):
    source = GridSource(2, poses=(0, 20), expressions=("neutral", "smile"), seed=2)
    code = (
        "import pickle, sys; source = pickle.loads(sys.stdin.buffer.read());"
        "print(*(source.read(photo).sha256 for photo in source.photos()[:4]))"
    )
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}
    done = subprocess.run(
        [sys.executable, "-c", code], input=pickle.dumps(source), capture_output=True, check=True, env=environment
    )
    assert done.stdout.decode().split() == [face.sha256 for face in faces.values()]


def test_a_face_that_cannot_be_had_is_refused_with_its_reason(monkeypatch):
    monkeypatch.setattr(variants, "DISTANCE", 0.01)
    monkeypatch.setattr(variants, "DRAWS", 4)
    monkeypatch.setattr(grid, "ATTEMPTS", 1)
    grid._person.cache_clear()
    source = GridSource(1, poses=(0,), expressions=("neutral", "smile"), seed=2)
    try:
        neutral, smile = source.photos()
        assert source.read(neutral).measured["distance"] == "0.000"
        with pytest.raises(BadImageError, match=r"the recogniser sees it|measures as"):
            source.read(smile)
    finally:
        grid._person.cache_clear()


def test_describe_names_what_determines_the_faces():
    said = SMALL.describe()
    json.dumps(said)
    assert (said["identities"], said["poses"], said["expressions"]) == (3, [0.0, 20.0], ["neutral", "smile"])
    pinned = {file.sha256 for name in SMALL.assets for file in assets.ASSETS[name].files}
    assert set(said["networks"].values()) == pinned
    assert len(said["directions"]) == 64
    assert "FFHQ" in SMALL.licence


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"identities": 0}, "identities"),
        ({"identities": 10001}, "identities"),
        ({"poses": ()}, "at least one pose"),
        ({"poses": (0, 0)}, "each but once"),
        ({"poses": (0.0, -0.0)}, "each but once"),
        ({"poses": (0, 60)}, "-40 to 40"),
        ({"poses": (float("nan"),)}, "-40 to 40"),
        ({"expressions": ()}, "at least one expression"),
        ({"expressions": ("neutral", "neutral")}, "each but once"),
        ({"expressions": ("smlie",)}, "did you mean 'smile'"),
        ({"truncation": 0.0}, "truncation"),
        ({"truncation": 1.2}, "truncation"),
        ({"size": 256}, "size"),
    ],
)
def test_bad_values_are_refused(values, message):
    with pytest.raises(UsageError, match=message):
        GridSource(**{"identities": 1, **values})


@pytest.mark.parametrize(
    "id_",
    ["synthetic-grid/0003/0/smile", "synthetic-grid/0000/10/smile", "synthetic-grid/0000/0/scream", "synthetic/000000", ""],
)
def test_a_photo_of_another_source_is_refused(id_):
    with pytest.raises(BadImageError, match="expected a photo of this grid"):
        SMALL.read(Photo(id=id_))
