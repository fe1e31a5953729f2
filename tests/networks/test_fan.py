import hashlib
import json

import pytest
import torch

from occface.networks.fan import FAN


def formula(network):
    """Fill a network by a formula, small enough that values neither vanish nor explode; the same on every machine."""
    state = network.state_dict()
    with torch.no_grad():
        for number, (name, values) in enumerate(sorted(state.items())):
            if values.dtype != torch.float32:
                continue
            wave = torch.sin(torch.arange(values.numel(), dtype=torch.float64) * 0.7 + number)
            if name.endswith("running_var"):
                wave = wave.abs() + 0.5
            elif values.dim() > 1:
                wave = wave * (0.05 / values[0].numel()) ** 0.5
            else:
                wave = wave * 0.1 + float(name.endswith("weight"))
            values.copy_(wave.reshape(values.shape))
    return network.eval()


@pytest.mark.parametrize(("stacks", "parameters"), [(1, 6_249_668), (4, 23_820_176)])
def test_it_has_the_published_number_of_parameters(stacks, parameters):
    assert sum(values.numel() for values in FAN(stacks).parameters()) == parameters


def test_names_and_shapes_are_those_of_the_published_weights():
    """The hash is that of names and shapes of face-alignment 1.5.0's FAN(4), into which the published weights go."""
    shapes = {name: list(values.shape) for name, values in FAN(4).state_dict().items()}
    found = hashlib.sha256(json.dumps(shapes, sort_keys=True).encode()).hexdigest()
    assert found == "c45f5ed75a0307773a17e93de6f9eec26997b4bc6536e752caeb3fd3ff9b534f"


def test_the_heatmaps_are_those_of_the_package():
    """face-alignment 1.5.0's FAN(4), filled by the same formula, gave these values for the same picture."""
    x = torch.sin(torch.arange(3 * 256 * 256, dtype=torch.float64) * 0.01).reshape(1, 3, 256, 256).float() * 0.5 + 0.5
    with torch.inference_mode():
        maps = formula(FAN(4))(x)
    assert maps.shape == (1, 68, 64, 64)
    expected = [0.00038739852607250214, 0.21275517344474792, -0.0910630151629448, -0.05141148343682289]
    expected += [-0.1265302449464798, 0.23393084108829498]
    torch.testing.assert_close(maps[0, ::13, 17, 29], torch.tensor(expected), atol=1e-4, rtol=1e-3)
    assert maps.std().item() == pytest.approx(0.1278, abs=1e-3)


def test_the_first_hourglasses_can_be_asked_alone():
    torch.manual_seed(0)
    two, picture = FAN(2).eval(), torch.rand(1, 3, 64, 64)
    one = FAN(1).eval()
    one.load_state_dict({name: value for name, value in two.state_dict().items() if name in one.state_dict()})
    assert torch.equal(two(picture, hourglasses=1), one(picture))
    assert torch.equal(two(picture, hourglasses=2), two(picture))
    assert not torch.equal(two(picture, hourglasses=1), two(picture))


def test_without_the_pool_a_picture_of_128_gives_maps_of_64_with_the_same_parameters():
    small = FAN(1, 5, width=32, pooled=False).eval()
    pooled = FAN(1, 5, width=32).eval()
    pooled.load_state_dict(small.state_dict())
    picture = torch.rand(1, 3, 128, 128)
    assert small(picture).shape == (1, 5, 64, 64)
    assert pooled(picture).shape == (1, 5, 32, 32)


def test_each_gives_what_every_hourglass_gives():
    torch.manual_seed(0)
    network, picture = FAN(3, 4, width=16).eval(), torch.rand(2, 3, 64, 64)
    each = network(picture, each=True)
    assert each.shape == (3, 2, 4, 16, 16)
    for number in (1, 2, 3):
        assert torch.equal(each[number - 1], network(picture, hourglasses=number))
