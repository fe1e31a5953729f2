"""Pro-UInet's shapes, sizes and wiring against the tensor walk of the specification."""

from __future__ import annotations

import io

import pytest
import torch

from occface.errors import UsageError
from occface.networks.attention import ATTENTIONS
from occface.networks.uinet import UIBlock, UInet

PAPER = {"attention": "cosine_softmax", "norm": "batch"}


def small(**changes):
    torch.manual_seed(0)
    options = {"attention": "cosine_linear", "norm": "batch"} | changes
    return UInet((16, 12, 8), (1, 2, 1), **options)


def size(net):
    return sum(p.numel() for p in net.parameters())


def faces(count=2, landmarks=68):
    return torch.rand(count, 3, 16, 16) * 2 - 1, [torch.rand(count, landmarks, 16, 16), None, None]


@pytest.mark.parametrize(
    ("channels", "blocks", "wanted"),
    [(128, (8, 7, 6), 10_564_440), (64, (3, 3, 3), 1.98e6), (32, (2, 2, 2), 0.56e6), (16, (1, 1, 1), 0.18e6)],
)
def test_parameter_counts(channels, blocks, wanted):
    with torch.device("meta"):
        net = UInet((channels,) * 3, blocks, **PAPER)
    assert size(net) == pytest.approx(wanted, rel=0 if channels == 128 else 0.03)


def test_parameters_of_the_parts():
    block = UIBlock(128, 8, "cosine_softmax", "batch", False)
    wanted = {
        "face_stem": 3_840,
        "landmark_stem": 78_720,
        "attention": 885_505,
        "heatmap_head": 78_404,
        "up": 401_792,
        "residual": 8 * 295_680,
        "image_head": 3_459,
    }
    assert {name: size(part) for name, part in block.named_children()} == wanted


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"landmarks": (7, 42, 68)}, 10_185_729),
        ({"priors": ("none", "none", "none")}, 10_566_921),
        ({"priors": ("given", "given", "given")}, 10_564_440),
        ({"priors": ("none", "cm-am", "cm-am")}, 10_564_440 + 827),
        ({"auxiliary": True}, 10_564_440 + 3 * (128 * 3 * 9 + 3)),
        ({"attention": "dot_softmax"}, 10_564_440 - 3),
    ],
)
def test_parameters_of_the_papers_size_changed(changes, wanted):
    with torch.device("meta"):
        net = UInet((128,) * 3, (8, 7, 6), **PAPER | changes)
    assert size(net) == wanted


def test_four_full_residual_blocks_stand_in_for_attention_at_the_papers_width():
    with torch.device("meta"):
        block = UIBlock(128, 8, "cosine_softmax", "batch", False, priors="none")
    assert [part.branch[0].out_channels for part in block.unled] == [128] * 4
    assert size(block.unled) == 4 * 295_680


@pytest.mark.parametrize(
    ("channels", "blocks", "attention", "norm", "landmarks"),
    [
        (64, 0, "channel", "batch", 68),
        (48, 4, "cosine_linear", "none", 68),
        (32, 2, "pointwise", "group", 42),
        (16, 1, "cosine_linear", "batch", 68),  # one narrower block would be 0.2 % off
        (10, 1, "dot_softmax", "group", 68),
        (4, 1, "cosine_softmax", "none", 68),
    ],
)
def test_a_block_keeps_its_size_without_attention(channels, blocks, attention, norm, landmarks):
    led, unled = (
        UIBlock(channels, blocks, attention, norm, False, landmarks, priors, auxiliary=True) for priors in ("cm-am", "none")
    )
    assert abs(size(unled) / size(led) - 1) < 1e-3
    widths = [part.branch[0].out_channels for part in unled.unled]
    full = widths.count(channels)
    assert widths == sorted(widths, reverse=True)
    assert full >= 4  # the fewer the channels, the more landmarks weigh
    assert all(width >= 1 for width in widths)
    # as many full ones as fit: what the narrower ones have together is less than one more
    assert size(unled.unled[full:]) < size(unled.unled[0]) * 1.01


def test_saved_size_of_the_papers_preset():
    net = UInet((128,) * 3, (8, 7, 6), **PAPER)
    file = io.BytesIO()
    torch.save(net.state_dict(), file)
    assert file.tell() / 1024 == pytest.approx(41_529, rel=0.01)


