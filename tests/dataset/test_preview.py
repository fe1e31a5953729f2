import shutil

import h5py
import numpy as np
import pytest
from PIL import Image

from occface.dataset import preview
from occface.dataset.preview import preview_sheet
from occface.dataset.reader import DatasetFile
from occface.errors import UsageError

#: What the sheet of the data set of four training and two test faces shows, in its order; two mask types take turns.
SHOWN = [("train", 0), ("train", 1), ("train", 2), ("train", 3), ("test", 0), ("test", 1)]


@pytest.fixture
def sheet(dataset, tmp_path):
    preview_sheet(dataset, tmp_path / "sheet.png")
    return np.asarray(Image.open(tmp_path / "sheet.png"))


def _cells(sheet, number):
    """Return the four pictures of one face, as they stand on the sheet."""
    left = preview._MARGIN + number % 3 * preview._TILE[0]
    top = preview._MARGIN + 2 * (preview._LINE + preview._GAP) + number // 3 * preview._TILE[1]
    step = 128 + preview._GAP
    return [sheet[top : top + 128, left + step * place : left + step * place + 128] for place in range(4)]


def test_every_picture_is_what_the_data_set_holds(dataset, sheet):
    for number, (split, row) in enumerate(SHOWN):
        below = f"occluded/{('irregular', 'square')[number % 2]}/"
        record = dataset.record(split, row, ["hr", f"{below}mask", f"{below}lr"])
        hr, mask, occluded, lr = _cells(sheet, number)
        points = (hr == preview._HR_POINTS).all(axis=2)
        assert (hr == record["hr"])[~points].all()
        assert (mask == record[f"{below}mask"][..., None] * 255).all()
        visible = record[f"{below}mask"] == 0
        assert (occluded == record["hr"])[visible].all()
        assert (occluded[~visible] == 128).all()
        # The stored LR face was made from just this picture: Pillow makes it again.
        again = np.asarray(Image.fromarray(occluded).resize((16, 16), Image.Resampling.BILINEAR))
        assert (again == record[f"{below}lr"]).all()
        points = (lr == preview._LR_POINTS).all(axis=2)
        assert 68 < points.sum() <= 68 * 5
        assert (lr == record[f"{below}lr"].repeat(8, axis=0).repeat(8, axis=1))[~points].all()


def test_landmarks_are_where_they_should_be(dataset, sheet):
    hr = _cells(sheet, 0)[0]
    x, y = np.rint(dataset.record("train", 0, ["landmarks"])["landmarks"]).astype(int).T
    marked = (hr == preview._HR_POINTS).all(axis=2)
    assert marked[y, x].all()
    assert marked.sum() <= 68 * 5


def test_equal_data_give_equal_bytes(dataset, dataset_path, tmp_path):
    preview_sheet(dataset, tmp_path / "here.png")
    elsewhere = DatasetFile(shutil.copy(dataset_path, tmp_path / "another name.h5"))
    preview_sheet(elsewhere, tmp_path / "there.png")
    assert (tmp_path / "here.png").read_bytes() == (tmp_path / "there.png").read_bytes()
    elsewhere.close()
    with h5py.File(tmp_path / "another name.h5", "r+") as file:
        file["test/hr"][1] = 255 - file["test/hr"][1]
    preview_sheet(elsewhere, tmp_path / "there.png")
    assert (tmp_path / "here.png").read_bytes() != (tmp_path / "there.png").read_bytes()


def test_fewer_faces_and_one_split(dataset, tmp_path):
    def size(**settings):
        preview_sheet(dataset, tmp_path / "sheet.png", **settings)
        return Image.open(tmp_path / "sheet.png").size

    tile = preview._TILE
    width, height = size(faces=1)
    assert size(faces=3) == (width + 2 * tile[0], height)
    assert size(faces=4) == (width + 2 * tile[0], height + tile[1])
    assert size(faces=6) == size() == (width + 2 * tile[0], height + tile[1])
    assert size(split="test") == (width + tile[0], height)


def test_splits_share_the_places():
    assert preview._choose({"train": 100, "val": 1, "test": 50}, 8) == [
        *(("train", row) for row in range(4)),
        ("val", 0),
        *(("test", row) for row in range(3)),
    ]


def test_what_cannot_be_shown_is_one_line(dataset, tmp_path):
    with pytest.raises(UsageError, match="no split 'tests': did you mean 'test'"):
        preview_sheet(dataset, tmp_path / "sheet.png", split="tests")
    with pytest.raises(UsageError, match="at least 1 face on the preview sheet, got 0"):
        preview_sheet(dataset, tmp_path / "sheet.png", faces=0)
    assert not list(tmp_path.iterdir())
