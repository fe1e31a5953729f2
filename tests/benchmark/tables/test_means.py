from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from occface.benchmark.statistics import mean_interval
from occface.benchmark.tables import markdown
from occface.benchmark.tables.means import mean_table

_Cell = Callable[..., pd.DataFrame]


def _table(*cells: pd.DataFrame, metrics: tuple[str, ...] = ("psnr", "ssim"), **options: object) -> pd.DataFrame:
    return mean_table(pd.concat(cells, ignore_index=True), metrics, "Some faces", **options)


def test_means_n_and_intervals_are_those_of_explicit_loops(cell: _Cell) -> None:
    rng = np.random.default_rng(0)
    people = [str(number % 4) for number in range(12)]
    cells = [
        cell(name, dataset=dataset, mask_type=mask, psnr=rng.normal(20, 2, 12), identity=people, stlpips=rng.uniform(0, 1, 12))
        for name in ("fcsr-gan", "pro-uigan")
        for dataset in ("demo", "Helen")
        for mask in ("square", "irregular")
    ]
    rows = pd.concat(cells, ignore_index=True)
    table = mean_table(rows, ("psnr", "stlpips"), "Some faces")
    for name, title in (("fcsr-gan", "FCSR-GAN"), ("pro-uigan", "Pro-UIGAN")):
        for dataset in ("demo", "Helen"):
            for mask in ("square", "irregular"):
                for metric, column in (("psnr", "PSNR"), ("stlpips", "ST-LPIPS")):
                    values = [
                        row[metric]
                        for _, row in rows.iterrows()
                        if (row["pipeline"], row["dataset"], row["mask_type"]) == (name, dataset, mask)
                    ]
                    found = table.loc[(mask, "joint", title), dataset]
                    assert found[column] == pytest.approx(sum(values) / 12, abs=1e-12)
                    expected = mean_interval(values, groups=people)
                    assert (found[f"{column} low"], found[f"{column} high"]) == pytest.approx(expected[1:3], abs=1e-12)
                    assert found[f"{column} low"] < found[column] < found[f"{column} high"]
                    assert found[f"{column} n"] == found["n"] == 12
    assert table.columns.unique(0).tolist() == ["demo", "Helen"]


def test_shares_are_shown_in_per_cent(cell: _Cell) -> None:
    table = _table(cell("pro-uigan", psnr=[1.0] * 8, identified=[1.0, 0, 0, 0, 1.0, 0, 0, 0]), metrics=("identified",))
    row = table.loc[("square", "joint", "Pro-UIGAN"), "demo"]
    assert row["rank-1 (%)"] == 25
    assert 0 <= row["rank-1 (%) low"] < 25 < row["rank-1 (%) high"] <= 100


def test_failures_are_counted_and_in_no_mean(cell: _Cell) -> None:
    table = _table(cell("fcsr-gan", psnr=[1.0, 3.0, 99.0], errors=[2]), cell("pro-uigan", psnr=[4.0, 5.0, 6.0]))
    row = table.loc[("square", "joint", "FCSR-GAN"), "demo"]
    assert (row["PSNR"], row["n"], row["failed"]) == (2, 2, 1)
    assert table[("demo", "failed")].sum() == 1
    caption = table.attrs["caption"]
    assert caption.startswith("Some faces (demo: n = 2 to 3 images). Rows of smaller n are means over fewer images")
    assert "1 image(s) failed" in caption


def test_a_pipeline_that_never_worked_has_a_row_without_a_number(cell: _Cell) -> None:
    table = _table(cell("theirs", psnr=[1.0], mask_type="walk", errors=[0]))
    assert math.isnan(table.iloc[0][("demo", "PSNR")])
    assert "| walk | joint | theirs | – | – | 0 | 1 |" in markdown(table)  # noqa: RUF001 - an en dash is meant


