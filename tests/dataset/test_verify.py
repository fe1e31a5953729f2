import shutil

import h5py
import numpy as np
import pytest

from occface.dataset.verify import describe, verify


@pytest.fixture
def damaged(tmp_path, dataset_path):
    """Return a function that applies a change to a copy of the data set and gives what `verify` finds."""

    def check(change):
        path = tmp_path / "damaged.h5"
        shutil.copy(dataset_path, path)
        with h5py.File(path, "r+") as file:
            change(file)
        return verify(path)

    return check


def test_a_whole_file_has_nothing_wrong(dataset_path):
    assert verify(dataset_path) == []


def test_one_changed_pixel_is_found(damaged):
    def change(file):
        file["train/hr"][0, 0, 0, 0] ^= 1

    assert any("content hash" in line for line in damaged(change))


def test_a_changed_lr_face_is_named(damaged):
    def change(file):
        file["test/occluded/square/lr"][1] = 0

    assert "test/occluded/square/lr: record 1 is not what hr and mask give" in damaged(change)


def test_a_mask_that_is_none_is_named(damaged):
    def change(file):
        file["train/occluded/irregular/mask"][0, 0, 0] = 7

    assert "train/occluded/irregular/mask, records from 0 on: expected values in [0, 1], got [0, 7]" in damaged(change)


def test_landmarks_that_are_not_numbers_are_named(damaged):
    def change(file):
        file["train/landmarks"][2, 3] = np.nan

    assert any("train/landmarks" in line and "finite" in line for line in damaged(change))


def test_landmarks_that_lie_beside_the_crop_are_named(damaged):
    def change(file):
        file["train/landmarks"][1] += 100

    found = damaged(change)
    assert len(found) == 1
    assert found[0].startswith("train/landmarks, records from 0 on: of the 68 landmarks of record 1 of these only")


def test_a_missing_and_a_misshapen_field_are_named(damaged):
    def change(file):
        del file["train/lr_clean"]
        del file["test/box"]
        file["test/box"] = np.zeros((2, 5))

    found = damaged(change)
    assert "train/lr_clean is missing" in found
    assert any(line.startswith("test/box: expected float32 (2, 4), got float64 (2, 5)") for line in found)


def test_noise_fills_can_be_made_again(tmp_path, faces_folder):
    from occface.dataset.config import DatasetConfig
    from occface.dataset.make import make_dataset
    from occface.sources.folder import FolderSource

    config = DatasetConfig(fill="noise", masks=("square",), test=2)
    assert verify(make_dataset(FolderSource(str(faces_folder)), tmp_path / "noise.h5", config).path) == []


def test_the_description_says_what_is_in_the_file(dataset_path):
    said = describe(dataset_path)
    assert said["faces"] == {"test": 2, "train": 4}
    assert said["masks"] == ["irregular", "square"]
    assert said["configuration"]["lr_kernel"] == "antialiased"
