import shutil

import numpy as np
import pytest

from occface import files
from occface.benchmark.plan import make_plan
from occface.benchmark.recipe import load_recipe
from occface.benchmark.record import Record
from occface.benchmark.steps import Place
from occface.dataset.reader import DatasetFile
from occface.errors import UsageError
from occface.versions import software_versions


@pytest.fixture
def record(whole):
    return Record(whole.folder)


def test_frames_hold_what_was_scored(record):
    frames = record.frames
    assert len(frames.scores) == 2 * 6 + 3
    assert frames.efficiency[["pipeline", "counted"]].to_numpy().tolist() == [
        ["bicubic", "own network"], ["gfc+bicubic", "own network"], ["gfc+bicubic", "with GFC"],
    ]  # fmt: skip
    assert list(frames.efficiency.columns) == [
        "pipeline", "order", "counted", "parameters", "size_kb", "macs", "median_ms", "p90_ms", "runs", "peak_memory_mb",
        "device", "precision", "noisy", "preset", "together",
    ]  # fmt: skip
    assert frames.efficiency["preset"].tolist() == ["", "test", "test"]
    assert set(frames.efficiency["together"]) == {1}
    assert list(frames.sets.columns) == [
        "dataset", "mask_type", "order", "pipeline", "trained_on", "mask_given", "metric", "value", "n",
    ]  # fmt: skip
    assert {"psnr", "psnr_stage_1", "iou", "iou_nose"} <= frames.contracts.keys()


def test_pipelines_stand_in_the_order_of_the_recipe(record):
    assert [(one.row["dataset"], one.title) for one in record.shown] == [
        ("parsed", "Ground-truth HR"), ("parsed", "Bicubic"), ("parsed", "GFC + Bicubic"),
        ("parsed", "GFC + Bicubic (mask estimated)"), ("parsed", "Pro-UIGAN"), ("parsed", "P-FP"),
        ("faces", "Bicubic"), ("faces", "Pro-UIGAN"), ("faces", "Pro-UIGAN (trained on parsed)"),
    ]  # fmt: skip


def test_pictures_are_found_without_the_data_set(record, whole):
    one = next(one for one in record.shown if one.row["pipeline"] == "pro-uigan")
    data = DatasetFile(whole.recipe["datasets"]["parsed"])
    assert one.numbers == [0, 1]
    given = data.record("test", 1, ["hr", "occluded/square/lr"])
    assert np.array_equal(one.given(1, "hr"), given["hr"])
    assert np.array_equal(one.given(1, "lr"), given["occluded/square/lr"])
    assert one.picture(1).shape == (128, 128, 3)
    assert one.picture(1, 2).shape == (64, 64, 3)
    assert one.picture(7) is None


@pytest.mark.parametrize(("name", "stage"), [("00001.png", None), ("00001.stage-2.png", 2)])
def test_a_picture_that_was_altered_is_not_shown_and_is_made_again(tmp_path, whole, name, stage):
    copy = tmp_path / "copy"
    shutil.copytree(whole.folder, copy)
    one, score = Record(copy).shown[4], make_plan(load_recipe(whole.recipe), copy).scores[4]
    assert (one.title, score.unit.pipeline_name) == ("Pro-UIGAN", "pro-uigan")
    path = copy / "restored" / one.facts["restored"] / name
    written = path.read_bytes()
    assert score.is_done()
    path.write_bytes((path.parent / name.replace("00001", "00000")).read_bytes())  # another face's
    assert Record(copy).shown[4].picture(1, stage) is None
    assert not score.is_done()
    score.run(Place(copy, "cpu"), lambda amount: None)
    assert path.read_bytes() == written
    assert score.is_done()


def test_numbers_of_sets_of_images(tmp_path, dataset_path, others, unshown):
    from occface.benchmark.engine import run_benchmark

    recipe = {"datasets": {"faces": str(dataset_path)}, "masks": ["square"], "pipelines": ["bicubic"]}
    run_benchmark(recipe | {"metrics": ["image", "brightness"]}, tmp_path, device="cpu")
    sets = Record(tmp_path).sets
    assert sets[["pipeline", "order", "metric", "n"]].to_dict("records") == [
        {"pipeline": "bicubic", "order": "SR", "metric": "brightness", "n": 2}
    ]
    assert 0 < sets["value"].iloc[0] < 255


