import json

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from occface.cli import main


def demo(*arguments):
    return CliRunner().invoke(main, ["demo", "--preset", "test", "--device", "cpu", "--workers", "2", *map(str, arguments)])


@pytest.mark.parametrize("source", ["generated", "photographs"])
def test_the_whole_story(tmp_path, faces_folder, source):
    where = ["--out", tmp_path / "demo"]
    asked = [*where, "--count", 10] if source == "generated" else [*where, "--source", faces_folder]
    first = demo(*asked, "--json")
    assert first.exit_code == 0, first.stderr
    said = json.loads(first.stdout)
    methods = {(row["mask type"], row["order"], row["method"]) for row in said["table_1"]}
    rows = {("SR", "Bicubic"), ("SR+PA", "Bicubic + GFC"), ("PA+SR", "GFC + Bicubic"), ("joint", "Pro-UIGAN")}
    assert methods == {(mask, *row) for mask in ("irregular", "square") for row in rows}
    counts = {value for row in said["table_1"] for name, value in row.items() if name.endswith("/n")}
    assert counts == {2 if source == "generated" else 1}
    report = (tmp_path / "demo" / "report.html").read_text(encoding="utf-8")
    assert "25.682" in report  # the paper's PSNR of Pro-UIGAN on CelebA-HQ, square masks, beside ours
    grid = np.asarray(Image.open(tmp_path / "demo" / "figures" / "comparison.png"))
    assert grid.std() > 20
    written = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.h5")}
    written |= {path: path.stat().st_mtime_ns for path in tmp_path.rglob("scores/*.csv")}
    again = demo(*asked)
    assert again.exit_code == 0
    assert "Pro-UIGAN" in again.stdout
    assert {path: path.stat().st_mtime_ns for path in written} == written


def test_another_demo_is_not_mixed_in(tmp_path, faces_folder):
    where = ["--out", tmp_path / "demo", "--source", faces_folder]
    assert demo(*where).exit_code == 0
    other = demo(*where, "--seed", 1)
    assert other.exit_code == 2
    assert "was made from other photographs or with other options" in other.stderr
