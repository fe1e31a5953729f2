import pytest

from occface import files
from occface.benchmark.recipe import Comparison, DataEntry, MethodEntry, Timing, load_recipe, packaged_recipes
from occface.errors import UsageError

GOOD = {"datasets": {"a": "a.h5"}, "pipelines": ["bicubic"]}

EVERYTHING = """
title: A trial
datasets:
  a: a.h5
  wild: {source: photos, test: 2, masks: [square]}
  made: {source: synthetic, count: 12}
methods:
  gfc: runs/gfc
  face-parser: {preset: test, seed: 3}
  fcsr-gan: {preset: test, set: {parser: "@face-parser"}}
  pro-uigan:p-fp: {preset: test+p-fp}
comparisons:
  - {datasets: [a, wild], masks: [square], pipelines: [hr, bicubic, gfc+bicubic], mask_given: [true, estimated], limit: 16}
  - {pipelines: [fcsr-gan, "pro-uigan:p-fp"], trained_on: [own, a], metrics: [image]}
metrics:
  image: {}
  parsing: {parser: "@face-parser", each: [nose]}
timing: {pipelines: [bicubic], runs: 60, runs_of: {bicubic: 20}}
split: val
limits: {gfc+bicubic: 8}
pictured: 8
beside: CelebA-HQ
notes: {table_6: nothing to parse, figure_14: nothing to draw, table_by-pose: all are frontal}
"""


def test_weights_of_the_package_are_named_and_lie_in_no_folder_of_the_recipe(tmp_path):
    (tmp_path / "r.yaml").write_text("{datasets: {a: a.h5}, methods: {pro-uigan: 'shipped:pro-uigan'}, pipelines: [pro-uigan]}")
    recipe = load_recipe(tmp_path / "r.yaml")
    assert recipe.methods["pro-uigan"] == MethodEntry("pro-uigan", weights="shipped:pro-uigan")
    assert load_recipe(recipe.as_dict()) == recipe


def test_everything_that_a_recipe_can_say(tmp_path):
    (tmp_path / "r.yaml").write_text(EVERYTHING)
    recipe = load_recipe(tmp_path / "r.yaml")
    assert recipe.datasets == {
        "a": DataEntry(path=str(tmp_path / "a.h5")),
        "wild": DataEntry(source=str(tmp_path / "photos"), options={"test": 2, "masks": ["square"]}),
        "made": DataEntry(source="synthetic", options={"count": 12}),
    }
    assert recipe.methods["gfc"] == MethodEntry("gfc", weights=str(tmp_path / "runs" / "gfc"))
    assert recipe.methods["face-parser"] == MethodEntry("face-parser", preset="test", seed=3)
    assert recipe.methods["fcsr-gan"].settings == {"parser": "@face-parser"}
    assert recipe.methods["pro-uigan:p-fp"] == MethodEntry("pro-uigan", preset="test+p-fp")
    assert recipe.comparisons == (
        Comparison(("a", "wild"), ("square",), ("hr", "bicubic", "gfc+bicubic"), mask_given=("true", "estimated"), limit=16),
        Comparison(("a", "wild", "made"), (), ("fcsr-gan", "pro-uigan:p-fp"), ("own", "a"), ("image",)),
    )
    assert recipe.metrics == {"image": {}, "parsing": {"parser": "@face-parser", "each": ["nose"]}}
    assert recipe.timing == Timing(("bicubic",), runs=60, warm_up=5, runs_of={"bicubic": 20})
    assert (recipe.title, recipe.split, recipe.pictured, recipe.beside) == ("A trial", "val", 8, "CelebA-HQ")
    assert recipe.limits == {"gfc+bicubic": 8}
    assert recipe.notes == {"table_6": "nothing to parse", "figure_14": "nothing to draw", "table_by-pose": "all are frontal"}
    assert recipe.pipelines == ("hr", "bicubic", "gfc+bicubic", "fcsr-gan", "pro-uigan:p-fp")
    assert load_recipe(recipe.as_dict()) == recipe
    files.write_yaml(tmp_path / "elsewhere" / "again.yaml", recipe.as_dict())
    assert load_recipe(tmp_path / "elsewhere" / "again.yaml") == recipe  # paths are absolute there


def test_the_short_form_is_one_comparison_on_all_data_sets():
    recipe = load_recipe({"datasets": {"a": "a.h5", "b": "b.h5"}, "pipelines": ["bicubic"], "masks": ["square"]})
    assert recipe.comparisons == (Comparison(("a", "b"), ("square",), ("bicubic",)),)
    assert (recipe.metrics, recipe.pictured, recipe.limits, recipe.split) == ({"image": {}}, 3, {}, "test")
    assert load_recipe(recipe.as_dict()) == recipe


