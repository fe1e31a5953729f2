"""The collector sees what is there."""

import pytest

from tests.docs.blocks import NOT_RUN, blocks_of, pages

PAGE = """# A page

```bash
occface info x
```

## Second part!

<!-- runnable -->
```python
print(1)
```

- in a list

  ```
  $ occface info y
  ```

```{toctree}
other
```

<!-- file: recipe.yaml -->
```yaml
a: 1
```

````text
```python
not a block
```
````
"""


def test_names_languages_and_marks(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    found = [(each.name, each.language, each.text.splitlines()[0], each.runnable, each.file) for each in blocks_of(page)]
    assert found == [
        ("page.md#a-page", "bash", "occface info x", False, ""),
        ("page.md#second-part", "python", "print(1)", True, ""),
        ("page.md#second-part:2", "bash", "$ occface info y", False, ""),
        ("page.md#second-part:3", "yaml", "a: 1", False, "recipe.yaml"),
        ("page.md#second-part:4", "text", "```python", False, ""),
    ]
    assert [PAGE.splitlines()[each.line - 1] for each in blocks_of(page)][:2] == ["occface info x", "print(1)"]


def test_a_block_without_an_end_is_refused(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("text\n```bash\nls\n")
    with pytest.raises(ValueError, match=r"page\.md:2: the block is not closed"):
        blocks_of(page)


def test_what_is_not_run_is_there_and_says_why():
    known = {block.name for page in pages() for block in blocks_of(page)}
    assert set(NOT_RUN) <= known
    assert all(len(reason) > 20 for reason in NOT_RUN.values())


def test_no_block_is_of_a_kind_that_nobody_looks_at():
    looked_at = {"bash", "python", "pycon", "yaml", "text", "toml", "bibtex", "json"}
    others = {block.name: block.language for page in pages() for block in blocks_of(page) if block.language not in looked_at}
    assert others == {}
