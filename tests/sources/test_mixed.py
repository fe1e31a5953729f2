from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from occface.errors import UsageError
from occface.sources import open_source
from occface.sources.folder import FolderSource
from occface.sources.synthetic import SyntheticSource


@pytest.fixture
def recipe(tmp_path):
    """Two folders, one with labels, and generated faces, as one source."""
    for folder, shade in (("b", 10), ("a", 200)):
        (tmp_path / folder).mkdir()
        for name in ("x.png", "y.png"):
            Image.new("RGB", (8, 6), (shade, 0, 0)).save(tmp_path / folder / name)
    (tmp_path / "b" / "labels.csv").write_text("file,identity,expression\nx.png,ann,smile\n")
    return write(
        tmp_path,
        "sources: {two: {source: a, licence: CC0}, one: {source: b}, new: {source: synthetic, count: 3, truncation: 0.5}}",
    )


def write(folder: Path, text: str) -> str:
    path = folder / "faces.yaml"
    path.write_text(text)
    return str(path)


def refusal(path):
    with pytest.raises(UsageError) as caught:
        open_source(path)
    text = str(caught.value)
    assert "\n" not in text
    assert "faces.yaml" in text
    return text


def test_all_photographs_are_listed_in_order_under_their_sources_names(recipe):
    photos = open_source(recipe).photos()
    names = [f"new/synthetic/00000{number}" for number in range(3)] + ["one/x.png", "one/y.png", "two/x.png", "two/y.png"]
    assert [photo.id for photo in photos] == names
    assert [photo.identity for photo in photos] == [*names[:3], "one/ann", "", "", ""]
    assert [photo.expression for photo in photos[3:]] == ["smile", "", "", ""]


def test_a_photograph_is_read_from_the_source_it_is_of(recipe, tmp_path):
    source = pickle.loads(pickle.dumps(open_source(recipe)))
    read = {photo.id: source.read(photo) for photo in source.photos()[2:]}
    assert read["one/x.png"].image[0, 0].tolist() == [10, 0, 0]
    assert read["two/x.png"].image[0, 0].tolist() == [200, 0, 0]
    alone = FolderSource(str(tmp_path / "a"))
    assert read["two/x.png"].sha256 == alone.read(alone.photos()[0]).sha256
    drawn = SyntheticSource(3, seed=0, truncation=0.5)
    np.testing.assert_array_equal(read["new/synthetic/000002"].image, drawn.read(drawn.photos()[2]).image)


def test_terms_assets_and_description_are_those_of_all(recipe, tmp_path):
    source = open_source(recipe, seed=4)
    assert source.assets == ("mobilestylegan",)
    assert [part in source.licence for part in ("two: CC0", "one: not stated", "new: Apache-2.0")] == [True] * 3
    described = source.describe()["sources"]
    assert described["new"] == SyntheticSource(3, seed=4, truncation=0.5).describe()
    assert described["one"] == FolderSource(str(tmp_path / "b")).describe()
    assert str(tmp_path) not in str(described)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("- a", "expected the one key 'sources'"),
        ("sources: {}", "names no source"),
        ("sources: {one: {path: a}}", "source 'one': expected settings with the key 'source'"),
        ("sources: {a/b: {source: a}}", "expected a name without /"),
        ("sources: {one: {source: nowhere}}", "expected a folder of photographs"),
        ("sources: {one: {source: a, cuont: 3}}", "has no setting 'cuont'"),
        ("sources: {one: {source: other.yaml}}", "cannot hold another"),
        ("sources: {one: {source: synthetic}, two: {source: synthetic}}", "the same people"),
        ("sources: [", "cannot be read"),
    ],
)
def test_a_list_that_makes_no_sense_is_refused_in_one_line(recipe, text, problem):
    assert problem in refusal(write(Path(recipe).parent, text))


def test_generated_faces_of_different_seeds_may_be_mixed(tmp_path):
    path = write(
        tmp_path, "sources: {one: {source: synthetic, count: 2, seed: 1}, two: {source: synthetic, count: 2, seed: 2}}"
    )
    assert len({photo.identity for photo in open_source(path).photos()}) == 4
