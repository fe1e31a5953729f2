from __future__ import annotations

import shutil

import numpy as np
import openvino
import pytest
import torch
import torch.nn.functional as F

from occface import assets
from occface.errors import AssetError
from occface.networks.mobilestylegan import MobileStyleGAN, inverse_haar


@pytest.fixture(scope="module")
def paths():
    return assets.pull("mobilestylegan")


@pytest.fixture(scope="module")
def generator(paths) -> MobileStyleGAN:
    return MobileStyleGAN.from_openvino(paths)


@pytest.fixture(scope="module")
def peer(paths):
    """OpenVINO's run of the same files: z -> style, style -> picture. In float32; it would choose bfloat16 where it can."""
    core = openvino.Core()
    config = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
    compiled = [core.compile_model(paths[f"{name}Network.xml"], "CPU", config) for name in ("Mapping", "Synthesis")]
    return [lambda x, model=model: torch.from_numpy(model(x.numpy())[0].copy()) for model in compiled]


def latents(count: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal((count, 512), dtype=np.float32))


@pytest.fixture(scope="module")
def styles(generator) -> torch.Tensor:
    with torch.no_grad():
        return generator.mapping(latents(3))


def test_mapping_equals_openvinos(generator, peer, styles):
    expected = torch.cat([peer[0](z[None]) for z in latents(3)])
    torch.testing.assert_close(styles, expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize(("face", "psi"), [(0, 1.0), (1, 0.7), (2, 0.0), (2, 1.3)])
def test_pictures_equal_openvinos(generator, peer, styles, face, psi):
    style = generator.truncate(styles[face : face + 1], psi)
    with torch.no_grad():
        difference = (generator.synthesis(style) - peer[1](style)).abs()
    assert difference.shape == (1, 3, 1024, 1024)
    # The contract allows 2e-2 and 1e-3; the order of float32 sums accounts for much less.
    assert difference.max() <= 2e-3
    assert difference.mean() <= 1e-5


def test_512_is_the_block_mean_of_1024(generator, styles):
    with torch.no_grad():
        large, small = generator.synthesis(styles[:1], 1024), generator.synthesis(styles[:1], 512)
    torch.testing.assert_close(small, F.avg_pool2d(large, 2), atol=1e-5, rtol=0)
    assert -1.6 < small.min() < -0.5
    assert 0.5 < small.max() < 1.6


def test_one_style_per_level_and_batches(generator, styles):
    with torch.no_grad():
        alone = [generator.synthesis(style[None], 512) for style in styles[:2]]
        repeated = styles[:2, None].repeat(1, generator.levels, 1)
        together = generator.synthesis(repeated, 512)
    assert generator.levels == 16
    for face in range(2):
        torch.testing.assert_close(together[face], alone[face][0], atol=1e-4, rtol=0)


def test_coarse_levels_change_more_than_fine_ones_and_each_level_counts(generator, styles):
    base = generator.truncate(styles[:1], 0.7)[:, None].repeat(1, generator.levels, 1)
    with torch.no_grad():
        reference = generator.synthesis(base, 512)
        changes = []
        for levels in ([0, 1, 2, 3], [4, 5, 6, 7], [12, 13], [14], [15]):
            mixed = base.clone()
            mixed[:, levels] = styles[1:2]
            changes.append(F.avg_pool2d(generator.synthesis(mixed, 512) - reference, 16).abs().mean().item())
    assert min(changes) > 1e-4
    assert changes[0] > 0.1 > changes[3]


def test_gradients_are_those_of_finite_differences(generator, styles):
    style = styles[:1, None].repeat(1, generator.levels, 1).requires_grad_()
    weights = torch.from_numpy(np.random.default_rng(1).standard_normal((1, 3, 32, 32), dtype=np.float32))

    def height(style):
        return (F.avg_pool2d(generator.synthesis(style, 512), 16) * weights).sum()

    (gradient,) = torch.autograd.grad(height(style), style)
    assert (gradient.abs().amax(2) > 0).all(), "a level without influence"
    direction = gradient / gradient.norm()
    with torch.no_grad():
        slope = (height(style + 0.01 * direction) - height(style - 0.01 * direction)) / 0.02
    assert slope.item() == pytest.approx(gradient.norm().item(), rel=0.02)


def test_truncation_is_about_the_mean_style(generator, styles):
    with torch.no_grad():
        many = generator.mapping(latents(4096, seed=9))
    error = (generator.mean_style - many.mean(0)).abs()
    assert (error < 6 * many.std(0) * (2 / 4096) ** 0.5).all()
    torch.testing.assert_close(generator.truncate(styles, 1.0), styles)
    torch.testing.assert_close(generator.truncate(styles, 0.0), generator.mean_style.expand(3, -1))
    halfway = (generator.truncate(styles[:, None].expand(-1, 16, -1), 0.5) - generator.mean_style) * 2
    torch.testing.assert_close(halfway[:, 7], styles - generator.mean_style, atol=1e-5, rtol=0)


def test_weights_ask_for_no_gradients(generator):
    assert not any(parameter.requires_grad for parameter in generator.parameters())


@pytest.mark.parametrize(("shape", "size"), [((1, 511), 512), ((1, 15, 512), 512), ((512,), 512), ((1, 512), 256)])
def test_wrong_shapes_and_sizes_are_refused(generator, shape, size):
    with pytest.raises(ValueError, match="expected"):
        generator.synthesis(torch.zeros(shape), size)


def test_swapped_and_damaged_files_are_refused(paths, tmp_path):
    swapped = {name: paths[name.replace("Mapping", "Synthesis")] for name in paths}
    with pytest.raises(AssetError, match="MobileStyleGAN"):
        MobileStyleGAN.from_openvino(swapped)
    short = shutil.copy(paths["SynthesisNetwork.bin"], tmp_path / "short.bin")
    with open(short, "rb+") as handle:
        handle.truncate(1_000_000)
    with pytest.raises(AssetError, match="does not lie in its 1000000 bytes"):
        MobileStyleGAN.from_openvino({**paths, "SynthesisNetwork.bin": short})


def test_inverse_haar_equals_the_orthonormal_transform():
    x = latents(2)[:, :192].reshape(2, 8, 8, 3).double()
    haar = torch.tensor([[1.0, 1.0], [1.0, -1.0]], dtype=torch.float64) / 2**0.5
    # Down columns (v) and across rows (h); the bands in the order low-low, vertical, horizontal, diagonal.
    bands = torch.einsum("vi,hj,byixjc->bhvyxc", haar, haar, x.view(2, 4, 2, 4, 2, 3)).flatten(1, 2)
    torch.testing.assert_close(inverse_haar(torch.cat(bands.unbind(1), dim=3)), x)


def test_strips_join_without_a_seam(generator, styles, monkeypatch):
    with torch.no_grad():
        in_strips = generator.synthesis(styles[:1], 512)
        monkeypatch.setattr("occface.networks.mobilestylegan.STRIP", 256)
        in_one = generator.synthesis(styles[:1], 512)
    torch.testing.assert_close(in_strips, in_one, atol=1e-4, rtol=0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_draws_the_same_picture(generator, styles):
    with torch.no_grad():
        expected = generator.synthesis(styles[:1], 512)
        came = MobileStyleGAN().cuda()
        came.load_state_dict(generator.state_dict())
        came = came.synthesis(styles[:1].cuda(), 512).cpu()
    assert (came - expected).abs().mean() < 1e-2
