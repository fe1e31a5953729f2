"""FAN on crops: the original's size, what it is shown, its losses by hand, its scores, and that it learns."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from occface.errors import UsageError
from occface.faces.heatmaps import enlarged, expected_places, gaussian_heatmaps
from occface.methods.fan import VIEWS, FanMethod


def faces(count=4, seed=0):
    """Pictures of a bright spot somewhere, about which all landmarks lie."""
    generator = torch.Generator().manual_seed(seed)
    middles = torch.rand(count, 1, 2, generator=generator) * 50 + 38
    landmarks = middles + 16 * (torch.rand(1, 68, 2, generator=generator) - 0.5)
    spots = F.interpolate(gaussian_heatmaps(middles, 16), size=128, mode="bicubic").clamp(0, 1)
    hr = (2 * spots - 1).expand(-1, 3, -1, -1)
    lr = F.interpolate(hr, size=16, mode="bilinear", antialias=True)
    return {"hr": hr, "image": hr, "lr_clean": lr, "lr": lr * 0.9, "landmarks": landmarks}


@pytest.fixture
def method():
    torch.manual_seed(0)
    return FanMethod.build("test")


def test_the_paper_preset_has_the_size_of_the_published_network():
    with torch.device("meta"):  # counting needs no memory
        generator = FanMethod.build("paper").generator
    assert sum(parameter.numel() for parameter in generator.parameters()) == 23_820_176


@pytest.mark.parametrize("shares", [[0.5, 0.25, 0.25], [0.0, 0.0, 1.0], [2.0, 1.0, 1.0], [1.0, 0.0, 1.0]])
def test_a_batch_shows_its_views_in_their_shares(shares):
    method = FanMethod.build("test", {"shares": shares})
    values = dict(zip(VIEWS, (0.1, 0.2, 0.3), strict=True))
    sizes = {"hr": 128, "lr_clean": 16, "lr": 16}
    batch = {name: torch.full((8, 3, sizes[name], sizes[name]), value) for name, value in values.items()}
    for _ in range(5):
        shown = method._mixed(batch)
        assert shown.shape == (8, 3, 128, 128)
        counts = [int((shown[:, 0, 64, 64] - value).abs().lt(1e-3).sum()) for value in values.values()]
        assert counts == [round(8 * share / sum(shares)) for share in shares]


def test_a_small_batch_shows_every_view_at_times():
    method = FanMethod.build("test", {"shares": [1.0, 1.0, 1.0]})
    batch = {"hr": torch.zeros(1, 3, 128, 128), "lr_clean": torch.ones(1, 3, 16, 16), "lr": -torch.ones(1, 3, 16, 16)}
    torch.manual_seed(0)
    assert {round(float(method._mixed(batch).mean())) for _ in range(20)} == {-1, 0, 1}


def test_the_losses_are_those_written_down(method):
    batch = faces(2)
    maps = torch.rand(3, 2, 68, 64, 64, generator=torch.Generator().manual_seed(0)) * 0.2
    seen = []

    class Fixed(torch.nn.Module):
        def forward(self, x, each):
            seen.append(x)
            return maps

    method.generator = Fixed()
    terms = method(batch, method.phases()[0], "generator")
    assert 0 <= float(seen[0].min()) < float(seen[0].max()) <= 1
    target = gaussian_heatmaps(batch["landmarks"], 64)
    wanted = 0.0
    for hourglass in range(3):
        for face in range(2):
            for landmark in range(68):
                aim, found = target[face, landmark].double(), maps[hourglass, face, landmark].double()
                wanted += float(((1 + 4 * aim) * (found - aim) ** 2).sum()) / (2 * 68)
    assert float(terms["heatmaps"]) == pytest.approx(wanted, rel=1e-5)
    # centres of mass of noise lie near the middle
    assert float(terms["coordinates"]) == pytest.approx(0.5 * float((63.5 - batch["landmarks"]).abs().mean()), abs=0.5)


def test_every_parameter_gets_a_gradient():
    method = FanMethod.build("test", {"stacks": 2})
    sum(method(faces(2), method.phases()[0], "generator").values()).backward()
    without = [name for name, p in method.generator.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert not without


def test_it_learns(method, step):
    batch, phase = faces(), method.phases()[0]
    optimizers = {"generator": method.optimizer(phase, "generator")}
    losses = [step(method, batch, phase, optimizers)["generator/heatmaps"] for _ in range(25)]
    assert min(losses[-3:]) < 0.5 * losses[0]
    landmarks = batch["landmarks"]
    ignorant = float((landmarks.mean(0) - landmarks).norm(dim=-1).mean())
    assert float((method.train().landmarks_of(batch["hr"]) - landmarks).norm(dim=-1).mean()) < 2 * ignorant
    assert method.training


def test_an_untrained_network_finds_the_mean_face(method):
    landmarks = faces(20)["landmarks"].numpy()

    class Data:
        def stack(self, split, name):
            assert (split, name) == ("train", "landmarks")
            return landmarks

    method.prepare(Data())
    wanted = torch.stack([gaussian_heatmaps(torch.from_numpy(face)[None], 64)[0] for face in landmarks]).mean(0)
    torch.testing.assert_close(method.generator.prior, wanted)
    assert "prior" in method.generator.state_dict()
    found = method.landmarks_of(faces(2)["lr"])
    assert float((found - expected_places(wanted[None])).abs().max()) < 3
    published = FanMethod.build("test", {"mean_face": False})
    published.prepare(Data())
    assert "prior" not in published.generator.state_dict()


def test_landmarks_of_both_sizes(method):
    batch = faces(2)
    for name in VIEWS:
        found = method.landmarks_of(batch[name])
        assert (found.shape, found.dtype) == ((2, 68, 2), torch.float32)
    assert torch.equal(method.landmarks_of(batch["lr"]), method.landmarks_of(enlarged(batch["lr"])))


def test_the_decoding_is_the_one_that_was_set():
    network = FanMethod.build("test").generator
    found = [FanMethod.build("test", {"decoding": how}).landmarks_of(faces(2)["hr"], network) for how in ("peaks", "expected")]
    assert not torch.equal(*found)


def test_scores_are_distances_from_the_data_sets_landmarks(method, monkeypatch):
    batch = faces(2)
    shifts = {
        id(batch[name]): torch.tensor(shift) for name, shift in zip(VIEWS, [(3.0, 4.0), (0.0, 1.0), (0.0, 0.0)], strict=True)
    }
    monkeypatch.setattr(method, "landmarks_of", lambda images, generator: batch["landmarks"] + shifts[id(images)])
    scores = method.measures(batch)
    eyes = [math.dist(face[36].tolist(), face[45].tolist()) for face in batch["landmarks"]]
    assert scores["pixels_hr"] == pytest.approx(5, abs=1e-4)
    assert scores["nrmse_hr"] == pytest.approx(sum(100 * 5 / eye for eye in eyes) / 2, rel=1e-4)
    assert (scores["pixels_lr_clean"], scores["nrmse_lr"]) == (pytest.approx(1, abs=1e-4), pytest.approx(0, abs=1e-3))
    assert len(scores) == 6


def test_pictures_show_the_landmarks(method, monkeypatch):
    batch = faces(2)
    places = torch.full((2, 68, 2), 10.4)
    places[1, 0] = torch.tensor([300.0, 20.6])  # beyond the picture: at its border
    monkeypatch.setattr(method, "landmarks_of", lambda images, generator: places)
    picture = method.results(batch)["landmarks"]
    changed = (picture != batch["hr"]).any(1).nonzero().tolist()
    cross = [[9, 10], [10, 9], [10, 10], [10, 11], [11, 10]]  # rows and columns
    assert changed == [
        [face, *place] for face, places in ((0, cross), (1, [*cross, [20, 127], [21, 127], [22, 127]])) for place in places
    ]
    assert picture[0, :, 10, 10].tolist() == [-1, 1, -1]
    preview = method.preview(batch)
    assert {name: tuple(value.shape[1:]) for name, value in preview.items()} == {
        "landmarks_lr_clean": (3, 128, 128), "landmarks_lr": (3, 128, 128), "heatmaps_lr": (3, 64, 64),
    }  # fmt: skip
    assert all(-1 <= float(value.min()) <= float(value.max()) <= 1 for value in preview.values())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"width": 24}, "multiple of 16"),
        ({"stacks": 0}, "at least one hourglass"),
        ({"shares": [0.0, 0.0, 0.0]}, "not all 0"),
        ({"shares": [1.0, 1.0]}, "setting 'shares'"),
        ({"decoding": "peek"}, "did you mean 'peaks'"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, message):
    with pytest.raises(UsageError, match=message):
        FanMethod.build("test", settings)


def test_the_rate_falls_to_a_fiftieth_or_stays(method):
    phase = method.phases()[0]
    assert [method.lr_scale(phase, p) for p in (0, 0.5, 1)] == pytest.approx([1, 0.51, 0.02])
    assert FanMethod.build("test", {"lr_schedule": "constant"}).lr_scale(phase, 1) == 1
