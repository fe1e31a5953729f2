import subprocess
import sys

import pytest

from occface import files
from occface.errors import OccfaceError, UsageError


def test_an_error_in_the_block_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def half_way():
        with files.atomic_path(path) as temporary:
            temporary.write_text("half of the ne")
            raise RuntimeError("half-way")

    with pytest.raises(RuntimeError, match="half-way"):
        half_way()
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.txt"]


def test_a_full_disk_is_one_line_that_names_the_file(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")

    def write_to_a_full_disk():
        with files.atomic_path(path), open("/dev/full", "wb", buffering=0) as full:
            full.write(b"x")

    with pytest.raises(OccfaceError, match=r"could not write .*a\.bin: No space left on device"):
        write_to_a_full_disk()
    assert path.read_bytes() == b"old"


def test_the_temporary_file_keeps_the_suffix_and_lies_beside_its_place(tmp_path):
    with files.atomic_path(tmp_path / "deep" / "a.png") as temporary:
        assert temporary.suffix == ".png"
        assert temporary.parent == tmp_path / "deep"
        temporary.write_bytes(b"1")
    assert [entry.name for entry in (tmp_path / "deep").iterdir()] == ["a.png"]


def test_a_file_in_the_place_of_a_folder_is_one_line(tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(OccfaceError, match=r"could not write .*taken"):
        files.write_text(tmp_path / "taken" / "a.txt", "x")


def test_canonical_json_does_not_depend_on_the_order_of_keys():
    assert files.sha256_json({"a": 1, "b": 2}) == files.sha256_json({"b": 2, "a": 1})
    assert files.sha256_json({"a": 1}) != files.sha256_json({"a": 2})


def test_hash_is_that_of_the_standard(tmp_path):
    (tmp_path / "abc").write_text("abc")
    # FIPS 180-2, appendix B.1
    assert files.sha256_file(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@pytest.mark.parametrize(("read", "text"), [(files.read_json, "{"), (files.read_yaml, "a: [")])
def test_a_broken_record_is_one_line(tmp_path, read, text):
    (tmp_path / "broken").write_text(text)
    with pytest.raises(UsageError, match="broken") as caught:
        read(tmp_path / "broken")
    assert "\n" not in str(caught.value)


def test_yaml_makes_no_objects(tmp_path):
    (tmp_path / "evil.yaml").write_text("!!python/object/apply:os.system ['true']")
    with pytest.raises(UsageError):
        files.read_yaml(tmp_path / "evil.yaml")


_KILLED = """
import os, sys
from occface import files
with files.atomic_path(sys.argv[1]) as temporary:
    temporary.write_text("half")
    os.kill(os.getpid(), 9)
"""


def test_what_a_killed_process_left_is_removed_and_nothing_else(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", _KILLED, str(tmp_path / "a.rejected.csv")])
    dead.wait()
    assert [path.name for path in tmp_path.iterdir()] == [f".a.rejected.{dead.pid}.part.csv"]
    kept = {".a.mine.part.h5", "a.h5", ".a.7.part.of.mine", "a.7.part.h5", "below"}
    for name in (*kept - {"below"}, ".a.7.part.h5", ".ab.7.part.h5", ".a.7.part", "below/.a.7.part.h5"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / ".folder.7.part").mkdir()

    def left():
        return {path.name for path in tmp_path.iterdir()} - {".folder.7.part"}

    files.remove_leftovers(tmp_path, "a.h5", "a.rejected.csv")
    assert left() == kept | {".ab.7.part.h5", ".a.7.part"}
    files.remove_leftovers(tmp_path)
    assert left() == kept
    assert (tmp_path / "below" / ".a.7.part.h5").exists()
    files.remove_leftovers(tmp_path, below=True)
    assert not (tmp_path / "below" / ".a.7.part.h5").exists()
    assert left() == kept
    files.remove_leftovers(tmp_path / "absent")
