"""The presets `paper`: every turn of their first and last phase, on tensors that have shapes but hold nothing.

Nothing is computed, so sizes that take minutes cost little: what is tested is that widths, batches, losses and turns fit
together, that the losses are scalars, and that a gradient reaches every parameter that a turn trains.
"""

from __future__ import annotations

import types

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from occface.faces.parsing import CLASSES_19
from occface.methods import fcsrgan, fhc, fsrnet, recpgan
from occface.methods.faceparser import FaceParser
from occface.methods.fan import FanMethod
from occface.methods.gfc import GFC
from occface.methods.stylegan import StyleGAN
from occface.networks import vgg
from occface.networks.vgg import FeatureTrunk, Trunk

METHODS = [
    *(fhc.FHC, fsrnet.FSRNet, fsrnet.FSRGAN, recpgan.ReCPGAN, fcsrgan.FCSRGAN),
    *(GFC, FanMethod, FaceParser, StyleGAN),
]


def faces(count):
    return {
        "hr": torch.rand(count, 3, 128, 128),
        "mask": torch.rand(count, 1, 128, 128),
        "lr": torch.rand(count, 3, 16, 16),
        "lr_clean": torch.rand(count, 3, 16, 16),
        "landmarks": torch.rand(count, 68, 2),
        "parsing": torch.zeros(count, 128, 128, dtype=torch.uint8),
    }


@pytest.fixture
def untrained_judges(monkeypatch):
    """Feature networks without the weights of ImageNet."""
    plans = {"vgg16": vgg._VGG16, "vgg19": vgg._VGG19}
    for module in (fhc, fsrnet, recpgan):
        monkeypatch.setattr(module, "load_trunk", lambda name, layers, *_: FeatureTrunk(Trunk(layers, plan=plans[name])))
    monkeypatch.setattr(fcsrgan, "load_feature_network", lambda name, *_: vgg.feature_network(name))


@pytest.mark.parametrize("kind", METHODS, ids=lambda kind: kind.name)
@pytest.mark.usefixtures("untrained_judges")
def test_every_turn_fits_together(kind):
    with FakeTensorMode(allow_non_fake_inputs=True):
        method = kind.build("paper")
        if kind is not recpgan.ReCPGAN:  # which looks at pictures of the data set, to choose a guide
            method.prepare(types.SimpleNamespace(classes=CLASSES_19))
        batch = faces(method.config["batch_size"])
        phases = method.phases()
        for phase in (phases[0], phases[-1]) if len(phases) > 1 else phases:
            for turn in method.turns(phase):
                trained = {id(p) for group in method.optimizer(phase, turn).param_groups for p in group["params"]}
                for parameter in method.parameters():
                    parameter.requires_grad_(id(parameter) in trained)
                    parameter.grad = None
                terms = method(batch, phase, turn)
                assert all(value.shape == () for value in terms.values()), turn
                sum(terms.values()).backward()
                without = [name for name, p in method.named_parameters() if id(p) in trained and p.grad is None]
                # what is added to all verdicts alike has no part in their slope
                assert without == (["critic.layers.12.bias"] if turn.startswith("penalty") else []), (phase.name, turn)
        if kind.role in ("sr", "joint"):
            assert method.hallucinate(batch).shape == batch["hr"].shape
