"""FSRNet and FSRGAN: their losses, with parsing maps and without, their turns, and that they learn."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F

from occface.errors import UsageError
from occface.faces.heatmaps import gaussian_heatmaps
from occface.faces.parsing import FSRNET_PARTS
from occface.methods import fsrnet
from occface.methods.fsrnet import FSRGAN, FSRNet

CLASSES = ("background", "nose", "skin", "hair")


def faces(count=4, seed=0):
    """Smooth pictures, small and large, with landmarks and parsing maps of `CLASSES`."""
    generator = torch.Generator().manual_seed(seed)
    hr = F.interpolate(torch.rand(count, 3, 5, 5, generator=generator) * 1.6 - 0.8, size=128, mode="bicubic").clamp(-1, 1)
    lr = F.interpolate(hr, size=16, mode="bilinear", antialias=True)
    return {
        "hr": hr,
        "lr": lr,
        "lr_clean": lr,
        "landmarks": torch.rand(count, 68, 2, generator=generator) * 128,
        "parsing": torch.randint(4, (count, 128, 128), dtype=torch.uint8, generator=generator),
    }


def prepared(kind, settings=None, classes=CLASSES):
    method = kind.build("test", settings)
    method.prepare(SimpleNamespace(classes=classes))
    return method


def test_priors_loss_is_one_mean_over_all_maps_that_are_known():
    torch.manual_seed(0)
    method, batch = prepared(FSRNet, {"prior_weight": 2.0, "coarse_weight": 0.5}), faces(2)
    batch["parsing"][0, :, :64] = 255  # unknown
    made = method.generator(batch["lr_clean"])
    terms = method(batch, method.phases()[0], "generator")
    torch.testing.assert_close(terms["coarse"], 0.5 * (made.coarse - batch["hr"]).square().mean())
    torch.testing.assert_close(terms["fine"], (made.image - batch["hr"]).square().mean())
    landmarks = (made.landmarks - gaussian_heatmaps(batch["landmarks"], 64)).square()
    torch.testing.assert_close(terms["landmarks"], 2 * landmarks.mean() * 68 / 70)  # and two parts: skin and nose
    parsing = batch["parsing"]
    errors = []
    for part, number in (("skin", 2), ("nose", 1)):
        covered = (parsing == number).float().unflatten(1, (64, 2)).unflatten(3, (64, 2)).mean((2, 4))
        error = (made.parsing[:, FSRNET_PARTS.index(part)] - covered).square()
        errors += [error[0, :, 32:].flatten(), error[1].flatten()]  # the unknown half of the first face tells nothing
    torch.testing.assert_close(terms["parsing"], 2 * torch.cat(errors).mean() * 2 / 70)


@pytest.mark.parametrize("why", ["data without maps", "never prepared"])
def test_without_parsing_maps_their_loss_is_left_out(why, caplog):
    caplog.set_level(logging.INFO)
    batch = faces(2)
    if why == "data without maps":
        del batch["parsing"]
        method = prepared(FSRNet, classes=())
        (record,) = caplog.records
        assert record.getMessage().startswith("fsrnet: the data set has no parsing maps")
    else:
        method = FSRNet.build("test")
    made = method.generator(batch["lr_clean"])
    terms = method(batch, method.phases()[0], "generator")
    assert set(terms) == {"coarse", "fine", "landmarks"}
    landmarks = (made.landmarks - gaussian_heatmaps(batch["landmarks"], 64)).square()
    torch.testing.assert_close(terms["landmarks"], landmarks.mean())
    assert set(method.preview(batch)) == {"landmarks"}


def test_faces_whose_maps_are_all_unknown_teach_nothing_of_parts():
    method, batch = prepared(FSRNet), faces(2)
    batch["parsing"].fill_(255)
    assert float(method(batch, method.phases()[0], "generator")["parsing"].detach()) == 0


def test_schedules_and_optimizers_of_the_original():
    method = FSRGAN.build("test", {"optimizer": "rmsprop", "lr": 2.5e-4, "lr_schedule": "constant"})
    (phase,) = method.phases()
    for turn, network in (("generator", method.generator), ("discriminator", method.discriminator)):
        (group,) = method.optimizer(phase, turn).param_groups
        assert (group["lr"], group["alpha"]) == (2.5e-4, 0.99)
        assert {id(p) for p in group["params"]} == {id(p) for p in network.parameters()}
    assert method.lr_scale(phase, 0.7) == 1
    cosine = FSRNet.build("test")
    assert [cosine.lr_scale(phase, done) for done in (0, 0.5, 1)] == pytest.approx([1, 0.51, 0.02])


def test_discriminator_of_the_original_has_its_size():
    with torch.device("meta"):
        discriminator = FSRGAN.build("paper").discriminator
    assert sum(p.numel() for p in discriminator.parameters()) == 4_693_697


def test_turns_share_one_pass_and_train_their_own(step, untrained):
    torch.manual_seed(0)
    method, batch = prepared(FSRGAN, {"adversarial_weight": 0.5}), faces(2)
    (phase,) = method.phases()
    passes = []
    method.generator.register_forward_hook(lambda *_: passes.append(1))
    optimizers = {turn: method.optimizer(phase, turn) for turn in method.turns(phase)}
    logged = step(method, batch, phase, optimizers)
    names = ("coarse", "fine", "landmarks", "parsing", "adversarial")
    assert set(logged) == {"discriminator/whole", *(f"generator/{name}" for name in names)}
    assert len(passes) == 1
    step(method, batch, phase, optimizers)  # in the first step heads of 0 let no gradient further back
    assert untrained(method) == []


def test_adversarial_losses(step):
    torch.manual_seed(0)
    method, batch = FSRGAN.build("test", {"adversarial_weight": 0.25}), faces(2)
    (phase,) = method.phases()
    image = method.generator(batch["lr_clean"]).image
    real, fake = method.discriminator(batch["hr"]), method.discriminator(image)
    ones, zeros = torch.ones_like(real), torch.zeros_like(real)
    wanted = F.binary_cross_entropy_with_logits(real, ones) + F.binary_cross_entropy_with_logits(fake, zeros)
    torch.testing.assert_close(method(batch, phase, "discriminator")["whole"], wanted)
    fooled = F.binary_cross_entropy_with_logits(fake, ones)
    torch.testing.assert_close(method(batch, phase, "generator")["adversarial"], 0.25 * fooled)
    assert FSRGAN.build("test", {"adversarial_weight": 0.0}).turns(phase) == ("generator",)


def test_feature_loss_looks_through_relu5_3(monkeypatch):
    asked = []

    def half_size(name, layers, *_):
        asked.append((name, layers))
        return torch.nn.AvgPool2d(2)

    monkeypatch.setattr(fsrnet, "load_trunk", half_size)
    settings = {"feature_network": "vgg16", "feature_weight": 0.5, "adversarial_weight": 0.0}
    method, batch = FSRGAN.build("test", settings), faces(2)
    assert method.assets() == ("vgg16",)
    made = method.generator(batch["lr_clean"]).image
    terms = [method(batch, method.phases()[0], "generator") for _ in range(2)]
    torch.testing.assert_close(terms[0]["feature"], 0.5 * F.avg_pool2d(made - batch["hr"], 2).square().mean())
    assert asked == [("vgg16", 30)]  # loaded once


def test_hallucinates_in_range_whatever_else_is_in_the_batch():
    torch.manual_seed(0)
    method, batch = prepared(FSRNet), faces()
    torch.nn.init.normal_(method.generator.decoder[-1].weight)
    results = method.results(batch)
    assert list(results) == ["coarse", "fine"]
    assert torch.equal(results["fine"], method.hallucinate(batch))
    assert float(results["fine"].abs().max()) == 1
    single = method.hallucinate({"lr": batch["lr"][1:2]})
    torch.testing.assert_close(results["fine"][1:2], single, atol=1e-4, rtol=0)
    shown = method.preview(batch)
    assert {name: tuple(picture.shape) for name, picture in shown.items()} == {
        "landmarks": (4, 3, 64, 64),
        "parsing": (4, 3, 64, 64),
    }
    assert method.generator.training  # inference left the mode as it was


def test_learns_a_face(step):
    torch.manual_seed(0)
    method, batch = prepared(FSRNet, {"skip": False, "lr": 5e-3}), faces(2)
    batch["parsing"][:, 32:96, 32:96] = 1
    (phase,) = method.phases()
    optimizers = {"generator": method.optimizer(phase, "generator")}
    before = step(method, batch, phase, optimizers)
    for _ in range(15):
        after = step(method, batch, phase, optimizers)
    assert all(after[f"generator/{name}"] < 0.8 * before[f"generator/{name}"] for name in ("coarse", "fine", "parsing"))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"feature_network": "vgg19"}, "did you mean 'vgg16'"),
        ({"prior_width": 6}, "prior_width: expected a multiple of 4, got 6"),
        ({"feature_weight": 0.1}, "no feature network to look through"),
        ({"hourglasses": 0}, "hourglasses: expected at least 1, got 0"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, said):
    with pytest.raises(UsageError, match=said):
        FSRGAN.build("test", settings)
