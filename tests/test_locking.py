import errno
import fcntl
import os
import signal
import subprocess
import sys

import pytest

from occface.errors import OccfaceError, UsageError
from occface.locking import working_alone

#: Keeps a place until its input ends, and has a child that would outlive it.
_HOLD = """
import subprocess, sys
from occface.locking import working_alone
with working_alone(*sys.argv[1:]):
    child = subprocess.Popen(["sleep", "60"], close_fds=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    print(child.pid, flush=True)
    sys.stdin.read()
    child.kill()
"""

#: Takes a place again and again; complains if another is there at the same time. Prints how often it was there.
_HAMMER = """
import os, sys, time
from occface.errors import UsageError
from occface.locking import working_alone
end, there = time.monotonic() + 1.0, 0
while time.monotonic() < end or not there:
    try:
        with working_alone(sys.argv[1]):
            os.close(os.open(sys.argv[2], os.O_CREAT | os.O_EXCL))
            there += 1
            os.unlink(sys.argv[2])
    except UsageError:
        pass
print(there)
"""


def python(script, *arguments):
    words = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(("name", "lock", "where"), [("", ".lock", "in .*run"), ("a.h5", ".a.h5.lock", "on .*run/a.h5")])
def test_a_second_one_is_refused_until_the_first_ends_or_is_killed(tmp_path, name, lock, where):
    folder = tmp_path / "run"
    for end in ("well", "killed"):
        holder = python(_HOLD, folder, name)
        child = int(holder.stdout.readline())
        with (
            pytest.raises(UsageError, match=rf"another occface is at work {where}: wait for it") as caught,
            working_alone(folder, name),
        ):
            pass
        assert "\n" not in str(caught.value)
        with working_alone(folder, "b.h5"):  # another file of the folder is another matter
            assert names(folder) == sorted([lock, ".b.h5.lock"])
        assert names(folder) == [lock]
        if end == "killed":
            holder.kill()
        holder.communicate()
        assert folder.exists() == (end == "killed")
        with working_alone(folder, name):
            assert names(folder) == [lock]
            (folder / "work").touch()
        assert names(folder) == ["work"]
        if end == "killed":
            os.kill(child, signal.SIGKILL)
        (folder / "work").unlink()
        folder.rmdir()


def test_processes_that_come_and_go_are_there_one_at_a_time(tmp_path):
    all_ = [python(_HAMMER, tmp_path / "run", tmp_path / "inside") for _ in range(4)]
    for process in all_:
        there, said = process.communicate(timeout=60)
        assert (process.returncode, said) == (0, "")
        assert int(there) > 0
    # The folder stays, empty, where the process that had made it was not the last one there.
    assert [path.name for path in tmp_path.rglob("*")] in ([], ["run"])


def test_what_a_killed_process_left_is_removed_of_the_folder_or_of_the_file_alone(tmp_path):
    (tmp_path / "kept").touch()
    for left in (".a.7.part.h5", ".b.7.part.h5", ".lock"):
        (tmp_path / left).touch()
    with working_alone(tmp_path, "a.h5"):
        assert names(tmp_path) == [".a.h5.lock", ".b.7.part.h5", ".lock", "kept"]
    with working_alone(tmp_path):
        assert names(tmp_path) == [".lock", "kept"]
    assert names(tmp_path) == ["kept"]


def test_a_block_that_fails_leaves_no_lock_and_no_folder_that_was_not_there(tmp_path):
    (tmp_path / "mine").mkdir()
    for name in ("mine", "new"):
        with pytest.raises(ValueError, match="x"), working_alone(tmp_path / name):
            raise ValueError("x")
    assert names(tmp_path) == ["mine"]
    assert names(tmp_path / "mine") == []


def test_a_place_that_cannot_be_written_is_said_in_a_line(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "run" / ".lock").mkdir(parents=True)
    for place, said in (("file", r"could not write .*file: "), ("run", r"could not write .*run/\.lock: Is a directory; ")):
        with pytest.raises(OccfaceError, match=said) as caught, working_alone(tmp_path / place):
            pass
        assert "\n" not in str(caught.value)


def test_a_file_system_without_locks_is_said(tmp_path, monkeypatch, caplog):
    def none(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", none)
    with working_alone(tmp_path):
        (tmp_path / "work").touch()
    assert "no locks" in caplog.text
    assert "(No locks available)" in caplog.text
    assert names(tmp_path) == ["work"]
