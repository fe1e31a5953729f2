"""The page is tested with the same packages as all else, but for those that Gradio holds back."""

from pathlib import Path

ROOT = Path(__file__).parents[2]


def pins(name: str) -> dict[str, str]:
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


def test_only_pillow_differs():
    page = pins("constraints-app.txt")
    assert [name for name, version in pins("constraints.txt").items() if page.get(name) != version] == ["pillow"]
    assert int(page["pillow"].partition(".")[0]) < 13
