from __future__ import annotations

import hashlib
import json
import pickle

import numpy as np
import pytest
from PIL import Image

from occface.errors import BadImageError, UsageError
from occface.sources import celeba_hq
from occface.sources.celeba_hq import CLASSES, CelebAHQSource

ATTRIBUTES = "3\nBald Smiling Young \n0.jpg  -1 1 1\n7.jpg  1 -1 -1\n28432.jpg  -1 -1 -1\n"
POSES = "3\nYaw Pitch Raw\n0.jpg 2.5 -4.25 0.5\n7.jpg -30.0 0.0 1.0\n28432.jpg 0.0 0.0 0.0\n"
MAPPING = "idx    orig_idx  orig_file \n0  119612  119613.jpg\n7  162770  162771.jpg\n28432  182637  182638.jpg\n"
PARTITION = "119613.jpg 0\n162771.jpg 1\n182638.jpg 2\n000001.jpg 0\n"
IDENTITIES = "119613.jpg 2880\n162771.jpg 44\n182638.jpg 2880\n"


def photo(path, size=(16, 12), shade=90):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (shade, 0, 0)).save(path)


def part(root, number, name, box, size=8):
    path = root / "CelebAMask-HQ-mask-anno" / str(number // 2000) / f"{number:05d}_{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    mask = np.zeros((size, size, 3), np.uint8)
    mask[box[1] : box[3], box[0] : box[2]] = 255
    Image.fromarray(mask).save(path)


@pytest.fixture
def published(tmp_path):
    root = tmp_path / "CelebAMask-HQ"
    for number in (0, 7, 28431, 28432, 29999):
        photo(root / "CelebA-HQ-img" / f"{number}.jpg", (16, 16))
    for number in (0, 28432):
        part(root, number, "skin", (1, 1, 7, 8))
        part(root, number, "nose", (3, 3, 5, 5))
        part(root, number, "hair", (0, 0, 8, 2))
    return root


@pytest.fixture
def tables(published):
    texts = {
        "CelebAMask-HQ-attribute-anno.txt": ATTRIBUTES,
        "CelebAMask-HQ-pose-anno.txt": POSES,
        "CelebA-HQ-to-CelebA-mapping.txt": MAPPING,
        "list_eval_partition.txt": PARTITION,
        "identity_CelebA.txt": IDENTITIES,
    }
    for name, text in texts.items():
        (published / name).write_text(text)
    return published


@pytest.fixture
def flat(tmp_path):
    root = tmp_path / "flat"
    for name in ("b2", "a1"):
        photo(root / "images" / f"{name}.jpg")
    values = np.array([[0, 1, 2, 3], [4, 5, 6, 7], [8, 13, 17, 18]], np.uint8)
    picture = Image.fromarray(values)
    picture.putpalette([255 - i // 3 for i in range(768)])
    (root / "masks").mkdir()
    picture.save(root / "masks" / "a1.png")
    return root


def refusal(make):
    with pytest.raises(UsageError) as caught:
        make()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_papers_split_is_the_last_1568_by_number(published):
    source = CelebAHQSource(str(published))
    photos = source.photos()
    assert [(photo.id, photo.path, photo.split) for photo in photos] == [
        ("00000", "CelebA-HQ-img/0.jpg", "train"),
        ("00007", "CelebA-HQ-img/7.jpg", "train"),
        ("28431", "CelebA-HQ-img/28431.jpg", "train"),
        ("28432", "CelebA-HQ-img/28432.jpg", "test"),
        ("29999", "CelebA-HQ-img/29999.jpg", "test"),
    ]
    assert {photo.labels + photo.identity + photo.pose for photo in photos} == {""}
    assert len(range(celeba_hq.FIRST_TEST)) == 28_432
    assert len(range(celeba_hq.FIRST_TEST, 30_000)) == 1_568


def test_a_part_of_the_data_set_is_split_as_the_whole(published):
    whole = {photo.id: photo.split for photo in CelebAHQSource(str(published)).photos()}
    (published / "CelebA-HQ-img" / "7.jpg").unlink()
    (published / "CelebA-HQ-img" / "29999.jpg").unlink()
    left = {photo.id: photo.split for photo in CelebAHQSource(str(published)).photos()}
    assert left == {id_: whole[id_] for id_ in ("00000", "28431", "28432")}


def test_parts_are_painted_in_the_published_order_and_stretched_to_the_photograph(published):
    source = CelebAHQSource(str(published))
    photograph = source.read(source.photos()[0])
    expected = np.zeros((8, 8), np.uint8)
    expected[1:8, 1:7] = 1
    expected[3:5, 3:5] = 2
    expected[0:2, 0:8] = 13  # hair, a later part than skin, covers the brow
    np.testing.assert_array_equal(photograph.parsing, expected.repeat(2, axis=0).repeat(2, axis=1))
    data = (published / "CelebA-HQ-img" / "0.jpg").read_bytes()
    assert photograph.file == data
    assert photograph.sha256 == hashlib.sha256(data).hexdigest()
    assert source.classes == CLASSES
    # From the read-me of CelebAMask-HQ: 19 classes, in this order.
    assert (len(CLASSES), CLASSES[3], CLASSES[10], CLASSES[15], CLASSES[18]) == (19, "eye_g", "mouth", "ear_r", "cloth")


def test_a_photograph_without_parts_has_no_map(published):
    source = CelebAHQSource(str(published))
    assert source.read(source.photos()[1]).parsing is None


def test_without_the_folder_of_masks_there_are_no_classes(tmp_path):
    photo(tmp_path / "CelebA-HQ-img" / "0.jpg")
    source = CelebAHQSource(str(tmp_path))
    assert source.classes == ()
    assert source.read(source.photos()[0]).parsing is None


def test_damaged_parts_are_a_reason_not_a_crash(published):
    source = CelebAHQSource(str(published))
    path = published / "CelebAMask-HQ-mask-anno" / "0" / "00000_nose.png"
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(BadImageError, match=r"00000_nose\.png is damaged"):
        source.read(source.photos()[0])
    part(published, 0, "nose", (0, 0, 1, 1), size=16)
    with pytest.raises(BadImageError, match=r"00000_nose\.png has another size"):
        source.read(source.photos()[0])
    photo(published / "CelebA-HQ-img" / "28432.jpg", (16, 12))
    with pytest.raises(BadImageError, match="not of the same picture"):
        source.read(source.photos()[3])


def test_tables_become_labels(tables):
    first, second, third, *_ = CelebAHQSource(str(tables)).photos()
    assert json.loads(first.labels) == {
        "attributes": ["Smiling", "Young"],
        "angles": {"Yaw": 2.5, "Pitch": -4.25, "Raw": 0.5},
        "celeba": "119613.jpg",
    }
    assert json.loads(second.labels)["attributes"] == ["Bald"]
    assert (first.identity, second.identity, third.identity) == ("2880", "44", "")
    assert third.labels == ""


def test_celebas_own_split_goes_through_the_mapping(tables):
    for number in (28431, 29999):
        (tables / "CelebA-HQ-img" / f"{number}.jpg").unlink()
    photos = CelebAHQSource(str(tables), protocol="celeba").photos()
    assert [photo.split for photo in photos] == ["train", "val", "test"]
    photo(tables / "CelebA-HQ-img" / "8.jpg")
    assert "name no split of 8.jpg" in refusal(CelebAHQSource(str(tables), protocol="celeba").photos)
    (tables / "list_eval_partition.txt").unlink()
    assert "expected list_eval_partition.txt in" in refusal(CelebAHQSource(str(tables), protocol="celeba").photos)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("CelebAMask-HQ-attribute-anno.txt", "1\nBald Young\n0.jpg 1\n", "line 3: expected a numbered photograph and 2 values"),
        ("CelebAMask-HQ-attribute-anno.txt", "1\nBald Young\nx.jpg 1 1\n", "line 3: expected a numbered photograph"),
        ("CelebAMask-HQ-pose-anno.txt", "1\nYaw\n0.jpg nan\n", "line 3: expected 1 numbers, got nan"),
        ("CelebA-HQ-to-CelebA-mapping.txt", "head\n0 1\n", "line 2: expected a number, CelebA's number and its file name"),
        ("identity_CelebA.txt", "1.jpg\n", "line 1: expected a file name and a number"),
        ("list_eval_partition.txt", "1.jpg 3\n", "line 1: expected a split of 0, 1 or 2, got '3'"),
    ],
)
def test_a_table_that_does_not_fit_is_refused_by_line(tables, name, text, message):
    (tables / name).write_text(text)
    told = refusal(CelebAHQSource(str(tables), protocol="celeba").photos)
    assert name in told
    assert message in told


def test_identities_need_the_mapping(tables):
    (tables / "CelebA-HQ-to-CelebA-mapping.txt").unlink()
    assert "which identity_CelebA.txt needs" in refusal(CelebAHQSource(str(tables)).photos)


def test_the_flat_layout_is_read_by_palette_indices(flat):
    source = CelebAHQSource(str(flat))
    first, second = source.photos()
    assert [(p.id, p.split) for p in (first, second)] == [("images/a1.jpg", ""), ("images/b2.jpg", "")]
    parsing = source.read(first).parsing
    np.testing.assert_array_equal(parsing[::4, ::4], [[0, 1, 2, 3], [4, 5, 6, 7], [8, 13, 17, 18]])
    assert parsing.shape == (12, 16)
    assert source.read(second).parsing is None


def test_in_the_flat_layout_the_papers_split_needs_numbers(flat):
    assert "a1.jpg is none: use the protocol free" in refusal(CelebAHQSource(str(flat), protocol="paper").photos)
    for old, new in (("a1", "28432"), ("b2", "28431")):
        (flat / "images" / f"{old}.jpg").rename(flat / "images" / f"{new}.jpg")
    photos = CelebAHQSource(str(flat), protocol="paper").photos()
    assert {photo.id: photo.split for photo in photos} == {"images/28431.jpg": "train", "images/28432.jpg": "test"}


def test_a_class_that_is_none_is_refused(flat):
    Image.fromarray(np.full((3, 4), 19, np.uint8)).save(flat / "masks" / "b2.png")
    source = CelebAHQSource(str(flat))
    with pytest.raises(BadImageError, match=r"b2\.png holds 19: expected classes 0 to 18"):
        source.read(source.photos()[1])


def test_it_is_told_from_other_folders(published, flat, tmp_path):
    assert celeba_hq.looks_like(published)
    assert celeba_hq.looks_like(flat)
    assert not celeba_hq.looks_like(tmp_path)
    other = tmp_path / "other"
    photo(other / "images" / "1.jpg")
    (other / "masks").mkdir()
    assert not celeba_hq.looks_like(other)
    Image.fromarray(np.array([[0, 1]], np.uint8)).save(other / "masks" / "1.png")
    assert not celeba_hq.looks_like(other)  # a mask of one object, not a map of faces
    Image.fromarray(np.array([[0, 1, 2, 99]], np.uint8)).save(other / "masks" / "1.png")
    assert not celeba_hq.looks_like(other)


def test_what_cannot_be_opened_is_refused(tmp_path, published):
    assert "it has neither" in refusal(lambda: CelebAHQSource(str(tmp_path)))
    assert "nothing of that name" in refusal(lambda: CelebAHQSource(str(tmp_path / "gone")))
    assert "did you mean 'paper'" in refusal(lambda: CelebAHQSource(str(published), protocol="papr")).lower()
    photo(published / "CelebA-HQ-img" / "007.png")
    assert "00007 is there twice" in refusal(CelebAHQSource(str(published)).photos)


def test_the_description_follows_what_determines_the_data(tables):
    source = CelebAHQSource(str(tables))
    before = source.describe()
    assert (before["protocol"], before["layout"]) == ("paper", "published")
    assert str(tables) not in repr(before)
    (tables / "list_eval_partition.txt").write_text("")  # not of this protocol
    assert source.describe() == before
    (tables / "identity_CelebA.txt").write_text("119613.jpg 1\n")
    named = source.describe()
    assert named != before
    part(tables, 7, "skin", (0, 0, 3, 3))
    assert source.describe() != named
    assert pickle.loads(pickle.dumps(source)).photos() == source.photos()
