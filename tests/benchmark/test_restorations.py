import numpy as np
import pytest
import torch

from occface import files
from occface.benchmark import restorations
from occface.benchmark.plan import make_plan
from occface.benchmark.recipe import load_recipe
from occface.benchmark.restorations import Restorations
from occface.benchmark.units import evenly
from occface.dataset.reader import FacePairs, collate
from occface.images import read_image, to_uint8
from occface.methods.bicubic import Bicubic
from occface.occlusion.cells import cell_mask
from occface.training.devices import describe
from occface.versions import software_versions

CPU = torch.device("cpu")


@pytest.fixture
def unit_of(tmp_path, dataset_path, others):
    def unit(pipeline, **recipe):
        given = {"datasets": {"faces": str(dataset_path)}, "masks": ["square"], "pipelines": [pipeline]} | recipe
        return make_plan(load_recipe(given), tmp_path).scores[0].unit

    return unit


def test_limits_and_pictures_take_faces_evenly():
    assert evenly(100, 8) == (0, 14, 28, 42, 57, 71, 85, 99)
    assert evenly(100, 1) == (0,)
    assert evenly(3, 8) == (0, 1, 2)


def test_each_face_is_a_png_of_what_the_pipeline_made(tmp_path, unit_of, dataset, others):
    unit = unit_of("bicubic+paints")
    kept = Restorations(tmp_path / "restored", unit)
    assert kept.missing([0, 1]) == [0, 1]
    advanced = []
    assert kept.restore([0, 1], CPU, advanced.append) == {}
    assert (kept.missing([0, 1]), advanced, kept.stages) == ([], [2], 1)
    batch = collate([FacePairs(dataset, "test", ["square"])[number] for number in range(2)])
    painted = torch.where(cell_mask(batch["mask"]) == 1, torch.tensor(0.0), Bicubic.build("paper").hallucinate(batch))
    for number, expected in enumerate(to_uint8(painted)):
        assert np.array_equal(read_image(kept.folder / f"{number:05d}.png"), expected)
        assert np.array_equal(kept[number].face, expected)
        assert kept[number].seconds > 0
        assert (kept[number].missed, kept[number].earlier) == (None, ())
    again = Restorations(tmp_path / "restored", unit_of("bicubic+paints"))
    assert again.restore([0, 1], CPU) == {}
    assert len(others.paints.given) == 1  # nothing was painted again


def test_a_face_that_was_changed_or_lost_is_restored_again(tmp_path, unit_of, others):
    unit = unit_of("bicubic+paints")
    kept = Restorations(tmp_path, unit)
    kept.restore([0, 1], CPU)
    before = (kept.folder / "00001.png").read_bytes()
    (kept.folder / "00001.png").write_bytes(b"torn")
    assert kept.missing([0, 1]) == [1]
    with pytest.raises(KeyError):
        kept[1]
    kept.restore([0, 1], CPU)
    assert (kept.folder / "00001.png").read_bytes() == before
    (kept.folder / "00000.png").unlink()
    assert kept.missing([0, 1]) == [0]
    assert [len(given) for given in others.paints.given] == [2, 1]


def test_pictures_of_stages_are_kept_and_missed_when_they_are_lost(tmp_path, unit_of, dataset, whole):
    weights = next(path for path in (whole.folder / "runs").iterdir() if path.name.startswith("pro-uigan-on-faces"))
    unit = unit_of("pro-uigan", methods={"pro-uigan": str(weights)})
    kept = Restorations(tmp_path / "restored", unit)
    kept.restore([0], CPU)
    assert kept.stages == 3
    method = unit.stages[0].load(CPU).method
    batch = collate([FacePairs(dataset, "test", ["square"])[0]])
    with torch.no_grad():
        pictures = [to_uint8(picture)[0] for picture in method.results(batch).values()]
    assert [picture.shape for picture in kept[0].earlier] == [(32, 32, 3), (64, 64, 3)]
    for made, expected in zip((*kept[0].earlier, kept[0].face), pictures, strict=True):
        assert np.array_equal(made, expected)
    stage = kept.folder / "00000.stage-2.png"
    written = stage.read_bytes()
    assert not kept.altered([0])
    stage.write_bytes((kept.folder / "00000.stage-1.png").read_bytes())  # a picture, and not this one
    assert kept.altered([0])
    assert kept.missing([0]) == [0]
    kept.restore([0], CPU)
    assert stage.read_bytes() == written
    stage.unlink()
    assert kept.missing([0]) == [0]
    assert not kept.altered([0, 1])


def test_pictures_of_stages_whose_hashes_an_earlier_version_did_not_keep_are_taken_as_they_are(tmp_path):
    (tmp_path / "00003.stage-1.png").write_bytes(b"a picture")
    (tmp_path / "00003.png").write_bytes(b"another")
    entry = {"sha256": "0", "stages": 2}
    assert restorations.untouched(tmp_path, entry, 3, 1) == b"a picture"
    assert restorations.untouched(tmp_path, entry, 3) is None
    assert restorations.untouched(tmp_path, {**entry, "sha256_earlier": ["0"]}, 3, 1) is None
    assert restorations.untouched(tmp_path, {}, 3, 1) is None


