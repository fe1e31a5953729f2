from __future__ import annotations

from occface.sources import tree


def test_digests_follow_names_contents_and_sizes(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name / "a").mkdir(parents=True)
        (tmp_path / name / "a" / "1.txt").write_text("text")
        (tmp_path / name / "2.txt").write_text("more")
    one, two = tmp_path / "one", tmp_path / "two"
    digests = (tree.contents_digest(one), tree.sizes_digest(one))
    assert digests == (tree.contents_digest(two), tree.sizes_digest(two))
    (two / "2.txt").write_text("less")
    assert tree.contents_digest(two) != digests[0]
    assert tree.sizes_digest(two) == digests[1]  # of the same length: this one does not look inside
    (two / "2.txt").write_text("longer")
    assert tree.sizes_digest(two) != digests[1]
    (two / "2.txt").write_text("more")
    (two / "2.txt").rename(two / "3.txt")
    assert tree.contents_digest(two) != digests[0]
    assert tree.sizes_digest(two) != digests[1]
