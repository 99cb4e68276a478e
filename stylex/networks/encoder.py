"""Picture -> w, and where things are."""

from __future__ import annotations

import torch
from torch import Tensor

from .component import Component
from .config import ModelConfig
from .layers import EqualConv2d, EqualLinear, Trunk, activate


class Encoder(Component):
    """x [N, 3, R, R] in [-1, 1] -> w ⊕ t [N, D+T]: one w for all layers, and places t in (-1, 1) if the model has them.

    The discriminator's trunk without minibatch statistics: what is said of one picture must not depend on its
    neighbours in the batch.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        top = config.trunk_channels[0]
        self.trunk = Trunk(config.trunk_channels)
        self.conv = EqualConv2d(top, top, 3, active=True)
        self.hidden = EqualLinear(top * 16, top)
        self.out = EqualLinear(top, config.w_dim)
        self.where = EqualConv2d(config.trunk_channels[1], config.places, 3) if config.places else None

    def forward(self, x: Tensor) -> Tensor:
        seen = self.trunk.to_8x8(x)
        top = self.conv(self.trunk.blocks[-1](seen))
        with torch.autocast(x.device.type, enabled=False):
            w = self.out(activate(self.hidden(top.float().flatten(1))))
            if self.where is None:
                return w
            return torch.cat([w, self.where(seen.float()).tanh().flatten(1)], dim=1)
