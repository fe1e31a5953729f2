"""StyleGAN in training: its losses by hand, the penalty's turn, and the faces it shows."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from occface.errors import UsageError
from occface.methods.stylegan import StyleGAN, fixed_noise
from occface.training.state import load_state, restore, save_state


def batch(count=4):
    generator = torch.Generator().manual_seed(0)
    return {"hr": F.interpolate(torch.rand(count, 3, 4, 4, generator=generator) * 1.6 - 0.8, size=128, mode="bilinear")}


class LinearJudge(nn.Module):
    """Logits whose gradient is the same everywhere."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.full((3, 16, 16), 0.01))

    def forward(self, images):
        return (images * self.weight).sum((1, 2, 3))[:, None]


def test_the_judges_losses_by_hand():
    torch.manual_seed(0)
    method, faces = StyleGAN.build("test"), batch()
    method.judge = LinearJudge()
    made = []
    method.generator.register_forward_hook(lambda *given: made.append(given[2].detach()))
    terms = method(faces, method.phases()[0], "discriminator")
    real = F.interpolate(faces["hr"], size=(16, 16), mode="bilinear", antialias=True)
    wanted = F.softplus(0.01 * made[0].sum((1, 2, 3))).mean() + F.softplus(-0.01 * real.sum((1, 2, 3))).mean()
    torch.testing.assert_close(terms["adversarial"], wanted)
    squares = 3 * 16 * 16 * 0.01**2
    torch.testing.assert_close(terms["r1"], torch.tensor(2 * 10 / 2 * squares))  # every second step, so twice as heavy
    terms["r1"].backward()
    torch.testing.assert_close(method.judge.weight.grad, torch.full((3, 16, 16), 2 * 10 / 2 * 2 * 0.01))


def test_the_penalty_takes_its_turns_through_an_interruption():
    method, faces = StyleGAN.build("test", {"r1_every": 3}), batch()
    phase = method.phases()[0]
    due = ["r1" in method(faces, phase, "discriminator") for _ in range(4)]
    assert due == [True, False, False, True]
    resumed = StyleGAN.build("test", {"r1_every": 3})
    resumed.load_state_dict(method.state_dict())
    assert ["r1" in resumed(faces, phase, "discriminator") for _ in range(3)] == [False, False, True]


def test_the_penaltys_turn_is_kept_in_a_checkpoint(tmp_path):
    method = StyleGAN.build("test", {"r1_every": 3})
    method(batch(), method.phases()[0], "discriminator")
    save_state(tmp_path / "checkpoint.pt", {"method": method.state_dict()})
    values = load_state(tmp_path / "checkpoint.pt")["method"]
    resumed = StyleGAN.build("test", {"r1_every": 3})
    restore(tmp_path / "checkpoint.pt", "method", resumed, values)
    assert "r1" not in resumed(batch(), resumed.phases()[0], "discriminator")
    assert "r1" in StyleGAN.build("test", {"r1_every": 3})(batch(), resumed.phases()[0], "discriminator")
    for broken in ({}, {"_extra_state": {}}, {"_extra_state": {"judged": "often"}}):
        kept = {name: value for name, value in values.items() if name != "_extra_state"}
        with pytest.raises(UsageError, match="does not fit this run"):
            restore(tmp_path / "checkpoint.pt", "method", StyleGAN.build("test"), kept | broken)
    assert "_extra_state" not in method.generator.state_dict()  # which is what is saved as weights


def test_the_penalty_is_taken_in_full_precision():
    method, faces = StyleGAN.build("test"), batch()
    phase = method.phases()[0]
    exact = method(faces, phase, "discriminator")["r1"]
    method.set_extra_state({"judged": 0})
    seen = []
    method.judge.conv.register_forward_hook(lambda *given: seen.append(given[2].dtype))
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(method(faces, phase, "discriminator")["r1"], exact)
        assert seen == [torch.float32, torch.bfloat16]  # the real faces, then the made ones
        method(faces, phase, "discriminator")
    assert seen[2:] == [torch.bfloat16, torch.bfloat16]  # no penalty due


def test_a_step_trains_both_and_the_judge_learns(step):
    torch.manual_seed(0)
    method, faces = StyleGAN.build("test"), batch()
    phase = method.phases()[0]
    optimizers = {turn: method.optimizer(phase, turn) for turn in method.turns(phase)}
    assert list(optimizers) == ["discriminator", "generator"]
    before = {name: value.clone() for name, value in method.named_parameters()}
    first = step(method, faces, phase, optimizers)
    assert set(first) == {"discriminator/adversarial", "discriminator/r1", "generator/adversarial"}
    assert not [name for name, value in method.named_parameters() if torch.equal(before[name], value)]
    judge = {"discriminator": optimizers["discriminator"]}
    later = [step(method, faces, phase, judge)["discriminator/adversarial"] for _ in range(30)]
    assert min(later) < 0.9 * first["discriminator/adversarial"]


def test_faces_are_the_same_at_each_call_and_hang_on_nothing_else():
    torch.manual_seed(0)
    method = StyleGAN.build("test")
    two = method.hallucinate(batch(2))
    torch.manual_seed(5)
    assert method.hallucinate({}).shape == (1, 3, 128, 128)
    torch.testing.assert_close(method.hallucinate(batch(4))[:2], two, atol=1e-3, rtol=0)
    assert (two[0] - two[1]).abs().max() > 1e-2
    assert two.abs().max() <= 1
    assert method.training


def test_the_sample_strip_shows_faces_and_there_are_no_scores():
    torch.manual_seed(0)
    method = StyleGAN.build("test")
    shown = method.results({}) | method.preview({})
    assert list(shown) == ["faces", "more", "psi 0.7"]
    assert {picture.shape for picture in shown.values()} == {(6, 3, 128, 128)}
    assert not torch.equal(shown["faces"], shown["psi 0.7"])
    assert method.measures({}) == {}


def test_fixed_noise_hangs_on_the_seed():
    network = StyleGAN.build("test").generator
    one, again, other = (fixed_noise(network, seed, torch.zeros(())) for seed in (0, 0, 1))
    assert [each.shape[-1] for each in one] == [4, 4, 8, 8, 16, 16]
    assert all(torch.equal(a, b) and not torch.equal(a, c) for a, b, c in zip(one, again, other, strict=True))


@pytest.mark.parametrize(("preset", "wanted"), [("paper", 23.74e6 + 2.10e6), ("gpu", 7.19e6 + 2.10e6)])
def test_sizes_of_presets(preset, wanted):
    with torch.device("meta"):
        method = StyleGAN.build(preset)
    assert sum(p.numel() for p in method.generator.parameters()) == pytest.approx(wanted, rel=0.005)
