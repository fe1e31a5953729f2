import os
import shutil
from types import SimpleNamespace

import pytest
import safetensors.torch
import torch

from occface import assets, files
from occface.benchmark import steps
from occface.benchmark.recipe import DataEntry, MethodEntry
from occface.benchmark.steps import MakeData, Place, Stage, Train, is_trained_here, referred, referring
from occface.dataset.reader import DatasetFile
from occface.errors import OccfaceError, UsageError
from occface.methods import METHODS
from occface.methods.gfc import GFC
from occface.methods.weights import save_weights
from occface.sources.base import Photo
from occface.training import loop

CPU = torch.device("cpu")


def ignore(amount):
    """Take no notice of progress."""


@pytest.fixture
def given(dataset_path, tmp_path):
    return MakeData("faces", DataEntry(path=str(dataset_path)), tmp_path / "datasets")


def test_a_data_set_that_is_there_is_done_and_never_removed(given, dataset, dataset_path):
    assert given.is_done()
    assert given.key == dataset.content_hash
    assert given.masks("test") == ("irregular", "square")
    given.forget()
    assert dataset_path.exists()
    with pytest.raises(UsageError, match="no split 'val'"):
        given.masks("val")


def test_a_data_set_is_made_as_its_options_say_and_known_by_them(faces_folder, tmp_path):
    options = {"test": 1, "masks": ["square"], "limit": 2, "seed": 3}
    step = MakeData("wild faces", DataEntry(source=str(faces_folder), options=options), tmp_path)
    assert (step.is_done(), step.work, step.masks("test")) == (False, 2, ("square",))
    step.run(Place(tmp_path), ignore)
    assert step.is_done()
    assert step.path.name.startswith("wild-faces-")
    made = DatasetFile(step.path)
    assert {split: made.count(split) for split in made.splits} == {"train": 1, "test": 1}
    assert made.configuration["seed"] == 3
    again = MakeData("wild faces", DataEntry(source=str(faces_folder), options=dict(options)), tmp_path)
    assert again.is_done()
    other = MakeData("wild faces", DataEntry(source=str(faces_folder), options=options | {"seed": 4}), tmp_path)
    assert not other.is_done()
    assert not other.is_there()  # what was made from other things is not kept: others build on it
    step.forget()
    assert not again.is_done()


def test_a_photograph_that_changes_in_size_makes_another_data_set_and_its_time_does_not(faces_folder, tmp_path):
    photos = tmp_path / "photos"
    shutil.copytree(faces_folder, photos)

    def key():
        return MakeData("wild", DataEntry(source=str(photos), options={"test": 1, "masks": ["square"]}), tmp_path).key

    before = key()
    photo = next(path for path in sorted(photos.rglob("*")) if path.suffix in (".png", ".jpg"))
    os.utime(photo, (1, 1))
    assert key() == before
    photo.write_bytes(photo.read_bytes() + b"0")
    assert key() != before


def test_photographs_are_known_by_name_and_size_below_the_folder_of_their_own_source(tmp_path):
    (tmp_path / "a.png").write_bytes(b"12345")
    one = SimpleNamespace(path=str(tmp_path))
    several = SimpleNamespace(path=str(tmp_path / "mixed.yaml"), parts=(("wild", one), ("made", SimpleNamespace())))
    assert steps._known_by(one, Photo("a", path="a.png")) == ["a", 5]
    assert steps._known_by(several, Photo("wild/a", path="a.png")) == ["wild/a", 5]
    assert steps._known_by(several, Photo("made/0001")) == "made/0001"
    assert steps._known_by(one, Photo("b", path="b.png")) == "b"


def test_a_data_set_made_with_a_fan_of_the_package_is_known_by_its_weights(faces_folder, tmp_path):
    def made(**options):
        return MakeData("wild", DataEntry(source=str(faces_folder), options={"masks": ["square"], **options}), tmp_path)

    pinned = {file.name: file.sha256 for file in assets.ASSETS["fan-lr"].files}["weights.safetensors"]
    by_fan = made(lr_landmarker="fan:shipped:fan-lr")
    assert by_fan._config.as_dict()["lr_landmarker"] == {"method": "fan", "sha256": pinned}
    assert len({by_fan.key, made().key, made(lr_landmarker="dlib").key}) == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"masks": "square"}, "expected 'masks' of data set 'wild' in the recipe to be a list, got 'square'"),
        ({"poses": 3}, "expected 'poses' of data set 'wild' in the recipe to be a list, got 3"),
        ({"masks": ["squre"]}, "did you mean 'square'"),
        ({"tests": 2}, "'wild' of the recipe has an option that making data sets does not know or take: .*'tests'"),
        ({"limit": "many"}, "does not know or take"),
        ({"count": 3}, "has no setting 'count'"),
        ({"preset": "papers"}, "did you mean 'paper'"),
        ({"source_type": "helena"}, "did you mean 'helen'"),
        ({"lr_landmarker": "dlip"}, "did you mean 'dlib'"),
        ({"lr_landmarker": "fan:shipped:fan"}, "no weights 'fan' come with this version"),
    ],
)
def test_options_of_a_data_set_that_cannot_be_are_one_line(faces_folder, tmp_path, options, message):
    with pytest.raises(UsageError, match=message) as caught:
        MakeData("wild", DataEntry(source=str(faces_folder), options=options), tmp_path)
    assert "\n" not in str(caught.value)


def trained(given, folder, settings=None, seed=0, company=None, method="toy"):
    entry = MethodEntry(method, preset="test", settings=settings or {}, seed=seed)
    return Train(method, entry, given, company or {}, folder / "runs")


