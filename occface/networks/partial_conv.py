"""The partial convolution: a convolution that looks at valid places only, and says which places are valid after it.

Liu et al., "Image Inpainting for Irregular Holes Using Partial Convolutions", ECCV 2018, with the sum over a window divided
by the share of it that is valid, as in NVIDIA's form.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["PartialConv2d"]


class PartialConv2d(nn.Module):
    """A convolution over what is valid: invalid values count for nothing, and the valid ones of a window make up for them.

    What lies beyond the border is invalid. A place is valid afterwards if its window held anything valid; elsewhere the
    result is 0.

    Parameters
    ----------
    inputs, outputs : int
        Channels that come in, of all parts together, and go out.
    kernel : int
        Height and width of the window, an odd number; the border is half of it wide.
    stride : int
        What the size is divided by.
    bias : bool
        Whether a bias is added at valid places.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1, bias: bool = True) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2, bias=False)
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None

    def forward(self, *parts: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Convolve features that lie side by side, each with the mask of its valid places.

        Parameters
        ----------
        *parts : (Tensor, Tensor)
            Features (B, C, H, W), and where they are valid, (B, 1, H, W) in {0, 1}; together the parts have `inputs` channels.

        Returns
        -------
        features : Tensor
            (B, outputs, H / stride, W / stride).
        valid : Tensor
            (B, 1, H / stride, W / stride) float32 in {0, 1}.
        """
        joined = torch.cat([features * valid.to(features.dtype) for features, valid in parts], dim=1)
        # The share of a place's channels that is valid; its mean over a window is the share of the window.
        channels = sum(features.shape[1] for features, _ in parts)
        share = torch.stack([valid.float() * (features.shape[1] / channels) for features, valid in parts]).sum(0)
        kernel, stride = self.convolution.kernel_size[0], self.convolution.stride[0]
        seen = F.avg_pool2d(share, kernel, stride, kernel // 2)
        valid = (seen > 0).float()
        result = self.convolution(joined)
        result = result * (valid / seen.clamp_min(torch.finfo(seen.dtype).tiny)).to(result.dtype)
        if self.bias is not None:
            result = (result + self.bias[:, None, None]) * valid.to(result.dtype)
        return result, valid
