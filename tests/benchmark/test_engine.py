from typing import ClassVar

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio

from occface.benchmark import engine, restorations, units
from occface.benchmark.engine import run_benchmark
from occface.benchmark.scores import load_scores
from occface.dataset.reader import FacePairs, collate
from occface.errors import UsageError
from occface.images import read_image, to_uint8
from occface.methods import METHODS
from occface.methods.base import Method
from occface.methods.bicubic import Bicubic
from occface.methods.gfc import GFC
from occface.methods.weights import save_weights
from occface.occlusion.cells import cell_mask
from occface.occlusion.estimate import estimate_mask, flat_fill

PIPELINES = ["bicubic"]


@pytest.fixture
def recipe(dataset_path):
    return {"datasets": {"faces": str(dataset_path)}, "pipelines": PIPELINES}


def test_scores_table_grid_and_report_are_written(tmp_path, recipe, dataset):
    done = run_benchmark(recipe, tmp_path, device="cpu")
    scores = load_scores(tmp_path / "scores")
    assert len(scores) == 2 * 2
    assert set(scores["mask_type"]) == {"irregular", "square"}
    row = scores[(scores["mask_type"] == "square") & (scores["index"] == 1)].iloc[0]
    face = dataset.record("test", 1, ["hr", "occluded/square/lr", "occluded/square/mask"])
    lr = torch.from_numpy(face["occluded/square/lr"]).permute(2, 0, 1)[None].float() / 127.5 - 1
    made = to_uint8(Bicubic.build("paper").hallucinate({"lr": lr}))
    assert row["psnr"] == pytest.approx(peak_signal_noise_ratio(face["hr"], made[0]), abs=1e-6)
    assert row["hole_area"] == pytest.approx(face["occluded/square/mask"].mean())
    assert done.table.loc[("square", "SR", "Bicubic"), ("faces", "PSNR")] == pytest.approx(
        scores[scores["mask_type"] == "square"]["psnr"].mean()
    )
    assert done.table.loc[("square", "SR", "Bicubic"), ("faces", "n")] == 2
    assert "data:image/png;base64," in done.report.read_text(encoding="utf-8")
    assert (tmp_path / "tables" / "table_1.tex").exists()
    assert (tmp_path / "figures" / "comparison.png").exists()


def test_what_is_scored_is_not_scored_again(tmp_path, recipe, monkeypatch):
    first = run_benchmark(recipe, tmp_path, device="cpu")
    asked = []
    score = engine._score
    monkeypatch.setattr(engine, "_score", lambda unit, *rest: asked.append(unit.mask) or score(unit, *rest))
    again = run_benchmark(recipe, tmp_path, device="cpu")
    assert asked == []
    assert again.table.equals(first.table)
    next((tmp_path / "scores").glob("faces_square_bicubic_*.csv")).unlink()
    assert run_benchmark(recipe, tmp_path, device="cpu").table.equals(first.table)
    assert asked == ["square"]
    run_benchmark(recipe, tmp_path, device="cpu", limit=1)
    assert asked == ["square", "irregular", "square"]


def test_changed_scores_are_not_taken_for_ours(tmp_path, recipe):
    first = run_benchmark(recipe, tmp_path, device="cpu")
    path = next((tmp_path / "scores").glob("faces_square_bicubic_*.csv"))
    text = path.read_text()
    psnr = load_scores(tmp_path / "scores")["psnr"].iloc[-1]
    changed = text.replace(repr(float(psnr)), "99.0")
    assert changed != text
    path.write_text(changed)
    assert run_benchmark(recipe, tmp_path, device="cpu").table.equals(first.table)


class Fails(Bicubic):
    """Cannot do the second face, and gives no numbers for dark ones."""

    name = "fails"

    def hallucinate(self, batch, generator=None):
        if len(batch["lr"]) > 1:
            raise RuntimeError("out of memory\nmore lines")
        result = super().hallucinate(batch, generator)
        return result / 0 * 0 if FAIL_BY_VALUE else result


FAIL_BY_VALUE = False


def test_a_failed_image_is_a_row_with_an_error_and_in_no_mean(tmp_path, recipe, monkeypatch):
    monkeypatch.setitem(METHODS._entries, "fails", Fails)
    asked = {**recipe, "pipelines": ["bicubic", "fails"]}
    one_by_one = run_benchmark(asked, tmp_path / "a", device="cpu")
    assert one_by_one.failed == 0  # a batch that fails is tried face by face
    monkeypatch.setitem(globals(), "FAIL_BY_VALUE", True)
    done = run_benchmark(asked, tmp_path / "b", device="cpu")
    scores = load_scores(tmp_path / "b" / "scores")
    failed = scores[scores["pipeline"] == "fails"]
    assert done.failed == len(failed) == 4
    assert failed["psnr"].isna().all()
    assert set(failed["error"]) == {"the result holds values that are not finite"}
    assert done.table.loc[("square", "SR", "fails"), ("faces", "n")] == 0
    assert np.isnan(done.table.loc[("square", "SR", "fails"), ("faces", "PSNR")])


