"""GFC: sizes of the original, its windows, what it hands back, and that it learns."""

from __future__ import annotations

import logging

import pytest
import torch
import torch.nn.functional as F

from occface.errors import UsageError
from occface.faces.parsing import CLASSES_11
from occface.methods.faceparser import FaceParser
from occface.methods.gfc import GFC, CompletionNet, hole_windows
from occface.methods.weights import load_method, save_weights


def faces(count=4, seed=0):
    """Smooth pictures with square holes."""
    generator = torch.Generator().manual_seed(seed)
    hr = F.interpolate(torch.rand(count, 3, 5, 5, generator=generator) * 1.6 - 0.8, size=128, mode="bicubic").clamp(-1, 1)
    mask = torch.zeros(count, 1, 128, 128)
    for number in range(count):
        mask[number, :, 20 + 9 * number : 60 + 9 * number, 30 : 70 + number] = 1
    return {"hr": hr, "mask": mask, "image": hr}


@pytest.fixture(scope="module")
def parser_run(tmp_path_factory):
    """The run folder of a face parser of 19 classes that has not learnt anything."""
    torch.manual_seed(0)
    method = FaceParser.build("test", {"classes": 19})
    torch.nn.init.normal_(method.generator.conv_out.conv_out.weight)  # so that its maps have more than one class
    folder = tmp_path_factory.mktemp("face-parser")
    save_weights(folder, method.generator, {"method": "face-parser", "config": method.config})
    return folder


@pytest.mark.parametrize(("part", "wanted"), [("generator", 137.07e6), ("global_128", 7.16e6), ("local_64", 7.13e6)])
def test_parameter_counts_of_the_original(part, wanted):
    with torch.device("meta"):  # counting needs no memory
        count = sum(p.numel() for p in getattr(GFC.build("paper"), part).parameters())
    assert count == pytest.approx(wanted, rel=0.005 if part == "generator" else 0.001)


def test_decoder_puts_values_where_the_maxima_were():
    net = CompletionNet(4, 16, "none")
    torch.nn.init.ones_(net.bottleneck[2].bias)
    seen = {}
    net.encoder[3].register_forward_hook(lambda _, __, out: seen.update(peaks=F.max_pool2d(out, 2, return_indices=True)[1]))
    net.decoder[0].register_forward_pre_hook(lambda _, inputs: seen.update(put=inputs[0]))
    net(torch.rand(1, 3, 128, 128))
    filled = seen["put"].flatten(2).gather(2, seen["peaks"].flatten(2))
    assert torch.count_nonzero(seen["put"]) == torch.count_nonzero(filled) > 0


@pytest.mark.parametrize(
    ("hole", "window"),
    [
        ((40, 60, 50, 90), (18, 82, 38, 102)),  # centred on the hole: rows 40..59, columns 50..89
        ((0, 20, 100, 128), (0, 64, 64, 128)),  # pushed inside
        ((10, 74, 20, 84), (10, 74, 20, 84)),  # exactly as large
    ],
)
def test_window_about_a_hole_is_a_plain_crop(hole, window):
    images = torch.rand(1, 3, 128, 128)
    mask = torch.zeros(1, 1, 128, 128)
    mask[:, :, hole[0] : hole[1], hole[2] : hole[3]] = 1
    wanted = images[:, :, window[0] : window[1], window[2] : window[3]]
    torch.testing.assert_close(hole_windows(images, mask), wanted, atol=1e-4, rtol=0)


def test_window_of_a_wide_hole_is_shrunk():
    images = torch.linspace(0, 1, 128).expand(1, 1, 128, 128)
    mask = torch.zeros(1, 1, 128, 128)
    mask[:, :, 60:70, 16:112] = 1  # 96 wide
    wanted = F.interpolate(images[:, :, 17:113, 16:112], size=64, mode="bilinear")
    torch.testing.assert_close(hole_windows(images, mask), wanted, atol=1e-5, rtol=0)


def test_only_the_hole_changes_and_what_it_held_does_not_matter():
    torch.manual_seed(0)
    method, batch = GFC.build("test"), faces()
    result = method.hallucinate(batch)
    outside = batch["mask"].expand_as(result) < 0.5
    assert torch.equal(result[outside], batch["hr"][outside])
    assert float((result - batch["hr"])[~outside].abs().mean()) > 0.01
    other = method.hallucinate({**batch, "image": torch.where(batch["mask"] > 0.5, torch.ones(()), batch["hr"])})
    assert torch.equal(result, other)


def test_result_does_not_depend_on_batch_size_or_global_seed():
    method, batch = GFC.build("test"), faces()
    whole = method.hallucinate(batch)
    torch.manual_seed(99)
    single = torch.cat([method.hallucinate({k: v[i : i + 1] for k, v in batch.items()}) for i in range(4)])
    torch.testing.assert_close(whole, single, atol=1e-6, rtol=0)
    assert method.training  # inference left the mode as it was


def test_curriculum():
    method = GFC.build("test")
    reconstruction, local, both = method.phases()
    assert method.turns(reconstruction) == ("generator",)
    assert set(method(faces(), reconstruction, "generator")) == {"reconstruction"}
    assert set(method(faces(), local, "generator")) == {"reconstruction", "adversarial_local"}
    assert set(method(faces(), both, "discriminator")) == {"local", "global"}
    trained = {id(p) for group in method.optimizer(local, "discriminator").param_groups for p in group["params"]}
    assert trained == {id(p) for p in method.local_64.parameters()}


