from __future__ import annotations

import dlib
import numpy as np
import pytest
from scipy.spatial.distance import cdist

from occface import assets
from occface.faces import align
from occface.faces.detect import DlibDetector
from occface.faces.landmarks import DlibLandmarks
from occface.faces.recognition import THRESHOLD, distances, embed
from occface.images import read_image


@pytest.fixture(scope="module")
def faces(faces_folder):
    """Pictures and landmarks of three fixture faces."""
    images = [read_image(faces_folder / f"face_{i}.jpg") for i in (0, 2, 4)]
    return [(image, DlibLandmarks()(image, DlibDetector().detect(image)[0].box)) for image in images]


@pytest.fixture(scope="module")
def embeddings(faces):
    return np.stack([embed(*face) for face in faces])


def test_the_numbers_are_dlibs_of_its_own_landmarks(faces, embeddings):
    image, _ = faces[0]
    (box,) = dlib.get_frontal_face_detector()(image)
    shape = dlib.shape_predictor(str(next(iter(assets.require("dlib-68").values()))))(image, box)
    network = dlib.face_recognition_model_v1(str(next(iter(assets.require("dlib-recognition").values()))))
    expected = np.array(network.compute_face_descriptor(image, shape))
    # The detector is run at another size here, so that its box and the landmarks differ by a pixel or two.
    assert np.linalg.norm(embeddings[0] - expected) < 0.15
    points = np.array([(point.x, point.y) for point in shape.parts()], dtype=np.float32)
    np.testing.assert_allclose(embed(image, points), expected, atol=1e-5)


def test_people_are_told_apart(embeddings):
    assert embeddings.shape == (3, 128)
    assert embeddings.dtype == np.float32
    apart = distances(embeddings, embeddings)[np.triu_indices(3, 1)]
    assert (apart > THRESHOLD).all()


def test_the_aligned_crop_is_the_same_person(faces, embeddings):
    for (image, landmarks), own in zip(faces, embeddings, strict=True):
        transform = align.crop_transform(landmarks)
        crop = align.warp(image, transform, align.CROP_SIZE)
        assert np.linalg.norm(embed(crop, align.apply(transform, landmarks)) - own) < 0.4


def test_distances_are_scipys(embeddings):
    found = distances(embeddings, embeddings[:2])
    np.testing.assert_allclose(found, cdist(embeddings, embeddings[:2]), atol=1e-6)
