"""Pro-UIGAN's three steps: what each runs, trains and minimises."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F

from occface.faces.heatmaps import gaussian_heatmaps
from occface.methods.prouigan import ProUIGAN
from occface.networks.discriminators import centre_crop
from occface.networks.vgg import FeatureNetwork, Trunk


def faces(count=4, seed=0):
    """Smooth pictures with landmarks."""
    generator = torch.Generator().manual_seed(seed)
    hr = F.interpolate(torch.rand(count, 3, 6, 6, generator=generator) * 1.6 - 0.8, size=128, mode="bicubic").clamp(-1, 1)
    landmarks = torch.rand(count, 68, 2, generator=generator) * 100 + 14
    lr = F.interpolate(hr, size=16, mode="bilinear", antialias=True)
    return {"hr": hr, "lr": lr, "landmarks": landmarks, "landmarks_lr": landmarks + 2}


def optimizers_of(method, phase):
    return {turn: method.optimizer(phase, turn) for turn in method.turns(phase)}


def test_papers_preset_is_the_papers():
    with torch.device("meta"):
        method = ProUIGAN.build("paper")
    assert sum(p.numel() for p in method.generator.parameters()) == pytest.approx(10_564_440, rel=0.01)
    rates = [group["lr"] for group in method.optimizer(method.phases()[2], "generator").param_groups]
    assert rates == [1e-4, 1e-4, 1e-3]
    assert [method.turns(phase)[0] for phase in method.phases()] == ["discriminator", "generator", "discriminator"]
    assert method.lr_scale(method.phases()[2], 0.9) == 1


@pytest.mark.parametrize(("number", "blocks"), [(0, 1), (1, 2), (2, 3)])
def test_a_phase_runs_only_the_blocks_it_needs_and_once(number, blocks, step):
    method = ProUIGAN.build("test")
    phase = method.phases()[number]
    ran = []
    for index, block in enumerate(method.generator.blocks):
        block.register_forward_hook(lambda *_, index=index: ran.append(index))
    step(method, faces(), phase, optimizers_of(method, phase))
    assert ran == list(range(blocks))  # the generator's turn takes over the pass of the discriminator's


def test_second_phase_leaves_block_1_and_its_statistics_alone(step):
    torch.manual_seed(0)
    method = ProUIGAN.build("test")
    phase = method.phases()[1]
    before = copy.deepcopy(method.state_dict())
    optimizers = optimizers_of(method, phase)
    for _ in range(2):
        step(method, faces(), phase, optimizers)
    changed = {name.split(".")[2] for name, value in method.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"1"}
    assert not torch.equal(
        before["generator.blocks.1.face_stem.1.running_mean"], method.generator.blocks[1].face_stem[1].running_mean
    )


def test_third_phase_reaches_every_parameter(step):
    torch.manual_seed(0)
    method = ProUIGAN.build("test")
    phase = method.phases()[2]
    before = copy.deepcopy(dict(method.named_parameters()))
    optimizers = optimizers_of(method, phase)
    step(method, faces(), phase, optimizers)
    for turn in optimizers.values():
        assert all(p.grad is not None for group in turn.param_groups for p in group["params"])
    still = [name for name, p in method.named_parameters() if torch.equal(p, before[name]) and "weight" in name]
    assert still == []


def test_losses_are_those_of_the_paper():
    """Every term of step (iii) recomputed from the stages' results."""
    torch.manual_seed(0)
    method = ProUIGAN.build("test", {"norm": "none"})
    judge = FeatureNetwork(Trunk(17))
    method._feature_network.append(judge)
    batch, phase = faces(2), method.phases()[2]
    for part in (method.local_16, method.local_64, method.global_128):
        part.eval()
    with torch.no_grad():
        stages = method.generator(batch["lr"], gaussian_heatmaps(batch["landmarks_lr"], 16))
        terms = method(batch, phase, "generator")
        fakes = {"local_16": (method.local_16, stages.images[0][..., 8:24, 8:24])}
        fakes["local_64"] = (method.local_64, stages.images[2][..., 32:96, 32:96])
        fakes["global_128"] = (method.global_128, stages.images[2])
        wanted = {f"adversarial_{name}": 0.01 * F.softplus(-net(x)).mean() for name, (net, x) in fakes.items()}
        for number, (size, style_weight) in enumerate(((32, 10), (64, 10), (128, 1))):
            truth = F.interpolate(batch["hr"], size=(size, size), mode="bilinear", antialias=True)
            made, maps = stages.images[number], stages.heatmaps[number]
            wanted[f"intensity_{number + 1}"] = (made - truth).square().mean()
            wanted[f"geometry_{number + 1}"] = (maps - gaussian_heatmaps(batch["landmarks"], size // 2)).square().mean()
            ours, theirs = judge(made), judge(truth)
            wanted[f"feature_{number + 1}"] = 0.01 * (ours.feature - theirs.feature).square().mean()
            grams = [[torch.einsum("bchw,bdhw->bcd", x, x) / x[0].numel() for x in taps.styles] for taps in (ours, theirs)]
            wanted[f"style_{number + 1}"] = style_weight * sum((a - b).abs().mean() for a, b in zip(*grams, strict=True))
    assert terms.keys() == wanted.keys()
    for name, value in wanted.items():
        torch.testing.assert_close(terms[name], value, atol=1e-6, rtol=1e-4, msg=name)


def test_first_phase_shows_the_local_discriminator_the_middle():
    method, batch = ProUIGAN.build("test"), faces(2)
    seen = []
    method.local_16.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    assert set(method(batch, method.phases()[0], "discriminator")) == {"local_16"}
    real = F.interpolate(batch["hr"], size=(32, 32), mode="bilinear", antialias=True)
    torch.testing.assert_close(seen[0], centre_crop(real, 16))
    assert not seen[1].requires_grad


def test_without_adversarial_weight_there_is_no_discriminator():
    method = ProUIGAN.build("test", {"gan_weight": 0.0})
    assert {method.turns(phase) for phase in method.phases()} == {("generator",)}
    assert not any("adversarial" in name for name in method(faces(2), method.phases()[2], "generator"))


def test_learns_to_fill_the_holes_of_a_few_pictures(step):
    torch.manual_seed(0)
    method, batch = ProUIGAN.build("test", {"norm": "none"}), faces(2)
    batch["lr"][:, :, 4:11, 4:11] = 0
    error = float(F.mse_loss(method.hallucinate(batch), batch["hr"]))
    phase = method.phases()[2]
    optimizers = optimizers_of(method, phase)
    for _ in range(20):
        step(method, batch, phase, optimizers)
    assert float(F.mse_loss(method.hallucinate(batch), batch["hr"])) < 0.5 * error


def test_inference_takes_another_generator_and_leaves_the_mode():
    method, batch = ProUIGAN.build("test"), faces(3)
    other = ProUIGAN.build("test").generator.eval()
    with torch.no_grad():
        wanted = other(batch["lr"], gaussian_heatmaps(batch["landmarks_lr"], 16)).images[2]
    torch.testing.assert_close(method.hallucinate(batch, other.train()), wanted)
    assert other.training
    pictures = method.preview(batch)
    assert [tuple(x.shape[1:]) for x in pictures.values()] == [(3, n, n) for n in (32, 64, 128, 16, 32, 64)]
    assert torch.equal(pictures["stage 3"], method.hallucinate(batch))


def test_rates_fall_in_the_last_phase_alone():
    method = ProUIGAN.build("demo")
    first, _, last = method.phases()
    assert method.lr_scale(first, 1) == method.lr_scale(last, 0) == 1
    assert method.lr_scale(last, 1) == pytest.approx(0.02)
