"""A moment of some faults: nothing is lost, left behind, or wrong silently. benchmarks/bench_faults.py tries all of them."""

from __future__ import annotations

import random
import sys

import pytest

from benchmarks import bench_faults
from benchmarks.bench_faults import prepare, tried, undisturbed
from tests.faults.running import Running, Trial, made

#: With seeds whose moments lie within the work: shards half made.
TRIALS = {
    "SIGKILL at a write": 2,
    "SIGINT": 0,
    "full disk": 0,
    "file-size limit": 0,
    "worker killed": 0,
    "flipped bit": 0,
    "clock backwards": 0,
    "two at once": 0,
}


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("faults") / "base"
    prepare(folder, commands=())
    return folder


@pytest.fixture(scope="module")
def clean(base, tmp_path_factory):
    """What an undisturbed command makes, and how long it takes."""
    return undisturbed("make-dataset", base, tmp_path_factory.mktemp("clean") / "make-dataset")


@pytest.mark.parametrize(("fault", "seed"), TRIALS.items())
def test_nothing_is_lost_or_wrong_silently(fault, seed, base, clean, tmp_path):
    if fault == "full disk" and not bench_faults.mounts():
        pytest.skip("mounting a file system is not allowed here")
    trial = tried(fault, "make-dataset", base, tmp_path / "place", clean, seed)
    assert not trial.wrong, "\n".join([*trial.ran, *trial.wrong])


def test_a_difference_and_a_leftover_are_seen(tmp_path):
    (tmp_path / "scores.csv").write_text("image,seconds,psnr\na,1.5,20\n")
    (tmp_path / "face.png").write_bytes(b"a picture")
    clean = made(tmp_path)

    def wrong():
        trial = Trial("restore", tmp_path, tmp_path, random.Random(0), clean)
        trial.compare()
        return trial.wrong

    (tmp_path / "scores.csv").write_text("image,seconds,psnr\na,9.5,20\n")
    assert wrong() == []
    (tmp_path / "scores.csv").write_text("image,seconds,psnr\na,9.5,21\n")
    assert wrong() == ["another content, and nothing said: scores.csv"]
    (tmp_path / "scores.csv").rename(tmp_path / ".scores.77.part.csv")
    assert wrong() == ["left behind: .scores.77.part.csv", "missing: scores.csv"]


@pytest.mark.parametrize(
    "script", ["raise SystemExit(1)", "raise ValueError", "print('unexpected end', file=__import__('sys').stderr)"]
)
def test_an_end_without_a_line_of_error_is_seen(tmp_path, script):
    trial = Trial("train", tmp_path, tmp_path, random.Random(0))
    Running(trial, [sys.executable, "-c", script]).ended()
    assert len(trial.wrong) == 1
