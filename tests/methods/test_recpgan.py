"""Re-CPGAN: who leads whom, its losses against plain arithmetic, the choice of the guide, and that it learns."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from occface.dataset.reader import DatasetFile
from occface.errors import UsageError
from occface.faces.heatmaps import gaussian_heatmaps
from occface.faces.mirror import MIRRORED
from occface.methods.base import Phase
from occface.methods.recpgan import ReCPGAN, best_guide, illumination
from occface.networks.vgg import FeatureTrunk, Judge, Trunk


def faces(count=4, seed=0):
    """Smooth pictures and their thumbnails, with landmarks somewhere."""
    generator = torch.Generator().manual_seed(seed)
    hr = F.interpolate(torch.rand(count, 3, 5, 5, generator=generator) * 1.6 - 0.8, size=128, mode="bicubic").clamp(-1, 1)
    clean = F.interpolate(hr, size=16, mode="bilinear", antialias=True)
    landmarks = torch.rand(count, 68, 2, generator=generator) * 127
    return {"hr": hr, "lr_clean": clean, "lr": clean, "landmarks": landmarks}


def given_to(network):
    """Return a list that the inputs of the network's passes are put into."""
    seen = []
    network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs))
    return seen


def test_each_face_is_led_by_the_next():
    method, batch = ReCPGAN.build("test"), faces()
    seen = given_to(method.generator)
    method(batch, method.phases()[0], "generator")
    lr, guide = seen[0]
    assert torch.equal(lr, batch["lr_clean"])
    assert torch.equal(guide, batch["lr_clean"][[1, 2, 3, 0]])


def test_last_faces_of_a_batch_may_lead_the_others():
    method, batch = ReCPGAN.build("test", {"guides": 1}), faces()
    seen = given_to(method.generator)
    method(batch, method.phases()[0], "generator")
    lr, guide = seen[0]
    assert torch.equal(lr, batch["lr_clean"][:3])
    assert torch.equal(guide, batch["lr_clean"][3:])


@pytest.mark.parametrize("target", ["guide", "gt"])
def test_losses_are_the_weighted_sums_of_the_specification(target):
    settings = {
        "guides": 2, "batch_size": 5, "feature_network": "vgg19", "feature_weight": 0.01, "feature_every": 2,
        "heatmap_weight": 10 / 68, "illumination_target": target,
    }  # fmt: skip
    torch.manual_seed(0)
    method, batch = ReCPGAN.build("test", settings).eval(), faces(5)
    judge = FeatureTrunk(Trunk(12))
    method._judge = Judge(lambda *_: judge)
    with torch.no_grad():
        terms = method(batch, method.phases()[0], "generator")
        made = method.generator(batch["lr_clean"][:3], batch["lr_clean"][3:])
        hr, guide_hr = batch["hr"][:3], batch["hr"][3:]
        light = hr if target == "gt" else guide_hr[[0, 1, 0]]
        distance = 0.0
        for size_of in (lambda x: x.mean(), lambda x: x.std(correction=0)):
            ours, theirs = ([size_of(picture[c]) for picture in x for c in range(3)] for x in (made.image, light))
            distance += float(np.mean([(float(a) - float(b)) ** 2 for a, b in zip(ours, theirs, strict=True)]))
        maps = gaussian_heatmaps(batch["landmarks"], 64)
        wanted = {
            "intensity": (made.image - hr).square().mean(),
            "guide_intensity": (made.guide_image - guide_hr).square().mean(),
            "geometry": 10 * (made.heatmaps - maps[:3]).square().mean() / 68,
            "guide_geometry": 10 * (made.guide_heatmaps - maps[3:]).square().mean() / 68,
            "feature": 0.01 * (judge(made.image[[0, 2]]) - judge(hr[[0, 2]])).abs().mean(),
            "guide_feature": 0.01 * (judge(made.guide_image[:1]) - judge(guide_hr[:1])).abs().mean(),
            "adversarial_global_128": 0.1 * (method.global_128(made.image) - 1).square().mean(),
            "illumination": torch.tensor(0.01 * distance),
        }
    assert set(terms) == set(wanted)
    for name, value in wanted.items():
        torch.testing.assert_close(terms[name], value, atol=1e-6, rtol=1e-3, msg=name)


def test_illumination_of_a_flat_picture_has_a_finite_slope():
    flat = torch.full((1, 3, 4, 4), 0.25, requires_grad=True)
    loss = illumination(flat, torch.zeros(1, 3, 4, 4))
    assert float(loss.detach()) == pytest.approx(0.0625)
    loss.backward()
    assert torch.isfinite(flat.grad).all()


def test_discriminator_sees_faces_and_true_faces():
    torch.manual_seed(0)
    method, batch = ReCPGAN.build("test").eval(), faces()
    with torch.no_grad():
        terms = method(batch, method.phases()[0], "discriminator")
        fake = method.generator(batch["lr_clean"], batch["lr_clean"].roll(-1, 0)).image
        real, made = method.global_128(batch["hr"]), method.global_128(fake)
    torch.testing.assert_close(terms["global_128"], (real - 1).square().mean() + made.square().mean())


def test_generators_turn_takes_over_the_pass_of_the_discriminators(step, untrained):
    torch.manual_seed(0)
    method, batch = ReCPGAN.build("test"), faces()
    phase = method.phases()[0]
    seen = given_to(method.generator)
    optimizers = {turn: method.optimizer(phase, turn) for turn in method.turns(phase)}
    logged = step(method, batch, phase, optimizers)
    assert len(seen) == 1
    assert "discriminator/global_128" in logged
    step(method, batch, phase, optimizers)  # in the first one the self-attention, of which nothing is added, has no gradient
    assert untrained(method) == []


