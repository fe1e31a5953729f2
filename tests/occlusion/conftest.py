from __future__ import annotations

import numpy as np
import pytest

#: The mean landmarks of 805 aligned photographs, made symmetric, to half a pixel.
_FRONTAL = """
24 50.5  24.5 61  25.5 71.5  27.5 82  31.5 91.5  37.5 100  45.5 107  54 112.5  63.5 114.5
73 112.5  81.5 107  89.5 100  95.5 91.5  99.5 82  101.5 71.5  102.5 61  103 50.5
31 43  36 39  43 38  50 39  57 42  70 42  77 39  84 38  91 39  96 43
63.5 49.5  63.5 56.5  63.5 63.5  63.5 70.5  56 74.5  59.5 76  63.5 77.5  67.5 76  71 74.5
39 50  43.5 47.5  49 48  53 51.5  48.5 52  43 52  74 51.5  78 48  83.5 47.5  88 50  84 52  78.5 52
47.5 86.5  53.5 84.5  59.5 83.5  63.5 84.5  67.5 83.5  73.5 84.5  79.5 86.5
73.5 92.5  68 95.5  63.5 96  59 95.5  53.5 92.5
50 87  59.5 87  63.5 87.5  67.5 87  77 87  68 90  63.5 90.5  59 90
"""


@pytest.fixture(scope="session")
def frontal() -> np.ndarray:
    """Return the landmarks of a frontal face in the crop, (68, 2)."""
    return np.array(_FRONTAL.split(), dtype=np.float64).reshape(68, 2)


@pytest.fixture(scope="session")
def aside(frontal: np.ndarray) -> np.ndarray:
    """Return those of the same face turned 30 degrees to the picture's right: a bent sheet with a nose, seen in parallel."""
    x = frontal[:, 0] - 63.5
    depth = 45 - x**2 / 80
    depth[27:36] += [0, 6, 12, 18, 6, 8, 10, 8, 6]
    turned = frontal.copy()
    turned[:, 0] = 63.5 + np.cos(np.radians(30)) * x + np.sin(np.radians(30)) * (depth - 30)
    return turned
