"""Real-ESRGAN: a modern generic super-resolver, with its published weights, to compare with. Nothing is trained here.

It was trained to restore photographs of any kind that were blurred, made small, compressed and made noisy, four times larger.
A face of 16x16 is outside of all that, and so is a hole.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from occface import assets
from occface.errors import UsageError
from occface.methods.base import Batch, Config, Method, Role
from occface.networks.rrdbnet import RRDBNet
from occface.registry import did_you_mean

__all__ = ["ROUTES", "RealESRGAN"]

ASSET = "real-esrgan"
STEM = "REALESRGAN_X4PLUS_UP4X"

ROUTES: dict[str, str] = {
    "bicubic-x4": "bicubic to 32x32, then the network to 128x128",
    "x4-bicubic": "the network to 64x64, then bicubic to 128x128",
    "x4-x4": "the network to 64x64 and again to 256x256, then the mean of each 2x2 pixels",
}
"""The ways from 16x16 to 128x128 by a network that makes pictures four times larger."""


class RealESRGAN(Method):
    """Real-ESRGAN x4plus, used on faces of 16x16 as it is.

    Settings: ``route``, one of `ROUTES`, and ``faces_at_once``, which bounds memory and changes no result beyond rounding. The
    presets differ in the latter alone.
    """

    name = "real-esrgan"
    role: ClassVar[Role] = "sr"
    PRESETS: ClassVar[dict[str, Config]] = {
        name: {"route": "bicubic-x4", "faces_at_once": count}
        for name, count in (("paper", 16), ("gpu", 64), ("cpu", 4), ("demo", 4), ("test", 4))
    }

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        if config["route"] not in ROUTES:
            raise UsageError(f"setting 'route' of method '{self.name}': {did_you_mean(config['route'], ROUTES)}")
        if config["faces_at_once"] < 1:
            raise UsageError(
                f"setting 'faces_at_once' of method '{self.name}' must be 1 or more, got {config['faces_at_once']}"
            )
        self._network: nn.Module | None = None

    def fingerprint(self) -> dict[str, Any]:
        """Return the hash of the published weights."""
        return {"weights": {file.name: file.sha256 for file in assets.ASSETS[ASSET].files}}

    def load(self, device: torch.device) -> None:
        """Load the published weights."""
        self.network(device)

    def asked(self) -> dict[str, nn.Module]:
        """Return the published network, once it was loaded."""
        return {} if self._network is None else {"network": self._network}

    def network(self, device: torch.device) -> nn.Module:
        """Return the network on a device, fetching and reading its weights when it is first asked for.

        Raises
        ------
        AssetError
            If they are not here and cannot be fetched.
        """
        if device.type == "meta":  # to count operations, for which no weights are needed
            with device:
                return RRDBNet()
        if self._network is None:
            assets.obtain([ASSET])
            self._network = RRDBNet.from_ncnn(assets.require(ASSET), STEM).eval()
        return self._network.to(device)

    @torch.no_grad()
    def hallucinate(self, batch: Batch, generator: nn.Module | None = None) -> Tensor:
        """Return `batch["lr"]` (B,3,16,16) enlarged to (B,3,128,128)."""
        network = generator if generator is not None else self.network(batch["lr"].device)
        parts = batch["lr"].float().split(self.config["faces_at_once"])
        return torch.cat([self._enlarge((part + 1) / 2, network) for part in parts]) * 2 - 1

    def _enlarge(self, faces: Tensor, network: nn.Module) -> Tensor:
        """Return faces (B,3,16,16) in [0,1] as (B,3,128,128) in [0,1]."""
        if self.config["route"] == "bicubic-x4":
            return network(_bicubic(faces, 32)).clamp(0, 1)
        larger = network(faces).clamp(0, 1)
        if self.config["route"] == "x4-bicubic":
            return _bicubic(larger, 128)
        return F.avg_pool2d(network(larger).clamp(0, 1), 2)


def _bicubic(faces: Tensor, size: int) -> Tensor:
    return F.interpolate(faces, size=(size, size), mode="bicubic", antialias=True).clamp(0, 1)