def test_a_training_is_known_by_all_that_its_weights_depend_on(given, parsed_path, tmp_path, others):
    elsewhere = MakeData("faces", DataEntry(path=str(parsed_path)), tmp_path)
    parser = trained(given, tmp_path, method="face-parser")
    other = trained(given, tmp_path, method="face-parser", seed=1)
    alone = trained(given, tmp_path)
    known = [
        alone,
        trained(given, tmp_path, {"rate": 0.01}),
        trained(given, tmp_path, seed=1),
        trained(elsewhere, tmp_path),
        trained(given, tmp_path, {"parser": "@face-parser"}, company={"face-parser": parser}, method="gfc"),
        trained(given, tmp_path, {"parser": "@face-parser"}, company={"face-parser": other}, method="gfc"),
    ]
    assert len({step.key for step in known}) == len({step.folder for step in known}) == len(known)
    assert trained(given, tmp_path, {"rate": "0.05"}).key == alone.key  # what the preset says already
    assert known[4].needs == (given, parser)
    assert (alone.work, known[4].work, alone.name) == (6, 6, "train toy on faces")
    with pytest.raises(UsageError, match="method 'toy' has no setting 'rat'"):
        trained(given, tmp_path, {"rat": 1})


@pytest.mark.parametrize("method", ["fan", "fcsr-gan", "fhc", "fsrnet", "gfc", "pro-uigan", "re-cpgan"])
def test_how_much_there_is_to_train_is_known_without_the_networks(given, tmp_path, method):
    built = METHODS.get(method).build("test")
    assert trained(given, tmp_path, method=method).work == sum(phase.steps for phase in built.phases())


def test_a_training_is_done_when_it_came_to_its_end(given, tmp_path, others):
    step = trained(given, tmp_path)
    assert not step.is_done()
    step.run(Place(tmp_path, "cpu"), ignore)
    assert step.is_done()
    assert not trained(given, tmp_path, seed=1).is_there()
    card = files.read_json(step.folder / "weights.json")
    assert (card["steps"], card["training"]["seed"]) == (12, 0)
    stage = Stage("toy", step.entry, step)
    assert stage.identity == step.key
    assert stage.load(CPU).card["sha256"] == card["sha256"]
    files.write_json(step.folder / "weights.json", card | {"finished": False})
    assert not step.is_done()
    step.forget()
    assert list(step.folder.glob("[!.]*")) == []


def test_a_training_says_which_states_of_the_code_made_it(given, tmp_path, others, monkeypatch):
    step = trained(given, tmp_path)
    assert step.sources == ()
    monkeypatch.setattr(steps, "short_hash", lambda parts: "one")
    with monkeypatch.context() as interrupted:
        interrupted.setattr(loop, "save_weights", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            step.run(Place(tmp_path, "cpu"), ignore)
    assert step.sources == ("one",)
    monkeypatch.setattr(steps, "short_hash", lambda parts: "two")
    step.run(Place(tmp_path, "cpu"), ignore)
    assert step.sources == ("one", "two")
    (step.folder / "sources.json").unlink()  # begun by a version that kept none
    step.run(Place(tmp_path, "cpu"), ignore)
    assert step.sources == ("not recorded", "two")
    assert trained(given, tmp_path).key == step.key  # a comment asks for no training


def test_a_training_that_diverges_says_so(given, tmp_path, others):
    step = trained(given, tmp_path, {"explode_at": 1})
    with pytest.raises(OccfaceError, match="finite"):
        step.run(Place(tmp_path, "cpu"), ignore)
    assert not step.is_done()


def test_names_in_settings():
    settings = {"parser": "@face-parser", "landmarker": "fan:@fan:small", "steps": 3, "note": "nothing"}
    assert list(referred(settings)) == ["face-parser", "fan:small"]
    assert referring(settings, {"face-parser": "p", "fan:small": "f"}) == settings | {"parser": "p", "landmarker": "fan:f"}


@pytest.fixture
def weights(tmp_path):
    gfc = GFC.build("test")
    card = {"method": "gfc", "config": gfc.config, "finished": True, "data": {"content_hash": "abc", "source": "folder"}}
    save_weights(tmp_path / "gfc", gfc.generator, card)
    return tmp_path / "gfc"


def test_weights_that_are_given(weights):
    stage = Stage("gfc", MethodEntry("gfc", weights=str(weights)), None)
    assert stage.takes_mask
    assert stage.identity == files.sha256_file(weights / "weights.safetensors")
    assert stage.learnt_from({"abc": "ours"}) == "ours"
    assert stage.learnt_from({}) == "folder"
    state = safetensors.torch.load_file(weights / "weights.safetensors")
    assert all(torch.equal(value, state[name]) for name, value in stage.load(CPU).method.generator.state_dict().items())
    with pytest.raises(UsageError, match=r"as weights of 'fhc', but they are of 'gfc'"):
        _ = Stage("fhc", MethodEntry("fhc", weights=str(weights)), None).identity
    with pytest.raises(UsageError, match="expected a run folder"):
        _ = Stage("gfc", MethodEntry("gfc", weights=str(weights.parent)), None).identity


def test_who_takes_a_mask_is_known_before_training(given, tmp_path, others):
    assert not Stage("toy", MethodEntry("toy", preset="test"), trained(given, tmp_path)).takes_mask
    for name in ("gfc", "fcsr-gan"):
        assert Stage(name, MethodEntry(name, preset="test"), trained(given, tmp_path, method=name)).takes_mask
    assert Stage("paints", MethodEntry("paints", preset="test"), None).takes_mask
    assert is_trained_here(MethodEntry("toy"))
    assert not is_trained_here(MethodEntry("toy", weights="x"))
    assert not is_trained_here(MethodEntry("paints"))