@pytest.mark.parametrize(
    ("given", "expected"),
    [("true", ("true",)), (True, ("true",)), ("estimated", ("estimated",)), (["estimated", True], ("estimated", "true"))],
)
def test_the_mask_given(given, expected):
    assert load_recipe(GOOD | {"mask_given": given}).comparisons[0].mask_given == expected


def test_methods_that_need_no_entry_run_as_the_paper_s_preset():
    assert load_recipe(GOOD).entry("bicubic") == MethodEntry("bicubic", preset="paper")


def compared(**changes):
    return {"datasets": {"a": "a.h5"}, "comparisons": [{"pipelines": ["bicubic"]} | changes]}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"datasets": {"a": "a.h5"}}, "either 'pipelines' or 'comparisons' in the recipe, got both or none"),
        (GOOD | {"comparisons": [{"pipelines": ["bicubic"]}]}, "either 'pipelines' or 'comparisons'"),
        (compared() | {"masks": ["square"]}, "'masks' beside 'comparisons' in the recipe is of none of them"),
        ({"pipelines": ["bicubic"]}, "names no datasets"),
        (GOOD | {"datasets": ["a.h5"]}, "'datasets' of the recipe to map"),
        (GOOD | {"datasets": {"a": 3}}, "data set 'a' of the recipe to be a path, or to have a source, got 3"),
        (GOOD | {"datasets": {"a": {"count": 3}}}, "data set 'a' of the recipe to be a path, or to have a source"),
        (GOOD | {"pipelines": "bicubic"}, "'pipelines' of the recipe to be a list"),
        (GOOD | {"pipelines": [3]}, "'pipelines' of the recipe to be a list of names"),
        (GOOD | {"pipelines": ["bicubc"]}, "did you mean 'bicubic'"),
        (GOOD | {"pipelines": ["gfc"]}, "'gfc' is no pipeline"),
        (GOOD | {"pipelines": ["face-parser"]}, "'face-parser' is no pipeline"),
        (GOOD | {"pipelines": ["bicubic:sharp"]}, "the variant 'bicubic:sharp', which the recipe's 'methods' do not have"),
        (GOOD | {"dataset": 1}, "unknown key 'dataset': did you mean 'datasets'"),
        (GOOD | {"split": 3}, "'split'"),
        (GOOD | {"title": 3}, "'title' of the recipe to be a text"),
        (GOOD | {"beside": []}, "'beside' of the recipe to be a text"),
        (GOOD | {"masks": "square"}, "'masks' of the recipe to be a list"),
        (GOOD | {"mask_given": "guessed"}, "true, estimated or a list of both, got 'guessed'"),
        (GOOD | {"mask_given": []}, "true, estimated or a list of both"),
        (GOOD | {"mask_given": False}, "true, estimated or a list of both"),
        (GOOD | {"limits": {"bicubc": 3}}, "names no pipeline of it, 'bicubc': did you mean 'bicubic'"),
        (GOOD | {"limits": {"bicubic": 0}}, "'limits: bicubic' of the recipe to be a whole number from 1 on, got 0"),
        (GOOD | {"limits": [3]}, "'limits' of the recipe to map"),
        (GOOD | {"notes": ["x"]}, "'notes' of the recipe to map"),
        (GOOD | {"notes": {"table_8": "x"}}, "'notes' of the recipe names no table or figure, 'table_8': did you mean 'table_"),
        (GOOD | {"notes": {"figure_1": "x"}}, "names no table or figure, 'figure_1'"),
        (GOOD | {"notes": {"table_6": 3}}, "expected 'notes: table_6' of the recipe to be a sentence, got 3"),
        (GOOD | {"notes": {"table_6": " "}}, "'notes: table_6' of the recipe to be a sentence"),
        (GOOD | {"pictured": "8"}, "'pictured' of the recipe to be a whole number"),
        (GOOD | {"pictured": True}, "'pictured' of the recipe to be a whole number"),
        (GOOD | {"methods": {"bicubc": {}}}, "did you mean 'bicubic'"),
        (GOOD | {"methods": ["gfc"]}, "'methods' of the recipe to map"),
        (GOOD | {"methods": {"gfc": 3}}, "method 'gfc' of the recipe to be a path of weights, or to have a preset, got 3"),
        (GOOD | {"methods": {"gfc": {"presets": "cpu"}}}, "method 'gfc' of the recipe has an unknown key 'presets'"),
        (GOOD | {"methods": {"gfc": {"preset": ["cpu"]}}}, "'methods: gfc: preset' of the recipe to be a text"),
        (GOOD | {"methods": {"gfc": {"set": 3}}}, "'methods: gfc: set' of the recipe to map"),
        (GOOD | {"methods": {"gfc": {"seed": True}}}, "seed of method 'gfc' in the recipe to be a whole number, got True"),
        (GOOD | {"methods": {"gfc": {"weights": "x", "preset": "cpu"}}}, "method 'gfc' of the recipe has both weights and set"),
        (GOOD | {"methods": {"gfc": {"weights": 3}}}, "'methods: gfc: weights' of the recipe to be a text"),
        (GOOD | {"methods": {"gfc": {"set": {"parser": "@parser"}}}}, "'gfc' asks for '@parser', which the recipe has not"),
        (GOOD | {"metrics": ["imag"]}, "unknown metric 'imag': did you mean 'image'"),
        (GOOD | {"metrics": 3}, "'metrics' of the recipe to map"),
        (GOOD | {"metrics": {"image": 3}}, "'metrics: image' of the recipe to map"),
        (GOOD | {"metrics": {"image": {"peak": 1}}}, "metric 'image' has no setting 'peak'"),
        (GOOD | {"metrics": {"expression": {"folds": "10"}}}, "setting 'folds' of metric 'expression' takes a value like 10"),
        (GOOD | {"methods": {"gfc": {"set": {"parser": "@gfc/there"}}}}, "asks for '@gfc/there', which the recipe has not"),
        (GOOD | {"metrics": {"parsing": {"parser": "@p"}}}, "metric 'parsing' asks for '@p', which the recipe has not"),
        (GOOD | {"timing": ["bicubic"]}, "'timing' of the recipe to map"),
        (GOOD | {"timing": {"run": 3}}, "'timing' of the recipe has an unknown key 'run': did you mean 'runs'"),
        (GOOD | {"timing": {"runs": 0}}, "'timing: runs' of the recipe to be a whole number from 1 on"),
        (GOOD | {"timing": {"runs_of": {"bicubic": 3}}}, "'timing: runs_of' of the recipe names no pipeline of it, 'bicubic'"),
        (GOOD | {"timing": {"pipelines": ["hr"]}}, "'timing' of the recipe names 'hr'"),
        (compared() | {"comparisons": {}}, "either 'pipelines' or 'comparisons'"),
        (compared() | {"comparisons": {"a": 1}}, "'comparisons' of the recipe to be a list"),
        (compared() | {"comparisons": ["bicubic"]}, "'comparisons' of the recipe to map"),
        (compared(pipelines=[]), "a comparison of the recipe names no pipelines"),
        (compared(pipeline=["bicubic"]), "a comparison of the recipe has an unknown key 'pipeline'"),
        (compared(datasets=["b"]), "a comparison names data set 'b', which the recipe has not"),
        (compared(trained_on=["b"]), "a comparison names data set 'b', which the recipe has not"),
        (compared(metrics=["stages"]), "a comparison names metric 'stages', which the recipe has not"),
        (compared(limit=0), "'limit' of the recipe to be a whole number from 1 on"),
        (compared(limit="8"), "'limit' of the recipe to be a whole number from 1 on"),
    ],
)  # fmt: skip
def test_a_wrong_recipe_is_one_line(values, message):
    with pytest.raises(UsageError, match=message) as caught:
        load_recipe(values)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [("- a\n- b\n", "expected a recipe"), ("", "expected a recipe"), ("a: [", "expected a YAML file at .*r.yaml")],
)
def test_a_file_that_is_no_recipe_is_one_line(tmp_path, text, message):
    (tmp_path / "r.yaml").write_text(text)
    with pytest.raises(UsageError, match=message) as caught:
        load_recipe(tmp_path / "r.yaml")
    assert "\n" not in str(caught.value)


def test_recipes_that_come_with_the_package_can_be_read():
    assert "demo" in packaged_recipes()
    for name in packaged_recipes():
        assert load_recipe(name).comparisons
    with pytest.raises(UsageError, match="there is no recipe 'dem': name a YAML file, or did you mean 'demo'"):
        load_recipe("dem")
    with pytest.raises(UsageError, match=r"expected a YAML file at nowhere\.yaml"):
        load_recipe("nowhere.yaml")


def test_a_file_comes_before_a_packaged_recipe_of_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files.write_yaml("demo", GOOD | {"title": "mine"})
    assert load_recipe("demo").title == "mine"
