from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from occface.benchmark.annotations import Seen, judged, stage_heatmaps
from occface.benchmark.record import Record
from occface.dataset.reader import DatasetFile, FacePairs, collate
from occface.errors import UsageError
from occface.faces.parsing import CLASSES_11
from occface.methods.base import Method
from occface.methods.bicubic import Bicubic
from occface.methods.prouigan import ProUIGAN
from occface.methods.weights import LoadedMethod
from occface.metrics.base import Column, Metric, RestoredFaces
from occface.metrics.landmarks import Landmarks
from occface.metrics.parser import TrainedParser
from occface.pipelines import Pipeline


class _Points(Metric):
    """Sees a landmark at the brightness of each face, and says that."""

    name = "points"
    columns = (Column("brightness", None, "mean of a face"),)

    def measure(self, faces: RestoredFaces) -> dict[str, np.ndarray]:
        return {"brightness": faces.result.mean(axis=(1, 2, 3))}

    def seen(self, faces: RestoredFaces) -> dict[str, np.ndarray]:
        return {"landmarks": np.ones((len(faces), 68, 2)) * self.measure(faces)["brightness"][:, None, None]}


class _Blind(_Points):
    name = "blind"

    def seen(self, faces: RestoredFaces) -> dict[str, np.ndarray]:
        return Metric.seen(self, faces)


def _pipeline(method: Method) -> Pipeline:
    return Pipeline(method.name, "joint", (LoadedMethod(method.name, method, {}),))


def _restored() -> RestoredFaces:
    result = np.zeros((2, 128, 128, 3), np.uint8)
    result[1] = 7
    columns = pd.DataFrame({name: ["", ""] for name in ("id", "identity", "expression", "pose")})
    return RestoredFaces(result, result, np.zeros((2, 128, 128), np.uint8), np.zeros((2, 68, 2), np.float32), columns)


def test_only_metrics_that_see_something_are_kept_and_with_their_values(tmp_path: Path) -> None:
    assert judged([_Blind()], _restored()) == {}
    seen = Seen([4, 9], judged([_Blind(), _Points()], _restored()))
    seen.write(tmp_path / "seen.npz")
    again = Seen.read(tmp_path / "seen.npz")
    assert "landmarks" in again
    assert "parsing" not in again
    points = again.of(9, "landmarks")
    assert points is not None
    assert points.shape == (68, 2)
    assert (points == 7).all()
    assert (again.value(4, "brightness"), again.value(9, "brightness")) == (0.0, 7.0)
    assert again.of(5, "landmarks") is None
    assert again.of(4, "parsing") is None
    assert np.isnan(again.value(4, "iou"))
    assert not Seen((), {})
    assert seen


def test_equal_arrays_give_equal_bytes(tmp_path: Path) -> None:
    for name in ("a.npz", "b.npz"):
        Seen([1], {"parsing": np.arange(128 * 128, dtype=np.uint8).reshape(1, 128, 128)}).write(tmp_path / name)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


@pytest.mark.parametrize("content", [None, b"", b"no archive", b"PK\x03\x04torn"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "seen.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=r"expected in .*seen\.npz what figures draw .* run the benchmark again"):
        Seen.read(path)


def test_arrays_that_would_be_unpickled_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "seen.npz"
    np.savez(path, numbers=np.array([1]), landmarks=np.array([{"a": 1}], dtype=object))
    with pytest.raises(UsageError, match="cannot be read"):
        Seen.read(path)


def test_heatmaps_are_the_strongest_of_all_landmarks(dataset: DatasetFile) -> None:
    torch.manual_seed(0)
    method = ProUIGAN.build("test")
    pairs = [FacePairs(dataset, "test", ["square"])[number] for number in range(2)]
    maps = stage_heatmaps(_pipeline(method), pairs, torch.device("cpu"))
    method.generator.eval()
    with torch.no_grad():
        expected = method._stages(method.generator, collate(pairs), 3).heatmaps
    assert list(maps) == ["heatmaps_1", "heatmaps_2", "heatmaps_3"]
    for made, stage in zip(maps.values(), expected, strict=True):
        assert stage is not None
        assert made.dtype == np.uint8
        assert made.shape == (2, *stage.shape[2:])
        assert np.abs(made / 255 - stage.numpy().max(axis=1)).max() <= 0.5 / 255 + 1e-6


def test_methods_without_stages_have_no_heatmaps(dataset: DatasetFile) -> None:
    pipeline = _pipeline(Bicubic.build("paper"))
    assert stage_heatmaps(pipeline, [FacePairs(dataset, "test", ["square"])[0]], torch.device("cpu")) == {}


def test_what_is_kept_beside_scores_is_what_the_judge_sees_in_the_kept_faces(whole: Any) -> None:
    record = Record(whole.folder)
    one = next(one for one in record.shown if one.row["pipeline"] == "pro-uigan" and "parsing" in one.facts["metrics"])
    seen = Seen.read(whole.folder / "scores" / one.facts["seen"])
    parser = TrainedParser.open(next((whole.folder / "runs").glob("face-parser-on-parsed-*/weights.safetensors")))
    rows = record.scores[(record.scores[["dataset", "pipeline"]] == one.row[["dataset", "pipeline"]]).all(axis=1)]
    data = DatasetFile(whole.recipe["datasets"]["parsed"])
    assert len(one.numbers) == 2
    for number in one.numbers:
        face = one.picture(number)
        assert face is not None
        labels = seen.of(number, "parsing")
        assert labels is not None
        assert np.array_equal(labels, parser.parse(face[None], CLASSES_11)[0])
        scored = rows[(rows["index"] == number) & (rows["trained_on"] == one.row["trained_on"])]["iou"].tolist()
        assert scored == [seen.value(number, "iou")]
        assert seen.of(number, "heatmaps_3") is not None
        kept = np.load(whole.folder / "restored" / one.facts["inputs"] / f"{number:05d}.landmarks.npy")
        truth = data.record("test", number, ["occluded/square/landmarks_lr", "landmarks"])
        assert np.array_equal(kept, np.stack(list(truth.values())))
    plain = next(one for one in record.shown if one.row["dataset"] == "faces" and one.row["pipeline"] == "bicubic")
    assert plain.facts["seen"] == ""


def test_landmarks_that_are_seen_are_those_that_are_measured(dataset: DatasetFile) -> None:
    metric = Landmarks(landmarker="dlib", reference="data")
    truth = np.stack([dataset.record("test", number, ["hr"])["hr"] for number in range(2)])
    faces = RestoredFaces.read(dataset, "test", "square", [0, 1], truth)
    found = metric.seen(faces)["landmarks"].astype(float)
    true = faces.landmarks.astype(float)
    off = [np.sqrt(np.mean(np.sum((ours - theirs) ** 2, axis=1))) for ours, theirs in zip(found, true, strict=True)]
    eyes = [np.hypot(*(points[45] - points[36])) for points in true]
    assert metric.measure(faces)["nrmse_outer_eyes"] == pytest.approx(100 * np.divide(off, eyes), rel=1e-5)
