import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from occface.dataset.config import DatasetConfig
from occface.dataset.make import make_dataset
from occface.dataset.reader import DatasetFile
from occface.errors import UsageError
from occface.occlusion import downsample
from occface.sources.folder import FolderSource
from occface.training import batches, resident
from occface.training.batches import Augmentation, TrainingBatches
from occface.training.resident import ResidentBatches

STILL = Augmentation(fresh_masks=False, mirror=False)


def test_what_is_not_random_is_as_on_the_host(dataset):
    host = TrainingBatches(dataset, "train", 5, 3, STILL)  # eight pairs: batches reach over the ends of epochs
    device = ResidentBatches(dataset, "train", 5, 3, STILL, "cpu")
    for step in (0, 1, 2, 9, 1):
        expected, given = host(step), device(step)
        assert given.keys() == expected.keys()
        for name, value in expected.items():
            assert given[name].dtype == torch.float32
            assert torch.equal(given[name], value), name


def test_a_batch_larger_than_the_split_holds_pairs_several_times(dataset):
    host, device = TrainingBatches(dataset, "train", 20, 3, STILL), ResidentBatches(dataset, "train", 20, 3, STILL, "cpu")
    assert torch.equal(host(1)["hr"], device(1)["hr"])


def test_images_lie_channels_last(dataset):
    batch = ResidentBatches(dataset, "train", 4, 3, Augmentation(warp=1, colour=1), "cpu")(0)
    assert all(batch[name].is_contiguous(memory_format=torch.channels_last) for name in ("hr", "lr", "lr_clean", "mask"))


@pytest.mark.parametrize("augmentation", [Augmentation(), Augmentation(True, True, 1, 1), Augmentation(False, True, 1, 0)])
def test_shares_are_parts_of_the_batch_of_one_process_and_steps_come_in_any_order(dataset, augmentation):
    whole = ResidentBatches(dataset, "train", 12, 3, augmentation, "cpu")
    shares = [ResidentBatches(dataset, "train", 12, 3, augmentation, "cpu", (rank, 3)) for rank in range(3)]
    batch = {step: whole(step) for step in range(3)}
    for step in (2, 0):
        parts = [share(step) for share in shares]
        assert all(torch.equal(value, torch.cat([part[name] for part in parts])) for name, value in batch[step].items())
    assert not torch.equal(batch[0]["mask"], batch[2]["mask"])
    other = ResidentBatches(dataset, "train", 12, 4, augmentation, "cpu")(0)
    assert not torch.equal(batch[0]["hr"], other["hr"])
    with pytest.raises(UsageError, match="5 processes share equally, got 12; 10 or 15 would do"):
        ResidentBatches(dataset, "train", 12, 3, augmentation, "cpu", (0, 5))


def test_every_second_face_is_mirrored_with_all_that_belongs_to_it(dataset):
    turned = ResidentBatches(dataset, "train", 64, 3, Augmentation(fresh_masks=False, mirror=True), "cpu")(0)
    plain = ResidentBatches(dataset, "train", 64, 3, STILL, "cpu")(0)
    chosen = (turned["hr"] != plain["hr"]).flatten(1).any(1)
    assert 18 <= chosen.sum() <= 46  # of 64, all but once in 2,500 times
    for name in ("hr", "lr", "lr_clean", "mask"):
        assert torch.equal(turned[name], torch.where(chosen[:, None, None, None], plain[name].flip(3), plain[name]))
    for name in ("landmarks", "landmarks_lr"):
        for mirrored, given, points in zip(chosen, turned[name].numpy(), plain[name].numpy(), strict=True):
            assert (given == (batches.mirror_landmarks(points) if mirrored else points)).all()


@pytest.mark.parametrize("warp", [0.0, 1.0])
def test_parsing_maps_follow_their_faces(parsed, warp):
    turned = ResidentBatches(parsed, "train", 32, 3, Augmentation(False, True, warp), "cpu", parsing=True)(0)
    plain = ResidentBatches(parsed, "train", 32, 3, STILL, "cpu", parsing=True)(0)
    assert turned["parsing"].dtype == torch.uint8
    if not warp:
        host = TrainingBatches(parsed, "train", 32, 3, STILL, parsing=True)(0)
        assert torch.equal(plain["parsing"], host["parsing"])
        chosen = (turned["hr"] != plain["hr"]).flatten(1).any(1)
        exchanged = plain["parsing"].flip(2)
        exchanged = torch.where(exchanged == 8, 9, torch.where(exchanged == 9, 8, exchanged))
        assert torch.equal(turned["parsing"], torch.where(chosen[:, None, None], exchanged, plain["parsing"]))
        assert chosen.any()
    ears = (turned["parsing"] == 8) | (turned["parsing"] == 9)
    assert ((turned["hr"].mean(1) > -0.1) == ears).float().mean() > 0.85  # the maps were made by brightness
    assert ResidentBatches.needed_bytes(parsed, "train", True) - ResidentBatches.needed_bytes(parsed, "train") == 4 * 128 * 128


