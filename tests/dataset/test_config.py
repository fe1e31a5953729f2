import pytest
from hypothesis import given
from hypothesis import strategies as st

from occface.dataset.config import DatasetConfig, assign_splits
from occface.errors import UsageError
from occface.faces.trained_fan import TrainedFanLandmarks
from occface.sources.base import Photo


def photos(count, people=0):
    return [Photo(id=f"p/{n:04d}", identity=f"person {n % people}" if people else "") for n in range(count)]


@given(st.integers(1, 60), st.integers(1, 12), st.floats(0, 0.9), st.integers(0, 5))
def test_no_person_is_on_both_sides(count, people, test, seed):
    given_photos = photos(count, people)
    splits = assign_splits(given_photos, DatasetConfig(test=test, seed=seed))
    sides = {}
    for photo, split in zip(given_photos, splits, strict=True):
        sides.setdefault(photo.identity, set()).add(split)
    assert all(len(side) == 1 for side in sides.values())


@given(st.integers(10, 80), st.integers(0, 8), st.integers(0, 2))
def test_without_identities_the_asked_numbers_are_held_out(count, test, val):
    splits = assign_splits(photos(count), DatasetConfig(test=test, val=val))
    assert (splits.count("test"), splits.count("val")) == (test, val)


def test_who_is_held_out_does_not_depend_on_the_order():
    given_photos = photos(40)
    forward = dict(zip(given_photos, assign_splits(given_photos, DatasetConfig()), strict=True))
    backward = dict(zip(given_photos[::-1], assign_splits(given_photos[::-1], DatasetConfig()), strict=True))
    assert forward == backward


def test_the_source_s_own_splits_hold():
    given_photos = [Photo(id="a", split="test"), Photo(id="b", split="val"), Photo(id="c")]
    assert assign_splits(given_photos, DatasetConfig(test=0)) == ["test", "val", "train"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"masks": ("squre",)}, "did you mean 'square'"),
        ({"masks": ()}, "one or more"),
        ({"fill": "grey"}, "did you mean 'gray'"),
        ({"lr_kernel": "bicubic"}, "unknown LR kernel"),
        ({"detectors": ("x",)}, "unknown detector"),
        ({"detectors": ()}, "one or more detectors"),
        ({"landmarker": "dlip"}, "did you mean 'dlib'"),
        ({"lr_landmarker": "fann"}, "did you mean 'fan'"),
        ({"faces": "biggest"}, "unknown choice of faces"),
        ({"masks": ("folder",)}, "--mask-dir"),
        ({"test": -1}, "--test"),
        ({"limit": 0}, "--limit"),
    ],
)
def test_a_wrong_value_is_one_line(settings, message):
    with pytest.raises(UsageError, match=message):
        DatasetConfig(**settings)


def test_a_preset_is_replaced_by_what_is_given():
    config = DatasetConfig.from_preset("released-code", seed=3, test=0.25, fill="gray", lr_kernel=None, masks=())
    assert (config.masks, config.lr_kernel, config.fill, config.seed) == (("walk",), "align-corners", "gray", 3)
    assert config.as_dict()["detectors"] == ["given", "dlib"]


def test_several_draws_of_a_mask_type_are_types_of_their_own():
    assert DatasetConfig.from_preset("paper", draws=2).masks == ("irregular", "irregular@2", "square", "square@2")


def test_what_finds_landmarks_in_lr_faces_is_what_finds_the_others_unless_named():
    config = DatasetConfig()
    assert (config.on_lr().name, "lr_landmarker" in config.as_dict()) == ("dlib", False)
    assert DatasetConfig(lr_landmarker="fan").on_lr().name == "fan"
    trained = TrainedFanLandmarks("/some/where/weights.safetensors", "ab" * 32)
    config = DatasetConfig(lr_landmarker=trained)
    assert config.on_lr() is trained
    assert config.as_dict()["lr_landmarker"] == {"method": "fan", "sha256": "ab" * 32}
