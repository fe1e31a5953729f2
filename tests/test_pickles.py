"""Pickles are read, never run."""

from __future__ import annotations

import collections
import io
import os
import pickle
import zipfile

import pytest
import torch

from occface import pickles
from occface.pickles import holds_code


class Trap:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_trap_is_seen_in_every_protocol_and_not_sprung(tmp_path, protocol):
    path = tmp_path / "file"
    path.write_bytes(pickle.dumps({"weights": [1.0, Trap(tmp_path / "sprung")]}, protocol))
    assert holds_code(path)
    assert not (tmp_path / "sprung").exists()
    pickle.loads(path.read_bytes())  # it is one
    assert (tmp_path / "sprung").exists()


@pytest.mark.parametrize("legacy", [False, True])
def test_a_trap_in_what_torch_writes(tmp_path, legacy):
    torch.save(
        {"a": torch.zeros(2), "b": Trap(tmp_path / "sprung")}, tmp_path / "file", _use_new_zipfile_serialization=not legacy
    )
    assert holds_code(tmp_path / "file")
    assert not (tmp_path / "sprung").exists()


def test_a_name_like_torchs_is_not_enough(tmp_path):
    (tmp_path / "file").write_bytes(b"ctorch.hub\nload\n.")
    assert holds_code(tmp_path / "file")
    (tmp_path / "file").write_bytes(b"cos\nFloatStorage\n.")
    assert holds_code(tmp_path / "file")


def test_a_whole_module_is_an_object(tmp_path):
    torch.save(torch.nn.Linear(2, 2), tmp_path / "file")
    assert holds_code(tmp_path / "file")


def test_numbers_are_no_code(tmp_path):
    kinds = (torch.float32, torch.float64, torch.bfloat16, torch.int64, torch.bool, torch.uint8)
    state = {str(kind): torch.zeros(2, dtype=kind) for kind in kinds}
    parameters = collections.OrderedDict(a=torch.nn.Parameter(torch.zeros(2)))
    torch.save({**state, "plain": [1, 2.5, None, "text", (True,)], "net": parameters, "kind": torch.float16}, tmp_path / "file")
    assert not holds_code(tmp_path / "file")


def test_a_file_of_millions_of_opcodes_is_not_read_to_its_end(tmp_path, monkeypatch):
    trap = pickle.dumps(Trap(tmp_path / "sprung"))
    (tmp_path / "file").write_bytes(b"N." * 1000 + trap)
    assert holds_code(tmp_path / "file")
    monkeypatch.setattr(pickles, "_MOST", 2000)
    assert not holds_code(tmp_path / "file")
    (tmp_path / "file").write_bytes(b"N." * 900 + trap)
    assert holds_code(tmp_path / "file")


def test_what_is_no_intact_pickle_holds_none(tmp_path):
    buffer = io.BytesIO()
    torch.save(Trap(tmp_path), buffer)
    zipped, plain = buffer.getvalue(), pickle.dumps(Trap(tmp_path))
    at = zipped.index(b"mkdir")
    changed = zipped[:at] + b"m" + zipped[at + 1 :].replace(b"kdir", b"kdjr", 1)  # its CRC no longer fits
    for data in (b"", b"cats are nice\nare they\n", zipped[:-1], zipped[:300], plain[:-1], changed, bytes(range(256)) * 9):
        (tmp_path / "file").write_bytes(data)
        assert not holds_code(tmp_path / "file")
    with zipfile.ZipFile(tmp_path / "file", "w") as archive:
        archive.writestr("notes.txt", "cos\nsystem\n.")
    assert not holds_code(tmp_path / "file")
