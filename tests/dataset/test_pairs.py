import json

import cv2
import h5py
import numpy as np
import pytest
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio

from occface import images
from occface.dataset.config import DatasetConfig
from occface.dataset.make import make_dataset
from occface.dataset.pairs import Place, make_records
from occface.dataset.reader import DatasetFile
from occface.dataset.schema import UNKNOWN_CLASS
from occface.dataset.verify import verify
from occface.errors import UsageError
from occface.faces import align
from occface.faces.turning import Turning
from occface.occlusion import MaskFolder
from occface.sources import open_source
from occface.sources.base import Photo
from occface.sources.folder import FolderSource

CONFIG = DatasetConfig(masks=("square", "mouth"), test=0, seed=3)


class Turned(FolderSource):
    """A folder of which each photograph comes as it is, turned, and mirrored; with parsing maps and points of its own."""

    @property
    def classes(self):
        return ("dark", "l_half", "r_half", "bright")

    @property
    def annotated(self):
        return 2

    def photos(self):
        first, second, *_ = super().photos()
        variants = [
            Photo(id=f"{first.id}/{turns}{mirrored:d}", path=first.path, turns=turns, mirrored=mirrored)
            for turns in range(4)
            for mirrored in (False, True)
        ]
        return [*variants, Photo(id=f"{second.id}/without", path=second.path)]

    def read(self, photo):
        plain = super().read(photo)
        parsing = np.where(plain.image.mean(axis=2) > 128, 3, 0).astype(np.uint8)
        parsing[300:320, 240:270] = 1
        points = np.array([[200, 250], [300, 350]], np.float32)
        return type(plain)(plain.image, plain.sha256, points=points, parsing=None if photo.id.endswith("without") else parsing)


@pytest.fixture(scope="module")
def turned(tmp_path_factory, faces_folder):
    path = tmp_path_factory.mktemp("turned") / "turned.h5"
    make_dataset(Turned(str(faces_folder)), path, CONFIG)
    return DatasetFile(path)


def test_the_eight_variants_are_the_face_turned_and_mirrored(turned):
    hr = turned.stack("train", "hr")
    upright = hr[0]
    for row, (turns, mirrored) in enumerate((t, m) for t in range(4) for m in (False, True)):
        expected = Image.fromarray(upright).rotate(90 * turns)  # Pillow's turns are counter-clockwise too
        expected = expected.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if mirrored else expected
        assert np.array_equal(hr[row], np.asarray(expected))
    assert verify(turned.path) == []
    labels = [json.loads(text) if text else {} for text in turned.columns("train")["labels"]]
    assert labels[0] == {}
    assert labels[5] == {"turns": 2, "mirrored": True}


def test_everything_of_a_variant_turns_with_it(turned, faces_folder):
    """The pixels under landmarks and points stay the same, and so does what the transform takes there."""
    hr, landmarks = turned.stack("train", "hr").astype(float), turned.stack("train", "landmarks")
    points, transforms = turned.stack("train", "annotation"), turned.stack("train", "transform")
    nose = [hr[row][tuple(np.rint(landmarks[row, 30, ::-1]).astype(int))] for row in range(8)]
    assert np.ptp(np.stack(nose), axis=0).max() <= 25  # half a pixel is rounded the other way when mirrored
    for row in range(8):
        expected = align.apply(transforms[row], np.array([[200, 250], [300, 350]]))
        np.testing.assert_allclose(points[row], expected, atol=1e-4)
    left_eye, right_eye = landmarks[:, 36:42].mean(axis=1), landmarks[:, 42:48].mean(axis=1)
    assert left_eye[0, 0] < right_eye[0, 0]
    assert left_eye[1, 0] < right_eye[1, 0]  # mirrored: the numbers change too
    assert left_eye[2, 1] > right_eye[2, 1]  # a quarter turn counter-clockwise
    mouths = turned.stack("train", "occluded/mouth/mask")
    for row in range(8):
        x, y = landmarks[row, 48:68].mean(axis=0).round().astype(int)
        assert mouths[row, y, x] == 1


def test_lr_landmarks_of_variants_are_near_the_face_s(turned):
    true, found = turned.stack("train", "landmarks"), turned.stack("train", "occluded/square/landmarks_lr")
    assert np.linalg.norm(true - found, axis=2).mean(axis=1).max() < 8


def test_parsing_maps_come_by_the_same_transform(turned):
    hr, parsing = turned.stack("train", "hr"), turned.stack("train", "parsing")
    assert (parsing[8] == UNKNOWN_CLASS).all()  # that without a map
    for row in range(8):
        agrees = (hr[row].mean(axis=2) > 128) == (parsing[row] == 3)
        assert agrees.mean() > 0.9
        halves = set(np.unique(parsing[row])) & {1, 2}
        assert halves == ({2} if row % 2 else {1})  # the subject's left is the other side of the mirrored picture
    assert turned.attributes["parsing_classes"] == ["dark", "l_half", "r_half", "bright"]


def test_a_photograph_is_looked_at_once_for_all_its_variants(tmp_path, faces_folder, monkeypatch):
    read, names = Turned.read, []

    def counts(self, photo):
        names.append(photo.path)
        return read(self, photo)

    monkeypatch.setattr(Turned, "read", counts)
    make_dataset(Turned(str(faces_folder)), tmp_path / "a.h5", CONFIG)
    assert len(names) == 3  # once upright, once for seven variants, once for the second photograph


