from __future__ import annotations

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from occface import images
from occface.errors import BadImageError

FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "WEBP")


def picture(height=48, width=64):
    """A smooth picture without any symmetry."""
    y, x = np.mgrid[:height, :width]
    return np.stack([3 * x, 5 * y, 255 - 2 * x - y], axis=-1).clip(0, 255).astype(np.uint8)


def encode(image, kind, **options):
    buffer = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(buffer, kind, **options)
    return buffer.getvalue()


def reason(data, **options):
    with pytest.raises(BadImageError) as caught:
        images.decode_image(data, **options)
    text = str(caught.value)
    assert text
    assert "\n" not in text
    return text


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF"])
def test_lossless_formats_come_back_as_written(kind):
    read = images.decode_image(encode(picture(), kind))
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, picture())


def test_jpeg_and_webp_agree_with_opencv():
    for kind, options in (("JPEG", {"quality": 95, "subsampling": 0}), ("WEBP", {"lossless": True})):
        data = encode(picture(), kind, **options)
        other = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
        assert np.abs(images.decode_image(data).astype(int) - other).max() <= 1


def test_grey_becomes_three_equal_channels():
    grey = picture()[..., 0]
    np.testing.assert_array_equal(images.decode_image(encode(grey, "PNG")), np.dstack([grey] * 3))


def test_one_bit_becomes_black_and_white():
    bits = picture()[..., 0] > 90
    read = images.decode_image(encode(Image.fromarray(bits), "PNG"))
    np.testing.assert_array_equal(read, np.dstack([bits * np.uint8(255)] * 3))


def test_sixteen_bit_grey_png_is_scaled_and_not_clipped():
    wide = np.linspace(0, 65535, 64 * 64).round().astype(np.uint16).reshape(64, 64)
    done, data = cv2.imencode(".png", wide)
    assert done
    expected = np.floor(wide / 257 + 0.5).astype(np.uint8)
    np.testing.assert_array_equal(images.decode_image(data.tobytes()), np.dstack([expected] * 3))


def test_sixteen_bit_tiff_of_either_byte_order():
    wide = np.linspace(0, 65535, 64).round().astype(np.uint16).reshape(8, 8)
    little = encode(Image.fromarray(wide), "TIFF")
    expected = np.floor(wide / 257 + 0.5).astype(np.uint8)
    np.testing.assert_array_equal(images.decode_image(little)[..., 0], expected)
    big = encode(Image.frombytes("I;16B", (8, 8), wide.astype(">u2").tobytes()), "TIFF")
    np.testing.assert_array_equal(images.decode_image(big)[..., 0], expected)


def test_sixteen_bit_colour_png():
    wide = picture().astype(np.uint16) * 257
    data = cv2.imencode(".png", wide[..., ::-1])[1].tobytes()
    np.testing.assert_array_equal(images.decode_image(data), picture())


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_what_is_transparent_is_laid_on_white(mode):
    colour = (100, 100, 100) if mode == "LA" else (200, 100, 0)
    image = Image.new("RGBA", (3, 1))
    for x, alpha in enumerate((0, 51, 255)):
        image.putpixel((x, 0), (*colour, alpha))
    read = images.decode_image(encode(image.convert(mode), "PNG"))[0]
    by_hand = [np.full(3, 255), 0.2 * np.array(colour) + 0.8 * 255, np.array(colour)]
    assert np.abs(read - np.array(by_hand)).max() <= 1


def test_a_palette_is_looked_up_and_its_transparent_colour_is_white():
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putpixel((1, 0), 1)
    np.testing.assert_array_equal(images.decode_image(encode(image, "PNG"))[0], [[10, 20, 30], [40, 50, 60]])
    read = images.decode_image(encode(image, "PNG", transparency=0))
    np.testing.assert_array_equal(read[0], [[255, 255, 255], [40, 50, 60]])


def test_cmyk_jpeg_has_its_colours():
    image = Image.fromarray(picture())
    read = images.decode_image(encode(image.convert("CMYK"), "JPEG", quality=98))
    assert np.abs(read.astype(int) - picture()).mean() < 3


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_exif_orientation_is_applied(kind, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"JPEG": {"quality": 95, "subsampling": 0}, "WEBP": {"lossless": True}}.get(kind, {})
    read = images.decode_image(encode(picture(), kind, exif=exif, **options))
    # The EXIF standard says at which sides the stored rows and columns begin.
    upright = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.swapaxes(0, 1),
        6: lambda a: a.swapaxes(0, 1)[:, ::-1],
        7: lambda a: a.swapaxes(0, 1)[::-1, ::-1],
        8: lambda a: a.swapaxes(0, 1)[::-1],
    }[orientation](picture())
    assert read.shape == upright.shape
    assert np.abs(read.astype(int) - upright).max() <= 6


def test_opencv_turns_a_jpeg_by_exif_the_same_way():
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encode(picture(), "JPEG", quality=95, subsampling=0, exif=exif)
    other = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    assert np.abs(images.decode_image(data).astype(int) - other).max() <= 1


def huge_png(width, height):
    def chunk(name, body):
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")


def test_a_huge_picture_is_refused_by_its_header():
    before = Image.MAX_IMAGE_PIXELS
    text = reason(huge_png(20000, 20000))
    assert text == "20000x20000 is 400 megapixels, more than the 100 allowed (--max-pixels)"
    assert before == Image.MAX_IMAGE_PIXELS


