"""Training in half precision: what is converted, and what must not be."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from occface.errors import UsageError
from occface.methods.prouigan import ProUIGAN
from occface.networks.vgg import FeatureNetwork, Trunk
from occface.training import devices
from occface.training.run import Run


def batch_of(count):
    generator = torch.Generator().manual_seed(0)
    hr = F.interpolate(torch.rand(count, 3, 6, 6, generator=generator) * 1.6 - 0.8, size=128, mode="bicubic").clamp(-1, 1)
    landmarks = torch.rand(count, 68, 2, generator=generator) * 100 + 14
    lr = F.interpolate(hr, size=16, mode="bilinear", antialias=True)
    return {"hr": hr, "lr": lr, "landmarks": landmarks, "landmarks_lr": landmarks + 2}


def steps_in(precision, tmp_path, preset="test"):
    """Return the losses of one step of each phase, what entered the method, and how often UI-block 1 ran."""
    torch.manual_seed(0)
    features = {"feature_network": "stlpips-vgg", "feature_weights": [0.01] * 3, "style_weights": [10.0, 10.0, 1.0]}
    method = ProUIGAN.build(preset, {"norm": "none", "lr_alone": 1e-5, "lr_joint": [1e-5] * 3, **features})
    torch.manual_seed(0)
    method._frozen["features"] = FeatureNetwork(Trunk(17, blur=True))
    fabric = devices.fabric("cpu", devices.PRECISIONS[precision])
    run = Run(method, {"method": "pro-uigan"}, 0, tmp_path / "checkpoint.pt", fabric)
    entered, ran = [], []
    method.register_forward_pre_hook(lambda _, given: entered.append({name: value.dtype for name, value in given[0].items()}))
    method.generator.get_submodule("blocks.0").register_forward_pre_hook(lambda *_: ran.append(1))
    losses = {}
    for phase in run.phases:
        run.start(phase)
        losses |= {
            f"{phase.name}/{name}": float(value) for name, value in run.take_step(phase, 0, lambda _: batch_of(2)).items()
        }
    return losses, entered, len(ran)


@pytest.mark.parametrize("preset", ["test", "test+no-cm-am-1"])
def test_bfloat16_computes_the_same_losses_from_the_same_batch(tmp_path, preset):
    wanted, _, times = steps_in("32", tmp_path, preset)
    got, entered, ran = steps_in("bf16", tmp_path, preset)
    assert times == ran == 3  # once in each phase: the generator's turn takes over what the discriminator's made
    assert {dtype for given in entered for dtype in given.values()} == {torch.float32}
    assert got.keys() == wanted.keys()
    assert got == pytest.approx(wanted, rel=0.05, abs=1e-4)
    assert got != wanted  # it was another precision


@pytest.mark.parametrize("reading", ["channel", "cosine_linear", "cosine_softmax", "dot_softmax", "pointwise"])
def test_every_reading_of_attention_trains_in_bfloat16(tmp_path, reading):
    torch.manual_seed(0)
    method = ProUIGAN.build("test+l-minus", {"attention": reading})
    run = Run(method, {"method": "pro-uigan"}, 0, tmp_path / "c", devices.fabric("cpu", devices.PRECISIONS["bf16"]))
    phase = run.phases[2]
    run.start(phase)
    losses = run.take_step(phase, 0, lambda _: batch_of(2))
    assert all(value.isfinite() for value in losses.values())
    assert all(p.grad is None or p.grad.isfinite().all() for p in method.parameters())


def test_16_is_not_quietly_something_else_on_a_cpu():
    with pytest.raises(UsageError, match="use 32, or bf16"):
        devices.precision("16", "cpu")
