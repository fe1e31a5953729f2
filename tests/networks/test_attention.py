"""Each reading of the attention against its explicit matrix form."""

from __future__ import annotations

import math

import pytest
import torch

from occface.errors import UsageError
from occface.networks import attention
from occface.networks.attention import ATTENTIONS, CrossModalAttention, one_softmax
from occface.networks.layers import initialise
from occface.networks.uinet import UIBlock


def looked_up(reading, scale, q, k, of_face, of_landmarks):
    """Eq. 1 and 2 with the matrix written out; rows are places: i of landmarks, j of faces."""
    if reading == "dot_softmax":
        weights = torch.einsum("bjd,bid->bji", k, q).exp()
        weights = weights / weights.sum(2, keepdim=True)
        return torch.einsum("bji,bjc->bic", weights, of_face), torch.einsum("bji,bic->bjc", weights, of_landmarks)
    if reading == "channel":
        across_places = [x / x.pow(2).sum(1, keepdim=True).sqrt() for x in (q, k)]
        cosines = torch.einsum("bnc,bnd->bcd", *across_places) / math.sqrt(q.shape[2])
        return torch.einsum("bnd,bcd->bnc", of_face, cosines), torch.einsum("bnc,bcd->bnd", of_landmarks, cosines)
    q, k = q / q.norm(dim=-1, keepdim=True), k / k.norm(dim=-1, keepdim=True)
    cosines = torch.einsum("bid,bjd->bij", q, k)
    assert float(cosines.detach().abs().max()) <= 1 + 1e-5
    if reading == "pointwise":
        own = torch.diagonal(cosines, dim1=1, dim2=2)
        return torch.einsum("bn,bnc->bnc", own, of_face), torch.einsum("bn,bnc->bnc", own, of_landmarks)
    if reading == "cosine_softmax":
        there, back = torch.softmax(scale * cosines, 2), torch.softmax(scale * cosines.mT, 2)
    else:
        there, back = (scale / math.sqrt(cosines.shape[1]) * matrix for matrix in (cosines, cosines.mT))
    return there @ of_face, back @ of_landmarks


def explicit(module, face, landmarks):
    rows = [
        layer(x).permute(0, 2, 3, 1).reshape(x.shape[0], -1, x.shape[1])
        for layer, x in (
            (module.query, landmarks),
            (module.key, face),
            (module.face_values, face),
            (module.landmark_values, landmarks),
        )
    ]
    scale = module.log_scale.exp() if hasattr(module, "log_scale") else None
    priors, appearance = looked_up(module.reading, scale, *rows)

    def shaped(x):
        return x.reshape(x.shape[0], *face.shape[2:], -1).permute(0, 3, 1, 2)

    return landmarks + shaped(priors), face + shaped(appearance)


@pytest.mark.parametrize("reading", ATTENTIONS)
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("rows", [512, 7])
def test_equals_the_explicit_matrix(reading, memory_format, rows, monkeypatch):
    monkeypatch.setattr(attention, "_ROWS", rows)  # 54 places: one strip, or seven of 7 and one of 5
    torch.manual_seed(1)
    module = CrossModalAttention(12, reading).double()
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if name == "log_scale":
                parameter.add_(0.3)
    streams = [torch.randn(2, 12, 6, 9, dtype=torch.float64) for _ in range(2)]
    face, landmarks = (x.to(memory_format=memory_format).requires_grad_() for x in streams)
    got, wanted = module(face, landmarks), explicit(module, face, landmarks)
    for ours, theirs in zip(got, wanted, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-9, rtol=1e-9)
    # each output weighed otherwise, so that the two directions cannot stand in for each other
    pulls = [torch.randn_like(x) for x in got]
    inputs = [face, landmarks, *module.parameters()]
    ours, theirs = (
        torch.autograd.grad(sum((x * pull).sum() for x, pull in zip(pair, pulls, strict=True)), inputs)
        for pair in (got, wanted)
    )
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, atol=1e-8, rtol=1e-8)