@pytest.mark.parametrize("augmentation", [Augmentation(), Augmentation(warp=1, colour=1), Augmentation(False, True, 1, 1)])
def test_thumbnails_fit_their_faces_and_masks(dataset, augmentation):
    batch = ResidentBatches(dataset, "train", 16, 3, augmentation, "cpu")(2)
    pixels = ((batch["hr"] + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    hole = batch["mask"][:, 0].bool().numpy()
    assert 0.01 < hole.mean() < 0.4
    for name, images in (("lr_clean", pixels), ("lr", np.where(hole[..., None], np.uint8(128), pixels))):
        expected = np.stack([downsample(np.ascontiguousarray(image)) for image in images]).transpose(0, 3, 1, 2)
        assert np.abs((batch[name].numpy() + 1) * 127.5 - expected).max() < 1.01


def test_masks_are_of_the_pairs_type(dataset):
    batch = ResidentBatches(dataset, "train", 32, 3, Augmentation(), "cpu")(0)
    host = TrainingBatches(dataset, "train", 32, 3, Augmentation())(0)  # the order of pairs is the same

    def square(masks):
        return [bool(mask.sum() == mask.amax(1).sum() * mask.amax(2).sum()) for mask in masks]

    assert square(batch["mask"]) == square(host["mask"])


def test_warps_and_colours_are_those_of_the_host():
    rng = np.random.default_rng(0)
    for _ in range(10):
        smooth = gaussian_filter(rng.uniform(0, 255, (128, 128, 3)), (6, 6, 0))
        image = (255 * (smooth - smooth.min()) / np.ptp(smooth)).astype(np.uint8)
        points = rng.uniform(0, 128, (2, 68, 2)).astype(np.float32)
        pair = {"hr": image, "mask": (image[..., 0] > 128).astype(np.uint8), "landmarks": points[0], "landmarks_lr": points[1]}
        normal = rng.standard_normal(4)
        theirs = batches.warped(pair, batches.warp_matrix(1.5, normal))
        matrices = resident.warp_matrices(1.5, torch.from_numpy(normal)[None].float())
        picture = torch.from_numpy(image).permute(2, 0, 1)[None]
        ours = resident.warped_pictures(picture, matrices, "bicubic")[0].permute(1, 2, 0).numpy()
        assert np.abs(ours.astype(int) - theirs["hr"]).max() <= 2
        mask = resident.warped_pictures(torch.from_numpy(pair["mask"])[None, None], matrices, "nearest")[0, 0].numpy()
        assert (mask != theirs["mask"]).mean() < 0.002  # at places half way between two pixels
        moved = resident.warped_points(torch.from_numpy(points[:1]), matrices)[0].numpy()
        assert np.abs(moved - theirs["landmarks"]).max() < 1e-3
        normal = rng.standard_normal(5)
        ours = resident.recoloured(picture, 1.5, torch.from_numpy(normal)[None].float())[0].permute(1, 2, 0).numpy()
        apart = np.abs(ours.astype(int) - batches.recoloured(image, 1.5, normal))
        assert apart.max() <= 1
        assert (apart > 0).mean() < 0.01


@pytest.fixture(scope="module")
def eyes(faces_folder, tmp_path_factory):
    path = tmp_path_factory.mktemp("eyes") / "faces.h5"
    make_dataset(FolderSource(str(faces_folder)), path, DatasetConfig(masks=("eyes", "square"), test=2))
    return DatasetFile(path)


def test_masks_that_cannot_be_drawn_there_can_be_kept(dataset, eyes):
    assert ResidentBatches.supports(dataset, "train", Augmentation())
    assert ResidentBatches.supports(eyes, "train", STILL)
    assert not ResidentBatches.supports(eyes, "train", Augmentation())
    with pytest.raises(UsageError, match="masks of eyes cannot be drawn anew on a device"):
        ResidentBatches(eyes, "train", 4, 3, Augmentation(), "cpu")
    kept = ResidentBatches(eyes, "train", 8, 3, STILL, "cpu")(0)
    assert torch.equal(kept["lr"], TrainingBatches(eyes, "train", 8, 3, STILL)(0)["lr"])


def test_the_memory_needed_is_that_of_all_records(dataset):
    face = 128 * 128 * 3 + 16 * 16 * 3 + 68 * 2 * 4
    pair = 128 * 128 + 16 * 16 * 3 + 68 * 2 * 4
    assert ResidentBatches.needed_bytes(dataset, "train") == 4 * (face + 2 * pair)
