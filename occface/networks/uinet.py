"""Pro-UInet: three UI-blocks that inpaint and enlarge a face from 16x16 to 128x128, led by landmark heatmaps (paper III-B).

Each UI-block is a cross-modal attention module (CM-AM) on the features of the picture and of the landmark heatmaps at its
resolution, and a transformative upsampling module (TUM): a transposed convolution on the refined heatmaps and appearance
features, then residual blocks. A picture leaves each block and enters the next; its heatmaps may be carried there too.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from occface.errors import UsageError
from occface.networks.attention import CrossModalAttention
from occface.networks.layers import ResidualBlock, conv3x3, initialise, norm_layer, stem
from occface.registry import did_you_mean

__all__ = ["PRIORS", "BeforeStage", "HeatmapFinder", "ProgressiveNet", "Stages", "UIBlock", "UInet", "one_each"]

PRIORS: tuple[str, ...] = ("cm-am", "given", "none")

HeatmapFinder = Callable[[Tensor, int], Tensor]
"""Finds the heatmaps (B,K,N,N), in [0,1], of the picture (B,3,N,N), in [-1,1], that enters stage number 0, 1 or 2."""

BeforeStage = Callable[[int, Tensor, Tensor | None], tuple[Tensor, Tensor | None]]
"""Changes what enters stage number 0, 1 or 2: the picture (B,3,N,N), in [-1,1], and the heatmaps (B,K,N,N), in [0,1]."""

_QUIET = -4.0
"""Initial bias of the heatmap head: sigmoid(-4) = 0.018, near the mean of a heatmap, instead of one half everywhere."""
_SIZE_KEPT = 1e-3
"""By what share of its parameters a UI-block without CM-AM may differ from one with it."""
_FAINTEST = 0.01
"""What heatmaps are clamped to, from 0 and 1, before their logits are taken: -4.6 to 4.6."""


class Stages(NamedTuple):
    """What the blocks that were run gave, first block first."""

    images: tuple[Tensor, ...]
    """RGB in [-1,1], (B,3,32,32), (B,3,64,64) and (B,3,128,128)."""
    heatmaps: tuple[Tensor | None, ...]
    """The refined landmark heatmaps in [0,1], (B,K,16,16), (B,K,32,32) and (B,K,64,64); None of a block without CM-AM."""
    auxiliary: tuple[Tensor, ...] = ()
    """RGB in [-1,1] at the sizes that enter, (B,3,16,16) to (B,3,64,64); empty where blocks have no such head."""


class UIBlock(nn.Module):
    """One upsampling and inpainting block: N x N to 2N x 2N.

    Parameters
    ----------
    channels : int
        Width of all its features.
    blocks : int
        Residual blocks of its TUM.
    attention : str
        The reading of the CM-AM; see `occface.networks.attention`.
    norm : {"batch", "group", "none"}
        Normalisation after the stems and in the TUM.
    skips : bool
        Whether the heads draw corrections to the enlarged input picture and to the heatmaps that came in (before tanh and
        sigmoid) rather than all anew. The paper draws all anew; corrections are learnt in fewer steps, and a stage of 16
        channels has no room for 68 landmarks.
    landmarks : int
        Heatmaps that come in and are refined.
    priors : {"cm-am", "given", "none"}
        What leads the TUM: the heatmaps that the CM-AM refined; those that came in (the paper's P+GT, where they are the
        truth), with the CM-AM as it is; or nothing (P-FP), with residual blocks that have, to 0.1 % of the UI-block, as many
        parameters as the CM-AM, the landmark stem, the heatmap head and the TUM's heatmap channels: four of 128 channels.
    auxiliary : bool
        Whether a picture is also drawn from the features that enter the TUM, for the released code's auxiliary losses.
    """

    def __init__(
        self,
        channels: int,
        blocks: int,
        attention: str,
        norm: str,
        skips: bool,
        landmarks: int = 68,
        priors: str = "cm-am",
        auxiliary: bool = False,
    ) -> None:
        super().__init__()
        if priors not in PRIORS:
            raise UsageError(f"unknown priors '{priors}': {did_you_mean(priors, PRIORS)}")
        self.skips = skips
        self.priors = priors
        self.led = priors != "none"
        self.face_stem = stem(3, channels, norm)
        if self.led:
            self.landmark_stem = stem(landmarks, channels, norm)
            self.attention = CrossModalAttention(channels, attention)
            self.heatmap_head = conv3x3(channels, landmarks)
        else:
            self.unled = nn.Sequential()  # filled below: it makes up for what the other parts lack
        self.up = nn.Sequential(
            nn.ConvTranspose2d((landmarks if self.led else 0) + channels, channels, 4, stride=2, padding=1),
            norm_layer(norm, channels),
            nn.ReLU(inplace=True),
        )
        self.residual = nn.Sequential(*(ResidualBlock(channels, norm) for _ in range(blocks)))
        self.image_head = conv3x3(channels, 3)
        self.auxiliary_head = conv3x3(channels, 3) if auxiliary else None
        if not self.led:
            lacking = _led_size(channels, attention, norm, landmarks)
            widths = _inner_widths(lacking, channels, norm, tolerance=_SIZE_KEPT * (_size(self) + lacking))
            self.unled.extend(ResidualBlock(channels, norm, inner) for inner in widths)
        initialise(self)
        self._settle(channels)

    @torch.no_grad()
    def _settle(self, channels: int) -> None:
        """Start the heads quietly, and raw dot products at a size that a softmax can be moved from."""
        if self.led:
            nn.init.normal_(self.heatmap_head.weight, std=0.02)
            assert self.heatmap_head.bias is not None
            nn.init.constant_(self.heatmap_head.bias, 0.0 if self.skips else _QUIET)
            if self.attention.reading == "dot_softmax":
                # At He's scale they are so large that a few places take all: what they take then drowns the landmark
                # stream, the more the larger N. This is what dividing them by sqrt(C) would make of them.
                for layer in (self.attention.query, self.attention.key):
                    layer.weight.mul_(channels**-0.25)
        nn.init.normal_(self.image_head.weight, std=0.02)
        if self.auxiliary_head is not None:
            nn.init.normal_(self.auxiliary_head.weight, std=0.02)

    def forward(self, image: Tensor, heatmaps: Tensor | None) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Return the picture at twice the size, and the refined heatmaps and the auxiliary picture at the same.

        Parameters
        ----------
        image : Tensor
            (B,3,N,N) in [-1,1].
        heatmaps : Tensor or None
            (B,K,N,N) in [0,1]. Not looked at where `priors` is "none".

        Returns
        -------
        image, heatmaps, auxiliary : Tensor
            (B,3,2N,2N) in [-1,1], (B,K,N,N) in [0,1] and (B,3,N,N) in [-1,1]; None for what the block does not have.
        """
        face = self.face_stem(image)
        if self.led:
            assert heatmaps is not None
            priors, appearance = self.attention(face, self.landmark_stem(heatmaps))
            logits = self.heatmap_head(priors)
            if self.skips:
                logits = logits + torch.logit(heatmaps, eps=_FAINTEST)
            refined = torch.sigmoid(logits)
            features = torch.cat([heatmaps if self.priors == "given" else refined, appearance], dim=1)
        else:
            refined = None
            features = appearance = self.unled(face)
        auxiliary = None if self.auxiliary_head is None else torch.tanh(self.auxiliary_head(appearance))
        drawn = self.image_head(self.residual(self.up(features)))
        if self.skips:
            enlarged = F.interpolate(image, scale_factor=2, mode="bilinear", align_corners=False)
            drawn = drawn + torch.atanh(enlarged.clamp(-0.99, 0.99))
        return torch.tanh(drawn), refined, auxiliary