def test_no_discriminators_turn_without_a_weight():
    method = ReCPGAN.build("test", {"adversarial_weight": 0})
    assert method.turns(method.phases()[0]) == ("generator",)
    assert "adversarial_global_128" not in method(faces(), method.phases()[0], "generator")


def test_rate_falls_by_a_hundredth_each_epoch():
    method = ReCPGAN.build("test", {"lr_schedule": "epochs", "steps_per_epoch": 10, "lr_decay": 0.99})
    phase = Phase("joint", 100)
    assert [method.lr_scale(phase, done / 100) for done in (0, 9, 10, 29, 30)] == pytest.approx([1, 1, 0.99, 0.9801, 0.970299])
    optimizer = method.optimizer(phase, "generator")
    assert optimizer.defaults["betas"] == (0.5, 0.999)


def test_learns_a_picture(step):
    torch.manual_seed(0)
    settings = {"norm": "none", "skip": False, "adversarial_weight": 0.0, "lr": 2e-3}
    method, batch = ReCPGAN.build("test", settings), faces(2)
    phase = method.phases()[0]
    optimizers = {"generator": method.optimizer(phase, "generator")}
    before = step(method, batch, phase, optimizers)["generator/intensity"]
    for _ in range(25):
        after = step(method, batch, phase, optimizers)["generator/intensity"]
    assert after < 0.6 * before


def test_result_depends_on_the_guide_but_not_on_the_batch():
    torch.manual_seed(0)
    method, lr = ReCPGAN.build("test").double(), faces(3)["lr"].double()  # an untrained guide moves little
    method.generator.guide_lr.copy_(faces(1, seed=5)["lr"])
    whole = method.hallucinate({"lr": lr})
    single = torch.cat([method.hallucinate({"lr": lr[i : i + 1]}) for i in range(3)])
    torch.testing.assert_close(whole, single, atol=1e-9, rtol=0)
    assert whole.shape == (3, 3, 128, 128)
    assert method.training  # inference left the mode as it was
    method.generator.guide_lr.copy_(faces(1, seed=6)["lr"])
    assert float((method.hallucinate({"lr": lr}) - whole).abs().max()) > 1e-6


def person():
    """Landmarks of a symmetric face about x = 63.5, and an even picture."""
    rng = np.random.default_rng(0)
    points = rng.uniform(30, 97, (68, 2))
    mirrored = points[MIRRORED]
    mirrored[:, 0] = 127 - mirrored[:, 0]
    return (points + mirrored) / 2, np.full((128, 128, 3), 120, np.uint8)


def turned(points):
    """The left half of a face (in the picture) seen from farther aside."""
    return np.where((points[:, :1] < 63.5), points * [0.6, 1] + [25.4, 0], points)


def shaded(face, axis):
    return (face * np.linspace(0.5, 1, 128).reshape((-1, 1, 1) if axis == 0 else (1, -1, 1))).astype(np.uint8)


def test_guide_is_frontal_and_evenly_lit():
    points, face = person()
    assert best_guide([(turned(points), face), (points, face)]) == 1
    for axis in (0, 1):
        assert best_guide([(points, shaded(face, axis)), (points, face)]) == 1
    aside = points + np.array([3, -2])
    assert best_guide([(turned(points), face), (points, shaded(face, 1)), (aside, face)]) == 2
    assert best_guide([(points, face), (points, face)]) == 0  # the first among equals
    assert best_guide([(points - 400, face)]) == best_guide([(points + 400, face)]) == 0  # outside of the picture: no error


def test_guide_is_a_training_face_and_travels_with_the_weights(dataset: DatasetFile, caplog):
    first, second = ReCPGAN.build("test"), ReCPGAN.build("test")
    second.prepare(dataset)
    caplog.clear()  # other tests may have made the logger talk
    with caplog.at_level(logging.INFO, "occface.methods.recpgan"):
        first.prepare(dataset)
    guide = first.generator.guide_lr
    assert torch.equal(guide, second.generator.guide_lr)
    clean = torch.from_numpy(dataset.stack("train", "lr_clean")).permute(0, 3, 1, 2) / 127.5 - 1
    (place,) = [number for number, lr in enumerate(clean) if torch.allclose(lr, guide[0], atol=1e-6)]
    hr = torch.from_numpy(dataset.stack("train", "hr")[place]).permute(2, 0, 1) / 127.5 - 1
    torch.testing.assert_close(first.generator.guide_hr[0], hr)
    (line,) = caplog.messages
    assert f"'{dataset.columns('train')['id'][place]}'" in line
    fresh = ReCPGAN.build("test")
    fresh.generator.load_state_dict(first.generator.state_dict())
    assert torch.equal(fresh.generator.guide_lr, guide)
    assert torch.equal(fresh.preview(faces())["guide"][2], first.generator.guide_hr[0])


def test_contradictions_are_refused():
    for settings, message in (
        ({"feature_weight": 0.01}, "no feature network"),
        ({"batch_size": 1}, "led by another"),
        ({"batch_size": 4, "guides": 4}, "more than guides=4"),
        ({"illumination_target": "guid"}, "did you mean 'guide'"),
        ({"channels": 6}, "multiple of 4, got 6"),
    ):
        with pytest.raises(UsageError, match=message):
            ReCPGAN.build("test", settings)
    method = ReCPGAN.build("test")
    with pytest.raises(UsageError, match="more faces than its 1 guides, got 1"):  # a process's share of a batch
        method(faces(1), method.phases()[0], "generator")


def test_presets_and_their_assets():
    for preset in ("paper", "gpu"):
        with torch.device("meta"):
            assert ReCPGAN.build(preset).assets() == ("vgg19",)
    for preset in ("cpu", "demo", "test"):
        assert ReCPGAN.build(preset).assets() == ()
