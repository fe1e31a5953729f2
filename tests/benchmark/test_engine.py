import json
import multiprocessing
import os
import shutil
import signal

import numpy as np
import pandas as pd
import pytest
import torch

from occface import files
from occface.benchmark import engine, restorations
from occface.benchmark.engine import plan_benchmark, run_benchmark
from occface.benchmark.plan import make_plan
from occface.benchmark.recipe import load_recipe
from occface.benchmark.scores import load_scores
from occface.benchmark.steps import Place
from occface.errors import OccfaceError, UsageError
from occface.methods.bicubic import Bicubic
from occface.methods.gfc import GFC
from occface.methods.weights import save_weights
from occface.metrics import METRICS

pytestmark = pytest.mark.usefixtures("unshown")


@pytest.fixture
def recipe(dataset_path, others):
    return {"datasets": {"faces": str(dataset_path)}, "masks": ["square"], "pipelines": ["bicubic", "bicubic+paints"]}


@pytest.fixture
def ran(monkeypatch):
    """The names of the steps that were run, in order."""
    names = []
    outcome = engine._outcome
    monkeypatch.setattr(engine, "_outcome", lambda step, place: names.append(step.name) or outcome(step, place))
    return names


def run(recipe, folder, **options):
    return run_benchmark(recipe, folder, device="cpu", **options)


def scores_of(folder):
    """Return what is scored, without the times that differ from run to run."""
    listed = files.read_json(folder / "scores" / "files.json")
    return load_scores(folder / "scores", listed["scores"]).drop(columns="seconds")


def states(folder):
    return {name: step["state"] for name, step in files.read_json(folder / "plan.json")["steps"].items()}


BOTH = ["score Bicubic on faces, square", "score Bicubic + paints on faces, square"]


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


def test_workers_do_not_all_begin_with_the_same_judge(tmp_path, recipe, monkeypatch):
    monkeypatch.setattr(METRICS.get("expression"), "fingerprint", lambda metric: {})
    asked = {"datasets": recipe["datasets"], "metrics": {"image": {}, "expression": {}}}
    asked["comparisons"] = [
        {"masks": ["square"], "pipelines": ["hr", "bicubic"], "metrics": ["expression"]},
        {"masks": ["irregular"], "pipelines": ["hr", "bicubic"], "metrics": ["image"]},
    ]
    steps = make_plan(load_recipe(asked), tmp_path).scores
    groups = engine._groups(steps, Place(tmp_path, "cpu", workers=2))
    assert [steps.index(group[0]) for _, group in groups] == [0, 2, 3, 1]


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