def test_names_that_differ_in_odd_characters_are_kept_apart_and_files_of_others_are_left_alone(tmp_path, recipe, dataset_path):
    (tmp_path / "scores").mkdir()
    (tmp_path / "scores" / "mine.csv").write_text("mine")
    names = {"a b": str(dataset_path), "a-b": str(dataset_path)}
    done = run_benchmark({**recipe, "datasets": names}, tmp_path, device="cpu")
    assert set(done.table.columns.unique(0)) == set(names)
    assert (tmp_path / "scores" / "mine.csv").read_text() == "mine"


def test_the_resolved_recipe_can_be_run_again(tmp_path, recipe):
    first = run_benchmark(recipe, tmp_path, device="cpu")
    assert run_benchmark(tmp_path / "recipe.yaml", tmp_path, device="cpu").table.equals(first.table)


def test_what_failed_is_tried_again(tmp_path, recipe, monkeypatch):
    monkeypatch.setitem(METHODS._entries, "fails", Fails)
    monkeypatch.setitem(globals(), "FAIL_BY_VALUE", True)
    asked = {**recipe, "pipelines": ["fails"]}
    assert run_benchmark(asked, tmp_path, device="cpu").failed == 4
    monkeypatch.setitem(globals(), "FAIL_BY_VALUE", False)
    assert run_benchmark(asked, tmp_path, device="cpu").failed == 0


def test_a_recipe_that_asks_for_what_is_not_there_is_one_line(tmp_path, recipe):
    for change, message in (
        ({"split": "val"}, "no split 'val'"),
        ({"masks": ["walk"]}, "no mask type 'walk'"),
        ({"pipelines": ["bicubic+gfc"]}, "needs trained weights"),
        ({"weights": {"gfc": str(tmp_path)}}, "expected a run folder"),
    ):
        with pytest.raises(UsageError, match=message):
            run_benchmark({**recipe, **change}, tmp_path / "out", device="cpu")


def test_weights_of_another_method_are_refused(tmp_path, recipe):
    gfc = GFC.build("test")
    save_weights(tmp_path, gfc.generator, {"method": "gfc", "config": gfc.config, "finished": True})
    with pytest.raises(UsageError, match=r"as weights of 'fhc', but they are of 'gfc'"):
        run_benchmark({**recipe, "weights": {"fhc": str(tmp_path)}}, tmp_path / "out", device="cpu")
    with pytest.raises(UsageError, match="did you mean 'gfc'"):
        run_benchmark({**recipe, "weights": {"gfcc": str(tmp_path)}}, tmp_path / "out", device="cpu")


def test_other_code_is_scored_anew(tmp_path, recipe, monkeypatch):
    run_benchmark(recipe, tmp_path, device="cpu")
    asked = []
    score = engine._score
    monkeypatch.setattr(engine, "_score", lambda unit, *rest: asked.append(unit.mask) or score(unit, *rest))
    monkeypatch.setattr(units, "source_hash", lambda parts=(): "other")
    run_benchmark(recipe, tmp_path, device="cpu")
    assert asked == ["irregular", "square"]


class Peeks(Bicubic):
    """Bicubic that asks for the true landmarks."""

    name = "peeks"
    needs = frozenset({"true landmarks"})


def test_who_is_given_the_true_landmarks_is_said(tmp_path, recipe, monkeypatch):
    monkeypatch.setitem(METHODS._entries, "peeks", Peeks)
    done = run_benchmark({**recipe, "pipelines": ["bicubic", "peeks"]}, tmp_path, device="cpu")
    assert "Given the true landmarks of the HR face: peeks." in done.printed
    assert "true landmarks" not in run_benchmark(recipe, tmp_path, device="cpu").printed


class Paints(Method):
    """An inpainter with nothing to learn: it paints the hole in one grey, and remembers the masks that it was given."""

    name = "paints"
    role = "inpaint"
    needs = frozenset({"mask"})
    PRESETS: ClassVar = {"paper": {"grey": 0.0}, "test": {"grey": 0.5}}
    stamp = "first"
    given: ClassVar[list] = []

    def fingerprint(self):
        return {"stamp": type(self).stamp}

    def hallucinate(self, batch, generator=None):
        self.given.append(batch["mask"])
        return torch.where(batch["mask"] == 1, torch.tensor(self.config["grey"]), batch["image"])


