from __future__ import annotations

import sys
from pathlib import Path
from subprocess import run

import cv2
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from skimage import data
from skimage.metrics import peak_signal_noise_ratio

from occface import faces
from occface.errors import BadImageError, UsageError
from occface.faces import align
from occface.images import read_image

FACES = sorted((Path(__file__).parents[1] / "data" / "faces").glob("*.jpg"))


@pytest.fixture(scope="module")
def dlib_pair():
    return faces.DETECTORS.get("dlib")(), faces.LANDMARKERS.get("dlib")()


def align_largest(image, pair, size=128):
    detector, landmarker = pair
    return faces.align_found(image, faces.find_faces(image, [detector])[0], landmarker, size)


def turned(image, degrees):
    height, width = image.shape[:2]
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1)
    return cv2.warpAffine(image, matrix, (width, height), borderMode=cv2.BORDER_REFLECT)


@pytest.mark.parametrize("path", FACES, ids=lambda path: path.stem)
def test_a_face_comes_upright_into_the_middle(path, dlib_pair):
    image = read_image(path)
    face = align_largest(image, dlib_pair)
    assert (face.hr.shape, face.hr.dtype) == ((128, 128, 3), np.uint8)
    assert (face.landmarks.shape, face.landmarks.dtype) == ((68, 2), np.float32)
    assert (face.box.shape, face.box.dtype) == ((4,), np.float32)
    assert (face.transform.shape, face.transform.dtype) == ((2, 3), np.float64)
    assert face.landmarks.min() > 0
    assert face.landmarks.max() < 127
    # The detector and the predictor, run anew on the crop, find the eyes where the template wants them.
    again = dlib_pair[1](face.hr, dlib_pair[0].detect(face.hr)[0].box)
    for eye, place in ((slice(36, 42), align.TEMPLATE[0]), (slice(42, 48), align.TEMPLATE[1])):
        assert np.linalg.norm(again[eye].mean(axis=0) - place) < 4
    np.testing.assert_allclose(again.mean(axis=0), face.landmarks.mean(axis=0), atol=2)


def test_a_turned_photograph_gives_nearly_the_same_crop(dlib_pair):
    image = read_image(FACES[3])
    upright = align_largest(image, dlib_pair)
    for degrees in (-15, 12):
        other = align_largest(turned(image, degrees), dlib_pair)
        angle = np.rad2deg(np.arctan2(other.transform[1, 0], other.transform[0, 0]))
        expected = np.rad2deg(np.arctan2(upright.transform[1, 0], upright.transform[0, 0])) + degrees
        assert angle == pytest.approx(expected, abs=3)
        assert peak_signal_noise_ratio(upright.hr[20:110, 20:110], other.hr[20:110, 20:110]) > 20


def test_of_three_faces_the_largest_is_taken(dlib_pair):
    photo = np.full((700, 700, 3), 128, np.uint8)
    for number, (side, x, y) in enumerate(((300, 0, 0), (360, 320, 0), (280, 20, 380))):
        face = cv2.resize(read_image(FACES[number]), (side, side), interpolation=cv2.INTER_AREA)
        photo[y : y + side, x : x + side] = face
    alone = align_largest(read_image(FACES[1]), dlib_pair)
    assert peak_signal_noise_ratio(alone.hr, align_largest(photo, dlib_pair).hr) > 20


def test_another_size_is_the_same_crop_in_more_pixels(dlib_pair):
    image = read_image(FACES[0])
    small, large = (align_largest(image, dlib_pair, size) for size in (128, 256))
    assert large.hr.shape == (256, 256, 3)
    shrunk = cv2.resize(large.hr, (128, 128), interpolation=cv2.INTER_AREA)
    assert peak_signal_noise_ratio(small.hr, shrunk) > 38
    np.testing.assert_allclose((large.landmarks + 0.5) / 2 - 0.5, small.landmarks, atol=1e-3)


def test_reasons_for_refusal_are_lines_that_a_user_understands(dlib_pair):
    with pytest.raises(BadImageError) as caught:
        align_largest(np.zeros((1, 1, 3), np.uint8), dlib_pair)
    assert str(caught.value) == "1x1 is too small to hold a face (at least 40x40 px)"
    with pytest.raises(BadImageError) as caught:
        align_largest(data.coffee(), dlib_pair)
    assert str(caught.value) == "no face found by dlib (tried at 160, 334, 256, 579, 1202, 512 px)"


def test_a_face_that_is_mostly_outside_is_refused_and_one_at_the_border_is_not(dlib_pair):
    detector, landmarker = dlib_pair
    image = read_image(FACES[0])
    (whole,) = detector.detect(image)
    x0, y0, x1, y1 = whole.box

    class Shifted:
        """A landmarker that sees the face as in the whole photograph, of which a left part was cut off."""

        name = "shifted"

        def __init__(self, cut):
            self.cut = cut

        def __call__(self, part, box):
            return landmarker(image, whole.box) - np.float32([self.cut, 0])

    for cut, fits in ((70, True), (250, False)):
        part, face = image[:, cut:], faces.Detection((x0 - cut, y0, x1 - cut, y1), 1.0)
        if fits:
            aligned = faces.align_found(part, face, Shifted(cut))
            reference = align_largest(image, dlib_pair)
            np.testing.assert_array_equal(aligned.hr[:, 40:], reference.hr[:, 40:])
        else:
            with pytest.raises(BadImageError, match=r"partly outside the photograph: [0-9]+% of its crop"):
                faces.align_found(part, face, Shifted(cut))


