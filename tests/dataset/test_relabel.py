from __future__ import annotations

from dataclasses import replace

import h5py
import numpy as np
import pytest
from click.testing import CliRunner

from occface.cli import main
from occface.dataset.config import DatasetConfig
from occface.dataset.make import make_dataset
from occface.dataset.reader import DatasetFile
from occface.dataset.relabel import relabel
from occface.dataset.verify import verify
from occface.errors import UsageError
from occface.faces.trained_fan import TrainedFanLandmarks
from occface.locking import working_alone
from occface.methods.fan import FanMethod
from occface.methods.weights import save_weights
from occface.sources.folder import FolderSource
from tests.conftest import FACES


class WithTurned(FolderSource):
    """Photographs, and each of them turned and mirrored."""

    def photos(self):
        plain = [replace(photo, split="train", group=photo.path) for photo in super().photos()[:2]]
        turned = [replace(photo, id=f"{photo.id}#turned", turns=1, mirrored=True) for photo in plain]
        return sorted(plain + turned, key=lambda photo: photo.id)


@pytest.fixture(scope="module")
def fan(tmp_path_factory):
    """The run folder of an untrained FAN."""
    folder = tmp_path_factory.mktemp("fan")
    method = FanMethod.build("test")
    save_weights(folder, method.generator, {"method": "fan", "config": method.config})
    return folder


def test_the_copy_is_the_data_set_made_with_these_landmarks(fan, tmp_path):
    trained = TrainedFanLandmarks.open(fan)
    config = DatasetConfig(masks=("square",), test=0, seed=3)
    source = WithTurned(str(FACES))
    plain = make_dataset(source, tmp_path / "plain.h5", config)
    whole = make_dataset(source, tmp_path / "whole.h5", replace(config, lr_landmarker=trained))
    done = relabel(DatasetFile(plain.path), tmp_path / "copy.h5", trained)
    assert done.content_hash == whole.content_hash != plain.content_hash
    assert done.faces == 4
    assert verify(done.path) == []
    old, new = (h5py.File(path)["train/occluded/square/landmarks_lr"][:] for path in (plain.path, done.path))
    assert done.moved == pytest.approx(float(np.hypot(*(old - new).transpose(2, 0, 1)).mean()), rel=1e-5)


def test_nothing_is_replaced_unasked_and_the_data_set_never(dataset, tmp_path):
    (tmp_path / "there.h5").write_text("mine")
    with pytest.raises(UsageError, match="--overwrite"):
        relabel(dataset, tmp_path / "there.h5", "dlib")
    assert (tmp_path / "there.h5").read_text() == "mine"
    with working_alone(tmp_path, "there.h5"), pytest.raises(UsageError, match="another occface is at work on"):
        relabel(dataset, tmp_path / "there.h5", "dlib", overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["there.h5"]
    with pytest.raises(UsageError, match="is the data set itself"):
        relabel(dataset, dataset.path, "dlib", overwrite=True)


def test_the_command_says_how_far_the_landmarks_moved(dataset_path, fan, tmp_path):
    out = tmp_path / "copy.h5"
    done = CliRunner().invoke(main, ["relabel", str(dataset_path), str(out), "--lr-landmarks", f"fan:{fan}", "--workers", "1"])
    assert done.exit_code == 0, done.output
    assert "landmarks of 12 LR faces found anew" in done.output
    back = relabel(DatasetFile(out), tmp_path / "back.h5", "dlib")
    for split in ("train", "test"):
        for mask in ("square", "irregular"):
            name = f"{split}/occluded/{mask}/landmarks_lr"
            np.testing.assert_array_equal(h5py.File(back.path)[name][:], h5py.File(dataset_path)[name][:])
