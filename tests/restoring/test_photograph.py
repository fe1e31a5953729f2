"""The faces of a photograph, aligned and made small as those of a data set."""

from __future__ import annotations

import numpy as np
import pytest

from occface.dataset.config import DatasetConfig
from occface.dataset.make import make_dataset
from occface.dataset.pairs import Degradation
from occface.dataset.reader import DatasetFile
from occface.errors import BadImageError, UsageError
from occface.faces import LANDMARKERS, align
from occface.images import read_image, write_png
from occface.restoring.masks import MaskRequest
from occface.restoring.photograph import Finder, restore_photograph
from occface.restoring.restorer import Restorer

PAPER = Degradation("gray", "antialiased", 7)
DLIB = LANDMARKERS.get("dlib")()


def found_in(image, **settings):
    boxes = settings.pop("boxes", None)
    return Finder(**settings).find(image, PAPER, DLIB, "a.png", boxes)


def test_crop_and_thumbnail_are_those_that_make_dataset_makes(tmp_path, faces_folder):
    photograph = read_image(faces_folder / "face_2.jpg")
    (tmp_path / "photos").mkdir()
    write_png(tmp_path / "photos" / "a.png", photograph)
    from occface.sources.folder import FolderSource

    source = FolderSource(str(tmp_path / "photos"))
    make_dataset(source, tmp_path / "a.h5", DatasetConfig(detectors=("dlib",), faces="all", test=0))
    record = DatasetFile(tmp_path / "a.h5").record("train", 0, ["hr", "lr_clean", "landmarks", "transform"])
    (face,) = found_in(photograph, detectors=("dlib",))
    np.testing.assert_array_equal(face.thumbnail.crop, record["hr"])
    np.testing.assert_array_equal(face.thumbnail.lr, record["lr_clean"])
    np.testing.assert_allclose(face.aligned.transform, record["transform"])
    assert face.misfit < 6


def test_all_faces_are_found_with_their_width_and_where_they_are(crowd):
    faces = found_in(crowd)
    assert [face.number for face in faces] == [1, 2]
    assert [face.aligned.detector for face in faces] == ["mtcnn", "mtcnn"]
    middles = [align.apply(align.inverse(face.aligned.transform), np.array([63.5, 63.5])) for face in faces]
    assert 220 < middles[0][0] < 360
    assert 30 < middles[1][0] < 130
    assert faces[0].width / faces[1].width == pytest.approx(1.4, rel=0.15)
    assert faces[0].width == pytest.approx(faces[0].aligned.box[2] - faces[0].aligned.box[0], rel=0.2)


def test_boxes_say_where_faces_are(crowd):
    (face,) = found_in(crowd, detectors=("given",), boxes=np.array([[250.0, 90, 330, 170]]))
    assert face.aligned.detector == "given"
    with pytest.raises(BadImageError, match="no face found by given"):
        found_in(crowd, detectors=("given",))


def test_masks_of_photographs_regions_and_rectangles_reach_the_crop(crowd):
    large = found_in(crowd)[0]
    x0, y0, x1, y1 = large.aligned.box.tolist()
    (boxed, free) = found_in(crowd, masks=MaskRequest(box=(x0, y0, x1, (y0 + y1) / 2)))
    assert free.thumbnail.hidden == 0
    assert boxed.thumbnail.mask[30:60, 40:90].all()
    assert not boxed.thumbnail.mask[80:, 40:90].any()
    assert (boxed.thumbnail.lr[5:6, 6:10] == 128).all()
    mouths = found_in(crowd, masks=MaskRequest(region="mouth"))
    for face in mouths:
        x, y = np.rint(face.aligned.landmarks[48:60]).astype(int).T
        assert face.thumbnail.mask[y, x].all()


def test_a_face_that_cannot_be_used_says_why_and_costs_only_itself(crowd):
    x0, y0, x1, y1 = found_in(crowd)[0].aligned.box.tolist()
    covered = MaskRequest(box=(x0 - 99, y0 - 99, x1 + 99, y1 + 99))
    first, second = found_in(crowd, masks=covered)
    assert first.thumbnail is None
    assert "the mask hides 100% of the face's crop" in first.reason
    assert np.isnan(first.width)
    assert second.thumbnail is not None


def test_aligned_faces_are_taken_as_they_are(dataset):
    hr = dataset.record("train", 0, ["hr"])["hr"]
    (face,) = found_in(hr, aligned=True, masks=MaskRequest(region="mouth"))
    np.testing.assert_array_equal(face.thumbnail.crop, hr)
    assert face.thumbnail.mask[84:92, 57:70].all()
    assert (face.aligned, face.number) == (None, 1)
    assert np.isnan(face.score)
    assert np.isnan(face.misfit)


def test_a_photograph_is_restored_and_pasted(restorer, crowd):
    restored = restore_photograph(restorer, crowd)
    assert restored.enlarged == 2
    assert restored.image.shape == (480, 840, 3)
    assert len(restored.faces) == 2
    assert all(made.result.shape == (128, 128, 3) for _, made in restored.faces)
    assert restore_photograph(restorer, crowd, enlarge=1).image.shape == crowd.shape
    with pytest.raises(BadImageError, match="no face found"):
        restore_photograph(restorer, np.full((90, 90, 3), 60, np.uint8))


def test_a_photograph_to_a_pipeline_that_needs_masks(runs, crowd):
    restorer = Restorer.from_pretrained("gfc+bicubic", weights={"gfc": runs["gfc"]}, device="cpu")
    with pytest.raises(UsageError, match="must be told where faces are hidden"):
        restore_photograph(restorer, crowd)
    restored = restore_photograph(restorer, crowd, Finder(masks=MaskRequest(region="eyes")))
    assert all(made is not None for _, made in restored.faces)
