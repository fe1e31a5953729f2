import numpy as np
import pytest
import torch

from occface.dataset.loading import PairLoader
from occface.dataset.reader import FacePairs
from occface.errors import UsageError


def copied(loader):
    return [{name: values.clone() for name, values in batch.items()} for batch in loader]


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_give_the_same_batches_epoch_after_epoch(dataset, workers):
    pairs = FacePairs(dataset, "train")
    alone, helped = PairLoader(pairs, 3, seed=4), PairLoader(pairs, 3, seed=4, workers=workers)
    for _ in range(3):
        expected, got = copied(alone), copied(helped)
        assert [len(batch["hr"]) for batch in got] == [3, 3, 2]
        for one, other in zip(expected, got, strict=True):
            assert one.keys() == other.keys()
            assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_batch_kept_is_not_overwritten(dataset):
    pairs = FacePairs(dataset, "train")
    kept = list(PairLoader(pairs, 1, seed=None, workers=1))  # eight batches through four slots
    for number, batch in enumerate(kept):
        assert np.array_equal(batch["hr"][0].numpy(), pairs[number]["hr"])


def test_each_pair_comes_once_per_epoch_in_another_order_each_time(dataset):
    loader = PairLoader(FacePairs(dataset, "train"), 3, seed=1)
    orders = []
    for _ in range(2):
        orders.append(np.concatenate(loader.batches()).tolist())
        list(loader)
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(8))
    assert orders[0] != orders[1]


def test_a_wrong_size_is_one_line(dataset):
    with pytest.raises(UsageError, match="batch size of at least 1"):
        PairLoader(FacePairs(dataset, "train"), 0)


def test_two_epochs_at_once_are_refused_and_one_that_was_left_is_not(dataset):
    loader = PairLoader(FacePairs(dataset, "train"), 2, workers=1)
    with pytest.raises(RuntimeError, match="under way"):
        list(zip(loader, loader, strict=True))
    first = next(iter(loader))
    assert len(first["hr"]) == 2
    assert len(list(loader)) == 4
