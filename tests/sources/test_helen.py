from __future__ import annotations

import hashlib
import pickle
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from occface.errors import BadImageError, UsageError
from occface.faces.align import box_of_points
from occface.sources import helen
from occface.sources.helen import CLASSES, HelenSource

SMITH = "SmithCVPR2013_dataset_resized"


def put(path, size=(20, 30)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (9, 60, 200)).save(path)


def points_of(seed):
    return np.random.default_rng(seed).uniform(4, 16, (194, 2)).round(6)


def annotate(root, number, name, points):
    path = root / "annotation" / f"{number}.txt"
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"{name}\n" + "".join(f"{x:.6f} , {y:.6f}\n" for x, y in points))


def names_of(count):
    return [f"{100 + i}_1" for i in range(count)]


@pytest.fixture
def original(tmp_path):
    """60 photographs in the archives' folders, with annotations numbered in another order."""
    root = tmp_path / "helen"
    for i, name in enumerate(names_of(60)):
        put(root / f"helen_{1 + i % 5}" / f"{name}.jpg")
        annotate(root, 60 - i, name, points_of(i))
    return root


def label(root, name, size=(10, 15)):
    folder = root / SMITH / "labels" / name
    folder.mkdir(parents=True)
    masks = np.zeros((11, size[1], size[0]), np.uint8)
    masks[0] = 200
    masks[1, 3:12, 2:8] = 220
    masks[4, 5, 3] = 219  # not above the skin's
    masks[5, 5, 6] = 221
    masks[6, 8, 5] = masks[7, 8, 5] = 255  # equal: the lower number
    for number, mask in enumerate(masks):
        Image.fromarray(mask).save(folder / f"{name}_lbl{number:02d}.png")


def add_smith(root, names, listed):
    (root / SMITH).mkdir(parents=True)
    for name in names:
        put(root / SMITH / "images" / f"{name}.jpg", (10, 15))
    (root / SMITH / "testing.txt").write_text("".join(f"{i} , {name}\n" for i, name in enumerate(listed, 1)))
    (root / SMITH / "exemplars.txt").write_text("")
    (root / SMITH / "tuning.txt").write_text("")
    (root / SMITH / "labels").mkdir()


def test_the_training_set_is_there_eight_times_and_the_last_50_are_test(original):
    photos = HelenSource(str(original)).photos()
    assert Counter(photo.split for photo in photos) == {"train": 10 * 8, "test": 50}
    assert photos == sorted(photos, key=lambda photo: photo.id)
    assert len({photo.id for photo in photos}) == len(photos)
    eight = [photo for photo in photos if photo.path == "helen_1/100_1.jpg"]
    assert {(photo.turns, photo.mirrored) for photo in eight} == {(turns, m) for turns in range(4) for m in (False, True)}
    assert eight == photos[photos.index(eight[0]) :][:8]  # together, so that one job reads the file
    assert {photo.group for photo in eight} == {"helen_1/100_1.jpg"}
    ids = {photo.id: (photo.turns, photo.mirrored) for photo in eight}
    assert ids["helen_1/100_1.jpg"] == (0, False)
    assert ids["helen_1/100_1.jpg@270m"] == (3, True)
    test = [photo for photo in photos if photo.split == "test"]
    assert all(not photo.turns and not photo.mirrored for photo in test)
    assert sorted(photo.path[8:-4] for photo in test) == names_of(60)[10:]


def test_plain_is_the_same_without_the_additional_ones(original):
    paper = HelenSource(str(original)).photos()
    plain = HelenSource(str(original), protocol="plain").photos()
    assert plain == [photo for photo in plain if not photo.turns and not photo.mirrored]
    assert {photo.path: photo.split for photo in plain} == {photo.path: photo.split for photo in paper}
    assert len(plain) == 60
    assert {photo.split for photo in HelenSource(str(original), protocol="free").photos()} == {""}


def test_2330_photographs_give_the_papers_numbers(tmp_path):
    for i in range(2330):
        (tmp_path / f"{i:04d}_1.jpg").touch()
    photos = HelenSource(str(tmp_path)).photos()
    assert Counter(photo.split for photo in photos) == {"train": 2280 * 8, "test": 50}


def test_points_come_from_the_annotation_that_names_the_photograph(original):
    source = HelenSource(str(original), protocol="plain")
    assert source.annotated == 194
    photos = {photo.path: photo for photo in source.photos()}
    photograph = source.read(photos["helen_3/112_1.jpg"])
    np.testing.assert_array_equal(photograph.points, points_of(12).astype(np.float32))
    assert photograph.points.dtype == np.float32
    np.testing.assert_allclose(photograph.boxes, [box_of_points(points_of(12))], rtol=1e-6)
    data = (original / "helen_3" / "112_1.jpg").read_bytes()
    assert (photograph.file, photograph.sha256) == (data, hashlib.sha256(data).hexdigest())
    assert photograph.landmarks is None
    assert photograph.parsing is None
    assert source.classes == ()