def _size(*parts: nn.Module) -> int:
    return sum(parameter.numel() for part in parts for parameter in part.parameters())


def _led_size(channels: int, attention: str, norm: str, landmarks: int) -> int:
    """Return how many parameters a UI-block has because it is led by heatmaps."""
    with torch.device("meta"):
        return _size(
            stem(landmarks, channels, norm),
            CrossModalAttention(channels, attention),
            conv3x3(channels, landmarks),
            nn.ConvTranspose2d(landmarks, channels, 4, bias=False),  # the heatmaps' share of the TUM's
        )


def _inner_widths(wanted: int, channels: int, norm: str, tolerance: float) -> list[int]:
    """Return the inner widths of residual blocks that have `wanted` parameters together.

    They are as many full blocks as fit and narrower ones for the rest: as few as come within the tolerance (none or one at
    128 channels; with few channels a step of the width is too coarse, and the more blocks share the rest, the nearer it
    comes), or else those that come nearest.
    """
    with torch.device("meta"):
        full, two, one = (_size(ResidualBlock(channels, norm, inner)) for inner in (channels, 2, 1))
    step, fixed = two - one, 2 * one - two  # of each channel inside, and of none: sizes are linear in the inner width
    whole, rest = divmod(wanted, full)
    choices = []
    for count in range(round(rest / one) + 1):
        inside = max(count, round((rest - count * fixed) / step)) if count else 0
        choices.append((abs(rest - count * fixed - inside * step), count, inside))
    _, count, inside = next((choice for choice in choices if choice[0] <= tolerance), min(choices))
    return [channels] * whole + [(inside + number) // count for number in reversed(range(count))]


class ProgressiveNet(nn.Module):
    """Three blocks in a row that each double a picture, led by heatmaps of the landmarks in it.

    Parameters
    ----------
    blocks : sequence of Module
        Called as `UIBlock` is; `led` says whether one looks at heatmaps.
    landmarks : sequence of int
        How many heatmaps each block is given.
    """

    def __init__(self, blocks: Sequence[nn.Module], landmarks: Sequence[int]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.landmarks = tuple(landmarks)

    def forward(
        self,
        lr: Tensor,
        heatmaps: Sequence[Tensor | HeatmapFinder | None],
        stages: int = 3,
        before: BeforeStage | None = None,
    ) -> Stages:
        """Return what the first `stages` blocks make of a face.

        Parameters
        ----------
        lr : Tensor
            Occluded LR faces, (B,3,16,16) in [-1,1].
        heatmaps : sequence of Tensor, HeatmapFinder or None
            What each stage starts from: heatmaps (B,K,N,N) in [0,1]; what finds them in the picture that enters the stage;
            or None to carry those of the stage before, enlarged twice. Those are the refined ones, or, behind a block
            without CM-AM, the ones that it was given. Nothing is found for a block that neither uses nor passes it on.
        stages : int
            How many blocks to run, 1 to 3.
        before : BeforeStage, optional
            Called ahead of each block; what it returns enters the block in the place of what came.

        Returns
        -------
        Stages

        Raises
        ------
        UsageError
            If heatmaps are missing or of another shape, or the stage before has none to carry or another number of them.
        """
        if isinstance(heatmaps, Tensor) or len(heatmaps) < stages:
            given = "one tensor" if isinstance(heatmaps, Tensor) else f"{len(heatmaps)} of them"
            raise UsageError(f"expected a sequence of heatmaps for {stages} stages, got {given}; give None to carry them on")
        wanted = self._wanted(heatmaps, stages)
        images: list[Tensor] = []
        refined: list[Tensor | None] = []
        auxiliary: list[Tensor] = []
        image, held = lr, None
        for number in range(stages):
            held = self._start(heatmaps[number], number, image, held) if wanted[number] else None
            if before is not None:
                image, held = before(number, image, held)
            image, own, extra = self.blocks[number](image, held)
            held = held if own is None else own
            images.append(image)
            refined.append(own)
            if extra is not None:
                auxiliary.append(extra)
        return Stages(tuple(images), tuple(refined), tuple(auxiliary))

    def _wanted(self, heatmaps: Sequence[Tensor | HeatmapFinder | None], stages: int) -> list[bool]:
        """Return which stages need heatmaps: those that look at them, and those whose heatmaps such a one carries on."""
        wanted = [bool(block.led) for block in self.blocks]
        for number in reversed(range(1, stages)):
            wanted[number - 1] |= wanted[number] and heatmaps[number] is None
        return wanted

    def _start(self, source: Tensor | HeatmapFinder | None, number: int, image: Tensor, held: Tensor | None) -> Tensor:
        """Return the heatmaps that a stage starts from."""
        count = self.landmarks[number]
        if source is None:
            if held is None:
                raise UsageError(f"stage {number + 1} has no heatmaps to carry; give it heatmaps or a finder")
            if held.shape[1] != count:
                raise UsageError(
                    f"stage {number + 1} takes {count} heatmaps and cannot carry the {held.shape[1]} of the stage before; "
                    "give it heatmaps or a finder, or both stages as many landmarks"
                )
            source = F.interpolate(held, scale_factor=2, mode="bilinear", align_corners=False)
        maps = source if isinstance(source, Tensor) else source(image, number)
        expected = (image.shape[0], count, *image.shape[2:])
        if tuple(maps.shape) != expected:
            raise UsageError(f"stage {number + 1} takes heatmaps of shape {expected}, got {tuple(maps.shape)}")
        return maps


class UInet(ProgressiveNet):
    """Three UI-blocks in a row.

    Parameters
    ----------
    channels, blocks : sequence of three int
        Width and number of residual blocks of each stage. The paper's size is 128 and (8, 7, 6): 10,564,440 parameters.
    attention, norm, skips, auxiliary
        See `UIBlock`.
    landmarks : sequence of three int
        Heatmaps of each stage. The released code's are 7, 42 and 68: 10,185,729 parameters.
    priors : sequence of three str
        See `UIBlock`. Without CM-AM in all three: 10,566,921 parameters.

    Raises
    ------
    UsageError
        If there are not three values each, or a name is unknown.

    Examples
    --------
    >>> net = UInet((16, 16, 16), (1, 1, 1), attention="cosine_linear", norm="batch")
    >>> stages = net(torch.zeros(1, 3, 16, 16), [torch.zeros(1, 68, 16, 16), None, None])
    >>> [tuple(image.shape[2:]) for image in stages.images]
    [(32, 32), (64, 64), (128, 128)]
    """

    def __init__(
        self,
        channels: Sequence[int],
        blocks: Sequence[int],
        *,
        attention: str,
        norm: str,
        skips: bool = False,
        landmarks: Sequence[int] = (68, 68, 68),
        priors: Sequence[str] = ("cm-am",) * 3,
        auxiliary: bool = False,
    ) -> None:
        one_each(channels=channels, blocks=blocks, landmarks=landmarks, priors=priors)
        super().__init__(
            [
                UIBlock(width, count, attention, norm, skips, points, led_by, auxiliary)
                for width, count, points, led_by in zip(channels, blocks, landmarks, priors, strict=True)
            ],
            landmarks,
        )


def one_each(**settings: Collection[object]) -> None:
    """Check that settings have one value for each of the three stages.

    Raises
    ------
    UsageError
        If one has not.
    """
    for name, values in settings.items():
        if isinstance(values, str) or len(values) != 3:
            raise UsageError(f"expected three {name}, one for each stage, got {values!r}")
