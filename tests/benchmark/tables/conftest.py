from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import pytest


@pytest.fixture
def cell() -> Callable[..., pd.DataFrame]:
    """Return a function that makes the score rows of one pipeline on one mask type of one data set, one row per value."""

    def build(
        pipeline: str,
        order: str = "joint",
        dataset: str = "demo",
        mask_type: str = "square",
        *,
        psnr: Sequence[float] = (20.0, 21.0),
        errors: Sequence[int] = (),
        **others: object,
    ) -> pd.DataFrame:
        count = len(psnr)
        broken = np.isin(np.arange(count), errors)
        frame = pd.DataFrame(
            {
                "dataset": dataset,
                "mask_type": mask_type,
                "order": order,
                "pipeline": pipeline,
                "trained_on": "",
                "mask_given": "",
                "image": [f"{number}.png" for number in range(count)],
                "index": range(count),
                "identity": "",
                "expression": "",
                "pose": "",
                "hole_area": 0.15,
                "seconds": 0.1,
                "error": np.where(broken, "broken", ""),
                "missed": np.nan,
                "psnr": psnr,
                "ssim": 0.5,
                **others,
            }
        )
        metrics = [name for name in frame.columns[frame.columns.get_loc("missed") + 1 :] if frame[name].dtype == float]
        frame.loc[broken, metrics] = np.nan
        return frame

    return build
