import hashlib
import json
import threading

import h5py
import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from occface import seeding
from occface.dataset.config import DatasetConfig
from occface.dataset.make import make_dataset
from occface.dataset.reader import DatasetFile
from occface.errors import UsageError
from occface.faces.mirror import mirror_landmarks
from occface.images import write_png
from occface.occlusion import MaskFolder, downsample, draw_mask
from occface.sources.folder import FolderSource
from occface.training.batches import Ahead, Augmentation, TrainingBatches, own_part, recoloured, warp_matrix, warped

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


def test_parsing_maps_are_mirrored_and_warped_with_their_faces(parsed):
    given = {number: parsed.stack("train", "parsing")[number] for number in range(4)}
    assert {8, 9} <= set(np.unique(given[0]))
    kept = TrainingBatches(parsed, "train", 16, 0, Augmentation(fresh_masks=False, mirror=True), parsing=True)(0)
    pixels = ((kept["hr"] + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    seen = set()
    for hr, labels in zip(pixels, kept["parsing"].numpy(), strict=True):
        number, mirrored = next(
            (number, turned)
            for number, face in enumerate(parsed.stack("train", "hr"))
            for turned in (False, True)
            if np.array_equal(face[:, ::-1] if turned else face, hr)
        )
        exchanged = np.where(given[number] == 8, 9, np.where(given[number] == 9, 8, given[number]))
        assert np.array_equal(labels, exchanged[:, ::-1] if mirrored else given[number])
        seen.add(mirrored)
    assert seen == {True, False}
    moved = TrainingBatches(parsed, "train", 8, 0, Augmentation(fresh_masks=False, mirror=False, warp=1.0), parsing=True)(0)
    assert moved["parsing"].dtype == torch.uint8
    assert moved["parsing"].shape == (8, 128, 128)
    bright = moved["hr"].mean(1) > -0.1
    ears = (moved["parsing"] == 8) | (moved["parsing"] == 9)
    assert (bright == ears).float().mean() > 0.85  # the maps were made by brightness: they lie on their faces


def test_parsing_maps_come_only_where_asked_for_and_there(parsed, dataset):
    assert "parsing" not in TrainingBatches(parsed, "train", 2, 0, Augmentation())(0)
    with pytest.raises(UsageError, match="has no parsing maps"):
        TrainingBatches(dataset, "train", 2, 0, Augmentation(), parsing=True)


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


@pytest.fixture(scope="module")
def invented(tmp_path_factory):
    """A data set of random numbers: nothing in it hangs on a detector or on a decoder."""
    path = tmp_path_factory.mktemp("invented") / "faces.h5"
    rng = np.random.default_rng(11)
    source = {"classes": [], "annotated": 0}
    configuration = {"source": source, "masks": ["irregular", "square"], "detectors": [], "landmarker": "none", "seed": 0}
    configuration |= {"fill": "noise", "lr_kernel": "antialiased", "keep_uncropped": False}
    with h5py.File(path, "w") as file:
        file.attrs.update(schema_version=1, configuration=json.dumps(configuration), content_hash="", source="", licence="")
        group = file.create_group("train")
        group["hr"] = rng.integers(0, 256, (5, 128, 128, 3), np.uint8)
        group["lr_clean"] = rng.integers(0, 256, (5, 16, 16, 3), np.uint8)
        group["landmarks"] = rng.integers(0, 128, (5, 68, 2)).astype(np.float32)
        for kind in configuration["masks"]:
            group[f"occluded/{kind}/mask"] = rng.integers(0, 2, (5, 128, 128), np.uint8)
            group[f"occluded/{kind}/lr"] = rng.integers(0, 256, (5, 16, 16, 3), np.uint8)
            group[f"occluded/{kind}/landmarks_lr"] = rng.integers(0, 128, (5, 68, 2)).astype(np.float32)
    return DatasetFile(path)


@pytest.mark.parametrize(
    ("augmentation", "expected"),
    [
        (Augmentation(), "17ea7fc43dcd0e2f"),
        (Augmentation(fresh_masks=False), "e905a5c672e67ea6"),
        (Augmentation(mirror=False), "01c329a0427135cf"),
        (STILL, "4cfd0d6201ae7c50"),
    ],
)
def test_without_warp_and_colour_batches_are_those_of_before_there_were_any(invented, augmentation, expected):
    # Computed before warp, colour and shares were there: trainings of that time can be gone on with.
    batches = TrainingBatches(invented, "train", 4, 3, augmentation)
    digest = hashlib.sha256()
    for step in range(6):
        for _, value in sorted(batches(step).items()):
            digest.update(value.numpy().tobytes())
    assert digest.hexdigest()[:16] == expected


@pytest.mark.parametrize("augmentation", [Augmentation(), Augmentation(warp=1, colour=1)])
def test_the_shares_of_all_processes_are_the_batch_of_one(invented, augmentation):
    whole = TrainingBatches(invented, "train", 6, 3, augmentation)
    shares = [TrainingBatches(invented, "train", 6, 3, augmentation, (rank, 3)) for rank in range(3)]
    for step in range(3):
        parts = [share(step) for share in shares]
        assert all(torch.equal(value, torch.cat([part[name] for part in parts])) for name, value in whole(step).items())


def test_a_batch_that_cannot_be_shared_is_refused(invented):
    with pytest.raises(UsageError, match="expected a batch size that 4 processes share equally, got 6; 4 or 8 would do"):
        TrainingBatches(invented, "train", 6, 0, STILL, (0, 4))
    with pytest.raises(UsageError, match="got 3; 4 would do"):
        own_part(3, (0, 4))
    with pytest.raises(UsageError, match="at least one pair, got 0"):
        own_part(0, (0, 1))
    with pytest.raises(ValueError, match="rank from 0 to 1, got 2"):
        own_part(4, (2, 2))


@pytest.mark.parametrize("strength", [-0.1, float("nan"), float("inf")])
def test_strengths_that_mean_nothing_are_refused(strength):
    with pytest.raises(UsageError, match="expected warp to be 0"):
        Augmentation(warp=strength)
    with pytest.raises(UsageError, match="expected colour to be 0"):
        Augmentation(colour=strength)


def test_warps_are_as_large_as_they_are_said_to_be():
    rng = np.random.default_rng(0)
    matrices = np.stack([warp_matrix(2, rng.standard_normal(4)) for _ in range(4000)])
    turns, centre = matrices[:, :, :2], matrices @ [63.5, 63.5, 1]
    angle = np.degrees(np.arctan2(turns[:, 1, 0], turns[:, 0, 0]))
    scale = np.log(np.linalg.det(turns)) / 2
    # Four standard errors of a standard deviation out of 4,000.
    for values, spread in ((angle, 8), (scale, 0.1), (centre[:, 0] - 63.5, 6), (centre[:, 1] - 63.5, 6)):
        assert abs(values.std() / spread - 1) < 4 / 8000**0.5
        assert abs(values.mean()) < 4 * spread / 4000**0.5
    assert np.allclose(turns @ turns.transpose(0, 2, 1), np.exp(2 * scale)[:, None, None] * np.eye(2))  # no shear


def test_landmarks_and_masks_follow_a_warped_picture():
    rng = np.random.default_rng(1)
    for _ in range(20):
        dot = rng.integers(45, 83, 2)
        spot = np.zeros((128, 128))
        spot[dot[1], dot[0]] = 1
        spot = gaussian_filter(spot, 3)
        image = np.repeat((255 * spot / spot.max()).astype(np.uint8)[..., None], 3, axis=2)
        pair = {"hr": image, "mask": (image[..., 0] > 100).astype(np.uint8), "landmarks": np.tile(dot, (68, 1)).astype("f4")}
        pair["landmarks_lr"] = pair["landmarks"] + np.float32(1)
        after = warped(pair, warp_matrix(2, rng.standard_normal(4)))
        for weight, allowed in ((after["hr"][..., 0], 0.15), (after["mask"], 0.6)):  # the nearest pixel: half of one, and a bit
            rows, columns = np.indices((128, 128))
            found = np.array([(columns * weight).sum(), (rows * weight).sum()]) / weight.sum()
            assert np.abs(found - after["landmarks"][0]).max() < allowed
        assert 0.5 < np.linalg.norm(after["landmarks_lr"][5] - after["landmarks"][5]) / 2**0.5 < 2
        assert set(np.unique(after["mask"])) == {0, 1}


def test_colours_have_gains_and_an_offset():
    flat = np.broadcast_to(np.array([60, 100, 140], np.uint8), (4, 4, 3))
    rng = np.random.default_rng(2)
    log_gains = []
    for _ in range(2000):
        normal = rng.standard_normal(5)
        normal[4] = 0
        log_gains.append(np.log(recoloured(flat, 1, normal)[0, 0] / flat[0, 0]))
    spread = np.cov(np.array(log_gains).T)
    assert np.allclose(spread.diagonal(), 0.06**2 + 0.12**2, rtol=0.15)
    assert np.allclose(spread[np.triu_indices(3, 1)], 0.12**2, rtol=0.15)
    assert (recoloured(flat, 1, np.array([0, 0, 0, 0, 1.0])) == flat + 8).all()
    assert (recoloured(flat, 1, np.array([0, 0, 0, 0, 20.0]))[0, 0] == [220, 255, 255]).all()
    assert (recoloured(flat, 0, rng.standard_normal(5)) == flat).all()


@pytest.mark.parametrize("augmentation", [Augmentation(True, True, 1, 0), Augmentation(False, True, 1, 1)])
def test_thumbnails_are_made_anew_from_a_changed_face(dataset, augmentation):
    batches, still = (TrainingBatches(dataset, "train", 8, 4, vary) for vary in (augmentation, Augmentation(False, True)))
    batch, before = batches(1), still(1)
    assert not torch.equal(batch["hr"], before["hr"])
    assert not torch.equal(batch["landmarks"], before["landmarks"])
    assert not torch.equal(batch["landmarks_lr"], before["landmarks_lr"])
    pixels = ((batch["hr"] + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    hole = batch["mask"][:, 0].bool().numpy()
    for name, images in (("lr_clean", pixels), ("lr", np.where(hole[..., None], np.uint8(128), pixels))):  # gray is the default
        expected = np.stack([downsample(image) for image in images]).transpose(0, 3, 1, 2) / 127.5 - 1
        assert np.allclose(batch[name].numpy(), expected, atol=1e-6)
    if not augmentation.fresh_masks:  # about as large as the stored one
        assert (batch["mask"].mean((1, 2, 3)) / before["mask"].mean((1, 2, 3))).log().abs().max() < 0.5


def test_batches_made_ahead_are_the_same_in_any_order(invented):
    batches = TrainingBatches(invented, "train", 4, 3, Augmentation())
    ahead = Ahead(TrainingBatches(invented, "train", 4, 3, Augmentation()), pin=False)
    for step in (0, 1, 2, 7, 8, 8, 3):
        given, expected = ahead(step), batches(step)
        assert all(torch.equal(given[name], expected[name]) for name in expected)
    ahead.close()


def test_the_next_batch_is_made_while_this_one_is_used():
    begun: dict[int, threading.Event] = {step: threading.Event() for step in range(9)}

    def make(step):
        begun[step].set()
        if step == 3:
            raise OSError("the disk is gone")
        return {"hr": torch.full((1,), float(step))}

    ahead = Ahead(make, pin=False)
    assert ahead(1)["hr"].item() == 1
    assert begun[2].wait(10)  # nobody asked for it yet
    assert not begun[0].is_set()
    assert ahead(2)["hr"].item() == 2
    assert begun[3].wait(10)
    with pytest.raises(OSError, match="the disk is gone"):
        ahead(3)
    assert ahead(4)["hr"].item() == 4
    ahead.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("batches") and thread.is_alive()]
