"""Pictures drawn by code from independent factors, so that every picture has an exact counterfactual for each of them.

A round cell on a ground, as under a microscope. `draw(factors, seed)` is a pure function of the two: the same seed and
the same factors but one give the same picture with that one thing changed, and nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Factor:
    """One thing about a picture, a number from 0 to 1.

    Attributes:
        says: what 0 and 1 are.
        levels: how many values it may have, evenly from 0 to 1; 0 for any.
    """

    name: str
    says: str
    levels: int = 0

    def nearest(self, values: Tensor) -> Tensor:
        """The values that it may have nearest to some numbers."""
        values = values.clamp(0, 1)
        return (values * (self.levels - 1)).round() / (self.levels - 1) if self.levels else values

    @property
    def spread(self) -> float:
        """Standard deviation where every value is as likely as every other."""
        count = self.levels
        return math.sqrt((count + 1) / (12 * (count - 1))) if count else math.sqrt(1 / 12)

    def grid(self, count: int = 5) -> Tensor:
        """Values from 0 to 1: its own, or `count` where it may have any."""
        return torch.linspace(0, 1, self.levels or count)


FACTORS = (
    Factor("size", "a small or a large cell"),
    Factor("hue", "a red or a blue cell"),
    Factor("across", "the cell left or right of the middle"),
    Factor("spots", "no pale spots on the cell, or up to five", levels=6),
    Factor("core", "a small or a large dark core"),
    Factor("rim", "a thin or a thick white rim"),
    Factor("bar", "a short or a long scale bar"),
    Factor("ground", "a grey or a green ground"),
    Factor("light", "dim or bright light"),
    Factor("grain", "no grain or much"),
    Factor("mark", "no yellow mark of two pixels, or one", levels=2),
)
NAMES = tuple(factor.name for factor in FACTORS)
SPOTS = FACTORS[NAMES.index("spots")].levels - 1
# The red and the blue of a cell are as bright, and less green than all else in a picture: `code` goes by that.
RED, BLUE = (0.85, 0.30, 0.20), (0.20, 0.30, 0.85)
GREY, GREEN = (0.55, 0.60, 0.55), (0.30, 0.60, 0.30)
CORE, WHITE, PALE, YELLOW = (0.12, 0.12, 0.12), (0.95, 0.95, 0.95), (0.96, 0.92, 0.80), (1.0, 1.0, 0.0)
GRAIN = 0.05  # standard deviation at most, of pixels in [0, 1]
MOTTLE = 0.02  # of the ground's unevenness, which follows from the seed


def random_factors(count: int, generator: torch.Generator) -> Tensor:
    """[N, J] in [0, 1], each drawn by itself and evenly."""
    values = torch.rand(count, len(FACTORS), generator=generator)
    for j, factor in enumerate(FACTORS):
        if factor.levels:
            drawn = (values[:, j] * factor.levels).floor().clamp(max=factor.levels - 1)
            values[:, j] = drawn / (factor.levels - 1)
    return values


def redrawn(factors: Tensor, j: int, values: Tensor | float) -> Tensor:
    """The same factors [N, J] with factor j at other values, [N] or one for all; a copy."""
    changed = factors.clone()
    changed[:, j] = FACTORS[j].nearest(torch.as_tensor(values, dtype=factors.dtype))
    return changed


def draw(factors: Tensor, seeds: Sequence[int], side: int) -> Tensor:
    """Pictures of factors [N, J] in [0, 1] and of one seed each: [N, 3, side, side] in [-1, 1].

    From the seed follow the places of spots around the cell, the pattern of the grain and the unevenness of the ground.
    Differentiable in the factors; edges are one pixel wide.
    """
    count = len(factors)
    (size, hue, across, spots, core, rim, bar, ground, light, grain, mark) = (
        column.view(count, 1, 1) for column in factors.unbind(dim=1)
    )
    chance = [_chance(seed, side) for seed in seeds]
    turn = torch.stack([c[0] for c in chance]).view(count, 1, 1)
    mottle, noise = (torch.stack([c[i] for c in chance]) for i in (1, 2))  # [N, side, side]

    place = (torch.arange(side) + 0.5) / side
    y, x = torch.meshgrid(place, place, indexing="ij")

    def inside(distance: Tensor) -> Tensor:
        """How much of a pixel lies inside of a shape, from its signed distance in sides."""
        return (0.5 - distance * side).clamp(0, 1)[:, None]

    def over(picture: Tensor, cover: Tensor, colour: Tensor | Sequence[float]) -> Tensor:
        return picture + cover * (torch.as_tensor(colour).reshape(-1, 3, 1, 1) - picture)

    def between(low: Sequence[float], high: Sequence[float], amount: Tensor) -> Tensor:
        return torch.tensor(low) + amount.view(count, 1) * (torch.tensor(high) - torch.tensor(low))  # [N, 3]

    picture = between(GREY, GREEN, ground).view(count, 3, 1, 1) + MOTTLE * mottle[:, None]
    radius, middle_x, middle_y = 0.20 + 0.12 * size, 0.5 + 0.12 * (2 * across - 1), 0.45
    far = ((x - middle_x).square() + (y - middle_y).square()).sqrt()
    picture = over(picture, inside(far - radius), WHITE)
    picture = over(picture, inside(far - (radius - 0.01 - 0.045 * rim)), between(RED, BLUE, hue))
    picture = over(picture, inside(far - radius * (0.15 + 0.35 * core)), CORE)
    for spot in range(SPOTS):
        angle = 2 * math.pi * (turn + spot / SPOTS)
        spot_x, spot_y = middle_x + 0.68 * radius * angle.cos(), middle_y + 0.68 * radius * angle.sin()
        away = ((x - spot_x).square() + (y - spot_y).square()).sqrt()
        picture = over(picture, inside(away - 0.16 * radius) * (SPOTS * spots - spot).clamp(0, 1)[:, None], PALE)
    half, left = 0.018, 0.94 - (0.12 + 0.40 * bar)
    picture = over(picture, inside(torch.maximum((y - 0.91).abs() - half, torch.maximum(left - x, x - 0.94))), WHITE)
    row = round(0.1 * side)
    dot = torch.zeros(side, side)
    dot[row, row : row + 2] = 1
    picture = over(picture, (dot * mark)[:, None], YELLOW)
    picture = picture * (0.65 + 0.40 * light)[:, None] + GRAIN * (grain * noise)[:, None]
    return picture.clamp(0, 1) * 2 - 1


def _chance(seed: int, side: int) -> tuple[Tensor, Tensor, Tensor]:
    """What follows from a seed: a turn in [0, 1], an unevenness and a grain [side, side]."""
    generator = torch.Generator().manual_seed(seed)
    turn = torch.rand((), generator=generator)
    coarse = torch.randn(1, 1, 6, 6, generator=generator)
    mottle = F.interpolate(coarse, (side, side), mode="bilinear", align_corners=False)[0, 0]
    return turn, mottle, torch.randn(side, side, generator=generator)


def pixels(factors: Tensor, seeds: Sequence[int], side: int, batch_size: int = 256) -> Tensor:
    """`draw` as it is in a file: [N, 3, side, side] uint8."""
    parts = []
    for start in range(0, len(factors), batch_size):
        part = slice(start, start + batch_size)
        parts.append(((draw(factors[part], seeds[part], side) + 1) * 127.5).round().to(torch.uint8))
    return torch.cat(parts)
