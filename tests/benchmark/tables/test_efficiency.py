from __future__ import annotations

from collections.abc import Callable

import pandas as pd
import pytest

from occface.benchmark.tables import TABLES, Frames, best_cells, markdown

_Cell = Callable[..., pd.DataFrame]


@pytest.fixture
def efficiency() -> pd.DataFrame:
    rows = [
        ("pro-uigan", "joint", "own network", 10_564_440, 41529.0, 47.7e9, 34.21, 40.0),
        ("fhc+gfc", "SR+PA", "own network", 18_000_000, 71705.0, 9e9, 289.12, 300.0),
        ("fhc+gfc", "SR+PA", "with GFC", 155_000_000, 607140.0, 12e9, 289.12, 300.0),
        ("gfc+bicubic", "PA+SR", "own network", 0, 0.0, 0.0, 80.0, 90.0),
        ("gfc+bicubic", "PA+SR", "with GFC", 137_000_000, 535435.0, 3e9, 80.0, 90.0),
    ]
    names = ["pipeline", "order", "counted", "parameters", "size_kb", "macs", "median_ms", "p90_ms"]
    frame = pd.DataFrame(rows, columns=names)
    return frame.assign(runs=50, peak_memory_mb=123.45, device="Some GPU", precision="float32")


def test_every_pipeline_stands_beside_its_psnr(cell: _Cell, efficiency: pd.DataFrame) -> None:
    scores = pd.concat(
        [
            cell("pro-uigan", dataset="CelebA-HQ", psnr=[25.0, 26.0] * 3),
            cell("fhc+gfc", "SR+PA", "CelebA-HQ", psnr=[16.0, 17.0] * 3, mask_given="true"),
            cell("fhc+gfc", "SR+PA", "CelebA-HQ", psnr=[1.0, 2.0], mask_given="estimated"),
            cell("pro-uigan", dataset="CelebA-HQ", mask_type="irregular", psnr=[3.0, 4.0]),
            cell("pro-uigan", dataset="another", psnr=[5.0, 6.0]),
        ]
    )
    table = TABLES["4"].build(Frames(scores.iloc[::-1], efficiency=efficiency))
    assert table is not None
    assert table.index.tolist() == [("SR+PA", "FHC + GFC"), ("PA+SR", "GFC + Bicubic"), ("joint", "Pro-UIGAN")]
    assert table[("CelebA-HQ", "PSNR")].dropna().tolist() == [16.5, 25.5]
    assert table[("CelebA-HQ", "n")].tolist() == [6, 0, 6]
    row = table.loc[("joint", "Pro-UIGAN")]
    assert row[[("size", "parameters (M)"), ("size", "GMAC")]].tolist() == pytest.approx([10.56444, 47.7])
    # Without helpers everything is a pipeline's own; and what has no network of its own is not the smallest.
    assert table[("size", "KB")].dropna().tolist() == [71705, 41529]
    assert table[("with GFC", "KB")].tolist() == [607140, 535435, 41529]
    assert markdown(table).splitlines()[4] == (
        "| joint | Pro-UIGAN | given | **41529** | **10.564** | 47.70 | **41529** | **10.564** | 47.70 | **34.2** | **40.0** | "
        "50 | **123.5** | **25.500** | 6 |"
    )
    assert best_cells(table)[("size", "GMAC")].tolist() == [True, False, False]
    assert "GFC in 2 of 3 rows and FAN in none of the rows." in table.attrs["caption"]
    assert "oisy" not in table.attrs["caption"]
    assert table[("networks", "landmarks")].tolist() == ["", "", "given"]
    for part in ("device: Some GPU; precision: float32", "PSNR is that of CelebA-HQ, square masks.", "batch 1"):
        assert part in table.attrs["caption"]


def test_several_devices_are_rows(efficiency: pd.DataFrame) -> None:
    both = pd.concat([efficiency, efficiency.assign(device="Some CPU", median_ms=1000.0)])
    table = TABLES["4"].build(Frames(pd.DataFrame(), efficiency=both))
    assert table is not None
    assert table.index.names == ["device", "order", "method"]
    assert table.columns.unique(0).tolist() == ["networks", "size", "with GFC", "time", "memory"]
    assert "precision: float32" in table.attrs["caption"]


def test_noisy_times_are_marked_and_are_not_the_best(efficiency: pd.DataFrame) -> None:
    noisy = efficiency.assign(noisy=[1, 0, 0, 0, 0])
    table = TABLES["4"].build(Frames(pd.DataFrame(), efficiency=noisy))
    assert table is not None
    assert table[("time", "noisy")].tolist() == ["", "", "noisy"]
    best = best_cells(table)
    assert best[("time", "median ms")].tolist() == [False, True, False]  # 34.2 ms were measured beside other work
    assert best[("with GFC", "KB")].tolist() == [False, False, True]
    assert "Noisy: a tenth of the runs took more than 1.5 times the median" in table.attrs["caption"]
    quiet = TABLES["4"].build(Frames(pd.DataFrame(), efficiency=efficiency.assign(noisy=0)))
    assert quiet is not None
    assert ("time", "noisy") not in quiet.columns


def test_presets_are_shown_where_they_are_known(efficiency: pd.DataFrame) -> None:
    table = TABLES["4"].build(Frames(pd.DataFrame(), efficiency=efficiency.assign(preset=["cpu", "cpu", "cpu", "", ""])))
    assert table is not None
    assert table[("networks", "preset")].tolist() == ["cpu", "–", "cpu"]  # noqa: RUF001 - an en dash is meant
    assert "widths of our own" in table.attrs["caption"]
    for presets in ("paper", ""):
        table = TABLES["4"].build(Frames(pd.DataFrame(), efficiency=efficiency.assign(preset=presets)))
        assert table is not None
        assert (("networks", "preset") in table.columns) == bool(presets)
        assert "widths of our own" not in table.attrs["caption"]


def test_nothing_measured_makes_no_table(cell: _Cell) -> None:
    assert TABLES["4"].build(Frames(cell("pro-uigan"))) is None
