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
    ],
)
def test_a_wrong_recipe_is_one_line(values, message):
    with pytest.raises(UsageError, match=message):
        load_recipe(values)


def test_a_recipe_that_is_a_list_is_one_line(tmp_path):
    (tmp_path / "r.yaml").write_text("- a\n- b\n")
    with pytest.raises(UsageError, match="expected a recipe"):
        load_recipe(tmp_path / "r.yaml")
