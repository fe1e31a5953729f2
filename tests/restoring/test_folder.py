"""Many photographs: what is written, what is listed, what is gone on with."""

from __future__ import annotations

import json
import logging
import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from occface import files
from occface.errors import OccfaceError, UsageError
from occface.images import read_image, write_png
from occface.locking import working_alone
from occface.restoring import folder as folders
from occface.restoring.folder import RestoreOptions, restore_paths
from occface.restoring.masks import MaskRequest
from occface.restoring.photograph import Finder
from occface.restoring.restorer import Restorer


@pytest.fixture
def photos(tmp_path, crowd):
    """Two people on one photograph, nobody on another, and a video."""
    write_png(tmp_path / "photos" / "crowd.png", crowd)
    write_png(tmp_path / "photos" / "trip" / "nobody.png", np.full((80, 90, 3), 60, np.uint8))
    (tmp_path / "photos" / "clip.mp4").write_bytes(b"\0\0\0\x18ftypmp42" + bytes(100))
    return tmp_path / "photos"


def table(out):
    return pd.read_csv(out / "results.csv", keep_default_na=False)


def test_everything_is_written_and_listed(tmp_path, photos, restorer, crowd):
    done = restore_paths([photos], tmp_path / "out", restorer, RestoreOptions(Finder(masks=MaskRequest(region="mouth"))))
    rows = table(tmp_path / "out")
    assert rows["file"].tolist() == ["clip.mp4", "crowd.png", "crowd.png", "trip/nobody.png"]
    assert rows["state"].tolist() == ["not read", "restored", "restored", "no face"]
    assert done.counts() == {"photographs": 3, "no face": 1, "not read": 1, "restored": 2}
    assert "clip.mp4: not read: a video" in done.text()
    assert json.loads(json.dumps(done.as_dict()))["rows"][1]["mask"] == "mouth"
    pictures = {path.name for path in (tmp_path / "out" / "crowd.png").iterdir()}
    names = ("input.png", "lr.png", "mask.png", "stage-1.png", "stage-2.png", "result.png", "heatmaps.png", "strip.jpg")
    assert pictures == {"restored.jpg", *(f"face-{number}-{name}" for number in (1, 2) for name in names)}
    sizes = {name[:-4]: read_image(tmp_path / "out" / "crowd.png" / f"face-1-{name}").shape[:2] for name in names}
    assert sizes == {
        "input": (128, 128), "lr": (16, 16), "mask": (128, 128), "stage-1": (32, 32), "stage-2": (64, 64),
        "result": (128, 128), "heatmaps": (128, 384), "strip": (146, 7 * 132 - 4),
    }  # fmt: skip
    assert read_image(tmp_path / "out" / "crowd.png" / "restored.jpg").shape == (480, 840, 3)
    face = rows.iloc[1]
    assert 0 < float(face["hidden"]) < 0.3
    assert 0 < float(face["landmark_confidence"]) <= 1
    assert (face["pipeline"], face["detector"], face["folder"]) == ("pro-uigan", "mtcnn", "crowd.png")


def test_pictures_are_those_of_the_call(tmp_path, photos, restorer, crowd):
    from occface.restoring.photograph import restore_photograph

    restore_paths([photos / "crowd.png"], tmp_path / "out", restorer)
    expected = restore_photograph(restorer, crowd)
    pasted = read_image(tmp_path / "out" / "crowd.png" / "restored.jpg").astype(int)
    assert np.abs(pasted - expected.image).mean() < 1.5
    written = read_image(tmp_path / "out" / "crowd.png" / "face-2-result.png")
    np.testing.assert_array_equal(written, expected.faces[1][1].result)


def test_large_faces_are_said_plainly(tmp_path, photos, restorer, caplog):
    with caplog.at_level(logging.WARNING, "occface"):
        restore_paths([photos / "crowd.png"], tmp_path / "out", restorer)
    wide = [float(width) for width in table(tmp_path / "out")["face_px"]]
    assert sum(width > 32 for width in wide) == 2
    assert "2 of 2 faces are wider than 32 px" in caplog.text
    assert "GFPGAN" in caplog.text
    assert "the detail it has is thrown away" in table(tmp_path / "out")["note"][0]