@pytest.fixture
def painting(recipe, monkeypatch):
    monkeypatch.setitem(METHODS._entries, "paints", Paints)
    monkeypatch.setattr(Paints, "given", [])
    return {**recipe, "masks": ["square"], "pipelines": ["bicubic", "bicubic+paints"]}


def test_settings_of_a_method_without_weights(tmp_path, painting, monkeypatch):
    plain = run_benchmark(painting, tmp_path, device="cpu")
    bright = {**painting, "settings": {"paints": {"preset": "test", "grey": 1.0}}}
    changed = run_benchmark(bright, tmp_path, device="cpu")
    row = ("square", "SR+PA", "Bicubic + paints")
    assert changed.table.loc[row, ("faces", "PSNR")] != plain.table.loc[row, ("faces", "PSNR")]
    assert "preset test (grey 1.0); departs from the preset paper in: grey 1.0" in changed.report.read_text(encoding="utf-8")
    asked = []
    score = engine._score
    monkeypatch.setattr(engine, "_score", lambda unit, *rest: asked.append(unit.pipeline.name) or score(unit, *rest))
    run_benchmark(bright, tmp_path, device="cpu")
    assert asked == []
    run_benchmark({**bright, "settings": {"paints": {"grey": 1.0}}}, tmp_path, device="cpu")
    assert asked == []  # the same settings by another preset
    monkeypatch.setattr(Paints, "stamp", "second")
    run_benchmark(bright, tmp_path, device="cpu")
    assert asked == ["bicubic+paints"]
    with pytest.raises(UsageError, match="method 'paints' has no setting 'gray': did you mean 'grey'"):
        run_benchmark({**painting, "settings": {"paints": {"gray": 1.0}}}, tmp_path, device="cpu")
    with pytest.raises(UsageError, match="method 'gfc' needs trained weights"):
        run_benchmark({**painting, "settings": {"gfc": {"preset": "cpu"}}}, tmp_path, device="cpu")


def test_both_masks_are_two_rows_and_everyone_is_told(tmp_path, painting, dataset):
    done = run_benchmark({**painting, "mask_given": ["true", "estimated"]}, tmp_path, device="cpu")
    scores = load_scores(tmp_path / "scores")
    assert scores.groupby(["pipeline", "mask_given"]).size().to_dict() == {
        ("bicubic", ""): 2,
        ("bicubic+paints", "estimated"): 2,
        ("bicubic+paints", "true"): 2,
    }
    batch = collate([FacePairs(dataset, "test", ["square"])[face] for face in range(2)])
    true, estimated = Paints.given[:2]
    assert torch.equal(true, cell_mask(batch["mask"]))
    assert torch.equal(estimated, estimate_mask(batch["lr"], flat_fill("gray")))
    assert not torch.equal(true, estimated)
    assert ("square", "SR+PA", "Bicubic + paints (mask estimated)") in done.table.index
    for said in (done.printed, (tmp_path / "tables" / "table_1.tex").read_text()):
        assert "Given the true mask of every face: Bicubic + paints." in said
        assert "Given a mask estimated from the LR face: Bicubic + paints." in said
    assert "told that holes are filled with mid-grey, 128 of 255" in done.printed
    only = run_benchmark({**painting, "mask_given": "estimated"}, tmp_path, device="cpu")
    assert ("square", "SR+PA", "Bicubic + paints") not in only.table.index


def test_limits_hold_for_their_pipeline_and_the_caption_says_so(tmp_path, painting):
    done = run_benchmark({**painting, "limits": {"bicubic+paints": 1}}, tmp_path, device="cpu")
    n = done.table[("faces", "n")]
    assert (n[("square", "SR", "Bicubic")], n[("square", "SR+PA", "Bicubic + paints")]) == (2, 1)
    assert "n = 1 to 2" in done.printed
    assert "Rows of smaller n" in done.printed


def test_limits_and_pictures_take_faces_evenly():
    assert units.evenly(100, 8) == (0, 14, 28, 42, 57, 71, 85, 99)
    assert units.evenly(100, 1) == (0,)
    assert units.evenly(3, 8) == (0, 1, 2)