def test_rows_without_a_number_are_left_out_and_not_spoken_of(cell: _Cell) -> None:
    given = cell("fcsr-gan", mask_given="true", psnr=[1.0, 2.0, 3.0], errors=[0])
    table = _table(given, cell("pro-uigan", psnr_stage_1=[1.0, 2.0]), metrics=("psnr_stage_1",))
    assert table.index.tolist() == [("square", "joint", "Pro-UIGAN")]
    assert "No method is given a mask." in table.attrs["caption"]
    assert "failed" not in table.attrs["caption"]


def test_only_rivals_need_equal_n(cell: _Cell) -> None:
    cells = [cell("fcsr-gan"), cell("pro-uigan"), cell("fcsr-gan", dataset="Helen", psnr=[1.0])]
    by_mask = {"index": ("dataset", "method"), "across": "mask_type"}
    assert "smaller n" not in _table(*cells, **by_mask).attrs["caption"]
    assert "smaller n" in _table(*cells, cell("pro-uigan", dataset="Helen"), **by_mask).attrs["caption"]


def test_what_was_not_run_on_a_data_set_is_a_dash_and_n_0(cell: _Cell) -> None:
    table = _table(cell("fcsr-gan"), cell("pro-uigan"), cell("pro-uigan", dataset="extra", psnr=[30.0]))
    assert table[("extra", "n")].tolist() == [0, 1]
    assert table[("extra", "PSNR")].isna().tolist() == [True, False]
    assert "extra: n = 1 images" in table.attrs["caption"]


def test_a_metric_that_some_images_do_not_have_says_its_n(cell: _Cell) -> None:
    table = _table(cell("pro-uigan", psnr_masked=[15.0, np.nan]), metrics=("psnr", "psnr_masked"))
    assert markdown(table).splitlines()[0].endswith("| PSNR ↑ | PSNR masked ↑ | PSNR masked n | n |")
    assert markdown(table).splitlines()[2].endswith("| *20.500* | *15.000* | 1 | 2 |")


def test_many_pipelines_are_named_by_what_they_have_in_common(cell: _Cell) -> None:
    methods = ("bicubic", "fhc", "pulse")
    pairs = [cell(f"{name}+gfc", "SR+PA", mask_given="true") for name in methods]
    joint = [cell("fcsr-gan", mask_given="true"), cell("pro-uigan")]
    said = "Given the true mask of every face: all with GFC, FCSR-GAN. All others are given none."
    assert said in _table(*pairs, *joint).attrs["caption"]
    # One with GFC is given none: then the others have their names.
    named = "Given the true mask of every face: FHC + GFC, PULSE + GFC, FCSR-GAN."
    assert named in _table(cell("bicubic+gfc", "SR+PA"), *pairs[1:], *joint).attrs["caption"]


def test_who_learnt_elsewhere_is_said_once(cell: _Cell) -> None:
    cells = [cell(f"{name}+gfc", "SR+PA", trained_on="Helen") for name in ("bicubic", "fhc", "pulse")]
    joint = cell("pro-uigan", trained_on="Helen")
    assert "On demo, all that learn had learnt from Helen." in _table(*cells, joint).attrs["caption"]
    twice = _table(*cells, joint, joint.assign(trained_on="wild")).attrs["caption"]
    assert "On demo, all that learn had learnt from Helen; Pro-UIGAN from wild as well." in twice
    apart = _table(*cells, joint.assign(trained_on="demo")).attrs["caption"]
    assert "On demo, all with GFC had learnt from Helen." in apart


def test_how_numbers_were_computed_can_be_told_apart(cell: _Cell) -> None:
    attrs = _table(cell("pro-uigan")).attrs
    assert attrs["details"].startswith("Means over images; the CSV file holds")
    assert "PSNR on uint8 RGB" in attrs["details"]
    assert attrs["caption"].endswith(attrs["details"])
    assert "in bold" not in attrs["details"]


