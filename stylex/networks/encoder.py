"""Picture -> w."""

from __future__ import annotations

import torch
from torch import Tensor

from .component import Component
from .config import ModelConfig
from .layers import EqualConv2d, EqualLinear, Trunk, activate


class Encoder(Component):
    """x [N, 3, R, R] in [-1, 1] -> one w [N, D] for all layers.

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

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(self.trunk(x))
        with torch.autocast(x.device.type, enabled=False):
            return self.out(activate(self.hidden(x.float().flatten(1))))
