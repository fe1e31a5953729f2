"""Each reading of the attention against its explicit matrix form."""

from __future__ import annotations

import math

import pytest
import torch

from occface.errors import UsageError
from occface.networks.attention import CrossModalAttention


def explicit(module, face, landmarks):
    """Eq. 1 and 2 with the N x N matrix written out."""
    rows = {
        name: layer(x).permute(0, 2, 3, 1).reshape(x.shape[0], -1, x.shape[1])
        for name, layer, x in (
            ("q", module.query, landmarks),
            ("k", module.key, face),
            ("of_face", module.face_values, face),
            ("of_landmarks", module.landmark_values, landmarks),
        )
    }
    q, k = rows["q"] / rows["q"].norm(dim=-1, keepdim=True), rows["k"] / rows["k"].norm(dim=-1, keepdim=True)
    cosines = torch.einsum("bid,bjd->bij", q, k)
    assert float(cosines.detach().abs().max()) <= 1 + 1e-5
    scale = module.log_scale.exp()
    if module.reading == "cosine_softmax":
        there, back = torch.softmax(scale * cosines, 2), torch.softmax(scale * cosines.mT, 2)
    else:
        there, back = (scale / math.sqrt(cosines.shape[1]) * matrix for matrix in (cosines, cosines.mT))

    def shaped(x):
        return x.reshape(x.shape[0], *face.shape[2:], -1).permute(0, 3, 1, 2)

    return landmarks + shaped(there @ rows["of_face"]), face + shaped(back @ rows["of_landmarks"])


@pytest.mark.parametrize("reading", ["cosine_softmax", "cosine_linear"])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_equals_the_explicit_matrix(reading, memory_format):
    torch.manual_seed(1)
    module = CrossModalAttention(12, reading)
    with torch.no_grad():
        module.log_scale.add_(0.3)
    face, landmarks = (torch.randn(2, 12, 6, 9).to(memory_format=memory_format).requires_grad_() for _ in range(2))
    got, wanted = module(face, landmarks), explicit(module, face, landmarks)
    for ours, theirs in zip(got, wanted, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
    inputs = (face, landmarks, module.log_scale, module.query.weight)
    ours, theirs = (torch.autograd.grad(sum(x.square().sum() for x in pair), inputs) for pair in (got, wanted))
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, atol=2e-4, rtol=2e-4)


@pytest.mark.parametrize("reading", ["cosine_softmax", "cosine_linear"])
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


def test_parameters_of_the_papers_width():
    assert sum(p.numel() for p in CrossModalAttention(128, "cosine_softmax").parameters()) == 885_505


def test_unknown_reading_is_refused():
    with pytest.raises(UsageError, match="did you mean 'cosine_linear'"):
        CrossModalAttention(8, "cosine_liner")
