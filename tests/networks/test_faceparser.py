"""BiSeNet: the size and names of the published parser, its maps, its parts against their formulas."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from occface.errors import UsageError
from occface.networks.faceparser import HEADS, BiSeNet


@pytest.fixture(scope="module")
def small():
    torch.manual_seed(0)
    return BiSeNet(5, width=4, size=64).eval()


def test_size_is_the_published_parsers():
    with torch.device("meta"):  # counting needs no memory
        net = BiSeNet(19)
    assert sum(parameter.numel() for parameter in net.parameters()) == 13_300_416
    trunk = sum(parameter.numel() for parameter in net.cp.resnet.parameters())
    assert trunk == 11_176_512  # ResNet-18's 11,689,512 without its classifier of 513,000


def test_names_are_the_published_parsers():
    with torch.device("meta"):
        state = BiSeNet(19).state_dict()
    wanted = {
        "cp.resnet.layer4.1.bn2.running_var": (512,),
        "cp.resnet.layer2.0.downsample.0.weight": (128, 64, 1, 1),
        "cp.arm32.conv_atten.weight": (128, 128, 1, 1),
        "cp.conv_avg.conv.weight": (128, 512, 1, 1),
        "ffm.conv1.weight": (64, 256, 1, 1),
        "conv_out.conv_out.weight": (19, 256, 1, 1),
        "conv_out32.conv.bn.bias": (64,),
    }
    assert {name: tuple(state[name].shape) for name in wanted} == wanted
    assert not [name for name in state if name.startswith(("mean", "std", "size"))]


@pytest.mark.parametrize("heads", [1, 2, 3])
def test_each_head_gives_logits_of_the_pictures_size(small, heads):
    maps = small(torch.rand(2, 3, 48, 40) * 2 - 1, heads=heads)
    assert [tuple(logits.shape) for logits in maps] == [(2, 5, 48, 40)] * heads
    assert all(logits.dtype == torch.float32 and logits.isfinite().all() for logits in maps)


def test_the_first_head_does_not_depend_on_how_many_are_asked(small):
    images = torch.rand(1, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        assert torch.equal(small(images)[0], small(images, heads=HEADS)[0])


def test_pictures_are_normalised_as_imagenets(small):
    seen = {}
    handle = small.cp.resnet.conv1.register_forward_pre_hook(lambda _, inputs: seen.update(x=inputs[0]))
    with torch.no_grad():
        small(torch.tensor([-1.0, 0.0, 1.0]).view(1, 3, 1, 1).expand(1, 3, 16, 16))
    handle.remove()
    wanted = torch.tensor([(0 - 0.485) / 0.229, (0.5 - 0.456) / 0.224, (1 - 0.406) / 0.225])
    torch.testing.assert_close(seen["x"], wanted.view(1, 3, 1, 1).expand(1, 3, 64, 64))


def test_features_have_an_eighth_a_sixteenth_and_a_thirty_second_of_the_size(small):
    with torch.no_grad():
        shapes = [tuple(features.shape) for features in small.cp.resnet(torch.rand(1, 3, 96, 64))]
    assert shapes == [(1, 8, 12, 8), (1, 16, 6, 4), (1, 32, 3, 2)]


def test_context_and_fusion_follow_their_formulas(small):
    x = torch.randn(2, 3, 64, 64)
    cp, ffm = small.cp, small.ffm
    with torch.no_grad():
        eighth, sixteenth, coarsest = cp.resnet(x)

        def refined(module, features):
            inner = module.conv(features)
            mean = inner.mean((2, 3), keepdim=True)
            return inner * torch.sigmoid(module.bn_atten(module.conv_atten(mean)))

        low = refined(cp.arm32, coarsest) + cp.conv_avg(coarsest.mean((2, 3), keepdim=True)).expand(2, 8, 2, 2)
        coarse = cp.conv_head32(low.repeat_interleave(2, 2).repeat_interleave(2, 3))
        middle = refined(cp.arm16, sixteenth) + coarse
        context = cp.conv_head16(middle.repeat_interleave(2, 2).repeat_interleave(2, 3))
        for found, wanted in zip(cp(x), (eighth, context, coarse), strict=True):
            torch.testing.assert_close(found, wanted)
        joined = ffm.convblk(torch.cat([eighth, context], 1))
        share = torch.sigmoid(ffm.conv2(ffm.conv1(joined.mean((2, 3), keepdim=True)).clamp(min=0)))
        torch.testing.assert_close(ffm(eighth, context), joined * (1 + share))


def test_resnets_blocks_follow_their_formula(small):
    block = small.cp.resnet.layer2[0]
    x = torch.randn(1, 4, 8, 8)
    with torch.no_grad():
        inner = F.conv2d(x, block.conv1.weight, stride=2, padding=1).clamp(min=0)  # fresh norms: mean 0, variance 1
        inner = F.conv2d(inner / (1 + 1e-5) ** 0.5, block.conv2.weight, padding=1)
        beside = F.conv2d(x, block.downsample[0].weight, stride=2)
        wanted = ((inner + beside) / (1 + 1e-5) ** 0.5).clamp(min=0)
        torch.testing.assert_close(block(x), wanted)


def test_gradients_reach_every_parameter():
    torch.manual_seed(0)
    net = BiSeNet(5, width=4, size=64).train()
    sum(logits.square().mean() for logits in net(torch.rand(2, 3, 64, 64), heads=HEADS)).backward()
    assert [name for name, parameter in net.named_parameters() if parameter.grad is None or not parameter.grad.any()] == []


def test_a_size_too_small_for_the_trunk_is_refused():
    with pytest.raises(UsageError, match="at least 32 for the face parser, got 16"):
        BiSeNet(5, size=16)


def test_no_1x1_convolution_has_a_stride():
    """The gradient of a narrow one writes beyond its memory in torch 2.13 on some processors."""
    convolutions = [part for part in BiSeNet(11, 4, 64).modules() if isinstance(part, torch.nn.Conv2d)]
    assert len(convolutions) > 20
    assert not [c for c in convolutions if c.kernel_size == (1, 1) and c.stride != (1, 1)]
