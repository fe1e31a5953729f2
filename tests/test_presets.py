"""Sizes and costs of presets against files that are written, counts made by hand and the published counts."""

from __future__ import annotations

import json

import pytest
import safetensors.torch
import torch
from torch import nn

from occface import assets, presets
from occface.errors import AssetError, UsageError
from occface.methods import METHODS
from occface.methods.base import Method
from occface.presets import describe_method, describe_preset, saved_bytes


@pytest.mark.parametrize("name", ["gfc", "pro-uigan"])
@pytest.mark.parametrize("preset", ["test", "demo"])
def test_the_saved_size_is_that_of_the_file(name, preset):
    generator = METHODS.get(name).build(preset).generator
    facts = describe_preset(name, preset)
    assert facts.saved_kb * 1024 == len(safetensors.torch.save(generator.state_dict()))
    assert facts.parameters["generator"] == sum(parameter.numel() for parameter in generator.parameters())


def test_the_saved_size_of_names_and_kinds_of_all_sorts():
    state = {f"ä{number}": torch.zeros(number, 3) for number in range(14)}
    state |= {"count": torch.tensor(3), "half": torch.zeros(3, dtype=torch.float16)}
    assert saved_bytes(state) == len(safetensors.torch.save(state))


def test_the_papers_size():
    facts = describe_preset("pro-uigan", "paper")
    assert facts.parameters == {"generator": 10_564_440, "local_16": 261_953, "local_64": 1_149_377, "global_128": 4_693_697}
    assert facts.macs["convolutions"] == pytest.approx(47.7e9, rel=0.002)
    places = [(16 * 2**stage) ** 2 for stage in range(3)]
    assert facts.macs["matrix_products"] == sum(2 * 2 * count**2 * 128 for count in places)  # two directions, Q K and then V
    assert facts.macs["total"] == facts.macs["convolutions"] + facts.macs["matrix_products"]
    assert (facts.role, facts.needs) == ("joint", ("landmarks",))
    assert set(facts.inputs) == {"lr", "landmarks_lr"}
    assert facts.phases == {"i": 35_540, "ii": 35_540, "iii": 106_620}
    assert {"vgg16", "vgg19"} <= set(facts.assets)
    assert facts.config["blocks"] == [8, 7, 6]


def test_variants_are_laid_over_a_preset():
    facts = describe_preset("pro-uigan", "paper+p-fp")
    assert facts.parameters["generator"] == 10_566_921
    assert facts.macs["matrix_products"] == 0  # no attention is left


def test_gfc_and_its_fully_connected_layers():
    facts = describe_preset("gfc", "paper")
    assert facts.parameters["generator"] == pytest.approx(137.07e6, rel=1e-4)
    assert facts.macs["matrix_products"] == 2 * 16_384 * 4096
    assert set(facts.inputs) == {"image", "mask"}


def test_bicubic_has_nothing_to_learn():
    facts = describe_preset("bicubic", "test")
    assert (facts.parameters, facts.saved_kb, facts.macs["total"], facts.phases) == ({}, None, 0, {})
    assert "nothing to learn" in facts.text()


class Plain(Method):
    """One that the meta device cannot carry, with multiply-accumulates to count on the fingers."""

    name = "plain"
    role = "sr"
    PRESETS = {"only": {"width": 5}}  # noqa: RUF012

    def __init__(self, config):
        super().__init__(config)
        self.gain = float(torch.ones(()))  # a number out of a tensor
        self.layer = nn.Conv2d(3, config["width"], 3, padding=1)

    def hallucinate(self, batch, generator=None):
        return self.layer(batch["lr"]) * self.gain


def test_what_the_meta_device_cannot_carry_is_counted_on_the_cpu(monkeypatch):
    monkeypatch.setitem(METHODS._entries, "plain", Plain)
    assert describe_preset("plain", "only").macs == {"total": 34_560, "convolutions": 34_560, "matrix_products": 0}
    assert 34_560 == 16 * 16 * 5 * 3 * 9


def test_without_an_asset_that_the_method_runs_there_is_no_count_and_it_says_why(monkeypatch):
    def lacks(device, kind, preset, inputs):
        raise AssetError("asset 'fan' is needed but not here")

    monkeypatch.setattr(presets, "_counted_on", lacks)
    facts = describe_preset("pro-uigan", "test")
    assert facts.macs is None
    assert facts.macs_counted == "not counted: asset 'fan' is needed but not here"
    assert facts.macs_counted in facts.text()


@pytest.fixture(scope="module")
def listed():
    """The presets and variants of Pro-UIGAN."""
    return describe_method("pro-uigan")


