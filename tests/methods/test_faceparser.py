"""The face parser: its losses and scores against hand-computed cases, its classes, its schedules, and that it learns."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F

from occface.errors import UsageError
from occface.faces.parsing import CLASSES_11, CLASSES_19, UNKNOWN
from occface.methods.base import Phase
from occface.methods.faceparser import COLOURS, FaceParser, coloured, hard_cross_entropy, mean_iou


@pytest.fixture(scope="module")
def parser():
    torch.manual_seed(0)
    return FaceParser.build("test", {"classes": 19})


def parts(count=4):
    """Pictures whose colour says the class: a face of skin (1) on a background (0), a bar of hair (13) above."""
    parsing = torch.zeros(count, 128, 128, dtype=torch.uint8)
    for number in range(count):
        parsing[number, 40:110, 20 + 5 * number : 80 + 5 * number] = CLASSES_19.index("skin")
        parsing[number, 10:40] = CLASSES_19.index("hair")
    colours = torch.zeros(256, 3)
    colours[1], colours[13] = torch.tensor([0.9, 0.1, -0.2]), torch.tensor([-0.8, -0.5, 0.6])
    hr = colours[parsing.long()].permute(0, 3, 1, 2).contiguous()
    return {"hr": hr, "image": hr, "parsing": parsing}


def test_hard_pixels_are_learnt_from():
    # probabilities of the true class of 32 pixels: 0.5 and 0.6 are hard, all others 0.9
    sure = torch.full((32,), 0.9)
    sure[3], sure[17] = 0.5, 0.6
    logits = torch.stack([sure.log(), (1 - sure).log()]).view(1, 2, 4, 8)
    truth = torch.zeros(1, 4, 8, dtype=torch.int64)
    found = hard_cross_entropy(logits, truth, 0.7)
    torch.testing.assert_close(found, -(torch.tensor(0.5).log() + torch.tensor(0.6).log()) / 2)
    torch.testing.assert_close(hard_cross_entropy(logits, truth, 1.0), F.cross_entropy(logits, truth))


def test_no_fewer_than_a_sixteenth_of_the_pixels_are_learnt_from():
    sure = torch.linspace(0.8, 0.99, 48)
    logits = torch.stack([sure.log(), (1 - sure).log()]).view(1, 2, 6, 8)
    found = hard_cross_entropy(logits, torch.zeros(1, 6, 8, dtype=torch.int64), 0.7)
    torch.testing.assert_close(found, -sure[:3].log().mean())


def test_unknown_pixels_are_not_learnt_from():
    logits = torch.randn(1, 3, 8, 8, requires_grad=True)
    truth = torch.randint(0, 3, (1, 8, 8))
    truth[:, :6] = UNKNOWN
    found = hard_cross_entropy(logits, truth, 1.0)
    torch.testing.assert_close(found, F.cross_entropy(logits[:, :, 6:], truth[:, 6:]))
    found.backward()
    assert not logits.grad[:, :, :6].any()
    nothing = hard_cross_entropy(logits, torch.full_like(truth, UNKNOWN), 0.7)
    assert float(nothing.detach()) == 0


def test_iou_is_that_of_loops_over_classes():
    torch.manual_seed(0)
    found, truth = torch.randint(0, 6, (3, 9, 9)), torch.randint(0, 5, (3, 9, 9))
    truth[0, :2] = UNKNOWN
    truth[1][truth[1] == 2] = 3  # a class that is in the made map alone
    wanted = []
    for ours, theirs in zip(found.numpy(), truth.numpy(), strict=True):
        known = theirs != UNKNOWN
        present = [c for c in range(6) if (theirs[known] == c).any()]
        wanted.append(
            sum(((ours == c) & (theirs == c) & known).sum() / (((ours == c) | (theirs == c)) & known).sum() for c in present)
            / len(present)
        )
    torch.testing.assert_close(mean_iou(found, truth, 6), torch.tensor(wanted, dtype=torch.float64))
    assert mean_iou(found[:1], torch.full((1, 9, 9), UNKNOWN), 6).isnan().all()


def test_measures_take_the_data_sets_classes(parser, monkeypatch):
    batch = parts(2)
    names = ("hair", "background", "skin")  # a data set with an order of its own
    parser.prepare(SimpleNamespace(classes=names))
    theirs = torch.tensor([names.index(name) if name in names else UNKNOWN for name in CLASSES_19], dtype=torch.uint8)
    batch["parsing"] = theirs[batch["parsing"].long()]
    batch["parsing"][1, :64] = UNKNOWN
    found = parts(2)["parsing"]
    found[0, 40:110] = 0  # the first face is missed
    monkeypatch.setattr(parser, "parse", lambda images, generator=None: found)
    scores = parser.measures(batch)
    face, hair, whole = 70 * 60, 30 * 128, 128 * 128
    background = whole - face - hair
    first = (background / (background + face) + 0 + 1) / 3
    assert scores["iou"] == pytest.approx((first + 1) / 2)
    assert scores["accuracy"] == pytest.approx(1 - face / (whole * 1.5))
    batch["parsing"][:] = UNKNOWN
    assert parser.measures(batch) == {}
    parser.prepare(SimpleNamespace(classes=CLASSES_19))


def test_maps_of_more_classes_are_merged():
    method = FaceParser.build("test")
    method.prepare(SimpleNamespace(classes=CLASSES_19))
    table = method.get_buffer("table")
    assert [CLASSES_11[table[CLASSES_19.index(name)]] for name in ("l_ear", "cloth", "l_brow", "hair")] == [
        *("skin", "background", "l_brow", "hair")
    ]
    assert table[UNKNOWN] == UNKNOWN
    assert "table" not in method.state_dict()


def test_a_data_set_without_maps_is_refused(dataset):
    with pytest.raises(UsageError, match=r"face parser learns from parsing maps, and .*faces\.h5 has none"):
        FaceParser.build("test").prepare(dataset)


def test_merged_logits_hold_the_sums_of_probabilities(parser):
    images = parts(1)["hr"].requires_grad_()
    merged = parser.logits(images, CLASSES_11)
    own = parser.logits(images).softmax(1)
    added = {
        "skin": ("skin", "l_ear", "r_ear", "eye_g"),
        "background": ("background", "hat", "ear_r", "neck_l", "neck", "cloth"),
    }
    wanted = torch.stack(
        [sum(own[:, CLASSES_19.index(member)] for member in added.get(name, (name,))) for name in CLASSES_11], dim=1
    )
    torch.testing.assert_close(merged.softmax(1), wanted)
    assert torch.equal(parser.parse(images, CLASSES_11).long(), wanted.argmax(1))
    merged.sum().backward()
    assert images.grad is not None
    assert images.grad.any()


def test_parts_that_a_parser_does_not_know_are_refused():
    with pytest.raises(UsageError, match="tells 11 classes apart, and l_ear, r_ear is none"):
        FaceParser.build("test").parse(parts(1)["hr"], ["skin", "l_ear", "r_ear"])


def test_parsing_does_not_depend_on_the_faces_beside_it(parser):
    batch = parts(3)
    parser.train()
    whole = parser.parse(batch["hr"])
    assert whole.dtype == torch.uint8
    assert whole.shape == (3, 128, 128)
    assert torch.equal(whole[1:2], parser.parse(batch["hr"][1:2]))
    assert parser.training  # inference left the mode as it was


def test_pictures_of_maps():
    found = coloured(torch.tensor([[[0, 2, UNKNOWN]]]), CLASSES_11)
    wanted = torch.tensor([COLOURS["background"], COLOURS["l_brow"], (0, 0, 0)]).T.float() / 127.5 - 1
    torch.testing.assert_close(found, wanted[None, :, None])
    assert set(COLOURS) == set(CLASSES_19) >= set(CLASSES_11)
    assert len(set(COLOURS.values())) == 19


def test_result_and_preview_are_pictures(parser):
    batch = parts(2)
    assert torch.equal(parser.results(batch)["result"], coloured(parser.parse(batch["image"]), CLASSES_19))
    assert torch.equal(parser.preview(batch)["true_parts"], coloured(batch["parsing"], CLASSES_19))


def test_losses_of_three_heads():
    torch.manual_seed(0)
    method = FaceParser.build("test", {"classes": 19, "auxiliary_weight": 0.5, "hard_below": 1.0}).train()
    batch, phase = parts(), Phase("parsing", 4)
    terms = method(batch, phase, "parser")
    for weight, logits, found in zip((1, 0.5, 0.5), method.generator(batch["hr"], heads=3), terms.values(), strict=True):
        torch.testing.assert_close(found, weight * F.cross_entropy(logits, batch["parsing"].long()))
    alone = FaceParser.build("test", {"classes": 19, "auxiliary_weight": 0.0})
    assert set(alone(batch, phase, "parser")) == {"parsing"}


def test_paper_trains_as_published():
    with torch.device("meta"):
        method = FaceParser.build("paper")
    groups = method.optimizer(method.phases()[0], "parser").param_groups
    assert [(group["lr"], group["weight_decay"]) for group in groups] == [(0.01, 5e-4), (0.01, 0), (0.1, 5e-4), (0.1, 0)]
    assert all(group["momentum"] == 0.9 for group in groups)
    assert {p.dim() for group in groups[1::2] for p in group["params"]} == {1}
    trained = [id(parameter) for group in groups for parameter in group["params"]]
    assert sorted(trained) == sorted(id(parameter) for parameter in method.generator.parameters())
    heads = {
        id(p) for part in ("ffm", "conv_out", "conv_out16", "conv_out32") for p in getattr(method.generator, part).parameters()
    }
    assert {id(p) for group in groups[2:] for p in group["params"]} == heads


def test_schedules():
    phase = Phase("parsing", 100)
    poly = FaceParser.build("test", {"lr_schedule": "poly", "warmup_steps": 20})
    assert poly.lr_scale(phase, 0) == pytest.approx(1e-3)
    assert poly.lr_scale(phase, 0.1) == pytest.approx(10**-1.5)
    assert poly.lr_scale(phase, 0.2) == 1
    assert poly.lr_scale(phase, 0.6) == pytest.approx(0.5**0.9)
    assert poly.lr_scale(phase, 1) == 0
    cosine = FaceParser.build("test", {"lr_schedule": "cosine", "warmup_steps": 0})
    assert [cosine.lr_scale(phase, done) for done in (0, 0.5, 1)] == pytest.approx([1, 0.51, 0.02])
    constant = FaceParser.build("test", {"lr_schedule": "constant", "warmup_steps": 200})
    assert constant.lr_scale(phase, 0.5) == pytest.approx(10**-1.5)
    assert constant.lr_scale(phase, 1) == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"classes": 12}, "tells 11 or 19 classes apart, got classes = 12"),
        ({"optimizer": "adam"}, "unknown optimizer 'adam'"),
        ({"lr_schedule": "step"}, "unknown lr_schedule 'step'"),
        ({"batch_size": 1}, "batch_size of at least 2"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(UsageError, match=message):
        FaceParser.build("test", settings)


def test_learns_parts(step):
    torch.manual_seed(0)
    method, batch = FaceParser.build("test", {"classes": 19, "lr": 1e-2, "width": 8}), parts()
    phase = method.phases()[0]
    optimizers = {"parser": method.optimizer(phase, "parser")}
    before = method.measures(batch)
    for _ in range(25):
        step(method, batch, phase, optimizers)
    after = method.measures(batch)
    assert after["iou"] > 0.7 > 0.3 > before["iou"]
    assert after["accuracy"] > 0.9
