"""Several workers, several devices, and work that was killed on the way."""

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
from occface.benchmark.engine import plan_benchmark
from occface.benchmark.plan import make_plan
from occface.benchmark.recipe import load_recipe
from occface.benchmark.scores import load_scores
from occface.benchmark.steps import Place
from occface.methods.gfc import GFC
from occface.methods.weights import save_weights
from occface.metrics import METRICS
from tests.benchmark.engines import BOTH, run, scores_of, states

pytestmark = pytest.mark.usefixtures("unshown")


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
    # Each went on where the one before it was killed. A run that is cut short in the middle of a step finishes none.
    assert kinds == sorted(kinds)
    assert kinds[0] < kinds[-1]
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
