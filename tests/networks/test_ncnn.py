"""Models in ncnn's form: numbers come back as they were written; what cannot be read is refused in one line."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from occface.errors import AssetError
from occface.networks.ncnn import read_convolutions, read_layers

PARAM = """7767517
5 6
Input                    data                     0 1 data
Convolution              first                    1 1 data a 0=2 1=3 4=1 5=1 6=54 9=2 -23310=1,2.000000e-01
Split                    fork                     1 2 a a_0 a_1
Convolution              second                   1 1 a_0 b 0=3 1=1 4=0 5=0 6=6
Concat                   join                     2 1 a_1 b output
"""
HALF, SINGLE = 0x01306B47, 0


@pytest.fixture
def numbers():
    """A 3x3 convolution 3 -> 2 with bias, and a 1x1 convolution 2 -> 3 without, all exact in half precision."""
    rng = np.random.default_rng(0)
    draw = lambda *shape: rng.integers(-64, 64, shape).astype(np.float32) / 16  # noqa: E731
    return draw(2, 3, 3, 3), draw(2), draw(3, 2, 1, 1)


def blob(numbers, tag=HALF):
    first, bias, second = numbers
    kind = "<f2" if tag == HALF else "<f4"
    return struct.pack("<I", tag) + first.astype(kind).tobytes() + bias.tobytes() + struct.pack("<I", tag) + second.astype(
        kind
    ).tobytes()  # fmt: skip


def write(folder, param=PARAM, weights=b""):
    (folder / "m.param").write_text(param)
    (folder / "m.bin").write_bytes(weights)
    return folder / "m.param", folder / "m.bin"


@pytest.mark.parametrize("tag", [HALF, SINGLE, 0x0002C056])
def test_numbers_come_back(tmp_path, numbers, tag):
    first, second = read_convolutions(*write(tmp_path, weights=blob(numbers, tag)))
    assert (first.name, second.name) == ("first", "second")
    for found, expected in ((first.weight, numbers[0]), (first.bias, numbers[1]), (second.weight, numbers[2])):
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(second.bias, np.zeros(3))


def test_an_odd_number_of_halves_is_filled_up(tmp_path):
    """Nine weights of two bytes are followed by two bytes of nothing."""
    param = "7767517\n2 2\nInput data 0 1 data\nConvolution c 1 1 data output 0=1 1=3 5=1 6=9\n"
    weights = struct.pack("<I", HALF) + np.arange(9, dtype="<f2").tobytes() + b"\xff\xff" + struct.pack("<f", 7.5)
    (only,) = read_convolutions(*write(tmp_path, param, weights))
    np.testing.assert_array_equal(only.weight.ravel(), np.arange(9))
    assert only.bias == [7.5]


def test_layers_say_what_they_read_and_write(tmp_path):
    layers = read_layers(write(tmp_path)[0])
    assert [layer.kind for layer in layers] == ["Input", "Convolution", "Split", "Convolution", "Concat"]
    assert layers[4].inputs == ("a_1", "b")
    assert layers[2].outputs == ("a_0", "a_1")
    assert layers[1].settings["-23310"] == "1,2.000000e-01"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("7767517", "7767518"), "to begin with 7767517, got '7767518'"),
        (("5 6", "6 6"), "expected 6 layers as it says, got 5"),
        (("0=2 1=3", "0=2 1=x"), "does not fit .* at layer first"),
        (("6=54", "6=55"), "55 weights make no 3x3 convolution with 2 outputs"),
        (("0=2 1=3", "1=3"), "does not fit .* at layer first"),
        (("Concat  ", "InnerProduct  "), "a layer of the kind InnerProduct; expected Convolution"),
        (("6=6\n", "6=3\n"), "expected 140 bytes, got 144|does not fit"),
        (("1 1 a_0 b", "1 x a_0 b"), "no ncnn model that can be understood"),
    ],
)
def test_another_model_is_one_line(tmp_path, numbers, change, message):
    assert change[0] in PARAM
    with pytest.raises(AssetError, match=message) as caught:
        read_convolutions(*write(tmp_path, PARAM.replace(*change), blob(numbers)))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("cut", "message"), [(-1, "at layer second"), (3, "at layer first"), (60, "at layer first")])
def test_a_short_file_is_one_line(tmp_path, numbers, cut, message):
    with pytest.raises(AssetError, match=message):
        read_convolutions(*write(tmp_path, weights=blob(numbers)[:cut]))


def test_a_long_file_and_unknown_weights_are_one_line(tmp_path, numbers):
    with pytest.raises(AssetError, match=r"expected \d+ bytes, got"):
        read_convolutions(*write(tmp_path, weights=blob(numbers) + b"1234"))
    with pytest.raises(AssetError, match=r"tag 0x000d4b38\): expected float16 or float32"):
        read_convolutions(*write(tmp_path, weights=blob(numbers, 0x000D4B38)))


def test_what_is_absent_is_named(tmp_path):
    with pytest.raises(AssetError, match=r"expected an ncnn model at .*m\.param"):
        read_layers(tmp_path / "m.param")
    (tmp_path / "m.param").write_text(PARAM)
    with pytest.raises(AssetError, match=r"at .*m\.bin, but they cannot be read"):
        read_convolutions(tmp_path / "m.param", tmp_path / "m.bin")
