import pytest
import torch
from torch import distributed, nn

from occface.networks.synchronised import SynchronisedBatchNorm2d, synchronise


@pytest.fixture
def group():
    """A process group of one, in this process."""
    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


def _net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Sequential(nn.ReLU(), nn.BatchNorm2d(4, affine=False)))


def test_it_is_our_layer_and_names_and_tensors_stay():
    net = _net()
    before = net.state_dict(keep_vars=True)
    synchronise(net)
    after = net.state_dict(keep_vars=True)
    assert sum(isinstance(part, SynchronisedBatchNorm2d) for part in net.modules()) == 2
    assert list(after) == list(before)
    assert all(after[name] is before[name] for name in before)


@pytest.mark.parametrize("mean", [0.0, 1000.0])
def test_alone_in_its_group_it_is_the_plain_one(group, mean):
    plain, ours = nn.BatchNorm2d(4).double(), SynchronisedBatchNorm2d(4)
    nn.init.normal_(plain.weight)
    nn.init.normal_(plain.bias)
    ours.load_state_dict(plain.state_dict())
    for step in range(3):
        torch.manual_seed(step)
        pixels = torch.randn(3, 4, 5, 6, dtype=torch.float64) * 2 + mean
        weight = torch.randn_like(pixels)
        theirs_in, ours_in = pixels.clone().requires_grad_(), pixels.float().requires_grad_()
        theirs, made = plain(theirs_in), ours(ours_in)
        (theirs * weight).sum().backward()
        (made * weight.float()).sum().backward()
        tolerance = 1e-5 if mean == 0 else 2e-3
        torch.testing.assert_close(made.double(), theirs, atol=tolerance, rtol=tolerance)
        torch.testing.assert_close(ours_in.grad.double(), theirs_in.grad, atol=tolerance, rtol=tolerance)
    torch.testing.assert_close(ours.weight.grad.double(), plain.weight.grad, atol=1e-2, rtol=1e-3)
    for name, value in plain.named_buffers():
        torch.testing.assert_close(ours.get_buffer(name).double(), value.double(), atol=1e-4, rtol=1e-4)


def test_statistics_of_half_precision_are_of_float32(group):
    torch.manual_seed(0)
    ours = SynchronisedBatchNorm2d(4, momentum=1.0)
    pixels = (torch.randn(8, 4, 16, 16) * 0.5 + 20).bfloat16().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        made = ours(pixels)
    made.float().square().mean().backward()
    exact = pixels.detach().double()
    variance, mean = torch.var_mean(exact, (0, 2, 3))
    assert made.dtype == pixels.grad.dtype == torch.bfloat16
    assert ours.running_mean.dtype == ours.weight.grad.dtype == torch.float32
    # bfloat16 would give 20 in steps of an eighth
    torch.testing.assert_close(ours.running_mean.double(), mean, rtol=1e-6, atol=0)
    torch.testing.assert_close(ours.running_var.double(), variance, rtol=1e-5, atol=0)
    wanted = (exact - mean[:, None, None]) / (exact.var((0, 2, 3), correction=0)[:, None, None] + ours.eps).sqrt()
    torch.testing.assert_close(made.double(), wanted, rtol=2**-8, atol=1e-5)  # rounded once, at the end


def test_nothing_is_asked_of_the_device(group, monkeypatch):
    """On the meta device whatever needs a value, or a shape that depends on one, raises: on CUDA it would wait."""
    monkeypatch.setattr(distributed, "all_reduce", lambda tensor: None)  # gloo has nothing to send here
    for momentum in (0.1, None):
        ours = SynchronisedBatchNorm2d(4, momentum=momentum, device="meta")
        pixels = torch.empty(2, 4, 8, 8, device="meta", requires_grad=True)
        ours(pixels).sum().backward()
        assert pixels.grad.shape == pixels.shape


def test_evaluating_it_needs_nobody_else(group):
    net = _net().eval()
    pixels = torch.randn(2, 3, 8, 8)
    expected = net(pixels)
    synchronise(net)
    distributed.all_reduce, kept = None, distributed.all_reduce  # a call would fail
    try:
        assert torch.equal(net(pixels), expected)
    finally:
        distributed.all_reduce = kept
