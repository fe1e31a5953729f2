import torch

from occface.methods.base import TrainableMethod
from occface.methods.gfc import GFC
from occface.training.options import TrainedRun
from occface.training.validation import Validation


class Labeller(TrainableMethod):
    """A method that is no maker of faces: it measures itself."""

    name = "labeller"

    role = "parser"
    PRESETS = {"test": {}}  # noqa: RUF012
    uses = frozenset({"parsing"})

    def __init__(self, config):
        super().__init__(config)
        self.generator = torch.nn.Identity()

    def measures(self, batch, generator=None):
        return {"ears": float((batch["parsing"] == 8).float().mean())}

    def results(self, batch, generator=None):
        return {"map": batch["image"].mean(1, keepdim=True).expand(-1, 3, -1, -1)}


def test_a_method_that_measures_itself_is_not_asked_for_faces(parsed):
    method = Labeller.build("test")
    scores, pictures = Validation(method, parsed, torch.device("cpu"))(method.generator)
    ears = float((parsed.stack("test", "parsing") == 8).mean())
    assert scores == {"ears_test": scores["ears_test"]}
    assert abs(scores["ears_test"] - ears) < 1e-6
    assert list(pictures) == ["given", "map", "truth"]
    assert torch.equal(pictures["given"], pictures["truth"])


def test_parsing_maps_are_not_read_for_methods_that_do_not_use_them(parsed, dataset):
    assert "parsing" not in Validation(GFC.build("test"), parsed, torch.device("cpu")).batch
    assert "parsing" not in Validation(Labeller.build("test"), dataset, torch.device("cpu")).batch


def test_only_psnr_is_said_in_decibels(tmp_path):
    card = {"steps": 1, "steps_planned": 2, "minutes": 0.5, "validation": {"psnr_test": 20.0, "nrmse_test": 4.25}}
    text = TrainedRun(tmp_path, card, True).text()
    assert text.endswith("psnr_test 20 dB, nrmse_test 4.25")
