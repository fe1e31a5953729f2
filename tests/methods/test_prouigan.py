"""Pro-UIGAN's three steps: what each runs, trains and minimises."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F

from occface.errors import UsageError
from occface.faces.heatmaps import gaussian_heatmaps
from occface.methods import prouigan
from occface.methods.prouigan import ProUIGAN
from occface.networks.discriminators import centre_crop
from occface.networks.vgg import FeatureNetwork, Trunk


def faces(count=4, seed=0):
    """Smooth pictures with landmarks."""
    generator = torch.Generator().manual_seed(seed)
    hr = F.interpolate(torch.rand(count, 3, 6, 6, generator=generator) * 1.6 - 0.8, size=128, mode="bicubic").clamp(-1, 1)
    landmarks = torch.rand(count, 68, 2, generator=generator) * 100 + 14
    lr = F.interpolate(hr, size=16, mode="bilinear", antialias=True)
    return {"hr": hr, "lr": lr, "landmarks": landmarks, "landmarks_lr": landmarks + 2}


def optimizers_of(method, phase):
    return {turn: method.optimizer(phase, turn) for turn in method.turns(phase)}


def test_papers_preset_is_the_papers():
    with torch.device("meta"):
        method = ProUIGAN.build("paper")
    assert sum(p.numel() for p in method.generator.parameters()) == pytest.approx(10_564_440, rel=0.01)
    rates = [group["lr"] for group in method.optimizer(method.phases()[2], "generator").param_groups]
    assert rates == [1e-4, 1e-4, 1e-3]
    assert [method.turns(phase)[0] for phase in method.phases()] == ["discriminator", "generator", "discriminator"]
    assert method.lr_scale(method.phases()[2], 0.9) == 1


@pytest.mark.parametrize(("number", "blocks"), [(0, 1), (1, 2), (2, 3)])
def test_a_phase_runs_only_the_blocks_it_needs_and_once(number, blocks, step):
    method = ProUIGAN.build("test")
    phase = method.phases()[number]
    ran = []
    for index, block in enumerate(method.generator.blocks):
        block.register_forward_hook(lambda *_, index=index: ran.append(index))
    step(method, faces(), phase, optimizers_of(method, phase))
    assert ran == list(range(blocks))  # the generator's turn takes over the pass of the discriminator's


def test_second_phase_leaves_block_1_and_its_statistics_alone(step):
    torch.manual_seed(0)
    method = ProUIGAN.build("test")
    phase = method.phases()[1]
    before = copy.deepcopy(method.state_dict())
    optimizers = optimizers_of(method, phase)
    for _ in range(2):
        step(method, faces(), phase, optimizers)
    changed = {name.split(".")[2] for name, value in method.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"1"}
    assert not torch.equal(
        before["generator.blocks.1.face_stem.1.running_mean"], method.generator.blocks[1].face_stem[1].running_mean
    )


def test_third_phase_reaches_every_parameter(step):
    torch.manual_seed(0)
    method = ProUIGAN.build("test")
    phase = method.phases()[2]
    before = copy.deepcopy(dict(method.named_parameters()))
    optimizers = optimizers_of(method, phase)
    step(method, faces(), phase, optimizers)
    for turn in optimizers.values():
        assert all(p.grad is not None for group in turn.param_groups for p in group["params"])
    still = [name for name, p in method.named_parameters() if torch.equal(p, before[name]) and "weight" in name]
    assert still == []


@pytest.mark.parametrize("every", [1, 2])
def test_losses_are_those_of_the_paper(every):
    """Every term of step (iii) recomputed from the stages' results; features and style of one of `every` faces."""
    torch.manual_seed(0)
    weights = {"feature_weights": [0.01, 0.02, 0.03], "style_weights": [10.0, 5.0, 1.0], "feature_every": every}
    method = ProUIGAN.build("test", {"norm": "none", "feature_network": "stlpips-vgg", **weights})
    judge = FeatureNetwork(Trunk(17))
    method._frozen["features"] = judge
    batch, phase = faces(2), method.phases()[2]
    for part in (method.local_16, method.local_64, method.global_128):
        part.eval()
    with torch.no_grad():
        stages = method.generator(batch["lr"], [gaussian_heatmaps(batch["landmarks_lr"], 16), None, None])
        terms = method(batch, phase, "generator")
        fakes = {"local_16": (method.local_16, stages.images[0][..., 8:24, 8:24])}
        fakes["local_64"] = (method.local_64, stages.images[2][..., 32:96, 32:96])
        fakes["global_128"] = (method.global_128, stages.images[2])
        wanted = {f"adversarial_{name}": 0.01 * F.softplus(-net(x)).mean() for name, (net, x) in fakes.items()}
        for number, (size, style_weight) in enumerate(((32, 10), (64, 5), (128, 1))):
            truth = F.interpolate(batch["hr"], size=(size, size), mode="bilinear", antialias=True)
            made, maps = stages.images[number], stages.heatmaps[number]
            wanted[f"intensity_{number + 1}"] = (made - truth).square().mean()
            wanted[f"geometry_{number + 1}"] = (maps - gaussian_heatmaps(batch["landmarks"], size // 2)).square().mean()
            ours, theirs = judge(made), judge(truth)
            ours, theirs = ([part[::every] for part in (taps.feature, *taps.styles)] for taps in (ours, theirs))
            wanted[f"feature_{number + 1}"] = 0.01 * (number + 1) * (ours[0] - theirs[0]).square().mean()
            grams = [[torch.einsum("bchw,bdhw->bcd", x, x) / x[0].numel() for x in taps[1:]] for taps in (ours, theirs)]
            wanted[f"style_{number + 1}"] = style_weight * sum((a - b).abs().mean() for a, b in zip(*grams, strict=True))
    assert terms.keys() == wanted.keys()
    for name, value in wanted.items():
        torch.testing.assert_close(terms[name], value, atol=1e-6, rtol=1e-4, msg=name)


def test_first_phase_shows_the_local_discriminator_the_middle():
    method, batch = ProUIGAN.build("test"), faces(2)
    seen = []
    method.local_16.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    assert set(method(batch, method.phases()[0], "discriminator")) == {"local_16"}
    real = F.interpolate(batch["hr"], size=(32, 32), mode="bilinear", antialias=True)
    torch.testing.assert_close(seen[0], centre_crop(real, 16))
    assert not seen[1].requires_grad


def test_without_adversarial_weight_there_is_no_discriminator():
    method = ProUIGAN.build("test+l-ddagger")
    assert {method.turns(phase) for phase in method.phases()} == {("generator",)}
    assert not any("adversarial" in name for name in method(faces(2), method.phases()[2], "generator"))


def test_learns_to_fill_the_holes_of_a_few_pictures(step):
    torch.manual_seed(0)
    method, batch = ProUIGAN.build("test", {"norm": "none"}), faces(2)
    batch["lr"][:, :, 4:11, 4:11] = 0
    error = float(F.mse_loss(method.hallucinate(batch), batch["hr"]))
    phase = method.phases()[2]
    optimizers = optimizers_of(method, phase)
    for _ in range(20):
        step(method, batch, phase, optimizers)
    assert float(F.mse_loss(method.hallucinate(batch), batch["hr"])) < 0.5 * error


def test_inference_takes_another_generator_and_leaves_the_mode():
    method, batch = ProUIGAN.build("test"), faces(3)
    other = ProUIGAN.build("test").generator.eval()
    with torch.no_grad():
        wanted = other(batch["lr"], [gaussian_heatmaps(batch["landmarks_lr"], 16), None, None]).images[2]
    torch.testing.assert_close(method.hallucinate(batch, other.train()), wanted)
    assert other.training
    results, pictures = method.results(batch), method.preview(batch)
    assert [(name, *x.shape[1:]) for name, x in results.items()] == [(f"stage_{n}", 3, 16 << n, 16 << n) for n in (1, 2, 3)]
    assert [(name, *x.shape[1:]) for name, x in pictures.items()] == [(f"heatmaps_{n}", 3, 8 << n, 8 << n) for n in (1, 2, 3)]
    assert torch.equal(results["stage_3"], method.hallucinate(batch))


def test_rates_fall_in_the_last_phase_alone():
    method = ProUIGAN.build("demo")
    first, _, last = method.phases()
    assert method.lr_scale(first, 1) == method.lr_scale(last, 0) == 1
    assert method.lr_scale(last, 1) == pytest.approx(0.02)


def test_plain_parts_come_first_without_the_other_losses(step):
    losses = {"feature_weights": [0.0] * 3, "style_weights": [0.0] * 3, "total_variation_weights": [0.1] * 3}
    settings = {"plain_steps": [1, 0, 3], "steps_1": 1, "lr_joint": [1e-5, 2e-5, 3e-5], "lr_schedule": "cosine", **losses}
    method = ProUIGAN.build("test", settings)
    assert [(phase.name, phase.steps) for phase in method.phases()] == [
        ("i plain", 1),
        ("ii", method.config["steps_2"]),
        ("iii plain", 3),
        ("iii", method.config["steps_3"] - 3),
    ]
    first, _, plain, last = method.phases()
    assert set(method(faces(2), first, "generator")) == {"intensity_1", "geometry_1"}
    assert set(method(faces(2), plain, "generator")) == PIXELS
    assert set(method(faces(2), last, "generator")) > PIXELS
    assert (method.turns(plain), method.turns(last)) == (("generator",), ("discriminator", "generator"))
    rates = [[group["lr"] for group in method.optimizer(phase, "generator").param_groups] for phase in (plain, last)]
    assert rates == [[method.config["lr_alone"]] * 3, [1e-5, 2e-5, 3e-5]]
    assert method.lr_scale(plain, 1) == method.lr_scale(last, 1) == pytest.approx(0.02)
    before = copy.deepcopy(method.generator.state_dict())
    step(method, faces(), plain, optimizers_of(method, plain))
    after = method.generator.state_dict()
    changed = {name.split(".")[1] for name, value in after.items() if not torch.equal(value, before[name])}
    assert changed == {"0", "1", "2"}


def test_more_plain_steps_than_steps_are_refused():
    with pytest.raises(UsageError, match="plain_steps: expected at most the 2 of steps_2, got 5"):
        ProUIGAN.build("test", {"plain_steps": [0, 5, 0]})


PIXELS = {f"{name}_{stage}" for name in ("intensity", "geometry") for stage in (1, 2, 3)}
FEATURES = {f"feature_{stage}" for stage in (1, 2, 3)}
STYLES = {f"style_{stage}" for stage in (1, 2, 3)}
LOCAL = {"adversarial_local_16", "adversarial_local_64"}


@pytest.mark.parametrize(
    ("variant", "wanted"),
    [
        ("+l-minus", PIXELS),
        ("+l-dagger", PIXELS | FEATURES - {"feature_1"}),
        ("+l-ddagger", PIXELS | FEATURES),
        ("+l-star", PIXELS | FEATURES | STYLES | LOCAL),
        ("", PIXELS | FEATURES | STYLES | LOCAL | {"adversarial_global_128"}),
    ],
)
def test_the_five_combinations_of_losses_of_table_3(variant, wanted):
    network = {} if variant == "+l-minus" else {"feature_network": "stlpips-vgg"}
    method = ProUIGAN.build("cpu" + variant, {"channels": [8, 8, 8], "discriminator_width": 4, "feature_every": 1, **network})
    method._frozen["features"] = FeatureNetwork(Trunk(17, blur=True))
    terms = method(faces(2), method.phases()[-1], "generator")
    assert {name for name, value in terms.items() if float(value.detach()) > 0} == wanted


def test_extras_of_the_released_code_are_off_unless_asked_for():
    small = {"channels": [8, 8, 8], "discriminator_width": 4, "feature_every": 1, "fan_reading": "framed"}
    method = ProUIGAN.build("cpu+released-losses", small)
    method._frozen["features"] = FeatureNetwork(Trunk(17, blur=True, normalised=False))
    terms = method(faces(2), method.phases()[-1], "generator")
    extras = {name for name in terms if name.startswith(("auxiliary", "total_variation"))}
    names = ("auxiliary", "auxiliary_feature", "total_variation")
    assert extras == {f"{name}_{stage}" for name in names for stage in (1, 2, 3)}
    assert not {name for name in terms if "local" in name}


def parameters(preset):
    with torch.device("meta"):
        return sum(p.numel() for p in ProUIGAN.build(preset).generator.parameters())


def test_ablations_of_priors_keep_the_size():
    assert parameters("paper") == 10_564_440
    assert parameters("paper+p-fp") == 10_566_921
    assert parameters("paper+p-gt") == 10_564_440
    assert abs(parameters("paper+no-cm-am-1") / 10_564_440 - 1) < 1e-3
    assert parameters("released") == 1_197_343


def test_without_priors_no_landmarks_are_needed():
    method = ProUIGAN.build("test+p-fp")
    assert method.needs == frozenset()
    assert method.hallucinate({"lr": faces(2)["lr"]}).shape == (2, 3, 128, 128)
    assert method.preview({"lr": faces(2)["lr"]}) == {}
    terms = method({key: value for key, value in faces(2).items() if key != "landmarks_lr"}, method.phases()[2], "generator")
    assert not [name for name in terms if "geometry" in name]


def test_true_priors_lead_every_stage():
    """P+GT: the stages are told where the HR face's landmarks are, and nothing of the estimated ones."""
    torch.manual_seed(0)
    method, batch = ProUIGAN.build("test+p-gt"), faces(2)
    assert method.needs == {"true landmarks"}
    made = method.hallucinate(batch)
    assert torch.equal(made, method.hallucinate({**batch, "landmarks_lr": batch["landmarks_lr"] * 0}))
    assert not torch.equal(made, method.hallucinate({**batch, "landmarks": batch["landmarks"] + 9}))


def test_without_cm_am_in_block_1_the_given_landmarks_still_reach_block_2():
    torch.manual_seed(0)
    method, batch = ProUIGAN.build("test+no-cm-am-1"), faces(2)
    first, second = (method.results({**batch, "landmarks_lr": batch["landmarks_lr"] + shift}) for shift in (0, 20))
    assert torch.equal(first["stage_1"], second["stage_1"])
    assert not torch.equal(first["stage_2"], second["stage_2"])


class Spot(torch.nn.Module):
    """Stands where FAN stands: one bright place per landmark, and a note of what it was shown."""

    def __init__(self):
        super().__init__()
        self.shown = []

    def forward(self, images, size):
        self.shown.append(tuple(images.shape[1:]))
        maps = torch.zeros(len(images), 68, size, size)
        maps[:, :, size // 2, size // 2] = torch.arange(68) / 100
        return maps


def test_fan_is_asked_about_the_picture_that_enters_each_stage():
    method, batch = ProUIGAN.build("released", {"channels": [16, 16, 16]}), faces(2)
    assert method.needs == frozenset()
    assert "fan" in method.assets()
    fan = method._frozen["fan"] = Spot()
    seen = []
    for block in method.generator.get_submodule("blocks").children():
        block.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[1]))
    method.hallucinate({"lr": batch["lr"]})
    assert fan.shown == [(3, n, n) for n in (16, 32, 64)]
    assert [maps.shape[1] for maps in seen] == [7, 42, 68]
    assert seen[0][0, :, 8, 8].tolist() == pytest.approx([0.36, 0.39, 0.42, 0.45, 0.30, 0.48, 0.54])


def test_fan_can_be_the_target_of_the_geometry_loss():
    method, batch = ProUIGAN.build("test", {"geometry_target": "fan", "norm": "none"}), faces(2)
    method._frozen["fan"] = fan = Spot()
    terms = method(batch, method.phases()[0], "generator")
    assert fan.shown == [(3, 128, 128)]
    with torch.no_grad():
        found = method.generator(batch["lr"], [gaussian_heatmaps(batch["landmarks_lr"], 16)], stages=1).heatmaps[0]
    torch.testing.assert_close(terms["geometry_1"].detach(), F.mse_loss(found, fan(batch["hr"], 16)))


@pytest.mark.parametrize(
    ("preset", "settings", "message"),
    [
        ("test", {"landmark_sources": ["carry", "carry", "carry"]}, "no stage comes before"),
        ("test", {"landmark_sources": ["stored", "cary", "carry"]}, "landmark source 'cary': did you mean 'carry'"),
        ("test", {"landmark_set": "full"}, "landmark set 'full': did you mean 'full68'"),
        ("test", {"landmark_set": "released_7_42_68"}, "different landmarks, none to carry"),
        ("test", {"architecture": "papr"}, "did you mean 'paper'"),
        ("test", {"lr_schedule": "cosin"}, "did you mean 'cosine'"),
        ("test", {"geometry_target": "fann"}, "did you mean 'fan'"),
        ("test", {"fan_reading": "x"}, "known: framed, released"),
        ("test", {"gan_loss": "bcee"}, "did you mean 'bce'"),
        ("test", {"feature_network": "vgg18"}, "did you mean 'vgg1"),
        ("test", {"feature_every": 0}, "feature_every: expected at least 1"),
        ("test", {"channels": [0, 16, 16]}, "channels: expected at least 1"),
        ("test", {"ema_decay": 1.5}, "'ema_decay' .*below 1"),
        ("test", {"steps_1": 0, "steps_2": 0, "steps_3": 0}, "nothing would be trained"),
        ("test+l-dagger", {}, "no feature network to look through"),
        ("released+p-fp", {}, "the released architecture has priors"),
        ("paper+p-fp+p-gt", {}, "both set priors"),
        ("paper+l-dagger+l-ddagger", {}, "both set style_weights"),
    ],
)
def test_a_wrong_setting_is_one_line(preset, settings, message):
    with pytest.raises(UsageError, match=message):
        ProUIGAN.build(preset, settings)


def test_landmarks_that_are_needed_must_be_there():
    batch = faces(2)
    for preset, absent in (("test", "landmarks_lr"), ("test+p-gt", "landmarks")):
        with pytest.raises(UsageError, match=f"expected '{absent}'"):
            ProUIGAN.build(preset).hallucinate({name: value for name, value in batch.items() if name != absent})


def test_fan_is_no_asset_where_no_block_asks_it():
    assert "fan" not in ProUIGAN.build("test+fan+p-fp").assets()
    assert "fan" in ProUIGAN.build("test+fan").assets()
    assert ProUIGAN.build("test", {"priors": ["none", "cm-am", "none"]}).needs == {"landmarks"}
    assert ProUIGAN.build(
        "test", {"priors": ["none", "none", "cm-am"], "landmark_sources": ["stored", "carry", "truth"]}
    ).needs == {"true landmarks"}


def test_a_batch_that_cannot_be_looked_at_evenly_is_refused():
    method = ProUIGAN.build("cpu", {"channels": [8, 8, 8], "discriminator_width": 4})
    method._frozen["features"] = FeatureNetwork(Trunk(17, blur=True))
    with pytest.raises(UsageError, match="multiple of feature_every=4, got 2"):
        method(faces(2), method.phases()[-1], "generator")


def test_a_network_trained_here_is_asked_in_place_of_the_published_one(monkeypatch):
    class Trained:
        sha256 = "abc"

        def network(self):
            return torch.nn.Conv2d(3, 68, 1)

    monkeypatch.setattr(prouigan.TrainedFanLandmarks, "open", lambda path: {"runs/fan": Trained()}[path])
    method = ProUIGAN.build("test+fan", {"fan_weights": "runs/fan"})
    assert "fan" not in method.assets()
    assert method.fingerprint() == {"fan": "abc"}
    assert ProUIGAN.build("test+fan").fingerprint() == {}
    batch = {key: value for key, value in faces(2).items() if key == "lr"}
    assert method.hallucinate(batch).shape == (2, 3, 128, 128)
    assert isinstance(method._frozen["fan"], prouigan.TrainedFanHeatmaps)
