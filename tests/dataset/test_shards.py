from hypothesis import given
from hypothesis import strategies as st

from occface.dataset.config import DatasetConfig
from occface.dataset.shards import SHARD, plan_shards
from occface.sources.base import Photo


@given(st.lists(st.integers(1, 40), min_size=1, max_size=8), st.booleans(), st.integers(0, 4))
def test_shards_hold_every_photograph_once_and_no_group_in_two(sizes, grouped, test):
    photos = [
        Photo(id=f"{group}/{n:03d}", identity=str(group), group=str(group) if grouped else "")
        for group, size in enumerate(sizes)
        for n in range(size)
    ]
    shards = plan_shards(photos, DatasetConfig(test=test))
    placed = [photo for shard in shards for _, photo in shard.places]
    assert sorted(placed, key=lambda photo: photo.id) == photos
    assert [shard.number for shard in shards] == list(range(len(shards)))
    for split in ("train", "test"):
        indices = [place.index for shard in shards for place, _ in shard.places if place.split == split]
        assert indices == list(range(len(indices)))
    if grouped:
        assert [{photo.group for _, photo in shard.places} for shard in shards] == [
            {shard.places[0][1].group} for shard in shards
        ]
        assert len(shards) == len(sizes)
    else:
        assert max(len(shard.places) for shard in shards) <= SHARD
