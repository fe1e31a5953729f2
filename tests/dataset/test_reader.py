import pickle

import h5py
import numpy as np
import pytest
import torch

from occface.dataset.reader import DatasetFile, FacePairs
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
    assert list(columns.columns) == ["id", "identity", "expression", "pose", "path", "sha256"]
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