def test_turning_back_is_the_inverse():
    picture = np.arange(128 * 128).reshape(128, 128)
    for turns in range(4):
        for mirrored in (False, True):
            turning = Turning(turns, mirrored)
            assert np.array_equal(turning.undone(turning.picture(picture)), picture)


@pytest.fixture(scope="module")
def group(tmp_path_factory, faces_folder):
    """A folder with one photograph of three people side by side, the middle one the largest."""
    folder = tmp_path_factory.mktemp("group")
    canvas = Image.new("RGB", (1200, 512), "grey")
    for left, side, path in zip((0, 340, 860), (330, 500, 330), sorted(faces_folder.iterdir())[:3], strict=True):
        canvas.paste(Image.open(path).resize((side, side)), (left, 0))
    canvas.save(folder / "group.png")
    return folder


def test_all_faces_of_a_photograph_become_records(tmp_path, group):
    (tmp_path / "labels.csv").write_text("file,identity\ngroup.png,Ada\n")
    source = FolderSource(str(group), labels=str(tmp_path / "labels.csv"))
    made = make_dataset(source, tmp_path / "a.h5", DatasetConfig(test=0, faces="all"))
    data = DatasetFile(made.path)
    assert data.columns("train")["identity"].tolist() == ["Ada", "", ""]  # a label is that of the photograph's subject
    assert data.columns("train")["id"].tolist() == ["group.png", "group.png#2", "group.png#3"]
    assert data.stack("train", "face").tolist() == [0, 1, 2]
    masks = data.stack("train", "occluded/square/mask")
    assert not np.array_equal(masks[0], masks[1])
    assert verify(made.path) == []


def test_a_kept_photograph_is_the_file_and_opens(tmp_path, faces_folder):
    config = DatasetConfig(test=2, keep_uncropped=True)
    made = make_dataset(FolderSource(str(faces_folder)), tmp_path / "a.h5", config)
    data = DatasetFile(made.path)
    name = data.columns("test")["path"][1]
    assert data.record("test", 1, ["uncropped"])["uncropped"].tobytes() == (faces_folder / name).read_bytes()
    photo = data.photograph("test", 1)
    transform = data.record("test", 1, ["transform"])["transform"]
    assert np.array_equal(align.warp(photo, transform), data.record("test", 1, ["hr"])["hr"])
    height, width = photo.shape[:2]
    inverse = cv2.WARP_INVERSE_MAP | cv2.INTER_CUBIC  # what OpenCV needs to put the face back where it was
    hr = data.record("test", 1, ["hr"])["hr"]
    back = cv2.warpAffine(hr, transform, (width, height), flags=inverse)
    covered = cv2.warpAffine(np.full((128, 128), 255, np.uint8), transform, (width, height), flags=cv2.WARP_INVERSE_MAP) == 255
    assert covered.mean() > 0.1
    assert peak_signal_noise_ratio(photo[covered], back[covered]) > 25
    assert verify(made.path) == []
    data.close()
    with h5py.File(made.path, "r+") as file:
        file["test/uncropped"][0] = np.zeros(3, np.uint8)
    assert any("not the photograph" in line for line in verify(made.path))


def test_without_photographs_there_is_one_line(dataset):
    with pytest.raises(UsageError, match="--keep-uncropped"):
        dataset.photograph("train", 0)


def test_faces_found_once_are_used_again(tmp_path, faces_folder):
    table = tmp_path / "faces.csv"
    first = make_dataset(FolderSource(str(faces_folder)), tmp_path / "a.h5", CONFIG, write_faces=table)
    again = make_dataset(open_source(str(faces_folder), faces=str(table)), tmp_path / "b.h5", CONFIG)
    one, other = DatasetFile(first.path), DatasetFile(again.path)
    assert set(other.columns("train")["detector"]) == set(other.columns("train")["landmarker"]) == {"given"}
    np.testing.assert_allclose(one.stack("train", "transform"), other.stack("train", "transform"), rtol=1e-4, atol=2e-3)
    assert np.abs(one.stack("train", "hr").astype(int) - other.stack("train", "hr")).max() <= 2


def test_masks_of_the_user_are_used_and_known_by_their_hash(tmp_path, faces_folder):
    (tmp_path / "masks").mkdir()
    mask = np.zeros((64, 64), np.uint8)
    mask[10:20, 20:50] = 255
    images.write_png(tmp_path / "masks" / "a.png", mask)
    config = DatasetConfig(masks=("folder",), mask_folder=MaskFolder(tmp_path / "masks"), test=0)
    data = DatasetFile(make_dataset(FolderSource(str(faces_folder)), tmp_path / "a.h5", config).path)
    expected = np.asarray(Image.fromarray(mask).resize((128, 128), Image.Resampling.NEAREST)) // 255
    assert all(np.array_equal(held, expected) for held in data.stack("train", "occluded/folder/mask"))
    assert data.configuration["mask_folder"]["count"] == 1
    assert str(tmp_path) not in json.dumps(data.configuration)


def test_the_randomness_of_a_first_face_hangs_on_its_place_alone(faces_folder):
    source = FolderSource(str(faces_folder))
    photo = source.photos()[0]
    (one,), _ = make_records(source, photo, Place("train", 5), CONFIG)
    (same,), _ = make_records(source, photo, Place("train", 5), CONFIG)
    (other,), _ = make_records(source, photo, Place("train", 6), CONFIG)
    assert np.array_equal(one["occluded/square/mask"], same["occluded/square/mask"])
    assert not np.array_equal(one["occluded/square/mask"], other["occluded/square/mask"])
