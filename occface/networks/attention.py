"""Cross-modal attention (CM-AM): landmark features and face features look each other up (paper III-C, Eq. 1-2).

Eq. 1 is read as the matrix CM of cosines between the landmark feature q of one place and the face feature k of another,
Eq. 2 as matrix products of it with face values V_C and landmark values V_L. Raw cosines cannot serve: the sum over N places
grows with N and drowns the features it is added to. The first two readings mend that; the others are there to be compared.
For C channels:

``cosine_softmax``
    F_P = softmax(tau CM) V_C + F_L and F_A = softmax(tau CM^T) V_L + F_C with a learned temperature tau, one softmax per
    direction. Through torch's `scaled_dot_product_attention`, whose fused kernels never store the 4096 x 4096 matrix.
``cosine_linear``
    F_P = (g / sqrt(N)) CM V_C + F_L and F_A = (g / sqrt(N)) CM^T V_L + F_C with a learned gain g, computed as Q (K^T V): the
    matrix is never formed at all, and the cost at 64x64 falls from 6.4 to 0.3 GMAC at 128 channels. Before g is learned,
    what is added still grows as sqrt(N): no other reading's does.
``dot_softmax``
    The released code's: one softmax of the raw products k q^T, over the landmark places, serves both directions:
    F_P = S^T V_C + F_L, whose sums over the face places are not normalised, and F_A = S V_L + F_C. See `one_softmax`.
``channel``
    Channels look each other up, not places: CM is the C x C matrix of cosines between q's and k's maps, over sqrt(C), and
    F_P = V_C CM^T + F_L, F_A = V_L CM + F_C. The root keeps the sum over C channels from growing with C.
``pointwise``
    Eq. 1-2 to the letter: the one cosine of q and k at a place weighs the values of that same place. It finds no
    correspondence between places.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from occface.errors import UsageError
from occface.networks.layers import conv3x3
from occface.registry import did_you_mean

__all__ = ["ATTENTIONS", "CrossModalAttention", "one_softmax", "to_map", "to_places"]

ATTENTIONS: tuple[str, ...] = ("channel", "cosine_linear", "cosine_softmax", "dot_softmax", "pointwise")

_INITIAL_SCALES = {"cosine_softmax": 10.0, "cosine_linear": 1.0}
"""Where the learned scales start: tau makes logits of -10..10 of the cosines -1..1; the gain leaves them as they are."""
_ROWS = 512
"""Face places that `one_softmax` handles at once: 8 MiB of float32 for an image of 64x64."""


class CrossModalAttention(nn.Module):
    """Let a landmark stream and a face stream exchange features.

    Parameters
    ----------
    channels : int
        Channels of both streams.
    reading : str
        One of `ATTENTIONS`; see the module's text.

    Raises
    ------
    UsageError
        If there is no such reading.

    Examples
    --------
    >>> attention = CrossModalAttention(8, "cosine_softmax")
    >>> priors, appearance = attention(torch.zeros(1, 8, 16, 16), torch.zeros(1, 8, 16, 16))
    >>> tuple(priors.shape), tuple(appearance.shape)
    ((1, 8, 16, 16), (1, 8, 16, 16))
    """

    def __init__(self, channels: int, reading: str) -> None:
        super().__init__()
        if reading not in ATTENTIONS:
            raise UsageError(f"unknown attention '{reading}': {did_you_mean(reading, ATTENTIONS)}")
        self.reading = reading
        self.query = conv3x3(channels, channels)
        self.key = conv3x3(channels, channels)
        self.face_values = nn.Sequential(conv3x3(channels, channels), conv3x3(channels, channels))
        self.landmark_values = nn.Sequential(conv3x3(channels, channels), conv3x3(channels, channels))
        # The other readings need none: what scales them, the convolutions of the values or of q and k can learn.
        if reading in _INITIAL_SCALES:
            self.log_scale = nn.Parameter(torch.tensor(math.log(_INITIAL_SCALES[reading])))

    def forward(self, face: Tensor, landmarks: Tensor) -> tuple[Tensor, Tensor]:
        """Return the geometry priors F_P and the appearance features F_A.

        Parameters
        ----------
        face, landmarks : Tensor
            The streams F_C and F_L, (B, C, H, W) each.

        Returns
        -------
        priors, appearance : Tensor
            F_P, the landmark stream with face features added to it, and F_A, the other way round; (B, C, H, W) each.
        """
        query, key = to_places(self.query(landmarks)), to_places(self.key(face))
        of_face, of_landmarks = to_places(self.face_values(face)), to_places(self.landmark_values(landmarks))
        if self.reading == "dot_softmax":
            priors, appearance = one_softmax(key, query, of_face, of_landmarks)
        elif self.reading == "channel":
            query, key = F.normalize(query, dim=1), F.normalize(key, dim=1)
            affinity = query.transpose(1, 2) @ key / math.sqrt(query.shape[2])
            priors, appearance = of_face @ affinity.transpose(1, 2), of_landmarks @ affinity
        else:
            query, key = F.normalize(query, dim=-1), F.normalize(key, dim=-1)
            if self.reading == "pointwise":
                cosines = (query * key).sum(-1, keepdim=True)
                priors, appearance = cosines * of_face, cosines * of_landmarks
            else:
                attend = self._softmax if self.reading == "cosine_softmax" else self._linear
                priors, appearance = attend(query, key, of_face), attend(key, query, of_landmarks)
        return landmarks + to_map(priors, landmarks), face + to_map(appearance, face)

    def _softmax(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        query = query * self.log_scale.exp()
        # the fused kernels take only rows that lie together in memory; without them torch writes the whole matrix out
        query, key, value = (rows.to(value.dtype).contiguous().unsqueeze(1) for rows in (query, key, value))
        return F.scaled_dot_product_attention(query, key, value, scale=1.0).squeeze(1)

    def _linear(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        gain = self.log_scale.exp() / math.sqrt(query.shape[1])
        return query @ (gain * (key.transpose(1, 2) @ value))


def one_softmax(face: Tensor, landmarks: Tensor, of_face: Tensor, of_landmarks: Tensor) -> tuple[Tensor, Tensor]:
    """Look values up both ways by one softmax: S = softmax(face landmarks^T), over the landmark places.

    A landmark place gathers face values by S's columns, whose sums are not 1: what no face place looks at gets next to
    nothing, what all look at gets N values. A face place gathers landmark values by S's rows, as attention usually does.
    S is never whole: strips of its rows are made one after the other, and made again when gradients are asked for.

    Parameters
    ----------
    face, landmarks : Tensor
        What is compared, raw: (B, N, D) and (B, M, D).
    of_face, of_landmarks : Tensor
        What is gathered, (B, N, C) and (B, M, C).

    Returns
    -------
    priors, appearance : Tensor
        S^T of_face, (B, M, C), and S of_landmarks, (B, N, C).

    Examples
    --------
    Three face places look at two landmark places evenly:

    >>> priors, appearance = one_softmax(torch.zeros(1, 3, 4), torch.zeros(1, 2, 4), torch.ones(1, 3, 1), torch.ones(1, 2, 1))
    >>> priors.flatten().tolist(), appearance.flatten().tolist()
    ([1.5, 1.5], [1.0, 1.0, 1.0])
    """
    # the strips are added up in float32 at least, also where they come in bfloat16
    wide = torch.promote_types(of_face.dtype, torch.float32)
    priors = of_face.new_zeros(len(of_face), landmarks.shape[1], of_face.shape[2], dtype=wide)
    appearance = []
    for rows, values in zip(face.split(_ROWS, 1), of_face.split(_ROWS, 1), strict=True):
        part, seen = checkpoint(_strip, rows, landmarks, values, of_landmarks, use_reentrant=False, preserve_rng_state=False)
        priors = priors + part
        appearance.append(seen)
    return priors.to(of_face.dtype), torch.cat(appearance, 1)


def _strip(face: Tensor, landmarks: Tensor, of_face: Tensor, of_landmarks: Tensor) -> tuple[Tensor, Tensor]:
    weights = torch.softmax(face @ landmarks.transpose(1, 2), -1)
    return weights.transpose(1, 2) @ of_face, weights @ of_landmarks


def to_places(features: Tensor) -> Tensor:
    """Return (B, C, H, W) features as (B, H*W, C): one row per place, a view where channels come last in memory."""
    return features.flatten(2).transpose(1, 2)


def to_map(rows: Tensor, like: Tensor) -> Tensor:
    """Return the rows (B, H*W, C) of places as a map of the shape of `like`, (B, C, H, W)."""
    return rows.transpose(1, 2).reshape_as(like)