def test_work_that_stopped_is_gone_on_with(tmp_path, photos, restorer, monkeypatch):
    out, photo = tmp_path / "out", photos / "crowd.png"
    for number in range(3):
        shutil.copy(photo, photos / f"more-{number}.png")
    looked = []
    plain = folders.look

    def look(each, *more):
        looked.append(each.name)
        if each.name == "more-1.png" and len(looked) < 5:
            raise OccfaceError("the disk failed")
        return plain(each, *more)

    monkeypatch.setattr(folders, "look", look)
    monkeypatch.setattr(folders, "BATCH", 2)
    with pytest.raises(OccfaceError, match="the disk failed"):
        restore_paths([photos], out, restorer)
    assert not (out / "results.csv").exists()
    with open(out / "journal.jsonl", "a") as journal:
        journal.write('{"file": "more-2.png", "sta')  # torn by a crash
    kept = (out / "crowd.png" / "restored.jpg").stat().st_mtime_ns
    with pytest.raises(UsageError, match="holds results already"):
        restore_paths([photos], out, restorer)
    before = len(looked)
    done = restore_paths([photos], out, restorer, resume=True)
    assert set(looked[before:]) == {"more-1.png", "more-2.png", "trip/nobody.png"}
    assert (out / "crowd.png" / "restored.jpg").stat().st_mtime_ns == kept
    assert done.counts()["restored"] == 8
    assert len(table(out)) == 8 + 2
    before = len(looked)
    restore_paths([photos], out, restorer, resume=True)
    assert len(looked) == before
    shutil.copy(photos / "trip" / "nobody.png", photo)  # another photograph of the same name
    rows = restore_paths([photos], out, restorer, resume=True).rows
    assert looked[before:] == ["crowd.png"]
    assert [row["state"] for row in rows if row["file"] == "crowd.png"] == ["no face"]


def test_results_of_other_options_are_not_gone_on_with(tmp_path, photos, restorer):
    photo = photos / "crowd.png"
    restore_paths([photo], tmp_path / "out", restorer, RestoreOptions(Finder(masks=MaskRequest(region="mouth"))))
    with pytest.raises(UsageError, match="by another pipeline or with other options"):
        restore_paths([photo], tmp_path / "out", restorer, resume=True)
    assert (tmp_path / "out" / "crowd.png" / "face-1-mask.png").exists()
    restore_paths([photo], tmp_path / "out", restorer, overwrite=True)
    assert not (tmp_path / "out" / "crowd.png" / "face-1-mask.png").exists()


def test_a_folder_is_restored_into_by_one_at_a_time_and_what_a_killed_one_left_goes(tmp_path, photos, restorer):
    out = tmp_path / "out"
    with working_alone(out), pytest.raises(UsageError, match=r"another occface is at work in .*out: wait"):
        restore_paths([photos], out, restorer)
    for left in (out / ".journal.7.part.jsonl", out / "crowd.png" / ".face-1-lr.7.part.png"):
        left.parent.mkdir(exist_ok=True)
        left.touch()
    restore_paths([photos], out, restorer)
    assert not list(out.rglob(".*"))


def test_a_kill_as_results_are_replaced_leaves_none_that_pass_for_the_new_ones(tmp_path, photos, restorer, monkeypatch):
    mouth = RestoreOptions(Finder(masks=MaskRequest(region="mouth")))
    restore_paths([photos], tmp_path / "out", restorer, mouth)
    plain = files.write_bytes

    def ends(path, data):
        if path.name == "journal.jsonl":  # the first thing behind the new request
            raise KeyboardInterrupt
        plain(path, data)

    monkeypatch.setattr(files, "write_bytes", ends)
    with pytest.raises(KeyboardInterrupt):
        restore_paths([photos], tmp_path / "out", restorer, overwrite=True)
    monkeypatch.undo()
    assert not (tmp_path / "out" / "results.csv").exists()
    restore_paths([photos], tmp_path / "out", restorer, resume=True)
    assert not (tmp_path / "out" / "crowd.png" / "face-1-mask.png").exists()


