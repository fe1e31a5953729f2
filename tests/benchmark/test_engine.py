import json
import shutil

import numpy as np
import pandas as pd
import pytest

from occface import files
from occface.benchmark import engine
from occface.benchmark.engine import plan_benchmark
from occface.benchmark.scores import load_scores
from occface.errors import OccfaceError, UsageError
from occface.locking import working_alone
from occface.methods.bicubic import Bicubic
from tests.benchmark.engines import BOTH, run, scores_of, states

pytestmark = pytest.mark.usefixtures("unshown")


@pytest.fixture
def ran(monkeypatch):
    """The names of the steps that were run, in order."""
    names = []
    outcome = engine._outcome
    monkeypatch.setattr(engine, "_outcome", lambda step, place: names.append(step.name) or outcome(step, place))
    return names


def test_only_what_is_missing_is_run(tmp_path, recipe, ran):
    run(recipe, tmp_path)
    first = scores_of(tmp_path)
    assert ran == BOTH
    run(recipe, tmp_path)
    assert ran == BOTH
    next((tmp_path / "scores").glob("faces_square_bicubic_*.csv")).unlink()
    run(recipe, tmp_path)
    assert ran == [*BOTH, BOTH[0]]
    pd.testing.assert_frame_equal(scores_of(tmp_path), first)
    run(recipe, tmp_path, limit=1)
    assert ran[3:] == BOTH
    assert len(scores_of(tmp_path)) == 2


def test_a_folder_is_one_benchmarks_at_a_time_and_what_a_killed_one_left_goes(tmp_path, recipe):
    with working_alone(tmp_path), pytest.raises(UsageError, match="another occface is at work in"):
        run(recipe, tmp_path)
    left = [tmp_path / "scores" / ".a.7.part.csv", tmp_path / "restored" / "x" / ".0.7.part.png"]
    for path in left:
        path.parent.mkdir(parents=True)
        path.touch()
    run(recipe, tmp_path)
    assert not list(tmp_path.rglob(".*"))


def test_changed_scores_are_not_taken_for_ours(tmp_path, recipe):
    run(recipe, tmp_path)
    first = scores_of(tmp_path)
    path = next((tmp_path / "scores").glob("faces_square_bicubic_*.csv"))
    changed = path.read_text().replace(repr(float(first["psnr"].iloc[0])), "99.0")
    assert changed != path.read_text()
    path.write_text(changed)
    with pytest.raises(UsageError, match="was changed since it was written"):
        run(recipe, tmp_path, strategy="only-cache")
    run(recipe, tmp_path)
    pd.testing.assert_frame_equal(scores_of(tmp_path), first)


def test_more_pictured_faces_and_a_higher_limit_restore_what_is_missing(tmp_path, recipe, others):
    run(recipe | {"pictured": 1}, tmp_path, limit=1)
    assert [len(given) for given in others.paints.given] == [1]
    run(recipe | {"pictured": 2}, tmp_path, limit=1)
    assert [len(given) for given in others.paints.given] == [1, 1]
    assert len(scores_of(tmp_path)) == 2
    run(recipe | {"pictured": 2}, tmp_path)
    assert len(others.paints.given) == 2  # it is there already
    assert len(scores_of(tmp_path)) == 4


def test_a_setting_that_changes_is_scored_anew(tmp_path, recipe, ran, others, monkeypatch):
    run(recipe, tmp_path)
    plain = scores_of(tmp_path)
    bright = recipe | {"methods": {"paints": {"preset": "test", "set": {"grey": 1.0}}}}
    run(bright, tmp_path)
    assert ran == [*BOTH, BOTH[1]]
    assert (scores_of(tmp_path)["psnr"] == plain["psnr"]).tolist() == [True, True, False, False]
    run(recipe | {"methods": {"paints": {"set": {"grey": 1.0}}}}, tmp_path)  # the same by another preset
    assert len(ran) == 3
    monkeypatch.setattr(others.paints, "stamp", "second")
    run(bright, tmp_path)
    assert ran[3:] == [BOTH[1]]


def test_failed_images_are_counted_and_tried_again(tmp_path, recipe, others, monkeypatch):
    asked = recipe | {"pipelines": ["bicubic", "fails"]}
    monkeypatch.setattr(others.fails, "how", "value")
    done = run(asked, tmp_path)
    assert (done.failed, done.broken) == (2, {})
    assert plan_benchmark(asked, tmp_path).steps[2]["state"] == "missing"
    monkeypatch.setattr(others.fails, "how", "")
    assert run(asked, tmp_path).failed == 0