def test_what_was_restored_before_an_interruption_is_not_restored_again(tmp_path, unit_of, others, monkeypatch):
    monkeypatch.setattr(restorations, "BATCH", 1)
    paint = others.paints.hallucinate

    def killed_at_the_second(method, batch, generator=None):
        if others.paints.given:
            raise KeyboardInterrupt
        return paint(method, batch, generator)

    monkeypatch.setattr(others.paints, "hallucinate", killed_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        Restorations(tmp_path, unit_of("bicubic+paints")).restore([0, 1], CPU)
    resumed = Restorations(tmp_path, unit_of("bicubic+paints"))
    assert resumed.missing([0, 1]) == [1]
    monkeypatch.setattr(others.paints, "hallucinate", paint)
    resumed.restore([0, 1], CPU)
    assert len(others.paints.given) == 2  # one before, one after


def test_a_batch_that_fails_is_tried_face_by_face(tmp_path, unit_of, others, monkeypatch):
    kept = Restorations(tmp_path, unit_of("fails"))
    assert kept.restore([0, 1], CPU) == {}
    kept.forget()
    assert not kept.folder.exists()
    monkeypatch.setattr(others.fails, "how", "raise")
    assert kept.restore([0, 1], CPU) == dict.fromkeys([0, 1], "RuntimeError: out of memory")
    monkeypatch.setattr(others.fails, "how", "value")
    assert kept.restore([1], CPU) == {1: "the result holds values that are not finite"}
    assert kept.missing([0, 1]) == [0, 1]


def test_searches_say_whom_they_missed(tmp_path, unit_of, others):
    kept = Restorations(tmp_path, unit_of("searches"))
    kept.restore([0, 1], CPU)
    assert [kept[0].missed, kept[1].missed] == [True, False]
    assert others.searches.loaded == ["cpu"]


def test_each_face_says_where_it_was_restored(tmp_path, unit_of, monkeypatch):
    unit = unit_of("bicubic")
    kept = Restorations(tmp_path, unit)
    assert kept.restored_on([0, 1]) == []
    with monkeypatch.context() as there:
        there.setattr(restorations, "describe", lambda device: "H200")
        there.setattr(restorations, "software_versions", lambda: {"torch": "2.6"})
        kept.restore([1], CPU)
    elsewhere = {"device": "H200", "precision": "float32", "versions": {"torch": "2.6"}, "faces": 1}
    assert kept.restored_on([1]) == [elsewhere]
    again = Restorations(tmp_path, unit)
    again.restore([0, 1], CPU)
    here = {"device": describe(CPU), "precision": "float32", "versions": software_versions(), "faces": 1}
    assert Restorations(tmp_path, unit).restored_on([0, 1]) == [elsewhere, here]
    assert again.restored_on([0]) == [here]
    record = files.read_json(again.folder / "faces.json")
    files.write_json(again.folder / "faces.json", record["faces"])  # as it was before places were kept
    assert Restorations(tmp_path, unit).missing([0, 1]) == [0, 1]


def test_the_reference_gives_the_true_faces(tmp_path, unit_of, dataset):
    kept = Restorations(tmp_path, unit_of("hr"))
    kept.restore([0, 1], CPU)
    for number in range(2):
        assert np.array_equal(kept[number].face, dataset.record("test", number, ["hr"])["hr"])


def test_faces_of_another_state_are_removed_and_nothing_else(tmp_path, unit_of, others, monkeypatch):
    folders = []
    for change in ({}, {"methods": {"paints": {"set": {"grey": 1.0}}}}, {"methods": {"paints": {"preset": "test"}}}):
        kept = Restorations(tmp_path, unit_of("bicubic+paints", **change))
        kept.restore([0], CPU)
        if not folders:
            (kept.folder / "mine.txt").write_text("mine")
        folders.append(kept.folder)
    assert len(set(folders)) == 3
    assert [path.name for path in folders[0].iterdir()] == ["mine.txt"]
    assert not folders[1].exists()
    assert folders[2].exists()
    same = unit_of("bicubic+paints", methods={"paints": {"set": {"grey": 0.5}}})
    assert Restorations(tmp_path, same).folder == folders[2]  # the same settings by another preset
    monkeypatch.setattr(others.paints, "stamp", "second")  # something else that its results depend on
    assert Restorations(tmp_path, unit_of("bicubic+paints")).folder not in folders


def test_other_code_makes_other_faces(tmp_path, unit_of, monkeypatch):
    from occface.benchmark import units

    before = Restorations(tmp_path, unit_of("bicubic")).folder
    monkeypatch.setattr(units, "source_hash", lambda parts=(): "other")
    assert Restorations(tmp_path, unit_of("bicubic")).folder != before