def test_restored_faces_are_kept_and_pictures_show_them(tmp_path, painting, dataset):
    run_benchmark({**painting, "pictured": 1}, tmp_path, device="cpu")
    one = read_image(tmp_path / "figures" / "comparison.png")
    folders = sorted((path.name for path in (tmp_path / "restored").iterdir()), key=len)
    assert [name.rsplit("_", 1)[0] for name in folders] == ["faces_square_bicubic", "faces_square_bicubic+paints"]
    kept = sorted((tmp_path / "restored" / folders[1]).glob("*.png"))
    assert [path.name for path in kept] == ["00000.png", "00001.png"]
    batch = collate([FacePairs(dataset, "test", ["square"])[0]])
    painted = Bicubic.build("paper").hallucinate(batch)
    expected = to_uint8(torch.where(cell_mask(batch["mask"]) == 1, torch.tensor(0.0), painted))[0]
    assert np.array_equal(read_image(kept[0]), expected)
    calls = len(Paints.given)
    run_benchmark({**painting, "pictured": 8}, tmp_path, device="cpu")
    two = read_image(tmp_path / "figures" / "comparison.png")
    assert two.shape[0] - one.shape[0] == 128 + 4  # the data set holds two faces
    assert len(Paints.given) == calls  # nothing was painted again
    (kept[1]).write_bytes(b"torn")
    run_benchmark({**painting, "pictured": 8}, tmp_path, device="cpu")
    assert len(Paints.given) == calls + 1
    assert np.array_equal(read_image(tmp_path / "figures" / "comparison.png"), two)


def test_faces_of_another_state_are_removed_and_nothing_else(tmp_path, painting):
    run_benchmark(painting, tmp_path, device="cpu")
    (tmp_path / "restored" / "mine.txt").write_text("mine")
    before = {path.name for path in (tmp_path / "restored").iterdir()}
    run_benchmark({**painting, "settings": {"paints": {"grey": 1.0}}}, tmp_path, device="cpu")
    after = {path.name for path in (tmp_path / "restored").iterdir()}
    assert len(after) == len(before) == 3
    assert len(after - before) == 1


def test_a_higher_limit_restores_only_what_is_missing(tmp_path, painting, monkeypatch):
    run_benchmark({**painting, "pictured": 1}, tmp_path, device="cpu", limit=1)
    assert [len(given) for given in Paints.given] == [1]
    done = run_benchmark({**painting, "pictured": 1}, tmp_path, device="cpu")
    assert [len(given) for given in Paints.given] == [1, 1]
    assert set(done.table[("faces", "n")]) == {2}


def test_what_was_restored_before_an_interruption_is_not_restored_again(tmp_path, painting, monkeypatch):
    whole = run_benchmark(painting, tmp_path / "whole", device="cpu")
    monkeypatch.setattr(restorations, "BATCH", 1)
    Paints.given.clear()
    paint = Paints.hallucinate

    def killed_at_the_second(method, batch, generator=None):
        if Paints.given:
            raise KeyboardInterrupt
        return paint(method, batch, generator)

    monkeypatch.setattr(Paints, "hallucinate", killed_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        run_benchmark(painting, tmp_path / "cut", device="cpu")
    assert not list((tmp_path / "cut" / "scores").glob("*paints*"))
    monkeypatch.setattr(Paints, "hallucinate", paint)
    resumed = run_benchmark(painting, tmp_path / "cut", device="cpu")
    assert len(Paints.given) == 2  # one before, one after
    assert resumed.table.equals(whole.table)
    names = [path.name for path in sorted((tmp_path / "whole" / "restored").iterdir())]
    assert names == [path.name for path in sorted((tmp_path / "cut" / "restored").iterdir())]
    for name in names:
        for path in (tmp_path / "whole" / "restored" / name).glob("*.png"):
            assert (tmp_path / "cut" / "restored" / name / path.name).read_bytes() == path.read_bytes()


class Searches(Bicubic):
    """Bicubic that says that it misses the first face of each call; what it must load first, it counts."""

    name = "searches"
    loaded: ClassVar[list] = []

    def load(self, device):
        self.loaded.append(device.type)

    def hallucinate(self, batch, generator=None):
        self.last_missed = torch.arange(len(batch["lr"])) == 0
        return super().hallucinate(batch, generator)


def test_faces_that_a_search_missed_are_counted_in_scores_and_in_words(tmp_path, recipe, monkeypatch):
    monkeypatch.setitem(METHODS._entries, "searches", Searches)
    monkeypatch.setattr(Searches, "loaded", [])
    done = run_benchmark({**recipe, "masks": ["square"], "pipelines": ["bicubic", "searches"]}, tmp_path, device="cpu")
    scores = load_scores(tmp_path / "scores").set_index(["pipeline", "index"])
    assert scores.loc["searches", "missed"].tolist() == [1, 0]
    assert scores.loc["bicubic", "missed"].isna().all()
    assert "searches missed its aim on 1 of 2 faces (faces, square)." in done.printed
    assert Searches.loaded == ["cpu"]
