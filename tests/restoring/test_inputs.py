"""What people name as photographs."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from occface.errors import BadImageError, UsageError
from occface.restoring.inputs import Photo, find_photos, list_photos, read_photo


@pytest.fixture
def photos(tmp_path):
    for name in ("b.jpg", "a.PNG", "c/d.webp", ".hidden.png", "notes.txt", "clip.mp4", "out/old.png"):
        path = tmp_path / "photos" / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_bytes(b"")
    return tmp_path / "photos"


def names(*paths, **settings):
    return [photo.name for photo in list_photos(paths, **settings)]


def test_a_folder_is_listed_by_name_without_what_is_written_into_it(photos):
    assert names(photos, without=photos / "out") == ["a.PNG", "b.jpg", "c/d.webp", "clip.mp4"]
    assert names(photos, without=photos / "out", limit=2) == ["a.PNG", "b.jpg"]
    assert names(photos, without=photos.parent / "elsewhere")[-1] == "out/old.png"


def test_files_are_taken_whatever_their_suffix_and_folders_keep_their_names(photos):
    assert names(photos / "notes.txt") == ["notes.txt"]
    assert names(photos / "b.jpg", photos / "c") == ["b.jpg", "c/d.webp"]


def test_lists_that_cannot_be(photos, tmp_path):
    with pytest.raises(UsageError, match="there is nothing of that name"):
        list_photos([photos / "none.jpg"])
    with pytest.raises(UsageError, match=r"would both be written as 'b\.jpg'"):
        list_photos([photos / "b.jpg", photos / "b.jpg"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=r"no photographs in .*empty: it holds no files"):
        list_photos([tmp_path / "empty"])


def written(path, data):
    path.write_bytes(data)
    return Photo(path.name, path)


PICTURE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "the file is empty"),
        (b"\0\0\0\x18ftypmp42" + bytes(100), "a video: take the pictures out"),
        (b"\x1a\x45\xdf\xa3" + bytes(100), "a video"),
        (b"RIFF\0\0\0\0AVI LIST", "a video"),
        (b"\0\0\0\x18ftypheic" + bytes(100), "a HEIC or AVIF picture: save it as JPEG"),
        (b"GIF89a" + bytes(100), "a GIF, which may be animated"),
        (b"hello", "not a picture in a known format"),
        (b"\xff\xd8\xff\xe0" + bytes(40), "not a picture in a known format"),
    ],
)
def test_what_is_no_photograph_says_what_it_is(tmp_path, data, said):
    with pytest.raises(BadImageError, match=said):
        read_photo(written(tmp_path / "file.jpg", data))


@pytest.mark.parametrize("kind", ["png", "webp"])
def test_animated_pictures_are_refused_and_still_ones_are_not(tmp_path, kind):
    other = Image.fromarray(255 - np.asarray(PICTURE))
    PICTURE.save(tmp_path / f"moving.{kind}", save_all=True, append_images=[other], duration=50, lossless=True)
    with pytest.raises(BadImageError, match="an animated picture"):
        read_photo(Photo("moving", tmp_path / f"moving.{kind}"))
    PICTURE.save(tmp_path / f"still.{kind}", lossless=True)
    image, note = read_photo(Photo("still", tmp_path / f"still.{kind}"))
    np.testing.assert_array_equal(image, np.asarray(PICTURE))
    assert note == ""


def test_cmyk_is_read_with_a_note(tmp_path):
    for name in ("a.jpg", "a.tif"):
        PICTURE.convert("CMYK").save(tmp_path / name, quality=95)
        image, note = read_photo(Photo(name, tmp_path / name))
        assert image.shape == (30, 40, 3)
        assert note.startswith("CMYK")
    PICTURE.save(tmp_path / "b.jpg")
    assert read_photo(Photo("b.jpg", tmp_path / "b.jpg"))[1] == ""


def test_a_large_picture_is_refused_by_its_header(tmp_path):
    """12,000 x 9,000 px, of which no pixel is ever decoded: the file holds a header alone."""
    import struct
    import zlib

    header = struct.pack(">IIBBBBB", 12000, 9000, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + b"IHDR" + header + struct.pack(">I", zlib.crc32(b"IHDR" + header))
    data = b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", 0) + b"IDAT" + struct.pack(">I", zlib.crc32(b"IDAT"))
    with pytest.raises(BadImageError, match=r"12000x9000 is 108 megapixels, more than the 100 allowed \(--max-pixels\)"):
        read_photo(written(tmp_path / "large.png", data))


def test_a_file_that_changed_is_told_by_its_state(tmp_path):
    photo = written(tmp_path / "a.jpg", b"one")
    before = photo.state()
    photo.path.write_bytes(b"other")
    assert photo.state() != before
    assert Photo("gone", tmp_path / "gone").state() == []


def test_of_several_pages_the_first_is_read_with_a_note(tmp_path):
    other = Image.fromarray(255 - np.asarray(PICTURE))
    PICTURE.save(tmp_path / "two.tif", save_all=True, append_images=[other])
    image, note = read_photo(Photo("two.tif", tmp_path / "two.tif"))
    np.testing.assert_array_equal(image, np.asarray(PICTURE))
    assert note == "of several pages, the first was taken"
    PICTURE.save(tmp_path / "one.tif")
    assert read_photo(Photo("one.tif", tmp_path / "one.tif"))[1] == ""


@pytest.mark.parametrize("mode", ["RGB", "CMYK", "L"])
def test_pillows_own_limit_on_pixels_does_not_count(tmp_path, monkeypatch, mode):
    """As with 187 megapixels under --max-pixels 200000000, by a lower limit: Pillow refuses twice its own."""
    PICTURE.convert(mode).save(tmp_path / "a.jpg", quality=95)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert read_photo(Photo("a.jpg", tmp_path / "a.jpg"), max_pixels=1200)[0].shape == (30, 40, 3)


def test_what_a_folder_holds_besides_is_counted_and_what_is_not_read_is_listed(photos):
    (photos / "d.avif").write_bytes(b"")
    (photos / "raw.NEF").write_bytes(b"")
    (photos / "README").write_bytes(b"")
    listed = find_photos([photos], without=photos / "out")
    assert [photo.name for photo in listed.photos] == ["a.PNG", "b.jpg", "c/d.webp", "clip.mp4", "d.avif"]
    assert listed.passed_over == {".nef": 1, ".txt": 1, "": 1}
    assert listed.note() == "passed over: 1 file without a suffix, 1 file .nef, 1 file .txt"
    assert find_photos([photos / "notes.txt"]).note() == ""


def test_a_file_in_a_folder_that_may_not_be_entered_is_listed(photos, monkeypatch):
    plain = type(photos).exists

    def exists(path, **settings):
        if path.name == "b.jpg":
            raise PermissionError(13, "Permission denied")
        return plain(path, **settings)

    monkeypatch.setattr(type(photos), "exists", exists)
    assert names(photos / "b.jpg", photos / "a.PNG") == ["b.jpg", "a.PNG"]
