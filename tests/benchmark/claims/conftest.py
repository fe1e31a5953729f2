from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
import pytest

from occface.benchmark.claims import evaluate_claims


@pytest.fixture(scope="session")
def as_the_paper() -> Mapping[str, float]:
    """What pipelines are ahead of bicubic enlargement with inpainting by, in dB: every one of the paper's, in its order."""
    return {
        "pulse+gfc": -1.0,
        "gfc+pulse": -0.4,
        "bicubic+gfc": 0.0,
        "gfc+bicubic": 0.6,
        "fhc+gfc": 2.0,
        "gfc+fhc": 2.6,
        "re-cpgan+gfc": 2.3,
        "gfc+re-cpgan": 2.9,
        "fcsr-gan": 4.0,
        "pro-uigan": 6.0,
    }


@pytest.fixture(scope="session")
def scores_of() -> Callable[..., pd.DataFrame]:
    """Return a function that makes score rows: PSNR 20 + lead, square masks 1 dB above, some noise, SSIM on request."""

    def build(
        leads: Mapping[str, float],
        images: int = 14,
        masks: Sequence[str] = ("irregular", "square"),
        dataset: str = "demo",
        noise: float = 0.05,
        ssim: bool = False,
        **columns: object,
    ) -> pd.DataFrame:
        rng = np.random.default_rng(len(leads))
        rows = []
        for mask_type, (pipeline, lead), face in itertools.product(masks, leads.items(), range(images)):
            quality = lead + (mask_type == "square") + noise * rng.standard_normal()
            row = {"dataset": dataset, "mask_type": mask_type, "order": "joint", "pipeline": pipeline, "trained_on": ""}
            row |= {"mask_given": "", "image": f"{face}.png", "index": face, "identity": "", "expression": "", "error": ""}
            row |= {"ssim": 0.5 + quality / 20} if ssim else {}
            rows.append({**row, "psnr": 20 + face / 5 + quality, **columns})
        return pd.DataFrame(rows)

    return build


@pytest.fixture(scope="session")
def claim_in() -> Callable[[pd.DataFrame, str], pd.Series]:
    """Return a function that finds the one claim whose text begins in some way."""

    def find(frame: pd.DataFrame, start: str) -> pd.Series:
        found = frame[frame["claim"].str.startswith(start)]
        assert len(found) == 1, (start, frame["claim"].tolist())
        return found.iloc[0]

    return find


@pytest.fixture(scope="session")
def agreeing(scores_of: Callable[..., pd.DataFrame], as_the_paper: Mapping[str, float]) -> pd.DataFrame:
    """The verdicts on scores that agree with the paper."""
    return evaluate_claims(scores_of(as_the_paper, ssim=True))
