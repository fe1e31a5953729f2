"""Damaged photographs: whatever is done to a file, it is used, or listed with a reason."""

import io
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from occface.dataset.config import DatasetConfig
from occface.dataset.make import make_dataset
from occface.dataset.pairs import Place
from occface.dataset.reader import DatasetFile
from occface.dataset.shards import Shard, make_shard, read_shards
from occface.dataset.verify import verify
from occface.sources.base import Photo
from occface.sources.folder import FolderSource

FACE = Path(__file__).parents[1] / "data" / "faces" / "face_0.jpg"
FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "WEBP")
CONFIG = DatasetConfig(masks=("square",), test=0)


def encoded(format_):
    buffer = io.BytesIO()
    Image.open(FACE).resize((160, 160)).save(buffer, format=format_)
    return buffer.getvalue()


WHOLE = {format_: encoded(format_) for format_ in FORMATS}


@st.composite
def damaged(draw):
    """A photograph's bytes with some flipped, its end cut off, or another format's beginning."""
    data = bytearray(WHOLE[draw(st.sampled_from(FORMATS))])
    damage = draw(st.sampled_from(("flip", "cut", "swap")))
    if damage == "flip":
        where = st.one_of(st.integers(0, 200), st.integers(0, len(data) - 1))  # headers are worth more tries
        for place in draw(st.lists(where, min_size=1, max_size=12)):
            data[place] ^= draw(st.integers(1, 255))
    elif damage == "cut":
        del data[draw(st.integers(0, len(data) - 1)) :]
    else:
        other = WHOLE[draw(st.sampled_from(FORMATS))]
        count = draw(st.integers(1, 64))
        data[:count] = other[:count]
    return bytes(data)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(damaged())
def test_a_damaged_photograph_is_used_or_listed_with_its_reason(tmp_path, data):
    (tmp_path / "photo.jpg").write_bytes(data)
    shard = Shard(0, ((Place("train", 0), Photo(id="photo.jpg", path="photo.jpg")),))
    (tmp_path / "part.npz").write_bytes(make_shard(shard, FolderSource(str(tmp_path)), CONFIG))
    (part,) = read_shards([tmp_path / "part.npz"], ["rejected", "split", "hr"])
    assert len(part["split"]) + len(part["rejected"]) == 1
    for _, reason in part["rejected"].tolist():
        assert len(reason) > 8
        assert "\n" not in reason
        assert not reason.startswith("unexpected")


@pytest.mark.parametrize("format_", FORMATS)
def test_the_photographs_were_whole_before(tmp_path, format_):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(WHOLE[format_])
    made = make_dataset(FolderSource(str(tmp_path / "photos")), tmp_path / "a.h5", CONFIG)
    assert DatasetFile(made.path).count("train") == 1
    assert verify(made.path) == []
