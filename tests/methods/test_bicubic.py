"""Bicubic enlargement against Pillow's."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image

from occface.methods import METHODS


def test_equals_pillow_and_is_clamped():
    lr = np.random.default_rng(1).uniform(-1, 1, (16, 16)).astype(np.float32)
    wanted = np.asarray(Image.fromarray(lr).resize((128, 128), Image.Resampling.BICUBIC))
    batch = {"lr": torch.from_numpy(lr).expand(2, 3, 16, 16)}
    result = METHODS.get("bicubic").build("test").hallucinate(batch).numpy()
    assert result.shape == (2, 3, 128, 128)
    assert wanted.max() > 1  # the clamp has something to do
    np.testing.assert_allclose(result[1, 2], wanted.clip(-1, 1), atol=1e-5)
