"""What users say is hidden, and what they cannot say."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from occface import images
from occface.errors import BadImageError, UsageError
from occface.restoring.masks import MaskRequest

PHOTO = np.zeros((30, 40, 3), np.uint8)


def saved(path, mask):
    path.parent.mkdir(exist_ok=True, parents=True)
    Image.fromarray(mask).save(path)
    return str(path)


def test_a_picture_is_white_where_hidden(tmp_path):
    mask = np.zeros((30, 40), np.uint8)
    mask[3:9, 5:7] = 255
    path = saved(tmp_path / "mask.png", mask)
    np.testing.assert_array_equal(MaskRequest(path).of_photograph("a.jpg", PHOTO), mask // 255)
    np.testing.assert_array_equal(MaskRequest(path, inverted=True).of_photograph("a.jpg", PHOTO), 1 - mask // 255)


def test_a_folder_has_one_for_each_photograph_by_its_name(tmp_path):
    for name, value in (("a.png", 1), ("b/c.jpg", 2)):
        mask = np.zeros((30, 40), np.uint8)
        mask[: 5 * value] = 255
        saved(tmp_path / name, mask)
    request = MaskRequest(str(tmp_path))
    assert request.of_photograph("a.jpg", PHOTO).sum() == 200
    assert request.of_photograph("b/c.tif", PHOTO).sum() == 400
    with pytest.raises(BadImageError, match=r"expected its mask at .*d\.png, and there is none"):
        request.of_photograph("d.jpg", PHOTO)


def test_a_rectangle_is_in_pixels_of_the_photograph():
    mask = MaskRequest(box=(-5, 10, 3, 12)).of_photograph("a.jpg", PHOTO)
    assert mask[10:12, :3].all()
    assert mask.sum() == 6
    with pytest.raises(BadImageError, match="lies outside the picture, which is 40x30"):
        MaskRequest(box=(50, 0, 60, 9)).of_photograph("a.jpg", PHOTO)


def test_a_region_hides_that_part_of_the_face_and_hangs_on_seed_and_name(dataset):
    landmarks = dataset.record("train", 0, ["landmarks"])["landmarks"]
    request = MaskRequest(region="eyes+mouth")
    mask = request.of_face(landmarks, 0, "a.jpg", 1)
    for part in (slice(36, 48), slice(48, 60)):
        x, y = np.rint(landmarks[part]).astype(int).T
        assert mask[y, x].all()
    np.testing.assert_array_equal(mask, request.of_face(landmarks, 0, "a.jpg", 1))
    assert (mask != request.of_face(landmarks, 0, "b.jpg", 1)).any()
    assert MaskRequest().of_face(landmarks, 0, "a.jpg", 1) is None


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"box": (0, 0, 1, 1), "region": "eyes"}, "box and region were given"),
        ({"region": "eyebrow"}, "unknown region 'eyebrow'"),
        ({"region": ""}, "unknown region ''"),
        ({"picture": "no/such.png"}, "there is no such file"),
        ({"box": (5, 0, 1, 1)}, "expected a rectangle X0,Y0,X1,Y1"),
        ({"box": (float("nan"), 0, 1, 1)}, "expected a rectangle"),
        ({"inverted": True}, "--invert-masks is about pictures"),
    ],
)
def test_requests_that_cannot_be(settings, said):
    with pytest.raises(UsageError, match=said):
        MaskRequest(**settings)


@pytest.mark.parametrize(
    ("mask", "said"),
    [
        (np.full((40, 30), 255, np.uint8), "its mask mask.png is 30x40, and the picture 40x30"),
        (np.zeros((30, 40), np.uint8), "hides nothing"),
        (None, "its mask mask.png not a picture"),
    ],
)
def test_masks_that_do_not_fit_their_photograph(tmp_path, mask, said):
    path = tmp_path / "mask.png"
    path.write_text("text") if mask is None else saved(path, mask)
    with pytest.raises(BadImageError, match=said):
        MaskRequest(str(path)).of_photograph("a.jpg", PHOTO)


def test_what_it_is_called():
    named = [MaskRequest(), MaskRequest(box=(0, 0, 1, 1)), MaskRequest(region="eyes"), MaskRequest(find="auto")]
    assert [request.named for request in named] == ["none", "rectangle", "eyes", "auto"]
    assert MaskRequest(box=(0, 0, 1, 1)).as_dict()["box"] == [0, 0, 1, 1]


def test_a_mask_may_be_as_large_as_its_photograph(tmp_path, monkeypatch):
    """--max-pixels let the photograph pass, so its mask passes too."""
    monkeypatch.setattr(images, "MAX_PIXELS", 1000)
    path = saved(tmp_path / "mask.png", np.full((30, 40), 255, np.uint8))
    assert MaskRequest(path).of_photograph("a.jpg", PHOTO).sum() == 1200
    with pytest.raises(BadImageError, match=r"the 0\.0012 allowed"):
        MaskRequest(saved(tmp_path / "large.png", np.full((31, 40), 255, np.uint8))).of_photograph("a.jpg", PHOTO)
