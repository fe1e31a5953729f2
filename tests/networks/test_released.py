"""The published generator's size, and its blocks against their arithmetic written out."""

from __future__ import annotations

import io

import pytest
import torch
import torch.nn.functional as F

from occface.errors import UsageError
from occface.networks.released import ReleasedBlock, ReleasedUInet


def published():
    torch.manual_seed(0)
    return ReleasedUInet((128, 128, 128), (2, 2, 2))


def size(net):
    return sum(p.numel() for p in net.parameters())


def test_parameters():
    net = published()
    assert size(net) == 1_197_343
    assert [round(size(block) / 1e6, 2) for block in net.blocks] == [0.29, 0.42, 0.49]
    # 128 x 32 and a bias each, four times; 32 x 32 and a bias each, twice
    assert size(net.blocks[0].attention) == 4 * 129 * 32 + 2 * 33 * 32


def test_saved_size():
    file = io.BytesIO()
    torch.save({name: p.detach() for name, p in published().named_parameters()}, file)
    assert file.tell() / 1024 == pytest.approx(4_677, rel=0.02)


def test_shapes_and_ranges():
    net = published()
    maps = [torch.rand(1, k, n, n) for k, n in ((7, 16), (42, 32), (68, 64))]
    with torch.no_grad():
        stages = net(torch.rand(1, 3, 16, 16) * 2 - 1, maps)
    assert [tuple(x.shape) for x in stages.images] == [(1, 3, n, n) for n in (32, 64, 128)]
    assert [tuple(x.shape) for x in stages.heatmaps] == [tuple(x.shape) for x in maps]
    assert [tuple(x.shape) for x in stages.auxiliary] == [(1, 3, n, n) for n in (16, 32, 64)]
    assert all(float(x.abs().max()) <= 1 for x in (*stages.images, *stages.auxiliary))
    assert all(float(x.min()) >= 0 and float(x.max()) <= 1 for x in stages.heatmaps)


def normalised(x):
    """Batch normalisation by the batch's own statistics, as in training, with weights of one and no bias."""
    mean = x.mean((0, 2, 3), keepdim=True)
    return (x - mean) / (x.var((0, 2, 3), unbiased=False, keepdim=True) + 1e-5).sqrt()


def test_a_block_is_the_published_arithmetic():
    torch.manual_seed(1)
    block = ReleasedBlock(16, 1, 5, 5).double()
    for part in block.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            torch.nn.init.ones_(part.weight)
            torch.nn.init.zeros_(part.bias)
        elif isinstance(part, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(part.weight)
    image, maps = torch.rand(2, 3, 8, 8, dtype=torch.float64) * 2 - 1, torch.rand(2, 5, 8, 8, dtype=torch.float64)
    convolutions = {name: part for name, part in block.named_modules() if isinstance(part, torch.nn.Conv2d)}

    def conv(name, x):
        layer = convolutions[name]
        return F.conv2d(x, layer.weight, layer.bias, padding=layer.kernel_size[0] // 2)

    def stem(name, x):
        return torch.relu(normalised(conv(f"{name}.0", x)))

    face, points = stem("face_stem", image), stem("landmark_stem", maps)
    query, key = conv("attention.query", face), conv("attention.key", points)
    # s[j, i]: how much the face's place j looks at the landmarks' place i
    logits = torch.einsum("bcj,bci->bji", query.flatten(2), key.flatten(2))
    weights = logits.exp() / logits.exp().sum(2, keepdim=True)
    of_face, of_points = conv("attention.face_values", face), conv("attention.landmark_values", points)
    priors = key + torch.einsum("bcj,bji->bci", of_face.flatten(2), weights).reshape_as(key)
    appearance = query + torch.einsum("bci,bji->bcj", of_points.flatten(2), weights).reshape_as(query)
    refined, auxiliary = conv("heatmap_head", priors).sigmoid(), conv("auxiliary_head", appearance).tanh()

    x = stem("join.1", stem("join.0", torch.cat([auxiliary, refined], 1)))
    # twice as large with the corner pixels' centres kept in place
    where = torch.linspace(-1, 1, 16, dtype=torch.float64)
    grid = torch.stack(torch.meshgrid(where, where, indexing="xy"), -1).expand(2, -1, -1, -1)
    x = F.grid_sample(x, grid, mode="bilinear", align_corners=True)
    inner = torch.relu(normalised(conv("residual.0.branch.0", x)))
    x = x + normalised(conv("residual.0.branch.3", inner))
    x = stem("narrow.1", stem("narrow.0", x))
    wanted = conv("image_head", x).tanh(), refined, auxiliary
    for ours, theirs in zip(block(image, maps), wanted, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_only_the_unapplied_projections_learn_nothing():
    torch.manual_seed(0)
    net = ReleasedUInet((16, 16, 16), (1, 1, 1))
    maps = [torch.rand(1, k, n, n) for k, n in ((7, 16), (42, 32), (68, 64))]
    net(torch.rand(1, 3, 16, 16), maps).images[2].square().mean().backward()
    idle = {name.split(".", 2)[2] for name, p in net.named_parameters() if p.grad is None}
    assert idle == {f"attention.{side}_output.{kind}" for side in ("face", "landmark") for kind in ("weight", "bias")}


def test_weights_start_as_published():
    net = published()
    kernels = torch.cat([m.weight.detach().flatten() for m in net.modules() if isinstance(m, torch.nn.Conv2d)])
    biases = torch.cat([m.bias.detach() for m in net.modules() if isinstance(m, torch.nn.Conv2d)])
    scales = torch.cat([m.weight.detach() for m in net.modules() if isinstance(m, torch.nn.BatchNorm2d)])
    assert float(kernels.mean()) == pytest.approx(0, abs=1e-4)
    for values in (kernels, biases, scales):
        assert float(values.std()) == pytest.approx(0.02, rel=0.1)
    assert float(scales.mean()) == pytest.approx(1, abs=0.005)


def test_equal_numbers_of_landmarks_can_be_carried_and_unequal_ones_not():
    lr = torch.rand(1, 3, 16, 16)
    net = ReleasedUInet((8, 8, 8), (1, 1, 1), landmarks=(5, 5, 5))
    assert [x.shape[1] for x in net(lr, [torch.rand(1, 5, 16, 16), None, None]).heatmaps] == [5, 5, 5]
    with pytest.raises(UsageError, match="stage 2 takes 42 heatmaps and cannot carry the 7"):
        ReleasedUInet((8, 8, 8), (1, 1, 1))(lr, [torch.rand(1, 7, 16, 16), None, None])


def test_wrong_widths_are_refused():
    with pytest.raises(UsageError, match="multiple of 4, got 18"):
        ReleasedUInet((18, 16, 16), (1, 1, 1))
    with pytest.raises(UsageError, match="expected three blocks"):
        ReleasedUInet((16, 16, 16), (1, 1))
