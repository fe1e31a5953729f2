import csv
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time
import zlib

import h5py
import numpy as np
import pytest
from PIL import Image

from occface import files
from occface.dataset import make as make_module
from occface.dataset.config import DatasetConfig
from occface.dataset.make import make_dataset
from occface.dataset.reader import DatasetFile
from occface.dataset.shards import make_shard, plan_shards
from occface.dataset.verify import verify
from occface.errors import OccfaceError, UsageError
from occface.locking import working_alone
from occface.sources.folder import FolderSource

CONFIG = DatasetConfig(test=2, seed=7)


@pytest.fixture(scope="module")
def many_faces(tmp_path_factory, faces_folder):
    """Sixty-six photographs, so that there are five shards: the six faces at eleven brightnesses."""
    folder = tmp_path_factory.mktemp("many")
    for path in sorted(faces_folder.iterdir()):
        pixels = np.asarray(Image.open(path)).astype(float)
        for step in range(11):
            Image.fromarray((pixels * (1 - 0.03 * step)).astype(np.uint8)).save(folder / f"{path.stem}_{step:02d}.png")
    return folder


def png_header(width, height):
    """The beginning of a PNG file that promises so many pixels."""
    data = b"\x89PNG\r\n\x1a\n"
    size = width.to_bytes(4, "big") + height.to_bytes(4, "big") + b"\x08\x02\x00\x00\x00"
    for kind, body in ((b"IHDR", size), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")):
        data += len(body).to_bytes(4, "big") + kind + body + zlib.crc32(kind + body).to_bytes(4, "big")
    return data


def rejected(path):
    with open(path, newline="", encoding="utf-8") as handle:
        return {row["file"]: row["reason"] for row in csv.DictReader(handle)}


def test_the_file_holds_what_the_schema_says(dataset_path):
    with h5py.File(dataset_path) as file:  # plain h5py is enough
        assert file.attrs["schema_version"] == 1
        assert sorted(file) == ["test", "train"]
        train = file["train"]
        assert train["hr"].shape == (4, 128, 128, 3)
        assert train["hr"].dtype == np.uint8
        assert train["hr"].chunks is None
        assert train["occluded/square/lr"].shape == (4, 16, 16, 3)
        assert train["occluded/irregular/landmarks_lr"].shape == (4, 68, 2)
        assert set(np.unique(train["occluded/square/mask"])) == {0, 1}
        assert train["id"].asstr()[0].endswith(".jpg")
        inside = (train["landmarks"][:] > 0) & (train["landmarks"][:] < 127)
        assert inside.mean() > 0.98
    assert verify(dataset_path) == []


def test_lr_faces_are_what_pillow_makes_of_the_occluded_faces(dataset):
    record = dataset.record("train", 1, ["hr", "occluded/square/mask", "occluded/square/lr", "lr_clean"])
    occluded = np.where(record["occluded/square/mask"][..., None] == 1, 128, record["hr"]).astype(np.uint8)
    resize = [np.asarray(Image.fromarray(hr).resize((16, 16), Image.Resampling.BILINEAR)) for hr in (occluded, record["hr"])]
    assert np.array_equal(resize[0], record["occluded/square/lr"])
    assert np.array_equal(resize[1], record["lr_clean"])


def test_the_number_of_workers_does_not_show_in_the_bytes(tmp_path, many_faces):
    made = [make_dataset(FolderSource(str(many_faces)), tmp_path / f"{n}.h5", CONFIG, workers=n) for n in (1, 2)]
    assert files.sha256_file(made[0].path) == files.sha256_file(made[1].path)
    assert made[0].counts == {"train": 64, "test": 2}


def test_a_cluster_makes_the_same_bytes(tmp_path, many_faces):
    distributed = pytest.importorskip("distributed")
    source = FolderSource(str(many_faces))
    here = make_dataset(source, tmp_path / "here.h5", CONFIG)
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster:
        there = make_dataset(source, tmp_path / "there.h5", CONFIG, backend="dask", scheduler=cluster.scheduler_address)
    assert files.sha256_file(here.path) == files.sha256_file(there.path)


def test_a_damaged_shard_is_one_line_that_says_what_to_do(tmp_path, faces_folder):
    source, output = FolderSource(str(faces_folder)), tmp_path / "a.h5"
    parts = tmp_path / "a.h5.parts"
    for garbage in (b"", b"text", b"PK\x03\x04" + bytes(5000)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(make_module, "assemble", refuse)
            with pytest.raises(OccfaceError, match="no room left"):
                make_dataset(source, output, CONFIG, overwrite=True)
        shard = parts / "part-000000.npz"
        shard.write_bytes(garbage)
        with pytest.raises(OccfaceError, match=r"part-000000\.npz is damaged: remove it and run again with --resume") as caught:
            make_dataset(source, output, CONFIG, resume=True)
        assert "pickle" not in str(caught.value)


def refuse(*_):
    raise OccfaceError("no room left")


def test_a_fault_of_the_machine_ends_the_work_and_is_no_bad_photograph(tmp_path, many_faces, monkeypatch):
    read, source, output = FolderSource.read, FolderSource(str(many_faces)), tmp_path / "a.h5"
    whole = make_dataset(source, tmp_path / "whole.h5", CONFIG)
    for error in (MemoryError(), OSError(5, "Input/output error")):

        def fails(self, photo, error=error):
            if photo.id == "face_3_07.png":
                raise error
            return read(self, photo)

        if isinstance(error, OSError):
            monkeypatch.setattr(FolderSource, "read", read)
            monkeypatch.setattr("pathlib.Path.read_bytes", breaks_for("face_3_07.png", error))
        else:
            monkeypatch.setattr(FolderSource, "read", fails)
        with pytest.raises(OccfaceError, match="what was made is kept"):
            make_dataset(source, output, CONFIG, resume=True)
        assert not output.exists()
    monkeypatch.undo()
    made = make_dataset(source, output, CONFIG, resume=True)
    assert made.content_hash == whole.content_hash


def breaks_for(name, error):
    read = pathlib.Path.read_bytes

    def read_bytes(self):
        if self.name == name:
            raise error
        return read(self)

    return read_bytes


def test_workers_that_do_not_see_the_photographs_end_the_work(tmp_path, faces_folder):
    shutil.copytree(faces_folder, tmp_path / "photos")
    source = FolderSource(str(tmp_path / "photos"))
    shard = plan_shards(source.photos(), CONFIG)[0]
    shutil.rmtree(tmp_path / "photos")
    with pytest.raises(OccfaceError, match=r"does not find .*photos: put the photographs where all workers see them"):
        make_shard(shard, source, CONFIG)


def test_finished_work_is_found_finished(tmp_path, faces_folder):
    source = FolderSource(str(faces_folder))
    made = make_dataset(source, tmp_path / "a.h5", CONFIG)
    written = made.path.stat().st_mtime_ns
    again = make_dataset(source, tmp_path / "a.h5", CONFIG, resume=True)
    assert again == made
    assert made.path.stat().st_mtime_ns == written
    with pytest.raises(UsageError, match="other photographs or with other options"):
        make_dataset(source, tmp_path / "a.h5", DatasetConfig(test=2, seed=8), resume=True)


def test_a_folder_of_as_many_other_photographs_is_another_request(tmp_path, faces_folder):
    (tmp_path / "others").mkdir()
    for path in faces_folder.iterdir():
        (tmp_path / "others" / f"other_{path.name}").write_bytes(path.read_bytes())
    make_dataset(FolderSource(str(faces_folder)), tmp_path / "a.h5", CONFIG)
    with pytest.raises(UsageError, match="other photographs"):
        make_dataset(FolderSource(str(tmp_path / "others")), tmp_path / "a.h5", CONFIG, resume=True)


def test_an_unexpected_error_on_one_photograph_is_a_reason(tmp_path, faces_folder, monkeypatch):
    from occface.dataset import shards

    records = shards.make_records

    def breaks(source, photo, *place):
        if photo.id == "face_3.jpg":
            raise ArithmeticError("no more\nat all")
        return records(source, photo, *place)

    monkeypatch.setattr(shards, "make_records", breaks)
    made = make_dataset(FolderSource(str(faces_folder)), tmp_path / "a.h5", CONFIG)
    assert made.rejected == [("face_3.jpg", "unexpected ArithmeticError: no more")]


def test_another_seed_gives_another_content(tmp_path, faces_folder, dataset):
    made = make_dataset(FolderSource(str(faces_folder)), tmp_path / "other.h5", DatasetConfig(test=2, seed=8))
    assert made.content_hash != dataset.content_hash


def test_killed_half_way_and_resumed_gives_the_same_bytes(tmp_path, many_faces):
    whole = make_dataset(FolderSource(str(many_faces)), tmp_path / "whole.h5", CONFIG)
    command = [sys.executable, "-m", "occface", "make-dataset", str(many_faces), str(tmp_path / "killed.h5"), "--workers", "2"]
    options = ["--test", "2", "--seed", "7"]
    process = subprocess.Popen([*command, *options], start_new_session=True, stderr=subprocess.DEVNULL)
    parts = tmp_path / "killed.h5.parts"
    deadline = time.monotonic() + 60
    while not list(parts.glob("part-*.npz")) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    done = len(list(parts.glob("part-*.npz")))
    assert 1 <= done < 5
    assert not (tmp_path / "killed.h5").exists()
    unasked = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
    assert unasked.returncode == 2
    assert "--resume" in unasked.stderr
    subprocess.run([*command, *options, "--resume"], check=True, capture_output=True)
    assert files.sha256_file(tmp_path / "killed.h5") == files.sha256_file(whole.path)
    assert not parts.exists()


def test_a_file_is_made_by_one_at_a_time_and_what_a_killed_one_left_goes(tmp_path, faces_folder, monkeypatch):
    source, faces = FolderSource(str(faces_folder)), tmp_path / "faces.csv"
    with working_alone(tmp_path, "a.h5"), pytest.raises(UsageError, match=r"another occface is at work on .*a\.h5"):
        make_dataset(source, tmp_path / "a.h5", CONFIG, overwrite=True)
    monkeypatch.setattr(make_module, "assemble", refuse)
    with pytest.raises(OccfaceError, match="no room left"):
        make_dataset(source, tmp_path / "a.h5", CONFIG)
    monkeypatch.undo()
    for left in ("a.7.part.h5", "a.rejected.7.part.csv", "faces.7.part.csv", "b.7.part.h5"):
        (tmp_path / f".{left}").touch()
    (tmp_path / "a.h5.parts" / ".part-000000.7.part.npz").touch()
    make_dataset(source, tmp_path / "a.h5", CONFIG, resume=True, write_faces=faces)
    assert {path.name for path in tmp_path.iterdir()} == {"a.h5", "a.rejected.csv", "faces.csv", ".b.7.part.h5"}


def test_unfinished_work_of_other_options_is_not_gone_on_with(tmp_path, faces_folder):
    output = tmp_path / "a.h5"
    parts = tmp_path / "a.h5.parts"
    parts.mkdir()
    files.write_json(parts / "request.json", {"configuration": "another"})
    with pytest.raises(UsageError, match="other options or photographs"):
        make_dataset(FolderSource(str(faces_folder)), output, CONFIG, resume=True)
    assert (parts / "request.json").exists()


def test_a_file_that_exists_is_kept(tmp_path, faces_folder):
    (tmp_path / "a.h5").write_text("mine")
    with pytest.raises(UsageError, match=r"exists already.*--overwrite"):
        make_dataset(FolderSource(str(faces_folder)), tmp_path / "a.h5", CONFIG)
    assert (tmp_path / "a.h5").read_text() == "mine"


def test_every_bad_photograph_is_listed_and_the_rest_is_used(tmp_path, faces_folder):
    folder = tmp_path / "photos"
    folder.mkdir()
    good = sorted(faces_folder.iterdir())
    face = Image.open(good[0])
    face.save(folder / "sømeone 脸.png")
    face.convert("L").save(folder / "grey.png")
    face.convert("RGBA").save(folder / "rgba.png")
    grey16 = np.asarray(face.convert("L")).astype(np.uint16) * 257
    Image.fromarray(grey16).save(folder / "grey16.png")
    turned = face.transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise by 90 degrees for viewing
    turned.save(folder / "turned.jpg", exif=exif, quality=95)
    three = Image.new("RGB", (960, 330))
    for place, path in enumerate(good[1:4]):
        three.paste(Image.open(path), (320 * place, 0))
    three.save(folder / "three.png")
    (folder / "cut.jpg").write_bytes(good[0].read_bytes()[:9000])
    Image.new("RGB", (1, 1)).save(folder / "dot.png")
    (folder / "bomb.png").write_bytes(png_header(20000, 20000))
    Image.fromarray(np.full((300, 300, 3), 90, np.uint8)).save(folder / "wall.png")
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "text.jpg").write_text("not a picture")
    (folder / "notes.txt").write_text("not looked at")

    made = make_dataset(FolderSource(str(folder)), tmp_path / "a.h5", DatasetConfig(test=1))
    assert verify(made.path) == []
    used = {id_ for split in made.counts for id_ in DatasetFile(made.path).columns(split)["id"]}
    assert used == {"sømeone 脸.png", "grey.png", "rgba.png", "grey16.png", "turned.jpg", "three.png"}
    reasons = rejected(made.rejected_path)
    assert set(reasons) == {"cut.jpg", "dot.png", "bomb.png", "wall.png", "empty.jpg", "text.jpg"}
    assert "truncated" in reasons["cut.jpg"]
    assert "1x1" in reasons["dot.png"]
    assert "20000x20000" in reasons["bomb.png"]
    assert "no face" in reasons["wall.png"]
    assert all("\n" not in reason and len(reason) > 8 for reason in reasons.values())


def test_a_turned_photograph_gives_the_upright_face(tmp_path, faces_folder):
    folder = tmp_path / "photos"
    folder.mkdir()
    face = Image.open(sorted(faces_folder.iterdir())[0])
    exif = Image.Exif()
    exif[0x0112] = 6
    face.save(folder / "a.png")
    face.transpose(Image.Transpose.ROTATE_90).save(folder / "b.png", exif=exif)
    data = DatasetFile(make_dataset(FolderSource(str(folder)), tmp_path / "a.h5", DatasetConfig(test=0)).path)
    assert np.array_equal(data.record("train", 0, ["hr"])["hr"], data.record("train", 1, ["hr"])["hr"])


def test_a_folder_without_one_usable_photograph_fails_and_lists_the_reasons(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "a.jpg").write_text("not a picture")
    with pytest.raises(OccfaceError, match=r"none of 1 photographs could be used; the first, a\.jpg: .*rejected\.csv"):
        make_dataset(FolderSource(str(folder)), tmp_path / "a.h5")
    assert list(rejected(tmp_path / "a.rejected.csv")) == ["a.jpg"]
    assert not (tmp_path / "a.h5").exists()


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 4 MB, into which some shards go and not all, that is taken away afterwards."""
    place = tmp_path / "disk"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", place], capture_output=True, check=False).returncode:
        pytest.skip("mounting a small file system needs root")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def test_a_full_disk_is_one_line_and_what_was_made_is_kept(small_disk, many_faces):
    before = small_disk / "precious.txt"
    before.write_text("precious")
    with pytest.raises(OccfaceError, match=r"No space left|MB free") as caught:
        make_dataset(FolderSource(str(many_faces)), small_disk / "a.h5", CONFIG)
    assert "\n" not in str(caught.value)
    assert before.read_text() == "precious"
    assert not (small_disk / "a.h5").exists()
    shards = list((small_disk / "a.h5.parts").glob("part-*.npz"))
    assert 1 <= len(shards) < 5
    subprocess.run(["mount", "-o", "remount,size=40m", small_disk], check=True)
    made = make_dataset(FolderSource(str(many_faces)), small_disk / "a.h5", CONFIG, resume=True)
    assert made.counts == {"train": 64, "test": 2}
    assert verify(made.path) == []


def test_a_read_only_folder_is_one_line_before_any_work(small_disk, faces_folder):
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with pytest.raises(OccfaceError, match=r"could not write .*Read-only file system") as caught:
        make_dataset(FolderSource(str(faces_folder)), small_disk / "a.h5", CONFIG)
    assert "\n" not in str(caught.value)
