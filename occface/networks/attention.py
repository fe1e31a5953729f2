"""Cross-modal attention (CM-AM): landmark features and face features look each other up (paper III-C, Eq. 1-2).

Eq. 1 is read as the matrix of cosines between the landmark feature of one place and the face feature of another, Eq. 2 as
matrix products with it. Raw cosines cannot serve: the sum over N places grows with N and drowns the features it is added to.
Two readings mend that:

``cosine_softmax``
    softmax(tau CM) V_C + F_L and softmax(tau CM^T) V_L + F_C with a learned temperature tau, one softmax per direction. It
    goes through torch's `scaled_dot_product_attention`, so no 4096 x 4096 matrix is ever stored.
``cosine_linear``
    (g / sqrt(N)) CM V_C + F_L and (g / sqrt(N)) CM^T V_L + F_C with a learned gain g, computed as Q (K^T V): the matrix is
    never formed at all, and the cost at 64x64 falls from 6.4 to 0.3 GMAC at 128 channels.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from occface.errors import UsageError
from occface.networks.layers import conv3x3
from occface.registry import did_you_mean

__all__ = ["ATTENTIONS", "CrossModalAttention"]

ATTENTIONS: tuple[str, ...] = ("cosine_linear", "cosine_softmax")

_TEMPERATURE = 10.0
"""Initial tau: the cosines -1..1 become logits -10..10, and the attended features about a fifth of those they join."""


class CrossModalAttention(nn.Module):
    """Let a landmark stream and a face stream exchange features.

    Parameters
    ----------
    channels : int
        Channels of both streams.
    reading : str
        ``"cosine_softmax"`` or ``"cosine_linear"``; see the module's text.

    Raises
    ------
    UsageError
        If there is no such reading.
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
        self.log_scale = nn.Parameter(torch.tensor(math.log(_TEMPERATURE) if reading == "cosine_softmax" else 0.0))

    def forward(self, face: Tensor, landmarks: Tensor) -> tuple[Tensor, Tensor]:
        """Return the geometry priors F_P and the appearance features F_A.

        Parameters
        ----------
        face, landmarks : Tensor
            The streams F_C and F_L, (B, C, N, N) each.

        Returns
        -------
        priors, appearance : Tensor
            F_P, the landmark stream with face features added to it, and F_A, the other way round; (B, C, N, N) each.
        """
        query = F.normalize(_places(self.query(landmarks)), dim=-1)
        key = F.normalize(_places(self.key(face)), dim=-1)
        of_face = _places(self.face_values(face))
        of_landmarks = _places(self.landmark_values(landmarks))
        attend = self._softmax if self.reading == "cosine_softmax" else self._linear
        priors = attend(query, key, of_face)
        appearance = attend(key, query, of_landmarks)
        return landmarks + _map(priors, landmarks), face + _map(appearance, face)

    def _softmax(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        query = (query * self.log_scale.exp()).to(value.dtype).unsqueeze(1)
        key = key.to(value.dtype).unsqueeze(1)
        return F.scaled_dot_product_attention(query, key, value.unsqueeze(1), scale=1.0).squeeze(1)

    def _linear(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        gain = self.log_scale.exp() / math.sqrt(query.shape[1])
        return query @ (gain * (key.transpose(1, 2) @ value))


def _places(features: Tensor) -> Tensor:
    """Return (B, C, H, W) features as (B, H*W, C): one row per place, a view where channels come last in memory."""
    return features.flatten(2).transpose(1, 2)


def _map(rows: Tensor, like: Tensor) -> Tensor:
    return rows.transpose(1, 2).reshape_as(like)