@pytest.mark.parametrize("reading", ATTENTIONS)
def test_single_precision_is_near_the_explicit_matrix(reading):
    torch.manual_seed(1)
    module = CrossModalAttention(12, reading)
    face, landmarks = torch.randn(2, 2, 12, 6, 9)
    for ours, theirs in zip(module(face, landmarks), explicit(module, face, landmarks), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("reading", ATTENTIONS)
def test_half_precision_is_near_single(reading):
    torch.manual_seed(4)
    module = CrossModalAttention(16, reading)
    face, landmarks = torch.relu(torch.randn(2, 1, 16, 32, 32))
    with torch.autocast("cpu", torch.bfloat16):
        halves = module(face, landmarks)
    for half, single in zip(halves, module(face, landmarks), strict=True):
        assert float(((half - single).norm() / single.norm()).detach()) < 0.01


@pytest.mark.parametrize("reading", ATTENTIONS)
def test_places_exchange_by_content_not_by_position(reading):
    """Turning both streams half around turns the results likewise: nothing depends on where a place is."""
    torch.manual_seed(2)
    module = CrossModalAttention(8, reading)
    for layer in [m for m in module.modules() if isinstance(m, torch.nn.Conv2d)]:
        layer.weight.data[:] = layer.weight.data + layer.weight.data.flip(2, 3)
    face, landmarks = torch.randn(2, 1, 8, 6, 6)
    turned = module(face.flip(2, 3), landmarks.flip(2, 3))
    for one, other in zip(module(face, landmarks), turned, strict=True):
        torch.testing.assert_close(one.flip(2, 3), other, atol=1e-5, rtol=1e-5)


def shares(module, places):
    """How large what is added is beside the landmark and the face stream it is added to, for random features."""
    torch.manual_seed(5)
    face, landmarks = torch.relu(torch.randn(2, 1, 32, places, places))
    with torch.no_grad():
        priors, appearance = module(face, landmarks)
    return [float((out - x).std() / x.std()) for x, out in ((landmarks, priors), (face, appearance))]


@pytest.mark.parametrize("places", [16, 32, 64])
@pytest.mark.parametrize("reading", [reading for reading in ATTENTIONS if reading != "cosine_linear"])
@pytest.mark.parametrize("start", ["alone", "in a block"])
def test_what_is_added_neither_drowns_the_stream_nor_vanishes(reading, places, start):
    torch.manual_seed(5)
    module = CrossModalAttention(32, reading) if start == "alone" else UIBlock(32, 1, reading, "batch", False).attention
    assert all(0.001 < share < 2 for share in shares(module, places))


def test_the_linear_reading_grows_as_the_root_of_n_until_its_gain_is_learned():
    torch.manual_seed(5)
    module = CrossModalAttention(32, "cosine_linear")
    first, last = shares(module, 16), shares(module, 64)
    assert all(share < 3 for share in last)
    for small, large in zip(first, last, strict=True):
        assert large / small == pytest.approx(math.sqrt(4096 / 256), rel=0.15)
    with torch.no_grad():
        module.log_scale.fill_(-math.log(math.sqrt(4096)))  # the mean over the places instead
    assert all(0.001 < share < 2 for share in shares(module, 64))


def test_one_softmax_at_hes_scale_would_drown_the_landmarks():
    """Why a UI-block starts the raw dot products smaller."""
    torch.manual_seed(5)
    module = CrossModalAttention(32, "dot_softmax")
    initialise(module)
    assert shares(module, 64)[0] > 4


@pytest.mark.parametrize("reading", ATTENTIONS)
def test_no_matrix_between_places_is_kept_for_the_backward_pass(reading, monkeypatch):
    monkeypatch.setattr(attention, "_ROWS", 256)
    module = CrossModalAttention(8, reading)
    face, landmarks = torch.randn(2, 1, 8, 32, 32, requires_grad=True)
    kept = []

    def keep(x):
        kept.append(x.numel())
        return x

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        priors, appearance = module(face, landmarks)
    assert kept
    assert max(kept) <= 8 * 1024  # a stream
    (priors.sum() + appearance.sum()).backward()
    assert all(p.grad is not None for p in module.parameters())


def test_the_matrix_is_seen_where_it_is_kept():
    """The test above can fail: written out, the matrix is there."""
    module = CrossModalAttention(8, "cosine_softmax")
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x.numel()) or x, lambda x: x):
        explicit(module, *torch.randn(2, 1, 8, 32, 32))
    assert 1024 * 1024 in kept


def test_one_softmax_of_unequal_numbers_of_places():
    torch.manual_seed(3)
    face, of_face = torch.randn(2, 700, 4, dtype=torch.float64), torch.randn(2, 700, 3, dtype=torch.float64)
    landmarks, of_landmarks = torch.randn(2, 30, 4, dtype=torch.float64), torch.randn(2, 30, 5, dtype=torch.float64)
    priors, appearance = one_softmax(face, landmarks, of_face, of_landmarks)
    wanted = looked_up("dot_softmax", None, landmarks, face, of_face, of_landmarks)
    torch.testing.assert_close(priors, wanted[0])
    torch.testing.assert_close(appearance, wanted[1])


@pytest.mark.parametrize(
    ("reading", "wanted"),
    [
        ("channel", 885_504),
        ("cosine_linear", 885_505),
        ("cosine_softmax", 885_505),
        ("dot_softmax", 885_504),
        ("pointwise", 885_504),
    ],
)
def test_parameters_of_the_papers_width(reading, wanted):
    assert sum(p.numel() for p in CrossModalAttention(128, reading).parameters()) == wanted


def test_unknown_reading_is_refused():
    with pytest.raises(UsageError, match="did you mean 'cosine_linear'"):
        CrossModalAttention(8, "cosine_liner")
