from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import map_coordinates
from skimage import data, transform
from skimage.metrics import peak_signal_noise_ratio

from occface.errors import BadImageError
from occface.faces import align
from occface.faces.detect import DlibDetector
from occface.faces.landmarks import DlibLandmarks
from occface.images import read_image

FACES = sorted((Path(__file__).parents[1] / "data" / "faces").glob("*.jpg"))


def similarity(scale, degrees, centre, size=128):
    """The transform that turns and scales a photograph about a point and brings that to the middle of the crop."""
    a = scale * np.exp(1j * np.deg2rad(degrees))
    b = (size - 1) / 2 * (1 + 1j) - a * complex(*centre)
    return np.array([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]])


def supersampled(image, matrix, size=128, per_side=8):
    """The crop as the mean of 64 bilinear samples per pixel: slow, and SciPy's interpolation, not OpenCV's."""
    places = (np.arange(size * per_side) + 0.5) / per_side - 0.5
    x, y = np.meshgrid(places, places)
    source = np.linalg.solve(matrix[:, :2], np.stack([x.ravel(), y.ravel()]) - matrix[:, 2:])
    channels = [map_coordinates(image[..., c].astype(float), source[::-1], order=1, mode="reflect") for c in range(3)]
    return np.stack(channels, axis=-1).reshape(size, per_side, size, per_side, 3).mean(axis=(1, 3))


def random_landmarks(seed):
    rng = np.random.default_rng(seed)
    return rng.normal(0, 50, (68, 2)) + rng.uniform(0, 1000, 2)


@pytest.mark.parametrize("seed", range(5))
def test_the_transform_is_scikit_images_least_squares_similarity(seed):
    landmarks = random_landmarks(seed)
    five = np.stack([landmarks[36:42].mean(0), landmarks[42:48].mean(0), landmarks[30], landmarks[48], landmarks[54]])
    expected = transform.SimilarityTransform.from_estimate(five, align.TEMPLATE).params[:2]
    np.testing.assert_allclose(align.crop_transform(landmarks), expected, atol=1e-9)


def test_a_moved_template_is_brought_back_exactly():
    move = similarity(3.7, 25, (10, -20))
    landmarks = np.zeros((68, 2))
    landmarks[36:42], landmarks[42:48], landmarks[30], landmarks[48], landmarks[54] = align.TEMPLATE
    found = align.crop_transform(align.apply(move, landmarks).astype(np.float64))
    np.testing.assert_allclose(align.apply(found, align.apply(move, align.TEMPLATE)), align.TEMPLATE, atol=1e-4)
    assert np.hypot(*found[:, 0]) == pytest.approx(1 / 3.7)


def test_the_template_is_symmetric_and_upright():
    left, right, nose, mouth_left, mouth_right = align.TEMPLATE
    np.testing.assert_allclose([(left + right)[0] / 2, nose[0], (mouth_left + mouth_right)[0] / 2], 63.5)
    assert left[1] == right[1] < nose[1] < mouth_left[1] == mouth_right[1]
    x0, y0, x1, y1 = align.CROP_BOX
    assert (x0 + x1) / 2 == 63.5
    assert x1 - x0 == y1 - y0


def test_a_crop_of_twice_the_size_covers_the_same_part():
    landmarks = random_landmarks(0)
    small, large = (align.apply(align.crop_transform(landmarks, size), landmarks) for size in (128, 256))
    np.testing.assert_allclose((large + 0.5) / 2 - 0.5, small, atol=1e-3)


def test_landmarks_in_one_point_are_no_face():
    with pytest.raises(BadImageError, match="one point"):
        align.crop_transform(np.full((68, 2), 7.0))


def test_apply_agrees_with_scikit_image():
    matrix, points = similarity(0.4, 30, (100, 50)), random_landmarks(1)
    expected = transform.SimilarityTransform(matrix=np.vstack([matrix, [0, 0, 1]]))(points)
    found = align.apply(matrix, points)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_how_much_lies_outside():
    image = np.zeros((128, 128, 3), np.uint8)
    assert align.outside(similarity(1, 0, (63.5, 63.5)), image) == pytest.approx(0, abs=1e-6)
    assert align.outside(similarity(1, 0, (127.5, 63.5)), image) == pytest.approx(0.5)
    assert align.outside(similarity(1, 0, (127.5, 127.5)), image) == pytest.approx(0.75)
    # A square and the same one turned by 45 degrees share 2 (sqrt 2 - 1) of their area.
    assert align.outside(similarity(1, 45, (63.5, 63.5)), image) == pytest.approx(3 - 2 * np.sqrt(2), abs=1e-4)
    assert align.outside(similarity(1, 0, (500, 63.5)), image) == 1


@pytest.mark.parametrize(
    ("scale", "degrees"), [(1.7, 10), (0.9, 7), (0.6, 12), (0.45, -20), (0.37, 5), (0.3, 33), (0.25, 0), (0.15, 170)]
)
def test_warp_comes_near_the_supersampled_crop(scale, degrees):
    photo = data.astronaut()
    matrix = similarity(scale, degrees, (230.3, 190.7))
    crop = align.warp(photo, matrix)
    assert crop.shape == (128, 128, 3)
    assert crop.dtype == np.uint8
    reference = supersampled(photo, matrix)
    assert peak_signal_noise_ratio(reference, crop, data_range=255) > 40


