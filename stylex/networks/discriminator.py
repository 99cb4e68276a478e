"""Picture and class probabilities -> how real it looks: by a network of its own, or by what a trained eye sees."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .component import Component
from .config import DiscriminatorKind, ModelConfig
from .layers import SLOPE, EqualConv2d, EqualLinear, Trunk, activate, drawn, minibatch_std, upsample


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


class SpectralConv2d(nn.Module):
    """A convolution divided by its largest singular value, which one step of power iteration a pass keeps up to date.

    Miyato et al. 2018, "Spectral Normalization for Generative Adversarial Networks", algorithm 1.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel: int, *, stride: int = 1) -> None:
        super().__init__()
        bound = (in_channels * kernel**2) ** -0.5
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, kernel, kernel).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.stride = stride
        self.register_buffer("u", F.normalize(torch.randn(out_channels), dim=0))
        self.u: Tensor

    def forward(self, x: Tensor) -> Tensor:
        matrix = self.weight.flatten(1).float()
        with torch.no_grad():
            v = F.normalize(self.u @ matrix, dim=0)
            u = F.normalize(matrix @ v, dim=0)
            if self.training:
                self.u.copy_(u)
        largest = u @ matrix @ v
        return F.conv2d(x, (self.weight / largest).to(x.dtype), self.bias.to(x.dtype), self.stride, padding=1)


class ProjectedDiscriminator(Component):
    """Maps of a frozen eye [N, C, h, w] at a 4th to a 32nd of the picture, probs [N, K] -> scores [N, h' * w'] of each.

    The maps are mixed by random 1x1 convolutions that are never trained, across channels and, from the coarsest up,
    across scales; four small heads then score every position (Sauer et al. 2021, "Projected GANs Converge Faster",
    section 3). So the discriminator cannot settle on the few features that tell real from fake at once, and needs no
    gradient penalty. As in `Discriminator`, K outputs are weighted by the classifier's probabilities.
    """

    SIDE = 96  # the eye enlarges smaller pictures to it, or the coarsest map would have no positions to speak of
    SEEN = (24, 40, 112, 320)  # channels of EfficientNet-Lite0 at these scales
    MIXED = (48, 64, 96, 128)

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        for i, (seen, mixed) in enumerate(zip(self.SEEN, self.MIXED, strict=True)):
            self.register_buffer(f"channels{i}", drawn(mixed, seen, 1, 1, times=(2 / seen) ** 0.5))
            if i:
                self.register_buffer(f"scales{i}", drawn(self.MIXED[i - 1], mixed, 1, 1, times=(1 / mixed) ** 0.5))
        self.heads = nn.ModuleList(
            [
                nn.Sequential(_down(48, 64), _down(64, 96)),
                nn.Sequential(_down(64, 96)),
                nn.Identity(),  # the eye has seen enough
                nn.Identity(),
            ]
        )
        self.out = nn.ModuleList(SpectralConv2d(c, config.num_classes, 3) for c in (96, 96, 96, 128))

    @classmethod
    def map_shapes(cls, resolution: int) -> list[tuple[int, int, int]]:
        """[C, h, w] of what it reads of pictures of this side."""
        side = max(resolution, cls.SIDE)
        return [(c, side // 4 // 2**i, side // 4 // 2**i) for i, c in enumerate(cls.SEEN)]

    def forward(self, maps: Sequence[Tensor], probs: Tensor) -> list[Tensor]:
        mixed = [F.conv2d(m, getattr(self, f"channels{i}").to(m.dtype)) for i, m in enumerate(maps)]
        for i in range(len(mixed) - 1, 0, -1):
            below = F.conv2d(mixed[i], getattr(self, f"scales{i}").to(mixed[i].dtype))
            mixed[i - 1] = mixed[i - 1] + upsample(below)
        return [
            (out(head(m)).float() * probs[:, :, None, None]).sum(dim=1).flatten(1)
            for head, out, m in zip(self.heads, self.out, mixed, strict=True)
        ]


def _down(in_channels: int, out_channels: int) -> nn.Module:
    """Half the size. Groups, not the batch, are normalised: batches are small."""
    conv = SpectralConv2d(in_channels, out_channels, 4, stride=2)
    return nn.Sequential(conv, nn.GroupNorm(8, out_channels), nn.LeakyReLU(SLOPE, inplace=True))


DISCRIMINATORS: dict[DiscriminatorKind, type[Any]] = {
    "stylegan2": Discriminator,
    "projected": ProjectedDiscriminator,
}