def test_why_something_is_missing_is_carried_for_the_report(tmp_path, dataset_path, unshown):
    from occface.benchmark.engine import run_benchmark

    recipe = {"datasets": {"faces": str(dataset_path)}, "masks": ["square"], "pipelines": ["bicubic"]}
    run_benchmark(recipe, tmp_path, device="cpu")
    assert Record(tmp_path).notes == {}
    scores = next((tmp_path / "scores").glob("*.csv"))
    written = scores.stat().st_mtime_ns
    run_benchmark(recipe | {"notes": {"table_7": "No expressions are known."}}, tmp_path, device="cpu")
    assert Record(tmp_path).notes == {"table_7": "No expressions are known."}
    assert scores.stat().st_mtime_ns == written  # scores do not depend on it


def test_a_folder_without_scores_or_with_other_ones_is_one_line(tmp_path, whole):
    with pytest.raises(UsageError, match=r"expected scores of a benchmark in .* found none: run it first"):
        Record(tmp_path)
    shutil.copytree(whole.folder / "scores", tmp_path / "scores")
    name = files.read_json(tmp_path / "scores" / "files.json")["scores"][0]
    with (tmp_path / "scores" / name).open("a") as file:
        file.write("\n")
    with pytest.raises(UsageError, match="was changed since it was written: run the benchmark again"):
        Record(tmp_path)
    (tmp_path / "scores" / name).unlink()
    with pytest.raises(UsageError, match="is not there, or was changed"):
        Record(tmp_path)


def test_noisy_times_are_marked_by_their_spread(tmp_path, whole):
    copy = tmp_path / "copy"
    shutil.copytree(whole.folder, copy)
    path = copy / "efficiency" / "bicubic.json"
    held = files.read_json(path)
    held["rows"][0] |= {"median_ms": 10.0, "p90_ms": 15.01}
    held["together"] = ["time Bicubic"]
    files.write_json(path, held)
    other = next(found for found in (copy / "efficiency").glob("gfc*.json"))
    held = files.read_json(other)
    held["rows"] = [row | {"median_ms": 10.0, "p90_ms": 15.0} for row in held["rows"]]
    files.write_json(other, held)
    record = Record(copy)
    assert record.efficiency["noisy"].tolist() == [1, 0, 0]
    assert record.efficiency["together"].tolist() == [1, 2, 2]
    assert [note[:47] for note in record.source_notes] == ["Timings were taken at 2 different moments; only"]


def test_where_everything_came_from_is_what_was_recorded(tmp_path, whole, monkeypatch):
    copy = tmp_path / "copy"
    shutil.copytree(whole.folder, copy)
    here = Record(copy).provenance
    assert here["act"].value_counts(sort=False).to_dict() == {"trained": 5, "restored": 9, "scored": 9, "timed": 2}
    assert set(here.loc[here["act"] == "trained", "what"]) == {
        "face-parser on parsed", "gfc on parsed", "pro-uigan on parsed", "pro-uigan:p-fp on parsed", "pro-uigan on faces",
    }  # fmt: skip
    versions = ", ".join(f"{name} {version}" for name, version in software_versions().items())
    assert set(here.loc[here["act"] != "trained", "versions"]) == {versions}
    scored = here[here["act"] == "scored"].set_index("what")
    assert scored.loc["Pro-UIGAN (trained on parsed) on faces, square", ["trained_on", "n"]].tolist() == ["parsed", 1]
    assert (here["sources"].str.len() == 12).all()
    assert Record(copy).source_notes == []
    for path in (copy / "scores").glob("*.json"):
        if path.name == "files.json":
            continue
        facts = files.read_json(path)
        facts["versions"] = {"torch": "9.9"}
        files.write_json(path, facts)
    there = Record(copy).provenance
    assert set(there.loc[there["act"] == "scored", "versions"]) == {"torch 9.9"}


def test_other_states_of_the_code_are_said(tmp_path, whole):
    copy = tmp_path / "copy"
    shutil.copytree(whole.folder, copy)
    name = files.read_json(copy / "scores" / "files.json")["scores"][4]
    path = (copy / "scores" / name).with_suffix(".json")
    facts = files.read_json(path)
    facts["sources"]["scored"] = "ffffffffffff"
    files.write_json(path, facts)
    for other in (copy / "scores").glob("*.json"):
        facts = files.read_json(other)
        if "pro-uigan on parsed" in facts.get("trainings", {}):
            facts["trainings"]["pro-uigan on parsed"]["sources"] = ["000000000000"]
            files.write_json(other, facts)
    notes = Record(copy).source_notes
    assert len(notes) == 2
    assert notes[0].startswith("Trained by another state of the code (000000000000) than the one that restored and scored (")
    assert notes[0].endswith("): pro-uigan on parsed.")
    assert notes[1].startswith("Scores were made by 2 states of the code: 8 by ")
    assert "; 1 by ffffffffffff." in notes[1] or "1 by ffffffffffff; " in notes[1]
