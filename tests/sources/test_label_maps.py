from __future__ import annotations

import cv2
import numpy as np
import pytest
from PIL import Image

from occface.errors import BadImageError
from occface.sources.label_maps import read_labels, stretch


def labels(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 19, (height, width), dtype=np.uint8)


@pytest.mark.parametrize("size", [1024, 768, 512, 320, 77])
def test_stretching_takes_the_label_that_pillow_and_opencv_take(size):
    given = labels(512, 512)
    ours = stretch(given, size, size)
    assert ours.shape == (size, size)
    # Where a pixel's centre lies between two of the map's, either is the nearest.
    clear = (2 * np.arange(size) + 1) * 512 % (2 * size) != 0
    others = (
        np.asarray(Image.fromarray(given).resize((size, size), Image.Resampling.NEAREST)),
        cv2.resize(given, (size, size), interpolation=cv2.INTER_NEAREST_EXACT),
    )
    for other in others:
        np.testing.assert_array_equal(ours[clear][:, clear], other[clear][:, clear])


def test_stretching_keeps_height_and_width_apart():
    given = labels(30, 20)
    ours = stretch(given, 90, 60)
    assert ours.shape == (90, 60)
    np.testing.assert_array_equal(ours[1::3, 1::3], given)


def test_a_map_of_another_shape_is_refused_and_rounding_is_not():
    assert stretch(labels(333, 500), 1332, 2001).shape == (1332, 2001)
    with pytest.raises(BadImageError, match="500x333 and the photograph 333x500"):
        stretch(labels(333, 500), 500, 333)


def test_values_are_read_as_stored_in_every_mode(tmp_path):
    given = labels(9, 7)
    palette = Image.fromarray(given)
    palette.putpalette([value for i in range(256) for value in (255 - i, i, 7)])
    pictures = {
        "grey": Image.fromarray(given),
        "palette": palette,
        "rgb": Image.fromarray(np.stack([given] * 3, axis=-1)),
        "rgba": Image.fromarray(np.dstack([given, given, given, np.full_like(given, 255)])),
    }
    for name, picture in pictures.items():
        picture.save(tmp_path / f"{name}.png")
        np.testing.assert_array_equal(read_labels(tmp_path / f"{name}.png"), given, err_msg=name)
    Image.fromarray(given > 9).save(tmp_path / "bits.png")
    np.testing.assert_array_equal(read_labels(tmp_path / "bits.png"), given > 9)


def test_what_is_no_label_map_is_refused_by_name(tmp_path):
    good = tmp_path / "good.png"
    Image.fromarray(labels(90, 70)).save(good)
    (tmp_path / "cut.png").write_bytes(good.read_bytes()[:-3000])
    (tmp_path / "text.png").write_text("text")
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (9, 9, 3), dtype=np.uint8)).save(tmp_path / "colours.png")
    Image.fromarray(np.full((9, 9), 4000, np.uint16)).save(tmp_path / "wide.png")
    for name, reason in {
        "cut": "damaged",
        "text": "damaged",
        "colours": "mode RGB",
        "wide": "mode I;16",
        "gone": "cannot",
    }.items():
        with pytest.raises(BadImageError, match=reason) as caught:
            read_labels(tmp_path / f"{name}.png")
        assert "\n" not in str(caught.value)
    with pytest.raises(BadImageError, match="70x90 is more than"):
        read_labels(good, max_pixels=6299)


def test_whatever_is_damaged_is_refused_or_read_never_a_crash(tmp_path):
    Image.fromarray(labels(40, 30)).save(tmp_path / "good.png")
    good = np.frombuffer((tmp_path / "good.png").read_bytes(), np.uint8)
    rng = np.random.default_rng(0)
    reasons = []
    for _ in range(200):
        data = good[: rng.integers(1, len(good) + 1)].copy()
        places = rng.integers(0, min(len(data), 60), 3)
        data[places] = rng.integers(0, 256, 3)
        (tmp_path / "bad.png").write_bytes(data.tobytes())
        try:
            assert read_labels(tmp_path / "bad.png").dtype == np.uint8
        except BadImageError as error:
            reasons.append(str(error))
    assert len(reasons) > 150
    assert not any("\n" in reason for reason in reasons)
