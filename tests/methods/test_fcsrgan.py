"""FCSR-GAN: its presets, the critic's turns and parts of a batch, its losses by hand, and that it learns."""

from __future__ import annotations

import logging
import types

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from occface.errors import UsageError
from occface.faces.heatmaps import gaussian_heatmaps
from occface.faces.parsing import CLASSES_11, CLASSES_19
from occface.methods.fcsrgan import FCSRGAN, gradient_penalty
from occface.networks.vgg import FeatureNetwork, Trunk


def faces(count=4, seed=0):
    """Smooth pictures with square holes, landmarks and parsing maps."""
    generator = torch.Generator().manual_seed(seed)
    hr = F.interpolate(torch.rand(count, 3, 6, 6, generator=generator) * 1.6 - 0.8, size=128, mode="bicubic").clamp(-1, 1)
    mask = torch.zeros(count, 1, 128, 128)
    mask[:, :, 44:70, 50:80] = 1
    lr_clean = F.interpolate(hr, size=16, mode="bilinear", antialias=True)
    return {
        "hr": hr,
        "mask": mask,
        "lr": F.interpolate(hr * (1 - mask), size=16, mode="bilinear", antialias=True),
        "lr_clean": lr_clean,
        "landmarks": torch.rand(count, 68, 2, generator=generator) * 100 + 14,
        "parsing": torch.randint(0, 19, (count, 128, 128), generator=generator, dtype=torch.uint8),
    }


def optimizers_of(method, phase):
    return {turn: method.optimizer(phase, turn) for turn in method.turns(phase)}


def with_classes(*names):
    return types.SimpleNamespace(classes=names)


def test_papers_preset_is_the_originals():
    with torch.device("meta"):
        method = FCSRGAN.build("paper")
    assert sum(p.numel() for p in method.generator.parameters()) == pytest.approx(53.3e6, rel=0.005)
    assert sum(p.numel() for p in method.critic.parameters()) == pytest.approx(44.7e6, rel=0.005)
    completion, joint = method.phases()
    assert (completion.name, joint.name) == ("completion", "joint")
    assert joint.steps * method.config["batch_size"] == pytest.approx(60 * 28_432, rel=1e-4)  # 60 epochs
    assert method.turns(completion) == ("generator",)
    assert method.turns(joint) == (*(f"{kind}_{n}" for n in range(1, 6) for kind in ("critic", "penalty")), "generator")
    optimizers = optimizers_of(method, joint)
    assert len({id(optimizer) for optimizer in optimizers.values()}) == 2
    assert {(group["lr"], group["betas"]) for o in optimizers.values() for group in o.param_groups} == {(1e-4, (0.5, 0.999))}
    assert [method.lr_scale(joint, done) for done in (0.0, 0.8, 1.0)] == [1, 1, 0]
    assert method.lr_scale(joint, 55 / 60) == pytest.approx(0.5)
    assert method.assets() == ("vgg16",)


def test_small_presets_have_no_critic_but_that_of_tests():
    for preset in ("cpu", "demo"):
        with torch.device("meta"):
            method = FCSRGAN.build(preset)
        assert [method.turns(phase) for phase in method.phases()] == [("generator",)] * 2
        assert method.assets() == ()
        assert [method.lr_scale(method.phases()[1], done) for done in (0, 1)] == pytest.approx([1, 0.02])


def test_each_turn_has_its_rows_and_the_generator_shares_the_last_pass(step, untrained):
    torch.manual_seed(0)
    method, batch = FCSRGAN.build("test"), faces()
    phase = method.phases()[1]
    entered, learning = [], []
    method.generator.register_forward_pre_hook(lambda _, inputs: entered.append(inputs[0]))
    method.generator.fine.register_forward_hook(lambda _, __, fine: learning.append(fine.requires_grad))
    before = {name: value.clone() for name, value in method.critic.named_parameters()}
    optimizers = optimizers_of(method, phase)
    logged = step(method, batch, phase, optimizers)
    enlarged = F.interpolate(batch["lr"], size=128, mode="bicubic", antialias=True).clamp(-1, 1) / 2 + 0.5
    assert len(entered) == 2
    torch.testing.assert_close(torch.cat(entered), enlarged)
    assert learning == [False, True]
    assert set(logged) == {
        *(f"critic_{number}/{term}" for number in (1, 2) for term in ("wasserstein", "penalty")),
        *(f"generator/{term}" for term in ("hole", "valid", "total_variation", "coarse", "fine", "landmarks", "adversarial")),
    }
    # What is added to all verdicts alike makes no difference: the last bias has no gradient.
    kept = [name for name, value in method.critic.named_parameters() if torch.equal(value, before[name])]
    assert kept == ["layers.12.bias"]
    method.prepare(with_classes(*CLASSES_19))  # or the parsing head would have nothing to learn from but the fine picture
    step(method, batch, phase, optimizers)
    assert untrained(method.generator) == []
    assert method._made is None  # no graph is kept beyond the step


