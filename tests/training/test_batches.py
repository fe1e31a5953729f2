import numpy as np
import pytest
import torch

from occface import seeding
from occface.dataset.config import DatasetConfig
from occface.dataset.make import make_dataset
from occface.dataset.reader import DatasetFile
from occface.faces.mirror import mirror_landmarks
from occface.images import write_png
from occface.occlusion import MaskFolder, draw_mask
from occface.sources.folder import FolderSource
from occface.training.batches import Augmentation, TrainingBatches

STILL = Augmentation(fresh_masks=False, mirror=False)


def test_a_batch_depends_on_the_seed_and_its_number_alone(dataset):
    first = TrainingBatches(dataset, "train", 3, 5, Augmentation())
    ahead = [first(step) for step in range(6)]
    again = TrainingBatches(dataset, "train", 3, 5, Augmentation())(4)
    assert all(torch.equal(ahead[4][name], again[name]) for name in again)
    other = TrainingBatches(dataset, "train", 3, 6, Augmentation())(4)
    assert not torch.equal(ahead[4]["mask"], other["mask"])


def test_shapes_and_ranges(dataset):
    batch = TrainingBatches(dataset, "train", 3, 0, Augmentation())(0)
    shapes = {name: tuple(value.shape) for name, value in batch.items()}
    assert shapes == {
        "hr": (3, 3, 128, 128),
        "lr": (3, 3, 16, 16),
        "lr_clean": (3, 3, 16, 16),
        "mask": (3, 1, 128, 128),
        "landmarks": (3, 68, 2),
        "landmarks_lr": (3, 68, 2),
    }
    assert all(value.dtype == torch.float32 for value in batch.values())
    assert batch["hr"].min() >= -1
    assert batch["hr"].max() <= 1
    assert set(batch["mask"].unique().tolist()) == {0, 1}


def test_each_pair_is_seen_once_an_epoch(dataset):
    batches = TrainingBatches(dataset, "train", 4, 0, STILL)  # eight pairs, two batches an epoch
    for epoch in range(3):
        seen = torch.cat([batches(2 * epoch)["lr"], batches(2 * epoch + 1)["lr"]])
        assert len({lr.numpy().tobytes() for lr in seen}) == 8


def test_stored_pairs_come_as_they_are(dataset):
    batch = TrainingBatches(dataset, "train", 8, 0, STILL)(0)
    stored = dataset.stack("train", "occluded/square/lr")
    given = {lr.numpy().round(4).tobytes() for lr in batch["lr"]}
    expected = [np.round(lr.transpose(2, 0, 1).astype(np.float32) / 127.5 - 1, 4).tobytes() for lr in stored]
    assert given.issuperset(expected)


def test_fresh_masks_change_from_epoch_to_epoch_and_fit_the_lr_face(dataset):
    batches = TrainingBatches(dataset, "train", 8, 0, Augmentation(fresh_masks=True, mirror=False))
    one, other = batches(0), batches(1)
    assert len({mask.numpy().tobytes() for mask in torch.cat([one["mask"], other["mask"]])}) == 16
    for hr, lr, mask in zip(one["hr"], one["lr"], one["mask"], strict=True):
        untouched = torch.nn.functional.max_pool2d(mask[None], 25, 8, 12)[0, 0] == 0  # beyond the kernel's reach
        clean = torch.nn.functional.interpolate(hr[None], size=(16, 16), mode="bilinear", antialias=True)[0]
        if untouched.any():
            assert (lr - clean)[:, untouched].abs().max() < 2 / 127


def test_mirroring_moves_points_with_pixels(dataset):
    landmarks = dataset.record("train", 0, ["landmarks"])["landmarks"]
    mirrored = mirror_landmarks(landmarks)
    assert np.allclose(mirror_landmarks(mirrored), landmarks)
    # The subject's right eye (36-41) lies left of the left one (42-47) in the picture, mirrored or not.
    assert landmarks[36:42, 0].max() < landmarks[42:48, 0].min()
    assert mirrored[36:42, 0].max() < mirrored[42:48, 0].min()
    assert mirrored[8, 0] == 127 - landmarks[8, 0]


def test_mirrored_faces_are_the_faces_mirrored(dataset):
    whole = {hr.tobytes() for hr in dataset.stack("train", "hr")}
    turned = {hr[:, ::-1].tobytes() for hr in dataset.stack("train", "hr")}
    batch = TrainingBatches(dataset, "train", 16, 0, Augmentation(fresh_masks=False, mirror=True))(0)
    pixels = ((batch["hr"] + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1)
    given = [hr.numpy().tobytes() for hr in pixels]
    assert all(hr in whole | turned for hr in given)
    assert {hr in whole for hr in given} == {True, False}


@pytest.fixture(scope="module")
def worn(faces_folder, tmp_path_factory):
    """A data set whose masks lie over the eyes, and one made with the user's own masks, from a folder that is gone."""
    place = tmp_path_factory.mktemp("worn")
    for number in range(20):
        write_png(place / "masks" / f"{number}.png", draw_mask("walk", seeding.rng(0, number)) * np.uint8(255))
    config = DatasetConfig(masks=("eyes", "folder"), mask_folder=MaskFolder(place / "masks"), test=2)
    make_dataset(FolderSource(str(faces_folder)), place / "faces.h5", config)
    (place / "masks").rename(place / "gone")
    return DatasetFile(place / "faces.h5")


def test_fresh_masks_follow_the_face_and_masks_of_a_folder_stay(worn):
    stored = {kind: {mask.tobytes() for mask in worn.stack("train", f"occluded/{kind}/mask")} for kind in ("eyes", "folder")}
    batches = TrainingBatches(worn, "train", 8, 0, Augmentation(fresh_masks=True, mirror=False))
    mirrored = TrainingBatches(worn, "train", 8, 0, Augmentation(fresh_masks=True, mirror=True))
    for step in range(4):
        masks = [mask[0].numpy().astype(np.uint8) for mask in batches(step)["mask"]]
        kept = [mask for mask in masks if mask.tobytes() in stored["folder"]]
        assert len(kept) == 4
        assert not any(mask.tobytes() in stored["eyes"] for mask in masks)
        batch = mirrored(step)
        over_eyes = 0
        for mask, landmarks in zip(batch["mask"], batch["landmarks"], strict=True):
            x, y = landmarks[36:48].round().int().T
            over_eyes += bool(mask[0, y, x].all())
        assert over_eyes == 4
