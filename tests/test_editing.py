"""Landmarks that move, and what goes with them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from occface.editing import EDITS, Edit, MoveLandmarks, edit_face, edit_file, landmarks_text, moved, read_landmarks_file
from occface.errors import OccfaceError, UsageError
from occface.faces.heatmaps import expected_places, gaussian_heatmaps
from occface.faces.measures import measure
from occface.images import read_image, write_png
from occface.locking import working_alone
from occface.methods.prouigan import ProUIGAN
from occface.methods.weights import save_weights
from occface.restoring.landmark_edits import moved_within_bounds
from occface.restoring.photograph import Finder
from occface.restoring.restorer import Restorer
from occface.restoring.thumbnails import from_aligned


@pytest.fixture(scope="module")
def restorer(tmp_path_factory):
    torch.manual_seed(0)
    method = ProUIGAN.build("test")
    folder = tmp_path_factory.mktemp("run")
    save_weights(folder, method.generator, {"method": "pro-uigan", "preset": "test", "config": method.config})
    return Restorer.from_pretrained(folder, device="cpu")


@pytest.fixture(scope="module")
def face(dataset_path):
    from occface.dataset.reader import DatasetFile

    return DatasetFile(dataset_path).record("train", 0, ["hr", "landmarks"])


@pytest.mark.parametrize(
    ("part", "how", "measured", "sign"),
    [
        ("mouth", "open", "mouth_opening", 1),
        ("mouth", "close", "mouth_opening", -1),
        ("mouth", "smile", "mouth_lift", 1),
        ("mouth", "frown", "mouth_lift", -1),
        ("mouth", "wide", "mouth_width", 1),
        ("mouth", "narrow", "mouth_width", -1),
        ("eyes", "wide", "eye_opening", 1),
        ("eyes", "narrow", "eye_opening", -1),
        ("brows", "up", "brow_height", 1),
        ("brows", "down", "brow_height", -1),
    ],
)
def test_edits_change_what_they_are_called_by_and_add_up(face, part, how, measured, sign):
    """Held against the measures of a face, which know nothing of edits."""
    before = face["landmarks"]
    if how in {"close", "narrow"}:  # from where there is room
        before = moved(before, [Edit("mouth", "open", 1.5), Edit("eyes", "wide")])
    values = [getattr(measure(points), measured) for points in (before, moved(before, [Edit(part, how, 0.5)]))]
    assert sign * (values[1] - values[0]) > 0.02
    twice = moved(before, [Edit(part, how, 0.5)] * 2)
    np.testing.assert_allclose(twice, moved(before, [Edit(part, how)]), atol=0.02)


@pytest.mark.parametrize(
    ("edit", "opened", "pairs", "outer"),
    [
        (Edit("mouth", "close"), Edit("mouth", "open", 0.3), [(61, 67), (62, 66), (63, 65)], (51, 57)),
        (Edit("eyes", "narrow", 2), Edit("eyes", "wide", 0.1), [(37, 41), (38, 40), (43, 47), (44, 46)], (19, 30)),
    ],
)
def test_lips_and_lids_meet_at_most(face, edit, opened, pairs, outer):
    for turn in (0.0, 0.5):  # of the head
        rotation = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
        upright = moved(face["landmarks"], [opened]).astype(float)
        for upper, lower in pairs:
            upright[lower, 1] = max(upright[lower, 1], upright[upper, 1] + 0.5)
        upright[pairs[0][1], 1] = upright[pairs[0][0], 1] - 0.25  # lips of a closed mouth are often found crossed
        across = upright[42:48].mean(0) - upright[36:42].mean(0)
        down = np.array([-across[1], across[0]]) / np.linalg.norm(across)
        after, bounded = moved_within_bounds(upright @ rotation, [edit])
        after = after @ rotation.T
        gaps = [((after[lower] - after[upper]) @ down, (upright[lower] - upright[upper]) @ down) for upper, lower in pairs]
        assert all(new >= min(0, old) - 1e-3 for new, old in gaps)
        assert all(new < 0.02 or new < old for new, old in gaps)
        assert min(new for new, old in gaps if old > 0) < 0.02
        assert (after[outer[1]] - after[outer[0]]) @ down > 2  # and nothing behind them crosses
        assert bounded == (f"{edit.part} {edit.how}",)


def test_edits_that_have_room_are_not_bounded(face):
    wide = moved(face["landmarks"], [Edit("mouth", "open", 2)])
    closed, bounded = moved_within_bounds(wide, [Edit("mouth", "close", 1.5)])
    np.testing.assert_allclose(closed, moved(face["landmarks"], [Edit("mouth", "open", 0.5)]), atol=1e-4)
    assert bounded == ()
    both = [Edit("mouth", "close"), Edit("mouth", "open")]
    np.testing.assert_allclose(moved(face["landmarks"], both), face["landmarks"], atol=1e-4)


def test_noses_grow_in_the_frame_of_the_face(face):
    before = face["landmarks"].astype(float)
    wider = moved(before, [Edit("nose", "wide")])
    assert np.linalg.norm(wider[35] - wider[31]) > np.linalg.norm(before[35] - before[31]) + 5
    angle = np.radians(30)
    rotation = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    for how in ("wide", "short"):
        turned = moved((before - 64) @ rotation + 64, [Edit("nose", how)])
        np.testing.assert_allclose(turned, (moved(before, [Edit("nose", how)]) - 64) @ rotation + 64, atol=1e-3)


def test_every_edit_moves_its_own_part_alone(face):
    allowed = {"mouth": {*range(5, 12), *range(48, 68)}, "eyes": {*range(36, 48)}, "brows": {*range(17, 27)}}
    allowed["nose"] = {*range(27, 36)}
    for part, hows in EDITS.items():
        for how in hows:
            changed = (moved(face["landmarks"], [Edit(part, how)]) != face["landmarks"]).any(1).nonzero()[0]
            assert set(changed.tolist()) <= allowed[part]
            assert len(changed)


@pytest.mark.parametrize("size", [16, 32, 64])
def test_picture_and_heatmaps_go_where_the_landmarks_go(face, size):
    before = face["landmarks"]
    after = moved(before, [Edit("mouth", "open"), Edit("brows", "up")])
    move = MoveLandmarks(before, after, stage=2)
    maps = gaussian_heatmaps(torch.from_numpy(before)[None], size)
    image = (2 * maps[:, 57:58] - 1).expand(-1, 3, -1, -1)  # one mark, on the lower lip
    same = move(0, image, maps)
    assert same[0] is image
    assert same[1] is maps
    picture, carried = move(1, image, maps)
    found = expected_places(carried)[0].numpy()
    inside = ((after > 8) & (after < 119)).all(1)
    assert np.abs(found - after)[inside].max() < 0.6
    with pytest.raises(UsageError, match="led by 7 landmarks"):
        move(1, image, maps[:, :7])
    mark = expected_places((picture[:, :1] + 1) / 2)[0, 0].numpy()
    assert np.abs(mark - after[57]).max() < 2.5
    assert move(1, image, None)[1] is None


def test_the_border_stays(face):
    before = face["landmarks"]
    move = MoveLandmarks(before, moved(before, [Edit("mouth", "smile")]), stage=1)
    image = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    picture, _ = move(0, image, None)
    assert (picture - image)[:, :, [0, -1]].abs().max() < 0.2
    assert (picture - image)[:, :, 30:60, 20:44].abs().max() > 0.5


@pytest.mark.parametrize("stage", [1, 2, 3])
def test_stages_before_the_edit_stay_and_those_behind_redraw(restorer, face, stage):
    done = edit_face(restorer, from_aligned(face["hr"], None, restorer.degradation), [Edit("mouth", "open")], stage=stage)
    pairs = zip((*done.original.stages, done.original.result), (*done.edited.stages, done.edited.result), strict=True)
    same = [bool((one == other).all()) for one, other in pairs]
    assert same == [number < stage for number in (1, 2, 3)]
    assert done.panel().shape == (146, 6 * 132 - 4, 3)


def test_landmarks_may_be_given(restorer, face, tmp_path):
    thumbnail = from_aligned(face["hr"], None, restorer.degradation)
    (original,) = restorer.run([thumbnail])
    (tmp_path / "a.csv").write_text(landmarks_text(original.landmarks))
    assert (tmp_path / "a.csv").read_text().splitlines()[0] == "x,y"
    again = read_landmarks_file(tmp_path / "a.csv")
    np.testing.assert_allclose(again, original.landmarks, atol=0.006)
    done = edit_face(restorer, thumbnail, [Edit("nose", "long")], landmarks=again)
    np.testing.assert_allclose(done.wanted, moved(again, [Edit("nose", "long")]))


def test_a_photographs_largest_face_is_edited(restorer, face, faces_folder, tmp_path):
    edits = [Edit("eyes", "wide")]
    done = edit_file(faces_folder / "face_0.jpg", tmp_path / "out", restorer, Finder(), edits)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "panel.png", "original.png", "edited.png", "landmarks.csv", "landmarks-edited.csv",
    }  # fmt: skip
    assert done.as_dict()["moved_px"] > 0.5
    assert "landmarks moved by" in done.text()
    assert done.as_dict()["bounded"] == []
    close = [Edit("mouth", "close", 2)]
    shut = edit_file(faces_folder / "face_0.jpg", tmp_path / "shut", restorer, Finder(), close, landmarks=face["landmarks"])
    assert shut.as_dict()["bounded"] == ["mouth close"]
    assert shut.text().endswith("; done only until lips or lids meet: mouth close")
    with pytest.raises(UsageError, match="holds an edited face already"):
        edit_file(faces_folder / "face_0.jpg", tmp_path / "out", restorer, Finder(), edits)
    with working_alone(tmp_path / "out"), pytest.raises(UsageError, match="another occface is at work in"):
        edit_file(faces_folder / "face_0.jpg", tmp_path / "out", restorer, Finder(), edits, overwrite=True)
    wanted = read_landmarks_file(tmp_path / "out" / "landmarks-edited.csv")
    edit_file(faces_folder / "face_0.jpg", tmp_path / "b", restorer, Finder(), [], landmarks=wanted)
    assert (
        np.abs(read_image(tmp_path / "b" / "edited.png").astype(int) - read_image(tmp_path / "out" / "edited.png")).max() <= 2
    )
    write_png(tmp_path / "grey.png", np.full((90, 90, 3), 90, np.uint8))
    with pytest.raises(UsageError, match="cannot be edited: no face found"):
        edit_file(tmp_path / "grey.png", tmp_path / "c", restorer, Finder(), edits)
    assert not (tmp_path / "c").exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(OccfaceError, match="could not write"):
        edit_file(faces_folder / "face_0.jpg", tmp_path / "file", restorer, Finder(), edits)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x,y\n1,2\n", "expected 68 rows"),
        ("a,b\n" + "1,2\n" * 68, "expected columns x,y"),
        ("x,y\n" + "1,here\n" * 68, "expected columns x,y"),
        ("x,y\n" + "1,nan\n" * 68, "all finite"),
        ("x,y\n" + "1,900\n" * 68, "in pixels of the 128x128 crop"),
    ],
)
def test_files_that_hold_no_landmarks(tmp_path, text, said):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(UsageError, match=said):
        read_landmarks_file(tmp_path / "a.csv")
    with pytest.raises(UsageError, match="cannot be read"):
        read_landmarks_file(tmp_path / "none.csv")


def test_requests_that_cannot_be(restorer, face):
    thumbnail = from_aligned(face["hr"], None, restorer.degradation)
    bad = {
        "did you mean 'mouth'": lambda: Edit("mouht", "open"),
        "did you mean 'smile'": lambda: Edit("mouth", "smiel"),
        "a strength above 0 and at most 2": lambda: Edit("mouth", "open", 3),
        "with a number": lambda: Edit.parse("mouth", "open:wide"),
        "nothing is to be changed": lambda: edit_face(restorer, thumbnail),
        "a stage from 1 to 3": lambda: edit_face(restorer, thumbnail, [Edit("nose", "long")], stage=4),
        "no stages led by 68 landmarks": lambda: edit_face(
            Restorer.from_pretrained("bicubic", device="cpu"), thumbnail, [Edit("nose", "long")]
        ),
    }
    for said, request in bad.items():
        with pytest.raises(UsageError, match=said):
            request()


def test_methods_without_stages_take_no_edits(restorer):
    plain = Restorer.from_pretrained("bicubic", device="cpu")
    with pytest.raises(UsageError, match="no stages led by landmarks"):
        plain.pipeline.progress({"lr": torch.zeros(1, 3, 16, 16)}, lambda number, image, maps: (image, maps))
