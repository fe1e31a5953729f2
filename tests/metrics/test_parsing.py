"""IoU against explicit sets of pixels; the trained parser against the method that was saved."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from occface.errors import UsageError
from occface.faces.parsing import CLASSES_11, CLASSES_19
from occface.methods.faceparser import FaceParser
from occface.methods.weights import save_weights
from occface.metrics import METRICS, RestoredFaces
from occface.metrics.parser import TrainedParser
from occface.metrics.parsing import intersection_over_union


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run folder of a parser with random weights, the method itself, and its card."""
    torch.manual_seed(3)
    method = FaceParser.build("test", {"classes": 19, "width": 8})
    with torch.no_grad():  # so that no class wins everywhere
        method.generator.conv_out.conv_out.weight.mul_(30)
    folder = tmp_path_factory.mktemp("parser")
    return folder, method, save_weights(folder, method.generator, {"method": "face-parser", "config": method.config})


def sets_of(found: np.ndarray, reference: np.ndarray, value: int) -> float:
    """Return the IoU of one class of one face by sets of places."""
    known = [(y, x) for y in range(reference.shape[0]) for x in range(reference.shape[1]) if reference[y, x] != 255]
    ours, theirs = ({place for place in known if maps[place] == value} for maps in (found, reference))
    return len(ours & theirs) / len(ours | theirs) if theirs else np.nan


def test_iou_is_that_of_sets_of_pixels() -> None:
    rng = np.random.default_rng(0)
    found, reference = rng.integers(0, 5, (2, 3, 12, 12), dtype=np.uint8)
    reference[0, :3] = 255
    reference[1][reference[1] == 2] = 1  # a class that the reference lacks
    found[2][found[2] == 4] = 0  # one that was not found
    scores = intersection_over_union(found, reference, 5)
    wanted = [[sets_of(found[face], reference[face], value) for value in range(5)] for face in range(3)]
    np.testing.assert_allclose(scores, wanted, atol=1e-12)
    assert np.isnan(scores[1, 2])
    assert scores[2, 4] == 0


def test_a_face_without_a_known_pixel_has_no_value() -> None:
    assert np.isnan(intersection_over_union(np.zeros((1, 4, 4), np.uint8), np.full((1, 4, 4), 255, np.uint8), 3)).all()


def test_the_mean_is_over_the_parts_in_the_reference_without_background(run, make_faces, make_pictures) -> None:
    folder, method, _ = run
    truth, result = make_pictures(3), make_pictures(3, seed=1)
    maps = np.random.default_rng(0).integers(0, 19, (3, 16, 16), np.uint8).repeat(8, 1).repeat(8, 2)
    maps[0, :64] = 255
    maps[1][np.isin(maps[1], [CLASSES_19.index(name) for name in ("nose", "mouth")])] = 0
    maps[2] = 0  # no face at all
    metric = METRICS.get("parsing")(parser=str(folder), each=["skin", "nose"])
    values = metric.measure(make_faces(truth, result, parsing=maps, classes=CLASSES_19))
    merged = {"l_ear": "skin", "r_ear": "skin", "eye_g": "skin"} | dict.fromkeys(
        ("hat", "ear_r", "neck_l", "neck", "cloth"), "background"
    )
    table = np.array([CLASSES_11.index(merged.get(name, name)) for name in CLASSES_19] + [255] * 237)
    found = method.parse(torch.from_numpy(result).permute(0, 3, 1, 2) / 127.5 - 1, CLASSES_11).numpy()
    assert len(np.unique(found)) > 2
    for face in range(3):
        each = [sets_of(found[face], table[maps[face]], value) for value in range(11)]
        parts = [score for score in each[1:] if not np.isnan(score)]
        assert values["iou"][face] == pytest.approx(np.mean(parts) if parts else np.nan, nan_ok=True)
        assert values["iou_nose"][face] == pytest.approx(each[CLASSES_11.index("nose")], nan_ok=True)
        assert values["iou_skin"][face] == pytest.approx(each[CLASSES_11.index("skin")], nan_ok=True)
    assert np.isnan(values["iou"]).tolist() == [False, False, True]


