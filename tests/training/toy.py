"""A method that is none of ours: the loop must train it without knowing it."""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import nn

from occface.methods.base import Phase, TrainableMethod


class Toy(TrainableMethod):
    """One convolution on the enlarged LR face, in two phases, with a turn more in the second."""

    name = "toy"
    role = "sr"
    PRESETS: ClassVar = {
        "test": {"batch_size": 2, "ema_decay": 0.5, "grad_clip": 1.0, "rate": 0.05, "steps": 6, "explode_at": 0},
    }  # fmt: skip

    def __init__(self, config):
        super().__init__(config)
        self.generator = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3))
        self.critic = nn.Conv2d(3, 1, 3)

    def phases(self):
        return (Phase("warm", self.config["steps"]), Phase("main", self.config["steps"]))

    def turns(self, phase):
        return ("critic", "generator") if phase.name == "main" else ("generator",)

    def optimizer(self, phase, turn):
        part = self.critic if turn == "critic" else self.generator
        return torch.optim.Adam(part.parameters(), lr=self.config["rate"])

    def lr_scale(self, phase, progress):
        return 1 - progress / 2

    def _enlarged(self, batch, generator=None):
        return (generator or self.generator)(F.interpolate(batch["lr"], size=(128, 128)))

    def forward(self, batch, phase, turn):
        noise = torch.rand(()) * 0.1  # the loop makes this repeatable
        made = self._enlarged(batch)
        if turn == "critic":
            return {"judge": self.critic(made.detach()).square().mean() + noise}
        loss = F.mse_loss(made, batch["hr"]) + noise * made.mean()
        return {"mse": loss * float("nan") if self.config["explode_at"] and phase.name == "main" else loss}

    @torch.no_grad()
    def hallucinate(self, batch, generator=None):
        return self._enlarged(batch, generator).clamp(-1, 1)
