from __future__ import annotations

import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from occface import seeding
from occface.errors import OccfaceError, UsageError
from occface.occlusion import MaskFolder, draw_mask

SIDES = (512, 512, 200, 128, 96)


@pytest.fixture
def masks(tmp_path: Path) -> Path:
    """A folder of masks: white squares, each of another place and picture size, one of them in a folder of its own."""
    folder = tmp_path / "masks"
    (folder / "more").mkdir(parents=True)
    for number, side in enumerate(SIDES):
        name = f"{number:05d}.png" if number < 4 else f"more/{number:05d}.png"
        Image.fromarray(_picture(number, side)).save(folder / name)
    (folder / "readme.txt").write_text("not a mask")
    (folder / ".hidden.png").write_bytes(b"nor this")
    return folder


def _picture(number: int, side: int) -> np.ndarray:
    picture = np.zeros((side, side), np.uint8)
    start = number * side // 10
    picture[start : start + side // 3, start : start + side // 4] = 255
    return picture


def _draws(folder: MaskFolder, count: int, size: int = 128) -> list[np.ndarray]:
    return [draw_mask("folder", seeding.rng(0, "test", index), size, folder=folder) for index in range(count)]


def _only(folder: Path, picture: np.ndarray, name: str = "a.png", **settings: int) -> Path:
    folder.mkdir(exist_ok=True)
    Image.fromarray(picture).save(folder / name, **settings)
    return folder


@pytest.mark.parametrize("size", [128, 100, 64])
def test_masks_are_the_files_by_their_nearest_pixels(masks: Path, size: int) -> None:
    # Pillow's nearest neighbour, which samples at pixel centres, as the reference.
    expected = {
        (np.asarray(Image.fromarray(_picture(n, side)).resize((size, size), Image.Resampling.NEAREST)) // 255).tobytes()
        for n, side in enumerate(SIDES)
    }
    drawn = _draws(MaskFolder(masks), 80, size)
    assert {mask.tobytes() for mask in drawn} == expected
    assert all(mask.dtype == np.uint8 and mask.shape == (size, size) for mask in drawn)


def test_each_mask_is_drawn_as_often(masks: Path) -> None:
    _, counts = np.unique([mask.tobytes() for mask in _draws(MaskFolder(masks), 1000)], return_counts=True)
    assert counts.shape == (5,)
    assert counts.min() > 200 - 4 * 12.7  # four standard deviations of B(1000, 1/5)
    assert counts.max() < 200 + 4 * 12.7


def test_inverted_masks_hide_the_rest(masks: Path) -> None:
    for mask, other in zip(_draws(MaskFolder(masks), 10), _draws(MaskFolder(masks, inverted=True), 10), strict=True):
        assert (mask + other == 1).all()


def test_grey_is_cut_at_half_and_what_is_transparent_is_white(tmp_path: Path) -> None:
    ramp = np.tile(np.arange(256, dtype=np.uint8), (256, 1))
    mask = MaskFolder(_only(tmp_path / "grey", ramp)).draw(np.random.default_rng(0), 256)
    assert (mask == (ramp >= 128)).all()
    clear = np.zeros((128, 128, 4), np.uint8)
    clear[:40, :, 3] = 255  # opaque black above, transparent below
    mask = MaskFolder(_only(tmp_path / "clear", clear)).draw(np.random.default_rng(0))
    assert mask[:40].max() == 0
    assert mask[40:].min() == 1


def test_a_jpeg_keeps_its_shape(tmp_path: Path) -> None:
    picture = _picture(3, 512)
    mask = MaskFolder(_only(tmp_path / "jpeg", picture, "a.JPG", quality=60)).draw(np.random.default_rng(0), 512)
    assert (mask != picture // 255).mean() < 0.001


def test_a_drawn_mask_may_be_written_to(masks: Path) -> None:
    folder = MaskFolder(masks)
    first = folder.draw(np.random.default_rng(3))
    kept = first.copy()
    first[:] = 1
    assert (folder.draw(np.random.default_rng(3)) == kept).all()


def test_pickled_folders_draw_the_same_and_stay_small(masks: Path) -> None:
    folder = MaskFolder(masks, inverted=True)
    data = pickle.dumps(folder)
    copy = pickle.loads(data)
    assert len(data) < 1000
    assert copy.describe() == folder.describe()
    for mask, other in zip(_draws(folder, 5), _draws(copy, 5), strict=True):
        assert (mask == other).all()


def test_what_it_describes_is_content_and_names_not_the_place(masks: Path, tmp_path: Path) -> None:
    here = MaskFolder(masks)
    assert here.describe()["count"] == len(here) == 5
    shutil.copytree(masks, tmp_path / "elsewhere")
    assert MaskFolder(tmp_path / "elsewhere").describe() == here.describe()
    assert MaskFolder(masks, inverted=True).describe() != here.describe()
    (masks / "00000.png").rename(masks / "9.png")
    renamed = MaskFolder(masks)
    assert renamed.describe() != here.describe()
    _only(masks, _picture(5, 512), "9.png")
    assert MaskFolder(masks).describe() != renamed.describe()


def test_a_folder_that_changes_while_in_use_is_named(masks: Path) -> None:
    used, fresh = MaskFolder(masks), MaskFolder(masks)
    used.draw(np.random.default_rng(0))
    (masks / "00001.png").unlink()
    again = MaskFolder(masks)
    assert len(again) == 4
    again.draw(np.random.default_rng(0))
    unaware = pickle.loads(pickle.dumps(fresh))
    unaware.path = shutil.copytree(masks, masks.parent / "copy")  # as another process would find it
    with pytest.raises(OccfaceError, match=r"the masks in .*copy are not those found at first"):
        unaware.draw(np.random.default_rng(0))


def test_a_mask_gone_bad_is_the_folders_fault(masks: Path) -> None:
    folder = MaskFolder(masks)
    for path in masks.rglob("0*.png"):
        path.write_bytes(bytes(path.stat().st_size))
    with pytest.raises(OccfaceError, match=r"the mask .*\.png is not a picture .*leave the masks alone") as caught:
        folder.draw(np.random.default_rng(0))
    assert type(caught.value) is OccfaceError  # no BadImageError: that would blame the photograph


@pytest.mark.parametrize(("value", "what"), [(0, "nothing"), (1, "nothing"), (255, "everything")])
def test_a_mask_that_hides_nothing_or_everything_is_refused_by_name(masks: Path, value: int, what: str) -> None:
    _only(masks, np.full((64, 64), value, np.uint8), "blank.png")
    with pytest.raises(UsageError, match=rf"blank\.png cannot be used: it hides {what} \(expected white, .*; mend"):
        MaskFolder(masks)


def test_unreadable_empty_and_absent(masks: Path, tmp_path: Path) -> None:
    (masks / "cut.png").write_bytes((masks / "00000.png").read_bytes()[:60])
    with pytest.raises(UsageError, match=r"cut\.png cannot be used: .*broken or not whole"):
        MaskFolder(masks)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=r"no masks \(bmp, .*\) in .*empty"):
        MaskFolder(tmp_path / "empty")
    with pytest.raises(UsageError, match=r"expected a folder of masks at .*absent, but there is none"):
        MaskFolder(tmp_path / "absent")
    with pytest.raises(UsageError, match="but it is a file"):
        MaskFolder(masks / "00000.png")