def test_a_face_that_is_only_shown_and_fails_is_counted_as_others_are(tmp_path, recipe, others, monkeypatch):
    asked = recipe | {"pipelines": ["fails"], "limits": {"fails": 1}}
    monkeypatch.setattr(others.fails, "how", "second")
    done = run(asked, tmp_path)
    assert (done.failed, done.broken, len(scores_of(tmp_path))) == (1, {}, 1)
    assert run(asked, tmp_path, strategy="only-cache").failed == 1
    monkeypatch.setattr(others.fails, "how", "")
    assert run(asked, tmp_path).failed == 0


def learning(recipe, **settings):
    return recipe | {
        "pipelines": ["bicubic", "toy"],
        "methods": {"toy": {"preset": "test", "set": settings}},
        "timing": {"pipelines": ["toy"], "runs": 2, "warm_up": 1},
    }


def test_a_training_that_fails_stops_only_what_needs_it(tmp_path, recipe, ran, caplog):
    done = run(learning(recipe, explode_at=1), tmp_path)
    assert list(done.broken) == ["train toy on faces", "score toy on faces, square", "time toy"]
    assert "finite" in done.broken["train toy on faces"]
    assert done.broken["score toy on faces, square"] == done.broken["time toy"] == "waits for: train toy on faces"
    assert "train toy on faces failed" in caplog.text
    assert set(scores_of(tmp_path)["pipeline"]) == {"bicubic"}
    assert states(tmp_path) == {
        "data faces": "done", BOTH[0]: "done", "train toy on faces": "failed", "score toy on faces, square": "failed",
        "time toy": "failed",
    }  # fmt: skip
    assert run(learning(recipe, explode_at=1), tmp_path, strategy="only-cache").broken == done.broken
    record = files.read_json(tmp_path / "plan.json")["steps"]
    assert record["time toy"]["error"] == "waits for: train toy on faces"
    missing = {step["name"]: step["seconds"] for step in plan_benchmark(learning(recipe), tmp_path).steps}
    assert missing["train toy on faces"] is None  # what failed early says nothing of how long it takes
    mended = run(learning(recipe), tmp_path)
    assert mended.broken == {}
    assert set(states(tmp_path).values()) == {"done"}
    assert set(scores_of(tmp_path)["pipeline"]) == {"bicubic", "toy"}
    assert ran.count(BOTH[0]) == 1


def test_timings_take_turns_and_one_that_fails_leaves_the_others(tmp_path, recipe, others, monkeypatch):
    turns = []

    def noted(method, batch, generator=None):
        turns.append(method.name)
        return Bicubic.hallucinate(method, batch, generator)

    monkeypatch.setattr(others.searches, "hallucinate", noted)
    monkeypatch.setattr(others.fails, "hallucinate", noted)
    asked = recipe | {"pipelines": ["bicubic", "searches", "fails"], "limits": {"searches": 1, "fails": 1}, "pictured": 1}
    asked["timing"] = {"pipelines": ["searches", "fails"], "runs": 3, "warm_up": 1}
    run(asked, tmp_path)
    # Scored; warmed up; three rounds; then one run for the memory and one that is counted, of each.
    assert turns[-12:] == ["searches", "fails"] * 4 + ["searches"] * 2 + ["fails"] * 2
    timed = {path.stem: files.read_json(path) for path in (tmp_path / "efficiency").iterdir()}
    assert timed["searches"]["together"] == timed["fails"]["together"] == ["time fails", "time searches"]

    def broken(method, batch, generator=None):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(others.fails, "hallucinate", broken)
    shutil.rmtree(tmp_path / "efficiency")
    done = run(asked, tmp_path)
    assert done.broken == {"time fails": "RuntimeError: out of memory"}
    assert files.read_json(tmp_path / "scores" / "files.json")["efficiency"] == ["searches.json"]


def test_results_of_earlier_settings_do_not_stand_in_for_what_failed(tmp_path, recipe):
    run(learning(recipe), tmp_path)
    assert len(scores_of(tmp_path)) == 4
    assert run(learning(recipe, explode_at=1), tmp_path).broken
    assert set(scores_of(tmp_path)["pipeline"]) == {"bicubic"}
    assert files.read_json(tmp_path / "scores" / "files.json")["efficiency"] == []


