from __future__ import annotations

import hashlib
import os
import pickle
import subprocess
import sys

import numpy as np
import openvino
import pytest
import torch

from occface import assets, seeding
from occface.errors import BadImageError, UsageError
from occface.sources.base import Photo
from occface.sources.synthetic import SyntheticSource


@pytest.fixture(scope="module", autouse=True)
def paths():
    return assets.pull("mobilestylegan")


@pytest.fixture(scope="module")
def face():
    """Face 3 of seed 5."""
    source = SyntheticSource(4, seed=5)
    return source.read(source.photos()[3])


def test_photos_are_numbered_and_of_different_people():
    photos = SyntheticSource(12).photos()
    assert [photo.id for photo in photos][:2] == ["synthetic/000000", "synthetic/000001"]
    assert len({photo.id for photo in photos}) == len({photo.identity for photo in photos}) == 12


def test_a_face_is_openvinos_of_the_same_latent(paths, face):
    core = openvino.Core()
    config = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
    mapping, synthesis = (core.compile_model(paths[f"{name}Network.xml"], "CPU", config) for name in ("Mapping", "Synthesis"))
    z = seeding.rng(5, "synthetic", 3, "latent").standard_normal((1, 512), dtype=np.float32)
    mean = np.mean([mapping(z)[0] for z in np.random.default_rng(0).standard_normal((1500, 1, 512), dtype=np.float32)], axis=0)
    large = synthesis(mean + 0.7 * (mapping(z)[0] - mean))[0][0]
    expected = large.reshape(3, 512, 2, 512, 2).mean((2, 4)).transpose(1, 2, 0) * 127.5 + 127.5
    assert face.image.shape == (512, 512, 3)
    assert face.image.dtype == np.uint8
    # The mean styles come from different samples: hence a grey level or two, and no more.
    assert np.abs(face.image - expected.clip(0, 255)).mean() < 2.5


def test_the_hash_is_that_of_the_pixels(face):
    assert face.sha256 == hashlib.sha256(face.image.tobytes()).hexdigest()


def test_bytes_depend_on_seed_and_number_alone(face):
    threads = torch.get_num_threads()
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            source = SyntheticSource(100, seed=5)
            source.read(Photo(id="synthetic/000042"))
            np.testing.assert_array_equal(source.read(Photo(id="synthetic/000003")).image, face.image)
            assert torch.get_num_threads() == count
    finally:
        torch.set_num_threads(threads)
    assert SyntheticSource(4, seed=6).read(Photo(id="synthetic/000003")).sha256 != face.sha256
    assert SyntheticSource(4, seed=5).read(Photo(id="synthetic/000002")).sha256 != face.sha256


@pytest.mark.parametrize("threads", ["1", "2"])
def test_another_process_draws_the_same_bytes(face, threads):
    code = "import pickle, sys; source = pickle.loads(sys.stdin.buffer.read()); print(source.read(source.photos()[3]).sha256)"
    pickled = pickle.dumps(SyntheticSource(4, seed=5))
    assert len(pickled) < 1000
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=pickled,
        capture_output=True,
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": threads},
    )
    assert done.stdout.decode().strip() == face.sha256


def test_truncation_and_size(face):
    wide = SyntheticSource(4, seed=5, truncation=1.0).read(Photo(id="synthetic/000003"))
    assert wide.sha256 != face.sha256
    large = SyntheticSource(4, seed=5, size=1024).read(Photo(id="synthetic/000003")).image
    assert large.shape == (1024, 1024, 3)
    halved = large.reshape(512, 2, 512, 2, 3).mean((1, 3))
    assert np.abs(halved - face.image).mean() < 0.6


def test_describe_names_what_determines_the_bytes():
    said = SyntheticSource(3, seed=2, truncation=0.5).describe()
    assert (said["count"], said["seed"], said["truncation"], said["size"]) == (3, 2, 0.5, 512)
    assert set(said["generator"].values()) == {file.sha256 for file in assets.ASSETS["mobilestylegan"].files}
    assert "FFHQ" in SyntheticSource.licence
    assert SyntheticSource.assets == ("mobilestylegan",)


@pytest.mark.parametrize(
    "values",
    [
        {"count": 0},
        {"count": -3},
        {"count": 1, "truncation": 0.0},
        {"count": 1, "truncation": 1.51},
        {"count": 1, "truncation": float("nan")},
        {"count": 1, "size": 256},
    ],
)
def test_bad_values_are_refused(values):
    with pytest.raises(UsageError, match="expected"):
        SyntheticSource(**values)


@pytest.mark.parametrize("name", ["synthetic/000004", "synthetic/3", "synthetic/-00001", "folder/000003", "000003", ""])
def test_a_photo_of_another_source_is_refused(name):
    with pytest.raises(BadImageError, match="expected synthetic/000000 to synthetic/000003"):
        SyntheticSource(4).read(Photo(id=name))