def test_few_images_are_said_to_be_few(cell: _Cell) -> None:
    said = "Means of fewer than 5 images are printed faint"
    assert said in _table(cell("pro-uigan", psnr=[1.0] * 4)).attrs["caption"]
    assert said not in _table(cell("pro-uigan", psnr=[1.0] * 5)).attrs["caption"]


def test_each_data_set_says_its_n_where_slices_make_the_columns(cell: _Cell) -> None:
    cells = [cell("pro-uigan", psnr=[1.0] * 6), cell("pro-uigan", mask_type="walk"), cell("fhc", "SR", "Helen", psnr=[1.0] * 3)]
    caption = _table(*cells, index=("dataset", "method"), across="mask_type").attrs["caption"]
    assert caption.startswith("Some faces (demo: n = 2 to 6 images; Helen: n = 3 images).")


def test_identical_images_make_the_mean_infinite(cell: _Cell) -> None:
    table = _table(cell("p", psnr=[20.0, math.inf]))
    assert table.iloc[0][("demo", "PSNR")] == math.inf
    assert "| *inf* |" in markdown(table)


def test_a_mask_that_is_estimated_makes_a_row_of_its_own_and_the_caption_says_who_was_given_one(cell: _Cell) -> None:
    assert "No method is given a mask." in _table(cell("pro-uigan")).attrs["caption"]
    cells = [cell("gfc+bicubic", "PA+SR", mask_given="true"), cell("pro-uigan")]
    caption = _table(*cells).attrs["caption"]
    assert "PA is face inpainting. Given the true mask of every face: GFC + Bicubic. All others are given none." in caption
    both = _table(*cells, cell("gfc+bicubic", "PA+SR", mask_given="estimated", psnr=[1.0]))
    assert [row[2] for row in both.index] == ["GFC + Bicubic", "GFC + Bicubic (mask estimated)", "Pro-UIGAN"]
    assert both[("demo", "PSNR")].tolist() == [20.5, 1, 20.5]
    assert "Given a mask estimated from the LR face: GFC + Bicubic." in both.attrs["caption"]


def test_the_caption_says_who_missed_its_aim_and_who_learnt_elsewhere_and_how_numbers_were_computed(cell: _Cell) -> None:
    searched = cell("pulse+gfc", "SR+PA", psnr=[1.0, 2.0, 3.0], missed=[1.0, 0.0, np.nan], mask_given="true")
    caption = _table(searched, cell("pro-uigan", trained_on="Helen"), cell("fcsr-gan", trained_on="demo")).attrs["caption"]
    assert "PULSE + GFC missed its aim on 1 of 2 faces." in caption
    assert "On demo, Pro-UIGAN had learnt from Helen." in caption
    assert "FCSR-GAN had learnt" not in caption
    assert "Gaussian" in caption
    other = _table(cell("pro-uigan"), contracts={"psnr": "PSNR of another kind."}).attrs["caption"]
    assert "PSNR of another kind. SSIM" in other


def test_models_that_learnt_from_several_others_are_told_apart(cell: _Cell) -> None:
    cells = [cell("fhc+gfc", "SR+PA", trained_on=source) for source in ("Helen", "CelebA-HQ")]
    assert [row[2] for row in _table(*cells).index] == ["FHC + GFC (trained on CelebA-HQ)", "FHC + GFC (trained on Helen)"]


def test_numbers_of_whole_sets_stand_beside_with_their_own_n(cell: _Cell) -> None:
    sets = pd.DataFrame(
        [("demo", "square", "joint", name, "", "", "frechet", value, 2) for name, value in (("pro-uigan", 3.25), ("x", 9.0))],
        columns=["dataset", "mask_type", "order", "pipeline", "trained_on", "mask_given", "metric", "value", "n"],
    )
    table = _table(cell("fcsr-gan"), cell("pro-uigan"), metrics=(), sets=sets)
    assert table.index.tolist() == [("square", "joint", "Pro-UIGAN")]
    assert table.iloc[0][[("demo", "Frechet"), ("demo", "Frechet n"), ("demo", "n")]].tolist() == [3.25, 2, 2]