def test_names_of_saved_weights():
    """What was saved must load: the names of the first block's parts, as they have always been."""
    names = {name.split(".")[2] for name in small().state_dict() if name.startswith("blocks.0.")}
    assert names == {"face_stem", "landmark_stem", "attention", "heatmap_head", "up", "residual", "image_head"}


@pytest.mark.parametrize(
    ("attention", "norm"),
    [*((attention, "none") for attention in ATTENTIONS), ("cosine_linear", "batch"), ("channel", "group")],
)
def test_shapes_and_ranges(attention, norm):
    net = small(attention=attention, norm=norm, auxiliary=True).to(memory_format=torch.channels_last)
    with torch.no_grad():
        stages = net(*faces())
    assert [tuple(x.shape) for x in stages.images] == [(2, 3, n, n) for n in (32, 64, 128)]
    assert [tuple(x.shape) for x in stages.heatmaps] == [(2, 68, n, n) for n in (16, 32, 64)]
    assert [tuple(x.shape) for x in stages.auxiliary] == [(2, 3, n, n) for n in (16, 32, 64)]
    assert all(float(x.abs().max()) <= 1 for x in (*stages.images, *stages.auxiliary))
    assert all(float(x.min()) >= 0 and float(x.max()) <= 1 for x in stages.heatmaps)


def test_fewer_stages_are_the_first_ones():
    net = small().eval()
    lr, maps = faces()
    whole, two = net(lr, maps), net(lr, maps[:2], stages=2)
    assert len(two.images) == len(two.heatmaps) == 2
    assert two.auxiliary == ()
    assert torch.equal(whole.images[1], two.images[1])
    assert torch.equal(whole.heatmaps[1], two.heatmaps[1])


def test_second_stage_takes_the_first_ones_heatmaps():
    net = small().eval()
    seen = []
    net.blocks[1].landmark_stem.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    first = net(*faces(1)).heatmaps[0]
    # bilinear x2 with half-pixel centres: the pixel (1, 1) lies a quarter of the way from (0, 0) to (1, 1)
    wanted = 0.5625 * first[..., 0, 0] + 0.1875 * (first[..., 0, 1] + first[..., 1, 0]) + 0.0625 * first[..., 1, 1]
    torch.testing.assert_close(seen[0][..., 1, 1], wanted)


def test_a_finder_sees_the_picture_that_enters_and_its_heatmaps_are_used():
    net = small(landmarks=(7, 42, 68)).eval()
    asked, found, used = [], [], []

    def finder(picture, number):
        asked.append((picture, number))
        found.append(torch.rand(2, net.landmarks[number], *picture.shape[2:]))
        return found[-1]

    for block in net.blocks:
        block.landmark_stem.register_forward_pre_hook(lambda _, inputs: used.append(inputs[0]))
    lr, own = torch.rand(2, 3, 16, 16), torch.rand(2, 42, 32, 32)
    stages = net(lr, [finder, own, finder])
    assert [number for _, number in asked] == [0, 2]
    assert torch.equal(asked[0][0], lr)
    assert torch.equal(asked[1][0], stages.images[1])
    assert torch.equal(used[1], own)
    assert torch.equal(used[0], found[0])
    assert torch.equal(used[2], found[1])
    assert [x.shape[1] for x in stages.heatmaps] == [7, 42, 68]


@pytest.mark.parametrize("priors", ["cm-am", "given"])
def test_what_leads_the_upsampling(priors):
    net = small(priors=(priors,) * 3).eval()
    lr, maps = faces()
    seen = []
    net.blocks[0].up.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0][:, :68]))
    stages = net(lr, maps, stages=1)
    assert torch.equal(seen[0], maps[0] if priors == "given" else stages.heatmaps[0])
    assert not torch.equal(stages.heatmaps[0], maps[0])  # refined all the same: the geometry loss looks at them


def test_given_heatmaps_still_teach_the_attention():
    net = small(priors=("given",) * 3)
    stages = net(*faces())
    sum(x.square().mean() for x in (*stages.images, *stages.heatmaps)).backward()
    assert [name for name, p in net.named_parameters() if p.grad is None] == []


def test_a_block_without_attention_passes_on_what_it_was_given():
    net = small(priors=("none", "cm-am", "cm-am")).eval()
    lr, maps = faces()
    seen = []
    net.blocks[1].landmark_stem.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    stages = net(lr, maps)
    assert stages.heatmaps[0] is None
    assert [x.shape[-1] for x in stages.heatmaps[1:]] == [32, 64]
    wanted = torch.nn.functional.interpolate(maps[0], size=(32, 32), mode="bilinear")
    torch.testing.assert_close(seen[0], wanted)


