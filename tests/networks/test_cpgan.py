"""Re-CPGAN's network: what the guide does to a face, the copying by explicit loops, and what is shared."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from occface.errors import UsageError
from occface.networks.cpgan import CPGAN, CopyAndPaste, standardised


def small(**settings):
    torch.manual_seed(0)
    given = {"channels": 8, "fan_channels": 8, "norm": "none"} | settings
    network = CPGAN(**given)
    torch.nn.init.constant_(network.inside[3].amount, 0.5)  # starts at 0, where nothing behind it would show
    return network.eval()


def lr_faces(count, seed=1):
    return torch.rand(count, 3, 16, 16, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def count(network):
    return sum(parameter.numel() for parameter in network.parameters())


def test_size_of_the_adapted_network():
    with torch.device("meta"):  # counting needs no memory
        assert count(CPGAN()) == pytest.approx(10.81e6, rel=0.005)


def test_recursions_share_all_but_the_normalisation():
    once, thrice = count(CPGAN(8, 8, recursions=1)), count(CPGAN(8, 8, recursions=3))
    assert thrice - once == 6 * 4 * 2 * 8  # six passes more, four normalisations each, weight and bias of 8 channels
    assert count(CPGAN(8, 8, recursions=1, norm="none")) == count(CPGAN(8, 8, recursions=3, norm="none"))


@pytest.mark.parametrize("norm", ["batch", "none"])
def test_shapes_ranges_and_gradients_to_every_parameter(norm):
    network = small(norm=norm).train()
    made = network(lr_faces(3), lr_faces(2, seed=2))
    assert made.image.shape == (3, 3, 128, 128)
    assert made.guide_image.shape == (2, 3, 128, 128)
    assert made.heatmaps.shape == (3, 68, 64, 64)
    assert made.guide_heatmaps.shape == (2, 68, 64, 64)
    assert float(made.image.detach().abs().max()) <= 1
    sum(part.square().sum() for part in made).backward()
    dead = {name for name, parameter in network.named_parameters() if parameter.grad is None or not parameter.grad.any()}
    assert not dead


def test_face_is_led_by_its_guide():
    network, faces, guides = small(), lr_faces(4), lr_faces(2, seed=2)
    with torch.no_grad():
        two = network(faces, guides)
        four = network(faces, guides[[0, 1, 0, 1]])
        swapped = network(faces, guides.flip(0))
        bare = network(faces, guides, with_guides=False)
    torch.testing.assert_close(two.image, four.image, atol=1e-5, rtol=0)
    assert float((two.image - swapped.image).abs().max()) > 1e-4
    torch.testing.assert_close(bare.image, two.image, atol=1e-5, rtol=0)
    torch.testing.assert_close(bare.heatmaps, two.heatmaps, atol=1e-5, rtol=1e-4)
    assert bare.guide_image is None


def test_guides_do_not_depend_on_the_faces_they_lead():
    network, guides = small(), lr_faces(1, seed=2)
    with torch.no_grad():
        first, second = (network(lr_faces(2, seed), guides).guide_image for seed in (3, 4))
    torch.testing.assert_close(first, second, atol=1e-6, rtol=0)


def test_largest_attention_ends_the_copying():
    faces = lr_faces(1)
    with torch.no_grad():
        for largest, differs in ((0, False), (16, True)):
            network = small(largest_attention=largest)
            first, second = (network(faces, lr_faces(1, seed), with_guides=False).image for seed in (2, 3))
            assert (float((first - second).abs().max()) > 1e-5) == differs


def test_skip_starts_at_the_enlarged_face():
    network = small(skip=True)
    torch.nn.init.zeros_(network.head[3].weight)
    with torch.no_grad():
        made = network(torch.full((1, 3, 16, 16), 0.5), lr_faces(1), with_guides=False).image
    torch.testing.assert_close(made, torch.full((1, 3, 128, 128), 0.5), atol=1e-5, rtol=0)


def looked_up_by_loops(unit, face, guide):
    """What one face (C,H,W) finds in one guide, place by place."""
    channels, places = face.shape[0], face.shape[1] * face.shape[2]

    def projected(layer, x):
        rows = x.reshape(channels, places).T @ layer.weight[:, :, 0, 0].T
        return rows if layer.bias is None else rows + layer.bias

    def even(x):
        flat = x.reshape(channels, places)
        return (flat - flat.mean(1, keepdim=True)) / (flat.var(1, correction=0, keepdim=True) + 1e-5).sqrt()

    query, key, value = projected(unit.query, even(face)), projected(unit.key, even(guide)), projected(unit.value, guide)
    found = torch.zeros(places, channels)
    for place in range(places):
        if unit.attention == "softmax":
            scores = torch.stack([query[place] @ key[other] / math.sqrt(channels) for other in range(places)])
            weights = scores.exp() / scores.exp().sum()
        else:  # how much the place asks each channel for, times how much of the channel each place has
            asked = query[place].exp() / query[place].exp().sum()
            held = key.exp() / key.exp().sum(0)
            weights = torch.stack([(asked * held[other]).sum() for other in range(places)])
        torch.testing.assert_close(weights.sum(), torch.tensor(1.0))
        found[place] = sum(weights[other] * value[other] for other in range(places))
    return found.T.reshape(face.shape)


@pytest.mark.parametrize("attention", ["softmax", "linear"])
def test_copying_equals_explicit_loops(attention):
    torch.manual_seed(0)
    unit = CopyAndPaste(4, "none", 1, attention)
    both = torch.randn(3, 4, 3, 2)
    refined = unit(both, 2, 0, copies=False)
    with torch.no_grad():
        result = unit(both, 2, 0)
        for face in range(2):
            pasted = unit.paste(looked_up_by_loops(unit, refined[face], refined[2])[None])[0]
            torch.testing.assert_close(result[face], refined[face] + pasted, atol=1e-5, rtol=1e-4)
    assert torch.equal(result[2], refined[2])


def test_standardised_takes_light_and_contrast_away():
    x = torch.randn(2, 3, 4, 5)
    torch.testing.assert_close(standardised(3 * x + 7), standardised(x), atol=1e-4, rtol=0)


def test_unknown_attention_is_refused():
    with pytest.raises(UsageError, match="did you mean 'linear'"):
        CopyAndPaste(4, "none", 1, "liner")


def test_self_attention_gives_the_numbers_of_a_loop_over_places_and_of_a_call_without_heads():
    attention = small().inside[3]
    x = torch.randn(2, attention.value.in_channels, 5, 7, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        made = attention(x)
        query, key, value = (layer(x).flatten(2).transpose(1, 2) for layer in (attention.query, attention.key, attention.value))
        plain = torch.nn.functional.scaled_dot_product_attention(query, key, value)
        assert torch.equal(made, x + attention.amount * plain.transpose(1, 2).reshape_as(x))
        for face in range(2):
            for place in range(35):
                weights = torch.softmax(key[face] @ query[face, place] / math.sqrt(query.shape[2]), dim=0)
                expected = x[face].flatten(1)[:, place] + 0.5 * (weights @ value[face])
                torch.testing.assert_close(made[face].flatten(1)[:, place], expected)


def test_onnx_can_say_self_attention(tmp_path):
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    attention, x = small().inside[3], torch.randn(2, small().inside[3].value.in_channels, 5, 7)
    path, batch = str(tmp_path / "a.onnx"), torch.export.Dim.DYNAMIC
    torch.onnx.export(attention, (x,), path, input_names=["x"], dynamic_shapes=({0: batch},), dynamo=True, verbose=False)
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for given in (x, torch.cat([x, -x])):
        with torch.no_grad():
            np.testing.assert_allclose(session.run(None, {"x": given.numpy()})[0], attention(given).numpy(), atol=1e-5)
