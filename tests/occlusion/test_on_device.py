from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from scipy import stats
from skimage import data

from occface.errors import UsageError
from occface.occlusion import FILLS, KINDS, LR_KERNELS, degrade, draw_mask
from occface.occlusion.on_device import MaskDrawer, downsample, draw_masks, occlude, supported
from occface.occlusion.strokes import hole_counts

STROKES = [kind for kind in KINDS if kind.startswith("irregular-")]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def portraits() -> np.ndarray:
    """Return cuts of scikit-image's portrait, (25, 128, 128, 3)."""
    places = [(y, x) for y in range(0, 384, 80) for x in range(0, 384, 80)]
    return np.stack([data.astronaut()[y : y + 128, x : x + 128] for y, x in places])


def channels_first(images: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(images).permute(0, 3, 1, 2)


def test_squares_and_strokes_are_supported_and_nothing_else():
    assert {kind for kind in KINDS if supported(kind)} == {
        kind for kind in KINDS if kind.startswith("square") or kind.startswith("irregular")
    }
    assert len(STROKES) == 18
    assert supported("irregular@3")
    assert not any(supported(kind) for kind in ("square+square-32", "eyes+irregular", "square-17", "irregular-0.1-0.3", ""))
    with pytest.raises(UsageError, match="masks of kind 'walk' cannot be drawn on a device"):
        draw_masks("walk", generator(), 1, 128, "cpu")
    with pytest.raises(ValueError, match="16 to 512 pixels a side, got 8"):
        draw_masks("square", generator(), 1, 8, "cpu")


@pytest.mark.parametrize("kind", STROKES)
def test_the_hole_ratio_is_uniform_within_the_bin(kind):
    low, high = (round(100 * float(edge)) for edge in kind.split("-")[1:3])
    smallest, largest = hole_counts((low, high), 32)
    masks = draw_masks(kind, generator(5), 250, 32, "cpu")
    assert masks.dtype == torch.uint8
    assert masks.max() == 1
    counts = masks.sum((1, 2, 3)).numpy()
    assert smallest <= counts.min() <= counts.max() <= largest
    assert stats.kstest(counts, stats.uniform(smallest, largest - smallest).cdf).pvalue > 0.005


def test_irregular_mixes_the_bins_of_training():
    counts = draw_masks("irregular", generator(6), 600, 32, "cpu").sum((1, 2, 3)).numpy()
    bins = [hole_counts(edges, 32) for edges in ((1, 10), (10, 20), (20, 30))]
    numbers = [((counts >= low) & (counts <= high)).sum() for low, high in bins]
    assert sum(numbers) == 600
    assert stats.chisquare(numbers).pvalue > 0.01


def test_squares_have_the_sides_and_places_of_the_host():
    masks = draw_masks("square", generator(7), 2000, 128, "cpu")[:, 0]
    sides = masks.sum(2).amax(1)
    assert (masks.sum((1, 2)) == sides**2).all()
    assert (sides.min(), sides.max()) == (16, 64)
    assert stats.chisquare(np.bincount(sides.numpy(), minlength=65)[16:]).pvalue > 0.01
    fixed = draw_masks("square-48", generator(8), 2000, 128, "cpu")[:, 0]
    left, top = fixed.sum(1).argmax(1).numpy(), fixed.sum(2).argmax(1).numpy()
    for place in (left, top):  # 81 places each
        assert stats.chisquare(np.bincount(place, minlength=81)).pvalue > 0.01
    assert abs(np.corrcoef(left, top)[0, 1]) < 0.09


def features(masks: np.ndarray) -> dict[str, np.ndarray]:
    edges = (masks[:, 1:] != masks[:, :-1]).sum((1, 2)) + (masks[:, :, 1:] != masks[:, :, :-1]).sum((1, 2))
    return {
        "parts": np.array([cv2.connectedComponents(mask)[0] - 1 for mask in masks]),
        "edges": edges,
        "edges of a disc": edges / np.sqrt(masks.sum((1, 2))),
        "centre": masks[:, 32:96, 32:96].mean((1, 2)) / masks.mean((1, 2)),
        "outside": 1 - masks[:, 12:-12, 12:-12].sum((1, 2)) / masks.sum((1, 2)),
    }


@pytest.mark.parametrize("kind", ["irregular", "irregular-0.1-0.2-inside", "irregular-0.01-0.1-border", "square"])
def test_masks_are_like_those_of_the_host(kind):
    rng = np.random.default_rng(9)
    theirs = np.stack([draw_mask(kind, rng) for _ in range(300)])
    ours = draw_masks(kind, generator(10), 300, 128, "cpu")[:, 0].numpy()
    for name, one in features(ours).items():
        other = features(theirs)[name]
        # Three standard errors of the difference, and three per cent, for arcs are polygons and outlines differ by a pixel.
        allowed = 3 * np.hypot(one.std(), other.std()) / 300**0.5 + 0.03 * abs(other.mean())
        assert abs(one.mean() - other.mean()) <= allowed, name
    coverage = [cv2.resize(masks.mean(0), (4, 4), interpolation=cv2.INTER_AREA) for masks in (ours, theirs)]
    assert np.abs(coverage[0] - coverage[1]).max() < 0.08


def test_masks_depend_on_the_generator_alone_and_shares_are_parts_of_the_whole():
    drawer = MaskDrawer(("square", "irregular", "irregular-0.2-0.3-inside"), 64, "cpu")
    which = torch.tensor([0, 1, 2, 2, 1, 0])
    whole = drawer(which, generator(11))
    assert torch.equal(drawer(which, generator(11)), whole)
    assert not torch.equal(drawer(which, generator(12)), whole)
    shares = [drawer(which[2 * rank : 2 * rank + 2], generator(11), (rank, 3)) for rank in range(3)]
    assert torch.equal(torch.cat(shares), whole)
    pictures = torch.full((6, 3, 64, 64), 9, dtype=torch.uint8)
    filled = occlude(pictures, whole, "noise", generator(13))
    parts = [occlude(pictures[:2], shares[rank], "noise", generator(13), (rank, 3)) for rank in range(3)]
    assert torch.equal(torch.cat(parts), filled)


def test_kinds_are_mixed_row_by_row():
    drawer = MaskDrawer(("square-32", "irregular-0.5-0.6", "irregular"), 128, "cpu")
    masks = drawer(torch.arange(60) % 3, generator(14))
    share = masks.float().mean((1, 2, 3))
    assert (share[::3] == 1024 / 128**2).all()
    assert (share[1::3] > 0.5).all()
    assert (share[2::3] <= 0.3).all()


@pytest.mark.parametrize("fill", FILLS)
def test_fills_are_those_of_the_host(portraits, fill):
    masks = draw_masks("irregular", generator(15), len(portraits), 128, "cpu")
    ours = occlude(channels_first(portraits), masks, fill, generator(16)).permute(0, 2, 3, 1).numpy()
    hole = masks[:, 0].bool().numpy()
    assert (ours[~hole] == portraits[~hole]).all()
    if fill.startswith("noise"):
        lowest = {"noise": 0, "noise01": 128}[fill]
        values = np.bincount(ours[hole].ravel(), minlength=256)
        assert values[:lowest].sum() == 0
        assert stats.chisquare(values[lowest:]).pvalue > 0.01
        assert abs(np.corrcoef(ours[hole][:, 0], ours[hole][:, 1])[0, 1]) < 0.02
        return
    theirs = [degrade.occlude(image, mask, fill, np.random.default_rng()) for image, mask in zip(portraits, hole, strict=True)]
    assert (ours == np.stack(theirs)).all()


@pytest.mark.parametrize("kernel", LR_KERNELS)
@pytest.mark.parametrize("size", [16, 32])
def test_thumbnails_are_those_of_the_host(portraits, kernel, size):
    images = np.concatenate([portraits, np.random.default_rng(17).integers(0, 256, (5, 128, 128, 3), np.uint8)])
    ours = downsample(channels_first(images), size, kernel).permute(0, 2, 3, 1).numpy().astype(int)
    theirs = np.stack([degrade.downsample(image, size, kernel) for image in images])
    assert np.abs(ours - theirs).max() <= 1
    assert (ours != theirs).mean() < 0.005


def test_unknown_names_are_refused():
    picture = torch.zeros((1, 3, 16, 16), dtype=torch.uint8)
    with pytest.raises(UsageError, match="unknown fill 'grey': did you mean 'gray'"):
        occlude(picture, picture[:, :1], "grey", generator())
    with pytest.raises(UsageError, match="unknown LR kernel 'antialias': did you mean 'antialiased'"):
        downsample(picture, 4, "antialias")
