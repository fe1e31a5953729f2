import math
from pathlib import Path

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio

from occface.benchmark import restorations, scoring
from occface.benchmark.plan import make_plan
from occface.benchmark.provenance import LEARNING, RESTORING
from occface.benchmark.recipe import load_recipe
from occface.benchmark.scores import load_scores, read_facts
from occface.benchmark.steps import Place
from occface.dataset.reader import FacePairs, collate
from occface.errors import UsageError
from occface.images import read_image, to_uint8
from occface.methods.bicubic import Bicubic
from occface.metrics import METRICS
from occface.metrics.base import Column, Metric
from occface.occlusion.cells import cell_mask
from occface.occlusion.estimate import estimate_mask, flat_fill
from occface.versions import software_versions, source_hash


@pytest.fixture
def score(tmp_path, dataset_path, others):
    def scored(pipeline, path=dataset_path, run=True, **recipe):
        given = {"datasets": {"faces": str(path)}, "masks": ["square"], "pipelines": [pipeline]} | recipe
        steps = make_plan(load_recipe(given), tmp_path).scores
        for step in steps if run else ():
            step.run(Place(tmp_path, "cpu"), lambda amount: None)
        return steps if len(steps) > 1 else steps[0]

    return scored


def rows(step):
    return load_scores(step.path.parent, [step.path.name])


def test_a_row_for_each_face_with_what_others_measure_too(score, dataset):
    step = score("bicubic", metrics=["image", "regions"])
    scores = rows(step)
    assert scores["index"].tolist() == [0, 1]
    for number, row in scores.iterrows():
        face = dataset.record("test", number, ["hr", "occluded/square/lr", "occluded/square/mask"])
        lr = torch.from_numpy(face["occluded/square/lr"]).permute(2, 0, 1)[None].float() / 127.5 - 1
        made = to_uint8(Bicubic.build("paper").hallucinate({"lr": lr}))[0]
        hole = face["occluded/square/mask"] == 1
        assert row["psnr"] == pytest.approx(peak_signal_noise_ratio(face["hr"], made), abs=1e-6)
        assert row["psnr_masked"] == pytest.approx(peak_signal_noise_ratio(face["hr"][hole], made[hole]), abs=1e-6)
        assert row["hole_area"] == pytest.approx(hole.mean())
        assert row["image"] == dataset.columns("test")["id"].iloc[number]
    assert set(scores["order"]) == {"SR"}
    assert set(scores["mask_given"]) == set(scores["trained_on"]) == {""}
    facts = read_facts(step.path)
    assert (facts["title"], facts["shown"], facts["data"]) == ("Bicubic", [0, 1], dataset.content_hash)
    assert "psnr_masked" in facts["metrics"]["regions"]["columns"]
    assert np.array_equal(read_image(step.path.parents[1] / "restored" / facts["inputs"] / "00001.hr.png"), face["hr"])


def test_true_faces_are_perfect(score):
    scores = rows(score("hr"))
    assert scores["psnr"].tolist() == [math.inf, math.inf]
    assert scores["ssim"].to_numpy() == pytest.approx(1)
    assert set(scores["order"]) == {"reference"}


def test_numbers_of_all_faces_together_stand_beside_the_rows(score, dataset):
    step = score("hr", metrics=["image", "brightness"])
    faces = [dataset.record("test", number, ["hr"])["hr"] for number in range(2)]
    assert read_facts(step.path)["sets"] == {"brightness": pytest.approx(np.stack(faces).mean())}
    assert "brightness" not in rows(step)


def test_metrics_that_the_data_set_knows_too_little_for_are_left_out(score):
    step = score("bicubic", metrics={"image": {}, "expression": {}})
    assert "expression_seen" not in rows(step)
    assert set(read_facts(step.path)["metrics"]) == {"image"}
    for metrics in (["expression"], ["brightness"]):
        with pytest.raises(
            UsageError, match="data set 'faces' knows enough for none of the metrics of single images asked for"
        ):
            score("bicubic", metrics=metrics)


