import shutil

import numpy as np
import pytest

from occface import files
from occface.benchmark.record import Record
from occface.dataset.reader import DatasetFile
from occface.errors import UsageError


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
        "device", "precision",
    ]  # fmt: skip
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
