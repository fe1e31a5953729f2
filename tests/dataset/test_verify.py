import faulthandler
import json
import os
import shutil
import signal
import traceback

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from occface.dataset.verify import describe, verify
from occface.errors import UsageError


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


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("seed", 8),
        ("source", "helen"),
        ("mask_convention", "0 = occluded"),
        ("detector", "mtcnn"),
        ("landmarker", "fan"),
    ],
)
def test_a_root_attribute_that_was_edited_is_named(damaged, name, value):
    def change(file):
        file.attrs[name] = value

    (found,) = damaged(change)
    assert found.startswith(f"root attribute {name}: expected ")
    assert found.endswith(f"got {value!r}")


def test_an_edited_licence_is_named_where_the_configuration_records_it(damaged):
    def change(file):
        configuration = json.loads(file.attrs["configuration"])
        configuration["source"]["licence"] = "theirs"
        file.attrs["configuration"] = json.dumps(configuration)
        file.attrs["licence"] = "do what you like"

    assert "root attribute licence: expected 'theirs', as the file was made, got 'do what you like'" in damaged(change)


def test_root_attributes_that_are_missing_or_unknown_are_named(damaged):
    def change(file):
        file.attrs["parsing_classes"] = ["skin", "hair"]
        file.attrs["note"] = "mine"
        del file.attrs["seed"]

    assert damaged(change) == [
        "root attribute seed is missing",
        "root attribute note is unknown",
        "root attribute parsing_classes is unknown",
    ]


def test_groups_and_data_sets_that_do_not_belong_are_named(damaged):
    def change(file):
        file.create_group("train/extra")
        file.create_group("test/occluded/round")
        file["test/occluded/square/alpha"] = np.zeros(2)

    assert damaged(change) == [
        "train/extra is unknown",
        "test/occluded/round is unknown",
        "test/occluded/square/alpha is unknown",
    ]


def test_a_field_that_became_a_group_is_named(damaged, tmp_path):
    def change(file):
        del file["train/hr"]
        file.create_group("train/hr")

    assert damaged(change) == ["train/hr: expected a data set, got a group"]
    with pytest.raises(UsageError, match="is damaged: train has no data set hr"):
        describe(tmp_path / "damaged.h5")


def test_only_the_field_of_another_length_is_blamed(damaged):
    def change(file):
        del file["train/hr"]

    assert damaged(change) == ["train/hr is missing"]

    def shorten(file):
        kept = file["train/hr"][:3]
        del file["train/hr"]
        file["train/hr"] = kept

    assert damaged(shorten) == ["train/hr: expected uint8 (4, 128, 128, 3), got uint8 (3, 128, 128, 3)"]


def test_missing_and_empty_groups_are_named(damaged):
    def remove(file):
        del file["train"]

    (found,) = damaged(remove)
    assert found.endswith("or a group is missing (it holds 2 faces in test)")

    def empty(file):
        file.create_group("val")

    assert damaged(empty) == ["val/hr and all other data sets are missing"]


def refusal(work, path):
    """Return what a function returns, or the one line of its refusal; no other error may come from it."""
    try:
        return work(path)
    except UsageError as error:
        return str(error)


def in_child(check, path):
    """Return the exit code of a child process that runs a check, or less than 0 where a signal ended it."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    faulthandler.disable()
    signal.alarm(5)
    try:
        check(path)
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)


def both_end_well(path):
    said, found = refusal(describe, path), refusal(verify, path)
    lines = [found] if isinstance(found, str) else found
    assert isinstance(said, dict) or len(said.splitlines()) == 1
    assert all(len(line.splitlines()) == 1 for line in lines)


def places(path):
    """Return the places of a file's bytes that hold numbers of its data sets, and of the others."""
    holds = np.zeros(path.stat().st_size, bool)

    def mark(name, item):
        if isinstance(item, h5py.Dataset) and item.dtype.kind != "O":
            holds[item.id.get_offset() :][: item.id.get_storage_size()] = True

    with h5py.File(path) as file:
        file.visititems(mark)
    return np.flatnonzero(holds), np.flatnonzero(~holds)


def flipped(path, copy, chosen, data):
    content = bytearray(path.read_bytes())
    flips = st.dictionaries(st.integers(0, len(chosen) - 1), st.integers(1, 255), min_size=1, max_size=8)
    for number, flip in data.draw(flips).items():
        content[chosen[number]] ^= flip
    copy.write_bytes(content)
    return copy


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_flipped_bytes_of_the_structure_end_in_one_line(tmp_path, dataset_path, data):
    copy = flipped(dataset_path, tmp_path / "flipped.h5", places(dataset_path)[1], data)
    # HDF5 itself dies of some damage, or is long busy with it, before anything of ours could see it.
    assert in_child(both_end_well, copy) in {0, -signal.SIGSEGV, -signal.SIGABRT, -signal.SIGALRM}


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_flipped_bytes_of_the_values_are_found(tmp_path, dataset_path, data):
    copy = flipped(dataset_path, tmp_path / "flipped.h5", places(dataset_path)[0], data)
    assert isinstance(describe(copy), dict)
    assert verify(copy)
