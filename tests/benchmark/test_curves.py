from __future__ import annotations

import xml.etree.ElementTree
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.figure import Figure

from occface.benchmark import curves, plotting
from occface.benchmark.paper import pipeline_title

_EXPRESSIONS = ("neutral", "smile", "scream")


def _scores(*masks: str, faces: int = 6, dataset: str = "demo", **columns: Any) -> pd.DataFrame:
    """Return rows of four pipelines by the contract; PSNR is 10 x number of the pipeline + place of the mask + face / 10."""
    pipelines = (("SR", "bicubic", ""), ("SR+PA", "fhc+gfc", "true"), ("PA+SR", "gfc+fhc", "true"), ("joint", "pro-uigan", ""))
    rows = [
        {
            "dataset": dataset,
            "mask_type": mask,
            "order": order,
            "pipeline": pipeline,
            "trained_on": "" if pipeline == "bicubic" else dataset,
            "mask_given": given,
            "image": f"{face}.png",
            "index": face,
            "identity": "",
            "expression": "",
            "pose": "",
            "hole_area": 0.05 + 0.1 * face,
            "error": "",
            "psnr": 10.0 * (place + 1) + number + face / 10,
        }
        for number, mask in enumerate(masks)
        for place, (order, pipeline, given) in enumerate(pipelines)
        for face in range(faces)
    ]
    return pd.DataFrame(rows).assign(**columns)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that were drawn, instead of files."""
    figures: list[Figure] = []

    def keep(figure: Figure, path: Path, title: str) -> Path:
        figures.append(figure)
        return path

    monkeypatch.setattr(plotting, "save", keep)
    return figures


def _panels(figure: Figure) -> dict[str, Any]:
    return {axis.get_title(loc="left") or axis.get_title(): axis for axis in figure.axes}


def _solid(axis: Any) -> list[tuple[str, list[float]]]:
    return [
        (line.get_linestyle(), np.round(line.get_ydata(), 6).tolist()) for line in axis.lines if line.get_linestyle() != ":"
    ]


_SIZES = ("square_16", "square_32", "square_64")


def test_lines_are_the_means_of_each_mask_size(drawn: list[Figure]) -> None:
    scores = _scores(*_SIZES, "irregular")
    curves.quality_by_mask_size(scores, "psnr", "a.svg")
    panels = _panels(drawn[0])
    assert list(panels) == ["demo: SR+PA", "demo: PA+SR", "demo: joint"]
    for panel, pipeline in zip(panels.values(), ("fhc+gfc", "gfc+fhc", "pro-uigan"), strict=True):
        expected = []
        for mask in _SIZES:
            values = [row.psnr for row in scores.itertuples() if row.pipeline == pipeline and row.mask_type == mask]
            expected.append(round(sum(values) / len(values), 6))
        assert _solid(panel) == [("-", expected)]
        # Plain bicubic is dotted in every panel.
        dotted = [line.get_ydata().tolist() for line in panel.lines if line.get_linestyle() == ":"]
        assert dotted == [pytest.approx([10.25, 11.25, 12.25])]
        (band,) = panel.collections
        heights = band.get_paths()[0].vertices[:, 1]
        assert expected[0] - 0.25 <= heights.min() < expected[0] < expected[-1] < heights.max() <= expected[-1] + 0.25
    ticks = [label.get_text() for label in panels["demo: joint"].get_xticklabels()]
    assert ticks == ["m1\n16 px\nn = 6", "m2\n32 px\nn = 6", "m3\n64 px\nn = 6"]
    assert panels["demo: SR+PA"].get_ylabel() == "PSNR (dB)"


def test_names_of_sizes_may_have_a_hyphen(drawn: list[Figure]) -> None:
    curves.quality_by_mask_size(_scores("square-16", "square-64"), "psnr", "a.svg")
    assert _solid(_panels(drawn[0])["demo: joint"]) == [("-", [40.25, 41.25])]


def test_failures_references_variants_and_foreign_trainings_are_in_no_line(drawn: list[Figure]) -> None:
    scores = _scores(*_SIZES)
    joint = scores[scores["order"] == "joint"]
    wrong = [
        joint.assign(error="broken", psnr=np.nan),
        joint.assign(psnr=99.0, trained_on="other"),
        joint.assign(pipeline="pro-uigan:l-star", psnr=77.0),
        joint.assign(order="reference", pipeline="hr", psnr=np.inf, trained_on=""),
    ]
    curves.quality_by_mask_size(pd.concat([scores, *wrong]), "psnr", "a.svg")
    assert list(_panels(drawn[0])) == ["demo: SR+PA", "demo: PA+SR", "demo: joint"]
    assert _solid(_panels(drawn[0])["demo: joint"]) == [("-", [40.25, 41.25, 42.25])]


def test_a_training_on_other_data_is_drawn_where_there_is_no_own(drawn: list[Figure]) -> None:
    curves.quality_by_mask_size(_scores(*_SIZES).assign(trained_on="other"), "psnr", "a.svg")
    assert _solid(_panels(drawn[0])["demo: joint"]) == [("-", [40.25, 41.25, 42.25])]


def test_of_several_models_from_elsewhere_one_is_drawn(drawn: list[Figure]) -> None:
    scores = _scores(*_SIZES)
    joint = scores[scores["order"] == "joint"]
    others = [joint.assign(trained_on="other"), joint[joint["index"] > 0].assign(trained_on="more", psnr=99.0)]
    curves.quality_by_mask_size(pd.concat([scores[scores["order"] != "joint"], *others]), "psnr", "a.svg")
    assert _solid(_panels(drawn[0])["demo: joint"]) == [("-", [40.25, 41.25, 42.25])]


def test_estimated_masks_are_dashed(drawn: list[Figure]) -> None:
    scores = _scores(*_SIZES)
    estimated = scores[scores["order"] == "SR+PA"].assign(mask_given="estimated", psnr=5.0)
    curves.quality_by_mask_size(pd.concat([scores, estimated]), "psnr", "a.svg")
    assert _solid(_panels(drawn[0])["demo: SR+PA"]) == [("-", [20.25, 21.25, 22.25]), ("--", [5.0] * 3)]
    assert "mask estimated" in [text.get_text() for text in drawn[0].legends[0].get_texts()]


def test_a_missing_size_breaks_the_line_and_infinity_is_not_drawn(drawn: list[Figure]) -> None:
    scores = _scores(*_SIZES)
    joint = scores["order"] == "joint"
    scores = scores[~(joint & (scores["mask_type"] == "square_32"))]
    scores.loc[joint & (scores["mask_type"] == "square_64"), "psnr"] = np.inf
    curves.quality_by_mask_size(scores, "psnr", "a.svg")
    axis = _panels(drawn[0])["demo: joint"]
    assert np.array_equal(axis.lines[0].get_ydata(), [40.25, np.nan, np.nan], equal_nan=True)
    ticks = [label.get_text().splitlines()[-1] for label in axis.get_xticklabels()]
    assert ticks == ["n = 6", "n = 0", "n = 6"]


def test_hole_areas_fall_into_tenths_with_their_lower_end(drawn: list[Figure]) -> None:
    areas = [0.0999, 0.1, 0.1 + 0.2, 0.7 - 0.4, 0.95, 1.0]  # 0.30000000000000004 and 0.29999999999999993
    scores = _scores("irregular", "square")
    scores["hole_area"] = scores["index"].map(dict(enumerate(areas)))
    curves.quality_by_hole_area(scores, "psnr", "a.svg")
    axis = _panels(drawn[0])["demo: joint"]
    ticks = [label.get_text().splitlines() for label in axis.get_xticklabels()]
    assert [tick[1] for tick in ticks] == ["n = 1", "n = 1", "n = 2", "n = 2"]
    assert [tick[0][:2] for tick in ticks] == ["0–", "10", "30", "90"]  # noqa: RUF001 - an en dash is meant
    assert _solid(axis) == [("-", [40.0, 40.1, 40.25, 40.45])]


def test_poses_stand_in_the_order_of_their_angles(drawn: list[Figure]) -> None:
    scores = _scores("square")
    scores["pose"] = scores["index"].map(dict(enumerate(["15", "-90", "+1.8", "frontal", "", "-86.2"])))
    curves.quality_by_pose(scores, "psnr", "a.svg")
    axis = _panels(drawn[0])["demo, square: joint"]
    assert [label.get_text().splitlines()[0] for label in axis.get_xticklabels()] == ["-90", "0", "+15", "frontal"]
    assert _solid(axis) == [("-", [40.3, 40.2, 40.0, 40.3])]
    assert "nearest 15" in drawn[0].axes[0].get_xlabel()


def test_stages(drawn: list[Figure]) -> None:
    scores = _scores("square", "irregular")
    staged = (scores["pipeline"] == "pro-uigan").map({True: 1.0, False: np.nan})
    scores = scores.assign(**{f"psnr_stage_{number}": scores["psnr"] * staged - 3 + number for number in (1, 2, 3)})
    curves.stages(scores, "a.svg")
    panels = _panels(drawn[0])
    assert list(panels) == ["demo: irregular", "demo: square"]
    assert _solid(panels["demo: square"]) == [("-", [38.25, 39.25, 40.25])]
    assert _solid(panels["demo: irregular"]) == [("-", [39.25, 40.25, 41.25])]


def test_recognition_rates_against_loops(drawn: list[Figure]) -> None:
    rng = np.random.default_rng(0)
    scores = _scores("mouth", "eyes", "square")
    scores = scores.assign(identified=rng.integers(0, 2, len(scores)).astype(float), identity_cosine=rng.random(len(scores)))
    top = scores[scores["order"] == "SR"].assign(order="reference", pipeline="hr", identified=1.0, identity_cosine=1.0)
    scores = pd.concat([scores, top], ignore_index=True)
    curves.recognition(scores, "a.svg")
    left, right = drawn[0].axes
    lines = ["Bicubic", "FHC + GFC", "GFC + FHC", "Pro-UIGAN", "Ground-truth HR"]
    assert [label.get_text() for label in left.get_yticklabels()] == lines
    assert [text.get_text() for text in drawn[0].legends[0].get_texts()] == ["eyes", "mouth"]
    for axis, metric, factor in ((left, "identified", 100), (right, "identity_cosine", 1)):
        for container, mask in zip(axis.containers, ("eyes", "mouth"), strict=True):
            for value, pipeline in zip(
                container[0].get_xdata(), ("bicubic", "fhc+gfc", "gfc+fhc", "pro-uigan", "hr"), strict=True
            ):
                rows = [row for row in scores.to_dict("records") if (row["pipeline"], row["mask_type"]) == (pipeline, mask)]
                assert value == pytest.approx(factor * sum(row[metric] for row in rows) / len(rows))


def test_recognition_shows_all_masks_where_none_hides_a_part(drawn: list[Figure]) -> None:
    curves.recognition(_scores("square", "irregular", identified=1.0), "a.svg")
    assert [text.get_text() for text in drawn[0].legends[0].get_texts()] == ["irregular", "square"]
    assert len(drawn[0].axes) == 1


def test_confusion_against_loops(drawn: list[Figure]) -> None:
    rng = np.random.default_rng(1)
    scores = _scores("square", faces=30)
    scores["expression"] = scores["index"].map(lambda number: _EXPRESSIONS[number % 3])
    scores["expression_seen"] = [_EXPRESSIONS[number] for number in rng.integers(0, 3, len(scores))]
    scores.loc[scores["index"] == 29, "expression_seen"] = ""
    curves.confusion(scores, "a.svg", ["pro-uigan", "absent", "bicubic"])
    names = sorted(_EXPRESSIONS)
    assert len(drawn[0].axes) == 2
    assert drawn[0].axes[0].get_ylabel() == "demo, square\ntrue"
    for axis, pipeline, title in zip(drawn[0].axes, ("pro-uigan", "bicubic"), ("Pro-UIGAN", "Bicubic"), strict=True):
        rows = [row for row in scores.itertuples() if row.pipeline == pipeline and row.expression_seen]
        right = sum(row.expression == row.expression_seen for row in rows)
        assert axis.get_title() == f"{title}\n{100 * right / 29:.1f} % right, n = 29"
        shares = np.asarray(axis.images[0].get_array())
        texts = {text.get_position(): text.get_text() for text in axis.texts}
        for true, seen in np.ndindex(3, 3):
            of_true = [row for row in rows if row.expression == names[true]]
            number = sum(row.expression_seen == names[seen] for row in of_true)
            assert shares[true, seen] == pytest.approx(number / len(of_true))
            assert texts[(seen, true)] == (f"{number}\n{100 * number / len(of_true):.0f} %" if number else "0")


def _efficiency(**columns: Any) -> pd.DataFrame:
    rows = [("bicubic", "SR", "alone", 0, 0.0, 2.0), ("pro-uigan", "joint", "with FAN", 9, 900.0, 50.0)]
    rows.append(("pro-uigan", "joint", "without FAN", 4, 400.0, 50.0))
    frame = pd.DataFrame(rows, columns=["pipeline", "order", "counted", "parameters", "size_kb", "median_ms"])
    return frame.assign(device="CPU", precision="float32", **columns)


def test_efficiency_draws_what_a_pipeline_needs_in_all(drawn: list[Figure]) -> None:
    curves.efficiency(_efficiency(), _scores("square"), "a.svg")
    (axis,) = drawn[0].axes
    circles = [collection for collection in axis.collections if isinstance(collection, PathCollection)]
    assert [circle.get_offsets().tolist()[0] for circle in circles] == [
        [50.0, pytest.approx(40.25)],
        [2.0, pytest.approx(10.25)],
    ]
    assert circles[0].get_sizes()[0] > 100 > circles[1].get_sizes()[0]
    assert {text.get_text() for text in axis.texts} == {"Pro-UIGAN (900 KB)", "Bicubic (no weights)"}


def test_circles_that_lie_over_each_other_can_be_told_apart(drawn: list[Figure]) -> None:
    """The larger one is below, none is filled so that it hides another, and each has a line of its hue to its name."""
    curves.efficiency(_efficiency(median_ms=5.0), _scores("square", psnr=20.0), "a.svg")
    (axis,) = drawn[0].axes
    circles = [collection for collection in axis.collections if isinstance(collection, PathCollection)]
    small, large = sorted(circles, key=lambda circle: circle.get_sizes()[0])
    assert large.get_zorder() < small.get_zorder()
    assert {circle.get_facecolor()[0, 3] < 0.3 for circle in circles} == {True}
    assert {circle.get_edgecolor()[0, 3] for circle in circles} == {1.0}
    (leaders,) = [collection for collection in axis.collections if isinstance(collection, LineCollection)]
    assert np.array_equal(leaders.get_colors()[:, :3], [circle.get_edgecolor()[0, :3] for circle in circles])


def test_a_data_set_with_one_circle_has_no_panel_beside_others(drawn: list[Figure]) -> None:
    lonely = _scores("square", dataset="other").query("pipeline == 'pro-uigan'")
    curves.efficiency(_efficiency(), pd.concat([_scores("square", "irregular", "half"), lonely]), "a.svg")
    panels = _panels(drawn[0])
    assert [title for title in panels if "other" in title] == []
    assert [axis.axison for axis in drawn[0].axes] == [True, True, True, False]


def test_a_figure_is_laid_out_so_that_nothing_is_cut(tmp_path: Path) -> None:
    scores = _scores("square", faces=30, expression="smile", expression_seen="smile")
    figures: list[Figure] = []
    made = Figure.savefig

    def keep(figure: Figure, *args: Any, **options: Any) -> None:
        figures.append(figure)
        made(figure, *args, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", keep)
        curves.confusion(scores, tmp_path / "a.svg", ["bicubic", "fhc+gfc", "gfc+fhc", "pro-uigan"])
    (figure,) = figures
    for axis in figure.axes:
        box = axis.get_tightbbox()
        assert box.y0 >= 0
        assert box.y1 <= figure.bbox.y1
        assert box.x1 <= figure.bbox.x1


def test_noisy_times_say_so(drawn: list[Figure]) -> None:
    costs = _efficiency()
    curves.efficiency(costs.assign(noisy=(costs["pipeline"] == "pro-uigan").astype(int)), _scores("square"), "a.svg")
    noisy = {text.get_text().partition(" (")[0]: "; noisy time)" in text.get_text() for text in drawn[0].axes[0].texts}
    assert noisy == {pipeline_title(name): name == "pro-uigan" for name in costs["pipeline"].unique()}


def test_means_of_few_faces_have_hollow_markers(drawn: list[Figure]) -> None:
    areas = [0.05, 0.05, 0.05, 0.05, 0.05, 0.15]  # five faces in the first tenth, one in the second
    scores = _scores("irregular", "square")
    scores["hole_area"] = scores["index"].map(dict(enumerate(areas)))
    curves.quality_by_hole_area(scores, "psnr", "a.svg")
    axis = _panels(drawn[0])["demo: joint"]
    (hollow,) = [found for found in axis.collections if isinstance(found, PathCollection)]
    assert np.asarray(hollow.get_offsets()).round(6).tolist() == [[1.0, 40.5]]
    assert hollow.get_facecolor().size == 0
    assert [line.get_markevery() for line in axis.lines if line.get_linestyle() == "-"] == [[0]]
    assert "fewer than 5 faces" in [text.get_text() for text in drawn[0].legends[0].get_texts()]
    curves.quality_by_mask_size(_scores(*_SIZES, faces=5), "psnr", "a.svg")
    assert "fewer than 5 faces" not in [text.get_text() for text in drawn[1].legends[0].get_texts()]


def test_names_beside_circles_never_overlap(drawn: list[Figure]) -> None:
    count = 25
    names = [f"method-{number}" for number in range(count)]
    part = _scores("square", faces=1).query("order == 'joint'")
    scores = pd.concat([part.assign(pipeline=name, psnr=20 + (number > 20)) for number, name in enumerate(names)])
    costs = pd.concat([_efficiency().iloc[[1]].assign(pipeline=name) for name in names])
    curves.efficiency(costs, scores, "a.svg")
    heights = sorted(text.get_position()[1] for text in drawn[0].axes[0].texts)
    assert len(heights) == count
    assert 0 < heights[0] < heights[-1] < 1
    assert np.diff(heights).min() > 0.9 / count


_EMPTY: dict[str, Callable[[Path], Path | None]] = {
    "one size": lambda path: curves.quality_by_mask_size(_scores("square_16", "square"), "psnr", path),
    "no such metric": lambda path: curves.quality_by_mask_size(_scores(*_SIZES), "ssim", path),
    "all failed": lambda path: curves.quality_by_mask_size(_scores(*_SIZES, error="broken", psnr=np.nan), "psnr", path),
    "no irregular masks": lambda path: curves.quality_by_hole_area(_scores("square"), "psnr", path),
    "one bin": lambda path: curves.quality_by_hole_area(_scores("irregular", hole_area=0.25), "psnr", path),
    "no poses": lambda path: curves.quality_by_pose(_scores("square"), "psnr", path),
    "no stages": lambda path: curves.stages(_scores("square"), path),
    "empty stages": lambda path: curves.stages(_scores("square", psnr_stage_1=np.nan), path),
    "no identities": lambda path: curves.recognition(_scores("eyes", identified=np.nan), path),
    "no expressions": lambda path: curves.confusion(_scores("square"), path, ["bicubic"]),
    "none seen": lambda path: curves.confusion(_scores("square", expression="a", expression_seen=""), path, ["bicubic"]),
    "no such pipeline": lambda path: curves.confusion(_scores("square", expression="a", expression_seen="a"), path, ["hr"]),
    "no times": lambda path: curves.efficiency(_efficiency(median_ms=np.nan), _scores("square"), path),
    "no costs": lambda path: curves.efficiency(_efficiency().iloc[:0], _scores("square"), path),
    "no rows": lambda path: curves.quality_by_mask_size(_scores(*_SIZES).iloc[:0], "psnr", path),
}


@pytest.mark.parametrize("name", _EMPTY)
def test_without_rows_there_is_no_figure(tmp_path: Path, name: str) -> None:
    assert _EMPTY[name](tmp_path / "a.svg") is None
    assert list(tmp_path.iterdir()) == []


def test_equal_frames_give_equal_bytes_without_a_date(tmp_path: Path) -> None:
    first, second = (curves.quality_by_mask_size(_scores(*_SIZES), "psnr", tmp_path / name) for name in ("a.svg", "b.svg"))
    assert first is not None
    assert second is not None
    assert first.read_bytes() == second.read_bytes()
    root = xml.etree.ElementTree.parse(first).getroot()
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    text = first.read_text()
    assert "dc:date" not in text
    assert "<text" not in text  # letters are outlines: no font is needed


def test_series_look_different_and_known_methods_always_the_same() -> None:
    known = [("fhc", "gfc"), ("pro-uigan", ""), ("bicubic", ""), ("bicubic", "gfc")]
    unknown = [(f"method-{number}", "") for number in range(40)] + [("fhc", "other")]
    few, many = plotting.looks(known), plotting.looks([*unknown, *known])
    assert all(many[one] == few[one] for one in known)
    assert many[("bicubic", "")] == many[("bicubic", "gfc")]
    assert len(set(many.values())) == len(many) - 1