def test_boxes_from_a_table(tmp_path, photos, restorer):
    boxes = tmp_path / "boxes.csv"
    boxes.write_text("file,x0,y0,x1,y1\ncrowd.png,250,90,330,170\n")
    done = restore_paths([photos], tmp_path / "out", restorer, RestoreOptions(boxes=str(boxes)))
    assert done.counts()["restored"] == 1
    assert [row.get("detector") for row in done.rows if row["file"] == "crowd.png"] == ["given"]
    assert [row["state"] for row in done.rows if row["file"] == "trip/nobody.png"] == ["no face"]
    boxes.write_text("file,x0,y0,x1,y1\nother.png,250,90,330,170\n")
    with pytest.raises(UsageError, match=r"names none of the photographs: expected such as 'clip\.mp4', got 'other\.png'"):
        restore_paths([photos], tmp_path / "out2", restorer, RestoreOptions(boxes=str(boxes)))


def test_a_mask_of_another_size_and_one_of_everything_cost_only_their_photograph(tmp_path, photos, restorer, crowd):
    masks = tmp_path / "masks"
    write_png(photos / "other.png", crowd)
    write_png(masks / "crowd.png", np.full((10, 10), 255, np.uint8))
    write_png(masks / "other.png", np.full(crowd.shape[:2], 255, np.uint8))
    options = RestoreOptions(Finder(masks=MaskRequest(str(masks))))
    rows = restore_paths([photos / "crowd.png", photos / "other.png"], tmp_path / "out", restorer, options).rows
    assert [row["state"] for row in rows] == ["failed"] * 3
    assert "is 10x10, and the picture 420x240" in rows[0]["reason"]
    assert "the mask hides 100% of the face's crop" in rows[1]["reason"]


def test_aligned_thumbnails_of_any_size(tmp_path, dataset, restorer):
    hr = dataset.record("train", 0, ["hr"])["hr"]
    for size in (16, 40, 128):
        face = Image.fromarray(hr).resize((size, size), Image.Resampling.BILINEAR)
        write_png(tmp_path / "faces" / f"{size:03d}.png", np.asarray(face))
    write_png(tmp_path / "faces" / "wide.png", np.zeros((20, 40, 3), np.uint8))
    rows = restore_paths([tmp_path / "faces"], tmp_path / "out", restorer, RestoreOptions(Finder(aligned=True))).rows
    assert [row["state"] for row in rows] == ["restored"] * 3 + ["failed"]
    assert "a square of at least 16 px" in rows[3]["reason"]
    assert not (tmp_path / "out" / "016.png" / "restored.jpg").exists()
    lr = read_image(tmp_path / "faces" / "016.png")
    np.testing.assert_array_equal(read_image(tmp_path / "out" / "016.png" / "face-1-lr.png"), lr)


def test_one_face_that_a_method_cannot_do_costs_only_itself(tmp_path, photos, runs, monkeypatch):
    restorer = Restorer.from_pretrained(runs["pro-uigan"], device="cpu")
    plain = restorer.pipeline.stages[0].method.progress

    def progress(batch, before=None):
        if len(batch["lr"]) > 1 or batch["lr"].mean() > progress.limit:
            raise RuntimeError("out of memory\nmore lines")
        return plain(batch, before)

    monkeypatch.setattr(restorer.pipeline.stages[0].method, "progress", progress)
    progress.limit = 9.0
    rows = restore_paths([photos / "crowd.png"], tmp_path / "a", restorer).rows
    assert [row["state"] for row in rows] == ["restored"] * 2
    progress.limit = -9.0
    rows = restore_paths([photos / "crowd.png"], tmp_path / "b", restorer).rows
    assert {row["reason"] for row in rows} == {"RuntimeError: out of memory"}


def test_a_folder_that_cannot_be_written(tmp_path, photos, restorer):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(OccfaceError, match="could not write"):
        restore_paths([photos], tmp_path / "out", restorer)


def test_what_needs_a_mask_is_refused_before_anything_is_read(tmp_path, photos, runs):
    restorer = Restorer.from_pretrained("bicubic+gfc", weights={"gfc": runs["gfc"]}, device="cpu")
    with pytest.raises(UsageError, match="give --mask, --mask-region or --mask-box"):
        restore_paths([photos], tmp_path / "out", restorer)
    options = RestoreOptions(Finder(masks=MaskRequest(find="flat")))
    assert restore_paths([photos], tmp_path / "out", restorer, options).counts()["restored"] == 2
    with pytest.raises(UsageError, match="--boxes says where faces are"):
        restore_paths([photos], tmp_path / "o", restorer, RestoreOptions(Finder(aligned=True, masks=options.finder.masks), "b"))


