"""PULSE: its objective, schedule and framing by hand or by Pillow, and a search whose answer is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from occface import assets
from occface.errors import UsageError
from occface.methods import pulse_search
from occface.methods.gfc import GFC
from occface.methods.pulse import PULSE, _MobileStyles, _StyleSpace
from occface.methods.pulse_search import Frame, Plan, downscale, geocross, one_cycle_drop, search
from occface.methods.stylegan import StyleGAN
from occface.methods.weights import save_weights
from occface.networks.mobilestylegan import MobileStyleGAN
from occface.presets import describe_preset

PLAN = Plan(steps=60, lr=0.4, eps=2e-3, l2_weight=100.0, geocross_weight=0.05, down="data", starts=1, seed=0)


def picture(side=128, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, (side, side)).astype(np.float32)


def resized(array, size, kind, box=None):
    return np.asarray(Image.fromarray(array).resize((size, size), kind, box=box))


@pytest.mark.parametrize("kernel", ["bicubic", "data"])
def test_pictures_are_made_small_as_pillow_does(kernel):
    x = picture()
    if kernel == "data":
        expected = resized(x, 16, Image.Resampling.BILINEAR)
    else:  # edges reflected, as PULSE's own does
        expected = resized(np.pad(x, 32, mode="reflect"), 24, Image.Resampling.BICUBIC)[4:-4, 4:-4]
    small = downscale(torch.from_numpy(x)[None, None], kernel)[0, 0].numpy()
    np.testing.assert_allclose(small, expected, atol=1e-5)


@pytest.mark.parametrize(("side", "middle_x", "middle_y"), [(0.8, 0.5, 0.55), (0.31, 0.4, 0.6)])
def test_a_frame_is_cut_as_pillow_does(side, middle_x, middle_y):
    x = picture(300)
    box = tuple(300 * (m + s * side / 2) for s in (-1, 1) for m in (middle_x, middle_y))
    cut = Frame(side, middle_x, middle_y).cut(torch.from_numpy(x)[None, None])[0, 0].numpy()
    np.testing.assert_allclose(cut, resized(x, 128, Image.Resampling.BILINEAR, box), atol=1e-4)


def test_a_frame_beyond_the_picture_goes_on_with_its_edge():
    x = picture(64)
    wide = np.pad(x, 32, mode="edge")
    cut = Frame(1.25, 0.5, 0.6).cut(torch.from_numpy(x)[None, None])
    same = Frame(0.625, 0.5, 0.55).cut(torch.from_numpy(wide)[None, None])
    torch.testing.assert_close(cut, same, atol=1e-5, rtol=0)
    torch.testing.assert_close(Frame().cut(torch.from_numpy(picture())[None, None])[0, 0], torch.from_numpy(picture()))


def test_geocross_is_the_mean_squared_angle_of_all_pairs():
    styles = np.random.default_rng(0).standard_normal((2, 3, 5))
    styles /= np.linalg.norm(styles, axis=2, keepdims=True)  # of equal length, theta is the angle
    for face, found in zip(styles, geocross(torch.from_numpy(styles)), strict=True):
        angles = [math.acos(min(1, float(a @ b))) ** 2 for a in face for b in face]
        assert float(found) == pytest.approx(5 * np.mean(angles) / 8, rel=1e-4)
    assert geocross(torch.ones(2, 1, 7)).tolist() == [0, 0]


def test_the_rate_rises_falls_and_drops():
    found = [one_cycle_drop(step, 200) for step in (0, 45, 90, 135, 180, 190, 200)]
    assert found == pytest.approx([0.1, 0.55, 1, 0.55, 0.1, 0.0505, 0.001])


class Patterns:
    """Pictures that are sums of smooth patterns, one for each number of two latents."""

    shape = (2, 6)
    frame = Frame()

    def __init__(self):
        waves = torch.linspace(0, math.pi, 128)
        rows = torch.stack([torch.cos(k * waves) for k in range(6)])
        self.patterns = 0.12 * torch.stack([torch.outer(row, rows[k % 3]) for k, row in enumerate(rows)])
        self.seen = []

    def noise(self):
        return []

    def styles(self, latents):
        self.seen.append(latents.detach().clone())
        return latents

    def draw(self, styles, noise):
        return torch.einsum("bcd,dhw->bchw", torch.cat((styles, styles[:, :1]), 1), self.patterns)


def targets(count):
    """LR faces that are reached by turning each latent of the start."""
    space = Patterns()
    search(space, torch.zeros(1, 3, 16, 16), Plan(**{**vars(PLAN), "steps": 1}))
    start = space.seen[0]
    wanted = torch.randn(count, 2, 6, generator=torch.Generator().manual_seed(1))
    wanted *= start.norm(dim=2, keepdim=True) / wanted.norm(dim=2, keepdim=True)
    return downscale(space.draw(wanted, []), "data")


def test_the_search_reaches_what_can_be_reached_and_returns_its_best():
    lr = targets(3)
    faces, errors = search(Patterns(), lr, PLAN)
    assert (errors <= PLAN.eps).all()
    torch.testing.assert_close((downscale(faces, "data") - lr).square().mean((1, 2, 3)) / 4, errors)


def test_latents_stay_on_their_sphere_and_all_set_out_together():
    space = Patterns()
    search(space, targets(3), PLAN)
    radii = torch.stack([latents.norm(dim=2) for latents in space.seen])
    torch.testing.assert_close(radii, radii[:1].expand_as(radii))
    assert torch.equal(space.seen[0], space.seen[0][:1].expand(3, -1, -1))
    assert (space.seen[-1] - space.seen[0]).abs().max() > 0.1


def test_the_first_step_is_adams_of_a_tenth_of_the_rate():
    space, lr = Patterns(), targets(1)
    search(space, lr, Plan(**{**vars(PLAN), "steps": 2}))
    start = space.seen[0].clone().requires_grad_()
    loss = 100 * (downscale(space.draw(start, []), "data") - lr).square().mean() / 4 + 0.05 * geocross(start).sum()
    (gradient,) = torch.autograd.grad(loss, start)
    moved = start.detach() - 0.04 * gradient.sign()  # Adam's first step has the same length everywhere
    moved *= start.detach().norm(dim=2, keepdim=True) / moved.norm(dim=2, keepdim=True)
    torch.testing.assert_close(space.seen[1], moved, atol=1e-4, rtol=0)


def test_a_face_does_not_depend_on_the_faces_beside_it():
    lr = torch.cat([targets(2), torch.ones(1, 3, 16, 16)])  # no sum of patterns is all white
    plan = Plan(**{**vars(PLAN), "starts": 2, "steps": 20})
    faces, errors = search(Patterns(), lr, plan)
    for number in range(3):
        alone = search(Patterns(), lr[number : number + 1], plan)
        torch.testing.assert_close(faces[number], alone[0][0], atol=1e-4, rtol=0)
        torch.testing.assert_close(errors[number], alone[1][0], atol=1e-5, rtol=0)


def test_of_two_misses_the_nearer_one_is_returned():
    lr = torch.ones(1, 3, 16, 16)
    space = Patterns()
    plan = Plan(**{**vars(PLAN), "steps": 20, "geocross_weight": 0.0})
    _, errors = search(space, lr, plan)
    tried = torch.stack([downscale(space.draw(latents, []).clamp(-1, 1), "data") for latents in space.seen])
    drawn = torch.stack([downscale(space.draw(latents, []), "data") for latents in space.seen])
    best = (drawn - lr).square().mean((1, 2, 3, 4)).argmin()
    torch.testing.assert_close(errors[0], (tried[best] - lr).square().mean() / 4)


def test_what_is_returned_and_judged_is_clamped():
    class Bright(Patterns):
        def draw(self, styles, noise):
            return super().draw(styles, noise) * 20

    lr = targets(2)
    faces, errors = search(Bright(), lr, PLAN)
    assert faces.abs().max() == 1
    torch.testing.assert_close((downscale(faces, "data") - lr).square().mean((1, 2, 3)) / 4, errors)


def test_a_face_of_which_nothing_counts_is_missed_and_leaves_the_others_alone():
    lr, weights = targets(2), torch.ones(2, 1, 16, 16)
    weights[1] = 0
    space = Patterns()
    faces, errors = search(space, lr, Plan(**{**vars(PLAN), "starts": 3}), weights)
    assert errors[0] <= PLAN.eps
    assert errors[1] == math.inf
    assert faces.isfinite().all()
    assert faces[1].std() > 0
    assert len(space.seen) == PLAN.steps  # nor is it searched again


def test_a_frame_is_worked_out_once_for_a_search(monkeypatch):
    made = []
    plain = pulse_search._resampling
    monkeypatch.setattr(pulse_search, "_resampling", lambda *given: made.append(given) or plain(*given))
    pulse_search._cut.cache_clear()
    search(Patterns(), targets(1), PLAN)
    assert len(made) == 2


def test_only_what_was_missed_is_searched_again():
    lr = torch.cat([targets(2), torch.ones(1, 3, 16, 16)])
    once, first = search(Patterns(), lr, PLAN)
    space = Patterns()
    again, later = search(space, lr, Plan(**{**vars(PLAN), "starts": 3}))
    assert (first > PLAN.eps).tolist() == [False, False, True]
    assert torch.equal(once[:2], again[:2])
    assert later[2] <= first[2]
    assert [len(latents) for latents in space.seen] == [3] * 60 + [1] * 120
    assert not torch.equal(space.seen[0][0], space.seen[60][0])


class Same(nn.Module):
    """A mapping that leaves latents as they are."""

    def forward(self, z):
        return z


def test_the_fit_is_of_styles_before_the_last_leaky_relu():
    space = _StyleSpace(Same(), Same(), 3, 40_000, torch.device("cpu"))
    # LeakyReLU_5 of N(0,1): mean (1 - 5) / sqrt(2 pi), mean square (1 + 25) / 2
    mean = -4 / math.sqrt(2 * math.pi)
    assert space.mean.mean().item() == pytest.approx(mean, abs=0.01)
    assert space.std.mean().item() == pytest.approx(math.sqrt(13 - mean**2), rel=0.01)
    latents = torch.tensor([0.0, 2.0]).view(2, 1, 1).expand(2, 1, 512)
    before = latents * space.std + space.mean
    torch.testing.assert_close(space.styles(latents), torch.where(before < 0, 0.2 * before, before))


def thumbnails(count=3):
    return {"lr": torch.rand(count, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1}


def test_faces_come_out_whole_and_misses_are_counted(caplog):
    method = PULSE.build("test", {"faces_at_once": 2})
    with caplog.at_level("INFO"):
        faces = method.hallucinate(thumbnails())
    assert caplog.messages == ["PULSE missed 3 of 3 faces: their error is above 0.002"]
    assert faces.shape == (3, 3, 128, 128)
    assert faces.abs().max() <= 1
    assert not faces.requires_grad
    assert method.last_errors.shape == (3,)
    assert method.last_missed.tolist() == [True] * 3  # noise is no face
    generous = PULSE.build("test", {"eps": 10.0})
    generous.hallucinate(thumbnails())
    assert not generous.last_missed.any()


def test_the_seed_alone_decides_where_the_search_begins():
    torch.manual_seed(1)
    one = PULSE.build("test").hallucinate(thumbnails())
    torch.manual_seed(2)
    torch.testing.assert_close(PULSE.build("test").hallucinate(thumbnails()), one, atol=1e-4, rtol=0)
    assert (PULSE.build("test", {"seed": 1}).hallucinate(thumbnails()) - one).abs().max() > 0.01


def test_a_face_alone_and_among_others_is_the_same_up_to_rounding():
    # of networks that see a batch at once, where rounding differs with its size
    together = PULSE.build("test", {"steps": 10})
    faces = together.hallucinate(thumbnails())
    for number in range(3):
        alone = PULSE.build("test", {"steps": 10})
        face = alone.hallucinate({"lr": thumbnails()["lr"][number : number + 1]})
        assert (face[0] - faces[number]).abs().mean() < 0.02  # Adam's steps enlarge roundings
        torch.testing.assert_close(alone.last_errors[0], together.last_errors[number], atol=0, rtol=5e-3)
    assert (faces[0] - faces[1]).abs().mean() > 0.1


def test_the_random_network_leaves_all_random_numbers_alone(monkeypatch):
    def refuse(seed):
        raise AssertionError("accelerators were seeded")

    torch.manual_seed(3)
    before = torch.get_rng_state()
    monkeypatch.setattr(torch.cuda, "manual_seed_all", refuse)
    PULSE.build("test").hallucinate(thumbnails(1))
    assert torch.equal(torch.get_rng_state(), before)


def test_masked_pixels_do_not_count():
    masked = PULSE.build("test", {"masked": True})
    assert (masked.needs, PULSE.build("test").needs) == ({"mask"}, frozenset())
    batch = thumbnails(1)
    mask = torch.zeros(1, 1, 128, 128)
    mask[:, :, 43, 40:60] = 1  # touches the LR pixels of row 5, columns 5 to 7
    painted = batch["lr"].clone()
    painted[:, :, 5, 5:8] = 1
    result = masked.hallucinate({**batch, "mask": mask})
    assert torch.equal(masked.hallucinate({"lr": painted, "mask": mask}), result)
    painted[:, :, 5, 8] = 1
    assert not torch.equal(masked.hallucinate({"lr": painted, "mask": mask}), result)
    assert masked.last_errors.isfinite().all()
    masked.hallucinate({**batch, "mask": torch.ones(1, 1, 128, 128)})
    assert masked.last_errors.tolist() == [math.inf]
    assert masked.last_missed.tolist() == [True]


def test_a_stylegan_trained_here_is_searched(tmp_path):
    torch.manual_seed(0)
    trained = StyleGAN.build("test")
    card = save_weights(tmp_path / "run", trained.generator, {"method": "stylegan", "config": trained.config})
    method = PULSE.build("test", {"generator": str(tmp_path / "run")})
    assert method.fingerprint() == {"generator": card["sha256"]}
    faces = method.hallucinate(thumbnails())
    assert (faces - PULSE.build("test").hallucinate(thumbnails())).abs().max() > 0.01
    save_weights(tmp_path / "gfc", GFC.build("test").generator, {"method": "gfc", "config": GFC.build("test").config})
    with pytest.raises(UsageError, match=r"expected a trained stylegan .* got 'gfc'"):
        PULSE.build("test", {"generator": str(tmp_path / "gfc")}).hallucinate(thumbnails())
    with pytest.raises(UsageError, match="expected a run folder"):
        PULSE.build("test", {"generator": "mobilestylegam"}).hallucinate(thumbnails())


def test_fingerprints_are_the_hashes_of_the_files():
    files = PULSE.build("cpu").fingerprint()["generator"]
    assert files == {file.name: file.sha256 for file in assets.ASSETS["dcgan"].files}
    assert PULSE.build("paper").fingerprint() != PULSE.build("cpu").fingerprint()
    assert PULSE.build("test").fingerprint() == {"generator": "untrained"}


@pytest.mark.parametrize(("key", "value"), [("down", "bilinear"), ("steps", 0), ("starts", 0), ("faces_at_once", 0)])
def test_settings_that_make_no_sense_are_refused(key, value):
    with pytest.raises(UsageError, match=f"{'make small' if key == 'down' else key}"):
        PULSE.build("test", {key: value})


def test_dcgan_is_searched():
    assets.pull("dcgan")
    method = PULSE.build("cpu", {"steps": 4})
    lr = torch.zeros(1, 3, 16, 16)
    begun = PULSE.build("cpu", {"steps": 1})
    begun.hallucinate({"lr": lr})
    faces = method.hallucinate({"lr": lr})
    assert method.last_errors < begun.last_errors
    assert faces.std() > 0.1


def test_mobilestylegans_noise_is_its_own_until_it_is_searched():
    network = MobileStyleGAN.from_openvino(assets.pull("mobilestylegan"))
    space = _MobileStyles(network, 5, 100, torch.device("cpu"))
    assert [each.shape[-1] for each in space.noise()] == [4, 8, 8, 16, 16]
    styles = space.styles(torch.zeros(1, *space.shape))
    with torch.no_grad():
        same = space.draw(styles, space.noise())
        torch.testing.assert_close(same, network.synthesis(styles, 512), atol=1e-4, rtol=0)
        other = space.draw(styles, [-each for each in space.noise()])
    assert (other - same).abs().mean() > 1e-4


def test_a_searchs_operations_are_not_counted():
    facts = describe_preset("pulse", "paper")
    assert facts.macs is None
    assert facts.macs_counted.startswith("not counted")


def test_mobilestylegans_faces_are_drawn_together_each_with_its_own_noise():
    network = MobileStyleGAN.from_openvino(assets.pull("mobilestylegan"))
    space = _MobileStyles(network, 5, 100, torch.device("cpu"))
    chance = torch.Generator().manual_seed(0)
    styles = space.styles(torch.randn(2, network.levels, 512, generator=chance))
    noise = [torch.randn(2, *each.shape[1:], generator=chance) for each in space.noise()]
    with torch.no_grad():
        both = space.draw(styles, noise)
        alone = [space.draw(styles[face : face + 1], [each[face : face + 1] for each in noise]) for face in (0, 1)]
        plain = network.synthesis(styles[:1], 512)
    assert torch.allclose(both, torch.cat(alone), atol=1e-4)
    assert (alone[0] - plain).abs().max() > 0.05  # the noise is seen