def test_stages_of_a_progressive_method_are_measured_and_kept(whole):
    scores = load_scores(whole.folder / "scores")
    staged = scores[(scores["pipeline"] == "pro-uigan") & (scores["dataset"] == "parsed")]
    assert staged["psnr_stage_3"].to_numpy() == pytest.approx(staged["psnr"].to_numpy())
    assert staged[["psnr_stage_1", "psnr_stage_2"]].notna().all().all()
    assert scores.loc[scores["pipeline"] == "bicubic", "psnr_stage_1"].isna().all()


def test_each_pipeline_is_given_the_mask_that_the_recipe_says(score, dataset, others):
    true, estimated = score("bicubic+paints", mask_given=["true", "estimated"])
    assert [step.unit.mask_given for step in (true, estimated)] == ["true", "estimated"]
    batch = collate([FacePairs(dataset, "test", ["square"])[face] for face in range(2)])
    assert torch.equal(others.paints.given[0], cell_mask(batch["mask"]))
    assert torch.equal(others.paints.given[1], estimate_mask(batch["lr"], flat_fill("gray")))
    assert not torch.equal(*others.paints.given)
    assert true.path != estimated.path
    assert rows(true)["psnr"].tolist() != rows(estimated)["psnr"].tolist()


def test_a_failed_image_is_a_row_with_an_error(score, others, monkeypatch):
    monkeypatch.setattr(others.fails, "how", "value")
    step = score("fails")
    assert rows(step)["error"].tolist() == ["the result holds values that are not finite"] * 2
    assert read_facts(step.path)["failed"] == 2
    assert not step.is_done()  # so that it is tried again
    monkeypatch.setattr(others.fails, "how", "")
    step = score("fails")
    assert step.is_done()
    assert rows(step)["psnr"].notna().all()


def test_a_face_that_fails_and_is_only_shown_is_counted_too(score, others, monkeypatch, caplog, dataset):
    monkeypatch.setattr(others.fails, "how", "second")
    step = score("fails", limits={"fails": 1}, pictured=2)
    facts = read_facts(step.path)
    assert (facts["rows"], facts["failed"], facts["shown"]) == (1, 0, [0, 1])
    name = dataset.columns("test")["id"].iloc[1]
    assert facts["pictured_failed"] == [{"index": 1, "image": name, "error": "RuntimeError: out of memory"}]
    assert f"score fails on faces, square: the pictured face '{name}' failed: RuntimeError: out of memory" in caplog.text
    assert not step.is_done()
    monkeypatch.setattr(others.fails, "how", "")
    step = score("fails", limits={"fails": 1}, pictured=2)
    assert step.is_done()
    assert read_facts(step.path)["pictured_failed"] == []


def test_scores_say_where_faces_were_restored_and_where_they_were_scored(score, monkeypatch):
    with monkeypatch.context() as there:
        there.setattr(restorations, "describe", lambda device: "H200")
        step = score("bicubic", run=False)
        step.restorations.restore([0, 1], torch.device("cpu"))
    facts = read_facts(score("bicubic").path)
    versions = software_versions()
    assert facts["restored_on"] == [{"device": "H200", "precision": "float32", "versions": versions, "faces": 2}]
    assert facts["device"].startswith("cpu")
    assert facts["versions"] == versions


@pytest.mark.parametrize("harm", [Path.unlink, lambda path: path.write_bytes(path.read_bytes()[:99])])
def test_drawings_that_are_gone_are_made_again_and_nothing_else(score, whole, monkeypatch, harm):
    weights = next(path for path in (whole.folder / "runs").iterdir() if path.name.startswith("pro-uigan-on-faces"))
    asked = {"methods": {"pro-uigan": str(weights)}}
    step = score("pro-uigan", **asked)
    drawn = step.path.with_suffix(".npz")
    before = {path: path.read_bytes() for path in (step.path, step.path.with_suffix(".json"), drawn)}
    assert step.is_done()
    harm(drawn)
    assert not score("pro-uigan", run=False, **asked).is_done()
    monkeypatch.setattr(scoring, "write_scores", None)
    step = score("pro-uigan", **asked)
    assert step.is_done()
    assert {path: path.read_bytes() for path in before} == before