def test_reconstruction_loss_weighs_the_hole():
    method, batch = GFC.build("test", {"hole_weight": 3.0}), faces()
    torch.manual_seed(0)
    noise = 2 * torch.rand_like(batch["hr"]) - 1
    made = method.generator(batch["hr"] * (1 - batch["mask"]) + noise * batch["mask"])
    difference = (made - batch["hr"]).abs()
    wanted = (difference.sum() + 2 * (difference * batch["mask"]).sum()) / difference.numel()
    torch.manual_seed(0)
    terms = method(batch, method.phases()[0], "generator")
    torch.testing.assert_close(terms["reconstruction"], wanted)


def test_generators_turn_reuses_the_pass_of_the_discriminators_turn(step):
    torch.manual_seed(0)
    method, batch = GFC.build("test"), faces()
    phase = method.phases()[1]
    passes = []
    method.generator.register_forward_hook(lambda *_: passes.append(1))
    step(method, batch, phase, {turn: method.optimizer(phase, turn) for turn in method.turns(phase)})
    assert len(passes) == 1
    assert all(p.grad is not None for p in method.generator.parameters())


def test_learns_a_picture(step):
    torch.manual_seed(0)
    method, batch = GFC.build("test", {"lr": 5e-3}), faces(1)
    phase = method.phases()[0]
    optimizers = {"generator": method.optimizer(phase, "generator")}
    before = step(method, batch, phase, optimizers)["generator/reconstruction"]
    for _ in range(60):
        after = step(method, batch, phase, optimizers)["generator/reconstruction"]
    assert after < 0.65 * before


def test_rates_fall_over_the_whole_curriculum():
    method = GFC.build("demo")
    first, _, last = method.phases()
    assert method.lr_scale(first, 0) == 1
    assert method.lr_scale(last, 1) == pytest.approx(0.02)
    assert method.lr_scale(first, 1) == method.lr_scale(method.phases()[1], 0)
    assert GFC.build("demo", {"lr_schedule": "constant"}).lr_scale(last, 0.7) == 1


def test_parsing_loss_is_the_cross_entropy_inside_the_hole(parser_run, dataset):
    torch.manual_seed(0)
    method, batch = GFC.build("test", {"parser": str(parser_run), "parsing_weight": 0.5}), faces()
    method.prepare(dataset)
    phase = method.phases()[-1]
    torch.manual_seed(1)
    terms = method(batch, phase, "generator")
    torch.manual_seed(1)
    hole = batch["mask"]
    noise = 2 * torch.rand_like(batch["hr"]) - 1
    made = method.generator(batch["hr"] * (1 - hole) + noise * hole) * hole + batch["hr"] * (1 - hole)
    parser = load_method(parser_run).method
    truth = parser.logits(batch["hr"], CLASSES_11).argmax(1)
    assert len(truth.unique()) > 1
    seen = parser.logits(made, CLASSES_11).log_softmax(1)
    wanted = -(seen.gather(1, truth[:, None]) * hole).sum() / hole.numel()
    torch.testing.assert_close(terms["parsing"], 0.5 * wanted)
    assert "parsing" not in method(batch, method.phases()[1], "generator")


def test_parser_is_asked_and_not_trained(parser_run, dataset, step):
    torch.manual_seed(0)
    method, batch = GFC.build("test", {"parser": str(parser_run), "parsing_weight": 1e3, "hole_weight": 0.0}), faces()
    names = set(method.state_dict())
    method.prepare(dataset)
    assert set(method.state_dict()) == names
    phase = method.phases()[-1]
    optimizers = {turn: method.optimizer(phase, turn) for turn in method.turns(phase)}
    before = step(method, batch, phase, optimizers)["generator/parsing"]
    for _ in range(8):
        after = step(method, batch, phase, optimizers)["generator/parsing"]
    assert after < 0.95 * before
    loaded = load_method(parser_run).method.generator.state_dict()
    used = method._parser[0].generator.state_dict()
    assert all(torch.equal(used[name], value) for name, value in loaded.items())


def test_training_is_told_apart_by_the_parsers_weights(parser_run, dataset):
    method = GFC.build("test", {"parser": str(parser_run)})
    method.prepare(dataset)
    assert method.fingerprint() == {"parser": load_method(parser_run).identity}


def test_trained_weights_need_no_parser(tmp_path, parser_run):
    method = GFC.build("test", {"parser": str(tmp_path / "gone")})
    save_weights(tmp_path, method.generator, {"method": "gfc", "config": method.config})
    loaded = load_method(tmp_path).method
    assert loaded.fingerprint() == {}
    assert torch.equal(loaded.hallucinate(faces()), method.hallucinate(faces()))


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({}, "the setting parser names no face parser"),
        ({"parser": "nowhere", "parsing_weight": 0}, "the setting parsing_weight is 0"),
        ({"parser": "nowhere", "steps_global": 0}, "the setting steps_global is 0"),
    ],
)
def test_without_a_parser_the_parsing_loss_is_left_out_and_said_so(settings, why, dataset, caplog):
    method = GFC.build("test", settings)
    with caplog.at_level(logging.INFO, logger="occface"):
        method.prepare(dataset)
    assert [record.message for record in caplog.records] == [f"gfc: {why}, so the parsing loss is left out"]
    assert method.fingerprint() == {}
    assert "parsing" not in method(faces(), method.phases()[-1], "generator")


def test_a_parser_that_is_none_is_refused(tmp_path, dataset):
    with pytest.raises(UsageError, match="expected a run folder with weights"):
        GFC.build("test", {"parser": str(tmp_path)}).prepare(dataset)
    method = GFC.build("test")
    save_weights(tmp_path, method.generator, {"method": "gfc", "config": method.config})
    with pytest.raises(UsageError, match=r"takes a trained face parser, got .*, which is of method 'gfc'"):
        GFC.build("test", {"parser": str(tmp_path)}).prepare(dataset)
