from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from skimage import data
from skimage.metrics import peak_signal_noise_ratio
from torch.nn import functional as F

from occface.errors import UsageError
from occface.occlusion import FILLS, KINDS, LR_KERNELS, PRESETS, downsample, occlude


@pytest.fixture(scope="module")
def face() -> np.ndarray:
    """Return the face in scikit-image's portrait, cut to 128x128."""
    return np.ascontiguousarray(data.astronaut()[40:168, 160:288])


@pytest.fixture
def mask() -> np.ndarray:
    mask = np.zeros((128, 128), np.uint8)
    mask[30:70, 50:90] = 1
    return mask


@pytest.mark.parametrize("fill", FILLS)
def test_only_the_hole_changes_and_the_original_does_not(face: np.ndarray, mask: np.ndarray, fill: str) -> None:
    before = face.copy()
    occluded = occlude(face, mask, fill, np.random.default_rng(0))
    assert (face == before).all()
    assert (occluded[mask == 0] == face[mask == 0]).all()
    assert (occluded[mask == 1] != face[mask == 1]).mean() > 0.9
    assert (occluded == occlude(face, mask.astype(bool), fill, np.random.default_rng(0))).all()


def test_values_of_the_fills(face: np.ndarray, mask: np.ndarray) -> None:
    def fill(name: str) -> np.ndarray:
        return occlude(face, mask, name, np.random.default_rng(0))[mask == 1]

    assert (fill("gray") == 128).all()
    assert (fill("zero") == 0).all()
    visible = [face[y, x] for y in range(128) for x in range(128) if not mask[y, x]]
    assert (fill("mean") == np.round(np.mean(visible, axis=0))).all()
    noise, noise01 = fill("noise"), fill("noise01")
    assert (noise.min(), noise.max(), noise01.min(), noise01.max()) == (0, 255, 128, 255)
    # Means of U(-1, 1) and U(0, 1) at rest, within four standard errors of 4,800 values; channels are independent.
    assert noise.mean() == pytest.approx(127.5, abs=4 * 73.9 / 4800**0.5)
    assert noise01.mean() == pytest.approx(191.5, abs=4 * 36.9 / 4800**0.5)
    assert abs(np.corrcoef(noise[:, 0], noise[:, 1])[0, 1]) < 0.1


def test_noise_is_other_noise_for_another_generator(face: np.ndarray, mask: np.ndarray) -> None:
    first, second = (occlude(face, mask, "noise", np.random.default_rng(seed)) for seed in (0, 1))
    assert (first != second).any()


def test_bad_input_of_occlude(face: np.ndarray, mask: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(UsageError, match="unknown fill 'grey': did you mean 'gray'"):
        occlude(face, mask, "grey", rng)
    with pytest.raises(ValueError, match=r"mask of shape \(128, 128\), got uint8 of shape \(64, 64\)"):
        occlude(face, mask[:64, :64], "gray", rng)
    with pytest.raises(ValueError, match=r"0 and 1 .*up to 255"):
        occlude(face, mask * np.uint8(255), "gray", rng)
    with pytest.raises(ValueError, match=r"expected a uint8 RGB image .* got float64"):
        occlude(face / 255, mask, "gray", rng)
    with pytest.raises(ValueError, match="covers the whole picture"):
        occlude(face, np.ones_like(mask), "mean", rng)


def _torch_bilinear(image: np.ndarray, size: int, align_corners: bool) -> np.ndarray:
    tensor = torch.from_numpy(image.astype(np.float64)).permute(2, 0, 1)[None]
    small = F.interpolate(tensor, size=(size, size), mode="bilinear", align_corners=align_corners, antialias=False)
    return small[0].permute(1, 2, 0).numpy()


@settings(max_examples=30, deadline=None)
@given(side=st.integers(16, 200), size=st.integers(2, 16), seed=st.integers(0, 2**32))
def test_align_corners_is_torchs(side: int, size: int, seed: int) -> None:
    image = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    expected = _torch_bilinear(image, size, align_corners=True)
    # Half a grey value of rounding, and nothing else.
    assert np.abs(downsample(image, size, "align-corners") - expected).max() <= 0.5 + 1e-9


def test_align_corners_to_one_pixel_takes_the_first_as_torch_does(face: np.ndarray) -> None:
    assert np.abs(downsample(face, 1, "align-corners") - _torch_bilinear(face, 1, align_corners=True)).max() <= 0.5


def test_cv2_is_torch_without_antialias(face: np.ndarray) -> None:
    expected = _torch_bilinear(face, 16, align_corners=False)
    assert np.abs(downsample(face, 16, "cv2") - expected).max() <= 0.5


def test_antialiased_is_pillow_and_sees_every_pixel(face: np.ndarray) -> None:
    expected = np.asarray(Image.fromarray(face).resize((16, 16), Image.Resampling.BILINEAR))
    assert (downsample(face) == expected).all()
    tensor = torch.from_numpy(face.astype(np.float32)).permute(2, 0, 1)[None]
    theirs = F.interpolate(tensor, size=(16, 16), mode="bilinear", antialias=True)[0].permute(1, 2, 0).numpy()
    assert np.abs(downsample(face) - theirs).max() <= 1.01
    # One bright pixel anywhere moves the antialiased thumbnail, and most often not the others.
    speck = np.zeros_like(face)
    speck[40, 40] = 255
    assert downsample(speck).any()
    assert not downsample(speck, kernel="cv2").any()
    assert not downsample(speck, kernel="align-corners").any()


def test_the_kernels_lie_about_20_db_apart(face: np.ndarray) -> None:
    small = {kernel: downsample(face, 16, kernel) for kernel in LR_KERNELS}
    apart = {(a, b): peak_signal_noise_ratio(small[a], small[b], data_range=255) for a in small for b in small if a < b}
    assert all(14 < decibel < 28 for decibel in apart.values()), apart


def test_bad_input_of_downsample(face: np.ndarray) -> None:
    with pytest.raises(UsageError, match="unknown LR kernel 'antialias': did you mean 'antialiased'"):
        downsample(face, 16, "antialias")
    with pytest.raises(ValueError, match="from 1 to 128, the picture's shorter side, got 129"):
        downsample(face, 129)
    with pytest.raises(ValueError, match=r"shape \(128, 128\)"):
        downsample(face[..., 0])
    with pytest.raises(ValueError, match="got 0"):
        downsample(face, 0)


def test_presets_name_what_exists() -> None:
    for preset in PRESETS.values():
        assert preset["fill"] in FILLS
        assert preset["kernel"] in LR_KERNELS
        assert set(preset["masks"]) <= set(KINDS)
