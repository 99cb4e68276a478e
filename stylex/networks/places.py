"""Places: where things are in a picture, beside w, which says what it is of.

One w for all layers cannot say where a spot, a hole or a finger is, so a picture drawn from w alone has none. The
encoder therefore also gives a small map t, and each early layer of the generator turns it into gates: how strongly
every channel speaks at every position. A gate has mean 1, so a style coordinate goes on to be the *amount* of its
channel in the picture, and a coordinate of 0 takes the channel away everywhere, wherever its gate points. Places are
the tail of s, which AttFind does not search. Not in the paper.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..stylespace import SIDE
from .layers import drawn

POSITIONS = SIDE * SIDE  # of the map t
# Layers that read wider maps have no gate: where the large things are is settled below, and fine grain is style.
WIDEST_INPUT = 32
LIMIT = 3.0  # of a gate's logarithm: nothing is louder at one position than e^6 times another


class Gate(nn.Module):
    """t [N, P, 8, 8] -> how strongly each input channel of a layer speaks where: [N, C, side, side], of mean 1.

    g = exp(clamp(up(W t), -3, 3)), divided by its mean over positions, in fp32. No bias: the mean would take it away.
    """

    def __init__(self, places: int, channels: int, side: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(drawn(channels, places, 1, 1, times=0.3 / places**0.5))
        self.side = side

    def forward(self, t: Tensor) -> Tensor:
        with torch.autocast(t.device.type, enabled=False):
            loud = F.conv2d(t, self.weight)
            if self.side != SIDE:
                loud = F.interpolate(loud, (self.side, self.side), mode="bilinear", align_corners=False)
            gate = loud.clamp(-LIMIT, LIMIT).exp()
            return gate / gate.mean(dim=(2, 3), keepdim=True)
