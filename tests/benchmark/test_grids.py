from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from occface import files
from occface.benchmark.annotated import LANDMARK_COLOURS, draw_heatmaps, draw_landmarks, draw_parsing, parsing_colours
from occface.benchmark.annotations import Seen
from occface.benchmark.grids import draw_grids
from occface.benchmark.paper import pipeline_title
from occface.benchmark.record import LIST, Record
from occface.benchmark.report import _short
from occface.benchmark.scores import ScoreRow, write_scores
from occface.errors import UsageError
from occface.faces.parsing import CLASSES_11
from occface.images import encode_png, read_image

_NUMBERS = (3, 8)
_ORDERS = {"hr": "reference", "bicubic": "SR", "gfc+bicubic": "PA+SR"}


def _picture(*what: object, side: int = 128) -> np.ndarray:
    """A picture of its own for every name: one colour, and a corner that is found again."""
    seed = int(files.sha256_json([str(part) for part in what])[:8], 16)
    picture = np.empty((side, side, 3), np.uint8)
    picture[:] = np.random.default_rng(seed).integers(0, 256, 3)
    picture[: side // 8, : side // 8] = np.random.default_rng(seed + 1).integers(0, 256, (side // 8, side // 8, 3))
    return picture


def _points(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(20, 108, (68, 2)).astype(np.float32)


class _Folder:
    """A benchmark's folder, made by hand."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.names: list[str] = []

    def add(
        self,
        pipeline: str,
        mask: str = "square",
        trained_on: str = "",
        dataset: str = "faces",
        seen: Mapping[str, np.ndarray] | None = None,
        stages: int = 1,
        needs: tuple[str, ...] = ("landmarks",),
        given: str = "",
    ) -> None:
        stem = files.safe_name("--".join([dataset, mask, pipeline, trained_on, given]))
        inputs = f"inputs-{dataset}--{mask}"
        faces: dict[str, Any] = {}
        for number in _NUMBERS:
            for kind, side in (("lr", 16), ("hr", 128)):
                files.write_bytes(
                    self.path / "restored" / inputs / f"{number:05d}.{kind}.png", encode_png(_picture(kind, number, side=side))
                )
            np.save(
                self.path / "restored" / inputs / f"{number:05d}.landmarks.npy",
                np.stack([_points(number), _points(-number % 97)]),
            )
            made = {f"{number:05d}.png": _picture(pipeline, trained_on, mask, number)}
            made |= {f"{number:05d}.stage-{stage}.png": _picture(stage, number, side=16 << stage) for stage in range(1, stages)}
            whole, *earlier = (encode_png(picture) for picture in made.values())
            for name, data in zip(made, (whole, *earlier), strict=True):
                files.write_bytes(self.path / "restored" / stem / name, data)
            faces[str(number)] = {
                "stages": stages,
                "sha256": files.sha256_bytes(whole),
                "sha256_earlier": [files.sha256_bytes(data) for data in earlier],
            }
        files.write_json(self.path / "restored" / stem / "faces.json", {"faces": faces})
        facts: dict[str, Any] = {
            "title": pipeline_title(pipeline, given),
            "shown": list(_NUMBERS),
            "restored": stem,
            "inputs": inputs,
            "stages": stages,
            "methods": {pipeline: {"needs": list(needs)}},
            "metrics": {"parsing": {"fingerprint": {"settings": {"classes": 11}}}},
            "seen": "",
        }
        if seen:
            Seen(_NUMBERS, seen).write(self.path / "scores" / f"{stem}.npz")
            facts["seen"] = f"{stem}.npz"
        rows = [
            ScoreRow(
                dataset=dataset, mask_type=mask, order=_ORDERS.get(pipeline, "joint"), pipeline=pipeline, trained_on=trained_on,
                mask_given=given, image=f"{number}", index=number, scores={"psnr": 30.0 - number},
            )
            for number in _NUMBERS
        ]  # fmt: skip
        write_scores(self.path / "scores" / f"{stem}.csv", rows, ["psnr"], facts)
        self.names.append(f"{stem}.csv")

    def captions(self) -> dict[str, dict[str, Path]]:
        files.write_json(self.path / "scores" / LIST, {"scores": self.names, "efficiency": []})
        return draw_grids(Record(self.path))

    def draw(self) -> dict[str, np.ndarray]:
        return {path.name: read_image(path) for found in self.captions().values() for path in found.values()}


@pytest.fixture
def folder(tmp_path: Path) -> _Folder:
    return _Folder(tmp_path)


def _places(canvas: np.ndarray, picture: np.ndarray) -> Iterator[tuple[int, int]]:
    """Yield each (y, x) at which a picture stands in the canvas, pixel for pixel."""
    side = len(picture)
    for y, x in np.argwhere((canvas == picture[0, 0]).all(axis=2)).tolist():
        if np.array_equal(canvas[y : y + side, x : x + side], picture):
            yield y, x


def _holds(canvas: np.ndarray, picture: np.ndarray) -> bool:
    return any(True for _ in _places(canvas, picture))


def _find(canvas: np.ndarray, picture: np.ndarray) -> tuple[int, int]:
    place = next(_places(canvas, picture), None)
    assert place is not None, "the picture is not in the grid"
    return place


def test_methods_stand_between_what_was_given_and_the_truth_which_stands_there_once(folder: _Folder) -> None:
    for pipeline in ("hr", "bicubic", "gfc+bicubic"):
        folder.add(pipeline)
    drawn = folder.draw()
    assert list(drawn) == ["comparison_faces_square.png"]
    grid = drawn["comparison_faces_square.png"]
    for number in _NUMBERS:
        lr = np.kron(_picture("lr", number, side=16), np.ones((8, 8, 1), np.uint8))
        row = [lr, _picture("bicubic", "", "square", number), _picture("gfc+bicubic", "", "square", number)]
        places = [_find(grid, picture) for picture in (*row, _picture("hr", number))]
        assert places == sorted(places, key=lambda place: place[1])
        assert len({y for y, _ in places}) == 1
    assert not _holds(grid, _picture("hr", "", "square", 3))
    assert (grid[40:, :28] < 140).any()  # the label of the row


def test_retrained_variants_have_a_figure_of_their_own(folder: _Folder) -> None:
    for pipeline in ("bicubic", "pro-uigan", "pro-uigan:l-minus"):
        folder.add(pipeline, needs=())
    drawn = folder.draw()
    assert list(drawn) == ["comparison_faces_square.png", "variants_faces_square.png", "worst_faces_square.png"]
    variant = _picture("pro-uigan:l-minus", "", "square", 3)
    assert not _holds(drawn["comparison_faces_square.png"], variant)
    assert _holds(drawn["variants_faces_square.png"], variant)
    assert _holds(drawn["variants_faces_square.png"], _picture("pro-uigan", "", "square", 3))
    assert not _holds(drawn["variants_faces_square.png"], _picture("bicubic", "", "square", 3))


def test_the_models_of_the_common_training_are_shown_as_in_the_tables(folder: _Folder) -> None:
    folder.add("pro-uigan", trained_on="faces", stages=3)
    folder.add("pro-uigan", trained_on="others", stages=3)
    folder.add("pro-uigan:l-minus", trained_on="faces")
    grid = folder.draw()["comparison_faces_square.png"]  # its own, as many having learnt from each
    assert _holds(grid, _picture("pro-uigan", "faces", "square", 3))
    assert not _holds(grid, _picture("pro-uigan", "others", "square", 3))
    folder.add("fcsr-gan", trained_on="others")
    drawn = folder.draw()
    assert list(drawn) == [
        "comparison_faces_square.png",
        "variants_faces_square.png",
        "stages_faces_square_pro-uigan_trained-on-others.png",
        "worst_faces_square_trained-on-others.png",
    ]
    for name in ("comparison_faces_square.png", "stages_faces_square_pro-uigan_trained-on-others.png"):
        assert _holds(drawn[name], _picture("pro-uigan", "others", "square", 3))
        assert not _holds(drawn[name], _picture("pro-uigan", "faces", "square", 3))
    assert _holds(drawn["comparison_faces_square.png"], _picture("fcsr-gan", "others", "square", 3))
    # The variants learnt from the data set itself, and so did what they are held against.
    assert _holds(drawn["variants_faces_square.png"], _picture("pro-uigan", "faces", "square", 3))


def test_several_models_of_a_method_have_figures_and_captions_of_their_own(folder: _Folder) -> None:
    """As many pipelines learnt from one other data set as from another: all are shown."""
    for source in ("near", "far"):
        folder.add("pro-uigan", trained_on=source, stages=3)
    folder.add("pro-uigan", trained_on="near", stages=3, given="estimated")
    (found,) = folder.captions().values()
    names = [path.name for path in found.values()]
    ends = ("trained-on-near", "trained-on-far", "trained-on-near_mask-estimated")
    for figure in ("stages_faces_square_pro-uigan", "worst_faces_square"):
        assert {f"{figure}_{end}.png" for end in ends} <= set(names)
    assert len(set(names)) == len(names) == 7
    contents = [_short(caption) for caption in found]
    assert len(set(contents)) == len(contents)
    assert "Fig. 9: faces, square masks, Pro-UIGAN (trained on far)" in contents
    for end, source in zip(ends[:2], ("near", "far"), strict=True):
        for figure, enlarged in (("stages_faces_square_pro-uigan", 1), ("worst_faces_square", 2)):
            grid = read_image(folder.path / "figures" / f"{figure}_{end}.png")
            picture = _picture("pro-uigan", source, "square", 3)
            assert _holds(grid, picture.repeat(enlarged, 0).repeat(enlarged, 1))


def test_figures_stand_under_their_data_set_and_none_is_drawn_over_another(folder: _Folder) -> None:
    folder.add("bicubic", dataset="a")
    folder.add("bicubic", dataset="b")
    assert {name: [path.name for path in found.values()] for name, found in folder.captions().items()} == {
        "a": ["comparison_a_square.png"],
        "b": ["comparison_b_square.png"],
    }
    folder.add("bicubic", mask="left_half", dataset="c")
    folder.add("bicubic", mask="half_c", dataset="a_left")
    folder.add("bicubic", mask="left_half_c", dataset="a")
    with pytest.raises(UsageError, match=r"comparison_a_left_half_c\.png \(.*\) would be drawn twice; give data sets"):
        folder.captions()


def test_landmarks_are_drawn_on_the_results_they_were_found_in(folder: _Folder) -> None:
    points = {name: np.stack([_points(place), _points(place + 50)]) for place, name in enumerate(("hr", "bicubic"))}
    for name, found in points.items():
        folder.add(name, seen={"landmarks": found, "nrmse_outer_eyes": np.array([4.5, np.nan])})
    folder.add("gfc+bicubic")
    drawn = folder.draw()
    assert list(drawn) == ["comparison_faces_square.png", "landmarks_faces_square.png"]
    grid = drawn["landmarks_faces_square.png"]
    places = {}
    for name, found in points.items():
        for face, number in enumerate(_NUMBERS):
            expected = draw_landmarks(_picture(name, "", "square", number), found[face], 2)
            places[name, number] = _find(grid, expected)
    assert places["bicubic", 3][1] < places["hr", 3][1]  # the truth stands last
    y, x = places["bicubic", 3]
    assert (grid[y + 256 : y + 276, x : x + 256] < 140).any()  # its NRMSE is written below
    y, x = places["bicubic", 8]
    assert (grid[y + 256 : y + 276, x : x + 256] == 255).all()  # that of the other one is not known
    for colour in LANDMARK_COLOURS.values():
        assert (grid[-40:] == colour).all(axis=2).sum() > 100
    assert not _holds(grid, _picture("gfc+bicubic", "", "square", 3).repeat(2, 0).repeat(2, 1))


def test_without_a_reference_the_true_face_stands_plain(folder: _Folder) -> None:
    folder.add("bicubic", seen={"landmarks": np.stack([_points(0), _points(1)])})
    grid = folder.draw()["landmarks_faces_square.png"]
    assert _holds(grid, _picture("hr", 3).repeat(2, 0).repeat(2, 1))


def test_parts_are_drawn_on_the_results_they_were_found_in(folder: _Folder) -> None:
    labels = np.random.default_rng(0).integers(0, 11, (2, 8, 8), dtype=np.uint8).repeat(16, 1).repeat(16, 2)
    folder.add("bicubic", seen={"parsing": labels, "iou": np.array([0.5, 0.25])})
    grid = folder.draw()["parsing_faces_square.png"]
    for face, number in enumerate(_NUMBERS):
        expected = draw_parsing(_picture("bicubic", "", "square", number), labels[face], CLASSES_11, 1)
        assert _holds(grid, expected)
    for colour in parsing_colours(CLASSES_11).values():
        assert (grid[-60:] == colour).all(axis=2).sum() > 100


def test_heatmaps_stand_beside_the_stage_they_are_of(folder: _Folder) -> None:
    heat = {
        f"heatmaps_{stage}": np.random.default_rng(stage).integers(0, 256, (2, 8 << stage, 8 << stage)) for stage in (1, 2, 3)
    }
    folder.add("pro-uigan", stages=3, seen={name: maps.astype(np.uint8) for name, maps in heat.items()})
    grid = folder.draw()["stages_faces_square_pro-uigan.png"]
    made = [_picture(1, 8, side=32), _picture(2, 8, side=64), _picture("pro-uigan", "", "square", 8)]
    places = []
    for stage, picture in enumerate(made, 1):
        places.append(_find(grid, np.kron(picture, np.ones((128 // len(picture),) * 2 + (1,), np.uint8))))
        places.append(_find(grid, draw_heatmaps(picture, heat[f"heatmaps_{stage}"][1][None] / 255, 1)))
    assert [x for _, x in places] == [places[0][1] + 132 * place for place in range(6)]
    assert len({y for y, _ in places}) == 1


def test_the_worst_come_first_with_the_landmarks_that_were_given(folder: _Folder) -> None:
    folder.add("pro-uigan")
    grid = folder.draw()["worst_faces_square.png"]
    given = [_find(grid, draw_landmarks(_picture("lr", number, side=16), _points(number), 2)) for number in _NUMBERS]
    true = [_find(grid, draw_landmarks(_picture("hr", number), _points(-number % 97), 2)) for number in _NUMBERS]
    assert given[1][0] < given[0][0]  # face 8 has 22 dB, face 3 has 27 dB
    assert [place[0] for place in given] == [place[0] for place in true]


def test_landmarks_that_a_method_was_not_given_are_not_drawn(folder: _Folder) -> None:
    folder.add("pro-uigan", needs=())
    grid = folder.draw()["worst_faces_square.png"]
    assert not _holds(grid, draw_landmarks(_picture("lr", 8, side=16), _points(8), 2))
    assert _holds(grid, _picture("hr", 8).repeat(2, 0).repeat(2, 1))


def test_faces_under_growing_masks_stand_below_each_other(folder: _Folder) -> None:
    for mask in ("square-32", "square-16"):
        for pipeline in ("hr", "bicubic"):
            folder.add(pipeline, mask)
    drawn = folder.draw()
    assert list(drawn) == ["mask_size_faces.png"]
    tops = [_find(drawn["mask_size_faces.png"], _picture("bicubic", "", f"square-{side}", 3)) for side in (16, 32)]
    assert tops[0][0] < tops[1][0]