def test_every_preset_and_variant_is_listed_with_its_size(listed):
    kind = METHODS.get("pro-uigan")
    rows, variants = ({row["preset"]: row for row in table} for table in (listed.rows, listed.variants))
    assert list(rows) == list(kind.PRESETS)
    assert list(variants) == [f"paper+{variant}" for variant in kind.VARIANTS]
    assert rows["paper"]["parameters"] == 10_564_440
    assert rows["released"]["parameters"] == 1_197_343
    assert rows["test"]["steps"] == 8
    assert variants["paper+p-fp"]["parameters"] == 10_566_921
    assert variants["paper+l-star"]["changes"] == {"paper": 0.0}
    # heads of auxiliary pictures: of the released code, which has them already, and of a preset with a feature network
    extra = variants["paper+released-losses"]["changes"]
    assert extra["released"] == 0
    assert extra["cpu"] == pytest.approx((27 * (48 + 24 + 16) + 9) / rows["cpu"]["parameters"])
    assert all(row["saved_kb"] * 1024 > 4 * row["parameters"] for row in (*rows.values(), *variants.values()))


def test_the_listing_reads_well(listed):
    presets, variants = (table.splitlines() for table in listed.text().split("\n\n"))
    assert presets[1].split() == ["paper", "10,564,440", "41,360", "177,700"]
    assert len(presets) == len(listed.rows) + 1
    assert len(variants) == len(listed.variants) + 2
    assert variants[1].split()[:2] == ["paper+p-fp", "10,566,921"]
    assert variants[1].endswith("-0.06% to +0.02% (paper, gpu, cpu, demo, test)")
    assert variants[2].endswith("177,700  none")
    assert variants[-1].startswith("`occface info pro-uigan:PRESET`")


def test_a_method_without_variants_has_one_table():
    facts = describe_method("bicubic")
    assert [row["saved_kb"] for row in facts.rows] == [None] * 5
    assert facts.variants == ()
    assert len(facts.text().splitlines()) == 7


@pytest.mark.parametrize("preset", ["paper", "gpu", "cpu", "demo", "test"])
@pytest.mark.parametrize("variant", ["p-fp", "no-cm-am-1"])
def test_without_attention_every_preset_keeps_its_size(listed, preset, variant):
    with torch.device("meta"):
        whole, without = (METHODS.get("pro-uigan").build(name) for name in (preset, f"{preset}+{variant}"))
        batch = {"lr": torch.zeros(2, 3, 16, 16), "landmarks_lr": torch.zeros(2, 68, 2)}
        pictures = without.results(batch)
    before, after = (sum(part.numel() for part in method.generator.parameters()) for method in (whole, without))
    assert abs(after / before - 1) < 1e-3
    changes = next(row["changes"] for row in listed.variants if row["preset"] == f"paper+{variant}")
    assert changes[preset] == after / before - 1
    assert [tuple(picture.shape) for picture in pictures.values()] == [(2, 3, size, size) for size in (32, 64, 128)]
    if preset == "paper":
        assert after == {"p-fp": 10_566_921, "no-cm-am-1": 10_565_267}[variant]


@pytest.mark.parametrize("preset", ["released", "test+fan"])
def test_a_preset_whose_assets_are_absent_is_described(preset, monkeypatch, tmp_path):
    monkeypatch.setenv("OCCFACE_CACHE", str(tmp_path))
    monkeypatch.delenv("OCCFACE_ASSETS", raising=False)
    facts = describe_preset("pro-uigan", preset)
    assert "fan" in facts.assets
    assert facts.macs is None
    assert facts.macs_counted.startswith("not counted: asset 'fan' is needed but not here")
    assert facts.parameters["generator"] > 0


@pytest.mark.parametrize("name", ["bicubic", "gfc", "pro-uigan"])
def test_every_preset_is_described_and_is_plain_json(name):
    kind = METHODS.get(name)
    for preset in kind.PRESETS:
        facts = describe_preset(name, preset)
        assert json.loads(json.dumps(facts.as_dict()))["config"] == kind.PRESETS[preset]
        assert all(asset in assets.ASSETS for asset in facts.assets)
        assert f"{name}:{preset}" in facts.text()


@pytest.mark.parametrize(
    ("name", "preset", "said"),
    [
        ("gfk", "paper", "did you mean 'gfc'"),
        ("gfc", "papr", "did you mean 'paper'"),
        ("pro-uigan", "paper+pfp", "did you mean 'p-fp'"),
        ("pro-uigan", "", "has no preset ''"),
    ],
)
def test_unknown_names(name, preset, said):
    with pytest.raises(UsageError, match=said.replace("+", r"\+")):
        describe_preset(name, preset)