def test_damaged_annotations_are_a_reason_not_a_crash(original):
    source = HelenSource(str(original), protocol="plain")
    photos = {photo.path: photo for photo in source.photos()}
    annotate(original, 60, "100_1", points_of(0)[:193])
    annotate(original, 58, "102_1", points_of(2) + 40)
    lines = (original / "annotation" / "59.txt").read_text().replace(" , ", " ; ")
    (original / "annotation" / "59.txt").write_text(lines)
    for path, reason in {
        "helen_1/100_1.jpg": r"60\.txt is damaged: expected 194 points, got 193",
        "helen_2/101_1.jpg": r"59\.txt is damaged: expected lines x , y",
        "helen_3/102_1.jpg": r"58\.txt lie outside the photograph",
    }.items():
        with pytest.raises(BadImageError, match=reason):
            source.read(photos[path])


def test_a_photograph_that_no_annotation_names_has_no_points(original):
    put(original / "helen_1" / "999_1.jpg")
    source = HelenSource(str(original), protocol="plain")
    photo = next(photo for photo in source.photos() if "999" in photo.id)
    assert source.read(photo).points is None
    assert source.read(photo).boxes is None


def test_label_masks_become_a_class_map_of_the_photographs_size(original):
    add_smith(original, ["100_1"], [])
    label(original, "100_1")
    source = HelenSource(str(original), protocol="plain")
    assert source.classes == CLASSES
    photos = {photo.path: photo for photo in source.photos()}
    assert len(photos) == 60  # the shrunk copies are not taken
    parsing = source.read(photos["helen_1/100_1.jpg"]).parsing
    expected = np.zeros((15, 10), np.uint8)
    expected[3:12, 2:8] = 1
    expected[5, 6], expected[8, 5] = 5, 6
    np.testing.assert_array_equal(parsing, expected.repeat(2, axis=0).repeat(2, axis=1))
    assert source.read(photos["helen_2/101_1.jpg"]).parsing is None
    (original / SMITH / "labels" / "100_1" / "100_1_lbl07.png").unlink()
    with pytest.raises(BadImageError, match="cannot be read"):
        source.read(photos["helen_1/100_1.jpg"])


def test_the_shrunk_photographs_alone_are_taken_without_points(tmp_path):
    root = tmp_path / "smith"
    names = names_of(55)
    add_smith(root, names, names[:52])
    annotate(root, 1, names[0], points_of(0))
    label(root, names[0])
    source = HelenSource(str(root), protocol="plain")
    photos = {photo.path: photo for photo in source.photos()}
    photograph = source.read(photos[f"{SMITH}/images/{names[0]}.jpg"])
    assert photograph.points is None
    assert photograph.parsing.shape == (15, 10)
    again = HelenSource(str(root / SMITH), protocol="plain")
    assert [photo.split for photo in again.photos()] == [photo.split for photo in source.photos()]


def test_test_photographs_come_from_the_published_list_or_folder_where_there_is_one(original, tmp_path):
    names = names_of(60)
    add_smith(original, [], names[:52])
    test = {photo.path[8:-4] for photo in HelenSource(str(original)).photos() if photo.split == "test"}
    assert test == set(names[2:52])
    other = tmp_path / "other"
    for i, name in enumerate(names):
        put(other / ("train_1" if i >= 55 else "test") / f"{name}.jpg")
    test = {photo.path for photo in HelenSource(str(other)).photos() if photo.split == "test"}
    assert test == {f"test/{name}.jpg" for name in names[5:55]}


def test_it_is_told_from_other_folders(original, tmp_path):
    assert helen.looks_like(original)
    assert not helen.looks_like(tmp_path / "helen" / "helen_1")
    add_smith(tmp_path / "smith", [], [])
    assert helen.looks_like(tmp_path / "smith")
    assert helen.looks_like(tmp_path / "smith" / SMITH)
    (tmp_path / "boxes" / "annotation").mkdir(parents=True)
    (tmp_path / "boxes" / "annotation" / "1.txt").write_text("0 0.5 0.5 0.1 0.1\n")
    assert not helen.looks_like(tmp_path / "boxes")


def test_what_does_not_fit_is_refused(original, tmp_path):
    with pytest.raises(UsageError, match="unknown protocol"):
        HelenSource(str(original), protocol="full")
    put(original / "helen_2" / "100_1.jpg")
    with pytest.raises(UsageError, match="100_1 is there twice"):
        HelenSource(str(original)).photos()
    few = tmp_path / "few"
    for name in names_of(50):
        put(few / f"{name}.jpg")
    with pytest.raises(UsageError, match=r"tests on 50 photographs, and .* holds 50 in all: use the protocol free"):
        HelenSource(str(few)).photos()
    (tmp_path / "none").mkdir()
    with pytest.raises(UsageError, match="it holds no files"):
        HelenSource(str(tmp_path / "none")).photos()


def test_the_description_follows_the_annotations(original):
    source = HelenSource(str(original))
    before = source.describe()
    assert str(original) not in repr(before)
    annotate(original, 7, "153_1", points_of(1000))
    assert source.describe() != before
    assert pickle.loads(pickle.dumps(source)).photos() == source.photos()