@pytest.mark.parametrize("auxiliary", [False, True])
def test_without_any_attention_no_heatmaps_are_looked_at(auxiliary):
    net = small(priors=("none",) * 3, auxiliary=auxiliary).eval()
    lr, maps = faces()

    def finder(picture, number):
        raise AssertionError("nobody needs these heatmaps")

    stages = net(lr, [finder, finder, None])
    assert stages.heatmaps == (None, None, None)
    assert torch.equal(stages.images[2], net(lr, maps).images[2])
    assert [x.shape[-1] for x in stages.auxiliary] == ([16, 32, 64] if auxiliary else [])


def test_the_auxiliary_picture_is_drawn_from_the_appearance_features():
    net = small(auxiliary=True).eval()
    block = net.blocks[0]
    lr, maps = faces()
    _, appearance = block.attention(block.face_stem(lr), block.landmark_stem(maps[0]))
    wanted = torch.conv2d(appearance, block.auxiliary_head.weight, block.auxiliary_head.bias, padding=1).tanh()
    torch.testing.assert_close(net(lr, maps, stages=1).auxiliary[0], wanted)


def test_skips_with_silent_heads_return_the_enlarged_inputs():
    net = small(skips=True).eval()
    for block in net.blocks:
        torch.nn.init.zeros_(block.image_head.weight)
        torch.nn.init.zeros_(block.heatmap_head.weight)
    stages = net(torch.full((1, 3, 16, 16), 0.4), [torch.full((1, 68, 16, 16), 0.3), None, None])
    torch.testing.assert_close(stages.images[2], torch.full((1, 3, 128, 128), 0.4), atol=1e-5, rtol=0)
    torch.testing.assert_close(stages.heatmaps[2], torch.full((1, 68, 64, 64), 0.3), atol=1e-5, rtol=0)


@pytest.mark.parametrize("attention", ATTENTIONS)
@pytest.mark.parametrize("priors", ["cm-am", "none"])
def test_every_parameter_gets_a_gradient(attention, priors):
    net = small(attention=attention, priors=(priors,) * 3, auxiliary=True)
    stages = net(*faces())
    sum(x.square().mean() for x in (*stages.images, *stages.auxiliary)).backward()
    assert [name for name, p in net.named_parameters() if p.grad is None or not p.grad.isfinite().all()] == []


@pytest.mark.parametrize(
    ("landmarks", "heatmaps", "message"),
    [
        ((68, 68, 68), [None, None, None], "stage 1 has no heatmaps to carry"),
        ((7, 68, 68), [torch.rand(1, 7, 16, 16), None, None], "stage 2 takes 68 heatmaps and cannot carry the 7"),
        ((68, 68, 68), [torch.rand(1, 7, 16, 16), None, None], r"stage 1 takes .*\(1, 68, 16, 16\), got \(1, 7, 16, 16\)"),
        ((68, 68, 68), [lambda *_: torch.rand(1, 68, 64, 64), None, None], r"got \(1, 68, 64, 64\)"),
        ((68, 68, 68), [torch.rand(1, 68, 16, 16)], "for 3 stages, got 1 of them"),
        ((68, 68, 68), torch.rand(3, 68, 16, 16), "for 3 stages, got one tensor"),
    ],
)
def test_heatmaps_that_cannot_be_used_are_refused(landmarks, heatmaps, message):
    with pytest.raises(UsageError, match=message):
        small(landmarks=landmarks)(torch.rand(1, 3, 16, 16), heatmaps)


def test_a_stage_without_attention_cannot_carry_what_it_never_had():
    net = small(priors=("none", "cm-am", "cm-am"))
    with pytest.raises(UsageError, match="stage 1 has no heatmaps to carry"):
        net(torch.rand(1, 3, 16, 16), [None, None, None])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"priors": ("cm-am", "gven", "none")}, "unknown priors 'gven': did you mean 'given'"),
        ({"priors": "cm-am"}, "expected three priors, one for each stage, got 'cm-am'"),
        ({"landmarks": (68, 68)}, r"expected three landmarks, one for each stage, got \(68, 68\)"),
    ],
)
def test_wrong_settings_are_refused(changes, message):
    with pytest.raises(UsageError, match=message):
        small(**changes)
