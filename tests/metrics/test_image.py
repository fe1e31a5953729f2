from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import color, data, filters
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from occface.metrics import METRICS, psnr, ssim
from occface.metrics.image import psnr_y


def _reference(result: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """Return scikit-image's PSNR and SSIM with the contract's settings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # identical images: division by zero
        decibel = peak_signal_noise_ratio(truth, result, data_range=255)
    similarity = structural_similarity(
        truth, result, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255, channel_axis=2
    )
    return float(decibel), float(similarity)


def _compare(result: np.ndarray, truth: np.ndarray) -> None:
    decibel, similarity = _reference(result, truth)
    assert psnr(result, truth) == pytest.approx(decibel, abs=1e-6)
    assert ssim(result, truth) == pytest.approx(similarity, abs=1e-6)


def _noisy(image: np.ndarray, sigma: float, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0, sigma, image.shape)
    return np.clip(np.rint(image + noise), 0, 255).astype(np.uint8)


@settings(max_examples=40, deadline=None)
@given(height=st.integers(11, 70), width=st.integers(11, 70), seed=st.integers(0, 2**32), sigma=st.floats(0, 120))
def test_random_images_agree_with_scikit_image(height: int, width: int, seed: int, sigma: float) -> None:
    truth = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    _compare(_noisy(truth, sigma, seed), truth)


@pytest.mark.parametrize("portrait", ["astronaut", "chelsea", "coffee"])
def test_natural_images_agree_with_scikit_image(portrait: str) -> None:
    truth = np.ascontiguousarray(getattr(data, portrait)()[40:168, 160:288])
    blurred = np.rint(255 * filters.gaussian(truth, 3, channel_axis=2)).astype(np.uint8)
    shifted = np.roll(truth, 3, axis=1)
    holed = truth.copy()
    holed[30:80, 40:90] = 128
    for result in (_noisy(truth, 20), blurred, shifted, holed, 255 - truth):
        _compare(result, truth)


@pytest.mark.parametrize(("first", "second"), [(0, 255), (0, 0), (128, 127), (255, 255), (255, 254)])
def test_constant_images_agree_with_scikit_image(first: int, second: int) -> None:
    _compare(np.full((32, 40, 3), first, np.uint8), np.full((32, 40, 3), second, np.uint8))


def test_identical_images_score_infinity_and_one() -> None:
    truth = data.astronaut()[:64, :64]
    assert psnr(truth, truth) == math.inf
    assert ssim(truth, truth) == 1.0


def test_by_hand() -> None:
    truth = np.zeros((11, 11, 3), np.uint8)
    result = truth.copy()
    result[0, 0, 0] = 255  # one of 363 values off by the whole range
    assert psnr(result, truth) == pytest.approx(10 * math.log10(363))
    # Constant images have neither variance nor covariance: only the luminance term is left.
    c1 = (0.01 * 255) ** 2
    assert ssim(truth + np.uint8(10), truth + np.uint8(20)) == pytest.approx((2 * 200 + c1) / (100 + 400 + c1))


def test_metrics_do_not_depend_on_the_order_of_the_pair_or_on_strides() -> None:
    truth = data.astronaut()[40:168, 160:288]
    result = _noisy(truth, 30)
    assert psnr(result, truth) == psnr(truth, result)
    assert ssim(result, truth) == pytest.approx(ssim(truth, result), abs=1e-12)
    assert ssim(result[:, ::-1], truth[:, ::-1]) == pytest.approx(ssim(result, truth), abs=1e-12)


@pytest.mark.parametrize("metric", [psnr, ssim, psnr_y])
def test_bad_input(metric: object) -> None:
    image = np.zeros((16, 16, 3), np.uint8)
    assert callable(metric)
    with pytest.raises(ValueError, match=r"expected the result as uint8 RGB .* got float32"):
        metric(image.astype(np.float32), image)
    with pytest.raises(ValueError, match=r"expected the truth .* got uint8 of shape \(3, 16, 16\)"):
        metric(image, image.transpose(2, 0, 1))
    with pytest.raises(ValueError, match=r"one shape, got \(16, 16, 3\) and \(16, 12, 3\)"):
        metric(image, image[:, :12])
    with pytest.raises(ValueError, match="at least 11 pixels a side"):
        metric(image[:10], image[:10])


def _reference_y(result: np.ndarray, truth: np.ndarray) -> float:
    luma = [color.rgb2ycbcr(image)[..., 0] for image in (truth, result)]
    return float(peak_signal_noise_ratio(*luma, data_range=255))


def test_a_batch_agrees_with_scikit_image(make_faces) -> None:
    truth = np.stack(
        [np.ascontiguousarray(getattr(data, name)()[40:168, 160:288]) for name in ("astronaut", "chelsea", "coffee")]
    )
    result = np.stack([_noisy(image, sigma) for image, sigma in zip(truth, (5, 20, 60), strict=True)])
    values = METRICS.get("image")().measure(make_faces(truth, result))
    for number, pair in enumerate(zip(result, truth, strict=True)):
        decibel, similarity = _reference(*pair)
        assert values["psnr"][number] == pytest.approx(decibel, abs=1e-6)
        assert values["ssim"][number] == pytest.approx(similarity, abs=1e-6)
        assert values["psnr_y"][number] == pytest.approx(_reference_y(*pair), abs=1e-6)


def test_a_batch_is_its_pairs(make_faces, make_pictures) -> None:
    """Memory that pairs of a batch share must carry nothing from one to the next."""
    truth, result = make_pictures(4), make_pictures(4, seed=1)
    result[2] = truth[2]
    values = METRICS.get("image")().measure(make_faces(truth, result))
    for name, single in (("psnr", psnr), ("ssim", ssim), ("psnr_y", psnr_y)):
        assert values[name].tolist() == [single(*pair) for pair in zip(result, truth, strict=True)]
    assert values["psnr"][2] == values["psnr_y"][2] == math.inf
    assert values["ssim"][2] == 1


def test_luma_of_views_agrees_with_scikit_image() -> None:
    truth = data.astronaut()[40:168, 160:288][:, ::-1]
    result = _noisy(truth, 30)[::-1]
    assert psnr_y(result, truth) == pytest.approx(_reference_y(result, truth), abs=1e-6)
    assert psnr(result, truth) == pytest.approx(_reference(result, truth)[0], abs=1e-6)
