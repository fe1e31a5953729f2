from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from occface.benchmark.tables import TABLES, Frames, quantities
from occface.benchmark.tables.frames import is_region, main_masks, one_training, square_size
from occface.metrics import column

_Cell = Callable[..., pd.DataFrame]


def _build(key: str, *cells: pd.DataFrame) -> pd.DataFrame | None:
    return TABLES[key].build(Frames(pd.concat(cells, ignore_index=True)))


def test_every_table_says_why_it_is_not_there() -> None:
    for spec in TABLES.values():
        assert spec.build(Frames(pd.DataFrame())) is None
        assert spec.reason
    assert [key for key, spec in TABLES.items() if spec.paper] == list("1234567")


def test_tables_need_no_torch() -> None:
    code = (
        "import sys, pandas as pd; from occface.benchmark.tables import TABLES, Frames, markdown\n"
        "row = dict(dataset='d', mask_type='square', order='joint', pipeline='p', mask_given='', image='a', identity='',\n"
        "           error='', psnr=20.0, ssim=0.5, pose='', hole_area=0.1)\n"
        "markdown(TABLES['1'].build(Frames(pd.DataFrame([row]))))\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_more_shows_what_was_scored_and_sets_beside_it(cell: _Cell) -> None:
    assert _build("more", cell("pro-uigan")) is None
    rows = cell("pro-uigan", stlpips=[0.2, 0.4], psnr_masked=[10.0, 12.0])
    value = {"metric": "frechet", "value": 7.5, "n": 2}
    sets = rows[["dataset", "mask_type", "order", "pipeline", "trained_on", "mask_given"]].head(1).assign(**value)
    table = TABLES["more"].build(Frames(rows, sets))
    assert table is not None
    names = ["ST-LPIPS", "PSNR masked", "Frechet", "Frechet n"]
    assert table.loc[("square", "joint", "Pro-UIGAN"), "demo"][names].tolist() == [np.mean([0.2, 0.4]), 11, 7.5, 2]


def test_numbers_of_sets_stand_in_the_rows_of_their_images(cell: _Cell) -> None:
    rows = pd.concat([cell("pro-uigan", stlpips=[0.2, 0.4], trained_on=name) for name in ("here", "there")])
    keys = ["dataset", "mask_type", "order", "pipeline", "trained_on", "mask_given"]
    sets = rows[keys].head(1).assign(metric="frechet", value=7.5, n=2)  # of one of the two trainings alone
    table = TABLES["more"].build(Frames(rows, sets))
    assert table is not None
    assert table.index.get_level_values("method").tolist() == ["Pro-UIGAN (trained on here)", "Pro-UIGAN (trained on there)"]
    assert table[("demo", "Frechet")].tolist()[0] == 7.5
    assert table[("demo", "Frechet n")].fillna(0).tolist() == [2, 0]


def test_more_shows_metrics_of_plug_ins_but_no_texts(cell: _Cell, monkeypatch: pytest.MonkeyPatch) -> None:
    known = {name: quantities.Column(name, False, f"Their {name}") for name in ("their_distance", "their_word")}
    monkeypatch.setattr(quantities, "_asked", lambda name: known.get(name) or column(name))
    table = _build("more", cell("pro-uigan", their_distance=[1.0, 2.0], their_word="smile", not_a_metric=3.0))
    assert table is not None
    assert [name for name in table.columns.unique(1) if not name.endswith((" low", " high", " n"))] == ["their_distance", "n"]
    assert table[("demo", "their_distance")].tolist() == [1.5]
    assert "Their their_distance." in table.attrs["caption"]


def test_stages_stand_side_by_side(cell: _Cell) -> None:
    table = _build("stages", cell("pro-uigan", psnr_stage_1=18.0, psnr_stage_2=[19.0, 20.0]), cell("fcsr-gan"))
    assert table is not None
    assert table.index.tolist() == [("square", "joint", "Pro-UIGAN")]
    assert table[[("demo", "PSNR stage 1"), ("demo", "PSNR stage 2")]].iloc[0].tolist() == [18, 19.5]


def test_poses_stand_by_angle(cell: _Cell) -> None:
    poses = ["+15", "-90", "0", "frontal", "-15", "+1.8", "-21", "22.4"]
    psnr = [15.0, -90.0, 0.0, 1.0, -15.0, 4.0, -17.0, 19.0]
    table = _build("by-pose", cell("pro-uigan", psnr=psnr, pose=poses), cell("fcsr-gan"))
    assert table is not None
    assert "rounded to the nearest 15" in table.attrs["caption"]
    assert table.columns.unique(0).tolist() == ["pose -90", "pose -15", "pose 0", "pose +15", "pose frontal"]
    row = table.loc[("demo", "square", "joint", "Pro-UIGAN")]
    assert row[[("pose +15", "PSNR"), ("pose 0", "PSNR"), ("pose -15", "PSNR"), ("pose -15", "n")]].tolist() == [17, 2, -16, 2]
    assert _build("by-pose", cell("fcsr-gan")) is None


def test_sizes_grow(cell: _Cell) -> None:
    sizes = {"square_64": 1.0, "square_16": 3.0, "square-32": 2.0}
    cells = [cell("pro-uigan", mask_type=mask, psnr=[value]) for mask, value in sizes.items()]
    table = _build("by-mask-size", *cells, cell("pro-uigan"))
    assert table is not None
    assert table.columns.unique(0).tolist() == ["16 px", "32 px", "64 px"]
    assert [table.loc[("demo", "joint", "Pro-UIGAN"), (f"{side} px", "PSNR")] for side in (16, 32, 64)] == [3, 2, 1]
    assert _build("by-mask-size", cells[0], cell("pro-uigan")) is None


def test_of_several_models_those_that_learnt_from_the_same_are_taken(cell: _Cell) -> None:
    rows = pd.concat(
        [
            cell("pro-uigan", trained_on="Helen"),
            cell("pro-uigan", trained_on="wild", psnr=[1.0] * 3),
            cell("pro-uigan", mask_type="walk", trained_on="Helen"),
            cell("pro-uigan", dataset="Helen", trained_on="wild"),
            cell("pro-uigan", dataset="Helen", trained_on="Helen", psnr=[1.0]),
            cell("fcsr-gan", trained_on="wild"),
            cell("fcsr-gan", trained_on="Helen"),
            cell("bicubic", "SR"),
        ]
    )
    taken = one_training(rows).groupby(["dataset", "pipeline"])["trained_on"].unique().map(list).to_dict()
    assert taken == {
        ("Helen", "pro-uigan"): ["Helen"],
        ("demo", "bicubic"): [""],
        ("demo", "fcsr-gan"): ["Helen"],
        ("demo", "pro-uigan"): ["Helen"],
    }
    assert len(one_training(rows)) == 1 + 2 + 2 + 4


def test_shares_are_tenths_with_the_upper_end_outside(cell: _Cell) -> None:
    table = _build("by-hole-area", cell("pro-uigan", psnr=[1.0, 2.0, 4.0, 8.0], hole_area=[1.0, 0.0999, 0.1, 0.05]))
    assert table is not None
    found = table.loc[("demo", "square", "joint", "Pro-UIGAN")]
    assert {share: found[(share, "PSNR")] for share in table.columns.unique(0)} == {
        "0.0 to 0.1": 5,
        "0.1 to 0.2": 4,
        "0.9 to 1.0": 1,
    }


def test_studies_of_masks_are_those_of_several() -> None:
    assert [square_size(name) for name in ("square-24", "square_24@3", "square", "irregular-24")] == [24, 24, None, None]
    assert all(map(is_region, ("half", "left-half", "mouth")))
    assert not any(map(is_region, ("square", "irregular-0.1-0.2", "eyes+square")))

    def kept(*masks: str) -> list[str]:
        return main_masks(pd.DataFrame({"mask_type": masks}))["mask_type"].tolist()

    assert kept("irregular", "square-32", "mouth") == ["irregular", "square-32", "mouth"]
    assert kept("irregular", "square-32", "square-64", "mouth", "nose") == ["irregular"]
    assert kept("square-32", "square-64") == ["square-32", "square-64"]