@pytest.mark.parametrize("scale", [2.3, 1, 0.7, 0.5, 0.41, 0.22, 0.11])
def test_a_linear_ramp_stays_a_linear_ramp(scale):
    size = 1600
    y, x = np.mgrid[:size, :size]
    slope = np.array([0.05, 0.09])
    photo = np.repeat(np.round(20 + slope[0] * x + slope[1] * y)[..., None], 3, axis=2).astype(np.uint8)
    matrix = similarity(scale, 11, (801.3, 798.9))
    corner = np.mgrid[:128, :128][::-1].reshape(2, -1)
    places = np.linalg.solve(matrix[:, :2], corner - matrix[:, 2:])
    expected = (20 + slope @ places).reshape(128, 128)
    assert np.abs(align.warp(photo, matrix)[..., 0] - expected).max() <= 1.01


def test_a_fine_pattern_turns_grey_and_not_into_waves():
    photo = np.repeat(((np.indices((600, 600)).sum(axis=0) % 2) * 255)[..., None], 3, axis=2).astype(np.uint8)
    for scale in (0.24, 0.27, 0.31, 0.38, 0.44):
        crop = align.warp(photo, similarity(scale, 3, (300, 300)))
        assert crop.std() < 4
        assert crop.mean() == pytest.approx(127.5, abs=1.5)


@pytest.mark.parametrize("scale", [0.9, 0.3, 0.19])
def test_beyond_the_border_is_the_mirror_image(scale):
    photo = np.ascontiguousarray(data.astronaut()[:, :400])
    padded = np.pad(photo, ((400, 400), (400, 400), (0, 0)), mode="symmetric")
    matrix, shifted = similarity(scale, 8, (30, 380)), similarity(scale, 8, (430, 780))
    difference = align.warp(photo, matrix).astype(int) - align.warp(padded, shifted)
    assert np.abs(difference).max() <= 1


@pytest.mark.parametrize("scale", [1.3, 0.6, 0.35])
def test_a_crop_is_the_middle_of_a_larger_crop(scale):
    photo = np.random.default_rng(0).integers(0, 256, (800, 800, 3), dtype=np.uint8)
    matrix = similarity(scale, 20, (401.3, 398.2))
    larger = matrix + np.array([0, 0, 32])
    difference = align.warp(photo, larger, 192)[32:160, 32:160].astype(int) - align.warp(photo, matrix)
    assert np.abs(difference).max() <= 1


def test_views_are_taken_and_left_alone():
    photo = data.astronaut()
    matrix = similarity(0.4, 5, (256, 256))
    view = photo[:, ::-1]
    before = view.copy()
    np.testing.assert_array_equal(align.warp(view, matrix), align.warp(before, matrix))
    np.testing.assert_array_equal(view, before)


def test_a_crop_beside_the_photograph_is_refused():
    with pytest.raises(BadImageError, match="outside"):
        align.warp(np.zeros((100, 100, 3), np.uint8), similarity(1, 0, (1000, 50)))


@pytest.mark.parametrize(("scale", "degrees"), [(2.3, 10), (1, 0), (0.6, -35), (0.25, 170)])
def test_labels_are_scikit_images_nearest(scale, degrees):
    labels = np.random.default_rng(0).integers(0, 19, (300, 260), dtype=np.uint8)
    labels = np.kron(labels[:60, :52], np.ones((5, 5), np.uint8))
    matrix = similarity(scale, degrees, (140.2, 133.7))
    inverse = transform.SimilarityTransform(matrix=np.linalg.inv(np.vstack([matrix, [0, 0, 1]])))
    expected = transform.warp(labels, inverse, output_shape=(128, 128), order=0, mode="symmetric", preserve_range=True)
    found = align.warp_labels(labels, matrix)
    assert found.dtype == np.uint8
    assert (found == expected).mean() > 0.999


def test_labels_lie_where_the_picture_does():
    photo = np.zeros((400, 300, 3), np.uint8)
    photo[100:260, 80:210] = 255
    for matrix in (similarity(0.41, 12, (150, 200)), similarity(0.8, -20, (90, 120)), similarity(0.5, 5, (20, 380))):
        crop, labels = align.warp(photo, matrix)[..., 0], align.warp_labels(photo[..., 0] // 255, matrix)
        assert labels[crop > 200].min(initial=1) == 1
        assert labels[crop < 55].max(initial=0) == 0


@pytest.mark.parametrize("number", range(6))
def test_the_box_of_points_is_near_the_detectors(number):
    image = read_image(FACES[number])
    box = np.array(DlibDetector().detect(image)[0].box)
    drawn = np.array(align.box_of_points(DlibLandmarks()(image, tuple(box))))
    width = drawn[2] - drawn[0]
    assert width == pytest.approx(drawn[3] - drawn[1])
    assert width / (box[2] - box[0]) == pytest.approx(1, abs=0.25)
    assert np.abs((drawn - box)[:2] + (drawn - box)[2:]).max() / 2 < 0.2 * width
    again = DlibLandmarks()(image, tuple(drawn))
    eyes = np.linalg.norm(again[36] - again[45])
    assert np.linalg.norm(again - DlibLandmarks()(image, tuple(box)), axis=1).mean() < 0.05 * eyes


def test_landmarks_that_are_not_finite_are_no_face():
    with pytest.raises(BadImageError, match="not finite"):
        align.crop_transform(np.full((68, 2), np.nan))


def test_landmarks_that_lie_as_in_no_face_are_refused():
    points = np.random.default_rng(0).normal(0, 1, (68, 2))
    with pytest.raises(BadImageError, match="no face: its crop would be"):
        align.crop_transform(points * 1e-3)
    with pytest.raises(BadImageError, match="no face: its crop would be"):
        align.crop_transform(points * 1e7)
