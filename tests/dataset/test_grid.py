import numpy as np
import pytest

from occface import files
from occface.dataset.config import DatasetConfig
from occface.dataset.grid import write_contact_sheet
from occface.dataset.make import make_dataset
from occface.dataset.reader import DatasetFile
from occface.errors import BadImageError, UsageError
from occface.images import read_image
from occface.sources.base import Photo
from occface.sources.folder import FolderSource

YAWS = {"-30": -28.0, "0": 1.5, "+30": 33.0}


class Grid(FolderSource):
    """Two people in three poses; the second cannot be had from the right."""

    def photos(self):
        names = [photo.path for photo in super().photos()[:2]]
        return [
            Photo(id=f"grid/{n:04d}/{yaw}/neutral", path=name, identity=f"grid/{n:04d}", pose=yaw, group=f"{n}")
            for n, name in enumerate(names)
            for yaw in sorted(YAWS)
        ]

    def read(self, photo):
        if photo.identity == "grid/0001" and photo.pose == "+30":
            raise BadImageError("its yaw is +12.0, asked was +30 +- 6")
        plain = super().read(photo)
        person = int(photo.identity[-1])
        measured = {"asked_pose": photo.pose, "pose": f"{YAWS[photo.pose] + person:+.1f}", "draws": str(10 + person)}
        return type(plain)(plain.image, plain.sha256, measured=measured)

    def describe(self):
        return {**super().describe(), "identities": 2, "poses": [-30, 0, 30], "expressions": ["neutral"]}


@pytest.fixture(scope="module")
def made(tmp_path_factory, faces_folder):
    return make_dataset(
        Grid(str(faces_folder)), tmp_path_factory.mktemp("grid") / "g.h5", DatasetConfig(test=1, masks=("nose",))
    )


def test_yield_and_yaws_are_reported(made):
    assert (made.grid["asked"], made.grid["kept"], made.grid["drawn"]) == (6, 5, 21)
    assert made.grid["yaw"]["-30"] == {"n": 2, "mean": -27.5, "sd": 0.5}
    assert list(made.grid["yaw"]) == ["-30", "0", "+30"]
    assert made.as_dict()["grid"] == made.grid
    assert "yaw asked  +30: measured +33.0 +- 0.0 (n = 1)" in made.text()
    assert made.rejected == [("grid/0001/+30/neutral", "its yaw is +12.0, asked was +30 +- 6")]


def test_what_was_measured_stands_in_the_columns_and_what_was_asked_beside_it(made):
    data = DatasetFile(made.path)
    (split,) = [split for split in data.splits if "grid/0000" in set(data.columns(split)["identity"])]
    columns = data.columns(split)
    poses = dict(zip(columns["id"], columns["pose"], strict=True))
    assert poses["grid/0000/-30/neutral"] == "-28.0"
    assert {files.parse_json_object(labels)["asked_pose"] for labels in columns["labels"]} == set(YAWS)
    assert sorted(data.count(split) for split in data.splits) == [2, 3]  # whole people are held out


def test_the_contact_sheet_shows_every_face_in_its_place(made, tmp_path):
    write_contact_sheet(DatasetFile(made.path), tmp_path / "sheet.png")
    sheet = read_image(tmp_path / "sheet.png")
    assert sheet.shape == (34 + 2 * 96, 48 + 3 * 96, 3)
    tiles = [[sheet[34 + 96 * i : 129 + 96 * i, 48 + 96 * j : 143 + 96 * j] for j in range(3)] for i in range(2)]
    assert (tiles[1][2] == tiles[1][2][0, 0]).all()  # the one that could not be had
    assert all(np.ptp(tiles[i][j]) > 100 for i, j in ((0, 0), (0, 1), (0, 2), (1, 0), (1, 1)))


def test_other_data_sets_are_no_grid(dataset, tmp_path):
    with pytest.raises(UsageError, match="no grid of generated people"):
        write_contact_sheet(dataset, tmp_path / "sheet.png")
