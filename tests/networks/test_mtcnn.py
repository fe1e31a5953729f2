"""MTCNN's networks: the published sizes, and what each says of a face and of none."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from occface import assets
from occface.errors import AssetError
from occface.images import read_image
from occface.networks import mtcnn

FACES = sorted((Path(__file__).parents[1] / "data" / "faces").glob("*.jpg"))


@pytest.fixture(scope="module")
def networks():
    assets.pull("mtcnn")
    return mtcnn.load_mtcnn()


def batch(pictures):
    return (torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() - 127.5) / 128


def faces(side):
    """The faces from above the brows to the chin, with a little around, where they are by eye."""
    parts = [read_image(path)[75:305, 45:275] for path in FACES]
    return batch([cv2.resize(part, (side, side), interpolation=cv2.INTER_AREA) for part in parts])


def test_sizes_are_those_of_the_published_networks(networks):
    assert [sum(p.numel() for p in network.parameters()) for network in networks] == [6632, 100178, 389040]
    assert not any(p.requires_grad for network in networks for p in network.parameters())


@pytest.mark.parametrize(("number", "side"), [(0, 12), (1, 24), (2, 48)])
def test_faces_are_told_from_noise(networks, number, side):
    noise = batch(list(np.random.default_rng(0).integers(0, 256, (20, side, side, 3), dtype=np.uint8)))
    assert networks[number](faces(side))[0].min() > 0.9
    assert networks[number](noise)[0].max() < 0.3


def test_the_first_network_looks_at_every_second_pixel(networks):
    picture = torch.rand(1, 3, 40, 61) * 2 - 1
    likely, moves = networks[0](picture)
    assert likely.shape == (1, 15, 26)
    assert moves.shape == (1, 4, 15, 26)
    for row, column in ((0, 0), (3, 7), (14, 24)):
        window = picture[:, :, 2 * row : 2 * row + 12, 2 * column : 2 * column + 12]
        torch.testing.assert_close(networks[0](window)[0][0, 0, 0], likely[0, row, column])


def test_the_five_points_lie_on_eyes_nose_and_mouth(networks):
    _, _, points = networks[2](faces(48))
    assert points.shape == (6, 2, 5)
    seen = points[0].T.numpy() * 230 + (45, 75)
    # face_0 by eye: eyes, tip of the nose, corners of the mouth.
    by_eye = np.array([(119, 151), (200, 151), (160, 195), (122, 228), (199, 231)])
    assert np.linalg.norm(seen - by_eye, axis=1).max() < 14


def test_without_the_weights_it_says_what_to_do(monkeypatch):
    monkeypatch.setattr("occface.assets.find", lambda name: None)
    with pytest.raises(AssetError, match="occface assets pull mtcnn"):
        mtcnn.load_mtcnn()
