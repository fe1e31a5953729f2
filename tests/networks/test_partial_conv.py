"""The partial convolution against an explicit loop over windows."""

from __future__ import annotations

import pytest
import torch

from occface.networks.partial_conv import PartialConv2d


def looped(layer, features, valid):
    """What NVIDIA's form says, place by place: features and a mask for each channel, (C,H,W), in float64."""
    weight, bias = layer.convolution.weight.double(), layer.bias.double()
    outputs, channels, kernel, _ = weight.shape
    stride, border = layer.convolution.stride[0], kernel // 2
    height, width = features.shape[1:]
    result = torch.zeros(outputs, height // stride, width // stride, dtype=torch.float64)
    seen = torch.zeros(height // stride, width // stride)
    for top in range(0, height, stride):
        for left in range(0, width, stride):
            total, count = torch.zeros(outputs, dtype=torch.float64), 0
            for y in range(max(0, top - border), min(height, top + border + 1)):
                for x in range(max(0, left - border), min(width, left + border + 1)):
                    for channel in range(channels):
                        if valid[channel, y, x]:
                            count += 1
                            tap = weight[:, channel, y - top + border, x - left + border]
                            total += tap * features[channel, y, x].double()
            if count:
                result[:, top // stride, left // stride] = total * (channels * kernel**2 / count) + bias
                seen[top // stride, left // stride] = 1
    return result.float(), seen


@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (5, 2)])
def test_equals_a_loop_over_windows(kernel, stride):
    torch.manual_seed(0)
    layer = PartialConv2d(5, 2, kernel, stride)
    torch.nn.init.normal_(layer.bias)
    # Two parts side by side with masks of their own, as below and beside in the U-Net.
    features = torch.randn(5, 10, 8)
    first, second = torch.zeros(1, 10, 8), torch.zeros(1, 10, 8)
    first[:, :3, :4] = 1
    first[:, 0, 7] = 1
    second[:, 2:5, 5:] = 1
    result, valid = layer((features[None, :2], first[None]), (features[None, 2:], second[None]))
    wanted, seen = looped(layer, features, torch.cat([first.expand(2, -1, -1), second.expand(3, -1, -1)]))
    assert 0 < seen.sum() < seen.numel()  # some windows hold nothing
    torch.testing.assert_close(result[0], wanted, atol=1e-5, rtol=1e-5)
    assert torch.equal(valid[0, 0], seen)


def test_what_is_invalid_does_not_matter():
    torch.manual_seed(0)
    layer = PartialConv2d(3, 4)
    valid = (torch.rand(2, 1, 8, 8) < 0.5).float()
    features = torch.randn(2, 3, 8, 8)
    other = torch.where(valid.bool(), features, torch.randn(2, 3, 8, 8))
    assert torch.equal(layer((features, valid))[0], layer((other, valid))[0])


def test_constants_pass_a_mean_filter_unchanged_however_much_is_hidden():
    layer = PartialConv2d(1, 1, bias=False)
    torch.nn.init.constant_(layer.convolution.weight, 1 / 9)
    valid = torch.zeros(1, 1, 6, 6)
    valid[:, :, 0, 0] = valid[:, :, 4, 3:] = 1
    result, after = layer((torch.full((1, 1, 6, 6), 7.0), valid))
    torch.testing.assert_close(result, 7 * after)
    assert after.sum() == 4 + 3 * 4  # around the corner 2x2, around three places in a row (at the right border) 3x4
