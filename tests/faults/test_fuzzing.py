"""The fuzzing of readers: it changes files by its seed, reads them, and sees a crash as one."""

from __future__ import annotations

import random

from benchmarks.fuzz_readers import fuzz, mutated


def test_changes_follow_the_seed_and_are_changes():
    whole, other = bytes(range(256)) * 8, b"other" * 100
    first = [mutated(whole, other, random.Random(seed), words=True) for seed in range(200)]
    assert first == [mutated(whole, other, random.Random(seed), words=True) for seed in range(200)]
    assert sum(data != whole for data in first) > 190
    assert isinstance(mutated(b"", b"", random.Random(0), words=False), bytes)


def test_pictures_are_read_in_a_process_of_their_own(tmp_path):
    found = fuzz("image", 0, 2.0, tmp_path, tmp_path / "kept")
    assert found["used"] > 5
    assert found["refused"] > 5
    assert found.keys() <= {"used", "refused"}