def test_penalty_can_have_turns_of_its_own(step):
    torch.manual_seed(0)
    method, batch = FCSRGAN.build("test", {"penalty_alone": True}), faces()
    phase, passes = method.phases()[1], []
    method.generator.register_forward_hook(lambda *_: passes.append(1))
    logged = step(method, batch, phase, optimizers_of(method, phase))
    assert [name for name in logged if "critic" in name or "penalty" in name] == [
        "critic_1/wasserstein", "penalty_1/penalty", "critic_2/wasserstein", "penalty_2/penalty"
    ]  # fmt: skip
    assert len(passes) == 2


def test_completion_trains_the_u_net_alone(step):
    torch.manual_seed(0)
    method, batch = FCSRGAN.build("test"), faces()
    phase = method.phases()[0]
    before = {name: value.clone() for name, value in method.state_dict().items()}
    logged = step(method, batch, phase, optimizers_of(method, phase))
    assert set(logged) == {"generator/hole", "generator/valid", "generator/total_variation"}
    changed = {name.split(".")[1] for name, value in method.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"completion"}


def test_losses_by_hand():
    torch.manual_seed(0)
    method, batch = FCSRGAN.build("test", {"adversarial_weight": 0.0}), faces(2)
    batch["parsing"][0] = 255
    batch["parsing"][1, :64] = 255
    method.prepare(with_classes(*CLASSES_19))
    terms = {name: value.item() for name, value in method(batch, method.phases()[1], "generator").items()}
    enlarged = {n: F.interpolate(batch[n], size=128, mode="bicubic", antialias=True).clamp(-1, 1) for n in ("lr", "lr_clean")}
    cells = torch.zeros(2, 1, 128, 128)
    cells[:, :, 40:72, 48:80] = 1  # rows 44..69 and columns 50..79 touch the cells of rows 40..71, columns 48..79
    made = method.generator((enlarged["lr"] + 1) / 2, cells)
    difference = (made.drawn - (enlarged["lr_clean"] + 1) / 2).abs()
    size = difference.numel()
    assert terms["hole"] == pytest.approx(6 * difference[:, :, 40:72, 48:80].sum().item() / size, rel=1e-4)
    assert terms["valid"] == pytest.approx((difference * (1 - cells)).sum().item() / size, rel=1e-4)
    hr = (batch["hr"] + 1) / 2
    assert terms["coarse"] == pytest.approx(10 * (made.coarse - hr).square().mean().item(), rel=1e-4)
    assert terms["fine"] == pytest.approx(10 * (made.fine - hr).square().mean().item(), rel=1e-4)
    drawn = gaussian_heatmaps(batch["landmarks"], 64)
    assert terms["landmarks"] == pytest.approx((made.landmarks - drawn).square().mean().item(), rel=1e-4)
    merged = {"eye_g": "skin", "l_ear": "skin", "r_ear": "skin"}
    merged |= dict.fromkeys(("hat", "ear_r", "neck_l", "neck", "cloth"), "background")
    logs, found = made.parsing.log_softmax(1).detach().numpy(), []
    for y in range(32, 64):  # the upper half is unknown
        for x in range(64):
            name = CLASSES_19[int(batch["parsing"][1, 2 * y, 2 * x])]
            found.append(-logs[1, CLASSES_11.index(merged.get(name, name)), y, x])
    assert terms["parsing"] == pytest.approx(0.01 * float(np.mean(found)), rel=1e-3)


def test_without_parsing_maps_it_says_so_and_leaves_the_loss_out(caplog):
    method, batch = FCSRGAN.build("test", {"adversarial_weight": 0.0}), faces(2)
    del batch["parsing"]
    with caplog.at_level(logging.INFO):
        method.prepare(with_classes())
    assert [record.message for record in caplog.records] == [
        "fcsr-gan: the data set has no parsing maps, so the parsing loss is left out (weight 0)"
    ]
    assert "parsing" not in method(batch, method.phases()[1], "generator")


def test_nothing_known_of_any_pixel_is_no_loss_and_no_nan():
    method, batch = FCSRGAN.build("test", {"adversarial_weight": 0.0}), faces(2)
    method.prepare(with_classes(*CLASSES_19))
    batch["parsing"][:] = 255
    assert method(batch, method.phases()[1], "generator")["parsing"].item() == 0


