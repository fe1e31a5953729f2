import pytest

from occface import files
from occface.benchmark.recipe import load_recipe
from occface.errors import UsageError


def test_paths_are_taken_from_the_recipe_s_folder(tmp_path):
    files.write_yaml(tmp_path / "r.yaml", {"datasets": {"a": "a.h5"}, "pipelines": ["bicubic"], "weights": {"gfc": "runs/gfc"}})
    recipe = load_recipe(tmp_path / "r.yaml")
    assert recipe.datasets == {"a": tmp_path / "a.h5"}
    assert recipe.weights == {"gfc": tmp_path / "runs" / "gfc"}
    assert load_recipe(recipe.as_dict()) == recipe
    assert (recipe.mask_given, recipe.pictured, recipe.limits, recipe.settings) == (("true",), 3, {}, {})


def test_everything_that_a_recipe_can_say(tmp_path):
    text = """
datasets: {a: a.h5}
pipelines: [bicubic, gfc+bicubic]
settings: {bicubic: {preset: cpu}}
mask_given: [true, estimated]
limits: {gfc+bicubic: 16}
pictured: 8
"""
    (tmp_path / "r.yaml").write_text(text)
    recipe = load_recipe(tmp_path / "r.yaml")
    assert recipe.settings == {"bicubic": {"preset": "cpu"}}
    assert recipe.mask_given == ("true", "estimated")
    assert recipe.limits == {"gfc+bicubic": 16}
    assert recipe.pictured == 8
    assert load_recipe(recipe.as_dict()) == recipe


@pytest.mark.parametrize(
    ("given", "expected"),
    [("true", ("true",)), (True, ("true",)), ("estimated", ("estimated",)), (["estimated", True], ("estimated", "true"))],
)
def test_the_mask_given(given, expected):
    assert load_recipe({"datasets": {"a": "a"}, "pipelines": ["bicubic"], "mask_given": given}).mask_given == expected


GOOD = {"datasets": {"a": "a.h5"}, "pipelines": ["bicubic"]}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"datasets": {"a": "a.h5"}}, "names no pipelines"),
        ({"pipelines": ["bicubic"]}, "names no datasets"),
        ({"datasets": ["a.h5"], "pipelines": ["bicubic"]}, "'datasets' of the recipe to map"),
        ({"datasets": {"a": "a.h5"}, "pipelines": "bicubic"}, "'pipelines' of the recipe to be a list"),
        ({"datasets": {"a": "a.h5"}, "pipelines": ["bicubic"], "dataset": 1}, "unknown key 'dataset': did you mean 'datasets'"),
        ({"datasets": {"a": "a.h5"}, "pipelines": ["bicubc"]}, "did you mean 'bicubic'"),
        ({"datasets": {"a": "a.h5"}, "pipelines": ["bicubic"], "split": 3}, "'split'"),
        (GOOD | {"mask_given": "guessed"}, "true, estimated or a list of both, got 'guessed'"),
        (GOOD | {"mask_given": []}, "true, estimated or a list of both"),
        (GOOD | {"mask_given": False}, "true, estimated or a list of both"),
        (GOOD | {"limits": {"bicubc": 3}}, "names no pipeline of it, 'bicubc': did you mean 'bicubic'"),
        (GOOD | {"limits": {"bicubic": 0}}, "'limits: bicubic' of the recipe to be a whole number from 1 on, got 0"),
        (GOOD | {"limits": [3]}, "'limits' of the recipe to map"),
        (GOOD | {"pictured": "8"}, "'pictured' of the recipe to be a whole number"),
        (GOOD | {"pictured": True}, "'pictured' of the recipe to be a whole number"),
        (GOOD | {"settings": {"bicubc": {}}}, "did you mean 'bicubic'"),
        (GOOD | {"settings": {"bicubic": {"preset": ["cpu"]}}}, "preset of method 'bicubic' in the recipe to be a name"),
        (GOOD | {"settings": {"bicubic": 3}}, "'settings' of the recipe to map"),
        (GOOD | {"settings": {"gfc": {}}, "weights": {"gfc": "x"}}, "'gfc' both weights and settings"),
    ],
)
def test_a_wrong_recipe_is_one_line(values, message):
    with pytest.raises(UsageError, match=message):
        load_recipe(values)


def test_a_recipe_that_is_a_list_is_one_line(tmp_path):
    (tmp_path / "r.yaml").write_text("- a\n- b\n")
    with pytest.raises(UsageError, match="expected a recipe"):
        load_recipe(tmp_path / "r.yaml")
