"""Classifiers that are code: a measurement of the picture, so that nobody can doubt what they go by.

--classifier benchmarks.planting.code:hue
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from stylex.classifiers.classifier import Classifier, wrap

SIDE = 64  # px; a picture of another size is brought to it
STEEPNESS = 12.0  # log-odds for each unit of `redness`, which goes from -0.62 to 0.62


def redness(x: Tensor) -> Tensor:
    """How red and not blue the cell is: pictures [N, 3, H, W] in [0, 1] -> [N], (R - B) / (R + B) over its pixels.

    A pixel is of the cell as far as it is less green than red and blue, which nothing else in a picture is; light
    changes neither that nor the ratio.
    """
    red, green, blue = x.unbind(dim=1)
    lack = ((red + blue) / 2 - green) / (red + green + blue + 0.3)
    cell = torch.sigmoid(80 * (lack - 0.06))
    return (cell * (red - blue)).sum(dim=(1, 2)) / (1e-3 + (cell * (red + blue)).sum(dim=(1, 2)))


class Hue(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        odds = STEEPNESS * redness(x)
        return torch.stack([odds / 2, -odds / 2], dim=1)


def hue() -> Classifier:
    """Calls a cell red or blue, by `redness` alone."""
    return wrap(Hue(), ("red", "blue"), SIDE, mean=(0.0,) * 3, std=(1.0,) * 3)
