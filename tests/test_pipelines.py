import pytest
import torch

from occface.dataset.reader import FacePairs, collate
from occface.errors import UsageError
from occface.methods import METHODS
from occface.methods.base import Method
from occface.methods.weights import LoadedMethod, untrained
from occface.occlusion.cells import cell_mask
from occface.pipelines import build_pipeline, order_of


class Recorder(Method):
    """An inpainter or joint method that keeps what it is given and paints the hole white."""

    def __init__(self, role, needs=()):
        super().__init__({})
        self.role, self.needs, self.given = role, frozenset(needs), None

    def hallucinate(self, batch, generator=None):
        self.given = batch
        if self.role == "inpaint":
            return torch.where(batch["mask"] == 1, torch.ones(()), batch["image"])
        return torch.zeros(len(batch["lr"]), 3, 128, 128)


@pytest.fixture
def batch(dataset):
    pairs = FacePairs(dataset, "test")
    return collate([pairs[n] for n in range(len(pairs))])


def test_plain_super_resolution_sees_the_lr_face_alone(batch):
    pipeline = build_pipeline("bicubic", {})
    assert pipeline.order == "SR"
    assert torch.equal(pipeline(batch), untrained("bicubic").method.hallucinate({"lr": batch["lr"]}))


def test_sr_then_inpainting(batch):
    inpainter = Recorder("inpaint")
    pipeline = build_pipeline("bicubic+gfc", {"gfc": LoadedMethod("gfc", inpainter, {})})
    assert pipeline.order == "SR+PA"
    result = pipeline(batch)
    bicubic = untrained("bicubic").method.hallucinate({"lr": batch["lr"]})
    assert torch.equal(inpainter.given["image"], bicubic)
    hole = cell_mask(batch["mask"]).expand_as(result) == 1
    assert result[hole].min() == 1
    assert torch.equal(result[~hole], bicubic[~hole])


def test_inpainting_then_sr(batch):
    inpainter = Recorder("inpaint")
    pipeline = build_pipeline("gfc+bicubic", {"gfc": LoadedMethod("gfc", inpainter, {})})
    assert pipeline.order == "PA+SR"
    result = pipeline(batch)
    assert inpainter.given["image"].shape == (len(result), 3, 128, 128)
    assert result.shape == (len(result), 3, 128, 128)
    inside = torch.nn.functional.avg_pool2d(cell_mask(batch["mask"]), 41, 1, 20).expand_as(result) > 0.999
    assert inside.any()
    assert result[inside].min() > 0.9  # what was painted white is still white after 128 -> 16 -> 128


def test_a_joint_method_is_given_no_more_than_it_needs(batch):
    for needs, given in (((), {"lr"}), (("landmarks",), {"lr", "landmarks_lr"}), (("mask",), {"lr", "mask"})):
        joint = Recorder("joint", needs)
        build_pipeline("pro-uigan", {"pro-uigan": LoadedMethod("pro-uigan", joint, {})})(batch)
        assert set(joint.given) == given


def test_cells_that_an_occlusion_touches():
    mask = torch.zeros(1, 1, 128, 128)
    mask[0, 0, 7:9, 100] = 1
    cells = cell_mask(mask)
    assert cells.sum() == 2 * 64
    assert cells[0, 0, 0, 96] == cells[0, 0, 15, 103] == 1
    assert cells[0, 0, 16, 96] == cells[0, 0, 0, 95] == 0


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("bicubic+gfd", "unknown method 'gfd': did you mean 'gfc'"),
        ("gfc", "'gfc' is no pipeline"),
        ("bicubic+bicubic", "sr then sr"),
        ("pro-uigan+gfc", "is no pipeline"),
    ],
)
def test_what_is_no_pipeline_is_one_line(name, message):
    with pytest.raises(UsageError, match=message):
        order_of(name)


def test_a_pipeline_without_its_weights_is_one_line():
    with pytest.raises(UsageError, match=r"pipeline 'bicubic\+gfc': method 'gfc' needs trained weights"):
        build_pipeline("bicubic+gfc", {})


def test_only_pipelines_that_fill_holes_need_a_mask():
    methods = {
        "gfc": LoadedMethod("gfc", Recorder("inpaint"), {}),
        "pro-uigan": LoadedMethod("pro-uigan", Recorder("joint"), {}),
        "fcsr-gan": LoadedMethod("fcsr-gan", Recorder("joint", {"mask"}), {}),
    }
    needs = {name: build_pipeline(name, methods).needs_mask for name in ("bicubic", "bicubic+gfc", "pro-uigan")}
    assert needs == {"bicubic": False, "bicubic+gfc": True, "pro-uigan": False}


def test_methods_that_restore_no_faces_make_no_pipeline(monkeypatch):
    monkeypatch.setitem(METHODS._entries, "finder", Recorder("landmarks"))
    with pytest.raises(UsageError, match="'finder' is no pipeline: its methods are landmarks"):
        order_of("finder")


def test_every_method_says_its_role():
    known = {"bicubic": "sr", "gfc": "inpaint", "pro-uigan": "joint", "real-esrgan": "sr"}
    assert {name: METHODS.get(name).role for name in known} == known


@pytest.mark.parametrize(("name", "order"), [("real-esrgan+gfc", "SR+PA"), ("gfc+real-esrgan", "PA+SR")])
def test_real_esrgan_in_both_orders(batch, name, order, monkeypatch):
    """Its weights are left out: what is wired here does not depend on them."""
    enlarge = torch.nn.Upsample(scale_factor=4, mode="nearest")
    monkeypatch.setattr("occface.methods.realesrgan.RealESRGAN.network", lambda self, device: enlarge)
    pipeline = build_pipeline(name, {"gfc": LoadedMethod("gfc", Recorder("inpaint"), {})})
    result = pipeline(batch)
    assert pipeline.order == order
    assert result.shape == (len(batch["lr"]), 3, 128, 128)
    assert result.abs().max() <= 1
    assert result[cell_mask(batch["mask"]).expand_as(result) == 1].mean() > 0.8  # the hole was painted white
