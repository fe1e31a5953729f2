import numpy as np
import pytest
import torch

from occface.errors import UsageError
from occface.faces.parsing import CLASSES_11, CLASSES_19, FSRNET_PARTS, UNKNOWN, class_table, part_maps
from occface.sources import celeba_hq, helen


def test_the_classes_are_those_of_the_sources():
    assert CLASSES_19 == celeba_hq.CLASSES
    assert CLASSES_11 == helen.CLASSES
    assert set(FSRNET_PARTS) < set(CLASSES_19)


def test_classes_are_merged_by_name():
    table = class_table(CLASSES_19, CLASSES_11)
    there = {name: CLASSES_11[table[number]] for number, name in enumerate(CLASSES_19)}
    assert there["l_ear"] == there["eye_g"] == "skin"
    assert there["cloth"] == there["hat"] == there["neck"] == "background"
    assert all(there[name] == name for name in CLASSES_11)
    assert (table[19:] == UNKNOWN).all()
    assert class_table(CLASSES_11, CLASSES_19)[CLASSES_11.index("hair")] == CLASSES_19.index("hair")


def test_a_class_without_a_place_is_refused():
    with pytest.raises(UsageError, match="the class 'moustache' of the parsing maps has no place"):
        class_table(["background", "moustache"], CLASSES_11)


def test_maps_say_how_much_a_part_covers():
    parsing = torch.from_numpy(np.random.default_rng(0).choice([0, 1, 2, 9, 255], (2, 128, 128)).astype(np.uint8))
    maps = part_maps(parsing, CLASSES_19, FSRNET_PARTS, 64)
    assert maps.shape == (2, 11, 64, 64)
    for place, part in enumerate(FSRNET_PARTS):
        count = (parsing.numpy() == CLASSES_19.index(part)).reshape(2, 64, 2, 64, 2).sum((2, 4))
        assert np.array_equal(maps[:, place].numpy(), count / 4)
    assert maps.sum(1).max() <= 1
