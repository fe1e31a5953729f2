"""Classifiers of expressions in folds with disjoint people: each face is judged by one that never saw its person."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from occface import files
from occface.errors import UsageError, first_line
from occface.faces.align import CROP_BOX
from occface.networks.inference import one_thread
from occface.seeding import integer, rng

if TYPE_CHECKING:
    from torch import Tensor

    from occface.networks.expression import ExpressionNet

__all__ = ["classifier", "folds_of", "judged", "views"]

_BATCH = 32
_RATE = 3e-3
_SMOOTHING = 0.1

#: How many pixels of the crop are seen beyond the box of the face, on each side.
_MARGIN = 4

#: How far faces are turned (radians), shifted (parts of half a side) and scaled while the network learns.
_TURN, _SHIFT, _SCALE = 0.12, 0.08, 0.08


def views(pictures: np.ndarray) -> np.ndarray:
    """Return what the network sees of pictures (N, 128, 128, 3) uint8: the face without its surroundings, grey.

    It is the box that detectors draw, from above the brows to the chin, and 4 px more on each side: (N, 64, 64) uint8.
    """
    from occface.networks.expression import SIZE

    left, top, right, bottom = (math.floor(edge + 0.5) for edge in CROP_BOX)
    inner = pictures[:, top - _MARGIN : bottom + _MARGIN, left - _MARGIN : right + _MARGIN]
    grey = [cv2.cvtColor(np.ascontiguousarray(picture), cv2.COLOR_RGB2GRAY) for picture in inner]
    return np.stack([cv2.resize(picture, (SIZE, SIZE), interpolation=cv2.INTER_AREA) for picture in grey])


def folds_of(people: Sequence[str], count: int, seed: int) -> dict[str, int]:
    """Deal people out into folds, as even as can be: by person, the number of the fold.

    The people are shuffled by the seed, whatever order they come in and however often. Where they are fewer than `count`,
    there are as many folds as people.

    Examples
    --------
    >>> sorted(folds_of(["a", "b", "c", "a", "d"], 2, seed=0).values())
    [0, 0, 1, 1]
    """
    names = sorted(set(people))
    order = rng(seed, "expression", "folds").permutation(len(names))
    return {names[place]: number % min(count, len(names)) for number, place in enumerate(order.tolist())}


def classifier(
    faces: np.ndarray, labels: np.ndarray, classes: int, seed: int, steps: int, cache: Path | None = None
) -> ExpressionNet:
    """Train a classifier, or read it from where it was kept.

    Parameters
    ----------
    faces : numpy.ndarray
        (N, 64, 64) uint8, see `views`.
    labels : numpy.ndarray
        (N,) classes from 0 on.
    classes : int
        How many there are.
    seed, steps : int
        Of the training; each step looks at 32 faces, as many of each class as chance will have it, whichever class is rare.
    cache : Path, optional
        A folder. The weights are kept there under the hash of all that they depend on.

    Returns
    -------
    ExpressionNet
        Frozen.

    Raises
    ------
    UsageError
        If the file that was kept cannot be read.
    """
    import safetensors.torch
    import torch

    from occface.networks import expression

    path = None
    if cache is not None:
        content = [hashlib.sha256(values.tobytes()).hexdigest() for values in (faces, labels.astype("<i8"))]
        code = [files.sha256_file(module) for module in (__file__, str(expression.__file__))]
        key = files.sha256_json([*content, len(faces), classes, seed, steps, code, torch.__version__])
        path = cache / f"expression-{key[:32]}.safetensors"
    if path is not None and path.exists():
        with torch.random.fork_rng(devices=[]):  # the random numbers it is made with, and loses at once, are taken from nobody
            network = expression.ExpressionNet(classes)
        try:
            network.load_state_dict(safetensors.torch.load(path.read_bytes()))
        except Exception as error:  # of a file that something else wrote or cut off
            raise UsageError(f"{path} holds no expression classifier: {first_line(error)}; remove it and run again") from error
    else:
        with one_thread(gradients=True):
            network = _trained(faces, labels, classes, seed, steps)
        if path is not None:
            files.write_bytes(path, safetensors.torch.save(network.state_dict()))
    return network.requires_grad_(False).eval()


def _trained(faces: np.ndarray, labels: np.ndarray, classes: int, seed: int, steps: int) -> ExpressionNet:
    import torch
    import torch.nn.functional as F

    from occface.networks.expression import ExpressionNet

    chance = rng(seed, "expression", "training")
    members = [np.flatnonzero(labels == number) for number in np.unique(labels)]
    pictures, targets = torch.from_numpy(np.ascontiguousarray(faces)), torch.from_numpy(labels.astype(np.int64))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(integer(seed, "expression", "network"))
        network = ExpressionNet(classes).train()
        optimizer = torch.optim.AdamW(network.parameters(), lr=_RATE, weight_decay=1e-2)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _RATE, total_steps=max(steps, 2))
        for _ in range(steps):
            kinds = chance.integers(len(members), size=_BATCH)
            chosen = torch.from_numpy(np.array([chance.choice(members[kind]) for kind in kinds]))
            scores = network(_varied(pictures[chosen], chance))
            loss = F.cross_entropy(scores, targets[chosen], label_smoothing=_SMOOTHING)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return network


def _varied(pictures: Tensor, chance: np.random.Generator) -> Tensor:
    """Return faces (B, 64, 64) mirrored or not, a little turned, shifted and scaled, as (B, 1, 64, 64) in [0, 1]."""
    import torch
    import torch.nn.functional as F

    count = len(pictures)
    turn = chance.uniform(-_TURN, _TURN, count)
    scale = chance.uniform(1 - _SCALE, 1 + _SCALE, count)
    side = chance.choice([-1.0, 1.0], count)
    shift = chance.uniform(-_SHIFT, _SHIFT, (2, count))
    rows = [
        [side * scale * np.cos(turn), -scale * np.sin(turn), shift[0]],
        [side * scale * np.sin(turn), scale * np.cos(turn), shift[1]],
    ]
    moves = torch.from_numpy(np.moveaxis(np.array(rows), -1, 0)).float()
    x = pictures[:, None].float() / 255
    return F.grid_sample(
        x, F.affine_grid(moves, list(x.shape), align_corners=False), padding_mode="border", align_corners=False
    )


def judged(network: ExpressionNet, faces: np.ndarray) -> np.ndarray:
    """Return the likeliest class, (N,) int64, of faces (N, 64, 64) uint8, see `views`."""
    import torch

    with one_thread():
        parts = [
            network(torch.from_numpy(np.ascontiguousarray(faces[start : start + 256]))[:, None].float() / 255).argmax(1)
            for start in range(0, len(faces), 256)
        ]
        return np.asarray(torch.cat(parts).numpy())
