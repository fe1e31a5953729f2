import json
import pickle
import shutil

import h5py
import numpy as np
import pytest
import torch

from occface.dataset.reader import DatasetFile, FacePairs
from occface.dataset.schema import COLUMNS
from occface.errors import UsageError


def test_a_pair_is_a_face_and_a_mask_type(dataset):
    pairs = FacePairs(dataset, "train")
    assert len(pairs) == 8
    pair = pairs[5]  # face 2, the second of irregular and square
    assert np.array_equal(pair["hr"], dataset.stack("train", "hr", 2, 3)[0])
    assert np.array_equal(pair["mask"], dataset.stack("train", "occluded/square/mask", 2, 3)[0])
    with pytest.raises(IndexError):
        pairs[8]


@pytest.mark.parametrize("start", ["fork", "spawn", "forkserver"])
def test_workers_of_every_start_method_read_the_same(dataset, start):
    pairs = FacePairs(dataset, "train")
    here = torch.stack([torch.from_numpy(pairs[n]["hr"]) for n in range(len(pairs))])  # opens the file before the fork
    loader = torch.utils.data.DataLoader(pairs, batch_size=2, num_workers=2, multiprocessing_context=start)
    assert torch.equal(torch.cat([batch["hr"] for batch in loader]), here)


def test_no_handle_is_pickled(dataset):
    dataset.stack("train", "hr")
    copy = pickle.loads(pickle.dumps(dataset))
    assert copy._file is None
    assert np.array_equal(copy.stack("test", "hr"), dataset.stack("test", "hr"))


def test_columns_are_a_frame(dataset):
    columns = dataset.columns("test")
    assert list(columns.columns) == list(COLUMNS)
    assert set(columns["detector"]) == {"dlib"}
    assert len(columns) == 2


def test_another_split_or_mask_is_one_line(dataset):
    with pytest.raises(UsageError, match="no split 'tests': did you mean 'test'"):
        dataset.count("tests")
    with pytest.raises(UsageError, match="no mask type 'squares': did you mean 'square'"):
        FacePairs(dataset, "train", ["squares"])


def test_files_of_others_are_one_line(tmp_path):
    with pytest.raises(UsageError, match="there is none"):
        DatasetFile(tmp_path / "absent.h5")
    (tmp_path / "text.h5").write_text("hello")
    with pytest.raises(UsageError, match="another kind of file"):
        DatasetFile(tmp_path / "text.h5")
    with h5py.File(tmp_path / "theirs.h5", "w") as file:
        file["weights"] = np.zeros(3)
    with pytest.raises(UsageError, match=r"no occface data set: it has no schema_version \(it holds weights\)"):
        DatasetFile(tmp_path / "theirs.h5")
    with h5py.File(tmp_path / "future.h5", "w") as file:
        file.attrs["schema_version"] = 99
    with pytest.raises(UsageError, match="schema version 99"):
        DatasetFile(tmp_path / "future.h5")


def test_a_cut_file_is_one_line(tmp_path, dataset_path):
    (tmp_path / "cut.h5").write_bytes(dataset_path.read_bytes()[:3000])
    with pytest.raises(UsageError, match=r"cut\.h5 is damaged"):
        DatasetFile(tmp_path / "cut.h5")


def test_pairs_read_together_are_those_read_one_by_one(dataset):
    pairs = FacePairs(dataset, "train")
    numbers = [5, 0, 5, 2]
    for name, values in pairs.read(numbers).items():
        assert np.array_equal(values, np.stack([pairs[number][name] for number in numbers]))
    with pytest.raises(IndexError, match="pairs 2 to 8 of 8"):
        pairs.read([8, 2])


def test_a_file_that_was_packed_by_others_reads_the_same(dataset, dataset_path, tmp_path):
    with h5py.File(dataset_path) as file, h5py.File(tmp_path / "packed.h5", "w") as packed:
        packed.attrs.update(file.attrs)

        def pack(name, item):
            if isinstance(item, h5py.Dataset):
                packed.create_dataset(name, data=item[:], dtype=item.dtype, compression="gzip")

        file.visititems(pack)
    pairs, again = FacePairs(dataset, "train"), FacePairs(tmp_path / "packed.h5", "train")
    for name, values in pairs.read([3, 4, 1]).items():
        assert np.array_equal(values, again.read([3, 4, 1])[name])
        assert np.array_equal(pairs[6][name], again[6][name])


def test_what_is_read_is_the_reader_s_own(dataset):
    record = dataset.record("train", 0, ["hr"])["hr"]
    record[:] = 0  # would fail, or write into the file, if it were a map of it
    assert dataset.record("train", 0, ["hr"])["hr"].any()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "expected the configuration to be JSON"),
        ("[]", "expected the configuration to be a JSON object, got list"),
        ("{}", "the configuration lacks source, masks, "),
        (7, "expected the configuration to be text, got int"),
    ],
)
def test_a_configuration_that_is_none_is_one_line(tmp_path, dataset_path, text, message):
    shutil.copy(dataset_path, tmp_path / "edited.h5")
    with h5py.File(tmp_path / "edited.h5", "r+") as file:
        file.attrs["configuration"] = text
    with pytest.raises(UsageError, match=rf"edited\.h5 is damaged: {message}"):
        DatasetFile(tmp_path / "edited.h5")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": "7"}, "expected seed of the configuration to be int, got '7'"),
        ({"masks": [1]}, "expected masks of the configuration to be names"),
        ({"source": {"classes": []}}, "the configuration's source lacks annotated"),
    ],
)
def test_a_configuration_with_other_values_is_one_line(tmp_path, dataset_path, change, message):
    shutil.copy(dataset_path, tmp_path / "edited.h5")
    with h5py.File(tmp_path / "edited.h5", "r+") as file:
        file.attrs["configuration"] = json.dumps(json.loads(file.attrs["configuration"]) | change)
    with pytest.raises(UsageError, match=message):
        DatasetFile(tmp_path / "edited.h5")


def test_groups_of_others_are_named(tmp_path, dataset_path):
    shutil.copy(dataset_path, tmp_path / "more.h5")
    with h5py.File(tmp_path / "more.h5", "r+") as file:
        file.create_group("extra")
        file["val"] = np.zeros(3)
    with pytest.raises(UsageError, match="expected groups train, val, test, got extra, val"):
        DatasetFile(tmp_path / "more.h5")
