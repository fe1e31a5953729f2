from __future__ import annotations

import hashlib
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from occface.errors import BadImageError, UsageError
from occface.sources import SOURCES, Photo
from occface.sources.folder import FolderSource
from occface.sources.known_faces import KnownFace, WithKnownFaces, write_faces


def put(folder, *names, shade=100):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 6), (shade, 0, 0)).save(path, "PNG")


def ids(source):
    return [photo.id for photo in source.photos()]


def refusal(source):
    with pytest.raises(UsageError) as caught:
        source.photos()
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_any_arrangement_is_searched_and_ids_are_sorted_paths(tmp_path):
    names = ["b.JPG", "a/z.jpeg", "a/b/c.png", "ä/Größe 1.webp", "c.bmp", "d.TIF", "e.tiff", "a.png"]
    put(tmp_path, *names)
    (tmp_path / "notes.txt").write_text("no photograph")
    (tmp_path / "a" / "clip.mp4").write_bytes(b"0")
    put(tmp_path, "._b.jpg", ".thumbnails/a.jpg")
    photos = FolderSource(str(tmp_path)).photos()
    assert [photo.id for photo in photos] == sorted(names)
    assert all(photo == Photo(id=photo.id, path=photo.id) for photo in photos)


def test_reading_gives_pixels_and_the_hash_of_the_same_file(tmp_path):
    put(tmp_path, "a/ß.png", shade=7)
    source = FolderSource(str(tmp_path))
    photograph = source.read(source.photos()[0])
    assert photograph.sha256 == hashlib.sha256((tmp_path / "a" / "ß.png").read_bytes()).hexdigest()
    np.testing.assert_array_equal(photograph.image, np.full((6, 8, 3), [7, 0, 0], np.uint8))
    assert photograph.file == (tmp_path / "a" / "ß.png").read_bytes()
    assert photograph.boxes is None
    assert photograph.landmarks is None


