"""FHC: its component maps, its losses and schedules, and that it learns."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from occface.errors import UsageError
from occface.faces.heatmaps import gaussian_heatmaps
from occface.methods import fhc
from occface.methods.fhc import COMPONENTS, FHC, component_heatmaps


def faces(count=4, seed=0):
    """Smooth pictures, small and large, with landmarks."""
    generator = torch.Generator().manual_seed(seed)
    hr = F.interpolate(torch.rand(count, 3, 5, 5, generator=generator) * 1.6 - 0.8, size=128, mode="bicubic").clamp(-1, 1)
    lr = F.interpolate(hr, size=16, mode="bilinear", antialias=True)
    return {"hr": hr, "lr": lr, "lr_clean": lr, "landmarks": torch.rand(count, 68, 2, generator=generator) * 128}


def test_component_map_is_the_highest_of_its_gaussians():
    landmarks = torch.rand(2, 68, 2) * 128
    drawn, groups = gaussian_heatmaps(landmarks, 64), COMPONENTS["eyes-nose-mouth-chin"]
    got = component_heatmaps(landmarks, groups)
    assert got.shape == (2, 4, 64, 64)
    for number, (first, stop) in enumerate([(36, 48), (27, 36), (48, 68), (0, 17)]):
        highest = torch.zeros(2, 64, 64)
        for landmark in range(first, stop):
            highest = torch.maximum(highest, drawn[:, landmark])
        assert torch.equal(got[:, number], highest)


def test_each_landmark_can_be_a_component():
    landmarks = torch.rand(1, 68, 2) * 128
    assert torch.equal(component_heatmaps(landmarks, COMPONENTS["landmarks"]), gaussian_heatmaps(landmarks, 64))


def test_adversarial_weight_falls_by_the_epoch_to_its_floor():
    method = FHC.build("test", {"adversarial_floor": 0.005, "steps_per_epoch": 10})
    wanted = {0: 0.01, 9: 0.01, 10: 0.00995, 25: 0.01 * 0.995**2, 100_000: 0.005}
    for updates, weight in wanted.items():
        method.updates.fill_(updates)
        assert float(method.adversarial_weight()) == pytest.approx(weight, rel=1e-5)


def test_only_the_generators_turn_counts_and_the_count_is_saved():
    method, batch = FHC.build("test"), faces(2)
    (phase,) = method.phases()
    for turn, wanted in (("discriminator", 0), ("generator", 1), ("generator", 2)):
        method(batch, phase, turn)
        assert int(method.state_dict()["updates"]) == wanted


def test_rates_warm_up_and_fall_by_the_epoch():
    settings = {"lr_schedule": "epochs", "warmup_steps": 100, "steps_per_epoch": 200, "steps": 300_000}
    method = FHC.build("test", settings | {"lr": 1e-3, "optimizer": "rmsprop"})
    (phase,) = method.phases()
    wanted = {0: 1 / 50, 49: 1 / 50, 50: 1 / 5, 99: 1 / 5, 100: 1, 199: 1, 200: 0.99, 1000: 0.99**5, 299_999: 1e-3}
    for done, scale in wanted.items():
        assert method.lr_scale(phase, done / phase.steps) == pytest.approx(scale)
    (group,) = method.optimizer(phase, "generator").param_groups
    assert (group["lr"], group["alpha"]) == (1e-3, 0.9)
    cosine = FHC.build("test")
    assert [cosine.lr_scale(phase, done) for done in (0, 0.5, 1)] == pytest.approx([1, 0.51, 0.02])


def test_losses_are_those_of_picture_and_every_hourglass():
    method, batch = FHC.build("test", {"heatmap_weight": 2.0, "adversarial_weight": 0.0}), faces(2)
    (phase,) = method.phases()
    assert method.turns(phase) == ("generator",)
    made = method.generator(batch["lr_clean"])
    target = component_heatmaps(batch["landmarks"], method.groups)
    terms = method(batch, phase, "generator")
    assert set(terms) == {"intensity", "geometry"}
    torch.testing.assert_close(terms["intensity"], ((made.image - batch["hr"]) ** 2).mean())
    first, second = (((maps - target) ** 2).mean() for maps in made.heatmaps)
    torch.testing.assert_close(terms["geometry"], 2 * (first + second))


def test_discriminator_sees_half_real_and_half_made():
    torch.manual_seed(0)
    method, batch = FHC.build("test"), faces()
    (phase,) = method.phases()
    method.discriminator.eval()  # without dropout
    seen = []
    method.discriminator.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    term = method(batch, phase, "discriminator")["whole"]
    real, fake = seen
    assert torch.equal(real, batch["hr"][:2])
    assert fake.shape == (2, 3, 128, 128)
    assert not fake.requires_grad
    logits = torch.cat([method.discriminator(real), method.discriminator(fake)])
    wanted = F.binary_cross_entropy_with_logits(logits, torch.tensor([[1.0], [1.0], [0.0], [0.0]]))
    torch.testing.assert_close(term, wanted)


def test_turns_share_one_pass_and_train_their_own(step, untrained):
    torch.manual_seed(0)
    method, batch = FHC.build("test"), faces()
    (phase,) = method.phases()
    passes = []
    method.generator.register_forward_hook(lambda *_: passes.append(1))
    optimizers = {turn: method.optimizer(phase, turn) for turn in method.turns(phase)}
    logged = step(method, batch, phase, optimizers)
    assert set(logged) == {"discriminator/whole", "generator/intensity", "generator/geometry", "generator/adversarial"}
    assert len(passes) == 1
    for _ in range(2):  # what starts at 0, the head and then the transformer, lets no gradient further back before it has moved
        step(method, batch, phase, optimizers)
    assert untrained(method) == []


def test_feature_loss_looks_through_relu3_2(monkeypatch):
    asked = []

    def half_size(name, layers, *_):
        asked.append((name, layers))
        return torch.nn.AvgPool2d(2)

    monkeypatch.setattr(fhc, "load_trunk", half_size)
    method, batch = FHC.build("test", {"feature_network": "vgg19", "feature_weight": 0.5, "adversarial_weight": 0.0}), faces(2)
    assert method.assets() == ("vgg19",)
    made = method.generator(batch["lr_clean"]).image
    terms = [method(batch, method.phases()[0], "generator") for _ in range(2)]
    torch.testing.assert_close(terms[0]["feature"], 0.5 * F.avg_pool2d(made - batch["hr"], 2).square().mean())
    assert asked == [("vgg19", 14)]  # loaded once
    assert FHC.build("test").assets() == ()


def test_hallucinates_in_range_whatever_else_is_in_the_batch():
    torch.manual_seed(0)
    method, batch = FHC.build("test"), faces()
    with torch.no_grad():
        method.generator.image_head.bias.copy_(torch.tensor([3.0, 0.0, -3.0]))
        for part in method.generator.modules():
            if isinstance(part, torch.nn.BatchNorm2d):
                part.momentum = 1.0
        method.generator(batch["lr"])  # now normalisations know these faces: without, so many blocks blow rounding up
    whole = method.hallucinate(batch)
    assert (float(whole.min()), float(whole.max())) == (-1, 1)
    single = method.hallucinate({"lr": batch["lr"][1:2]})
    torch.testing.assert_close(whole[1:2], single, atol=1e-4, rtol=0)
    shown = method.preview(batch)["heatmaps"]
    assert shown.shape == (4, 3, 64, 64)
    assert float(shown.abs().max()) <= 1
    assert method.generator.training  # inference left the mode as it was


def test_learns_a_face(step):
    torch.manual_seed(0)
    method, batch = FHC.build("test", {"adversarial_weight": 0.0, "skip": False, "width": 8, "stacks": 1}), faces(2)
    (phase,) = method.phases()
    optimizers = {"generator": method.optimizer(phase, "generator")}
    for _ in range(20):
        after = step(method, batch, phase, optimizers)
    empty = component_heatmaps(batch["landmarks"], method.groups).square().mean()
    assert after["generator/intensity"] < 0.8 * float(batch["hr"].square().mean())  # of what a grey picture would cost
    assert after["generator/geometry"] < 0.9 * method.config["heatmap_weight"] * float(empty)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"components": "eyes-nose"}, "unknown components 'eyes-nose'"),
        ({"optimizer": "adamm"}, "did you mean 'adam'"),
        ({"width": 5}, "width: expected an even number of at least 2, got 5"),
        ({"steps_per_epoch": 0}, "steps_per_epoch: expected at least 1, got 0"),
        ({"batch_size": 1}, "batch_size: expected at least 2, got 1"),
        ({"feature_weight": 0.1}, "no feature network to look through"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, said):
    with pytest.raises(UsageError, match=said):
        FHC.build("test", settings)
