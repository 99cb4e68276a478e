"""A slow copy of a network: the one that is explained, shipped and measured."""

from __future__ import annotations

import copy
from typing import Generic, TypeVar

import torch
from torch import nn

M = TypeVar("M", bound=nn.Module)


class EMA(Generic[M]):
    """Exponential moving average of a module's parameters from the first step on; buffers are copied.

    The half-life is given in pictures, so batch size does not change its meaning, and is never longer than a share of
    the pictures seen so far: an early copy would otherwise remember the random start (Karras et al. 2020, "Training
    Generative Adversarial Networks with Limited Data", released configuration).
    """

    def __init__(self, module: M, half_life_kimg: float, ramp_up: float = 0.05) -> None:
        self.module: M = copy.deepcopy(module).eval().requires_grad_(False)
        self.half_life, self.ramp_up = half_life_kimg * 1000, ramp_up

    @torch.no_grad()
    def update(self, module: nn.Module, batch_size: int, nimg: int) -> None:
        """After a step on `batch_size` pictures, `nimg` of them seen in all."""
        half_life = max(min(self.half_life, nimg * self.ramp_up), 1e-8)
        keep = 0.5 ** (batch_size / half_life)
        torch._foreach_lerp_(list(self.module.parameters()), list(module.parameters()), 1 - keep)
        for slow, fast in zip(self.module.buffers(), module.buffers(), strict=True):
            slow.copy_(fast)