def three_faces():
    photo = np.full((900, 900, 3), 128, np.uint8)
    for number, (side, x, y) in enumerate(((480, 0, 0), (200, 400, 500), (110, 760, 30))):
        face = cv2.resize(read_image(FACES[number]), (side, side), interpolation=cv2.INTER_AREA)
        photo[y : y + side, x : x + side] = face
    return photo


def test_the_largest_the_most_central_or_all_faces_are_found(dlib_pair):
    photo = three_faces()
    found = {choose: faces.find_faces(photo, [dlib_pair[0]], choose) for choose in faces.CHOICES}
    assert {choose: len(each) for choose, each in found.items()} == {"largest": 1, "central": 1, "all": 3}
    assert 0 < found["largest"][0].box[0] < 480 / 2
    assert 400 < found["central"][0].box[0] < 600
    assert [face.area for face in found["all"]] == sorted((face.area for face in found["all"]), reverse=True)
    with pytest.raises(UsageError, match="unknown choice of faces 'bigest': did you mean 'largest'"):
        faces.find_faces(photo, [dlib_pair[0]], "bigest")


class Blind:
    name, assets = "blind", ()

    def detect(self, image, *, thorough=False, known=()):
        return []

    def tried(self, image):
        return "eyes closed"


def test_detectors_are_tried_in_their_order_and_the_one_that_found_is_named(dlib_pair):
    image, known = read_image(FACES[0]), faces.DETECTORS.get("given")()
    box = np.array([[70.0, 80.0, 260.0, 270.0]])
    for detectors, boxes, name in (
        ([Blind(), dlib_pair[0], known], box, "dlib"),
        ([Blind(), known, dlib_pair[0]], box, "given"),
        ([known, dlib_pair[0]], None, "dlib"),
    ):
        (found,) = faces.find_faces(image, detectors, boxes=boxes)
        assert found.detector == name
        assert faces.align_found(image, found, dlib_pair[1]).detector == name
    with pytest.raises(BadImageError) as caught:
        faces.find_faces(image, [known, Blind()])
    assert str(caught.value) == "no face found by given (no boxes and no landmarks came with it), blind (eyes closed)"


def test_given_landmarks_are_not_looked_for_again(dlib_pair):
    image = read_image(FACES[2])
    reference = align_largest(image, dlib_pair)
    points = dlib_pair[1](image, tuple(reference.box))
    (found,) = faces.find_faces(image, [faces.DETECTORS.get("given")()], landmarks=points[None])
    aligned = faces.align_found(image, found, None)
    assert (aligned.landmarker, reference.landmarker, reference.detector) == ("given", "dlib", "dlib")
    np.testing.assert_array_equal(aligned.hr, reference.hr)
    np.testing.assert_array_equal(aligned.landmarks, reference.landmarks)


def face_or_reason(image, **known):
    """The face that is given with a photograph, or the message of the one error that may come."""
    try:
        (found,) = faces.find_faces(image, [faces.DETECTORS.get("given")()], **known)
        return faces.align_found(image, found, faces.LANDMARKERS.get("dlib")())
    except BadImageError as error:
        return str(error)


# Numbers that come from a user's file or from a far-fetched photograph: any of them.
edges = st.one_of(st.floats(-60, 200), st.floats(allow_nan=True, allow_infinity=True, width=32))


@settings(max_examples=150, deadline=None)
@given(box=st.tuples(edges, edges, edges, edges), shape=st.tuples(st.integers(40, 120), st.integers(40, 120)))
def test_any_box_gives_a_face_or_a_reason(box, shape):
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    face = face_or_reason(image, boxes=np.array([box]))
    if isinstance(face, str):
        assert "\n" not in face
    else:
        assert face.hr.shape == (128, 128, 3)
        assert np.isfinite(face.landmarks).all()


@example(spread=1.0, x=149438299.0, y=0.0, seed=0)
@example(spread=1e-6, x=65.0, y=0.0, seed=1)
@settings(max_examples=150, deadline=None)
@given(
    spread=st.one_of(st.just(0.0), st.floats(1e-6, 1e9)), x=st.floats(-1e9, 1e9), y=st.floats(-100, 200), seed=st.integers(0, 9)
)
def test_any_landmarks_give_a_face_or_a_reason(spread, x, y, seed):
    image = np.full((90, 110, 3), 77, np.uint8)
    points = np.random.default_rng(seed).normal(0, 1, (1, 68, 2)) * spread + (x, y)
    face = face_or_reason(image, landmarks=points)
    if isinstance(face, str):
        assert "\n" not in face
    else:
        assert (face.hr == 77).all()


def test_unknown_names_are_met_with_the_known_ones():
    with pytest.raises(UsageError, match="did you mean 'dlib'"):
        faces.DETECTORS.get("dlibb")
    with pytest.raises(UsageError, match="unknown landmark detector 'fann': did you mean 'fan'"):
        faces.LANDMARKERS.get("fann")


def test_importing_the_rooms_loads_no_heavy_library():
    code = (
        "import sys, occface.faces.landmarks, occface.sources.folder; "
        "from occface.faces import cnn, detect, fan, given, mtcnn; "
        "print([name for name in ('dlib', 'torch', 'pandas', 'face_alignment') if name in sys.modules])"
    )
    done = run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