def test_one_photograph_costs_only_itself_whatever_reading_it_raises(tmp_path, photos, restorer, monkeypatch):
    plain = folders.read_photo

    def read(photo, *more):
        if photo.name == "clip.mp4":
            raise Image.DecompressionBombError("too large\nmore lines")
        return plain(photo, *more)

    monkeypatch.setattr(folders, "read_photo", read)
    rows = restore_paths([photos], tmp_path / "out", restorer).rows
    assert [row["state"] for row in rows] == ["not read", "restored", "restored", "no face"]
    assert rows[0]["reason"] == "DecompressionBombError: too large"


@pytest.mark.parametrize("kind", [PermissionError(13, "Permission denied"), OSError(28, "No space left on device")])
def test_what_may_not_be_written_is_listed_and_a_full_disk_ends_after_what_was_finished(
    tmp_path, photos, restorer, monkeypatch, kind
):
    for name in ("a.png", "z.png"):
        shutil.copy(photos / "crowd.png", photos / name)
    plain = folders.files.write_bytes

    def write(path, data):
        if path.parent.name == "crowd.png":
            raise OccfaceError(f"could not write {path}") from kind
        plain(path, data)

    monkeypatch.setattr(folders.files, "write_bytes", write)
    if isinstance(kind, PermissionError):
        rows = restore_paths([photos], tmp_path / "out", restorer).rows
        states = [(row["file"], row["state"]) for row in rows if row["state"] in {"restored", "failed"}]
        assert states == [*[("a.png", "restored")] * 2, ("crowd.png", "failed"), *[("z.png", "restored")] * 2]
        assert (
            "its results may not be written: Permission denied"
            in rows[[row["file"] for row in rows].index("crowd.png")]["reason"]
        )
        return
    with pytest.raises(OccfaceError, match="could not write"):
        restore_paths([photos], tmp_path / "out", restorer)
    done = [json.loads(line)["file"] for line in (tmp_path / "out" / "journal.jsonl").read_text().splitlines()]
    assert done == ["a.png", "clip.mp4"]


def test_what_was_finished_is_noted_when_a_later_batch_fails(tmp_path, photos, restorer, monkeypatch):
    shutil.copy(photos / "crowd.png", photos / "z.png")
    plain = folders._restore
    batches = []

    def restore(batch, *more):
        batches.append([looked.photo.name for looked in batch])
        if len(batches) == 2:
            raise UsageError("no more")
        return plain(batch, *more)

    monkeypatch.setattr(folders, "_restore", restore)
    monkeypatch.setattr(folders, "BATCH", 2)
    with pytest.raises(UsageError, match="no more"):
        restore_paths([photos], tmp_path / "out", restorer)
    done = [json.loads(line)["file"] for line in (tmp_path / "out" / "journal.jsonl").read_text().splitlines()]
    assert done == batches[0]


def test_faces_wider_than_asked_for_are_left_as_they_are(tmp_path, photos, restorer, crowd, caplog):
    widths = sorted(row["face_px"] for row in restore_paths([photos / "crowd.png"], tmp_path / "all", restorer).rows)
    caplog.clear()
    options = RestoreOptions(max_face=sum(widths) / 2)
    done = restore_paths([photos / "crowd.png"], tmp_path / "out", restorer, options)
    wide, small = done.rows
    assert (wide["state"], wide["note"], small["state"]) == ("left out", "", "restored")
    assert "more than the" in wide["reason"]
    assert "of --max-face: it is left as it is" in wide["reason"]
    assert "1 of 1 faces" in caplog.text
    assert done.text().endswith("1 photograph; 1 face left out, 1 face restored")
    whole = read_image(tmp_path / "out" / "crowd.png" / "restored.jpg")
    times = len(whole) // len(crowd)
    as_it_was = crowd.repeat(times, 0).repeat(times, 1)
    off = np.abs(whole.astype(int) - as_it_was).mean(axis=2)
    assert off[:, 220 * times :].mean() < 3 < off[80 * times : 140 * times, 50 * times : 110 * times].mean()
    assert not list((tmp_path / "out" / "crowd.png").glob("face-1-*"))


def test_kinds_of_files_that_were_passed_over_are_said(tmp_path, photos, restorer):
    (photos / "notes.txt").write_text("")
    assert "passed over: 1 file .txt" in restore_paths([photos], tmp_path / "out", restorer).text()