def test_a_judge_that_cannot_be_trained_stops_only_what_it_judges(tmp_path, recipe):
    asked = {
        "datasets": recipe["datasets"],
        "methods": {"face-parser": {"preset": "test"}},
        "comparisons": [
            {"masks": ["square"], "pipelines": ["bicubic"], "metrics": ["image"]},
            {"masks": ["square"], "pipelines": ["hr"]},
        ],
        "metrics": {"image": {}, "parsing": {"parser": "@face-parser"}},
    }
    done = run(asked, tmp_path)  # the data set has no parsing maps
    assert list(done.broken) == ["train face-parser on faces", "score Ground-truth HR on faces, square"]
    assert set(scores_of(tmp_path)["pipeline"]) == {"bicubic"}


def test_nothing_scored_is_an_error_that_says_why(tmp_path, recipe, others, monkeypatch):
    def broken(method, device):
        raise RuntimeError("no such device")

    monkeypatch.setattr(others.searches, "load", broken)
    message = "nothing was scored, 1 steps failed; the first: score searches on faces, square: RuntimeError: no such device"
    with pytest.raises(OccfaceError, match=message):
        run(recipe | {"pipelines": ["searches"]}, tmp_path)
    assert states(tmp_path)["score searches on faces, square"] == "failed"


def test_a_step_stands_although_what_it_was_made_from_is_gone(tmp_path, recipe, ran):
    run(learning(recipe), tmp_path)
    first, count = scores_of(tmp_path), len(ran)
    shutil.rmtree(tmp_path / "runs")
    planned = plan_benchmark(learning(recipe), tmp_path)
    assert [step["name"] for step in planned.steps if step["state"] == "unneeded"] == ["train toy on faces"]
    assert planned.text().endswith("0 of 5 steps are missing, about 0 s by earlier timings")
    run(learning(recipe), tmp_path)
    assert len(ran) == count
    pd.testing.assert_frame_equal(scores_of(tmp_path), first)
    next((tmp_path / "scores").glob("*toy*.csv")).unlink()
    run(learning(recipe), tmp_path)
    assert ran[count:] == ["train toy on faces", "score toy on faces, square"]
    pd.testing.assert_frame_equal(scores_of(tmp_path), first)  # trained again, the same


def test_never_keeps_what_is_there_whatever_it_was_made_from(tmp_path, recipe, ran, caplog):
    run(learning(recipe), tmp_path)
    first, count = scores_of(tmp_path), len(ran)
    changed = learning(recipe, rate=0.5)
    changed["pipelines"] = ["bicubic", "toy", "hr"]
    run(changed, tmp_path, strategy="never")
    assert ran[count:] == ["score Ground-truth HR on faces, square"]
    assert "score toy on faces, square was made from other things than the recipe says now" in caplog.text
    kept = scores_of(tmp_path)
    pd.testing.assert_frame_equal(kept[kept["pipeline"] != "hr"].reset_index(drop=True), first)


def test_always_makes_all_anew(tmp_path, recipe, ran, dataset_path):
    run(learning(recipe), tmp_path)
    first, count = scores_of(tmp_path), len(ran)
    run(learning(recipe), tmp_path, strategy="always")
    assert ran[count:] == ran[:count]
    assert dataset_path.exists()
    pd.testing.assert_frame_equal(scores_of(tmp_path), first)


def test_strategies_that_cannot_be(tmp_path, recipe):
    with pytest.raises(UsageError, match="unknown overwrite strategy 'newer': did you mean 'never'"):
        run(recipe, tmp_path, strategy="newer")
    with pytest.raises(UsageError, match=r"expected scores of a benchmark in .*run it first") as caught:
        run(recipe, tmp_path / "out", strategy="only-cache")
    assert "\n" not in str(caught.value)
    (tmp_path / "mine").mkdir()
    for folder in (tmp_path / "mine", tmp_path / "out"):
        with pytest.raises(UsageError):
            run(recipe, folder, strategy="only-cache")
    assert [path.name for path in tmp_path.rglob("*")] == ["mine"]


