from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from skimage.metrics import peak_signal_noise_ratio

from occface.metrics import METRICS
from occface.metrics.stages import enlarge


@pytest.mark.parametrize("size", [32, 64])
def test_pictures_are_enlarged_as_torch_does_it(make_pictures, size: int) -> None:
    (small,) = make_pictures(1, size=size)
    x = torch.from_numpy(small).permute(2, 0, 1)[None].double()
    wanted = F.interpolate(x, size=(128, 128), mode="bicubic", align_corners=False).round().clamp(0, 255)[0].permute(1, 2, 0)
    assert np.abs(enlarge(small, 128) - wanted.numpy()).max() <= 1


def test_each_stage_is_held_against_the_whole_face(make_faces, make_pictures) -> None:
    truth = make_pictures(2)
    stages = tuple(np.ascontiguousarray(truth[:, :: 128 // size, :: 128 // size]) for size in (32, 64, 128))
    found = METRICS.get("stages")().measure(make_faces(truth, truth, stages=stages))
    for number in range(2):
        for stage in (1, 2):
            wanted = peak_signal_noise_ratio(truth[number], enlarge(stages[stage - 1][number], 128), data_range=255)
            assert found[f"psnr_stage_{stage}"][number] == pytest.approx(wanted, abs=1e-6)
    assert (found["psnr_stage_3"] == np.inf).all()


def test_methods_without_stages_have_no_value(make_faces, make_pictures) -> None:
    truth = make_pictures(2)
    found = METRICS.get("stages")().measure(make_faces(truth, truth))
    assert list(found) == ["psnr_stage_1", "psnr_stage_2", "psnr_stage_3"]
    assert all(np.isnan(values).all() for values in found.values())