def test_without_maps_the_true_face_is_parsed_which_contract_and_facts_say(
    run, known_faces, make_faces, make_pictures, make_labels
):
    folder, _, _ = run
    truth = make_pictures(2)
    metric = METRICS.get("parsing")(parser=str(folder))
    assert "or where it has none" in metric.columns[0].contract
    metric.prepare(known_faces(truth, None, make_labels(2)), "test")
    assert metric.facts() == {"reference": "seen"}
    assert "what it finds in the true face" in metric.columns[0].contract
    assert metric.measure(make_faces(truth, truth))["iou"].tolist() == [1, 1]
    assert (metric.measure(make_faces(truth, truth[:, ::-1].copy()))["iou"] < 1).all()
    with_maps = METRICS.get("parsing")(parser=str(folder))
    with_maps.prepare(known_faces(truth, None, make_labels(2), CLASSES_19), "test")
    assert with_maps.facts() == {"reference": "data"}


def test_a_data_sets_maps_are_the_reference_where_it_has_them(run, parsed) -> None:
    folder, _, _ = run
    metric = METRICS.get("parsing")(parser=str(folder))
    metric.prepare(parsed, "test")
    truth = parsed.stack("test", "hr")
    values = metric.measure(RestoredFaces.read(parsed, "test", "square", [0, 1], truth))
    assert (values["iou"] < 0.9).all(), "the true faces would score 1 against themselves"


def test_the_parser_finds_what_the_method_finds(run, make_pictures) -> None:
    folder, method, card = run
    faces = make_pictures(9)  # more than are looked at together
    x = torch.from_numpy(faces).permute(0, 3, 1, 2) / 127.5 - 1
    parser = TrainedParser.open(folder)
    assert parser == TrainedParser.open(folder / "weights.safetensors")
    assert parser.sha256 == card["sha256"]
    for names in (CLASSES_19, CLASSES_11):
        agree = parser.parse(faces, names) == method.parse(x, names).numpy()
        assert agree.mean() > 0.9999


def test_what_cannot_be_compared_is_refused(run, known_faces, tmp_path, make_labels, make_faces, make_pictures) -> None:
    folder, _, card = run
    truth = make_pictures(1)
    plain, helen = (known_faces(truth, None, make_labels(1), classes) for classes in ((), CLASSES_11))
    with pytest.raises(UsageError, match="has no parsing maps to compare with: set reference"):
        METRICS.get("parsing")(parser=str(folder), reference="data").prepare(plain, "test")
    with pytest.raises(UsageError, match=r"do not tell .*l_ear.* apart: set classes of metric 'parsing' to 11"):
        METRICS.get("parsing")(parser=str(folder), classes=19).prepare(helen, "test")
    with pytest.raises(UsageError, match="needs a face parser"):
        METRICS.get("parsing")().measure(make_faces(truth, truth))
    with pytest.raises(UsageError, match="compares 11 or 19 classes, got classes = 12"):
        METRICS.get("parsing")(classes=12)
    with pytest.raises(UsageError, match="compares no class 'noes': did you mean 'nose'"):
        METRICS.get("parsing")(parser=str(folder), each=["noes"]).measure(make_faces(truth, truth))
    with pytest.raises(UsageError, match="expected a run folder of method 'face-parser'"):
        METRICS.get("parsing")(parser=str(tmp_path)).fingerprint()
    few = FaceParser.build("test")
    save_weights(tmp_path / "few", few.generator, {"method": "face-parser", "config": few.config})
    with pytest.raises(UsageError, match=r"tells 11 classes apart, and .*l_ear.* is none"):
        TrainedParser.open(tmp_path / "few").parse(truth, CLASSES_19)
    assert METRICS.get("parsing")(parser=str(folder)).fingerprint()["settings"]["parser"] == card["sha256"]


def test_damaged_and_other_weights_are_refused(run, tmp_path, make_pictures) -> None:
    _, method, _ = run
    save_weights(tmp_path, method.generator, {"method": "gfc", "config": method.config})
    with pytest.raises(UsageError, match=r"expected weights of method 'face-parser' at .*, got 'gfc'"):
        TrainedParser.open(tmp_path).parse(make_pictures(1), CLASSES_11)
    save_weights(tmp_path, method.generator, {"method": "face-parser", "config": method.config | {"width": 4}})
    with pytest.raises(UsageError, match="is no network of method 'face-parser'"):
        TrainedParser.open(tmp_path / "weights.safetensors").parse(make_pictures(1), CLASSES_11)
    weights = tmp_path / "weights.safetensors"
    weights.write_bytes(weights.read_bytes() + b"x")
    with pytest.raises(UsageError, match="is damaged, was replaced, or is not the file of its card"):
        TrainedParser.open(tmp_path).parse(make_pictures(1), CLASSES_11)
