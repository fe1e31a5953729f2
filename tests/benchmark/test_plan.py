import shutil

import h5py
import pytest

from occface.benchmark.plan import make_plan
from occface.benchmark.recipe import load_recipe
from occface.errors import UsageError
from occface.methods.gfc import GFC
from occface.methods.weights import save_weights


@pytest.fixture
def planned(tmp_path, dataset_path, parsed_path, others):
    def plan(limit=None, **recipe):
        recipe = {"datasets": {"faces": str(dataset_path), "parsed": str(parsed_path)}} | recipe
        return make_plan(load_recipe(recipe), tmp_path / "out", limit)

    return plan


def names(plan, kind):
    return [step.label for step in plan.steps if step.kind == kind]


def test_every_pipeline_on_every_mask_of_every_data_set(planned):
    plan = planned(pipelines=["bicubic", "bicubic+paints"], mask_given=["true", "estimated"])
    assert names(plan, "data") == ["faces", "parsed"]
    expected = [
        f"{title} on {dataset}, {mask}"
        for dataset in ("faces", "parsed")
        for mask in ("irregular", "square")
        for title in ("Bicubic", "Bicubic + paints", "Bicubic + paints (mask estimated)")
    ]
    assert names(plan, "score") == expected
    assert len({step.path for step in plan.scores}) == len(expected)
    assert plan.times == ()


def test_no_step_comes_before_one_that_it_needs(planned):
    plan = planned(
        methods={"gfc": {"preset": "test", "set": {"parser": "@face-parser"}}, "face-parser": {"preset": "test"}},
        comparisons=[
            {"datasets": ["parsed"], "masks": ["square"], "pipelines": ["gfc+bicubic"], "trained_on": ["own", "faces"]}
        ],
        timing={"pipelines": ["gfc+bicubic"]},
    )
    for place, step in enumerate(plan.steps):
        assert all(plan.steps.index(need) < place for need in step.needs)
    assert len(set(plan.steps)) == len(plan.steps) == len({step.name for step in plan.steps})
    assert names(plan, "train") == ["face-parser on parsed", "gfc on parsed", "face-parser on faces", "gfc on faces"]
    assert names(plan, "score") == ["GFC + Bicubic on parsed, square", "GFC + Bicubic, trained on faces on parsed, square"]
    assert [step.unit.trained_on for step in plan.scores] == ["parsed", "faces"]
    assert [need.name for need in plan.times[0].needs] == ["data parsed", "train gfc on parsed"]


def test_a_training_may_ask_for_one_on_another_data_set(planned):
    plan = planned(
        methods={"gfc": {"preset": "test", "set": {"parser": "@face-parser/parsed"}}, "face-parser": {"preset": "test"}},
        comparisons=[{"masks": ["square"], "pipelines": ["gfc+bicubic"]}],
    )
    assert names(plan, "train") == ["face-parser on parsed", "gfc on faces", "gfc on parsed"]
    gfc = next(step for step in plan.steps if step.name == "train gfc on faces")
    assert [need.name for need in gfc.needs] == ["data faces", "train face-parser on parsed"]


def test_what_learns_nothing_is_run_once_whatever_it_was_trained_on(planned):
    plan = planned(
        methods={"toy": {"preset": "test"}},
        comparisons=[{"masks": ["square"], "pipelines": ["hr", "bicubic", "toy"], "trained_on": ["own", "faces", "parsed"]}],
    )
    assert names(plan, "score") == [
        "Ground-truth HR on faces, square", "Bicubic on faces, square", "toy on faces, square",
        "toy, trained on parsed on faces, square",
        "Ground-truth HR on parsed, square", "Bicubic on parsed, square", "toy on parsed, square",
        "toy, trained on faces on parsed, square",
    ]  # fmt: skip
    assert [step.unit.order for step in plan.scores][:3] == ["reference", "SR", "SR"]


def test_comparisons_that_overlap_are_one(planned):
    part = {"datasets": ["faces"], "masks": ["square"]}
    plan = planned(
        comparisons=[
            part | {"pipelines": ["bicubic"], "metrics": ["regions"], "limit": 1},
            part | {"pipelines": ["bicubic", "hr"], "metrics": ["image"]},
        ],
        metrics=["image", "regions", "stages"],
    )
    bicubic, hr = plan.scores
    assert (bicubic.unit.wanted, bicubic.unit.scored, list(bicubic.judges.wanted)) == (None, (0, 1), ["image", "regions"])
    assert (hr.unit.wanted, list(hr.judges.wanted)) == (None, ["image"])
    turned = planned(comparisons=[part | {"pipelines": ["bicubic"], "limit": 1}, part | {"pipelines": ["bicubic"], "limit": 2}])
    assert [step.unit.wanted for step in turned.scores] == [2]