def test_broken_photographs_are_listed_and_refused_one_by_one(tmp_path):
    put(tmp_path, "good.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "good.png").read_bytes()[:45])
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.jpg").write_text("not a picture")
    (tmp_path / "link.jpg").symlink_to(tmp_path / "gone.jpg")
    source = FolderSource(str(tmp_path))
    reasons = {}
    for photo in source.photos():
        try:
            source.read(photo)
        except BadImageError as error:
            reasons[photo.id] = str(error)
    assert sorted(reasons) == ["cut.png", "empty.jpg", "link.jpg", "text.jpg"]
    assert reasons["cut.png"].startswith("truncated")
    assert reasons["empty.jpg"] == "the file is empty"
    assert reasons["link.jpg"] == "cannot be read: No such file or directory"
    assert reasons["text.jpg"].startswith("not a picture")


def test_the_limit_on_pixels_is_passed_on(tmp_path):
    put(tmp_path, "a.png")
    source = FolderSource(str(tmp_path), max_pixels=47)
    with pytest.raises(BadImageError, match="8x6"):
        source.read(source.photos()[0])


def test_links_are_followed_and_loops_end(tmp_path):
    root, elsewhere = tmp_path / "root", tmp_path / "elsewhere"
    put(root, "a/1.png")
    put(elsewhere, "2.png")
    (root / "linked").symlink_to(elsewhere, target_is_directory=True)
    (root / "a" / "up").symlink_to(root, target_is_directory=True)
    (elsewhere / "back").symlink_to(root / "a", target_is_directory=True)
    (root / "b.png").symlink_to(elsewhere / "2.png")
    assert ids(FolderSource(str(root))) == ["a/1.png", "b.png", "linked/2.png"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_no_photograph(tmp_path):
    put(tmp_path, "a.png")
    os.mkfifo(tmp_path / "pipe.png")
    assert ids(FolderSource(str(tmp_path))) == ["a.png"]


@pytest.mark.skipif(os.name == "nt", reason="Windows' names are always Unicode")
def test_a_name_that_is_not_utf8_is_listed_and_refused(tmp_path):
    put(tmp_path, "a.png")
    try:
        (tmp_path / "a.png").rename(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.png"))
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    source = FolderSource(str(tmp_path))
    (photo,) = source.photos()
    assert photo.id.encode() == rb"caf\xe9.png"
    with pytest.raises(BadImageError, match="not UTF-8"):
        source.read(photo)


def test_a_folder_without_photographs_is_refused(tmp_path):
    assert "it holds no files; name a folder of photographs" in refusal(FolderSource(str(tmp_path)))
    for name in ("b.txt", "a.txt", "sub/c.csv", "d.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("text")
    text = refusal(FolderSource(str(tmp_path)))
    assert text == (
        f"no photographs (bmp, jpeg, jpg, png, tif, tiff, webp) in {tmp_path}: "
        "it holds 4 other files (a.txt, b.txt, d.md, ...); name a folder of photographs"
    )


def test_what_is_no_folder_is_refused(tmp_path):
    put(tmp_path, "a.png")
    with pytest.raises(UsageError, match="it is a file"):
        FolderSource(str(tmp_path / "a.png"))
    with pytest.raises(UsageError, match="nothing of that name"):
        FolderSource(str(tmp_path / "none"))


def test_labels_are_read_from_the_folder(tmp_path):
    put(tmp_path, "x/1.png", "x/2.png", "3.png")
    text = "\ufefffile,identity,age,split,expression\r\nx/1.png,Zoë,30,test,smile\r\n./3.png,007,,,\r\n"
    (tmp_path / "labels.csv").write_text(text, encoding="utf-8", newline="")
    assert FolderSource(str(tmp_path)).photos() == [
        Photo("3.png", "3.png", identity="007"),
        Photo("x/1.png", "x/1.png", identity="Zoë", expression="smile", split="test"),
        Photo("x/2.png", "x/2.png"),
    ]


def test_a_person_goes_to_one_split(tmp_path):
    put(tmp_path, *(f"{i}.png" for i in range(5)))
    (tmp_path / "labels.csv").write_text("file,identity,split\n0.png,A,\n1.png,A,test\n2.png,B,\n3.png,,val\n4.png,,\n")
    assert [photo.split for photo in FolderSource(str(tmp_path)).photos()] == ["test", "test", "", "val", ""]


def test_faces_found_before_come_with_their_photographs(tmp_path):
    put(tmp_path / "photos", "a/1.png", "2.png", "3.png")
    points = np.random.default_rng(0).random((2, 68, 2), dtype=np.float32)
    table = tmp_path / "faces.csv"
    write_faces(
        table,
        [
            KnownFace("a/1.png", (0, 1, 4, 5), points[0]),
            KnownFace("2.png", (1, 1, 3, 3)),
            KnownFace("a/1.png", (2, 0, 6, 4), points[1]),
        ],
    )
    source = WithKnownFaces(FolderSource(str(tmp_path / "photos")), str(table))
    second, third, first = (source.read(photo) for photo in source.photos())
    assert first.boxes.tolist() == [[0, 1, 4, 5], [2, 0, 6, 4]]
    np.testing.assert_array_equal(first.landmarks, points)
    assert second.boxes.tolist() == [[1, 1, 3, 3]]
    assert second.landmarks is None
    assert third.boxes is None
    assert str(tmp_path) not in repr(source.describe())
    before = source.describe()
    write_faces(table, [KnownFace("2.png", (1, 1, 3, 4))])
    assert source.describe() != before
    write_faces(table, [KnownFace("2.png", (1, 1, 3, 4)), KnownFace("9.png", (1, 1, 3, 4))])
    assert "line 3: '9.png' is not among the photographs" in refusal(source)


def test_labels_may_lie_elsewhere(tmp_path):
    put(tmp_path / "photos", "1.png")
    (tmp_path / "photos" / "labels.csv").write_text("file,pose\n1.png,left\n")
    (tmp_path / "mine.csv").write_text("file,pose\n1.png,right\n")
    assert FolderSource(str(tmp_path / "photos")).photos()[0].pose == "left"
    assert FolderSource(str(tmp_path / "photos"), labels=str(tmp_path / "mine.csv")).photos()[0].pose == "right"
    assert "no such file" in refusal(FolderSource(str(tmp_path / "photos"), labels=str(tmp_path / "none.csv")))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,split\n1.png,train\n2.png,training\n", "line 3: expected a split of train, val, test or none, got 'training'"),
        ("file,identity,split\n1.png,A,train\n2.png,A,test\n", "line 3: 'A' is in train already, now in test"),
        ("file\n1.png\n9.png\n", "line 3: '9.png' is not among the photographs: correct or remove the line"),
        ("file\n1.png\n2.png\n./1.png\n", "line 4: '1.png' is there twice: correct or remove the line"),
        ("name,split\n1.png,train\n", "expected a column 'file' in "),
        ("", "got none"),
        (b"file\n\xff\xfe.png\n", "expected a CSV file in UTF-8"),
    ],
)
def test_labels_that_do_not_fit_are_refused_by_line(tmp_path, text, message):
    put(tmp_path, "1.png", "2.png")
    (tmp_path / "labels.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    assert message in refusal(FolderSource(str(tmp_path)))


def test_the_description_does_not_say_where_the_folder_lies(tmp_path):
    for name in ("one", "two"):
        put(tmp_path / name, "1.png")
    one, two = (FolderSource(str(tmp_path / name)) for name in ("one", "two"))
    assert one.describe() == two.describe()
    assert str(tmp_path) not in repr(one.describe())
    (tmp_path / "two" / "labels.csv").write_text("file,identity\n1.png,A\n")
    assert one.describe() != two.describe()


def test_the_source_is_found_by_name_and_travels_to_workers(tmp_path):
    put(tmp_path, "1.png")
    source = SOURCES.get("folder")(str(tmp_path))
    assert isinstance(source, FolderSource)
    again = pickle.loads(pickle.dumps(source))
    assert again.photos() == source.photos()
    assert source.name == "folder"
    assert source.licence
    assert source.assets == ()


def test_faces_of_the_tests_are_a_folder_of_photographs():
    source = FolderSource(str(Path(__file__).parents[1] / "data" / "faces"))
    assert ids(source) == [f"face_{i}.jpg" for i in range(6)]
    assert source.read(source.photos()[0]).image.shape == (320, 320, 3)