def test_the_limit_is_the_callers():
    data = encode(picture(10, 10), "PNG")
    assert images.decode_image(data, max_pixels=100).shape == (10, 10, 3)
    assert "10x10" in reason(data, max_pixels=99)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", FORMATS)
def test_pillows_own_limit_does_not_count_and_is_left_as_it_was(kind, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert images.decode_image(encode(picture(), kind)).shape == (48, 64, 3)
    assert Image.MAX_IMAGE_PIXELS == 100


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("part", [0.3, 0.5, 0.9])
def test_a_truncated_picture_is_refused(kind, part):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    data = encode(noise, kind)
    text = reason(data[: int(len(data) * part)])
    assert text.startswith("truncated" if kind != "WEBP" else "damaged")


@settings(max_examples=150, deadline=None)
@given(
    kind=st.sampled_from(FORMATS),
    changes=st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=8),
    cut=st.integers(0, 10_000),
)
def test_whatever_the_bytes_there_is_a_picture_or_a_reason(kind, changes, cut):
    data = bytearray(encode(picture(16, 24), kind))
    for place, value in changes:
        data[place % len(data)] = value
    try:
        read = images.decode_image(bytes(data[: len(data) - cut % len(data)]), max_pixels=10_000_000)
    except BadImageError as error:
        said = str(error)
    else:
        assert read.dtype == np.uint8
        assert read.ndim == 3
        assert read.shape[2] == 3
        return
    assert "\n" not in said


def test_other_files_are_no_pictures(tmp_path):
    assert "not a picture" in reason(b"The quick brown fox\n" * 50)
    assert "not a picture" in reason(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\nshowpage\n")
    assert "not a picture" in reason(encode(picture(), "GIF"))
    assert reason(b"") == "the file is empty"
    with pytest.raises(BadImageError, match=r"cannot be read: No such file"):
        images.read_image(tmp_path / "none.jpg")
    with pytest.raises(BadImageError, match=r"cannot be read: "):
        images.read_image(tmp_path)


def test_pixels_without_an_agreed_range_are_refused():
    assert "32 bits" in reason(encode(Image.new("F", (8, 8), 0.5), "TIFF"))


def test_a_non_ascii_name_is_read_and_the_suffix_does_not_matter(tmp_path):
    path = tmp_path / "Gesicht-größe 顔.jpg"
    path.write_bytes(encode(picture(), "PNG"))
    np.testing.assert_array_equal(images.read_image(path), picture())


def test_write_png_gives_the_same_bytes_for_the_same_pixels(tmp_path):
    images.write_png(tmp_path / "a.png", picture())
    images.write_png(tmp_path / "new" / "b.png", np.asfortranarray(picture()))
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "new" / "b.png").read_bytes()
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "a.png"))[..., ::-1], picture())
    images.write_png(tmp_path / "mask.png", picture()[..., 0])
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "mask.png"), cv2.IMREAD_UNCHANGED), picture()[..., 0])


def test_a_failed_write_leaves_the_old_file(tmp_path):
    images.write_png(tmp_path / "a.png", picture())
    before = (tmp_path / "a.png").read_bytes()
    with pytest.raises(TypeError):
        images.write_png(tmp_path / "a.png", picture().astype(np.float64))
    assert (tmp_path / "a.png").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_network_form_and_back():
    levels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, axis=-1)
    x = images.to_float(levels)
    assert x.shape == (1, 3, 16, 16)
    assert x.dtype == torch.float32
    assert (x.min(), x.max()) == (-1, 1)
    np.testing.assert_array_equal(images.to_uint8(x), levels)
    single = images.to_float(picture())
    assert single.shape == (3, 48, 64)
    np.testing.assert_allclose(single[1].numpy(), picture()[..., 1] / 127.5 - 1, atol=1e-6)


def test_network_values_out_of_range_are_clamped():
    x = torch.tensor([-3.0, -1.0, 0.0, 0.999, 1.5], dtype=torch.bfloat16).reshape(1, 5, 1).expand(3, 5, 1)
    np.testing.assert_array_equal(images.to_uint8(x)[:, 0], [[0] * 3, [0] * 3, [128] * 3, [255] * 3, [255] * 3])


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}, {"quality": 30}, {"optimize": True}])
def test_a_jpeg_has_the_pixels_that_pillow_gives_it(options):
    rng = np.random.default_rng(0)
    smooth = cv2.GaussianBlur(rng.integers(0, 256, (57, 83, 3), dtype=np.uint8), (0, 0), 2)
    buffer = io.BytesIO()
    Image.fromarray(smooth).save(buffer, format="JPEG", **options)
    np.testing.assert_array_equal(images.decode_image(buffer.getvalue()), np.asarray(Image.open(buffer)))


def test_a_jpeg_with_odd_bytes_in_it_is_what_pillow_says():
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(buffer, format="JPEG")
    data = bytearray(buffer.getvalue())
    data[len(data) // 2] ^= 0x55
    np.testing.assert_array_equal(images.decode_image(bytes(data)), np.asarray(Image.open(io.BytesIO(bytes(data)))))


def test_jpeg_bytes_decode_to_nearly_the_same_picture():
    from occface.images import decode_image, encode_jpeg

    x = np.linspace(0, 255, 64).astype(np.uint8)
    picture = np.stack([np.tile(x, (48, 1)), np.tile(x[::-1], (48, 1)), np.full((48, 64), 90, np.uint8)], axis=-1)
    assert np.abs(decode_image(encode_jpeg(picture)).astype(int) - picture).max() <= 6