def test_style_and_perceptual_losses_look_through_the_feature_network(monkeypatch):
    torch.manual_seed(0)
    network = FeatureNetwork(Trunk(17))
    asked = []
    monkeypatch.setattr("occface.methods.fcsrgan.load_feature_network", lambda *given: asked.append(given) or network)
    weights = {"style_weight": 120.0, "perceptual_weight": 0.05, "feature_network": "vgg16"}
    method, batch = FCSRGAN.build("test", weights | {"norm": "none", "adversarial_weight": 0.0}), faces(1)
    terms = method(batch, method.phases()[0], "generator")
    assert asked == [("vgg16", batch["hr"].device, torch.float32)]  # loaded once
    cells = torch.zeros(1, 1, 128, 128)
    cells[:, :, 40:72, 48:80] = 1
    enlarged = {n: F.interpolate(batch[n], size=128, mode="bicubic", antialias=True).clamp(-1, 1) for n in ("lr", "lr_clean")}
    with torch.no_grad():
        pictures = method.generator.complete((enlarged["lr"] + 1) / 2, cells)
        theirs = network(enlarged["lr_clean"]).styles
        style, perceptual = 0.0, 0.0
        for picture in pictures:
            for ours, wanted in zip(network(2 * picture - 1).styles, theirs, strict=True):
                perceptual += float((ours - wanted).abs().mean())
                grams = [torch.einsum("bcyx,bdyx->bcd", f, f) / f[0].numel() for f in (ours, wanted)]
                style += float((grams[0] - grams[1]).abs().mean())
    assert terms["style"].item() == pytest.approx(120 * style, rel=1e-3)
    assert terms["perceptual"].item() == pytest.approx(0.05 * perceptual, rel=1e-3)


def test_penalty_of_a_plane_is_that_of_its_slope():
    plane = torch.nn.Linear(12, 1, bias=False)
    with torch.no_grad():
        plane.weight.copy_(torch.tensor([[3.0, 4.0] + [0.0] * 10]))
    real, fake = torch.rand(3, 3, 2, 2), torch.rand(3, 3, 2, 2)
    penalty = gradient_penalty(lambda images: plane(images.flatten(1)), real, fake)
    assert penalty.item() == pytest.approx(16)  # the slope is 5 everywhere
    penalty.backward()
    assert plane.weight.grad[0, :2].tolist() == pytest.approx([2 * 4 * 0.6, 2 * 4 * 0.8], rel=1e-5)


def test_results_are_whole_faces_that_need_lr_and_mask_alone():
    torch.manual_seed(0)
    method, batch = FCSRGAN.build("test"), faces()
    given = {name: batch[name] for name in ("lr", "mask")}
    whole = method.hallucinate(given)
    assert whole.shape == (4, 3, 128, 128)
    assert -1 <= float(whole.min()) < float(whole.max()) <= 1
    single = torch.cat([method.hallucinate({name: value[i : i + 1] for name, value in given.items()}) for i in range(4)])
    torch.testing.assert_close(whole, single, atol=1e-5, rtol=0)
    assert method.training  # inference left the mode as it was
    results = method.results(given)
    assert list(results) == ["completed", "coarse", "fine"]
    torch.testing.assert_close(results["fine"], whole)
    preview = method.preview(given)
    assert {value.shape for value in preview.values()} == {(4, 3, 128, 128), (4, 3, 64, 64)}
    assert float(preview["masked"][:, :, 40:72, 48:80].abs().max()) == 0
    with pytest.raises(UsageError, match="expected 'mask'"):
        method.hallucinate({"lr": batch["lr"]})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"feature_network": "vgg"}, "unknown feature network 'vgg': did you mean 'vgg16'"),
        ({"style_weight": 1.0}, "no feature network to look through"),
        ({"lr_schedule": "step"}, "unknown lr schedule 'step'"),
        ({"prior_width": 18}, "prior_width: expected a multiple of 4, got 18"),
        ({"critic_steps": 3}, "batch_size: expected a multiple of critic_steps=3, got 4"),
        ({"critic_steps": 4, "norm": "batch"}, "at least 2 faces for each of critic_steps=4, got 4"),
        ({"batch_size": 1, "adversarial_weight": 0.0, "norm": "batch"}, "at least 2 faces for each of critic_steps=1, got 1"),
        ({"width": 0}, "width: expected at least 1, got 0"),
        ({"steps_completion": 0, "steps_joint": 0}, "nothing would be trained"),
    ],
)
def test_settings_that_cannot_be(settings, message):
    with pytest.raises(UsageError, match=message):
        FCSRGAN.build("test", settings)


def test_a_batch_that_cannot_be_divided_is_refused():
    method = FCSRGAN.build("test")
    completion, joint = method.phases()
    for phase, turn in ((completion, "generator"), (joint, "critic_1")):  # before the first phase has been paid for, too
        with pytest.raises(UsageError, match="multiple of critic_steps=2, got 3"):
            method(faces(3), phase, turn)
    alone = FCSRGAN.build("test", {"steps_joint": 0})
    assert alone(faces(3), completion, "generator")  # no critic will ask for parts


def test_learns_a_face(step):
    torch.manual_seed(0)
    method, batch = FCSRGAN.build("test", {"adversarial_weight": 0.0, "norm": "none"}), faces(2)
    phase = method.phases()[1]
    optimizers = optimizers_of(method, phase)
    before = step(method, batch, phase, optimizers)
    for _ in range(30):
        after = step(method, batch, phase, optimizers)
    assert after["generator/hole"] < 0.7 * before["generator/hole"]  # which began at mid-grey, the best of flat pictures
    assert after["generator/fine"] < 0.6 * before["generator/fine"]
