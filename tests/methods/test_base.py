"""Presets and their overrides; modes that come back."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import nn

from occface.errors import UsageError
from occface.methods import METHODS
from occface.methods.base import TrainableMethod, evaluating, resolve

PRESETS = {"small": {"steps": 3, "rate": 0.1, "kind": "bce", "widths": [8, 4], "skip": True}}


def test_overrides_take_the_presets_types():
    given = {"steps": "12", "rate": "1e-4", "widths": ["16", 8], "skip": False}
    assert resolve(PRESETS, "small", given, "m") == {"steps": 12, "rate": 1e-4, "kind": "bce", "widths": [16, 8], "skip": False}
    assert PRESETS["small"]["widths"] == [8, 4]


@pytest.mark.parametrize(
    ("preset", "overrides", "message"),
    [
        ("smal", {}, "did you mean 'small'"),
        ("small", {"stesp": 1}, "no setting 'stesp': did you mean 'steps'"),
        ("small", {"steps": 1.5}, "'steps' takes a value like 3, got 1.5"),
        ("small", {"steps": True}, "'steps' takes"),
        ("small", {"rate": "fast"}, "'rate' takes"),
        ("small", {"widths": [1]}, "'widths' takes"),
        ("small", {"skip": 1}, "'skip' takes"),
        ("small", {"kind": 3}, "'kind' takes"),
    ],
)
def test_what_does_not_fit_is_refused(preset, overrides, message):
    with pytest.raises(UsageError, match=message):
        resolve(PRESETS, preset, overrides, "m")


def test_evaluating_gives_each_part_its_mode_back():
    net = nn.Sequential(nn.BatchNorm1d(2), nn.Sequential(nn.BatchNorm1d(2)))
    net[1].eval()
    with evaluating(net) as same:
        assert not any(part.training for part in same.modules())
    assert [part.training for part in net.modules()] == [True, True, False, False]


@pytest.mark.parametrize("name", ["bicubic", "gfc", "pro-uigan"])
def test_every_method_keeps_the_contract(name):
    kind = METHODS.get(name)
    assert kind.name == name
    presets = kind.presets()
    assert {"test", "demo", "cpu", "gpu", "paper"} <= presets.keys()
    assert len({tuple(sorted(preset)) for preset in presets.values()}) == 1  # every preset has the same settings
    method = kind.build("test")
    if isinstance(method, TrainableMethod):
        assert {"batch_size", "ema_decay", "grad_clip"} <= method.config.keys()
        assert all(phase.steps > 0 for phase in method.phases())
        for phase in method.phases():
            for turn in method.turns(phase):
                assert isinstance(method.optimizer(phase, turn), torch.optim.Optimizer)


@pytest.mark.parametrize("name", ["gfc", "pro-uigan"])
def test_trains_under_bfloat16_autocast(name):
    torch.manual_seed(0)
    method = METHODS.get(name).build("test")
    mask = torch.zeros(2, 1, 128, 128)
    mask[:, :, 30:70, 40:90] = 1
    batch = {"hr": torch.rand(2, 3, 128, 128), "mask": mask, "lr": torch.rand(2, 3, 16, 16)}
    batch |= {"landmarks": 128 * torch.rand(2, 68, 2), "landmarks_lr": 128 * torch.rand(2, 68, 2)}
    phase = method.phases()[-1]
    for turn in method.turns(phase):
        method.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            terms = method(batch, phase, turn)
        assert all(value.dtype == torch.float32 for value in terms.values())
        sum(terms.values()).backward()
        trained = [p for group in method.optimizer(phase, turn).param_groups for p in group["params"]]
        assert all(bool(p.grad.isfinite().all()) for p in trained)


@pytest.mark.parametrize("module", ["occface.training.loop", "occface.benchmark.engine", "occface.info"])
def test_training_and_benchmarks_need_no_package_that_finds_or_fetches_faces(module):
    """On a machine that has an accelerator and little else, training must run."""
    absent = ("dlib", "face_recognition_models", "face_alignment", "pooch", "openvino", "simplejpeg", "joblib")
    code = f"import sys; sys.modules.update(dict.fromkeys({absent!r})); import {module}; import occface.methods.prouigan"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_variants_are_laid_over_a_preset():
    variants = {"fast": {"rate": 1.0, "steps": 1}, "wide": {"widths": [64, 64]}, "slow": {"rate": 0.01}}
    resolved = resolve(PRESETS, "small+fast+wide", {"steps": 7}, "m", variants)
    assert resolved == {"steps": 7, "rate": 1.0, "kind": "bce", "widths": [64, 64], "skip": True}
    resolved["widths"][0] = 0
    assert variants["wide"]["widths"] == [64, 64]
    with pytest.raises(UsageError, match=r"no variant 'fats': .*did you mean 'fast'"):
        resolve(PRESETS, "small+fats", {}, "m", variants)
    with pytest.raises(UsageError, match="variants 'fast' and 'slow' of method 'm' both set rate"):
        resolve(PRESETS, "small+fast+slow", {}, "m", variants)


@pytest.mark.parametrize("name", sorted(METHODS))
def test_variants_change_settings_that_there_are(name):
    kind = METHODS.get(name)
    for preset in kind.presets().values():
        for variant in kind.VARIANTS.values():
            assert variant.keys() <= preset.keys()