def test_a_recipe_that_cannot_be_leaves_nothing(tmp_path, recipe):
    with pytest.raises(UsageError, match="no mask type 'walk'"):
        run(recipe | {"masks": ["walk"]}, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_the_plan_says_what_is_done_and_how_long_the_rest_may_take(tmp_path, recipe):
    planned = plan_benchmark(recipe, tmp_path / "out")
    assert [step["state"] for step in planned.steps] == ["done", "missing", "missing"]
    assert planned.text().splitlines() == [
        "done                data faces",
        f"missing          ?  {BOTH[0]}",
        f"missing          ?  {BOTH[1]}",
        "2 of 3 steps are missing, about 0 s by earlier timings; 2 of them were never timed",
    ]
    assert not (tmp_path / "out").exists()
    run(recipe | {"pipelines": ["bicubic"]}, tmp_path / "out", limit=1)
    record = files.read_json(tmp_path / "out" / "plan.json")
    record["steps"][BOTH[0]] |= {"seconds": 30.0, "work": 2}
    files.write_json(tmp_path / "out" / "plan.json", record)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")}
    planned = plan_benchmark(recipe, tmp_path / "out")
    assert [step["seconds"] for step in planned.steps] == [None, 30, 30]  # two faces; the second as its kind took
    assert planned.text().splitlines()[1:] == [
        f"missing       30 s  {BOTH[0]}",
        f"missing       30 s  {BOTH[1]}",
        "2 of 3 steps are missing, about 60 s by earlier timings",
    ]
    assert json.loads(json.dumps(planned.as_dict()))["steps"][1]["state"] == "missing"
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")} == before


def test_data_sets_are_made_once(tmp_path, faces_folder, ran):
    made = {"source": str(faces_folder), "test": 1, "limit": 2, "masks": ["square"]}
    recipe = {"datasets": {"wild": made}, "pipelines": ["bicubic"]}
    assert [step["state"] for step in plan_benchmark(recipe, tmp_path).steps] == ["missing", "missing"]
    run(recipe, tmp_path)
    run(recipe, tmp_path)
    assert ran == ["data wild", "score Bicubic on wild, square"]
    assert len(scores_of(tmp_path)) == 1


def test_names_that_differ_in_odd_characters_are_kept_apart_and_files_of_others_are_left_alone(tmp_path, recipe, dataset_path):
    (tmp_path / "scores").mkdir()
    (tmp_path / "scores" / "mine.csv").write_text("mine")
    run(recipe | {"datasets": {"a b": str(dataset_path), "a-b": str(dataset_path)}}, tmp_path)
    assert set(scores_of(tmp_path)["dataset"]) == {"a b", "a-b"}
    assert (tmp_path / "scores" / "mine.csv").read_text() == "mine"


def test_the_resolved_recipe_can_be_run_again(tmp_path, recipe, ran, monkeypatch):
    run(recipe, tmp_path / "out")
    monkeypatch.chdir(tmp_path / "out")
    run("recipe.yaml", tmp_path / "out")
    assert ran == BOTH


def test_a_recipe_that_asks_for_what_is_not_there_leaves_earlier_scores(tmp_path, recipe):
    run(recipe, tmp_path)
    first = scores_of(tmp_path)
    for change in ({"split": "val"}, {"masks": ["walk"]}, {"pipelines": ["bicubic+gfc"]}, {"methods": {"fhc": "nowhere"}}):
        asked = recipe | {"pipelines": ["fhc+paints"] if "methods" in change else recipe["pipelines"]} | change
        with pytest.raises(UsageError) as caught:
            run(asked, tmp_path)
        assert "\n" not in str(caught.value)
    pd.testing.assert_frame_equal(scores_of(tmp_path), first)


def test_steps_of_the_whole_benchmark_come_as_they_must(whole):
    steps = files.read_json(whole.folder / "plan.json")["steps"]
    assert {entry["state"] for entry in steps.values()} == {"done"}
    assert whole.done.broken == {}
    assert sum(name.startswith("train ") for name in steps) == 5
    settings = files.read_json(next((whole.folder / "runs").glob("gfc-*/weights.json")))["config"]
    assert settings["parser"] == str(next((whole.folder / "runs").glob("face-parser-on-parsed-*")))
    scores = load_scores(whole.folder / "scores")
    of = scores.groupby(["dataset", "pipeline", "trained_on", "mask_given"]).size().to_dict()
    assert of == {
        ("faces", "bicubic", "", ""): 1, ("faces", "pro-uigan", "faces", ""): 1, ("faces", "pro-uigan", "parsed", ""): 1,
        ("parsed", "bicubic", "", ""): 2, ("parsed", "gfc+bicubic", "parsed", "true"): 2,
        ("parsed", "gfc+bicubic", "parsed", "estimated"): 2, ("parsed", "hr", "", ""): 2,
        ("parsed", "pro-uigan", "parsed", ""): 2, ("parsed", "pro-uigan:p-fp", "parsed", ""): 2,
    }  # fmt: skip
    judged = scores.groupby("dataset")["iou"].count().to_dict()
    assert judged == {"faces": 0, "parsed": 12}
    assert np.isfinite(scores["psnr"][scores["pipeline"] != "hr"]).all()