def test_scores_say_which_code_trained_restored_and_scored(whole):
    step = make_plan(load_recipe(whole.recipe), whole.folder).scores[2]
    facts = read_facts(step.path)
    assert step.unit.pipeline_name == "gfc+bicubic"
    # The inpainter, the parser that it asks, which judges results too.
    assert set(facts["trainings"]) == {"gfc on parsed", "face-parser on parsed"}
    learning = source_hash(LEARNING)[:12]
    assert facts["sources"] == {"restored": source_hash(RESTORING)[:12], "scored": source_hash()[:12], "learning": learning}
    for about in facts["trainings"].values():
        assert about["sources"] == [learning]
        assert about["device"].startswith("cpu")
        assert about["versions"]["torch"] == torch.__version__


def test_faces_that_a_search_missed_are_counted(score):
    step = score("searches")
    assert rows(step)["missed"].tolist() == [1, 0]
    assert read_facts(step.path)["missed"] == 1


def test_limited_scores_and_pictured_faces(score):
    step = score("bicubic", limits={"bicubic": 1}, pictured=8)
    assert rows(step)["index"].tolist() == [0]
    assert read_facts(step.path)["shown"] == [0, 1]
    assert step.restorations.missing([0, 1]) == []


def test_scores_are_known_by_what_they_depend_on(score, monkeypatch):
    keys = [
        score("bicubic", run=False, **recipe).key
        for recipe in (
            {}, {"pictured": 8}, {"limits": {"bicubic": 1}}, {"metrics": ["image", "regions"]}, {"masks": ["irregular"]},
            {"metrics": {"image": {}, "expression": {"folds": 5}}}, {"metrics": {"image": {}, "expression": {}}},
        )
    ]  # fmt: skip
    assert len(set(keys)) == len(keys)
    assert score("bicubic", run=False, title="other").key == keys[0]
    monkeypatch.setattr(scoring, "source_hash", lambda parts=(): "other")
    assert score("bicubic", run=False).key != keys[0]


def test_a_judge_that_is_named_by_its_path_is_known_by_its_weights(score, whole, tmp_path):
    import shutil

    runs = sorted(path for path in (whole.folder / "runs").iterdir() if path.name.startswith("face-parser"))
    shutil.copytree(runs[0], tmp_path / "a")
    shutil.copytree(runs[0], tmp_path / "b")
    keys = [score("bicubic", run=False, metrics={"parsing": {"parser": str(tmp_path / name)}}).key for name in "ab"]
    assert keys[0] == keys[1]
    weights = tmp_path / "b" / "weights.safetensors"
    weights.write_bytes(weights.read_bytes() + b" ")
    assert score("bicubic", run=False, metrics={"parsing": {"parser": str(tmp_path / "b")}}).key != keys[0]


class Slips(Metric):
    """A metric that cannot measure."""

    name = "slips"
    columns = (Column("slips", None, "nothing"),)

    def measure(self, faces):
        raise ValueError("no such thing")


def test_a_metric_that_fails_leaves_no_scores(score, monkeypatch):
    monkeypatch.setitem(METRICS._entries, "slips", Slips)
    with pytest.raises(ValueError, match="no such thing"):
        score("bicubic", metrics=["image", "slips"])
    assert not score("bicubic", run=False, metrics=["image", "slips"]).is_there()


def test_forgotten_scores_leave_nothing(score, tmp_path):
    step = score("bicubic")
    folder = step.restorations.folder
    assert step.is_done()
    step.forget()
    assert not step.is_there()
    assert not folder.exists()
    assert list((tmp_path / "scores").iterdir()) == []