def test_the_smallest_limit_holds(planned):
    recipe = {
        "comparisons": [{"datasets": ["faces"], "masks": ["square"], "pipelines": ["hr", "bicubic"], "limit": 20}],
        "limits": {"bicubic": 10},
    }
    assert [step.unit.wanted for step in planned(**recipe).scores] == [20, 10]
    assert [step.unit.wanted for step in planned(5, **recipe).scores] == [5, 5]


def test_judges_are_trained_on_the_data_set_that_they_judge(planned):
    plan = planned(
        methods={"face-parser": {"preset": "test"}},
        pipelines=["bicubic"],
        masks=["square"],
        metrics={"image": {}, "parsing": {"parser": "@face-parser"}},
    )
    assert names(plan, "train") == ["face-parser on faces", "face-parser on parsed"]
    assert [[need.name for need in step.needs] for step in plan.scores] == [
        ["data faces", "train face-parser on faces"],
        ["data parsed", "train face-parser on parsed"],
    ]


def test_weights_that_learnt_from_a_data_set_of_the_recipe_say_its_name(planned, parsed, tmp_path):
    gfc = GFC.build("test")
    data = {"content_hash": parsed.content_hash, "source": "folder"}
    save_weights(tmp_path / "gfc", gfc.generator, {"method": "gfc", "config": gfc.config, "finished": True, "data": data})
    plan = planned(methods={"gfc": str(tmp_path / "gfc")}, pipelines=["gfc+bicubic"], masks=["square"])
    assert names(plan, "train") == []
    assert [(step.unit.dataset, step.unit.trained_on) for step in plan.scores] == [("faces", "parsed"), ("parsed", "parsed")]


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ({"pipelines": ["bicubic"], "split": "val"}, "no split 'val'"),
        ({"pipelines": ["bicubic"], "masks": ["walk"]}, "data set 'faces' has no mask type 'walk'; it has: irregular, square"),
        ({"pipelines": ["bicubic+gfc"]}, "pipeline 'bicubic[+]gfc': method 'gfc' learns, and the recipe gives it neither"),
        ({"pipelines": ["bicubic"], "timing": {"pipelines": ["toy"]}}, "names pipeline 'toy', which no comparison has"),
        ({"pipelines": ["toy"], "methods": {"toy": {"preset": "cpu"}}}, "method 'toy' has no preset 'cpu'"),
        ({"pipelines": ["toy"], "methods": {"toy": {"preset": "test", "set": {"rat": 1}}}}, "has no setting 'rat'"),
        ({"pipelines": ["bicubic+paints"], "methods": {"paints": {"set": {"gray": 1.0}}}}, "no setting 'gray': did you mean"),
        (
            {"pipelines": ["gfc+bicubic"], "methods": {"gfc": {"preset": "test", "set": {"parser": "@gfc"}}}},
            "ask for each other in a circle: gfc -> gfc",
        ),
        (
            {"pipelines": ["gfc+bicubic"], "methods": {"gfc": {"preset": "test", "set": {"parser": "@paints"}}, "paints": {}}},
            "'@paints' in the recipe stands for a training, and method 'paints' has none",
        ),
        ({"pipelines": ["gfc+bicubic"], "methods": {"gfc": "nowhere"}}, "expected a run folder"),
        ({"pipelines": ["bicubic"], "datasets": {"a": "nowhere.h5"}}, "nowhere.h5"),
    ],
)
def test_a_recipe_that_cannot_be_carried_out_is_one_line(planned, recipe, message):
    with pytest.raises(UsageError, match=message) as caught:
        planned(**recipe)
    assert "\n" not in str(caught.value)


def test_paths_of_judges_are_looked_at_beforehand(planned):
    plan = planned(pipelines=["bicubic"], metrics={"parsing": {"parser": "nowhere"}})
    with pytest.raises(UsageError, match="expected a run folder of method 'face-parser' at nowhere"):
        _ = plan.scores[0].key


def test_nothing_is_trained_on_a_data_set_that_is_all_held_out(planned, dataset_path, tmp_path):
    held_out = tmp_path / "held-out.h5"
    shutil.copy(dataset_path, held_out)
    with h5py.File(held_out, "a") as file:
        del file["train"]
    datasets = {"faces": str(dataset_path), "held out": str(held_out)}
    methods = {"toy": {"preset": "test"}, "fan": {"preset": "test"}}
    with pytest.raises(UsageError, match="'fan' was to be trained on data set 'held out', which has no training split"):
        planned(datasets=datasets, methods=methods, pipelines=["bicubic"], metrics={"landmarks": {"landmarker": "fan:@fan"}})


def test_a_search_may_have_fewer_timed_runs(planned):
    plan = planned(
        pipelines=["bicubic", "searches"],
        masks=["square"],
        timing={"pipelines": ["bicubic", "searches"], "runs": 50, "runs_of": {"searches": 15}},
    )
    assert [(step.runs, step.rounds) for step in plan.times] == [(50, 50), (15, 50)]
