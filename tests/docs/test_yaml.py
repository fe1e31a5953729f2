"""YAML in the documentation is what it says: recipes pass the checks that a benchmark begins with."""

import pytest
import yaml

from occface.benchmark.recipe import load_recipe
from tests.docs.blocks import blocks_of, pages

BLOCKS = [block for page in pages() for block in blocks_of(page) if block.language == "yaml"]


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.name)
def test_it_parses_and_a_recipe_is_one(block):
    values = yaml.safe_load(block.text)
    assert isinstance(values, dict)
    if {"pipelines", "comparisons"} & values.keys():
        assert load_recipe(values).datasets