def test_an_interrupted_benchmark_goes_on_to_the_same_scores(tmp_path, recipe, others, monkeypatch):
    monkeypatch.setattr(restorations, "BATCH", 1)
    run(recipe, tmp_path / "whole")
    others.paints.given.clear()
    paint = others.paints.hallucinate

    def killed_at_the_second(method, batch, generator=None):
        if others.paints.given:
            raise KeyboardInterrupt
        return paint(method, batch, generator)

    monkeypatch.setattr(others.paints, "hallucinate", killed_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        run(recipe, tmp_path / "cut")
    assert states(tmp_path / "cut") == {"data faces": "done", BOTH[0]: "done", BOTH[1]: "missing"}
    assert not list((tmp_path / "cut" / "scores").glob("*paints*"))
    monkeypatch.setattr(others.paints, "hallucinate", paint)
    run(recipe, tmp_path / "cut")
    assert len(others.paints.given) == 2  # one before, one after
    pd.testing.assert_frame_equal(scores_of(tmp_path / "cut"), scores_of(tmp_path / "whole"))
    pictures = sorted((tmp_path / "whole" / "restored").rglob("*.png"))
    assert len(pictures) == 2 * 2 + 2 * 2  # both pipelines' faces, and what they were given
    for picture in pictures:
        assert (tmp_path / "cut" / picture.relative_to(tmp_path / "whole")).read_bytes() == picture.read_bytes()


def test_two_workers_score_as_one_does(tmp_path, dataset_path):
    recipe = {"datasets": {"faces": str(dataset_path)}, "pipelines": ["hr", "bicubic"], "metrics": ["image", "regions"]}
    run(recipe, tmp_path / "one")
    run(recipe, tmp_path / "two", workers=2)
    pd.testing.assert_frame_equal(scores_of(tmp_path / "one"), scores_of(tmp_path / "two"))
    facts = [sorted((tmp_path / name / "scores").glob("*_hr_*.json"))[0] for name in ("one", "two")]
    one, two = (files.read_json(path) for path in facts)
    assert one["key"] == two["key"]
    assert states(tmp_path / "two") == states(tmp_path / "one")
    # The rows of the true faces took no time: their files are the same to the byte.
    for path in (tmp_path / "one" / "scores").glob("*_hr_*.csv"):
        assert (tmp_path / "two" / "scores" / path.name).read_bytes() == path.read_bytes()


def test_several_accelerators_do_one_thing_at_a_time_each(tmp_path, recipe, faces_folder, monkeypatch):
    made = {"source": str(faces_folder), "test": 1, "limit": 2, "masks": ["square"]}
    names = ["toy", "toy:b", "toy:c"]
    steps = dict(zip(names, (2, 4, 5), strict=True))
    asked = {
        "datasets": {"wild": made},
        "pipelines": ["bicubic", *names],
        "methods": {name: {"preset": "test", "set": {"steps": steps[name]}} for name in names},
        "timing": {"pipelines": ["bicubic"], "runs": 1, "warm_up": 1},
    }
    run(asked, tmp_path / "one", workers=1)
    rounds, places = [], []
    outcome = engine._outcome

    def spread(function, jobs, **how):
        if function is engine._run_by_name:
            rounds.append([(job[1].device, [name for name, _ in job[3]]) for job in jobs])
            assert how == {"workers": len(jobs)}
        else:
            assert how["workers"] == 2  # a data set is made by processors
        return map(function, jobs)

    monkeypatch.setattr(engine, "_devices", lambda name: ["cpu", "cpu:0"])  # pretended: both are the same one
    monkeypatch.setattr(engine, "resolve", lambda name: torch.device("cuda"))
    monkeypatch.setattr(engine.parallel, "ordered_map", spread)
    monkeypatch.setattr(engine, "_outcome", lambda step, place: places.append((step.kind, place)) or outcome(step, place))
    run(asked, tmp_path / "two", workers=2)
    trained, scored = rounds
    assert trained == [("cpu", ["train toy:c on wild"]), ("cpu:0", ["train toy:b on wild", "train toy on wild"])]
    assert [device for device, _ in scored] == ["cpu", "cpu:0"]
    assert sorted(len(names) for _, names in scored) == [2, 2]
    assert [(kind, place.workers) for kind, place in places if kind == "data"] == [("data", 2)]
    pd.testing.assert_frame_equal(scores_of(tmp_path / "one"), scores_of(tmp_path / "two"))


def test_two_trainings_at_a_time_on_the_cpu_have_half_of_the_threads_each(tmp_path, recipe, others, monkeypatch):
    names = ["toy", "toy:b", "toy:c"]
    asked = recipe | {"pipelines": ["bicubic", *names], "timing": {}}
    asked["methods"] = {name: {"preset": "test", "seed": seed} for seed, name in enumerate(names)}
    shared, threads = [], []

    def mapped(function, jobs, **how):
        shared.append((jobs[0][3][0][0].split()[0], how["workers"], [job[1].threads for job in jobs]))
        return map(function, jobs)

    monkeypatch.setattr(engine.parallel, "ordered_map", mapped)
    monkeypatch.setattr(engine.torch, "get_num_threads", lambda: 6)
    monkeypatch.setattr(torch, "set_num_threads", threads.append)
    run(asked, tmp_path, workers=3)
    assert [one for one in shared if one[0] == "train"] == [("train", 2, [3, 3, 3])]
    assert threads[:6] == [3, 6] * 3
    shutil.rmtree(next((tmp_path / "runs").glob("toy-c*")))
    next((tmp_path / "scores").glob("*toy-c*.csv")).unlink()
    run(asked, tmp_path, workers=3)
    assert shared[2] == ("train", 2, [3])  # alone, as among others


def test_a_name_stands_for_all_accelerators_unless_it_singles_one_out(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    monkeypatch.setattr(engine, "resolve", lambda name: torch.device("cuda" if name == "auto" else name))
    assert engine._devices("auto") == engine._devices("cuda") == ["cuda:0", "cuda:1", "cuda:2"]
    assert [engine._devices(name) for name in ("cuda:1", "cpu")] == [["cuda:1"], ["cpu"]]


def test_killed_three_times_it_goes_on_to_the_same_scores(tmp_path, faces_folder, others, monkeypatch):
    """Killed as by the power: SIGKILL at random moments, just before a file takes its place."""
    made = {"source": str(faces_folder), "test": 2, "limit": 4, "masks": ["square"]}
    asked = {
        "datasets": {"wild": made},
        "pipelines": ["hr", "bicubic", "bicubic+paints", "toy", "searches"],
        "methods": {"toy": {"preset": "test"}},
    }
    monkeypatch.setattr(restorations, "BATCH", 1)
    sync, writes = os.fsync, []
    with monkeypatch.context() as counted:
        counted.setattr(os, "fsync", lambda handle: writes.append(handle) or sync(handle))
        run(asked, tmp_path / "whole")

    def killed_at(moment):
        torch.set_num_threads(1)  # a fork has none of its parent's threads
        begun = len(writes)

        def counting(handle):
            writes.append(handle)
            if len(writes) - begun == moment:
                os.kill(os.getpid(), signal.SIGKILL)
            sync(handle)

        monkeypatch.setattr(os, "fsync", counting)
        run(asked, tmp_path / "cut")

    kinds = []
    for moment in np.random.default_rng(5).integers(2, len(writes) // 4, 3).tolist():
        process = multiprocessing.get_context("fork").Process(target=killed_at, args=(moment,))
        process.start()
        process.join(60)
        assert process.exitcode == -signal.SIGKILL
        kinds.append(len(list((tmp_path / "cut").rglob("*"))))
    assert kinds == sorted(set(kinds))  # each went on where the one before it was killed
    run(asked, tmp_path / "cut")
    pd.testing.assert_frame_equal(scores_of(tmp_path / "cut"), scores_of(tmp_path / "whole"))
    for path in (tmp_path / "whole").rglob("*.png"):
        assert (tmp_path / "cut" / path.relative_to(tmp_path / "whole")).read_bytes() == path.read_bytes()


def test_a_worker_that_outlives_a_benchmark_sees_what_was_replaced(tmp_path, recipe):
    def save(seed):
        torch.manual_seed(seed)
        gfc = GFC.build("test")
        card = {"method": "gfc", "config": gfc.config, "finished": True, "steps": 1, "steps_planned": 1, "minutes": 0}
        card |= {"data": {"content_hash": "", "source": ""}, "device": "cpu", "training": {"seed": seed}}
        save_weights(tmp_path / "gfc", gfc.generator, card)

    asked = recipe | {"pipelines": ["gfc+bicubic"], "methods": {"gfc": str(tmp_path / "gfc")}}
    name, keys, psnr = "score GFC + Bicubic on faces, square", [], []
    text = files.canonical_json(asked)
    engine._steps_by_name.cache_clear()
    for seed in (0, 1):
        save(seed)
        keys.append({step["name"]: step["key"] for step in plan_benchmark(asked, tmp_path).steps}[name])
        assert engine._run_by_name((text, Place(tmp_path, "cpu"), None, ((name, keys[-1]),)))[0][0] == ""
        psnr.append(load_scores(tmp_path / "scores")["psnr"].tolist())
    assert psnr[0] != psnr[1]
    ((error, _),) = engine._run_by_name((text, Place(tmp_path, "cpu"), None, ((name, keys[0]),)))
    assert error.startswith("the worker found other data, weights or code")


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
