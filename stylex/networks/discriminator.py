"""Picture and class probabilities -> how real it looks."""

from __future__ import annotations

import torch
from torch import Tensor

from .component import Component
from .config import ModelConfig
from .layers import EqualConv2d, EqualLinear, Trunk, activate, minibatch_std


class Discriminator(Component):
    """x [N, 3, R, R] in [-1, 1], probs [N, K] -> score [N].

    K outputs weighted by the classifier's probabilities of *that same* picture, as the authors of StylEx describe
    their training; with one output a fake of the wrong class would pass for real.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        top = config.trunk_channels[0]
        self.trunk = Trunk(config.trunk_channels)
        self.conv = EqualConv2d(top + 1, top, 3, active=True)
        self.hidden = EqualLinear(top * 16, top)
        self.out = EqualLinear(top, config.num_classes)

    def forward(self, x: Tensor, probs: Tensor, batches: int = 1) -> Tensor:
        """Scores [N]; x may be several batches of one size, each with minibatch statistics of its own."""
        x = self.conv(torch.cat([minibatch_std(part) for part in self.trunk(x).chunk(batches)]))
        with torch.autocast(x.device.type, enabled=False):
            scores = self.out(activate(self.hidden(x.float().flatten(1))))
        return (scores * probs).sum(dim=1)
